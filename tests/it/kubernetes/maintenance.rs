//! Maintenance mode on a real API server: switched on and off as objects, and nobody else's touched.

use std::{collections::BTreeSet, path::Path};

use axum::http::Method;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use rollbackd::{
    domain::{
        maintenance::{MaintenanceMode, ObjectAt},
        plan::Action,
        run::{Outcome, Report},
    },
    units::Span,
};
use serde_json::{Value, json};

use super::{
    between::{Between, Fault},
    cluster::Cluster,
    kustomization::{Done, ask, deploy},
    place::Place,
    preflight::check,
    rights::{Account, serving},
    undo::{Hands, refusal},
};

const HASH: &str = "sha256:page";

/// A page, and the way to it.
fn manifest(place: &Place) -> Vec<Value> {
    let named = json!({ "name": "maintenance", "namespace": place.namespace });
    let page = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": named, "data": { "html": "soon" } });
    let backend = json!({ "service": { "name": "page", "port": { "number": 80 } } });
    let way = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": named,
        "spec": { "defaultBackend": backend },
    });
    vec![page, way]
}

fn mode(place: &Place, service: &str) -> MaintenanceMode {
    let object = |api_version: &str, kind: &str, plural: &str| ObjectAt {
        api_version: api_version.into(),
        kind: kind.into(),
        plural: plural.into(),
        namespace: place.namespace.clone(),
        name: "maintenance".into(),
    };
    MaintenanceMode {
        service: service.parse().unwrap(),
        cluster: "main".into(),
        manifest: HASH.into(),
        objects: vec![
            object("v1", "ConfigMap", "configmaps"),
            object("networking.k8s.io/v1", "Ingress", "ingresses"),
        ],
        commands: None,
    }
}

fn hands(place: &Place, cluster: &Cluster) -> Hands {
    let hands = Hands::new(place, cluster, None);
    hands.options.manifests.adopt([(HASH.to_owned(), manifest(place).into())].into());
    hands
}

async fn on(hands: &Hands, place: &Place, resumed: bool) -> Report {
    let (mode, page_after) = (mode(place, "shop/production"), Span::minutes(30));
    let action = Action::MaintenanceOn { mode, page_after, required: false };
    hands.carry_out(action, Span::seconds(5), resumed).await
}

async fn off(hands: &Hands, place: &Place, resumed: bool) -> Report {
    let mode = mode(place, "shop/production");
    hands.carry_out(Action::MaintenanceOff { mode }, Span::seconds(5), resumed).await
}

async fn maps(place: &Place, cluster: &Cluster) -> Api<ConfigMap> {
    Api::namespaced(cluster.client().await, &place.namespace)
}

/// Which of the two are there.
async fn there(place: &Place, cluster: &Cluster) -> (bool, bool) {
    let is_there = async |at: String| {
        let answer = ask(&cluster.client().await, Method::GET, &at, &json!({})).await;
        answer.code == 200
    };
    let namespace = &place.namespace;
    let way = format!("/apis/networking.k8s.io/v1/namespaces/{namespace}/ingresses/maintenance");
    (
        is_there(format!("/api/v1/namespaces/{namespace}/configmaps/maintenance")).await,
        is_there(way).await,
    )
}

/// What `check --online` says of a manifest.
fn looked(place: &Place, kubeconfig: &Path, objects: &[Value]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("maintenance.yaml");
    let documents: Vec<String> = objects.iter().map(Value::to_string).collect();
    std::fs::write(&file, documents.join("\n---\n")).unwrap();
    let more = format!(
        "[service.pods.rollback.maintenance.kubernetes]\nmanifest = {:?}\n",
        file.display().to_string()
    );
    let (_, said) = check(place, kubeconfig, "rig", "auto", &more);
    let line = said.lines().find(|line| line.contains("maintenance mode may be"));
    line.unwrap_or_else(|| panic!("{said}")).to_owned()
}

#[tokio::test]
async fn maintenance_mode_is_on_once_and_off_once_however_often_it_is_asked_for() {
    let cluster = Cluster::shared();
    let place = Place::new(cluster).await;
    let hands = hands(&place, cluster);
    let report = on(&hands, &place, false).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    assert_eq!(there(&place, cluster).await, (true, true));
    let map = maps(&place, cluster).await.get("maintenance").await.unwrap();
    let notes = map.metadata.annotations.unwrap();
    assert_eq!(notes["rollbackd.dev/maintenance-of"], "shop/production");
    assert_eq!(notes["rollbackd.dev/run"], "run-7");
    assert_eq!(on(&hands, &place, false).await.outcome, Outcome::AlreadyDone);
    // An earlier daemon had begun it, and nobody knows how far it came.
    assert_eq!(on(&hands, &place, true).await.outcome, Outcome::Done);
    let report = off(&hands, &place, false).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    assert_eq!(there(&place, cluster).await, (false, false));
    assert_eq!(off(&hands, &place, true).await.outcome, Outcome::AlreadyDone);
}

#[tokio::test]
async fn what_is_half_on_or_half_deleted_by_hand_is_finished() {
    let cluster = Cluster::shared();
    let place = Place::new(cluster).await;
    let hands = hands(&place, cluster);
    on(&hands, &place, false).await;
    let maps = maps(&place, cluster).await;
    maps.delete("maintenance", &DeleteParams::default()).await.unwrap();
    let report = on(&hands, &place, true).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    assert_eq!(there(&place, cluster).await, (true, true));
    maps.delete("maintenance", &DeleteParams::default()).await.unwrap();
    let report = off(&hands, &place, false).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    assert!(report.after.contains("maintenance is not there"), "{}", report.after);
    assert_eq!(there(&place, cluster).await, (false, false));
}

#[tokio::test]
async fn what_a_person_switched_on_is_used_and_left_on_and_said_to_be_on() {
    let cluster = Cluster::shared();
    let place = Place::new(cluster).await;
    let hands = hands(&place, cluster);
    let maps = maps(&place, cluster).await;
    let by_hand: ConfigMap = serde_json::from_value(manifest(&place)[0].clone()).unwrap();
    maps.create(&PostParams::default(), &by_hand).await.unwrap();
    let report = on(&hands, &place, false).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    assert!(report.after.contains("was made by somebody else, and will stay"), "{}", report.after);
    let report = off(&hands, &place, false).await;
    let (why, retry) = refusal(&report);
    assert!(!retry && why.contains("ConfigMap") && why.contains("somebody else made it"), "{why}");
    assert_eq!(there(&place, cluster).await, (true, false), "{}", report.after);
    // Who takes it over while it is on keeps it, too.
    on(&hands, &place, false).await;
    let mine = json!({ "metadata": { "annotations": { "rollbackd.dev/maintenance-of": null } } });
    let client = cluster.client().await;
    let ingresses: Api<k8s_openapi::api::networking::v1::Ingress> =
        Api::namespaced(client.clone(), &place.namespace);
    ingresses.patch("maintenance", &PatchParams::default(), &Patch::Merge(mine)).await.unwrap();
    let report = off(&hands, &place, false).await;
    assert!(refusal(&report).0.contains("Ingress"), "{report:?}");
    assert_eq!(there(&place, cluster).await, (true, true));
    ingresses.delete("maintenance", &DeleteParams::default()).await.unwrap();
    maps.delete("maintenance", &DeleteParams::default()).await.unwrap();
    assert_eq!(off(&hands, &place, false).await.outcome, Outcome::AlreadyDone);
}

/// What is withheld counts as not begun, and nobody would be owed that it is taken back.
#[tokio::test]
async fn one_that_is_put_on_hold_when_half_of_it_is_made_was_begun() {
    let cluster = Cluster::shared();
    let place = Place::new(cluster).await;
    let hands = hands(&place, cluster);
    let between = Between::start(cluster).await;
    let reached = between.options(&place.namespace);
    hands.options.clusters.adopt([("main".to_owned(), reached)].into());
    let hold = hands.options.state_dir.join("HOLD");
    let file = hold.clone();
    between.lets(move |asked| {
        if asked.method == Method::POST && asked.path.ends_with("/configmaps") {
            std::fs::write(&file, "everything stops").unwrap();
        }
        Fault::None
    });
    let report = on(&hands, &place, false).await;
    let (why, retry) = refusal(&report);
    assert!(retry && why.contains("some of it was made"), "{why}");
    assert_eq!(there(&place, cluster).await, (true, false));
    let report = on(&hands, &place, false).await;
    assert!(matches!(report.outcome, Outcome::Withheld { .. }), "{report:?}");
    std::fs::remove_file(hold).unwrap();
    assert_eq!(off(&hands, &place, false).await.outcome, Outcome::Done);
    assert_eq!(there(&place, cluster).await, (false, false));
}

#[tokio::test]
async fn what_the_api_server_makes_of_it_is_on_and_a_field_that_it_drops_is_told_before() {
    let cluster = Cluster::shared();
    let place = serving(cluster).await;
    let hands = hands(&place, cluster);
    let mut objects = manifest(&place);
    objects[0]["dta"] = json!({ "html": "a slip" });
    hands.options.manifests.adopt([(HASH.to_owned(), objects.clone().into())].into());
    let report = on(&hands, &place, false).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    assert_eq!(on(&hands, &place, false).await.outcome, Outcome::AlreadyDone);
    assert_eq!(off(&hands, &place, false).await.outcome, Outcome::Done);
    assert_eq!(there(&place, cluster).await, (false, false));
    let line = looked(&place, &cluster.kubeconfig(), &objects);
    assert!(line.contains("missing:") && line.contains("unknown field"), "{line}");
}

#[tokio::test]
async fn another_object_of_that_name_is_not_overwritten_and_nothing_is_made_beside_it() {
    let cluster = Cluster::shared();
    let place = Place::new(cluster).await;
    let hands = hands(&place, cluster);
    let client = cluster.client().await;
    let mut other = manifest(&place)[1].clone();
    other["spec"]["defaultBackend"]["service"]["name"] = "shop".into();
    let all = format!("/apis/networking.k8s.io/v1/namespaces/{}/ingresses", place.namespace);
    assert_eq!(ask(&client, Method::POST, &all, &other).await.code, 201);
    let report = on(&hands, &place, false).await;
    let (why, retry) = refusal(&report);
    assert!(!retry && why.contains("somebody else's") && why.contains("kubectl delete"), "{why}");
    assert_eq!(there(&place, cluster).await, (false, true), "nothing was made");
    assert_eq!(off(&hands, &place, false).await.outcome, Outcome::AlreadyDone);
    assert_eq!(there(&place, cluster).await, (false, true), "and theirs stays");
}

#[tokio::test]
async fn another_manifest_than_was_planned_is_not_made() {
    let cluster = Cluster::shared();
    let place = Place::new(cluster).await;
    let hands = hands(&place, cluster);
    hands.options.manifests.adopt([("sha256:other".to_owned(), manifest(&place).into())].into());
    let report = on(&hands, &place, false).await;
    assert!(refusal(&report).0.contains("another manifest by now"), "{report:?}");
    assert_eq!(there(&place, cluster).await, (false, false));
}

#[tokio::test]
async fn one_that_cannot_be_deleted_keeps_no_other_on_and_is_named() {
    let cluster = Cluster::shared();
    let place = Place::new(cluster).await;
    let hands = hands(&place, cluster);
    on(&hands, &place, false).await;
    let held = json!({ "metadata": { "finalizers": ["example.com/slow"] } });
    let client = cluster.client().await;
    let ingresses: Api<k8s_openapi::api::networking::v1::Ingress> =
        Api::namespaced(client, &place.namespace);
    ingresses.patch("maintenance", &PatchParams::default(), &Patch::Merge(held)).await.unwrap();
    let report = off(&hands, &place, false).await;
    let (why, retry) = refusal(&report);
    assert!(retry && why.contains("example.com/slow"), "{why}");
    assert_eq!(there(&place, cluster).await, (false, true));
    // A load balancer lets go after a while: that is no failure.
    let free = json!({ "metadata": { "finalizers": null } });
    let between = Between::start(cluster).await;
    let reached = between.options(&place.namespace);
    hands.options.clusters.adopt([("main".to_owned(), reached)].into());
    let (looked, mut looks) = tokio::sync::mpsc::unbounded_channel();
    between.lets(move |asked| {
        if asked.path.ends_with("/ingresses/maintenance") {
            let _ = looked.send(());
        }
        Fault::None
    });
    let lets_go = async {
        for _ in 0..7 {
            looks.recv().await.unwrap();
        }
        ingresses.patch("maintenance", &PatchParams::default(), &Patch::Merge(free)).await.unwrap();
    };
    let (report, ()) = tokio::join!(off(&hands, &place, true), lets_go);
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    assert_eq!(there(&place, cluster).await, (false, false));
}

#[tokio::test]
async fn an_api_server_that_fails_is_asked_again_and_one_that_is_away_leaves_it_to_the_next_attempt()
 {
    let cluster = Cluster::shared();
    let place = Place::new(cluster).await;
    let hands = hands(&place, cluster);
    let between = Between::start(cluster).await;
    let reached = between.options(&place.namespace);
    hands.options.clusters.adopt([("main".to_owned(), reached)].into());
    let mut failed = BTreeSet::new();
    between.lets(move |asked| {
        match asked.method == Method::GET || !failed.insert(asked.path.clone()) {
            true => Fault::None,
            false => Fault::status(503, "ServiceUnavailable", "etcd has no leader"),
        }
    });
    let report = on(&hands, &place, false).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    assert_eq!(there(&place, cluster).await, (true, true));
    let report = off(&hands, &place, false).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    assert_eq!(there(&place, cluster).await, (false, false));
    on(&hands, &place, false).await;
    between.lets(|_| Fault::Silent);
    let report = off(&hands, &place, false).await;
    let (why, retry) = refusal(&report);
    assert!(retry && why.contains("no answer within"), "{why}");
    between.lets(|_| Fault::None);
    assert_eq!(off(&hands, &place, true).await.outcome, Outcome::Done);
    assert_eq!(there(&place, cluster).await, (false, false));
}

#[tokio::test]
async fn who_may_not_switch_it_on_is_told_what_grants_it_before_and_when_it_happens() {
    let cluster = Cluster::shared();
    let place = serving(cluster).await;
    let account = Account::with("rights/act", cluster, &place).await;
    let hands = hands(&place, cluster);
    hands.options.clusters.adopt([("main".to_owned(), account.options())].into());
    let report = on(&hands, &place, false).await;
    assert!(refusal(&report).0.contains("not permitted"), "{report:?}");
    let looked = || looked(&place, &account.kubeconfig(), &manifest(&place));
    let line = looked();
    let remedy =
        format!("kubectl apply -k deploy/kubernetes/rights/maintenance -n {}", place.namespace);
    assert!(line.contains("missing:") && line.contains(&remedy), "{line}");
    assert!(line.contains("may not delete configmaps/maintenance"), "{line}");
    deploy(&cluster.client().await, "rights/maintenance", &place.namespace, Done::Really).await;
    let line = looked();
    assert!(line.contains("ok:"), "{line}");
    assert_eq!(there(&place, cluster).await, (false, false), "nothing was made by asking");
    assert_eq!(on(&hands, &place, false).await.outcome, Outcome::Done);
    let line = looked();
    assert!(line.contains("ok:") && line.contains("is there"), "{line}");
    assert_eq!(off(&hands, &place, false).await.outcome, Outcome::Done);
    assert_eq!(there(&place, cluster).await, (false, false));
}

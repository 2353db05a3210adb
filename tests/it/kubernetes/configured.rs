//! What pods read beside their image, on a real API server: seen, kept, and set back exactly.

use std::path::Path;

use k8s_openapi::{
    ByteString,
    api::core::v1::{ConfigMap, Secret},
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use rollbackd::{
    domain::{
        configuration::Configuration,
        plan::Action,
        run::{Outcome, Report},
    },
    executors,
    kubernetes::seal::Secrets,
    sources::kubernetes::{self, Watched},
    units::Span,
};
use serde_json::json;

use super::{
    cluster::Cluster,
    place::{SOON, image, now, options},
    reading::{Reading, map, reads},
};
use crate::rig::eventually;

/// What a secret holds, which must be seen nowhere.
const SECRET: &str = "hunter2-is-what-it-holds";

fn refusal(report: &Report) -> &str {
    let Outcome::Failed { why, retry: false } = &report.outcome else { panic!("{report:?}") };
    why
}

#[tokio::test]
async fn a_map_that_is_edited_in_place_is_another_configuration_which_no_pod_has_read_yet() {
    let reading = Reading::new(Cluster::shared()).await;
    let before = reading.seen().unwrap();
    assert_eq!(before.items[0].called(), "ConfigMap settings");
    reading.edit("settings", json!({ "metadata": { "labels": { "team": "shop" } } })).await;
    reading.edit("settings", json!({ "data": { "level": "debug" } })).await;
    let after = reading.until("another", |found| found.revision != before.revision).await;
    assert_eq!(after.read_at, None, "its pods are older");
    let written = after.written.as_ref().unwrap();
    assert_eq!(
        (written.what.as_str(), written.by.as_deref()),
        ("ConfigMap settings", Some("pipeline"))
    );
    assert!(after.written_at >= before.written_at);
    // The application is the version that it was.
    reading.place.until_serves("1.4.1").await;
    reading.edit("settings", json!({ "data": { "level": "info" } })).await;
    reading.until("the first again", |found| found.revision == before.revision).await;
    reading.maps.delete("settings", &DeleteParams::default()).await.unwrap();
    let gone = reading.until("it is gone", |found| found.items[0].digest.is_none()).await;
    assert_ne!(gone.revision, before.revision);
    let faults = reading.place.seen().inventory.faults.join("; ");
    assert!(faults.contains("its pods read ConfigMap settings, which is not there"), "{faults}");
}

#[tokio::test]
async fn a_map_goes_back_exactly_and_what_others_wrote_beside_its_content_stays() {
    let reading = Reading::new(Cluster::shared()).await;
    let good = reading.keep().await;
    let was = reading.maps.get("settings").await.unwrap();
    let bad = json!({
        "metadata": { "annotations": { "owner": "somebody" } },
        "data": { "level": "debug", "more": "1" }, "binaryData": { "bytes": "AAE=", "other": "AAE=" },
    });
    reading.edit("settings", bad).await;
    reading.until("the edit", |found| found.revision != good.revision).await;
    let restores = reading.restores(&good);
    let report = reading.restore(&restores[0], false).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    assert!(report.before.starts_with("4 keys, sha256:"), "{}", report.before);
    let now = reading.maps.get("settings").await.unwrap();
    assert_eq!((&now.data, &now.binary_data), (&was.data, &was.binary_data));
    assert_eq!((now.uid(), now.labels()), (was.uid(), was.labels()));
    assert_eq!(now.annotations().get("owner").map(String::as_str), Some("somebody"));
    let note = now.annotations().get("rollbackd.dev/rolled-back").unwrap();
    assert!(note.ends_with("by run run-7"), "{note}");
    reading.until("as it was", |found| found.revision == good.revision).await;
    // Twice is once.
    assert_eq!(reading.restore(&restores[0], false).await.outcome, Outcome::AlreadyDone);
    assert_eq!(reading.restore(&restores[0], true).await.outcome, Outcome::Done);
    let again = reading.maps.get("settings").await.unwrap();
    assert_eq!(again.resource_version(), now.resource_version());
    // Whoever wants it so all the same wins over the same rollback.
    reading.edit("settings", json!({ "data": { "level": "debug", "more": "1" }, "binaryData": { "bytes": "AAE=", "other": "AAE=" } })).await;
    let report = reading.restore(&restores[0], true).await;
    assert!(refusal(&report).contains("somebody changed it again since"), "{report:?}");
}

#[tokio::test]
async fn whoever_edits_a_map_in_between_wins() {
    let reading = Reading::new(Cluster::shared()).await;
    let good = reading.keep().await;
    reading.edit("settings", json!({ "data": { "level": "debug" } })).await;
    reading.until("the edit", |found| found.revision != good.revision).await;
    let restores = reading.restores(&good);
    reading.edit("settings", json!({ "data": { "level": "the fix" } })).await;
    let report = reading.restore(&restores[0], false).await;
    let why = refusal(&report);
    assert!(why.contains("somebody changed ConfigMap settings in between"), "{why}");
    assert!(!format!("{report:?}").contains("the fix"), "what it holds is nobody's business");
    assert_eq!(reading.maps.get("settings").await.unwrap().data.unwrap()["level"], "the fix");
}

#[tokio::test]
async fn what_writes_to_a_map_all_the_time_is_never_overwritten_unseen() {
    let reading = Reading::new(Cluster::shared()).await;
    let good = reading.keep().await;
    reading.edit("settings", json!({ "data": { "level": "debug" } })).await;
    reading.until("the edit", |found| found.revision != good.revision).await;
    let restores = reading.restores(&good);
    let maps = reading.maps.clone();
    let writer = tokio::spawn(async move {
        for nth in 0_u64.. {
            let patch = Patch::Merge(json!({ "data": { "level": format!("fix {nth}") } }));
            let _ = maps.patch("settings", &PatchParams::default(), &patch).await;
        }
    });
    let written = async || {
        let map = reading.maps.get("settings").await.unwrap();
        map.data.unwrap()["level"].starts_with("fix").then_some(())
    };
    eventually("it writes", SOON, written).await;
    let report = reading.restore(&restores[0], false).await;
    writer.abort();
    assert!(refusal(&report).contains("in between"), "{report:?}");
}

/// Each release with a map of its own, as kustomize makes them, and the old one cleaned away.
#[tokio::test]
async fn a_map_that_was_deleted_is_made_again_as_it_was_immutable_and_with_its_labels() {
    let reading = Reading::new(Cluster::shared()).await;
    let fixed = |name: &str, text: &str| ConfigMap { immutable: Some(true), ..map(name, text) };
    for (name, text) in [("settings-a", "info"), ("settings-b", "debug")] {
        reading.maps.create(&PostParams::default(), &fixed(name, text)).await.unwrap();
    }
    reading.place.patch(reads("settings-a", "1.4.1")).await;
    let named = |name: &'static str| move |found: &Configuration| found.items[0].name == name;
    reading.until("the first is read", |it| named("settings-a")(it) && it.read_at.is_some()).await;
    let good = reading.keep().await;
    assert!(good.items[0].immutable);
    reading.place.patch(reads("settings-b", "1.4.2")).await;
    reading.until("the second", named("settings-b")).await;
    assert_eq!(reading.restores(&good), [], "it is still there: another template is enough");
    reading.maps.delete("settings-a", &DeleteParams::default()).await.unwrap();
    reading.until("the first is gone", |it| it.beside.iter().any(|it| it.digest.is_none())).await;
    let restores = reading.restores(&good);
    assert_eq!((restores.len(), &restores[0].from, restores[0].immutable), (1, &None, true));
    let report = reading.restore(&restores[0], false).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    let made = reading.maps.get("settings-a").await.unwrap();
    let was = fixed("settings-a", "info");
    assert_eq!((&made.data, &made.binary_data), (&was.data, &was.binary_data));
    assert_eq!((made.immutable, made.labels()), (Some(true), was.labels()));
    assert_eq!(reading.restore(&restores[0], true).await.outcome, Outcome::Done);
    // What cannot be changed is not tried.
    reading.maps.delete("settings-a", &DeleteParams::default()).await.unwrap();
    let other = fixed("settings-a", "other");
    reading.maps.create(&PostParams::default(), &other).await.unwrap();
    let report = reading.restore(&restores[0], false).await;
    assert!(refusal(&report).contains("somebody made ConfigMap settings-a in between"));
    let is_other =
        |it: &Configuration| it.beside.iter().any(|it| it.digest.is_some() && it.immutable);
    let now = reading.until("the other", is_other).await;
    let why = now.back_to(now.kept_of(&good.revision).unwrap()).unwrap_err();
    assert!(why.contains("is immutable"), "{why}");
}

#[tokio::test]
async fn pods_are_started_anew_once_and_at_the_same_version() {
    let reading = Reading::new(Cluster::shared()).await;
    let before = reading.place.seen().inventory;
    let version = before.linked.clone().unwrap();
    reading.edit("settings", json!({ "data": { "level": "debug" } })).await;
    reading.until("nobody has read it", |found| found.read_at.is_none()).await;
    let restart = || Action::DeploymentRestart { at: reading.at(), version: version.clone() };
    let report = reading.carry_out(restart(), "run-7", false).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    let set = reading.place.deployments.get("shop").await.unwrap();
    let again = reading.carry_out(restart(), "run-7", true).await;
    assert_eq!(again.outcome, Outcome::Done, "it was done by an earlier daemon");
    let after = reading.place.deployments.get("shop").await.unwrap();
    assert_eq!(after.metadata.generation, set.metadata.generation);
    let rollout = Action::DeploymentRollout {
        at: reading.at(),
        to: version.clone(),
        stuck_after: Span::seconds(30),
    };
    let report = reading.carry_out(rollout, "run-7", false).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    reading.until("all have read it", |found| found.read_at.is_some()).await;
    let seen = reading.place.until_serves("1.4.1").await.inventory;
    assert_eq!(seen.linked, before.linked, "the same version");
    assert_eq!(seen.available.len(), before.available.len(), "and no other to go back to");
    let other = rollbackd::domain::change::Revision::named("1.4.0+00000000");
    let restart = Action::DeploymentRestart { at: reading.at(), version: other };
    let report = reading.carry_out(restart, "run-8", false).await;
    assert!(refusal(&report).contains("somebody deployed in between"), "{report:?}");
}

fn nowhere(dir: &Path, text: &str) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            nowhere(&path, text);
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        let found = bytes.windows(text.len()).any(|part| part == text.as_bytes());
        assert!(!found, "{}", path.display());
    }
}

#[tokio::test]
async fn a_secret_is_known_by_its_hash_and_what_it_holds_is_kept_nowhere() {
    let cluster = Cluster::shared();
    let reading = Reading::new(cluster).await;
    let secrets: Api<Secret> = Api::namespaced(cluster.client().await, &reading.place.namespace);
    let mut secret = Secret::default();
    secret.metadata.name = Some("token".into());
    secret.data = Some([("token".to_owned(), ByteString(SECRET.into()))].into());
    secrets.create(&PostParams::default(), &secret).await.unwrap();
    let from =
        json!([{ "configMapRef": { "name": "settings" } }, { "secretRef": { "name": "token" } }]);
    let app = json!({ "name": "app", "image": image("1.4.1"), "envFrom": from });
    reading
        .place
        .patch(json!({ "spec": { "template": { "spec": { "containers": [app] } } } }))
        .await;
    reading.place.until_serves("1.4.1").await;
    assert_eq!(reading.seen().unwrap().items.len(), 1, "nobody is to look at Secrets");

    let mut looking = options(cluster, &reading.place.namespace, None);
    looking.secrets = Secrets::Hash;
    let watched = Watched::new(looking);
    let watching = tokio::spawn(kubernetes::watch(watched.clone()));
    let seen = async |what: &str, is: &dyn Fn(&Configuration) -> bool| {
        eventually(what, SOON, async || {
            let seen = watched.see(&reading.place.key(), None, now()).inventory;
            seen.configuration().filter(|found| is(found)).cloned()
        })
        .await
    };
    let found = seen("both", &|found| found.items.len() == 2).await;
    let called: Vec<String> = found.items.iter().map(|item| item.called()).collect();
    assert_eq!(called, ["ConfigMap settings", "Secret token"]);
    let maps = reading.kept();
    executors::keep_configuration(&reading.executor.clusters, &reading.at(), &found, &maps, now())
        .await
        .unwrap();
    let changed = json!({ "stringData": { "token": "another" } });
    secrets.patch("token", &PatchParams::default(), &Patch::Merge(changed)).await.unwrap();
    let after = seen("another", &|now| now.revision != found.revision).await;
    let kept = maps.all().unwrap()[0].in_short();
    let why = after.back_to(&kept).unwrap_err();
    assert!(why.contains("Secret token") && why.contains("nowhere kept"), "{why}");
    let encoded = serde_json::to_value(&secret).unwrap()["data"]["token"].clone();
    for text in [SECRET, encoded.as_str().unwrap()] {
        nowhere(reading.home.path(), text);
        assert!(!format!("{watched:?}{found:?}").contains(text));
    }
    watching.abort();
}

#[tokio::test]
async fn who_may_not_look_at_maps_sees_the_version_all_the_same_and_is_told() {
    let cluster = Cluster::shared();
    let reading = Reading::new(cluster).await;
    let account = super::rights::Account::without_maps(cluster, &reading.place).await;
    let watched = Watched::new(account.options().clone());
    let watching = tokio::spawn(kubernetes::watch(watched.clone()));
    let why = eventually("it is told", SOON, async || {
        let seen = watched.see(&reading.place.key(), None, now()).inventory;
        seen.linked.as_ref()?;
        seen.configuration_unknown().map(str::to_owned).filter(|why| why.contains("forbidden"))
    })
    .await;
    assert!(
        why.contains("the configmaps of the namespace") && why.contains("cannot be watched"),
        "{why}"
    );
    let faults = watched.faults().borrow().clone();
    assert_eq!(faults.len(), 1, "{faults:?}");
    watching.abort();
}

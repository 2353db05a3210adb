//! What pods read is edited under the real daemon: it is a change, and where it hurts it goes back.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{Router, routing::get};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use rollbackd::demo::shop::Behaviour;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

use super::{
    deployments::{HEALTH, pods, service},
    world::{Setup, World},
};
use crate::{
    kubernetes::{
        cluster::Cluster,
        place::{Place, SOON as CONTROLLERS_SOON},
        reading::{map, reads},
    },
    rig::eventually,
};

/// Between two batches of requests.
const BATCH: Duration = Duration::from_millis(200);

/// What the pods count: half of the requests fail while any of them was given `debug` when it started.
async fn counting(place: Arc<Place>) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let at = listener.local_addr().unwrap();
    let [bad, total] = [0, 0].map(|zero| Arc::new(AtomicU64::new(zero)));
    let (told_bad, told_total) = (Arc::clone(&bad), Arc::clone(&total));
    let app = Router::new().route(
        "/metrics",
        get(async move || {
            let [bad, total] = [&told_bad, &told_total].map(|count| count.load(Ordering::Relaxed));
            format!("requests_failed_total {bad}\nrequests_total {total}\n")
        }),
    );
    let counts = tokio::spawn(async move {
        let mut ticks = tokio::time::interval(BATCH);
        let serves = axum::serve(listener, app).into_future();
        let mut serves = std::pin::pin!(serves);
        loop {
            tokio::select! {
                ended = &mut serves => return ended.unwrap(),
                _ = ticks.tick() => {}
            }
            let failed = if place.kubelet.was_given("debug") { 10 } else { 0 };
            bad.fetch_add(failed, Ordering::Relaxed);
            total.fetch_add(20, Ordering::Relaxed);
        }
    });
    (at, counts)
}

fn config(cluster: &Cluster, place: &Place, metrics: SocketAddr) -> String {
    let counts = format!(
        r#"
[service.pods.scrape]
url = "http://{metrics}/metrics"
[service.pods.signal.error_rate]
every = "300ms"
every_watched = "300ms"
[service.pods.signal.error_rate.scrape]
bad = "requests_failed_total"
total = "requests_total"
"#
    );
    service(cluster, place, "auto") + &counts
}

async fn level(maps: &Api<ConfigMap>) -> String {
    maps.get("settings").await.unwrap().data.unwrap()["level"].clone()
}

/// The version, and what its pods read.
async fn both_are_kept(world: &World) {
    let kept = async || {
        let log = world.log();
        let of_both = log.lines().filter(|line| line.contains("is known good, and kept"));
        (of_both.count() >= 2).then_some(())
    };
    eventually("both are kept", CONTROLLERS_SOON, kept).await;
}

#[tokio::test]
async fn a_map_whose_edit_makes_requests_fail_goes_back_and_that_is_verified_and_told() {
    let cluster = Cluster::shared();
    let place = Arc::new(Place::new(cluster).await);
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client().await, &place.namespace);
    let was = maps.create(&PostParams::default(), &map("settings", "info")).await.unwrap();
    place.deploy("1.4.1").await;
    place.patch(reads("settings", "1.4.1")).await;
    place.until_serves("1.4.1").await;
    let (metrics, counts) = counting(Arc::clone(&place)).await;
    let setup = Setup::with(Behaviour::Healthy, &config(cluster, &place, metrics));
    let mut world = World::open(&setup).await;
    world.start().await;
    both_are_kept(&world).await;
    let before = pods(&world, "known good", |said| said["serving_is_known_good"] == true).await;
    assert_eq!(before["configuration"]["is_known_good"], true, "{before}");
    assert_eq!(before["last_change"], Value::Null, "what is there at first start is no change");

    // As a person edits it, and restarts what reads it.
    let params = PatchParams { field_manager: Some("kubectl-edit".into()), ..Default::default() };
    let edit = Patch::Merge(json!({ "data": { "level": "debug" } }));
    maps.patch("settings", &params, &edit).await.unwrap();
    let changed = pods(&world, "the change", |said| !said["last_change"].is_null()).await;
    let change = &changed["last_change"];
    assert_eq!(change["component"], "configuration", "{change}");
    assert_eq!(change["from"]["version"], before["configuration"]["serving"]);
    let told = &change["told"];
    assert_eq!(
        (&told["by"], &told["called"]),
        (&"kubectl-edit".into(), &"ConfigMap settings".into())
    );
    let restarted = json!({ "kubectl.kubernetes.io/restartedAt": "2026-11-27T12:00:00Z" });
    place
        .patch(json!({ "spec": { "template": { "metadata": { "annotations": restarted } } } }))
        .await;

    let over = world.incident("over", |i| i.line.closed.is_some()).await;
    assert_eq!(over.line.because.as_deref(), Some("rolled back and verified"), "{over:#?}");
    assert_eq!(over.line.service.to_string(), "pods/demo");
    assert_eq!(level(&maps).await, "info");
    assert_eq!(maps.get("settings").await.unwrap().binary_data, was.binary_data);
    assert!(!place.kubelet.was_given("debug"), "every pod was started anew since");
    let after =
        pods(&world, "the rollback", |said| said["last_change"]["is_rollback"] == true).await;
    assert_eq!(after["serving"], before["serving"], "the application stayed");
    assert_eq!(after["configuration"]["serving"], before["configuration"]["serving"]);
    let told = world.log();
    let why = "only the configuration goes back, and the pods are started anew";
    assert!(told.contains(why), "{told}");
    counts.abort();
    world.ended().await;
}

/// A release with a ConfigMap of its own crashes, and whatever cleans up has taken away that of the version before.
#[tokio::test]
async fn a_release_goes_back_to_a_map_that_was_cleaned_away_and_is_made_again_before_it() {
    let cluster = Cluster::shared();
    let place = Arc::new(Place::new(cluster).await);
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client().await, &place.namespace);
    for (name, text) in [("settings-a", "info"), ("settings-b", "warn")] {
        let fixed = ConfigMap { immutable: Some(true), ..map(name, text) };
        maps.create(&PostParams::default(), &fixed).await.unwrap();
    }
    place.deploy("1.4.1").await;
    place.patch(reads("settings-a", "1.4.1")).await;
    place.until_serves("1.4.1").await;
    let (metrics, counts) = counting(Arc::clone(&place)).await;
    let config = config(cluster, &place, metrics) + HEALTH;
    let mut world = World::open(&Setup::with(Behaviour::Healthy, &config)).await;
    world.start().await;
    both_are_kept(&world).await;

    maps.delete("settings-a", &DeleteParams::default()).await.unwrap();
    place.patch(reads("settings-b", "crash-2")).await;
    let over = world.incident("over", |i| i.line.closed.is_some()).await;
    assert_eq!(over.line.because.as_deref(), Some("rolled back and verified"), "{over:#?}");
    place.until_serves("1.4.1").await;
    let made = maps.get("settings-a").await;
    let made = made.unwrap_or_else(|error| panic!("{error}: {}", world.log()));
    assert_eq!((made.immutable, &made.data.unwrap()["level"]), (Some(true), &"info".to_owned()));
    let log = world.log();
    let step = |text: &str| log.find(text).unwrap_or_else(|| panic!("{text}: {log}"));
    assert!(step("done: make ConfigMap") < step("done: set the template"), "{log}");
    counts.abort();
    world.ended().await;
}

//! A Deployment of a real cluster under the real daemon: what changes there, and what goes wrong, reaches people.

use rollbackd::demo::shop::Behaviour;
use serde_json::Value;

use super::world::{SOON, Setup, World};
use crate::{
    kubernetes::{
        cluster::Cluster,
        kubelet::Fate,
        place::{Place, SOON as CONTROLLERS_SOON},
    },
    rig::{eventually, patiently},
};

fn config(cluster: &Cluster, place: &Place) -> String {
    format!(
        r#"
[kubernetes.main]
kubeconfig = "{}"
stale_after = "2s"
reopen_every = "5s"
[service.pods]
mode = "observe"
bake = "2s"
[service.pods.rollback.application.kubernetes]
namespace = "{}"
deployment = "shop"
look_every = "1s"
[service.pods.signal.health]
every = "1s"
[service.pods.signal.health.kubernetes]
"#,
        cluster.kubeconfig().display(),
        place.namespace,
    )
}

/// What the daemon says of the Deployment, once it is as wanted.
async fn pods(world: &World, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    patiently(what, SOON.max(CONTROLLERS_SOON), async || {
        let said = world.get("/v1/services/pods/demo").await;
        serde_json::from_str(&said).ok().filter(|said| is(said))
    })
    .await
}

fn is_serving(said: &Value, tag: &str) -> bool {
    let starts = |value: &Value| value.as_str().is_some_and(|v| v.starts_with(&format!("{tag}+")));
    starts(&said["serving"]) && starts(&said["running"]["version"])
}

#[tokio::test]
async fn what_happens_to_a_deployment_reaches_the_daemon_and_people() {
    let mut cluster = Cluster::start();
    let place = Place::new(&cluster).await;
    place.deploy("1.4.1").await;
    place.until_serves("1.4.1").await;
    let mut world = World::open(&Setup::with(Behaviour::Healthy, &config(&cluster, &place))).await;
    world.start().await;
    let before = pods(&world, "the first version", |said| is_serving(said, "1.4.1")).await;
    assert_eq!(before["last_change"], Value::Null, "what serves at first start is no change");

    // A broken rollout: a change with who and why, the old version serves, and it fires.
    place.set_image("crash-2", "release 42").await;
    let broken = pods(&world, "the change", |said| !said["last_change"].is_null()).await;
    let change = &broken["last_change"];
    assert!(change["to"]["version"].as_str().is_some_and(|to| to.starts_with("crash-2+")));
    assert_eq!(change["from"]["version"], before["serving"]);
    let told = &change["told"];
    assert_eq!((&told["by"], &told["cause"]), (&"pipeline".into(), &"release 42".into()));
    let fires = |said: &Value| {
        let mut triggers = said["triggers"].as_array().into_iter().flatten();
        triggers.any(|t| t["name"] == "failed-health-checks" && t["state"] == "firing")
    };
    let firing = pods(&world, "it fires", fires).await;
    assert_eq!(firing["running"]["version"], before["serving"]);
    let faults = firing["platform_faults"].to_string();
    assert!(faults.contains("crashes again and again"), "{faults}");
    assert!(!firing["incident"].is_null());

    // The API server dies: nothing is known, which is said; and then it is known again.
    cluster.tell("kill apiserver");
    let unknown = pods(&world, "unknown", |said| !said["running"]["unknown"].is_null()).await;
    assert!(unknown["running"]["unknown"].to_string().contains("cannot be watched"));
    assert!(!unknown["incident"].is_null(), "no data ends no incident");
    cluster.tell("start apiserver");
    place.set_image("1.4.1", "back").await;
    pods(&world, "the old version", |said| is_serving(said, "1.4.1")).await;

    // Nothing is ready any more.
    place.kubelet.let_be("1.4.1", Fate::NotReady);
    pods(&world, "nothing runs", |said| !said["running"]["not_running"].is_null()).await;
    let log = eventually("it is logged", SOON, async || {
        let log = world.log();
        log.contains("is watched").then_some(log)
    })
    .await;
    assert!(log.contains("cannot be watched"), "{log}");
    assert!(!log.contains("kube_client"), "a client's complaints are not for people: {log}");
}

//! A Deployment of a real cluster under the real daemon: what changes there, and what goes wrong, reaches people.

use k8s_openapi::api::apps::v1::ReplicaSet;
use kube::{Api, api::DeleteParams};
use rollbackd::demo::shop::Behaviour;
use serde_json::{Value, json};

use super::world::{SOON, Setup, World};
use crate::{
    kubernetes::{
        cluster::Cluster,
        events::happens,
        kubelet::Fate,
        place::{Place, SOON as CONTROLLERS_SOON},
    },
    rig::{eventually, patiently},
};

/// Its health, by its pods.
pub(super) const HEALTH: &str = r#"
[service.pods.signal.health]
every = "1s"
[service.pods.signal.health.kubernetes]
"#;

pub(super) fn config(cluster: &Cluster, place: &Place, mode: &str) -> String {
    service(cluster, place, mode) + HEALTH
}

/// A Deployment that is rolled back, without a signal.
pub(super) fn service(cluster: &Cluster, place: &Place, mode: &str) -> String {
    service_by(&format!("kubeconfig = \"{}\"", cluster.kubeconfig().display()), place, mode)
}

/// The same of a cluster that is reached so.
pub(super) fn service_by(access: &str, place: &Place, mode: &str) -> String {
    format!(
        r#"
[kubernetes.main]
{access}
stale_after = "2s"
reopen_every = "5s"
[service.pods]
mode = "{mode}"
bake = "2s"
[service.pods.rollback.application.kubernetes]
namespace = "{}"
deployment = "shop"
look_every = "1s"
"#,
        place.namespace,
    )
}

/// What the daemon says of the Deployment, once it is as wanted.
pub(super) async fn pods(world: &World, what: &str, is: impl Fn(&Value) -> bool) -> Value {
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
    let mut world =
        World::open(&Setup::with(Behaviour::Healthy, &config(&cluster, &place, "observe"))).await;
    world.start().await;
    let before = pods(&world, "the first version", |said| is_serving(said, "1.4.1")).await;
    assert_eq!(before["last_change"], Value::Null, "what serves at first start is no change");

    // A broken rollout: a change with who and why, the old version serves, and it fires.
    let about = ("Deployment", "shop");
    happens(&cluster, &place, about, "quota exceeded, password=hunter2").await;
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
    let is_told =
        |said: &Value| said["warnings"].to_string().contains("quota exceeded, password=[hidden]");
    pods(&world, "what the cluster warns of", is_told).await;

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

/// P1: the old pods still serve, the new ones crash.
#[tokio::test]
async fn a_release_that_crashes_is_taken_back_and_that_is_verified_and_told() {
    let cluster = Cluster::shared();
    let place = Place::new(cluster).await;
    place.deploy("1.4.1").await;
    place.until_serves("1.4.1").await;
    let setup = Setup::with(Behaviour::Healthy, &config(cluster, &place, "auto"));
    let mut world = World::open(&setup).await;
    world.start().await;
    pods(&world, "known good", |said| said["serving_is_known_good"] == true).await;

    place.set_image("crash-2", "release 42").await;
    let over = world.incident("over", |i| i.line.closed.is_some()).await;
    assert_eq!(over.line.because.as_deref(), Some("rolled back and verified"), "{over:#?}");
    assert_eq!(over.line.service.to_string(), "pods/demo");
    let after = place.until_serves("1.4.1").await.inventory;
    let called = after.told.and_then(|told| told.called).unwrap_or_default();
    assert!(
        called.starts_with("revision 3, shop-"),
        "{called}: the very first ReplicaSet, used again"
    );
    let said = pods(&world, "the rollback", |said| is_serving(said, "1.4.1")).await;
    assert_eq!(said["last_change"]["is_rollback"], true, "{said}");

    // The version is not gone back to until a person says so, and a person may name it by its number.
    let plan = format!("/v1/services/pods/demo/plan?to={}", "2");
    let refused = world.get(&plan).await;
    assert!(refused.contains("lift"), "{refused}");
    world.ended().await;
}

/// The version that served well is known by the daemon alone: neither a restart nor the cluster's own forgetting loses it.
#[tokio::test]
async fn a_good_version_is_gone_back_to_after_a_restart_and_after_the_cluster_forgot_it() {
    let cluster = Cluster::shared();
    let place = Place::new(cluster).await;
    place.deploy("1.4.1").await;
    let first = place.until_serves("1.4.1").await.inventory;
    let setup = Setup::with(Behaviour::Healthy, &config(cluster, &place, "auto"));
    let mut world = World::open(&setup).await;
    world.start().await;
    let kept = async || world.log().contains("is known good, and kept").then_some(());
    eventually("it is kept", CONTROLLERS_SOON, kept).await;

    world.crash().await;
    place.set_image("crash-2", "release 42").await;
    let sets: Api<ReplicaSet> = Api::namespaced(cluster.client().await, &place.namespace);
    place.until("both versions", |seen| seen.inventory.available.len() == 2).await;
    let set = first.available[0].held_in.as_ref().unwrap().replica_set.clone();
    sets.delete(&set, &DeleteParams::default()).await.unwrap();
    place.until("it is forgotten", |seen| seen.inventory.available.len() == 1).await;
    let over = world.incident("over", |i| i.line.closed.is_some()).await;
    assert_eq!(over.line.because.as_deref(), Some("rolled back and verified"), "{over:#?}");
    let after = place.until_serves("1.4.1").await.inventory;
    assert_eq!(after.linked, first.linked);
    world.ended().await;
}

/// One stanza for all of them: who says so is watched, and let be when nobody reads of it any more.
#[tokio::test]
async fn a_deployment_that_says_so_in_an_annotation_is_watched() {
    let cluster = Cluster::shared();
    let place = Place::new(cluster).await;
    place.deploy("1.4.1").await;
    place.until_serves("1.4.1").await;
    let found = format!(
        r#"
[kubernetes.main]
kubeconfig = "{}"
[template.pods]
mode = "observe"
bake = "2s"
[template.pods.rollback.application.kubernetes]
namespace = "{{namespace}}"
deployment = "{{deployment}}"
look_every = "1s"
[template.pods.signal.health]
every = "1s"
[template.pods.signal.health.kubernetes]
[discover.pods]
template = "pods"
every = "1s"
[discover.pods.kubernetes]
namespace = "{}"
"#,
        cluster.kubeconfig().display(),
        place.namespace,
    );
    let mut world = World::open(&Setup::with(Behaviour::Healthy, &found)).await;
    world.start().await;
    let path = format!("/v1/services/{}.shop/demo", place.namespace);
    assert!(world.get(&path).await.contains("404"), "it does not say so yet");
    place.patch(json!({ "metadata": { "annotations": { "rollbackd.dev/watch": "true" } } })).await;
    patiently("it is known good", SOON.max(CONTROLLERS_SOON), async || {
        let said: Value = serde_json::from_str(&world.get(&path).await).ok()?;
        (said["serving_is_known_good"] == true && is_serving(&said, "1.4.1")).then_some(())
    })
    .await;
}

/// The same name in the same namespace of two clusters, as of two regions.
#[tokio::test]
async fn of_two_clusters_the_one_that_was_deployed_to_is_rolled_back_and_the_other_one_not_touched()
{
    let (near, far) = (Cluster::shared(), Cluster::start());
    let place = Place::new(near).await;
    let there = Place::called(&far, &place.namespace).await;
    for place in [&place, &there] {
        place.deploy("1.4.1").await;
        place.until_serves("1.4.1").await;
    }
    let other = config(&far, &there, "auto").replace("kubernetes.main", "kubernetes.far");
    let other = other
        .replace("service.pods", "service.far")
        .replace("namespace =", "from = \"far\"\nnamespace =");
    let near_one =
        config(near, &place, "auto").replace("namespace =", "from = \"main\"\nnamespace =");
    let both = format!("{near_one}{other}");
    let mut world = World::open(&Setup::with(Behaviour::Healthy, &both)).await;
    world.start().await;
    pods(&world, "known good", |said| said["serving_is_known_good"] == true).await;
    let of_far = async || -> Value {
        serde_json::from_str(&world.get("/v1/services/far/demo").await).unwrap()
    };
    eventually("known good there", SOON, async || {
        (of_far().await["serving_is_known_good"] == true).then_some(())
    })
    .await;

    place.set_image("crash-2", "release 42").await;
    let over = world.incident("over", |i| i.line.closed.is_some()).await;
    assert_eq!(over.line.because.as_deref(), Some("rolled back and verified"), "{over:#?}");
    assert_eq!(over.line.service.to_string(), "pods/demo");
    place.until_serves("1.4.1").await;
    let untouched = there.deployments.get("shop").await.unwrap();
    assert_eq!(untouched.metadata.generation, Some(1));
    let said = of_far().await;
    assert!(said["incident"].is_null() && said["last_change"].is_null(), "{said}");
    world.ended().await;
}

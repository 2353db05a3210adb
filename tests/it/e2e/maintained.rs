//! Maintenance mode of a real cluster under the real daemon: killed while it is on, and with no API server when it is to go.

use std::{fs, path::Path};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use rollbackd::demo::shop::Behaviour;
use rustix::process::Signal;

use super::{
    deployments::{config, pods},
    stops::has_ended,
    world::{SOON, Setup, World},
};
use crate::{
    kubernetes::{
        cluster::Cluster,
        place::{Place, SOON as CONTROLLERS_SOON},
    },
    rig::patiently,
};

/// Maintenance mode, and a step after it that takes until it is told how to end.
fn maintained(cluster: &Cluster, place: &Place, dir: &Path) -> String {
    let map = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: maintenance, namespace: {} }}\ndata: {{ html: soon }}\n",
        place.namespace
    );
    fs::write(dir.join("maintenance.yaml"), map).expect("a manifest");
    let more = format!(
        r#"
[service.pods.rollback.maintenance.kubernetes]
manifest = "{0}/maintenance.yaml"
timeout = "2s"
[service.pods.rollback.before.drain]
argv = ["/bin/sh", "-c", """
    touch {0}/drains
    n=0
    while [ ! -e {0}/go-on ] && [ $n -lt 600 ]; do sleep 0.1; n=$((n + 1)); done
    exit $(cat {0}/go-on)
"""]
idempotent = true
timeout = "70s"
"#,
        dir.display()
    );
    config(cluster, place, "auto") + &more
}

/// A rollback that has switched it on, and goes no further.
async fn on(cluster: &Cluster, dir: &Path) -> (Place, World) {
    let place = Place::new(cluster).await;
    place.deploy("1.4.1").await;
    place.until_serves("1.4.1").await;
    let setup = Setup::with(Behaviour::Healthy, &maintained(cluster, &place, dir));
    let mut world = World::open(&setup).await;
    world.start().await;
    pods(&world, "known good", |said| said["serving_is_known_good"] == true).await;
    place.set_image("crash-2", "release 42").await;
    patiently("it drains", SOON, async || dir.join("drains").exists().then_some(())).await;
    (place, world)
}

async fn is_there(cluster: &Cluster, place: &Place) -> bool {
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client().await, &place.namespace);
    maps.get_opt("maintenance").await.expect("the API server answers").is_some()
}

#[tokio::test]
async fn a_daemon_that_is_killed_while_it_is_on_goes_on_with_the_rollback_and_switches_it_off() {
    let cluster = Cluster::shared();
    let dir = tempfile::tempdir().expect("a directory");
    let (place, mut world) = on(cluster, dir.path()).await;
    world.stage.kill_daemon().expect("the daemon is killed");
    assert!(is_there(cluster, &place).await, "nobody is there to switch it off");
    world.start().await;
    let said = pods(&world, "it is known", |said| !said["maintenance"].is_null()).await;
    assert!(said["maintenance"][0].to_string().contains("until the rollback ends"), "{said}");
    fs::write(dir.path().join("go-on"), "0").expect("a file");
    let over = world.incident("over", |i| i.line.closed.is_some()).await;
    assert_eq!(over.line.because.as_deref(), Some("rolled back and verified"), "{over:#?}");
    assert!(!is_there(cluster, &place).await);
    let report = world.get(&format!("/v1/incidents/{}/report", over.line.id)).await;
    assert!(report.contains("Maintenance mode was on from"), "{report}");
    world.ended().await;
}

/// Whoever stops it may not start it again.
#[tokio::test]
async fn a_daemon_that_is_stopped_while_it_is_on_pages_that_it_stays_and_what_to_type() {
    let cluster = Cluster::shared();
    let dir = tempfile::tempdir().expect("a directory");
    let (place, mut world) = on(cluster, dir.path()).await;
    world.signal(Signal::TERM);
    let typed = format!("kubectl delete configmaps maintenance -n {} (in main)", place.namespace);
    patiently("it is paged", SOON, async || {
        let all = world.told.all();
        let is_it = |text: &str| text.contains("was stopped while") && text.contains(&typed);
        all.iter().any(|notice| is_it(notice.text("text"))).then_some(())
    })
    .await;
    fs::write(dir.path().join("go-on"), "0").expect("a file");
    has_ended(&mut world).await;
    assert!(is_there(cluster, &place).await);
    world.start().await;
    world.incident("over", |i| i.line.closed.is_some()).await;
    assert!(!is_there(cluster, &place).await, "it went on");
    world.ended().await;
}

#[tokio::test]
async fn where_no_api_server_answers_when_it_is_to_go_people_are_paged_and_it_goes_when_one_does() {
    let mut cluster = Cluster::start();
    let dir = tempfile::tempdir().expect("a directory");
    let (place, world) = on(&cluster, dir.path()).await;
    cluster.tell("kill apiserver");
    fs::write(dir.path().join("go-on"), "1").expect("a file");
    let typed = format!("kubectl delete configmaps maintenance -n {} (in main)", place.namespace);
    let said = pods(&world, "people are told", |said| {
        said["maintenance"].as_array().is_some_and(|lines| lines.contains(&typed.clone().into()))
            && world.log().contains("maintenance mode is still on")
    });
    said.await;
    world.all_told().await;
    cluster.tell("start apiserver");
    patiently("it is off", SOON.max(CONTROLLERS_SOON), async || {
        let off = world.log().contains("maintenance mode is off");
        (off && !is_there(&cluster, &place).await).then_some(())
    })
    .await;
    world.ended().await;
}

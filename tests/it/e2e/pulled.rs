//! Images that a real registry has, and has no more, under the real daemon.

use rollbackd::{demo::shop::Behaviour, domain::guard::Guard, http::views::IncidentView};

use super::{
    deployments::{config, pods},
    world::{SOON, Setup, World},
};
use crate::{
    kubernetes::{cluster::Cluster, kubelet::image_id, place::Place},
    rig::{Registry, eventually},
};

/// Answers are believed for a second.
fn impatient(registry: &Registry) -> String {
    let at = registry.authority();
    format!("[kubernetes.main.registries]\nkeep = \"1s\"\nplain_http = [\"{at}\"]\n")
}

/// Why nothing is done by itself.
async fn refused(world: &World) -> String {
    let refusal = |it: &IncidentView| {
        let guards = it.decision.as_ref().map(|it| it.guards.as_slice()).unwrap_or_default();
        let of_images = guards.iter().find(|it| it.guard == Guard::NowhereSafe)?;
        of_images.refusal().map(str::to_owned)
    };
    let refused = world.incident("a person is asked", |it| refusal(it).is_some()).await;
    refusal(&refused).unwrap_or_default()
}

/// A version whose image a registry has serves, under a daemon; and the digest of that image.
async fn opened() -> (Registry, Place, World, String) {
    let cluster = Cluster::shared();
    let registry = Registry::open().await;
    let place = Place::new(cluster).await;
    let good = registry.push("shop", "1.4.1", "good").await;
    registry.push("shop", "crash-2", "bad").await;
    place.deploy_image(&registry.image("shop:1.4.1")).await;
    place.until_serves("1.4.1").await;
    let text = config(cluster, &place, "auto") + &impatient(&registry);
    let mut world = World::open(&Setup::with(Behaviour::Healthy, &text)).await;
    world.start().await;
    (registry, place, world, good)
}

#[tokio::test]
async fn what_a_registry_has_no_more_is_told_before_there_is_need_and_not_gone_back_to_by_itself() {
    let (registry, place, world, digest) = opened().await;
    pods(&world, "known good", |said| said["serving_is_known_good"] == true).await;

    registry.delete("shop", &digest).await;
    let gone = format!("has no {} any more", registry.image("shop:1.4.1"));
    let told = async || world.log().contains(&gone).then_some(());
    eventually("it is told", SOON, told).await;
    place.set_whole_image(&registry.image("shop:crash-2"), "release 42").await;
    let why = refused(&world).await;
    assert!(why.contains(&gone) && why.contains("only on nodes that still hold it"), "{why}");
    let plan = world.get("/v1/services/pods/demo/plan").await;
    assert!(plan.contains(&gone), "there is one, for people: {plan}");
    let said = pods(&world, "nothing was done", |_| true).await;
    assert!(said["last_change"]["is_rollback"] != true, "{said}");
    assert_eq!(registry.push("shop", "1.4.1", "good").await, digest);
    let is_back = |said: &serde_json::Value| said["last_change"]["is_rollback"] == true;
    pods(&world, "it is there again, and gone back to", is_back).await;
    world.ended().await;
}

/// By its tag it is the version that served well, and it is not.
#[tokio::test]
async fn a_tag_that_was_pushed_again_is_not_gone_back_to_by_itself() {
    let (registry, place, world, good) = opened().await;
    let id = image_id(&registry.image("shop:1.4.1"));
    let ran = id.split_once('@').map(|(_, digest)| digest.to_owned()).unwrap();
    let is_kept = |said: &serde_json::Value| {
        let images = said["images"].to_string();
        images.contains(&good) && images.contains(&ran)
    };
    pods(&world, "known good, with its images", is_kept).await;

    let other = registry.push("shop", "1.4.1", "anything else").await;
    place.set_whole_image(&registry.image("shop:crash-2"), "release 42").await;
    let why = refused(&world).await;
    assert!(why.contains("stands for another image than when 1.4.1+"), "{why}");
    assert!(why.contains(&other[..19]) && why.contains(&good[..19]), "{why}");
    let plan = world.get("/v1/services/pods/demo/plan").await;
    assert!(plan.contains(&other) && plan.contains(&good), "{plan}");
    world.ended().await;
}

//! What is seen of a Deployment that people and controllers change.

use rollbackd::{
    domain::inventory::{Pods, Serving},
    sources::kubernetes::{self, Kind, Standing, Watched},
};
use serde_json::json;

use super::{
    cluster::Cluster,
    kubelet::Fate,
    place::{Place, SOON, options},
};
use crate::rig::eventually;

#[tokio::test]
async fn a_broken_rollout_is_seen_with_its_reason_and_what_serves_is_still_the_old_version() {
    let place = Place::new(Cluster::shared()).await;
    place.deploy("1.4.1").await;
    let before = place.until_serves("1.4.1").await;
    place.set_image("crash-2", "release 42").await;
    let broken = place
        .until("the crash loop", |seen| matches!(seen.standing, Standing::Unwell(_)))
        .await
        .inventory;
    let linked = broken.linked.unwrap();
    assert!(linked.version.starts_with("crash-2+"), "{linked}");
    assert_eq!(broken.running, before.inventory.running);
    let told = broken.told.unwrap();
    assert_eq!((told.by.as_deref(), told.cause.as_deref()), (Some("pipeline"), Some("release 42")));
    assert_eq!(told.runs, ["registry.invalid/shop:crash-2"]);
    let names = ["exit code 1", "ProgressDeadlineExceeded"];
    let said = |seen: &kubernetes::Seen| seen.inventory.faults.join("; ");
    place.until("both reasons", |seen| names.iter().all(|name| said(seen).contains(name))).await;
}

#[tokio::test]
async fn an_image_that_is_missing_is_seen_and_going_back_is_the_old_version_again() {
    let place = Place::new(Cluster::shared()).await;
    place.deploy("1.4.1").await;
    let before = place.until_serves("1.4.1").await.inventory;
    place.set_image("missing-2", "release 42").await;
    let unwell = |standing: &Standing| matches!(standing, Standing::Unwell(why) if why.contains("ImagePullBackOff"));
    place.until("the missing image", |seen| unwell(&seen.standing)).await;
    place.set_image("1.4.1", "back").await;
    let after = place.until("well again", |seen| seen.standing == Standing::Well).await.inventory;
    assert_eq!(after.linked, before.linked);
}

#[tokio::test]
async fn scaling_and_restarting_change_no_version() {
    let place = Place::new(Cluster::shared()).await;
    place.deploy("1.4.1").await;
    let before = place.until_serves("1.4.1").await.inventory;
    place.patch(json!({ "spec": { "replicas": 5 } })).await;
    let pods = || place.watched.counts().into_iter().find(|(kind, _)| *kind == Kind::Pods);
    eventually("five pods", SOON, async || (pods()?.1 == 5).then_some(())).await;
    assert_eq!(place.until_serves("1.4.1").await.inventory.linked, before.linked);
    let restarted = json!({ "kubectl.kubernetes.io/restartedAt": "2026-11-27T12:00:00Z" });
    place
        .patch(json!({ "spec": { "template": { "metadata": { "annotations": restarted } } } }))
        .await;
    let sets = || place.watched.counts().into_iter().find(|(kind, _)| *kind == Kind::ReplicaSets);
    eventually("two ReplicaSets", SOON, async || (sets()?.1 == 2).then_some(())).await;
    eventually("five pods of the second", SOON, async || (pods()?.1 == 5).then_some(())).await;
    let after = place.until_serves("1.4.1").await.inventory;
    assert_eq!(after.linked, before.linked);
    assert_eq!(after.available.len(), 1);
}

#[tokio::test]
async fn pods_that_stop_being_ready_are_an_outage_and_slow_ones_are_not_yet_there() {
    let place = Place::new(Cluster::shared()).await;
    place.deploy("1.4.1").await;
    place.until_serves("1.4.1").await;
    place.kubelet.let_be("1.4.1", Fate::NotReady);
    let gone = place.until("the outage", |seen| matches!(seen.standing, Standing::Gone(_))).await;
    assert!(matches!(gone.inventory.running, Serving::NotRunning(_)));
    place.kubelet.let_be("1.4.1", Fate::Ready);
    place.until_serves("1.4.1").await;
    place.set_image("slow-2", "release 42").await;
    let slow = place
        .until("the rollout begins", |seen| {
            seen.inventory.linked.as_ref().is_some_and(|it| it.version.starts_with("slow-2+"))
        })
        .await;
    assert_eq!(slow.standing, Standing::Well, "it has only begun");
    place.kubelet.let_be("slow-2", Fate::Ready);
    place.until_serves("slow-2").await;
}

/// What a verification looks at after a rollback.
#[tokio::test]
async fn pods_of_the_version_are_counted_with_their_restarts() {
    let place = Place::new(Cluster::shared()).await;
    place.deploy("1.4.1").await;
    place.until_serves("1.4.1").await;
    let pods = |seen: &kubernetes::Seen| seen.inventory.deployed.as_ref().and_then(|it| it.pods);
    let three = Pods { there: 3, ready: 3, ..Pods::default() };
    place.until("all three are ready", |seen| pods(seen) == Some(three)).await;
    place.kubelet.let_be("1.4.1", Fate::Restarted);
    let again = place
        .until("each was restarted", |seen| pods(seen).is_some_and(|pods| pods.restarts == 3))
        .await;
    let again = pods(&again).unwrap();
    assert!(again.were_restarted_since(three) && again.restarted_at.is_some(), "{again:?}");
    assert_eq!((again.there, again.ready), (3, 3));
    // Those of another version are others, and the old ones are none of its.
    place.set_image("slow-2", "release 42").await;
    let none_ready = |seen: &kubernetes::Seen| {
        let of_it =
            seen.inventory.linked.as_ref().is_some_and(|l| l.version.starts_with("slow-2+"));
        of_it && pods(seen).is_some_and(|pods| pods.there > 0)
    };
    let other = pods(&place.until("a pod of the next", none_ready).await).unwrap();
    assert_eq!((other.ready, other.restarts), (0, 0));
}

#[tokio::test]
async fn an_api_server_that_dies_and_comes_back_makes_everything_unknown_and_then_known_again() {
    let mut cluster = Cluster::start();
    let place = Place::new(&cluster).await;
    place.deploy("1.4.1").await;
    place.until_serves("1.4.1").await;
    cluster.tell("kill apiserver");
    let unknown =
        place.until("nothing is known", |seen| matches!(seen.standing, Standing::Unknown(_))).await;
    assert_eq!(unknown.inventory.linked, None);
    let Standing::Unknown(why) = unknown.standing else { unreachable!("it was waited for") };
    assert!(why.contains("cannot be watched: ") && why.contains("refused"), "{why}");
    cluster.tell("start apiserver");
    place.until_serves("1.4.1").await;
    // Nothing was new over the watches, and it is known all the same.
    place.set_image("crash-2", "release 42").await;
    place.until("the crash loop", |seen| matches!(seen.standing, Standing::Unwell(_))).await;
}

#[tokio::test]
async fn who_may_not_look_is_told_and_sees_nothing() {
    let cluster = Cluster::shared();
    let place = Place::new(cluster).await;
    place.deploy("1.4.1").await;
    place.until_serves("1.4.1").await;
    let watched = Watched::new(options(cluster, &place.namespace, Some("nobody")));
    let watching = tokio::spawn(kubernetes::watch(watched.clone()));
    let why = eventually("a refusal", SOON, async || {
        watched.unknown().filter(|why| why.contains("forbidden"))
    })
    .await;
    assert!(why.contains("cannot list resource"), "{why}");
    let seen = watched.see(&place.key(), None, super::place::now());
    assert_eq!(seen.inventory.linked, None);
    watching.abort();
}

//! An API server that has too much to do, is slow, forgets where a watch was, or does not know the daemon any more; and
//! what vanishes from it in the middle of a rollback.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use axum::http::{HeaderMap, Method};
use k8s_openapi::api::{apps::v1::ReplicaSet, core::v1::Namespace};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use rollbackd::{
    domain::run::Outcome,
    sources::kubernetes::{self, Kind, Standing, Watched},
    units::Span,
};
use serde_json::json;

use super::{
    between::{Asked, Between, Fault, expired},
    cluster::Cluster,
    place::{Place, SOON, now},
    rights::serving,
    undo::{Hands, Planned, broken, image_of, refusal},
};
use crate::rig::eventually;

/// Who carries out, through what stands between.
fn hands(place: &Place, cluster: &Cluster, between: &Between) -> Hands {
    let hands = Hands::new(place, cluster, None);
    let reached = between.options(&place.namespace);
    hands.options.clusters.adopt([("main".to_owned(), reached)].into());
    hands
}

fn is_patch(asked: &Asked) -> bool {
    asked.method == Method::PATCH
}

fn busy(seconds: &str) -> Fault {
    let headers: HeaderMap =
        [("retry-after".parse().unwrap(), seconds.parse().unwrap())].into_iter().collect();
    Fault::Answer(429, headers, "Too many requests, please try again later.".to_owned())
}

/// As an API server that sheds load answers: in plain text, with a header.
#[tokio::test]
async fn an_api_server_that_has_too_much_to_do_is_left_alone_for_as_long_as_it_says() {
    let cluster = Cluster::shared();
    let place = Place::new(cluster).await;
    let plan = broken(&place).await;
    let between = Between::start(cluster).await;
    let hands = hands(&place, cluster, &between);
    let patches = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&patches);
    between.lets(move |asked| match is_patch(asked) {
        true if count.fetch_add(1, Ordering::Relaxed) == 0 => busy("2"),
        true | false => Fault::None,
    });
    let begun = Instant::now();
    let report = hands.undo(&plan).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    assert!(begun.elapsed() >= Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(patches.load(Ordering::Relaxed), 2, "and no more often than that");
    // Longer than it may take: it is told, and nothing is begun that could not be seen to its end.
    between.lets(|_| busy("60"));
    let begun = Instant::now();
    let report = hands.undo(&plan).await;
    let (why, retry) = refusal(&report);
    assert!(retry && why.contains("has too much to do: Too many requests"), "{why}");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

/// What may have been done is never done again unseen: kube's client repeats by itself unless it is told not to.
#[tokio::test]
async fn a_patch_whose_answer_is_lost_is_not_repeated_before_it_was_looked_whether_it_is_there() {
    let cluster = Cluster::shared();
    let place = Place::new(cluster).await;
    let plan = broken(&place).await;
    let between = Between::start(cluster).await;
    let hands = hands(&place, cluster, &between);
    let heard = Arc::new(std::sync::Mutex::new(vec![]));
    let hears = Arc::clone(&heard);
    between.lets(move |asked| {
        hears.lock().unwrap().push(asked.method.clone());
        match is_patch(asked) {
            true => {
                Fault::status(504, "Timeout", "request did not complete within requested timeout")
            }
            false => Fault::None,
        }
    });
    let report = hands.carry_out(plan.undo(), Span::seconds(3), false).await;
    assert!(matches!(report.outcome, Outcome::Unknown { .. }), "{report:?}");
    let heard = heard.lock().unwrap().clone();
    let is_repeated = heard.windows(2).any(|two| two == [Method::PATCH, Method::PATCH]);
    assert!(heard.contains(&Method::PATCH) && !is_repeated, "{heard:?}");
}

#[tokio::test]
async fn a_slow_api_server_takes_no_longer_than_the_step_may_and_is_told() {
    let cluster = Cluster::shared();
    let place = Place::new(cluster).await;
    let plan = broken(&place).await;
    let between = Between::start(cluster).await;
    let hands = hands(&place, cluster, &between);
    between.lets(|_| Fault::Silent);
    let begun = Instant::now();
    let report = hands.carry_out(plan.undo(), Span::seconds(2), false).await;
    let (why, retry) = refusal(&report);
    assert!(retry && why.contains("looking at the Deployment: no answer within"), "{why}");
    let unseen = hands.rollout(&plan, Span::seconds(2)).await;
    let Outcome::Unknown { why } = &unseen.outcome else { panic!("{unseen:?}") };
    assert!(why.contains("could not be seen: no answer within"), "{why}");
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_eq!(image_of(&place).await, super::place::image("crash-2"), "nothing was done");
}

/// Tokens are projected into a pod and replaced there before they expire.
#[tokio::test]
async fn a_token_that_expired_is_told_and_read_anew_for_the_next_try_and_by_the_watches() {
    let cluster = Cluster::shared();
    let place = Place::new(cluster).await;
    let plan = broken(&place).await;
    let between = Between::start(cluster).await;
    let hands = hands(&place, cluster, &between);
    let watched = Watched::new(between.options(&place.namespace));
    let watching = tokio::spawn(kubernetes::watch(watched.clone()));
    let unknown = || watched.see(&place.key(), None, now()).inventory.linked.is_none();
    eventually("it is seen", SOON, async || (!unknown()).then_some(())).await;
    let only = |token: &'static str| {
        move |asked: &Asked| match asked.token == token {
            true => Fault::None,
            false => Fault::status(401, "Unauthorized", "Unauthorized"),
        }
    };
    between.lets(only("second"));
    let report = hands.undo(&plan).await;
    let (why, retry) = refusal(&report);
    assert!(retry && why.contains("is its credential expired?"), "{why}");
    // On a busy machine another reason may come first.
    eventually("nothing is known any more, and why", SOON, async || {
        watched.unknown().filter(|why| why.contains("Unauthorized"))
    })
    .await;
    between.say_token("second");
    assert_eq!(hands.undo(&plan).await.outcome, Outcome::Done);
    eventually("it is seen again", SOON, async || (!unknown()).then_some(())).await;
    watching.abort();
}

/// After a compaction, or after a long time without a connection.
#[tokio::test]
async fn a_watch_that_is_told_that_it_is_too_far_behind_lists_again_and_misses_and_doubles_nothing()
{
    let cluster = Cluster::shared();
    let place = serving(cluster).await;
    let between = Between::start(cluster).await;
    let watched = Watched::new(between.options(&place.namespace));
    let watching = tokio::spawn(kubernetes::watch(watched.clone()));
    let counts = || watched.counts().map(|(_, count)| count);
    eventually("all is seen", SOON, async || (counts() == [1, 1, 3]).then_some(())).await;

    // From now on no watch goes on: not by an event that says so, nor by a status.
    let nth = Arc::new(AtomicU32::new(0));
    let asked_so_far = Arc::clone(&nth);
    between.lets(move |asked| match asked.is_watch() {
        true if nth.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) => {
            Fault::Answer(200, HeaderMap::new(), expired())
        }
        true => Fault::status(410, "Expired", "too old resource version: 1 (2)"),
        false => Fault::None,
    });
    // Until then those that were open go on.
    let all_told = 2 * u32::try_from(Kind::ALL.len()).unwrap();
    let told = || asked_so_far.load(Ordering::Relaxed) >= all_told;
    eventually("each is told so", SOON, async || told().then_some(())).await;
    // What it would have been told meanwhile: pods come and go, and another version is set.
    place.patch(json!({ "spec": { "replicas": 5 } })).await;
    place.set_image("1.4.2", "release 42").await;
    place.until_serves("1.4.2").await;
    let seen = eventually("the next version, by lists alone", SOON, async || {
        let seen = watched.see(&place.key(), None, now());
        let version = seen.inventory.linked.as_ref().map(|linked| linked.version.clone());
        let is_next = version.is_some_and(|version| version.starts_with("1.4.2+"));
        (is_next && seen.inventory.is_settled()).then_some(seen)
    })
    .await;
    assert_eq!(seen.standing, Standing::Well);
    assert_eq!(seen.inventory.available.len(), 2, "each version once: {seen:?}");
    between.lets(|_| Fault::None);
    eventually("as many as there are", SOON, async || (counts() == [1, 2, 5]).then_some(())).await;
    watching.abort();
}

/// A rollout that is waited for, of pods that do not come.
async fn waits(
    place: &Place,
    plan: &Planned,
    hands: &Hands,
    meanwhile: impl Future<Output = ()>,
) -> String {
    place.kubelet.let_be("1.4.1", super::kubelet::Fate::Slow);
    assert_eq!(hands.undo(plan).await.outcome, Outcome::Done);
    let (report, ()) = tokio::join!(hands.rollout(plan, Span::minutes(3)), meanwhile);
    let (why, retry) = refusal(&report);
    assert!(!retry, "{why}");
    why.to_owned()
}

#[tokio::test]
async fn a_deployment_that_is_deleted_in_the_middle_of_its_rollback_is_named_and_not_waited_for() {
    let cluster = Cluster::shared();
    let place = Place::new(cluster).await;
    let plan = broken(&place).await;
    let hands = Hands::new(&place, cluster, None);
    let delete = async {
        place.deployments.delete("shop", &DeleteParams::background()).await.unwrap();
    };
    let why = waits(&place, &plan, &hands, delete).await;
    assert!(why.contains("it is not there: deployments.apps \"shop\" not found"), "{why}");
}

#[tokio::test]
async fn a_namespace_that_goes_in_the_middle_of_a_rollback_is_a_deployment_that_is_gone() {
    let cluster = Cluster::shared();
    let place = Place::new(cluster).await;
    let plan = broken(&place).await;
    let hands = Hands::new(&place, cluster, None);
    let namespaces: Api<Namespace> = Api::all(cluster.client().await);
    let delete = async {
        namespaces.delete(&place.namespace, &DeleteParams::default()).await.unwrap();
    };
    let why = waits(&place, &plan, &hands, delete).await;
    assert!(why.contains("it is not there: deployments.apps \"shop\" not found"), "{why}");
    let seen = place.until("it is gone", |seen| seen.inventory.linked.is_none()).await;
    let Standing::Unknown(why) = seen.standing else { panic!("{seen:?}") };
    assert_eq!(why, format!("there is no Deployment {}/shop", place.namespace));
    let report = hands.undo(&plan).await;
    assert!(refusal(&report).0.contains("not found"), "{report:?}");
}

/// What people and programs write there is anything at all.
#[tokio::test]
async fn annotations_that_make_no_sense_keep_nothing_from_being_seen_and_set_back() {
    let cluster = Cluster::shared();
    let place = Place::new(cluster).await;
    let plan = broken(&place).await;
    let strange = json!({
        "argocd.argoproj.io/tracking-id": ":::/", "meta.helm.sh/release-name": "",
        "rollbackd.dev/rolled-back": " by run ", "rollbackd.dev/suspended": "{",
        "kubernetes.io/change-cause": "x".repeat(20_000),
    });
    place.patch(json!({ "metadata": { "annotations": strange } })).await;
    let sets: Api<ReplicaSet> = Api::namespaced(cluster.client().await, &place.namespace);
    let name = plan.replica_set.as_deref().unwrap();
    let number = json!({ "metadata": { "annotations": { "deployment.kubernetes.io/revision-history": "one,,-3" } } });
    sets.patch(name, &PatchParams::default(), &Patch::Merge(number)).await.unwrap();
    let seen = place.until("it is still seen", |seen| seen.inventory.linked.is_some()).await;
    assert_eq!(seen.inventory.available.len(), 2, "{seen:?}");
    let hands = Hands::new(&place, cluster, None);
    assert_eq!(hands.undo(&plan).await.outcome, Outcome::Done);
    place.until_serves("1.4.1").await;
}

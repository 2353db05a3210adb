//! What the logs of a Deployment's pods say, through a real API server.

use rollbackd::{
    sources::kubernetes::{self, Asking, Lines, Question, Standing, Watched},
    units::Span,
};
use serde_json::json;

use super::{
    cluster::Cluster,
    kustomization::{Done, deploy},
    node::Node,
    place::{Place, SOON},
    rights::{Account, serving},
};
use crate::rig::eventually;

fn lines() -> Question {
    Question::Lines(Lines {
        patterns: vec!["^FATAL".to_owned(), "panic".to_owned()],
        lines: 200,
        within: Span::minutes(1),
        bytes_max: 1000,
        pods_max: 2,
        container: None,
    })
}

/// A Deployment whose pods are on a node that tells their logs.
pub(crate) async fn on_a_node(cluster: &Cluster) -> (Place, Node) {
    let place = serving(cluster).await;
    let before = place.seen().inventory.linked;
    let name = format!("node-of-{}", place.namespace);
    let node = Node::start(&cluster.client().await, name).await;
    let on_it = json!({ "nodeName": node.name });
    place.patch(json!({ "spec": { "template": { "spec": on_it } } })).await;
    let moved = |seen: &kubernetes::Seen| {
        let is_other = seen.inventory.linked != before && seen.inventory.is_settled();
        let pods = seen.inventory.deployed.as_ref().and_then(|it| it.pods);
        is_other && seen.standing == Standing::Well && pods.is_some_and(|pods| pods.ready == 3)
    };
    place.until("its pods are on the node", moved).await;
    (place, node)
}

#[tokio::test]
async fn lines_that_say_that_something_is_wrong_are_counted_in_the_last_of_some_pods() {
    let cluster = Cluster::shared();
    let (place, node) = on_a_node(cluster).await;
    let mut asking = Asking::new(place.watched.clone(), place.key(), lines());
    node.says(200, "all is well\nno FATAL here\n");
    let clean = asking.poll().await;
    assert_eq!(clean.value, Some(0.0), "{clean:?}");
    let asked = node.asked();
    assert_eq!(asked.len(), 2, "of so many pods and no more: {asked:?}");
    let bounds = ["tailLines=200", "sinceSeconds=60", "limitBytes=1000"];
    assert!(bounds.iter().all(|bound| asked[0].contains(bound)), "{asked:?}");

    node.says(200, "FATAL: cannot log in, password=hunter2\nall is well\n");
    let bad = asking.poll().await;
    assert_eq!(bad.value, Some(2.0), "one of each");
    let note = bad.note.unwrap();
    assert!(note.contains("`FATAL: cannot log in, password=[hidden]`"), "{note}");
    assert!(!note.contains("hunter2"), "{note}");

    node.says(200, &"x".repeat(1000));
    let cut = asking.poll().await;
    assert!(cut.value.is_none() && cut.note.as_ref().unwrap().contains("1000 bytes"), "{cut:?}");
    node.says(500, "the disk is gone");
    let unread = asking.poll().await;
    let why = unread.note.unwrap();
    assert!(unread.value.is_none() && why.contains("could not be read"), "{why}");
    drop(node);
    let unread = asking.poll().await;
    assert_eq!(unread.value, None, "nobody listens there: {unread:?}");
}

#[tokio::test]
async fn who_may_not_read_logs_knows_nothing_of_them_until_the_right_is_granted() {
    let cluster = Cluster::shared();
    let (place, node) = on_a_node(cluster).await;
    node.says(200, "all is well\n");
    let account = Account::with("rights/observe", cluster, &place).await;
    let watched = Watched::new(account.options());
    let watching = tokio::spawn(kubernetes::watch(watched.clone()));
    let known = async || watched.pods_of(&place.key()).ok().filter(|pods| pods.len() == 3);
    eventually("its pods are seen", SOON, known).await;
    let mut asking = Asking::new(watched, place.key(), lines());
    let forbidden = asking.poll().await;
    let why = forbidden.note.unwrap();
    assert!(forbidden.value.is_none() && why.contains("not permitted to read it"), "{why}");
    deploy(&cluster.client().await, "rights/logs", &place.namespace, Done::Really).await;
    let read = async || asking.clone().poll().await.value;
    assert_eq!(eventually("they are read", SOON, read).await, 0.0);
    watching.abort();
}

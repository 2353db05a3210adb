//! What a real cluster warns of a Deployment, in events as controllers and kubelets write them.

use hyper::Method;
use rollbackd::sources::kubernetes::{NoEvents, Watched};
use serde_json::json;

use super::{
    cluster::Cluster,
    kustomization::ask,
    place::{Place, SOON},
    rights::{Account, serving},
};
use crate::rig::eventually;

/// An event of an object of the place, as a kubelet writes it.
pub(crate) async fn happens(cluster: &Cluster, place: &Place, about: (&str, &str), says: &str) {
    event(cluster, place, about, ("Warning", says)).await;
}

async fn event(
    cluster: &Cluster,
    place: &Place,
    (kind, name): (&str, &str),
    (weight, says): (&str, &str),
) {
    let namespace = &place.namespace;
    let now = jiff::Timestamp::now().to_string();
    let event = json!({
        "apiVersion": "v1", "kind": "Event", "metadata": { "generateName": "event-" },
        "involvedObject": { "kind": kind, "name": name, "namespace": namespace },
        "type": weight, "reason": "Unhealthy", "message": says, "count": 3,
        "firstTimestamp": now, "lastTimestamp": now, "source": { "component": "kubelet" },
    });
    let at = format!("/api/v1/namespaces/{namespace}/events");
    let answer = ask(&cluster.client().await, Method::POST, &at, &event).await;
    assert_eq!(answer.code, 201, "{answer:?}");
}

#[tokio::test]
async fn what_a_deployments_own_objects_are_warned_of_is_told_and_nothing_else() {
    let cluster = Cluster::shared();
    let place = serving(cluster).await;
    let all = async || Some(place.watched.warned_of(&place.key())).filter(|it| it.len() == 5);
    let about = eventually("itself, its ReplicaSet and three pods", SOON, all).await;
    let pod = about[4].name.as_str();
    happens(cluster, &place, ("Pod", pod), "probe failed: token=hunter2").await;
    happens(cluster, &place, ("Pod", "somebody-else"), "no room").await;
    event(cluster, &place, ("Pod", pod), ("Normal", "Pulled")).await;
    let account = Account::with("rights/observe", cluster, &place).await;
    let found = Watched::new(account.options()).warnings(&place.key(), &about).await.unwrap();
    let of_us: Vec<_> = found.iter().filter(|it| it.reason == "Unhealthy").collect();
    assert_eq!(of_us.len(), 1, "{found:?}");
    let said = of_us[0].in_words();
    let wanted = format!("Pod {pod}: Unhealthy, 3 times: probe failed: token=[hidden]");
    assert!(said.ends_with(&wanted), "{said}");
}

#[tokio::test]
async fn who_may_not_list_events_is_told_that() {
    let cluster = Cluster::shared();
    let place = serving(cluster).await;
    let account = Account::without("events", cluster, &place).await;
    let about = place.watched.warned_of(&place.key());
    let refused = Watched::new(account.options()).warnings(&place.key(), &about).await.unwrap_err();
    assert!(matches!(&refused, NoEvents::Forbidden(why) if why.contains("events")), "{refused:?}");
}

//! How much is kept of a large cluster.

use rollbackd::{
    sources::kubernetes::{Cluster, Key, Kind, Said, Standing},
    units::UnixMs,
};
use serde_json::Value;

const DEPLOYMENTS: u32 = 5_000;
const PODS_OF_EACH: u32 = 5;
/// In all, with two ReplicaSets of each Deployment: of the 250 MB that a daemon may take.
const BYTES_MAX: i64 = 40_000_000;

/// Another object like a recorded one: with a name, a uid and an owner of its own.
fn like(recorded: &Value, name: &str, uid: u32, owner: Option<u32>) -> Value {
    let mut object = recorded.clone();
    let meta = &mut object["metadata"];
    meta["name"] = name.into();
    meta["uid"] = text(uid).into();
    if let Some(owner) = owner {
        meta["ownerReferences"][0]["uid"] = text(owner).into();
    }
    object
}

fn text(uid: u32) -> String {
    format!("00000000-0000-4000-8000-{uid:012}")
}

fn told<K: serde::de::DeserializeOwned>(object: Value) -> Said<K> {
    Said::Is(serde_json::from_value(object).expect("as it was recorded"))
}

fn filled(recorded: &[Value]) -> Cluster {
    let of = |kind: &str| recorded.iter().find(|object| object["kind"] == kind).expect("one");
    let (deployment, set, pod) = (of("Deployment"), of("ReplicaSet"), of("Pod"));
    let mut cluster = Cluster::default();
    for number in 0..DEPLOYMENTS {
        let name = format!("checkout-{number}");
        let uid = number * 100;
        cluster.deployment(told(like(deployment, &name, uid, None)));
        for nth in 1..3 {
            let of_set = format!("{name}-5f4d665b4{nth}");
            cluster.replica_set(told(like(set, &of_set, uid + nth, Some(uid))));
        }
        for nth in 0..PODS_OF_EACH {
            let of_pod = format!("{name}-5f4d665b41-s66h{nth}");
            cluster.pod(told(like(pod, &of_pod, uid + 10 + nth, Some(uid + 1))));
        }
    }
    cluster
}

#[test]
fn twenty_five_thousand_pods_are_kept_in_little_memory() {
    let recorded = include_str!("../../fixtures/kubernetes/healthy.json");
    let recorded: Vec<Value> = serde_json::from_str(recorded).expect("JSON");
    let mut kept = None;
    let counted = allocation_counter::measure(|| kept = Some(filled(&recorded)));
    let cluster = kept.expect("it was filled");
    let counts = [Kind::Deployments, Kind::ReplicaSets, Kind::Pods].map(|kind| cluster.count(kind));
    assert_eq!(counts, [5_000, 10_000, 25_000]);
    let seen = cluster.see(&Key::new("shop", "checkout-4999"), None, UnixMs(0));
    assert_eq!(seen.standing, Standing::Well);
    let bytes = counted.bytes_current;
    assert!((1..BYTES_MAX).contains(&bytes), "{bytes} bytes are kept");
}

//! One Deployment's life, as a real API server told it: tests/fixtures/kubernetes.

use serde_json::Value;

use super::{Cluster, Deployment, Key, Kind, Pod, ReplicaSet, Said, Seen, Standing};
use crate::{
    domain::inventory::{Inventory, Serving},
    units::UnixMs,
};

/// When the fixtures were recorded.
const NOW: UnixMs = UnixMs(1_795_782_330_000);

fn fixture(name: &str) -> Vec<Value> {
    let path = format!("{}/tests/fixtures/kubernetes/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn of_kind(objects: &[Value], kind: &str) -> Vec<Value> {
    objects.iter().filter(|object| object["kind"] == kind).cloned().collect()
}

fn parsed<K: serde::de::DeserializeOwned>(object: Value) -> K {
    serde_json::from_value(object).unwrap()
}

/// Told as after a start: three lists, the owned before their owners, for nothing orders them.
fn listed(objects: &[Value]) -> Cluster {
    let mut cluster = Cluster::default();
    cluster.pod(Said::Begins);
    for pod in of_kind(objects, "Pod") {
        cluster.pod(Said::Listed(parsed::<Pod>(pod)));
    }
    cluster.pod(Said::Whole);
    cluster.replica_set(Said::Begins);
    for set in of_kind(objects, "ReplicaSet") {
        cluster.replica_set(Said::Listed(parsed::<ReplicaSet>(set)));
    }
    cluster.replica_set(Said::Whole);
    cluster.deployment(Said::Begins);
    for deployment in of_kind(objects, "Deployment") {
        cluster.deployment(Said::Listed(parsed::<Deployment>(deployment)));
    }
    cluster.deployment(Said::Whole);
    cluster
}

fn checkout() -> Key {
    Key::new("shop", "checkout")
}

fn seen_in(objects: &[Value]) -> Seen {
    listed(objects).see(&checkout(), Some("app"), NOW)
}

fn seen(name: &str) -> Seen {
    seen_in(&fixture(name))
}

fn linked(seen: &Seen) -> String {
    seen.inventory.linked.as_ref().unwrap().version.clone()
}

/// The fixture with something changed in each object of a kind.
fn changed(name: &str, kind: &str, change: impl Fn(&mut Value)) -> Vec<Value> {
    let mut objects = fixture(name);
    objects.iter_mut().filter(|object| object["kind"] == kind).for_each(change);
    objects
}

#[test]
fn a_healthy_deployment_serves_what_it_is_set_to() {
    let Seen { inventory, standing } = seen("healthy");
    assert_eq!(standing, Standing::Well);
    let set = inventory.linked.clone().unwrap();
    assert!(set.version.starts_with("1.4.1+"), "{set}");
    assert!(inventory.is_settled());
    assert_eq!(inventory.faults, Vec::<String>::new());
    assert_eq!(inventory.find(&set.version).unwrap().revision, set);
    let told = inventory.told.unwrap();
    assert_eq!(told.cause.as_deref(), Some("release 41"));
    assert_eq!(told.by.as_deref(), Some("kubectl-client-side-apply"));
    assert_eq!(
        told.runs,
        ["registry.example:5000/shop/checkout:1.4.1", "registry.example:5000/envoy:1.30"]
    );
    assert_eq!(told.called.as_deref(), Some("revision 1, checkout-784c8b6ddf"));
    let (created, switched) = (listed_at("healthy", "ReplicaSet"), inventory.switched_at);
    assert_eq!(switched, Some(created));
}

fn listed_at(name: &str, kind: &str) -> UnixMs {
    let created = of_kind(&fixture(name), kind)[0]["metadata"]["creationTimestamp"].clone();
    let at: jiff::Timestamp = serde_json::from_value(created).unwrap();
    UnixMs(at.as_millisecond())
}

#[test]
fn neither_more_pods_nor_a_restart_is_another_version() {
    let [healthy, scaled, restarted] = ["healthy", "scaled", "restarted"].map(seen);
    let sets = |name| of_kind(&fixture(name), "ReplicaSet").len();
    assert_eq!((sets("scaled"), sets("restarted")), (1, 2), "a restart makes a ReplicaSet");
    for later in [scaled, restarted] {
        assert_eq!(later.inventory.linked, healthy.inventory.linked);
        assert!(later.inventory.is_settled());
        assert_eq!(later.inventory.available.len(), 1, "both are one version");
        assert_eq!(later.standing, Standing::Well);
    }
}

#[test]
fn of_a_broken_rollout_the_old_version_serves_and_the_new_one_says_why() {
    let Seen { inventory, standing } = seen("broken");
    let new = inventory.linked.clone().unwrap();
    assert!(new.version.starts_with("1.4.2+"), "{new}");
    assert_eq!(inventory.running, Serving::Version(linked(&seen("healthy"))));
    let why = "`app` crashes again and again (Error, exit code 1)";
    assert_eq!(
        inventory.faults,
        [
            "the rollout makes no progress (ProgressDeadlineExceeded)".to_owned(),
            format!("{new}: {why}")
        ]
    );
    let Standing::Unwell(said) = standing else { panic!("{standing:?}") };
    assert!(said.contains(" pods are ready: ") && said.contains(why), "{said}");
    let told = inventory.told.unwrap();
    assert_eq!(told.cause.as_deref(), Some("release 42"));
    assert_eq!(told.by.as_deref(), Some("kubectl-set"));
    // The news of the Deployment comes first.
    let mut unmade = fixture("broken");
    unmade.retain(|object| object["kind"] != "ReplicaSet");
    let told = seen_in(&unmade).inventory.told.unwrap();
    assert_eq!((told.cause.as_deref(), told.called), (Some("release 42"), None));
}

#[test]
fn an_undo_is_the_old_version_again_since_somebody_wrote_it() {
    let Seen { inventory, standing } = seen("undone");
    assert_eq!(standing, Standing::Well);
    assert_eq!(inventory.linked, seen("healthy").inventory.linked);
    assert!(inventory.is_settled());
    let set = listed_at("undone", "ReplicaSet");
    assert!(inventory.switched_at.unwrap() > set, "the ReplicaSet is as old as before");
    assert_eq!(inventory.told.unwrap().by.as_deref(), Some("kubectl"));
    assert_eq!(inventory.available.len(), 2);
}

#[test]
fn what_is_used_again_is_no_older_than_that_before_its_controller_has_written_so_beside_it() {
    let mut objects = changed("undone", "ReplicaSet", |set| {
        let annotations = set["metadata"]["annotations"].as_object_mut().unwrap();
        annotations.remove("deployment.kubernetes.io/revision-history");
    });
    let deployment = objects.iter_mut().find(|object| object["kind"] == "Deployment").unwrap();
    deployment["status"]["observedGeneration"] = 1.into();
    let Inventory { switched_at, told, .. } = seen_in(&objects).inventory;
    assert!(switched_at.unwrap() > listed_at("undone", "ReplicaSet"));
    assert!(told.unwrap().called.unwrap().starts_with("checkout-"), "its number is not known yet");
}

#[test]
fn without_a_ready_pod_nothing_serves_and_without_a_wanted_one_nothing_is_missing() {
    let not_ready =
        changed("healthy", "Pod", |pod| pod["status"]["conditions"][0]["status"] = "False".into());
    let none = seen_in(&not_ready);
    assert_eq!(none.standing, Standing::Gone("0 of 3 pods are ready".into()));
    assert!(
        matches!(&none.inventory.running, Serving::NotRunning(why) if why.contains("3 are there"))
    );
    assert!(none.inventory.linked.is_some());
    let mut idle = changed("healthy", "Deployment", |it| it["spec"]["replicas"] = 0.into());
    idle.retain(|object| object["kind"] != "Pod");
    let idle = seen_in(&idle);
    assert_eq!(idle.standing, Standing::Well);
    assert_eq!(idle.inventory.running, Serving::NotRunning("it is scaled to 0 pods".into()));
}

#[test]
fn one_pod_of_many_that_crashes_is_not_the_versions_fault() {
    let crashing = |of: usize, crash: usize| {
        let pod = of_kind(&fixture("healthy"), "Pod")[0].clone();
        let mut objects = fixture("healthy");
        objects.retain(|object| object["kind"] != "Pod");
        objects[0]["spec"]["replicas"] = of.into();
        for number in 0..of {
            let mut pod = pod.clone();
            pod["metadata"]["name"] = format!("checkout-{number}").into();
            if number < crash {
                pod["status"]["conditions"][0]["status"] = "False".into();
                pod["status"]["containerStatuses"][0]["state"] =
                    serde_json::json!({ "waiting": { "reason": "CrashLoopBackOff" } });
            }
            objects.push(pod);
        }
        seen_in(&objects).standing
    };
    assert_eq!(crashing(10, 1), Standing::Well);
    assert!(matches!(crashing(10, 2), Standing::Unwell(_)));
    assert!(matches!(crashing(1, 1), Standing::Gone(_)));
}

#[test]
fn a_pod_that_crashes_and_is_ready_in_between_crashes_until_it_ran_for_long() {
    let at = |now: UnixMs| {
        let objects = changed("healthy", "Pod", |pod| {
            let status = &mut pod["status"]["containerStatuses"][0];
            status["restartCount"] = 3.into();
            status["state"] =
                serde_json::json!({ "running": { "startedAt": "2026-11-27T12:25:00Z" } });
            status["lastState"] =
                serde_json::json!({ "terminated": { "exitCode": 137, "reason": "OOMKilled" } });
        });
        listed(&objects).see(&checkout(), None, now).standing
    };
    let crashes = "3 of 3 pods are ready: `app` crashes again and again (OOMKilled, exit code 137)";
    assert_eq!(at(NOW), Standing::Unwell(crashes.into()));
    assert_eq!(at(UnixMs(NOW.0 + 10 * 60_000)), Standing::Well);
}

#[test]
fn an_image_that_is_missing_and_a_map_that_is_missing_are_named() {
    for (reason, said) in [
        ("ImagePullBackOff", "the image of `app` cannot be pulled (ImagePullBackOff)"),
        ("CreateContainerConfigError", "`app` cannot be started (CreateContainerConfigError)"),
    ] {
        let objects = changed("healthy", "Pod", |pod| {
            pod["status"]["conditions"][0]["status"] = "False".into();
            pod["status"]["containerStatuses"][0]["state"] =
                serde_json::json!({ "waiting": { "reason": reason } });
        });
        assert_eq!(
            seen_in(&objects).standing,
            Standing::Gone(format!("0 of 3 pods are ready: {said}"))
        );
    }
}

#[test]
fn what_is_not_there_is_unknown_and_not_an_outage() {
    let cluster = listed(&fixture("healthy"));
    let seen = cluster.see(&Key::new("shop", "chekout"), None, NOW);
    assert_eq!(seen.standing, Standing::Unknown("there is no Deployment shop/chekout".into()));
    assert_eq!(seen.inventory.linked, None);
}

#[test]
fn a_list_takes_the_place_of_what_was_known_when_it_is_whole() {
    let mut cluster = listed(&fixture("broken"));
    let before = cluster.count(Kind::Pods);
    cluster.pod(Said::Begins);
    assert_eq!(cluster.count(Kind::Pods), before, "until then what was known stands");
    let pods = of_kind(&fixture("healthy"), "Pod");
    for pod in &pods {
        cluster.pod(Said::Listed(parsed(pod.clone())));
    }
    cluster.pod(Said::Whole);
    assert_eq!(cluster.count(Kind::Pods), pods.len());
    cluster.replica_set(Said::Begins);
    cluster.replica_set(Said::Whole);
    assert_eq!(cluster.count(Kind::ReplicaSets), 0);
}

#[test]
fn each_event_is_about_its_deployment() {
    let objects = fixture("healthy");
    let mut cluster = listed(&objects);
    let pod = || parsed::<Pod>(of_kind(&objects, "Pod")[0].clone());
    assert_eq!(cluster.pod(Said::Is(pod())), Some(checkout()));
    assert_eq!(cluster.pod(Said::Gone(pod())), Some(checkout()));
    assert_eq!(cluster.pod(Said::Gone(pod())), None, "it was gone already");
    assert!(matches!(cluster.see(&checkout(), None, NOW).inventory.running, Serving::Version(_)));
    let set = || parsed::<ReplicaSet>(of_kind(&objects, "ReplicaSet")[0].clone());
    assert_eq!(cluster.replica_set(Said::Is(set())), Some(checkout()));
    let deployment = || parsed::<Deployment>(of_kind(&objects, "Deployment")[0].clone());
    assert_eq!(cluster.deployment(Said::Gone(deployment())), Some(checkout()));
    assert!(matches!(cluster.see(&checkout(), None, NOW).standing, Standing::Unknown(_)));
}

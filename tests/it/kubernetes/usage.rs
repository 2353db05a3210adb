//! What a Deployment's pods use: a real API server, and answers of the metrics API, which only a cluster with nodes has.

use axum::http::HeaderMap;
use rollbackd::sources::kubernetes::{Asking, Of, Question, Resource, Usage};
use serde_json::{Value, json};

use super::{
    between::{Asked, Between, Fault},
    cluster::Cluster,
    place::{Place, SOON},
    rights::serving,
};
use crate::rig::eventually;

fn usage(resource: Resource, of: Of) -> Question {
    Question::Usage(Usage { resource, of, pods_max: 5 })
}

/// As metrics-server answers for each pod: so much of a processor, and so much memory.
fn measures(cpu: &'static str, memory: &'static str) -> impl FnMut(&Asked) -> Fault + Send {
    move |asked| match asked.path.starts_with("/apis/metrics.k8s.io/v1beta1/") {
        true => {
            let usage = json!({ "cpu": cpu, "memory": memory });
            let body: Value = json!({ "kind": "PodMetrics", "window": "15s", "containers": [{ "name": "app", "usage": usage }] });
            Fault::Answer(200, HeaderMap::new(), body.to_string())
        }
        false => Fault::None,
    }
}

/// Three pods with these bounds, asked about through what stands between.
async fn bounded(
    cluster: &Cluster,
    between: &Between,
) -> (Place, rollbackd::sources::kubernetes::Watched) {
    let place = serving(cluster).await;
    let bounds =
        json!({ "limits": { "cpu": "1", "memory": "64Mi" }, "requests": { "cpu": "250m" } });
    let app = json!({ "name": "app", "resources": bounds });
    place.patch(json!({ "spec": { "template": { "spec": { "containers": [app] } } } })).await;
    let watched = rollbackd::sources::kubernetes::Watched::new(between.options(&place.namespace));
    tokio::spawn(rollbackd::sources::kubernetes::watch(watched.clone()));
    (place, watched)
}

#[tokio::test]
async fn the_share_of_its_limits_or_requests_that_a_pod_uses_is_told() {
    let cluster = Cluster::shared();
    let between = Between::start(cluster).await;
    between.lets(measures("350m", "48Mi"));
    let (place, watched) = bounded(cluster, &between).await;
    let asked = async |question: Question| {
        let mut asking = Asking::new(watched.clone(), place.key(), question);
        eventually("it is told", SOON, async || asking.clone().poll().await.value).await;
        asking.poll().await.value.unwrap()
    };
    let near = |value: f64, wanted: f64| (value - wanted).abs() < 1e-9;
    assert!(near(asked(usage(Resource::Cpu, Of::Limits)).await, 0.35));
    assert!(near(asked(usage(Resource::Cpu, Of::Requests)).await, 1.4), "more than was set aside");
    assert!(near(asked(usage(Resource::Memory, Of::Limits)).await, 0.75));
    let mut asking =
        Asking::new(watched.clone(), place.key(), usage(Resource::Memory, Of::Requests));
    let unknown = asking.poll().await;
    assert_eq!(unknown.value, None);
    assert_eq!(unknown.note.unwrap(), "`app` has no memory in its requests");
}

/// As the API server of the rig itself says: there is nobody to ask.
#[tokio::test]
async fn a_cluster_without_a_metrics_api_tells_nothing_of_what_its_pods_use() {
    let cluster = Cluster::shared();
    let between = Between::start(cluster).await;
    let (place, watched) = bounded(cluster, &between).await;
    let mut asking = Asking::new(watched.clone(), place.key(), usage(Resource::Cpu, Of::Limits));
    let known = async || watched.pods_of(&place.key()).ok().filter(|pods| !pods.is_empty());
    eventually("its pods are seen", SOON, known).await;
    let unknown = asking.poll().await;
    let why = unknown.note.unwrap();
    assert!(unknown.value.is_none() && why.contains("page not found"), "{why}");
}

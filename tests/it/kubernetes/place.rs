//! A namespace with a Deployment `shop`, pods that are run, and what is seen of it.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Namespace};
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use rollbackd::{
    kubernetes::access::{Access, Options},
    sources::kubernetes::{self, Key, Seen, Standing, Watched},
    units::{Span, UnixMs},
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{cluster::Cluster, kubelet::Kubelet};
use crate::rig::eventually;

/// For what takes the controllers a moment.
pub(crate) const SOON: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) namespace: String,
    pub(crate) deployments: Api<Deployment>,
    pub(crate) kubelet: Kubelet,
    pub(crate) watched: Watched,
    watching: JoinHandle<()>,
}

impl Place {
    /// A namespace of its own, watched from the beginning.
    pub(crate) async fn new(cluster: &Cluster) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let namespace = format!("test-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        Self::called(cluster, &namespace).await
    }

    /// A namespace of that name, which the cluster does not have.
    pub(crate) async fn called(cluster: &Cluster, namespace: &str) -> Self {
        let client = cluster.client().await;
        let named = json!({ "metadata": { "name": namespace } });
        let named: Namespace = serde_json::from_value(named).unwrap();
        Api::all(client.clone()).create(&PostParams::default(), &named).await.unwrap();
        let watched = Watched::new(options(cluster, namespace, None));
        Self {
            deployments: Api::namespaced(client.clone(), namespace),
            kubelet: Kubelet::start(client, namespace),
            watching: tokio::spawn(kubernetes::watch(watched.clone())),
            watched,
            namespace: namespace.to_owned(),
        }
    }

    /// A Deployment `shop` of three pods.
    pub(crate) async fn deploy(&self, tag: &str) {
        self.deploy_image(&image(tag)).await;
    }

    /// The same of an image that is somewhere else.
    pub(crate) async fn deploy_image(&self, image: &str) {
        let labels = json!({ "app": "shop" });
        let deployment = json!({
            "metadata": { "name": "shop" },
            "spec": {
                "replicas": 3, "progressDeadlineSeconds": 5, "selector": { "matchLabels": labels },
                "template": {
                    "metadata": { "labels": labels },
                    "spec": { "containers": [{ "name": "app", "image": image }] },
                },
            },
        });
        let deployment = serde_json::from_value(deployment).unwrap();
        self.deployments.create(&PostParams::default(), &deployment).await.unwrap();
    }

    /// As `kubectl set image` and an annotation do.
    pub(crate) async fn set_image(&self, tag: &str, cause: &str) {
        self.set_whole_image(&image(tag), cause).await;
    }

    /// The same of an image that is somewhere else.
    pub(crate) async fn set_whole_image(&self, image: &str, cause: &str) {
        self.patch(json!({
            "metadata": { "annotations": { "kubernetes.io/change-cause": cause } },
            "spec": { "template": { "spec": { "containers": [{ "name": "app", "image": image }] } } },
        }))
        .await;
    }

    pub(crate) async fn patch(&self, patch: Value) {
        let params = PatchParams { field_manager: Some("pipeline".into()), ..Default::default() };
        self.deployments.patch("shop", &params, &Patch::Strategic(patch)).await.unwrap();
    }

    pub(crate) fn seen(&self) -> Seen {
        self.watched.see(&self.key(), None, now())
    }

    pub(crate) fn key(&self) -> Key {
        Key::new(&self.namespace, "shop")
    }

    /// Waits until it is seen so.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&Seen) -> bool) -> Seen {
        eventually(what, SOON, async || Some(self.seen()).filter(|seen| is_so(seen))).await
    }

    /// Waits until a version serves, well, and nothing else does.
    pub(crate) async fn until_serves(&self, tag: &str) -> Seen {
        self.until(&format!("{tag} serves"), |seen| {
            let linked = seen.inventory.linked.as_ref();
            seen.inventory.is_settled()
                && seen.standing == Standing::Well
                && linked.is_some_and(|linked| linked.version.starts_with(&format!("{tag}+")))
        })
        .await
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

/// Impatient, so that what is not heard is soon unknown.
pub(crate) fn options(cluster: &Cluster, namespace: &str, context: Option<&str>) -> Options {
    let context = context.map(str::to_owned);
    let access = Access::Kubeconfig { path: cluster.kubeconfig(), context };
    Options {
        namespace: Some(namespace.to_owned()),
        stale_after: Span::seconds(2),
        reopen_every: Span::seconds(5),
        ..Options::new("main", access)
    }
}

pub(crate) fn image(tag: &str) -> String {
    format!("registry.invalid/shop:{tag}")
}

pub(crate) fn now() -> UnixMs {
    UnixMs(jiff::Timestamp::now().as_millisecond())
}

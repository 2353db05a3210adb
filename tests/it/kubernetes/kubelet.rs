//! What runs pods, as far as the API server can tell: their images' tags say what becomes of them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, Container, Pod};
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
    runtime::watcher::{Config, Event, watcher},
};
use rollbackd::domain::plan::hex;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::{sync::Notify, task::JoinHandle};

/// What becomes of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is ready at once.
    Ready,
    /// It is ready, after it ended once.
    Restarted,
    /// It runs, and is not ready.
    NotReady,
    /// It ends again and again.
    Crashes,
    /// It has no image.
    NoImage,
    /// It is being started, for as long as the test wants.
    Slow,
    /// It ends, and all is well.
    Succeeds,
    /// It ends, and nothing is.
    Fails,
}

impl Fate {
    /// As the tag says: `crash-2`, `missing`, `slow`; ready otherwise.
    fn of(tag: &str) -> Self {
        match tag.split('-').next() {
            Some("crash") => Self::Crashes,
            Some("missing") => Self::NoImage,
            Some("slow") => Self::Slow,
            Some("done") => Self::Succeeds,
            Some("fails") => Self::Fails,
            Some(_) | None => Self::Ready,
        }
    }

    fn status(self, container: &str, image: &str) -> Value {
        let at = "2026-11-27T12:00:00Z";
        let (state, last, restarts) = match self {
            Self::Ready | Self::NotReady => {
                (json!({ "running": { "startedAt": at } }), json!({}), 0)
            }
            Self::Restarted => (
                json!({ "running": { "startedAt": at } }),
                json!({ "terminated": { "exitCode": 137, "reason": "OOMKilled", "startedAt": at, "finishedAt": at } }),
                1,
            ),
            Self::Crashes => (
                json!({ "waiting": { "reason": "CrashLoopBackOff", "message": "back-off 40s" } }),
                json!({ "terminated": { "exitCode": 1, "reason": "Error", "startedAt": at, "finishedAt": at } }),
                4,
            ),
            Self::NoImage => (json!({ "waiting": { "reason": "ImagePullBackOff" } }), json!({}), 0),
            Self::Slow => (json!({ "waiting": { "reason": "ContainerCreating" } }), json!({}), 0),
            Self::Succeeds | Self::Fails => {
                let code = u8::from(self == Self::Fails);
                let ended = json!({ "terminated": { "exitCode": code, "reason": "Completed", "startedAt": at, "finishedAt": at } });
                (ended, json!({}), 0)
            }
        };
        let is_ready = matches!(self, Self::Ready | Self::Restarted);
        let condition = |kind: &str| json!({ "type": kind, "status": if is_ready { "True" } else { "False" }, "lastTransitionTime": at });
        let phase = match self {
            Self::NoImage | Self::Slow => "Pending",
            Self::Succeeds => "Succeeded",
            Self::Fails => "Failed",
            Self::Ready | Self::Restarted | Self::NotReady | Self::Crashes => "Running",
        };
        json!({ "status": {
            "phase": phase,
            "conditions": [condition("Ready"), condition("ContainersReady")],
            "containerStatuses": [{
                "name": container, "image": image, "imageID": image_id(image), "ready": is_ready, "restartCount": restarts,
                "state": state, "lastState": last,
            }],
        } })
    }
}

/// As a runtime tells it: by what was pulled, and not by its tag.
pub(crate) fn image_id(image: &str) -> String {
    let repository = image.rsplit_once(':').map_or(image, |(repository, _)| repository);
    format!("{repository}@sha256:{}", hex(&Sha256::digest(image)))
}

/// Runs the pods of one namespace until it is dropped.
#[derive(Debug)]
pub(crate) struct Kubelet {
    told: Arc<Told>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Told {
    fates: Mutex<BTreeMap<String, Fate>>,
    /// By pod, what its container was given of its ConfigMap's `level` when it started.
    given: Mutex<BTreeMap<String, String>>,
    changed: Notify,
}

impl Kubelet {
    pub(crate) fn start(client: Client, namespace: &str) -> Self {
        let told = Arc::<Told>::default();
        let maps = Api::namespaced(client.clone(), namespace);
        let task = tokio::spawn(run(Api::namespaced(client, namespace), maps, Arc::clone(&told)));
        Self { told, task }
    }

    /// Whether any pod that is there was given this as its ConfigMap's `level` when it started.
    pub(crate) fn was_given(&self, level: &str) -> bool {
        self.told.given.lock().expect("the lock of what is given").values().any(|it| it == level)
    }

    /// From now on this becomes of pods with this tag, also of those that are there.
    pub(crate) fn let_be(&self, tag: &str, fate: Fate) {
        self.told.fates.lock().expect("the fates' lock").insert(tag.to_owned(), fate);
        self.told.changed.notify_one();
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a container's environment is made of, once.
async fn level(maps: &Api<ConfigMap>, container: &Container) -> Option<String> {
    let from = container.env_from.iter().flatten().find_map(|from| from.config_map_ref.as_ref())?;
    maps.get(&from.name).await.ok()?.data?.remove("level")
}

async fn run(pods: Api<Pod>, maps: Api<ConfigMap>, told: Arc<Told>) {
    let mut events = std::pin::pin!(watcher(pods.clone(), Config::default()));
    let mut known: BTreeMap<String, (Pod, Option<Fate>)> = BTreeMap::new();
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Ok(Event::Apply(pod) | Event::InitApply(pod))) => {
                    let name = pod.name_any();
                    let container = pod.spec.as_ref().and_then(|spec| spec.containers.first());
                    if let (false, Some(container)) = (known.contains_key(&name), container)
                        && let Some(level) = level(&maps, container).await
                    {
                        let mut given = told.given.lock().expect("the lock of what is given");
                        given.insert(name.clone(), level);
                    }
                    known.entry(name).or_insert((pod, None));
                }
                Some(Ok(Event::Delete(pod))) => {
                    let mut given = told.given.lock().expect("the lock of what is given");
                    given.remove(&pod.name_any());
                    known.remove(&pod.name_any());
                }
                Some(Ok(Event::Init | Event::InitDone)) => {}
                // Tests kill the API server; it is asked again.
                Some(Err(_)) => tokio::task::yield_now().await,
                None => return,
            },
            () = told.changed.notified() => {}
        }
        for (name, (pod, is)) in &mut known {
            let Some(container) = pod.spec.as_ref().and_then(|spec| spec.containers.first()) else {
                continue;
            };
            let image = container.image.as_deref().unwrap_or_default();
            let tag = image.rsplit(':').next().unwrap_or_default();
            let said = told.fates.lock().expect("the fates' lock").get(tag).copied();
            let fate = said.unwrap_or_else(|| Fate::of(tag));
            if *is == Some(fate) {
                continue;
            }
            let status = Patch::Merge(fate.status(&container.name, image));
            let patched = pods.patch_status(name, &PatchParams::default(), &status).await;
            *is = patched.is_ok().then_some(fate);
        }
    }
}

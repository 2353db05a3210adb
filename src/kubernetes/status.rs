//! What controllers and kubelets say of objects, cut down to what is looked at.

use serde::Deserialize;
use smol_str::SmolStr;

use crate::units::UnixMs;

/// One statement of a controller or kubelet.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    /// About what.
    #[serde(rename = "type")]
    pub kind: SmolStr,
    /// `True`, `False` or `Unknown`.
    pub status: SmolStr,
    /// In one word.
    pub reason: SmolStr,
    /// In a sentence.
    pub message: String,
}

/// What a kubelet says of a pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    /// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
    pub phase: SmolStr,
    /// `Ready` among them.
    pub conditions: Vec<Condition>,
    /// Its containers.
    pub container_statuses: Vec<ContainerStatus>,
    /// Those that run before them.
    pub init_container_statuses: Vec<ContainerStatus>,
}

impl PodStatus {
    /// Whether it takes requests.
    pub fn is_ready(&self) -> bool {
        self.conditions.iter().any(|c| c.kind == "Ready" && c.status == "True")
    }

    /// How often its containers were started again.
    pub fn restarts(&self) -> u32 {
        self.containers().fold(0, |all, each| all.saturating_add(each.restart_count))
    }

    /// When the one that was started again last had ended.
    pub fn restarted_at(&self) -> Option<UnixMs> {
        let again = self.containers().filter(|each| each.restart_count > 0);
        let ended = again.filter_map(|each| each.last_state.terminated.as_ref()?.finished_at);
        ended.max().map(|at| UnixMs(at.as_millisecond()))
    }

    fn containers(&self) -> impl Iterator<Item = &ContainerStatus> {
        self.init_container_statuses.iter().chain(&self.container_statuses)
    }
}

/// One container.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerStatus {
    /// Its name.
    pub name: SmolStr,
    /// What it runs: `registry.example/shop@sha256:…`, or something else that only its runtime knows.
    #[serde(rename = "imageID")]
    pub image_id: SmolStr,
    /// How often it was started again.
    pub restart_count: u32,
    /// What it does.
    pub state: ContainerState,
    /// What became of it the last time.
    pub last_state: ContainerState,
}

/// One of three.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ContainerState {
    /// It is not started yet, or not again.
    pub waiting: Option<Waiting>,
    /// It runs.
    pub running: Option<Running>,
    /// It ended.
    pub terminated: Option<Terminated>,
}

/// Why not.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Waiting {
    /// In one word.
    pub reason: SmolStr,
}

/// Since when.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Running {
    /// When it was started.
    pub started_at: Option<jiff::Timestamp>,
}

/// How.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Terminated {
    /// When.
    pub finished_at: Option<jiff::Timestamp>,
    /// What it exited with.
    pub exit_code: i32,
    /// In one word.
    pub reason: SmolStr,
}

//! What keeps pods from serving, as the cluster itself says it.

use std::fmt;

use smol_str::SmolStr;

use super::status::{Condition, ContainerStatus, PodStatus};
use crate::units::{Span, UnixMs};

/// A container that was started again so often, and ended badly, does not only stumble.
const RESTARTS: u32 = 2;
/// One pod of many that is in trouble is a node's; this share of a version's pods is the version's.
const TROUBLED_SHARE: f64 = 0.2;
/// The kubelet forgets a crash loop after so long without a crash.
pub const FORGIVEN_AFTER: Span = Span::minutes(10);
/// So much of a controller's sentence is shown.
const MESSAGE_MAX: usize = 300;

/// Why a pod does not serve, or not for long. In words that stay the same while it is so.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Trouble {
    container: SmolStr,
    what: What,
    /// Since when it runs again, where it does.
    pub runs_since: Option<UnixMs>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// It ends again and again.
    Crashes { how: SmolStr, exit_code: Option<i32> },
    /// Its image cannot be had.
    Image(SmolStr),
    /// It cannot be started as it is written.
    Start(SmolStr),
}

impl Trouble {
    /// Whether it is still so, or the container has run for long since.
    pub fn holds(&self, now: UnixMs) -> bool {
        self.runs_since.is_none_or(|since| now.since(since) < FORGIVEN_AFTER)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let container = &self.container;
        match &self.what {
            What::Crashes { how, exit_code: Some(code) } => {
                write!(f, "`{container}` crashes again and again ({how}, exit code {code})")
            }
            What::Crashes { how, exit_code: None } => {
                write!(f, "`{container}` crashes again and again ({how})")
            }
            What::Image(why) => write!(f, "the image of `{container}` cannot be pulled ({why})"),
            What::Start(why) => write!(f, "`{container}` cannot be started ({why})"),
        }
    }
}

/// Whether so many pods in trouble of all of a version's are the version's own fault.
pub fn is_of_version(troubled: usize, all: usize) -> bool {
    troubled as f64 >= TROUBLED_SHARE * all as f64
}

/// The first trouble of a pod's containers.
pub fn of_pod(status: &PodStatus) -> Option<Trouble> {
    let mut all = status.init_container_statuses.iter().chain(&status.container_statuses);
    all.find_map(of_container)
}

fn of_container(status: &ContainerStatus) -> Option<Trouble> {
    let ended = status.last_state.terminated.as_ref().or(status.state.terminated.as_ref());
    let trouble = |what, runs_since| Trouble { container: status.name.clone(), what, runs_since };
    if let Some(waiting) = &status.state.waiting {
        let reason = waiting.reason.clone();
        let what = match reason.as_str() {
            "CrashLoopBackOff" => {
                let how = ended.map(|e| e.reason.clone()).filter(|how| !how.is_empty());
                What::Crashes { how: how.unwrap_or(reason), exit_code: ended.map(|e| e.exit_code) }
            }
            "ImagePullBackOff"
            | "ErrImagePull"
            | "ErrImageNeverPull"
            | "InvalidImageName"
            | "ImageInspectError"
            | "RegistryUnavailable" => What::Image(reason),
            "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
                What::Start(reason)
            }
            // `ContainerCreating`, `PodInitializing`: it is being started.
            _ => return None,
        };
        return Some(trouble(what, None));
    }
    // Between two crashes it runs, and may even be ready for a moment.
    let ended = ended.filter(|ended| ended.exit_code != 0 && status.restart_count >= RESTARTS)?;
    let started = status.state.running.as_ref().and_then(|running| running.started_at);
    let runs_since = started.map(|at| UnixMs(at.as_millisecond()));
    let how = ended.reason.clone();
    Some(trouble(What::Crashes { how, exit_code: Some(ended.exit_code) }, runs_since))
}

/// What a Deployment's controller says that it cannot do.
pub fn of_controller(conditions: &[Condition]) -> Vec<String> {
    let stuck = |c: &&Condition| {
        (c.kind == "Progressing" && c.status == "False")
            || (c.kind == "ReplicaFailure" && c.status == "True")
    };
    let said = |c: &Condition| match c.kind.as_str() {
        "Progressing" => format!("the rollout makes no progress ({})", c.reason),
        _ => format!("pods cannot be made ({}): {}", c.reason, cut(&c.message, MESSAGE_MAX)),
    };
    conditions.iter().filter(stuck).map(said).collect()
}

/// The beginning of a text, at most so many bytes long.
pub fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

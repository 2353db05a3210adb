//! A Deployment that has no pods while its database goes back: nothing of it writes, and no old code meets a new schema.

use super::DeploymentRunbook;
use crate::domain::plan::{Action, DeploymentAt, Step};

impl DeploymentRunbook {
    /// Takes its pods away, of which it had so many when the plan was made, and waits until they have ended.
    pub(super) fn stop(&self, at: &DeploymentAt, pods: u32) -> Step {
        let Self { cluster, namespace, name, .. } = self;
        Step {
            title: format!(
                "scale Deployment {namespace}/{name} from {pods} pods to 0, and wait until none is left: nothing of it writes then"
            ),
            action: Action::DeploymentStop { at: at.clone(), pods },
            needs: vec![format!(
                "permission to get and patch deployments, and to list pods, in {namespace} of {cluster}"
            )],
            timeout: self.rollout_timeout,
            attempts: self.attempts.max(1),
            fallback: None,
        }
    }

    /// A step before which they were taken away; where it takes nothing back, what ran before runs on what it ran on, and better than nothing.
    pub(super) fn or_gives_back(&self, step: Step, at: &DeploymentAt, pods: Option<u32>) -> Step {
        let Some(otherwise) = if_not(&step.action) else { return step };
        let fallback = pods.map(|pods| {
            let start = self.start(at, pods);
            let title = format!("where {otherwise}, {}, and end there", start.title);
            Box::new(Step { title, ..start })
        });
        Step { fallback: fallback.or(step.fallback), ..step }
    }

    /// Gives them back.
    pub(super) fn start(&self, at: &DeploymentAt, pods: u32) -> Step {
        let Self { cluster, namespace, name, .. } = self;
        let title = format!("give Deployment {namespace}/{name} the pods back that it had: {pods}");
        let action = Action::DeploymentStart { at: at.clone(), pods };
        let needs =
            vec![format!("permission to get and patch deployments in {namespace} of {cluster}")];
        self.setting(title, action, needs)
    }
}

/// Where what has its pods taken away for it may end with them given back: what they ran on is as it was then.
fn if_not(action: &Action) -> Option<&'static str> {
    if matches!(action, Action::MigrationsUndo { .. } | Action::ReverseScript { .. }) {
        return Some("nothing was taken back");
    }
    // What was there is as it was until the service is led away from it.
    if matches!(action, Action::RdsRestore { .. } | Action::RdsVerify { .. }) {
        return Some("that cannot be done");
    }
    matches!(action, Action::RdsSwitch { .. }).then_some("nothing was written")
}

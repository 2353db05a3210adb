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

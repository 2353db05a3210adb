//! A Deployment of a Kubernetes cluster.

use serde::{Deserialize, Serialize};

use crate::{
    domain::{
        change::Revision,
        inventory::Place,
        owner::OwnerRule,
        plan::{Action, DeploymentAt, Step},
        reconciler::Reconciler,
    },
    units::Span,
};

/// Rolling back a Deployment: its template is set to one that it has had, and its controller does the rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentRunbook {
    /// The cluster's name in the configuration.
    pub cluster: String,
    /// The namespace it is in.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// How long it may take to set the template.
    pub undo_timeout: Span,
    /// How long it may take until every pod is of the wanted version, and ready.
    pub rollout_timeout: Span,
    /// After so long in which pods say that they cannot start they are not waited for any more.
    pub stuck_after: Span,
    /// How often each step may be tried; at least 1.
    pub attempts: u32,
    /// What is done where something else would put back what is rolled away from.
    #[serde(default)]
    pub owner: OwnerRule,
    /// The namespace of Argo CD, for Applications that say no other.
    #[serde(default = "argocd")]
    pub argocd_namespace: String,
}

/// Where it is installed unless somebody decided otherwise.
pub const ARGOCD: &str = "argocd";

fn argocd() -> String {
    ARGOCD.to_owned()
}

impl DeploymentRunbook {
    /// What a plan locks.
    pub fn resource(&self) -> String {
        format!("deployment:{}/{}/{}", self.cluster, self.namespace, self.name)
    }

    /// Which one: that of this uid, where it is said.
    pub fn at(&self, uid: Option<String>) -> DeploymentAt {
        let Self { cluster, namespace, name, .. } = self;
        DeploymentAt {
            cluster: cluster.clone(),
            namespace: namespace.clone(),
            name: name.clone(),
            uid,
        }
    }

    /// Where it is, for people.
    pub fn place(&self) -> String {
        let Self { cluster, namespace, name, .. } = self;
        format!("the Deployment {namespace}/{name} of {cluster}")
    }

    /// The steps from one exact template to another: suspend what would put it back, where that is wanted; set it; wait until
    /// it serves.
    pub fn steps(&self, from: &Revision, to: &Revision, place: &Place) -> Vec<Step> {
        let Self { cluster, namespace, name, .. } = self;
        let attempts = self.attempts.max(1);
        let at = self.at(place.uid.clone());
        let held = match &place.replica_set {
            Some(set) => format!("the ReplicaSet {set} with the template of {to}, as it was"),
            None => format!("the template of {to}, as the daemon kept it when it served well"),
        };
        let undo = Step {
            title: format!("set the template of Deployment {namespace}/{name} from {from} to {to}"),
            action: Action::DeploymentUndo {
                at: at.clone(),
                from: from.clone(),
                to: to.clone(),
                replica_set: place.replica_set.clone(),
            },
            needs: vec![
                held,
                format!(
                    "the Deployment {namespace}/{name} with the template of {from}, not paused"
                ),
                format!(
                    "permission to get and patch deployments, and to get replicasets, in {namespace} of {cluster}"
                ),
            ],
            timeout: self.undo_timeout,
            attempts,
            fallback: None,
        };
        let rollout = Step {
            title: format!("wait until every pod of {namespace}/{name} is of {to}, and available"),
            action: Action::DeploymentRollout {
                at: at.clone(),
                to: to.clone(),
                stuck_after: self.stuck_after,
            },
            needs: vec![format!(
                "permission to get deployments, and to list replicasets and pods, in {namespace} of {cluster}"
            )],
            timeout: self.rollout_timeout,
            // It waits for as long as it may; waiting again would be longer waiting.
            attempts: 1,
            fallback: place.kept.then(|| Box::new(self.whole(at, from, to))),
        };
        let mut steps = match self.owner {
            OwnerRule::Page => vec![],
            OwnerRule::TakeOver => self.suspensions(place),
        };
        steps.extend([undo, rollout]);
        steps
    }

    fn suspensions(&self, place: &Place) -> Vec<Step> {
        let reconcilers =
            place.owners.iter().filter_map(|owner| owner.reconciler(&self.argocd_namespace));
        let suspend = |reconciler: Reconciler| {
            let Reconciler { kind, namespace, .. } = &reconciler;
            let need = format!(
                "permission to get and patch {}.{} in {namespace} of {}",
                kind.plural(),
                kind.group(),
                self.cluster
            );
            Step {
                title: format!("suspend {reconciler}, which would put it back"),
                needs: vec![need],
                action: Action::OwnerSuspend { cluster: self.cluster.clone(), reconciler },
                timeout: self.undo_timeout,
                attempts: self.attempts.max(1),
                fallback: None,
            }
        };
        reconcilers.map(suspend).collect()
    }

    /// When the template alone does not bring it back: the release changed something else too.
    fn whole(&self, at: DeploymentAt, from: &Revision, to: &Revision) -> Step {
        let Self { cluster, namespace, name, .. } = self;
        Step {
            title: format!(
                "set all of {namespace}/{name} but its number of pods back as it was when {to} served well, and wait for it"
            ),
            action: Action::DeploymentApply {
                at,
                from: from.clone(),
                to: to.clone(),
                stuck_after: self.stuck_after,
            },
            needs: vec![format!(
                "permission to get and patch deployments in {namespace} of {cluster}"
            )],
            timeout: self.rollout_timeout,
            attempts: 1,
            fallback: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::owner::Owner;

    fn argo_cd() -> Owner {
        Owner::ArgoCd { application: "web".into(), namespace: None }
    }

    #[test]
    fn a_deployment_rolls_back_to_one_named_replica_set_of_one_object() {
        let runbook = DeploymentRunbook {
            cluster: "main".into(),
            namespace: "shop".into(),
            name: "checkout".into(),
            undo_timeout: Span::seconds(30),
            rollout_timeout: Span::minutes(10),
            stuck_after: Span::minutes(1),
            attempts: 2,
            owner: OwnerRule::Page,
            argocd_namespace: argocd(),
        };
        let to = Revision { version: "1.4.1+ab".into(), digest: Some("sha256:ab".into()) };
        let place = Place {
            uid: Some("u-1".into()),
            replica_set: Some("checkout-7c9d".into()),
            kept: false,
            owners: vec![argo_cd()],
        };
        let steps = runbook.steps(&Revision::named("1.4.2+cd"), &to, &place);
        let titles: Vec<&str> = steps.iter().map(|step| step.title.as_str()).collect();
        assert_eq!(
            titles,
            [
                "set the template of Deployment shop/checkout from 1.4.2+cd to 1.4.1+ab",
                "wait until every pod of shop/checkout is of 1.4.1+ab, and available"
            ]
        );
        let Action::DeploymentUndo { at, replica_set, to: wanted, .. } = &steps[0].action else {
            panic!("{:?}", steps[0].action);
        };
        assert_eq!(
            (at.uid.as_deref(), replica_set.as_deref()),
            (Some("u-1"), Some("checkout-7c9d"))
        );
        assert_eq!(wanted.digest, to.digest);
        assert_eq!(runbook.resource(), "deployment:main/shop/checkout");
        assert_eq!(runbook.place(), "the Deployment shop/checkout of main");
        let kept = Place { kept: true, ..place.clone() };
        let with = runbook.steps(&Revision::named("1.4.2+cd"), &to, &kept);
        assert_eq!(
            with[1].fallback.as_ref().map(|step| step.title.as_str()),
            Some(
                "set all of shop/checkout but its number of pods back as it was when 1.4.1+ab served well, and wait for it"
            )
        );
        assert!(steps[1].fallback.is_none(), "nothing is kept that could be set");
        let taking_over = DeploymentRunbook { owner: OwnerRule::TakeOver, ..runbook };
        let steps = taking_over.steps(&Revision::named("1.4.2+cd"), &to, &place);
        assert_eq!(
            steps.iter().map(|step| step.title.as_str()).collect::<Vec<_>>(),
            [&["suspend Application argocd/web, which would put it back"], &titles[..]].concat()
        );
        assert!(
            steps.iter().all(|step| step.action.may_repeat()),
            "each is looked at before it is done"
        );
    }
}

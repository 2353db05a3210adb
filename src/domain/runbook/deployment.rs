//! A Deployment of a Kubernetes cluster.

use serde::{Deserialize, Serialize};

use super::writes;
use crate::{
    domain::{
        change::Revision,
        inventory::Place,
        owner::OwnerRule,
        plan::{Action, DeploymentAt, Restore, Step},
        planning::{ConfigurationMove, Moves},
        previous::{self, NewImage},
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
    /// Its annotation that says what the version before was; none where nobody looks at one.
    #[serde(default = "annotation")]
    pub previous: Option<String>,
}

/// Where it is installed unless somebody decided otherwise.
pub const ARGOCD: &str = "argocd";

fn annotation() -> Option<String> {
    Some(previous::ANNOTATION.to_owned())
}

fn argocd() -> String {
    ARGOCD.to_owned()
}

impl DeploymentRunbook {
    /// What a plan locks.
    pub fn resource(&self) -> String {
        format!("deployment:{}/{}/{}", self.cluster, self.namespace, self.name)
    }

    /// What a plan locks of what its pods read.
    pub fn read_by_pods(&self, what: &Restore) -> String {
        let kind = what.kind.to_string().to_lowercase();
        format!("{kind}:{}/{}/{}", self.cluster, self.namespace, what.name)
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

    /// The steps from one exact template to another: suspend what would put it back, where that is wanted; restore what its
    /// pods read, before anything starts that needs it; set it, or start its pods anew; wait until it serves.
    pub fn steps(&self, moves: &Moves<'_>, place: &Place) -> Vec<Step> {
        let mut steps = match self.owner {
            OwnerRule::Page => vec![],
            OwnerRule::TakeOver => self.suspensions(place),
        };
        let at = self.at(place.uid.clone());
        // What an earlier rollback stopped is stopped by this one, too, which takes over what it had.
        let stopped = moves.database.and_then(|it| it.stopped_pods).or(place.stopped);
        steps.extend(moves.database.into_iter().flat_map(|it| &it.before).cloned());
        steps.extend(stopped.map(|pods| self.stop(&at, pods)));
        // Those that an earlier rollback took away come back to the schema of the earlier code alone.
        let given_back = stopped.filter(|_| place.stopped.is_none());
        let given_back = given_back.map(|pods| self.start(&at, pods));
        let given_back =
            given_back.as_ref().or_else(|| moves.database.and_then(|it| it.gives_back()));
        let back = |step: &Step| writes::or_gives_back(step.clone(), given_back);
        steps.extend(moves.database.into_iter().flat_map(|it| &it.steps).map(back));
        if let Some(configuration) = moves.configuration {
            steps.extend(configuration.secrets.iter().cloned());
            let restore = |map| self.restore(&at, configuration, map);
            steps.extend(configuration.restores.iter().map(restore));
        }
        let (from, to) = (moves.from, moves.to);
        let is_moved = moves.is_of_application();
        steps.push(match (is_moved, &place.image) {
            (true, Some(image)) => self.set_image(&at, moves, image),
            (true, None) => self.undo(&at, moves, place),
            (false, _) => self.restart(&at, to),
        });
        steps.extend(stopped.map(|pods| self.start(&at, pods)));
        steps.extend(moves.database.and_then(|it| it.start.clone()));
        let fallback = (is_moved && place.kept).then(|| Box::new(self.whole(&at, from, to)));
        steps.push(Step { fallback, ..self.rollout(&at, to) });
        steps
    }

    fn undo(&self, at: &DeploymentAt, moves: &Moves<'_>, place: &Place) -> Step {
        let Self { cluster, namespace, name, .. } = self;
        let (from, to) = (moves.from, moves.to);
        // Where another template is enough, no pod of this one was ever given anything else.
        let restored = moves.configuration.filter(|moved| moved.changes_anything());
        let misread_since = restored.and_then(|moved| moved.misread_since);
        let held = match &place.replica_set {
            Some(set) => format!("the ReplicaSet {set} with the template of {to}, as it was"),
            None => format!("the template of {to}, as the daemon kept it when it served well"),
        };
        let anew = match restored {
            Some(moved) if misread_since.is_some() => {
                format!(", with all pods anew if one of it was made while {} was read", moved.from)
            }
            Some(_) | None => String::new(),
        };
        let title =
            format!("set the template of Deployment {namespace}/{name} from {from} to {to}{anew}");
        let action = Action::DeploymentUndo {
            at: at.clone(),
            from: from.clone(),
            to: to.clone(),
            replica_set: place.replica_set.clone(),
            misread_since,
        };
        let lists =
            if misread_since.is_some() { ", and to list pods and replicasets," } else { "" };
        let needs = vec![
            held,
            format!("the Deployment {namespace}/{name} with the template of {from}, not paused"),
            format!(
                "permission to get and patch deployments, and to get replicasets,{lists} in {namespace} of {cluster}"
            ),
        ];
        self.setting(title, action, needs)
    }

    fn set_image(&self, at: &DeploymentAt, moves: &Moves<'_>, new: &NewImage) -> Step {
        let Self { cluster, namespace, name, .. } = self;
        let (from, to) = (moves.from, moves.to);
        let NewImage { container, image, .. } = new;
        let title = format!(
            "set the image of container {container} of Deployment {namespace}/{name} to {image}: from {from} to {to}"
        );
        let action = Action::DeploymentImage {
            at: at.clone(),
            from: from.clone(),
            to: to.clone(),
            container: container.clone(),
            image: image.clone(),
        };
        let needs = vec![
            format!("the image {image}, where its registry is"),
            format!("the Deployment {namespace}/{name} with the template of {from}, not paused"),
            format!("permission to get and patch deployments in {namespace} of {cluster}"),
        ];
        self.setting(title, action, needs)
    }

    /// One object is set, and not waited for.
    pub(super) fn setting(&self, title: String, action: Action, needs: Vec<String>) -> Step {
        let (timeout, attempts) = (self.undo_timeout, self.attempts.max(1));
        Step { title, action, needs, timeout, attempts, fallback: None }
    }

    /// Exactly the content that it had, which everything that reads it gets, too.
    fn restore(&self, of: &DeploymentAt, moved: &ConfigurationMove, map: &Restore) -> Step {
        let Self { cluster, namespace, .. } = self;
        let Restore { kind, name, .. } = map;
        let good = &moved.to;
        let (title, verbs) = match map.from {
            Some(_) => (
                format!(
                    "set {kind} {namespace}/{name} back to what it held when {good} served well"
                ),
                "get and patch",
            ),
            None => (
                format!(
                    "make {kind} {namespace}/{name} again, with what it held when {good} served well"
                ),
                "get and create",
            ),
        };
        let action = Action::ConfigMapRestore { of: of.clone(), what: map.clone() };
        let needs = vec![
            format!("its content, as the daemon kept it when {good} served well"),
            match map.from {
                Some(_) => format!("the {kind} {namespace}/{name} as it is now"),
                None => format!("no {kind} {namespace}/{name}"),
            },
            format!("permission to {verbs} {} in {namespace} of {cluster}", kind.plural()),
        ];
        self.setting(title, action, needs)
    }

    fn restart(&self, at: &DeploymentAt, version: &Revision) -> Step {
        let Self { cluster, namespace, name, .. } = self;
        let title = format!(
            "start the pods of Deployment {namespace}/{name} anew, which stays at {version}, so that they read it"
        );
        let action = Action::DeploymentRestart { at: at.clone(), version: version.clone() };
        let needs = vec![
            format!("the Deployment {namespace}/{name} with the template of {version}, not paused"),
            format!("permission to get and patch deployments in {namespace} of {cluster}"),
        ];
        self.setting(title, action, needs)
    }

    fn rollout(&self, at: &DeploymentAt, to: &Revision) -> Step {
        let Self { cluster, namespace, name, .. } = self;
        Step {
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
            fallback: None,
        }
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
            let title = format!("suspend {reconciler}, which would put it back");
            let action = Action::OwnerSuspend { cluster: self.cluster.clone(), reconciler };
            self.setting(title, action, vec![need])
        };
        reconcilers.map(suspend).collect()
    }

    /// When the template alone does not bring it back: the release changed something else too.
    fn whole(&self, at: &DeploymentAt, from: &Revision, to: &Revision) -> Step {
        let Self { cluster, namespace, name, .. } = self;
        Step {
            title: format!(
                "set all of {namespace}/{name} but its number of pods back as it was when {to} served well, and wait for it"
            ),
            action: Action::DeploymentApply {
                at: at.clone(),
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
    use crate::{
        domain::{configuration::Kind, owner::Owner},
        units::UnixMs,
    };

    fn runbook() -> DeploymentRunbook {
        DeploymentRunbook {
            cluster: "main".into(),
            namespace: "shop".into(),
            name: "checkout".into(),
            undo_timeout: Span::seconds(30),
            rollout_timeout: Span::minutes(10),
            stuck_after: Span::minutes(1),
            attempts: 2,
            owner: OwnerRule::Page,
            argocd_namespace: argocd(),
            previous: annotation(),
        }
    }

    fn argo_cd() -> Owner {
        Owner::ArgoCd { application: "web".into(), namespace: None }
    }

    #[test]
    fn a_deployment_rolls_back_to_one_named_replica_set_of_one_object() {
        let runbook = runbook();
        let to = Revision { version: "1.4.1+ab".into(), digest: Some("sha256:ab".into()) };
        let place = Place {
            uid: Some("u-1".into()),
            replica_set: Some("checkout-7c9d".into()),
            kept: false,
            image: None,
            stopped: None,
            owners: vec![argo_cd()],
            differs: None,
        };
        let from = Revision::named("1.4.2+cd");
        let moves = Moves { from: &from, to: &to, configuration: None, database: None };
        let steps = runbook.steps(&moves, &place);
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
        let with = runbook.steps(&moves, &kept);
        assert_eq!(
            with[1].fallback.as_ref().map(|step| step.title.as_str()),
            Some(
                "set all of shop/checkout but its number of pods back as it was when 1.4.1+ab served well, and wait for it"
            )
        );
        assert!(steps[1].fallback.is_none(), "nothing is kept that could be set");
        let taking_over = DeploymentRunbook { owner: OwnerRule::TakeOver, ..runbook };
        let steps = taking_over.steps(&moves, &place);
        assert_eq!(
            steps.iter().map(|step| step.title.as_str()).collect::<Vec<_>>(),
            [&["suspend Application argocd/web, which would put it back"], &titles[..]].concat()
        );
        assert!(
            steps.iter().all(|step| step.action.may_repeat()),
            "each is looked at before it is done"
        );
    }

    #[test]
    fn what_pods_read_goes_back_before_they_start_and_where_nothing_else_does_they_are_started_anew()
     {
        let runbook = runbook();
        let restore = |name: &str, from: Option<&str>| Restore {
            kind: Kind::ConfigMap,
            name: name.into(),
            uid: None,
            from: from.map(str::to_owned),
            to: "sha256:a".into(),
            immutable: false,
        };
        let configuration = ConfigurationMove {
            from: Revision::named("config-b"),
            to: Revision::named("config-a"),
            restores: vec![restore("gone", None), restore("settings", Some("sha256:b"))],
            secrets: vec![],
            misread_since: Some(UnixMs(7)),
        };
        let [from, to] = ["1.4.2", "1.4.1"].map(Revision::named);
        let titles = |to: &Revision| -> Vec<String> {
            let moves =
                Moves { from: &from, to, configuration: Some(&configuration), database: None };
            let place = Place { kept: true, ..Place::default() };
            let steps = runbook.steps(&moves, &place);
            assert!(steps.iter().all(|step| step.action.may_repeat()));
            let has_fallback = steps.last().is_some_and(|step| step.fallback.is_some());
            assert_eq!(has_fallback, moves.is_of_application());
            steps.into_iter().map(|step| step.title).collect()
        };
        let maps = [
            "make ConfigMap shop/gone again, with what it held when config-a served well",
            "set ConfigMap shop/settings back to what it held when config-a served well",
        ];
        let both = titles(&to);
        assert_eq!(both[..2], maps);
        assert_eq!(
            both[2],
            "set the template of Deployment shop/checkout from 1.4.2 to 1.4.1, with all pods anew if one of it was made while config-b was read"
        );
        assert!(both[3].starts_with("wait until"), "{}", both[3]);
        let alone = titles(&from);
        assert_eq!(alone[..2], maps);
        let again = "start the pods of Deployment shop/checkout anew, which stays at 1.4.2, so that they read it";
        assert_eq!(alone[2], again);
        assert_eq!((both.len(), alone.len()), (4, 4), "one rollout either way");
        let mut map = restore("settings", None);
        assert_eq!(runbook.read_by_pods(&map), "configmap:main/shop/settings");
        map.kind = Kind::Secret;
        assert_eq!(runbook.read_by_pods(&map), "secret:main/shop/settings");
    }
}

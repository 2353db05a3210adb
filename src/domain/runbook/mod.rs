//! What the operator configured for a service: how its application rolls back.
//!
//! A runbook says how; which revisions are meant is chosen when a plan is made. Nothing here looks at a platform.

mod database;
mod deployment;
mod frontend;
mod rds;
mod release;
mod restore;
mod script;
mod secret;
mod stopping;
mod writes;

use serde::{Deserialize, Serialize};

pub use self::{
    database::{DatabaseRunbook, Way},
    deployment::{ARGOCD, DeploymentRunbook},
    frontend::FrontendRunbook,
    rds::{Anew, RdsRunbook},
    release::ReleaseRunbook,
    restore::{Replacement, RestoreRunbook},
    script::{PLACES, ScriptRunbook},
    secret::{SecretRunbook, resource as secret_resource},
    writes::StopWrites,
};
use super::{
    inventory::Place,
    owner::OwnerRule,
    plan::{Restore, Step},
    planning::Moves,
};

/// How the application of a service is rolled back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApplicationRunbook {
    /// On a machine with releases.
    Release(ReleaseRunbook),
    /// As a Deployment of a Kubernetes cluster.
    Deployment(DeploymentRunbook),
    /// As static files in a bucket.
    Frontend(FrontendRunbook),
}

impl ApplicationRunbook {
    /// What a plan locks.
    pub fn resource(&self) -> String {
        match self {
            Self::Release(release) => release.resource(),
            Self::Deployment(deployment) => deployment.resource(),
            Self::Frontend(frontend) => frontend.resource(),
        }
    }

    /// What a plan locks of what its pods read; several services may read one.
    pub fn read_by_pods(&self, what: &Restore) -> Option<String> {
        match self {
            Self::Release(_) | Self::Frontend(_) => None,
            Self::Deployment(deployment) => Some(deployment.read_by_pods(what)),
        }
    }

    /// Where it is, for people.
    pub fn place(&self) -> String {
        match self {
            Self::Release(release) => release.root.clone(),
            Self::Deployment(deployment) => deployment.place(),
            Self::Frontend(frontend) => frontend.at.to_string(),
        }
    }

    /// The annotation that says what the version before was, where there can be one.
    pub fn previous(&self) -> Option<&str> {
        match self {
            Self::Release(_) | Self::Frontend(_) => None,
            Self::Deployment(deployment) => deployment.previous.as_deref(),
        }
    }

    /// What is done where something else would put back what is rolled away from; none where nothing can.
    pub fn owner_rule(&self) -> Option<OwnerRule> {
        match self {
            Self::Release(_) | Self::Frontend(_) => None,
            Self::Deployment(deployment) => Some(deployment.owner),
        }
    }

    /// The steps from one exact revision to another, which the platform has at that place.
    pub fn steps(&self, moves: &Moves<'_>, place: &Place) -> Vec<Step> {
        match self {
            Self::Release(release) => {
                let secrets = moves.configuration.map_or(&[][..], |it| &it.secrets);
                let own = match moves.is_of_application() {
                    true => release.steps(moves.from, moves.to, !secrets.is_empty()),
                    false => vec![release.anew(moves.to)],
                };
                let own = may_write(moves, own);
                before(moves).chain(secrets.iter().cloned()).chain(own).collect()
            }
            Self::Frontend(frontend) => {
                let differs = place.differs.as_ref();
                let own = may_write(moves, frontend.steps(moves.from, moves.to, differs));
                before(moves).chain(own).collect()
            }
            Self::Deployment(deployment) => deployment.steps(moves, place),
        }
    }
}

/// What is done for the schema, before anything starts that was written for it.
fn before<'m>(moves: &'m Moves<'_>) -> impl Iterator<Item = Step> + 'm {
    moves.database.into_iter().flat_map(|it| {
        let back = |step: &Step| writes::or_gives_back(step.clone(), it.gives_back());
        it.before.iter().cloned().chain(it.steps.iter().map(back))
    })
}

/// With what lets it write again once other code is set: what is started then is that.
fn may_write(moves: &Moves<'_>, mut own: Vec<Step>) -> Vec<Step> {
    let start = moves.database.and_then(|it| it.start.clone());
    let at = own.len().min(1);
    own.splice(at..at, start);
    own
}

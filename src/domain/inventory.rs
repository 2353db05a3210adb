//! What is deployed now, as the platforms showed it. A plan is a runbook with every choice made from this.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    change::{Component, Revision, Told},
    configuration::{self, Configuration},
    frontend::Difference,
    image::{Image, Ran},
    owner::Owner,
    previous::{NewImage, Previous},
    warning::Warning,
};
use crate::units::UnixMs;

/// The name under which a platform that tells nothing stands beside signals that do.
pub const PLATFORM: &str = "platform";

/// The annotation of a Deployment that says how many pods a rollback has taken away.
pub const STOPPED: &str = "rollbackd.dev/stopped";

/// What was seen to serve, at the process itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Serving {
    /// This version answered.
    Version(String),
    /// Nothing serves; why it is thought so.
    NotRunning(String),
    /// Nobody can tell; why not.
    Unknown(String),
}

impl Serving {
    /// Whether exactly this version was seen.
    pub fn is(&self, version: &str) -> bool {
        matches!(self, Self::Version(seen) if seen == version)
    }
}

impl fmt::Display for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => write!(f, "{version} serves"),
            Self::NotRunning(why) => write!(f, "nothing serves ({why})"),
            Self::Unknown(why) => write!(f, "what serves is unknown ({why})"),
        }
    }
}

/// A revision that lies ready to be switched to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Available {
    /// Known by its name; its digest is computed when a plan needs it.
    pub revision: Revision,
    /// When it was last changed on disk.
    pub modified_at: Option<UnixMs>,
    /// What holds it, of a Deployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_in: Option<HeldIn>,
    /// Whether the daemon keeps all of it, of a Deployment that served well.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub kept: bool,
    /// What registries say of its images, where they were asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<Image>,
    /// By how much it differs from what is set, of a site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub differs: Option<Difference>,
}

impl Available {
    /// A revision that its name is enough to switch to.
    pub fn named(version: &str, modified_at: Option<UnixMs>) -> Self {
        let revision = Revision::named(version);
        Self { revision, modified_at, held_in: None, kept: false, images: vec![], differs: None }
    }
}

/// Where exactly a platform has a revision, where a name does not say it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The uid of the Deployment.
    pub uid: Option<String>,
    /// The ReplicaSet that holds the template.
    pub replica_set: Option<String>,
    /// Whether the daemon keeps all of it.
    pub kept: bool,
    /// The image that is set in place of a template that something holds.
    pub image: Option<NewImage>,
    /// How many pods it is given back that a rollback before this one has taken away.
    pub stopped: Option<u32>,
    /// What else sets it.
    pub owners: Vec<Owner>,
    /// By how much it differs from what is set, of a site.
    pub differs: Option<Difference>,
}

/// What a rollback of a Deployment must know beside its revisions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployed {
    /// Which one: another one of its name has another.
    pub uid: String,
    /// How many pods are wanted.
    pub wanted: u32,
    /// How many a rollback has taken away, where it has none since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<u32>,
    /// Whether its controller leaves it alone.
    pub paused: bool,
    /// What else sets it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owners: Vec<Owner>,
    /// What its pods read beside their image; none where its template refers to nothing, or nobody is to look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<configuration::Seen>,
    /// The pods of the version that it is set to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<Pods>,
    /// What those that are ready run under the names of its images.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ran: Vec<Ran>,
    /// What it says that the version before was, where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Previous>,
    /// What its cluster warns of, newest first, while something is wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

/// Pods of one version, as their kubelets say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pods {
    /// How many are there, ready or not.
    pub there: u32,
    /// How many are ready.
    pub ready: u32,
    /// How often their containers were started again, in all.
    pub restarts: u32,
    /// When the container that was started again last had ended, by its node's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restarted_at: Option<UnixMs>,
}

impl Pods {
    /// Whether one of them was started again since they were seen as `before`. Of pods that are gone the restarts are gone,
    /// too: fewer of them mean nothing.
    pub fn were_restarted_since(self, before: Self) -> bool {
        self.restarts > before.restarts || self.restarted_at > before.restarted_at
    }
}

impl Deployed {
    /// Why setting its template would change nothing that serves.
    pub fn bars(&self) -> Option<&'static str> {
        if self.paused {
            Some("its rollout is paused, and would stay so: `kubectl rollout resume` it first")
        } else if self.wanted == 0 {
            Some("it is scaled to 0 pods: another version would serve no more than this one")
        } else {
            None
        }
    }
}

/// A ReplicaSet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldIn {
    /// Its name.
    pub replica_set: String,
    /// Its number in `kubectl rollout history`, until it is used again.
    pub number: u64,
}

/// One component, as its platform showed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// Which part of the service.
    pub component: Component,
    /// What the platform is set to.
    pub linked: Option<Revision>,
    /// What serves.
    pub running: Serving,
    /// The platform's own time of the last switch.
    pub switched_at: Option<UnixMs>,
    /// What could be switched to; newest first, bounded.
    pub available: Vec<Available>,
    /// Everything that is not as it should be, in words.
    pub faults: Vec<String>,
    /// What the platform knows of the revision that it is set to, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<Told>,
    /// What else a rollback of it must know, of a Deployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployed: Option<Box<Deployed>>,
    /// What it reads beside its code, where it is no Deployment and something is said to be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<configuration::Seen>,
}

impl Inventory {
    /// Whether the platform's setting and what serves are one version.
    pub fn is_settled(&self) -> bool {
        self.linked.as_ref().is_some_and(|linked| self.running.is(&linked.version))
    }

    /// Whether something else was seen to serve than what is set: that earns nothing for it.
    pub fn runs_another(&self) -> bool {
        match (&self.linked, &self.running) {
            (Some(linked), Serving::Version(running)) => *running != linked.version,
            (Some(_) | None, _) => false,
        }
    }

    /// The release of that version, if it is still there.
    pub fn find(&self, version: &str) -> Option<&Available> {
        self.available.iter().find(|a| a.revision.version == version)
    }

    /// The release that a person means: by its version, or by its number in `kubectl rollout history`.
    pub fn meant_by(&self, text: &str) -> Option<&Available> {
        let number = text.parse().ok();
        let numbered = |a: &&Available| a.held_in.as_ref().map(|held| held.number) == number;
        let by_number = || self.available.iter().filter(|_| number.is_some()).find(numbered);
        self.find(text).or_else(by_number)
    }

    /// What else sets it.
    pub fn owners(&self) -> &[Owner] {
        self.deployed.as_ref().map_or(&[], |deployed| &deployed.owners)
    }

    /// What it says that the version before was.
    pub fn previous(&self) -> Option<&Previous> {
        self.deployed.as_ref()?.previous.as_ref()
    }

    /// What its cluster warns of, newest first.
    pub fn warnings(&self) -> &[Warning] {
        self.deployed.as_ref().map_or(&[], |deployed| &deployed.warnings)
    }

    /// What it reads beside its code, as far as that was seen; none where it reads nothing else, or nobody is to look.
    pub fn reads(&self) -> Option<&configuration::Seen> {
        match &self.deployed {
            Some(deployed) => deployed.configuration.as_ref(),
            None => self.read.as_ref(),
        }
    }

    /// The same, to be replaced.
    pub fn reads_mut(&mut self) -> &mut Option<configuration::Seen> {
        match &mut self.deployed {
            Some(deployed) => &mut deployed.configuration,
            None => &mut self.read,
        }
    }

    /// What it reads beside its code, where all of that was seen.
    pub fn configuration(&self) -> Option<&Configuration> {
        match self.reads()? {
            configuration::Seen::Known(known) => Some(known),
            configuration::Seen::Unknown(_) => None,
        }
    }

    /// The same, to add what is kept.
    pub fn configuration_mut(&mut self) -> Option<&mut Configuration> {
        match self.reads_mut().as_mut()? {
            configuration::Seen::Known(known) => Some(known),
            configuration::Seen::Unknown(_) => None,
        }
    }

    /// Why nobody can tell what it reads, where that is so.
    pub fn configuration_unknown(&self) -> Option<&str> {
        match self.reads()? {
            configuration::Seen::Known(_) => None,
            configuration::Seen::Unknown(why) => Some(why),
        }
    }

    /// Where what is set is, which stays.
    pub fn place_of_itself(&self) -> Place {
        Place {
            uid: self.deployed.as_ref().map(|deployed| deployed.uid.clone()),
            owners: self.owners().to_vec(),
            ..Place::default()
        }
    }

    /// Where exactly it is.
    pub fn place(&self, of: &Available) -> Place {
        Place {
            uid: self.deployed.as_ref().map(|deployed| deployed.uid.clone()),
            replica_set: of.held_in.as_ref().map(|held| held.replica_set.clone()),
            kept: of.kept,
            image: None,
            stopped: None,
            owners: self.owners().to_vec(),
            differs: of.differs,
        }
    }
}

/// One line of a preflight: whether a rollback would find what it needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What was looked at.
    pub what: String,
    /// Whether it is as a rollback needs it.
    pub ok: bool,
    /// What was seen, and what to do where it is not ok.
    pub why: String,
}

impl Check {
    /// Of what was seen, or of why that is not as a rollback needs it.
    pub fn of(what: &str, seen: Result<String, String>) -> Self {
        let ok = seen.is_ok();
        Self { what: what.to_owned(), ok, why: seen.unwrap_or_else(|why| why) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_is_settled_where_what_is_set_is_what_serves() {
        let seen = |linked: Option<&str>, running: Serving| Inventory {
            component: Component::Application,
            linked: linked.map(Revision::named),
            running,
            switched_at: None,
            available: vec![],
            faults: vec![],
            told: None,
            deployed: None,
            read: None,
        };
        let v1 = || Serving::Version("v1".into());
        assert!(seen(Some("v1"), v1()).is_settled());
        assert!(!seen(Some("v2"), v1()).is_settled() && !seen(None, v1()).is_settled());
        assert!(!seen(Some("v1"), Serving::NotRunning("stopped".into())).is_settled());
        assert!(seen(Some("v2"), v1()).runs_another() && !seen(Some("v1"), v1()).runs_another());
        assert!(!seen(Some("v2"), Serving::Unknown("nobody answers".into())).runs_another());
    }
}

//! A plan: a runbook with every choice made, before its first step.
//!
//! A plan names exact revisions, paths and commands. It never says "the previous one", so running a step twice
//! cannot undo itself, and an approval can be of one exact plan: its hash.

mod action;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use self::action::Action;
use super::{
    change::{Component, Revision},
    configuration::Kind,
    service::ServiceId,
};
use crate::units::{Span, UnixMs};

/// Where an environment variable of a command comes from. Secrets stay references, so that no plan holds one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnvValue {
    /// The value itself.
    Text(String),
    /// The content of a file, without its final line break.
    File(String),
    /// A variable of the daemon's own environment.
    Env(String),
}

/// A program with its arguments; never a shell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandLine {
    /// The program, then its arguments. Never empty.
    pub argv: Vec<String>,
    /// Added to a clean environment that holds `PATH`, `HOME` and `LANG` alone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, EnvValue>,
    /// The working directory; the state directory when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dir: Option<String>,
    /// After this the whole process group is ended.
    pub timeout: Span,
}

impl CommandLine {
    /// As a person would type it, where nothing of it needs quotes.
    pub fn in_words(&self) -> String {
        self.argv.join(" ")
    }
}

/// How a release is made to serve after the switch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Restart {
    /// `systemctl restart UNIT`.
    Unit(String),
    /// A command.
    Command(CommandLine),
}

/// How the version that serves is seen: at the running process, never at the symlink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Running {
    /// An address that answers with the version, as text or at a JSON pointer.
    Http {
        /// The address.
        url: String,
        /// Where in a JSON body the version stands, for example `/build/version`; the whole text when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pointer: Option<String>,
    },
    /// A command that prints the version.
    Command(CommandLine),
    /// The release directory that a systemd unit's main process was started from.
    Unit(String),
}

/// One Deployment, and no other of its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentAt {
    /// The cluster's name in the configuration.
    pub cluster: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid: one that was deleted and made anew is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
}

/// The schema of a database, by the table that tells its migrations.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SchemaAt {
    /// The database's name in the configuration.
    pub database: String,
    /// The table, with its schema where one is said.
    pub history_table: String,
}

impl fmt::Display for SchemaAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the schema of {}", self.database)
    }
}

/// One ConfigMap or Secret that is set back, exactly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restore {
    /// What it is.
    #[serde(default, skip_serializing_if = "Kind::is_config_map")]
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Its uid: one that was deleted and made anew is another. None where it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// The hash of what it must hold now; another one means that somebody changed it in between. None where it must not be
    /// there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The hash of what it will hold.
    pub to: String,
    /// Whether it is made so that nobody can change it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub immutable: bool,
}

impl Restore {
    /// `ConfigMap checkout-settings`.
    pub fn called(&self) -> String {
        format!("{} {}", self.kind, self.name)
    }
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// A sentence for people: `switch current of /srv/shop from v2 to v1`.
    pub title: String,
    /// What is done.
    pub action: Action,
    /// What must be there: permissions, files, units.
    pub needs: Vec<String>,
    /// How long it may take in all, observation included.
    pub timeout: Span,
    /// How often it may be tried; at least 1.
    pub attempts: u32,
    /// What is tried when every attempt failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Box<Step>>,
}

/// What one component goes from and to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Which part.
    pub component: Component,
    /// What serves when the plan is made.
    pub from: Revision,
    /// What will serve.
    pub to: Revision,
}

/// Every choice made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// What it rolls back.
    pub service: ServiceId,
    /// From which revision to which, by component.
    pub targets: Vec<Target>,
    /// In the order in which they run.
    pub steps: Vec<Step>,
    /// What no other plan may hold at the same time, for example `release:/srv/shop`.
    pub resources: BTreeSet<String>,
    /// How long it should take until verified: from the runbook, then from this service's own history.
    pub estimate: Span,
    /// Why these parts go back and others stay, in a sentence; empty where there is but one part. Not part of the hash.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub scope: String,
    /// What is lost with it, as it was counted then; empty where nothing is, or nobody counts. Not part of the hash.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub lost: String,
    /// When it was made; not part of the hash.
    pub made_at: UnixMs,
}

impl Plan {
    /// The hash of every choice in the plan: what a person approves. 16 hex digits.
    pub fn hash(&self) -> String {
        let bytes = serde_json::to_vec(&self.choices()).unwrap_or_default();
        hex(&Sha256::digest(&bytes)[..8])
    }

    /// Whether both have one hash.
    pub fn is_same_choice(&self, other: &Self) -> bool {
        self.choices() == other.choices()
    }

    fn choices(&self) -> (&ServiceId, &[Target], &[Step], &BTreeSet<String>) {
        (&self.service, &self.targets, &self.steps, &self.resources)
    }

    /// The ConfigMaps and Secrets that it restores.
    pub fn restores(&self) -> impl Iterator<Item = &Restore> {
        self.steps.iter().filter_map(|step| {
            let Action::ConfigMapRestore { what, .. } = &step.action else { return None };
            Some(what)
        })
    }

    /// `v2 -> v1`, or several joined by commas.
    pub fn summary(&self) -> String {
        let each: Vec<String> = self
            .targets
            .iter()
            .map(|t| format!("{} {} -> {}", t.component, t.from, t.to))
            .collect();
        each.join(", ")
    }

    /// The versions that serve afterwards, joined by commas.
    pub fn to_versions(&self) -> String {
        let each: Vec<String> = self.targets.iter().map(|t| t.to.to_string()).collect();
        each.join(", ")
    }
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run that goes on after a restart reads it from the journal.
    #[test]
    fn what_is_restored_is_read_from_the_journal_as_it_was_written() {
        let of = DeploymentAt {
            cluster: "main".into(),
            namespace: "shop".into(),
            name: "checkout".into(),
            uid: Some("u-1".into()),
        };
        let gone = Restore {
            kind: Kind::ConfigMap,
            name: "settings".into(),
            uid: None,
            from: None,
            to: "sha256:a".into(),
            immutable: true,
        };
        let there = Restore {
            uid: Some("u-2".into()),
            from: Some("sha256:b".into()),
            immutable: false,
            ..gone.clone()
        };
        let secret = Restore { kind: Kind::Secret, ..there.clone() };
        for what in [gone, there, secret] {
            let action = Action::ConfigMapRestore { of: of.clone(), what };
            let written = serde_json::to_string(&action).unwrap();
            assert_eq!(serde_json::from_str::<Action>(&written).unwrap(), action, "{written}");
        }
    }
}

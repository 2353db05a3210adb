//! A plan: a runbook with every choice made, before its first step.
//!
//! A plan names exact revisions, paths and commands. It never says "the previous one", so running a step twice
//! cannot undo itself, and an approval can be of one exact plan: its hash.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    change::{Component, Revision},
    configuration::Kind,
    maintenance::MaintenanceMode,
    reconciler::Reconciler,
    schema::script::ScriptRun,
    secret::SecretMove,
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

/// One change of one platform, with its exact target. Each is observed, applied if needed, observed again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Point the `current` symlink at another release directory.
    ReleaseSwitch {
        /// The directory that holds `releases/` and `current`.
        root: String,
        /// The version that the link must point at now; another one means somebody deployed in between.
        from: String,
        /// The version it will point at.
        to: String,
        /// The content hash that the target directory must still have.
        digest: Option<String>,
    },
    /// Restart what runs from `current`, until the wanted version is seen to serve.
    ReleaseRestart {
        /// The directory that holds `releases/` and `current`.
        root: String,
        /// The version that must serve afterwards.
        to: String,
        /// How to restart.
        restart: Restart,
        /// How to see what serves.
        running: Running,
        /// Also where that serves already, so that it reads what it is given now.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        anew: bool,
    },
    /// Make what is there while maintenance mode is on.
    MaintenanceOn {
        /// What.
        mode: MaintenanceMode,
        /// People are paged when it has been on for so long.
        page_after: Span,
        /// Whether there is no rollback without it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        required: bool,
    },
    /// Delete it again, whatever became of the rollback. No plan has this as a step.
    MaintenanceOff {
        /// What.
        mode: MaintenanceMode,
    },
    /// Tell what would put it back to leave it alone.
    OwnerSuspend {
        /// The cluster's name in the configuration.
        cluster: String,
        /// What is told so.
        reconciler: Reconciler,
    },
    /// Set the template of a Deployment to one that it has had.
    DeploymentUndo {
        /// Which one.
        at: DeploymentAt,
        /// The version that it must be set to now; another one means somebody deployed in between.
        from: Revision,
        /// The version it will be set to, by its hash.
        to: Revision,
        /// The ReplicaSet that holds this version's template.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        replica_set: Option<String>,
        /// Since when pods were given what was restored before this step, by the API server's time: pods of that version that
        /// were made since read it when they started, and where there are any all are started anew.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        misread_since: Option<UnixMs>,
    },
    /// Set the image of one container of a Deployment's template, and nothing else.
    DeploymentImage {
        /// Which one.
        at: DeploymentAt,
        /// The version that it must be set to now; another one means somebody deployed in between.
        from: Revision,
        /// The version that it is with that image, by its hash.
        to: Revision,
        /// The container.
        container: String,
        /// The whole reference.
        image: String,
    },
    /// Wait until all of a Deployment's pods are of this version and available. Changes nothing.
    DeploymentRollout {
        /// Which one.
        at: DeploymentAt,
        /// The version that must serve afterwards, by its hash.
        to: Revision,
        /// After so long in which its pods say that they cannot start, they will not.
        stuck_after: Span,
    },
    /// Set all of a Deployment but the number of its pods back as it was when a version served well, and wait until that
    /// serves.
    DeploymentApply {
        /// Which one.
        at: DeploymentAt,
        /// What the rollback leaves, for the note beside it.
        from: Revision,
        /// The version that its template must be set to already, by its hash.
        to: Revision,
        /// As of a rollout.
        stuck_after: Span,
    },
    /// Give a ConfigMap or a Secret the content that it had when a configuration served well, or make it again.
    ConfigMapRestore {
        /// The Deployment that reads it: it is in the same namespace, and what is kept is kept for it.
        of: DeploymentAt,
        /// Which one, from what, to what.
        #[serde(flatten)]
        what: Restore,
    },
    /// Move the label of a secret's current version, at AWS, to another version.
    SecretMove {
        /// From which exact version to which one.
        what: SecretMove,
    },
    /// Start every pod of a Deployment anew, each in its turn, so that it reads what it is given now.
    DeploymentRestart {
        /// Which one.
        at: DeploymentAt,
        /// The version that it must be set to, and stays at.
        version: Revision,
    },
    /// Scale a Deployment to nothing, and wait until none of its pods is left: nothing of it reads or writes any more.
    DeploymentStop {
        /// Which one.
        at: DeploymentAt,
        /// How many pods it had when the plan was made, for people; what it has when it is stopped is written down beside it.
        pods: u32,
    },
    /// Give a Deployment that this run stopped the pods back that it had.
    DeploymentStart {
        /// Which one.
        at: DeploymentAt,
        /// How many, where what was written down beside it is gone.
        pods: u32,
    },
    /// Take migrations back with the tool that made them, down to an exact version. What the history says is looked at before
    /// and after; anything else than `from`, `to` or a version between them means that somebody migrated in between.
    MigrationsUndo {
        /// Whose.
        schema: SchemaAt,
        /// The version that it must be at now.
        from: Revision,
        /// The version that it will be at.
        to: Revision,
        /// What is taken back, in that order.
        undone: Vec<String>,
        /// What does it.
        run: CommandLine,
    },
    /// Run a script that takes migrations back, in one transaction: what the history, the catalogue and the data are afterwards is looked
    /// at before it is committed.
    ReverseScript {
        /// The script, from where to where, and within which limits.
        #[serde(flatten)]
        script: Box<ScriptRun>,
        /// How large it is.
        bytes: u64,
        /// How it begins.
        head: Vec<String>,
        /// What it changed of the catalogue when it was tried, and must change again; in words, and the hash.
        changes: Vec<String>,
        /// The hash of all that it changed then.
        changed: String,
    },
    /// Restore a snapshot into a new database beside the one that is there, and see that it holds what it should. What is left
    /// of an earlier attempt is deleted first; what anybody else made is not touched.
    SnapshotRestore {
        /// Whose.
        schema: SchemaAt,
        /// The snapshot.
        file: String,
        /// How large it must still be.
        bytes: u64,
        /// The hash that its beginning must still have.
        fingerprint: String,
        /// The database that it is of, which stays as it is.
        beside: String,
        /// The name of the new one.
        restored: String,
        /// The version that its schema must have then.
        to: Revision,
        /// What restores it.
        run: CommandLine,
    },
    /// Put what was restored in the place of a database, which is kept under another name: both or neither.
    DatabaseSwitch {
        /// Whose.
        schema: SchemaAt,
        /// The name that both have in turn.
        database: String,
        /// The name of what was restored.
        restored: String,
        /// The name of what is kept.
        replaced: String,
        /// The version that the schema must be at now; another one means that somebody migrated in between.
        from: Revision,
        /// The version that it will be at.
        to: Revision,
    },
    /// Run a script.
    Command {
        /// What changes the world.
        run: CommandLine,
        /// Exits 0 when the change is already in effect.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        observe: Option<CommandLine>,
        /// Whether running it twice equals running it once.
        idempotent: bool,
    },
    /// A check after the rollback: exits 0 when all is well. Changes nothing, may run again.
    Check {
        /// The check.
        run: CommandLine,
    },
    /// A check that a cluster runs, as a Job that is made from a CronJob; once for each attempt.
    CheckJob {
        /// The cluster's name in the configuration.
        cluster: String,
        /// Where it runs.
        namespace: String,
        /// What it is made from.
        cron_job: String,
        /// It is ended after so long.
        timeout: Span,
        /// It stays for so long after its end.
        keep: Span,
    },
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

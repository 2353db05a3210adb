//! What one step of a plan does: a change of one platform, with its exact target.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{CommandLine, DeploymentAt, Restart, Restore, Running, SchemaAt};
use crate::{
    domain::{
        change::Revision,
        frontend::{Marker, SiteAt},
        maintenance::MaintenanceMode,
        rds::{RdsRestore, RdsSwitch, Restored},
        reconciler::Reconciler,
        schema::{script::ScriptRun, undo::UndoBy},
        secret::SecretMove,
    },
    units::{Span, UnixMs},
};

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
    /// Keep a service from writing, by a program that may be run twice.
    WritesStop {
        /// What does it.
        run: CommandLine,
        /// Whether an earlier rollback did it, and nothing has let it write again.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        already: bool,
    },
    /// Let it write again, by a program that may be run twice.
    WritesStart {
        /// What does it.
        run: CommandLine,
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
        #[serde(flatten)]
        by: UndoBy,
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
    /// Make an instance of RDS, or a cluster, of a snapshot of another one, with that one's settings, and wait until it can be used.
    /// What this run made is known by its tag, and waited for; what anybody else made is not touched.
    RdsRestore {
        /// Of what, and from which snapshots.
        #[serde(flatten)]
        what: Box<RdsRestore>,
    },
    /// See that all that the plan was made for is still so, and that it may be done, before anything is stopped for it. Changes nothing.
    RdsReady {
        /// Whose history of migrations.
        schema: SchemaAt,
        /// The version that the schema must be at now.
        from: Revision,
        /// What is to be made, and of which snapshots.
        restore: Box<RdsRestore>,
        /// Which secret must be as it was.
        switch: Box<RdsSwitch>,
    },
    /// See over SQL that what was restored holds what it should. Changes nothing.
    RdsVerify {
        /// Whose history of migrations.
        schema: SchemaAt,
        /// What was restored.
        restored: Restored,
        /// The version that its schema must have.
        to: Revision,
        /// Queries that must return no row there, by what each is about.
        verify: BTreeMap<String, String>,
    },
    /// Write the address of what was restored into the secret where the service finds it, in the place of the one that is there.
    RdsSwitch {
        /// Whose history of migrations.
        schema: SchemaAt,
        /// The version that the schema must be at now; another one means that somebody migrated in between.
        from: Revision,
        /// The version that it will be at.
        to: Revision,
        /// In which secret, from which exact version and address.
        #[serde(flatten)]
        what: Box<RdsSwitch>,
    },
    /// Copy what differs of a version of a site to where it is served from. Both versions are as their manifests say, whose hashes
    /// the revisions are; what is neither of the one nor of the other means that somebody deployed in between.
    FrontendCopy {
        /// Where.
        at: SiteAt,
        /// The version that must be live now, or be partly replaced by an earlier attempt.
        from: Revision,
        /// The version that will be live.
        to: Revision,
        /// How many objects are copied together.
        at_once: usize,
    },
    /// Tell the edges to forget what differs, and wait until they have.
    FrontendInvalidate {
        /// Of which site.
        at: SiteAt,
        /// The id of the distribution.
        distribution: String,
        /// The version that is left.
        from: Revision,
        /// The version that is live.
        to: Revision,
        /// The path of the site's own address.
        base: String,
        /// Paths that are invalidated too.
        also: Vec<String>,
        /// How many paths there may be.
        paths_max: usize,
    },
    /// See that people are served a version: its marker, and its pages byte for byte. Changes nothing.
    FrontendVerify {
        /// Of which site.
        at: SiteAt,
        /// The version.
        to: Revision,
        /// Where people open it.
        url: String,
        /// What says which version it is.
        marker: Marker,
        /// At how many pages is looked.
        pages_max: usize,
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

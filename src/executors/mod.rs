//! What performs a plan's steps. Executors carry out and observe; they decide nothing.
//!
//! Every attempt goes the same way: is it permitted, is it already in effect, apply, is it in effect now. It is
//! `Done` only when it was seen to be. What an earlier daemon may have begun is observed before it is repeated,
//! and never repeated where that could do it twice.

mod adopted;
mod child;
mod command;
mod database;
mod deployment;
pub mod digest;
pub mod frontend;
pub mod inventory;
mod layout;
mod maintenance;
pub mod orphan;
pub mod preflight;
pub mod process;
mod program;
pub mod progress;
pub mod rds;
mod release;
mod restart;
mod running;
pub mod script;
mod secret;
pub mod snapshot;
mod tail;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::Instant;
use tracing::{info, warn};

pub use self::adopted::Adopted;
pub use self::database::Histories;
pub use self::deployment::{
    Also, Clusters, Looked, Manifests, keep, keep_configuration, preflight as deployment_preflight,
};
pub use self::maintenance::maintenance_preflight;
pub use self::secret::{Accounts, relabel, secret_preflight};
use crate::{
    domain::{
        maintenance::MaintenanceMode,
        plan::{Action, CommandLine},
        run::{Order, Outcome, Report},
    },
    store::Lease,
};

/// What every executor is given.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where records of running children are kept, and where commands run that name no directory.
    pub state_dir: PathBuf,
    /// How much of a release is hashed at most.
    pub digest: digest::Bounds,
    /// How Kubernetes clusters are reached.
    pub clusters: Clusters,
    /// How accounts of AWS are reached.
    pub accounts: Accounts,
    /// What is made for maintenance mode.
    pub manifests: Manifests,
    /// Whose migrations can be taken back, and where that is seen.
    pub histories: Histories,
    /// Whose schema goes back by scripts.
    pub scripts: script::Scripts,
    /// Whose databases can be restored, and from what.
    pub keepers: snapshot::Keepers,
    /// The sites that may be touched.
    pub sites: frontend::Sites,
    /// How far the attempts are that run.
    pub progress: progress::Board,
    http: reqwest::Client,
    /// For what everybody may open: it is farther away than what is asked otherwise.
    #[cfg(feature = "aws")]
    public: reqwest::Client,
}

impl Options {
    /// Defaults for a state directory. No look over HTTP goes through a proxy or follows a redirect: it must show
    /// what this very machine serves.
    pub fn new(state_dir: PathBuf) -> Result<Self, reqwest::Error> {
        rustls::crypto::ring::default_provider().install_default().ok();
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(1))
            .timeout(running::LOOK)
            // A kept connection could lead to the process that is being replaced.
            .pool_max_idle_per_host(0)
            .build()?;
        #[cfg(feature = "aws")]
        let public = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(5))
            // What is hashed is what was sent.
            .no_gzip()
            .build()?;
        let (digest, clusters) = (digest::Bounds::default(), Clusters::default());
        Ok(Self {
            state_dir,
            digest,
            clusters,
            accounts: Accounts::default(),
            manifests: Manifests::default(),
            histories: Histories::default(),
            scripts: script::Scripts::default(),
            keepers: snapshot::Keepers::default(),
            sites: frontend::Sites::default(),
            progress: progress::Board::default(),
            http,
            #[cfg(feature = "aws")]
            public,
        })
    }
}

/// What a program prints that only looks, whole; or why that cannot be read.
pub async fn printed(line: &CommandLine, dir: &Path, bytes_max: usize) -> Result<String, String> {
    let until = Instant::now() + line.timeout.duration();
    let ran = command::run_reading(line, dir, until, bytes_max).await?;
    // Flyway says on its output what is wrong, however it ends.
    if ran.stdout.is_empty() { command::whole(ran) } else { Ok(ran.stdout) }
}

/// Why an attempt did not end well; says what can be done.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// Not in effect.
    #[error("{why}")]
    Failed {
        /// For people.
        why: String,
        /// Whether trying again can help.
        retry: bool,
    },
    /// Nobody can tell whether it is in effect.
    #[error("{0}")]
    Unknown(String),
    /// Not begun, for a reason that the lease gave.
    #[error("{0}")]
    Withheld(String),
}

impl From<Trouble> for Outcome {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Failed { why, retry } => Self::Failed { why, retry },
            Trouble::Unknown(why) => Self::Unknown { why },
            Trouble::Withheld(why) => Self::Withheld { why },
        }
    }
}

fn failed<T>(why: String, retry: bool) -> Result<T, Trouble> {
    Err(Trouble::Failed { why, retry })
}

/// One attempt on its way: what was ordered, and what has been seen so far.
struct Attempt<'a> {
    order: &'a Order,
    options: &'a Options,
    lease: &'a Lease,
    until: Instant,
    /// Whether something may have been changed, by this daemon or an earlier one.
    touched: bool,
    before: String,
    after: String,
    output: String,
    /// What stays of it until people take it back.
    left: String,
    /// Whether all that it would change was seen to be as the plan found it, for good, should it fail.
    unmoved: bool,
}

impl Attempt<'_> {
    /// Asked again right before every effect.
    fn permits(&self) -> Result<(), Trouble> {
        self.lease.permits().map_err(|withheld| Trouble::Withheld(withheld.to_string()))
    }

    /// Keeps what a program printed.
    fn note(&mut self, ran: &child::Ran) {
        self.say(&ran.output());
    }

    /// Shown while it runs; what is to be in its report is said, too.
    fn progress(&self, text: &str) {
        self.options.progress.told(&self.order.run, text);
    }

    fn say(&mut self, text: &str) {
        if !self.output.is_empty() && !text.is_empty() {
            self.output.push('\n');
        }
        self.output.push_str(text);
    }
}

/// Carries out one attempt at a step and reports what was seen.
///
/// Returns soon after the step's timeout: at most 10 s are added for ending what hangs, 10 s for a last look.
/// Dropping the future ends the process group of a command under way.
pub async fn carry_out(order: &Order, options: &Options, lease: &Lease) -> Report {
    let begun = Instant::now();
    let Order { step, attempt, .. } = order;
    let title = &order.what.title;
    info!(step, attempt, resumed = order.resumed, "beginning: {title}");
    let _running = options.progress.running(&order.run);
    let mut on_its_way = Attempt {
        order,
        options,
        lease,
        until: begun + order.what.timeout.duration(),
        touched: order.resumed,
        before: String::new(),
        after: String::new(),
        output: String::new(),
        left: String::new(),
        unmoved: false,
    };
    let outcome = perform(&mut on_its_way).await.unwrap_or_else(Outcome::from);
    let took_ms = i64::try_from(begun.elapsed().as_millis()).unwrap_or(i64::MAX);
    match &outcome {
        Outcome::AlreadyDone => info!(step, attempt, took_ms, "already in effect: {title}"),
        Outcome::Done => info!(step, attempt, took_ms, "done: {title}"),
        Outcome::Failed { why, retry } => {
            warn!(step, attempt, took_ms, retry, "failed: {title}: {why}");
        }
        Outcome::Unknown { why } => warn!(step, attempt, took_ms, "unknown: {title}: {why}"),
        Outcome::Withheld { why } => warn!(step, attempt, took_ms, "withheld: {title}: {why}"),
    }
    let Attempt { before, after, output, left, unmoved, .. } = on_its_way;
    let unmoved = unmoved && matches!(outcome, Outcome::Failed { .. });
    Report { outcome, before, after, output, left, unmoved, took_ms }
}

async fn perform(attempt: &mut Attempt<'_>) -> Result<Outcome, Trouble> {
    let action = &attempt.order.what.action;
    // Reported even when nothing may be begun: a withheld attempt would be begun anew, and do it twice.
    let blind = attempt.order.resumed && !action.may_repeat();
    if !blind {
        attempt.permits()?;
    }
    settle_orphans(attempt, blind).await?;
    if blind {
        let why = "an earlier daemon began it and did not live to see its end; it has no `observe` \
                   command and is not declared idempotent, so it is not repeated";
        return Err(Trouble::Unknown(why.to_owned()));
    }
    done(attempt, action).await
}

async fn done(attempt: &mut Attempt<'_>, action: &Action) -> Result<Outcome, Trouble> {
    match action {
        Action::Command { run, observe, idempotent } => {
            command::command(attempt, run, observe.as_ref(), *idempotent).await
        }
        Action::WritesStop { run, .. } | Action::WritesStart { run } => {
            command::command(attempt, run, None, true).await
        }
        Action::Check { run } => command::check(attempt, run).await,
        Action::ReleaseSwitch { root, from, to, digest } => {
            release::switch(attempt, root, from, to, digest.as_deref()).await
        }
        Action::ReleaseRestart { root, to, restart, running, anew } => {
            restart::restart(attempt, root, to, (restart, *anew), running).await
        }
        Action::OwnerSuspend { cluster, reconciler } => {
            deployment::suspend(attempt, cluster, reconciler).await
        }
        Action::MaintenanceOn { mode, .. } => switch(attempt, mode, true).await,
        Action::MaintenanceOff { mode } => switch(attempt, mode, false).await,
        Action::DeploymentUndo { at, from, to, replica_set, misread_since } => {
            let misread_since = *misread_since;
            let by = deployment::By::Held { replica_set: replica_set.as_deref(), misread_since };
            deployment::undo(attempt, deployment::Undo { at, from, to, by }).await
        }
        Action::DeploymentImage { at, from, to, container, image } => {
            let by = deployment::By::Image { container, image };
            deployment::undo(attempt, deployment::Undo { at, from, to, by }).await
        }
        Action::ConfigMapRestore { of, what } => deployment::restore(attempt, of, what).await,
        Action::SecretMove { what } => secret::move_back(attempt, what).await,
        Action::DeploymentRestart { at, version } => {
            deployment::restart(attempt, at, version).await
        }
        Action::MigrationsUndo { schema, from, to, undone, by } => {
            let way = database::Way { from, to, undone };
            database::undo(attempt, database::Undo { schema, way, by }).await
        }
        Action::SnapshotRestore { .. } | Action::DatabaseSwitch { .. } => {
            Box::pin(snapshot::perform(attempt, action)).await
        }
        Action::RdsReady { .. }
        | Action::RdsRestore { .. }
        | Action::RdsVerify { .. }
        | Action::RdsSwitch { .. } => Box::pin(rds::perform(attempt, action)).await,
        Action::ReverseScript { script, changed, .. } => {
            script::run(attempt, script, changed).await
        }
        Action::DeploymentStop { at, .. } => deployment::stop(attempt, at).await,
        Action::DeploymentStart { at, pods } => deployment::start(attempt, at, *pods).await,
        Action::DeploymentApply { at, from, to, stuck_after } => {
            let stuck_after = *stuck_after;
            deployment::apply(attempt, deployment::Apply { at, from, to, stuck_after }).await
        }
        Action::CheckJob { cluster, namespace, cron_job, timeout, keep } => {
            let from = (cluster.as_str(), namespace.as_str(), cron_job.as_str());
            let job = deployment::Job { from, timeout: *timeout, keep: *keep, once_with: None };
            deployment::job(attempt, job).await
        }
        Action::FrontendCopy { .. }
        | Action::FrontendInvalidate { .. }
        | Action::FrontendVerify { .. } => Box::pin(frontend::perform(attempt, action)).await,
        &Action::DeploymentRollout { ref at, ref to, stuck_after } => {
            deployment::rollout(attempt, deployment::Rollout { at, to, stuck_after }).await
        }
    }
}

async fn switch(
    attempt: &mut Attempt<'_>,
    mode: &MaintenanceMode,
    on: bool,
) -> Result<Outcome, Trouble> {
    match (&mode.commands, on) {
        (Some(commands), true) => maintenance::switch_on(attempt, &mode.service, commands).await,
        (Some(commands), false) => maintenance::switch_off(attempt, &mode.service, commands).await,
        (None, true) => deployment::switch_on(attempt, mode).await,
        (None, false) => deployment::switch_off(attempt, mode).await,
    }
}

/// Whatever an earlier attempt at this step left running is waited for, then ended, before anything is observed.
/// The waiting has the step's timeout to itself; what follows has it anew.
async fn settle_orphans(attempt: &mut Attempt<'_>, blind: bool) -> Result<(), Trouble> {
    let dir = &attempt.options.state_dir;
    let found = orphan::of_step(dir, attempt.order).await;
    let any = !found.is_empty();
    for left in found {
        let pid = left.process.pid;
        if let Err(withheld) = attempt.lease.permits() {
            let why = format!("process {pid} of an earlier attempt still runs, and {withheld}");
            return Err(if blind { Trouble::Unknown(why) } else { Trouble::Withheld(why) });
        }
        let wait = attempt.until.saturating_duration_since(Instant::now());
        let ended = orphan::end_orphan(dir, &left, wait).await.map_err(|error| {
            let why = format!("process {pid} of an earlier attempt cannot be ended: {error}");
            Trouble::Unknown(why)
        })?;
        let how = match ended {
            orphan::Ending::ByItself => "ended by itself",
            orphan::Ending::Ended => "did not end in time and was ended",
        };
        attempt.say(&format!("process {pid}, left over from an earlier attempt, {how}"));
    }
    if any {
        attempt.until = Instant::now() + attempt.order.what.timeout.duration();
    }
    Ok(())
}

#[cfg(test)]
mod tests;

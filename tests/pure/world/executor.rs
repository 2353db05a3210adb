//! Attempts under way. The order of looking, asking the lease, changing and looking again is that of
//! `src/executors/{mod,release,restart,command}.rs`, over a platform that fails at each of these places.

mod reversed;
mod secret;

use std::collections::VecDeque;

use rollbackd::domain::{
    change::Revision,
    plan::Action,
    run::{Order, Outcome, Report},
    service::ServiceId,
};

use super::{
    operator::READ,
    rng::Dice,
    site::{Actor, Site},
};

/// What goes wrong with one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mishap {
    Nothing,
    /// It fails before it changes anything.
    Refused,
    /// It fails, and trying again cannot help.
    Hopeless,
    /// It applies, and then nobody can say so in time.
    TimesOutAfter,
    /// It hangs before it applies, and nobody can say that either.
    TimesOutBefore,
    /// The old process is gone and the new one does not come.
    Half,
    /// It is told to have failed, and takes effect later.
    Late,
    /// It says that it is done, and what runs is as bad as before.
    Lies,
}

impl Mishap {
    pub(crate) const ALL: [Self; 8] = [
        Self::Nothing,
        Self::Refused,
        Self::Hopeless,
        Self::TimesOutAfter,
        Self::TimesOutBefore,
        Self::Half,
        Self::Late,
        Self::Lies,
    ];

    pub(crate) fn thrown(dice: &mut Dice, percent: u64) -> Self {
        if dice.percent(percent) { dice.pick(&Self::ALL[1..]) } else { Self::Nothing }
    }
}

/// One attempt on its way.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) service: ServiceId,
    pub(crate) order: Order,
    pub(crate) epoch: u64,
    pub(crate) applies_at: i64,
    pub(crate) reports_at: i64,
    pub(crate) mishap: Mishap,
    pub(crate) outcome: Option<Outcome>,
    /// The daemon that began it is gone: nobody hears of it.
    pub(crate) orphan: bool,
}

/// Why nothing may be done now.
pub(crate) type Withheld = Option<&'static str>;

impl Attempt {
    pub(crate) fn new(
        service: ServiceId,
        order: Order,
        epoch: u64,
        (at, orphan_ends): (i64, Option<i64>),
        mishap: Mishap,
        dice: &mut Dice,
    ) -> Self {
        // Whatever an earlier daemon left running is waited for before anything is looked at.
        let begins = orphan_ends.map_or(at, |ends| at.max(ends));
        let applies_at = begins + dice.between(200, 3_000);
        let slow = matches!(mishap, Mishap::TimesOutAfter | Mishap::TimesOutBefore | Mishap::Late);
        let takes = if slow { order.what.timeout.ms() } else { dice.between(200, 6_000) };
        let reports_at = applies_at + takes;
        let outcome = None;
        Self { service, order, epoch, applies_at, reports_at, mishap, outcome, orphan: false }
    }

    fn by(&self) -> Actor {
        let (run, step) = (self.order.run.clone(), self.order.step);
        Actor::Daemon { epoch: self.epoch, run, step }
    }

    /// Looks, asks the lease, changes what is to be changed. Returns an effect that comes later by itself.
    pub(crate) fn apply(
        &mut self,
        site: &mut Site,
        withheld: Withheld,
        at: i64,
        wall: super::Wall,
    ) {
        let action = self.order.what.action.clone();
        let blind = self.order.resumed && !action.may_repeat();
        let outcome = match (blind, withheld) {
            (true, _) => Outcome::Unknown { why: "an earlier daemon began it".into() },
            (false, Some(why)) => Outcome::Withheld { why: why.into() },
            (false, None) => match self.mishap {
                Mishap::Refused => failed("refused", true),
                Mishap::Hopeless => failed("permission denied", false),
                _ => self.perform(&action, site, at, wall),
            },
        };
        self.outcome = Some(outcome);
    }

    fn perform(&self, action: &Action, site: &mut Site, at: i64, wall: super::Wall) -> Outcome {
        match action {
            Action::ReleaseSwitch { from, to, .. } => self.switch(site, (from, to), at, wall),
            Action::ReleaseRestart { to, anew, .. } => self.restart(site, (to, *anew), at, wall),
            Action::SecretMove { what } => self.move_back(site, what, at, wall),
            Action::Command { run, observe, idempotent } => {
                self.command(site, &run.argv[0], observe.is_some(), *idempotent, at)
            }
            Action::WritesStop { run, .. } | Action::WritesStart { run } => {
                self.command(site, &run.argv[0], false, true, at)
            }
            Action::MaintenanceOn { .. } => self.maintain(site, true, at),
            Action::MaintenanceOff { .. } => self.maintain(site, false, at),
            Action::MigrationsUndo { from, to, undone, .. } => {
                self.undo(site, (from, to), undone, at)
            }
            Action::ReverseScript { script, changed, .. } => {
                self.reverse(site, script, changed, at)
            }
            Action::SnapshotRestore { .. } | Action::RdsRestore { .. } => self.restore(site),
            Action::DatabaseSwitch { from, to, .. } | Action::RdsSwitch { from, to, .. } => {
                self.replace(site, (from, to), at)
            }
            Action::RdsReady { .. } | Action::RdsVerify { .. } => match self.mishap {
                Mishap::Nothing => Outcome::Done,
                _ => failed("what was restored does not answer", true),
            },
            Action::FrontendCopy { from, to, .. } => self.copy(site, (from, to), at, wall),
            Action::FrontendInvalidate { to, .. } => self.invalidate(site, &to.version, at, wall),
            Action::FrontendVerify { to, .. } => match self.mishap {
                Mishap::Nothing if site.running.as_ref() == Some(&to.version) => Outcome::Done,
                _ => failed("its edges serve another version", true),
            },
            Action::Check { run } if run.argv[0] == READ => match self.mishap {
                Mishap::Nothing => Outcome::Done,
                _ => failed("it ends too early", true),
            },
            Action::OwnerSuspend { .. }
            | Action::ConfigMapRestore { .. }
            | Action::DeploymentRestart { .. }
            | Action::DeploymentStop { .. }
            | Action::DeploymentStart { .. }
            | Action::DeploymentUndo { .. }
            | Action::DeploymentImage { .. }
            | Action::DeploymentRollout { .. }
            | Action::DeploymentApply { .. }
            | Action::CheckJob { .. } => {
                panic!("there are releases here, and no cluster: {:?}", action)
            }
            Action::Check { .. } => match self.mishap {
                Mishap::Nothing if site.behaviour().up => Outcome::Done,
                Mishap::Nothing | Mishap::Lies => failed("exit status 1", true),
                _ => failed("timed out", true),
            },
        }
    }

    fn maintain(&self, site: &mut Site, on: bool, at: i64) -> Outcome {
        if site.maintained == on {
            return if self.order.resumed { Outcome::Done } else { Outcome::AlreadyDone };
        }
        match self.mishap {
            Mishap::TimesOutBefore => return unknown("the API server did not answer"),
            Mishap::Half => return failed("the API server has too much to do", true),
            _ => site.maintain(on, self.by(), at),
        }
        match self.mishap {
            Mishap::TimesOutAfter => unknown("the API server did not answer"),
            Mishap::Late => failed("it was not seen to be so", true),
            // It looks again, and believes what it sees.
            _ => Outcome::Done,
        }
    }

    fn switch(
        &self,
        site: &mut Site,
        (from, to): (&str, &str),
        at: i64,
        wall: super::Wall,
    ) -> Outcome {
        if site.linked == to {
            return Outcome::AlreadyDone;
        }
        if site.linked != from {
            return failed(&format!("somebody deployed {} in between", site.linked), false);
        }
        if self.mishap == Mishap::TimesOutBefore {
            return unknown("the file system did not answer within the step's timeout");
        }
        if self.mishap == Mishap::Half {
            return failed("current could not be switched", true);
        }
        site.switch(to, self.by(), at, wall.0);
        match self.mishap {
            Mishap::TimesOutAfter => unknown("the file system did not answer"),
            Mishap::Late => failed("somebody else moves it", true),
            _ => Outcome::Done,
        }
    }

    /// What the history says decides, before and after.
    fn undo(
        &self,
        site: &mut Site,
        (from, to): (&Revision, &Revision),
        undone: &[String],
        at: i64,
    ) -> Outcome {
        let Some(database) = &mut site.database else { return failed("no database", false) };
        let left = undone.iter().filter(|version| database.has(version)).count();
        match left {
            0 if database.revision().version == to.version => {
                return if self.order.resumed { Outcome::Done } else { Outcome::AlreadyDone };
            }
            all if all == undone.len() && database.revision().agrees_with(from) => {}
            0 => return failed("somebody migrated in between", false),
            _ => return failed("it stopped half-way, or somebody migrated in between", false),
        }
        let takes = match self.mishap {
            Mishap::TimesOutBefore | Mishap::Lies => 0,
            Mishap::Half => undone.len() - 1,
            _ => undone.len(),
        };
        undone.iter().take(takes).for_each(|version| database.take_back(version));
        if takes > 0 {
            site.migrated(self.by(), at);
        }
        match takes {
            0 => failed("nothing was taken back", false),
            some if some < undone.len() => failed("it stopped half-way", false),
            _ => Outcome::Done,
        }
    }

    /// Beside what is there, which stays as it is.
    fn restore(&self, site: &mut Site) -> Outcome {
        let Some(database) = &mut site.database else { return failed("no database", false) };
        if database.is_restored() {
            return if self.order.resumed { Outcome::Done } else { Outcome::AlreadyDone };
        }
        match self.mishap {
            Mishap::Nothing => {
                database.restore();
                Outcome::Done
            }
            _ => failed("it was not restored", false),
        }
    }

    fn replace(&self, site: &mut Site, (from, to): (&Revision, &Revision), at: i64) -> Outcome {
        let Some(database) = &mut site.database else { return failed("no database", false) };
        let now = database.revision();
        if !database.is_restored() {
            return match now.agrees_with(to) {
                true if self.order.resumed => Outcome::Done,
                true => Outcome::AlreadyDone,
                false => failed("what was restored is gone", false),
            };
        }
        if !now.agrees_with(from) {
            return failed("somebody migrated in between", false);
        }
        if matches!(self.mishap, Mishap::TimesOutBefore | Mishap::Half) {
            return failed("it is as it was", true);
        }
        database.replace();
        site.migrated(self.by(), at);
        match self.mishap {
            Mishap::TimesOutAfter => unknown("whether the names have changed nobody can tell"),
            // It looks again, and believes what it sees.
            _ => Outcome::Done,
        }
    }

    fn restart(
        &self,
        site: &mut Site,
        (to, anew): (&str, bool),
        at: i64,
        wall: super::Wall,
    ) -> Outcome {
        if site.linked != to {
            return failed(&format!("a restart would not bring up {to}"), false);
        }
        if site.running.as_deref() == Some(to) && !anew {
            return Outcome::AlreadyDone;
        }
        match self.mishap {
            Mishap::TimesOutBefore => return failed("the restart timed out", true),
            Mishap::Half => {
                site.half_restart(self.by(), at);
                return failed("the restart returned 0, but nothing serves", true);
            }
            Mishap::Lies => {
                // What is called `to` is what ran before.
                let before = site.behaviour();
                site.releases.insert(to.to_owned(), before);
            }
            _ => {}
        }
        site.restart(self.by(), at, wall.0);
        match self.mishap {
            Mishap::Late | Mishap::TimesOutAfter => failed("it does not serve yet", true),
            _ => Outcome::Done,
        }
    }

    /// Its marker is copied last: whatever stops it before is not seen, and copied again.
    fn copy(
        &self,
        site: &mut Site,
        (from, to): (&Revision, &Revision),
        at: i64,
        wall: super::Wall,
    ) -> Outcome {
        if site.linked == to.version {
            return if self.order.resumed { Outcome::Done } else { Outcome::AlreadyDone };
        }
        if site.linked != from.version {
            return failed("somebody changed index.html in between", false);
        }
        if matches!(self.mishap, Mishap::TimesOutBefore | Mishap::Half) {
            return failed("it stopped at pages", true);
        }
        site.switch(&to.version, self.by(), at, wall.0);
        match self.mishap {
            Mishap::TimesOutAfter | Mishap::Late => {
                failed("all was copied, and cannot be looked at", true)
            }
            _ => Outcome::Done,
        }
    }

    /// Edges serve what they had until they have forgotten it; what they serve then is what is copied.
    fn invalidate(&self, site: &mut Site, to: &str, at: i64, wall: super::Wall) -> Outcome {
        if site.linked != to {
            return failed("the manifest is another than the plan was made for", false);
        }
        if matches!(self.mishap, Mishap::TimesOutBefore | Mishap::Half) {
            return failed("it is still in progress: edges may serve what they had", true);
        }
        if self.mishap == Mishap::Lies {
            let before = site.behaviour();
            site.releases.insert(to.to_owned(), before);
        }
        site.restart(self.by(), at, wall.0);
        match self.mishap {
            Mishap::Late | Mishap::TimesOutAfter => failed("it is not seen to be completed", true),
            _ => Outcome::Done,
        }
    }

    fn command(
        &self,
        site: &mut Site,
        name: &str,
        observed: bool,
        idempotent: bool,
        at: i64,
    ) -> Outcome {
        if observed && site.scripts.get(name) == Some(&true) {
            return Outcome::AlreadyDone;
        }
        let hangs = matches!(self.mishap, Mishap::TimesOutAfter | Mishap::TimesOutBefore);
        if !matches!(self.mishap, Mishap::TimesOutBefore | Mishap::Half) {
            site.script(name, self.by(), at);
        }
        match self.mishap {
            Mishap::Nothing | Mishap::Lies => Outcome::Done,
            // A last look finds out, where there is one.
            _ if observed && site.scripts.get(name) == Some(&true) => Outcome::Done,
            _ if observed => failed("its `observe` command says it is not in effect", true),
            _ if hangs && !idempotent => unknown("timed out, and it has no `observe` command"),
            _ => failed("exit status 1", idempotent),
        }
    }

    /// What the daemon hears.
    pub(crate) fn report(&self) -> Report {
        let outcome = self.outcome.clone().unwrap_or_else(|| unknown("its task ended badly"));
        // What is made beside it leaves what is there as it was.
        let is_beside = matches!(
            self.order.what.action,
            Action::SnapshotRestore { .. } | Action::RdsRestore { .. }
        );
        let unmoved = is_beside && matches!(outcome, Outcome::Failed { .. });
        Report {
            outcome,
            before: String::new(),
            after: String::new(),
            output: String::new(),
            left: String::new(),
            unmoved,
            took_ms: self.reports_at - self.applies_at,
        }
    }

    /// The daemon died: a rename or a request ends with it, a child may outlive it.
    pub(crate) fn is_left_behind(&self, survives: bool) -> bool {
        let child = !matches!(
            self.order.what.action,
            Action::ReleaseSwitch { .. }
                | Action::FrontendCopy { .. }
                | Action::FrontendInvalidate { .. }
                | Action::FrontendVerify { .. }
                | Action::MaintenanceOn { .. }
                | Action::MaintenanceOff { .. }
                // A transaction that nobody commits any more is taken back.
                | Action::ReverseScript { .. }
                | Action::SecretMove { .. }
        );
        child && survives
    }
}

fn failed(why: &str, retry: bool) -> Outcome {
    Outcome::Failed { why: why.into(), retry }
}

fn unknown(why: &str) -> Outcome {
    Outcome::Unknown { why: why.into() }
}

/// Attempts of which nobody hears any more end by themselves.
pub(crate) fn orphan_of(under_way: &VecDeque<Attempt>, order: &Order) -> Option<i64> {
    let same = |a: &&Attempt| a.orphan && a.order.run == order.run && a.order.step == order.step;
    under_way.iter().filter(same).map(|a| a.reports_at).max()
}

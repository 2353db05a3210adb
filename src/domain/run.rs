//! The carrying out of one plan, step by step. Halted is terminal until a person speaks.
//!
//! Nothing here touches a platform. A step that was begun and has no outcome is *unknown*: the executor observes
//! before it repeats, and only where repeating is safe.

mod giving_up;

use std::{cmp::Ordering, sync::Arc};

use serde::{Deserialize, Serialize};

use super::plan::{Action, Plan, Step};
use crate::units::{Span, UnixMs};

/// How long a step that was withheld, or maintenance mode that could not be switched on, is left alone.
const WITHHELD_PAUSE: Span = Span::seconds(5);

/// How one attempt at a step ended, as the executor saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Outcome {
    /// The target state was there before anything was done.
    AlreadyDone,
    /// Applied, and seen to be in effect.
    Done,
    /// Not in effect; `why` is for people.
    Failed {
        /// What went wrong.
        why: String,
        /// Whether trying again can help: false where the world is not as the plan assumed.
        retry: bool,
    },
    /// Nobody can tell whether it is in effect.
    Unknown {
        /// Why not.
        why: String,
    },
    /// Not begun: the kill switch is set, or the lease is lost.
    Withheld {
        /// What forbade it.
        why: String,
    },
}

/// What an executor reports of one attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// What was observed before, for the report.
    #[serde(default)]
    pub before: String,
    /// What was observed after.
    #[serde(default)]
    pub after: String,
    /// The end of what the programs printed, bounded by the executor.
    #[serde(default)]
    pub output: String,
    /// What stays of it until people take it back, and how they do; a sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub left: String,
    /// Of one that failed: whether all that it would have changed was seen to be exactly as the plan found it, for good.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unmoved: bool,
    /// How long it took.
    #[serde(default)]
    pub took_ms: i64,
}

/// An attempt that the shell is to carry out now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The run it belongs to.
    pub run: String,
    /// Which step: an index into the plan's steps, then its checks.
    pub step: usize,
    /// From 1.
    pub attempt: u32,
    /// Whether the fallback is meant, not the step itself.
    pub fallback: bool,
    /// Whether an earlier daemon began this very attempt: observe first, repeat only where that is safe.
    pub resumed: bool,
    /// What to do.
    pub what: Step,
}

/// Where a run is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Phase {
    /// The step at the cursor is next; nothing of it has begun.
    Ready,
    /// An attempt was journaled and has no outcome yet.
    Begun {
        /// The daemon's epoch that journaled it.
        epoch: u64,
        /// When.
        at: UnixMs,
    },
    /// It stands where it is, for people.
    Halted {
        /// What stopped it.
        why: String,
    },
    /// Every step is in effect.
    Finished {
        /// When.
        at: UnixMs,
    },
}

/// What is now true of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "run")]
pub enum Fact {
    /// An attempt is about to begin; written before anything outside is touched.
    Begun {
        /// Which step.
        step: usize,
        /// From 1.
        attempt: u32,
        /// Whether it is the fallback.
        fallback: bool,
        /// The daemon's epoch.
        epoch: u64,
    },
    /// An attempt ended.
    Ended {
        /// Which step.
        step: usize,
        /// From 1.
        attempt: u32,
        /// Whether it was the fallback.
        fallback: bool,
        /// What the executor saw.
        report: Report,
        /// Whether an earlier daemon had begun it: what became of that, a step that was withheld does not tell.
        #[serde(default)]
        resumed: bool,
    },
    /// It stops here; people decide.
    Halted {
        /// What stopped it.
        why: String,
    },
    /// Every step is in effect.
    Finished,
}

/// One attempt, for the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Which step.
    pub step: usize,
    /// From 1.
    pub attempt: u32,
    /// Whether it was the fallback.
    pub fallback: bool,
    /// When it began.
    pub begun_at: UnixMs,
    /// When it ended and how; `None` while it runs.
    pub ended: Option<(UnixMs, Report)>,
    /// Whether an earlier daemon had begun it.
    #[serde(default)]
    pub resumed: bool,
}

impl Attempt {
    fn is_withheld(&self) -> bool {
        matches!(self.ended, Some((_, Report { outcome: Outcome::Withheld { .. }, .. })))
    }

    /// Whether nothing was done for it.
    fn is_untouched(&self) -> bool {
        self.is_withheld() && !self.resumed
    }
}

/// A plan being carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Unique in the journal.
    pub id: String,
    /// What is carried out.
    pub plan: Arc<Plan>,
    /// The step that is next or under way.
    pub cursor: usize,
    /// Whether the fallback of that step is meant.
    pub in_fallback: bool,
    /// Where it is.
    pub phase: Phase,
    /// All attempts so far; bounded by steps times attempts.
    pub attempts: Vec<Attempt>,
}

impl Run {
    /// A run that has not begun.
    pub fn new(id: String, plan: Arc<Plan>) -> Self {
        Self { id, plan, cursor: 0, in_fallback: false, phase: Phase::Ready, attempts: vec![] }
    }

    /// The step at the cursor, or its fallback.
    pub fn current(&self) -> Option<&Step> {
        let step = self.plan.steps.get(self.cursor)?;
        if self.in_fallback { step.fallback.as_deref() } else { Some(step) }
    }

    fn tries(&self) -> u32 {
        let tries = self.attempts.iter().filter(|a| {
            a.step == self.cursor && a.fallback == self.in_fallback && !a.is_withheld()
        });
        u32::try_from(tries.count()).unwrap_or(u32::MAX)
    }

    /// Whether no attempt is left after one that ended so.
    fn is_spent(&self, outcome: &Outcome) -> bool {
        let spent = || self.current().is_some_and(|step| self.tries() >= step.attempts);
        match outcome {
            Outcome::Failed { retry, .. } => !retry || spent(),
            Outcome::Unknown { .. } => spent(),
            Outcome::AlreadyDone | Outcome::Done | Outcome::Withheld { .. } => false,
        }
    }

    fn may_be_skipped(&self) -> bool {
        self.current().is_some_and(|step| step.action.may_be_skipped())
    }

    /// Whether the rollback went on although this step is not in effect, or nobody can tell.
    pub fn was_skipped(&self, step: usize) -> bool {
        let newest = self.attempts.iter().rev().find(|attempt| attempt.step == step);
        let outcome = newest.and_then(|attempt| attempt.ended.as_ref());
        let failed = |(_, report): &(UnixMs, Report)| {
            matches!(report.outcome, Outcome::Failed { .. } | Outcome::Unknown { .. })
        };
        step < self.cursor && outcome.is_some_and(failed)
    }

    /// Until when a step is left alone: whoever forbade it, or did not let it, must not be asked without a pause.
    pub fn paused_until(&self) -> Option<UnixMs> {
        let last = self.attempts.last()?;
        let (ended, report) = last.ended.as_ref()?;
        let is_on = || {
            let action = self.current().map(|step| &step.action);
            last.step == self.cursor && matches!(action, Some(Action::MaintenanceOn { .. }))
        };
        let waits = match report.outcome {
            Outcome::Withheld { .. } => true,
            Outcome::Failed { .. } | Outcome::Unknown { .. } => is_on(),
            Outcome::AlreadyDone | Outcome::Done => false,
        };
        (waits && matches!(self.phase, Phase::Ready)).then(|| *ended + WITHHELD_PAUSE)
    }

    /// What becomes true next by itself: the beginning of an attempt, a halt, or the end.
    pub fn advance(&self, epoch: u64, now: UnixMs) -> Option<Fact> {
        if self.paused_until().is_some_and(|at| now < at) {
            return None;
        }
        match &self.phase {
            Phase::Ready => Some(match self.current() {
                None => Fact::Finished,
                Some(_) => Fact::Begun {
                    step: self.cursor,
                    attempt: self.tries() + 1,
                    fallback: self.in_fallback,
                    epoch,
                },
            }),
            Phase::Begun { .. } | Phase::Halted { .. } | Phase::Finished { .. } => None,
        }
    }

    /// What follows from an executor's report; nothing for an attempt that is not the one under way.
    pub fn on_report(
        &self,
        step: usize,
        attempt: u32,
        fallback: bool,
        report: &Report,
        epoch: u64,
    ) -> Vec<Fact> {
        let Phase::Begun { epoch: begun, .. } = self.phase else { return vec![] };
        let expected = step == self.cursor
            && fallback == self.in_fallback
            && self.attempts.last().is_some_and(|a| a.attempt == attempt);
        if !expected {
            return vec![];
        }
        let resumed = begun != epoch;
        let mut facts =
            vec![Fact::Ended { step, attempt, fallback, report: report.clone(), resumed }];
        let Some(current) = self.current() else { return facts };
        match &report.outcome {
            Outcome::AlreadyDone | Outcome::Done => {
                facts.extend(self.given_up().map(|why| Fact::Halted { why }));
            }
            Outcome::Withheld { .. } => {}
            _ if self.may_be_skipped() => {}
            Outcome::Unknown { why } => facts.push(Fact::Halted {
                why: format!("nobody can tell whether `{}` is in effect: {why}", current.title),
            }),
            Outcome::Failed { why, .. } => {
                if self.is_spent(&report.outcome) && !self.falls_back(report) {
                    facts.push(Fact::Halted { why: format!("`{}` failed: {why}", current.title) });
                }
            }
        }
        facts
    }

    /// Makes a fact so.
    pub fn evolve(&mut self, fact: &Fact, at: UnixMs) {
        match fact {
            Fact::Begun { step, attempt, fallback, epoch } => {
                self.phase = Phase::Begun { epoch: *epoch, at };
                // However often a step is withheld, only the newest time is remembered.
                self.attempts.retain(|a| a.step != *step || !a.is_untouched());
                self.attempts.push(Attempt {
                    step: *step,
                    attempt: *attempt,
                    fallback: *fallback,
                    begun_at: at,
                    ended: None,
                    resumed: false,
                });
            }
            Fact::Ended { report, resumed, .. } => {
                if let Some(last) = self.attempts.last_mut() {
                    last.ended = Some((at, report.clone()));
                    last.resumed = *resumed;
                }
                self.phase = Phase::Ready;
                let spent = self.is_spent(&report.outcome);
                let falls_back = spent && self.falls_back(report);
                match &report.outcome {
                    // It goes no further.
                    Outcome::AlreadyDone | Outcome::Done if self.is_giving_up() => {}
                    Outcome::AlreadyDone | Outcome::Done => {
                        self.cursor += 1;
                        self.in_fallback = false;
                    }
                    _ if spent && self.may_be_skipped() => self.cursor += 1,
                    Outcome::Failed { .. } => self.in_fallback |= falls_back,
                    Outcome::Unknown { .. } | Outcome::Withheld { .. } => {}
                }
            }
            Fact::Halted { why } => self.phase = Phase::Halted { why: why.clone() },
            Fact::Finished => self.phase = Phase::Finished { at },
        }
    }

    /// The attempt that must be under way, for the shell to start unless it already has.
    pub fn wanted(&self, epoch: u64) -> Option<Order> {
        let Phase::Begun { epoch: begun, .. } = self.phase else { return None };
        let last = self.attempts.last()?;
        Some(Order {
            run: self.id.clone(),
            step: self.cursor,
            attempt: last.attempt,
            fallback: self.in_fallback,
            resumed: begun != epoch || self.was_resumed(),
            what: self.current()?.clone(),
        })
    }

    /// Whether an earlier daemon had begun the attempt under way before it was withheld: what became of that nobody knows yet.
    fn was_resumed(&self) -> bool {
        let Some(last) = self.attempts.last() else { return false };
        let is_same = |it: &Attempt| {
            (it.step, it.attempt, it.fallback) == (last.step, last.attempt, last.fallback)
        };
        self.attempts.iter().any(|it| is_same(it) && it.resumed && it.is_withheld())
    }

    /// What stays of it until people take it back, each once.
    pub fn left(&self) -> Vec<&str> {
        let reports = self.attempts.iter().filter_map(|attempt| attempt.ended.as_ref());
        let mut left: Vec<&str> = vec![];
        for (_, report) in reports {
            if !report.left.is_empty() && !left.contains(&report.left.as_str()) {
                left.push(&report.left);
            }
        }
        left
    }

    /// Whether something stays suspended of it, and still wants what it was rolled away from.
    pub fn leaves_suspended(&self) -> bool {
        self.attempts.iter().any(|attempt| {
            let step = self.plan.steps.get(attempt.step);
            let suspends =
                step.is_some_and(|step| matches!(step.action, Action::OwnerSuspend { .. }));
            suspends && attempt.ended.as_ref().is_some_and(|(_, report)| !report.left.is_empty())
        })
    }

    /// The first attempt's beginning: when the action started.
    pub fn started_at(&self) -> Option<UnixMs> {
        self.attempts.first().map(|a| a.begun_at)
    }

    /// Whether anything of it was begun outside and not all of it ended: whoever stops it here leaves it half done.
    pub fn is_half_done(&self) -> bool {
        let finished = matches!(self.phase, Phase::Finished { .. });
        !finished && !self.attempts.iter().all(Attempt::is_untouched)
    }

    /// What is in effect and what is not, for a page about a halt.
    pub fn account(&self) -> String {
        let here = self.attempts.last().filter(|a| a.step == self.cursor);
        let mut of_this_step = self.attempts.iter().filter(|a| a.step == self.cursor);
        let doubtful = of_this_step.any(|a| a.is_withheld() && a.resumed);
        let at_cursor = match here.map(|a| &a.ended) {
            Some(Some((_, Report { outcome: Outcome::Failed { .. }, .. }))) => "failed",
            Some(Some((_, Report { outcome: Outcome::Unknown { .. }, .. }))) => "unknown",
            Some(None) => "under way",
            _ if self.gave_up() => "failed",
            _ if doubtful => "unknown",
            Some(Some(_)) | None => "not done",
        };
        let line = |(index, step): (usize, &Step)| {
            let mark = match index.cmp(&self.cursor) {
                Ordering::Less if self.was_skipped(index) => "skipped",
                Ordering::Less => "done",
                Ordering::Equal => at_cursor,
                Ordering::Greater => "not done",
            };
            format!("{mark}: {}", step.title)
        };
        self.plan.steps.iter().enumerate().map(line).collect::<Vec<_>>().join("; ")
    }
}

impl Action {
    /// Whether a rollback goes on where this could not be done: users are better off without a page than without a rollback.
    pub fn may_be_skipped(&self) -> bool {
        matches!(self, Self::MaintenanceOn { required: false, .. })
    }

    /// Whether an attempt that may already have been made can simply be made again.
    pub fn may_repeat(&self) -> bool {
        match self {
            Self::ReleaseSwitch { .. }
            | Self::ReleaseRestart { .. }
            | Self::OwnerSuspend { .. }
            | Self::MaintenanceOn { .. }
            | Self::MaintenanceOff { .. }
            | Self::DeploymentUndo { .. }
            | Self::DeploymentImage { .. }
            | Self::DeploymentRollout { .. }
            | Self::DeploymentApply { .. }
            | Self::ConfigMapRestore { .. }
            | Self::SecretMove { .. }
            | Self::DeploymentRestart { .. }
            | Self::DeploymentStop { .. }
            | Self::WritesStop { .. }
            | Self::WritesStart { .. }
            | Self::MigrationsUndo { .. }
            | Self::ReverseScript { .. }
            | Self::SnapshotRestore { .. }
            | Self::DatabaseSwitch { .. }
            | Self::RdsReady { .. }
            | Self::RdsRestore { .. }
            | Self::RdsVerify { .. }
            | Self::RdsSwitch { .. }
            | Self::DeploymentStart { .. }
            | Self::FrontendCopy { .. }
            | Self::FrontendInvalidate { .. }
            | Self::FrontendVerify { .. }
            | Self::Check { .. }
            | Self::CheckJob { .. } => true,
            Self::Command { observe, idempotent, .. } => *idempotent || observe.is_some(),
        }
    }
}

#[cfg(test)]
mod tests;

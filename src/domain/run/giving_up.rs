//! A plan that goes no further, and gives back first what it stopped: as a fallback, of a step that changed nothing.

use super::{Outcome, Phase, Report, Run};
use crate::domain::plan::Action;

impl Run {
    /// Whether the fallback is the way on after such a report. What was stopped is given back only to what it ran on.
    pub(super) fn falls_back(&self, report: &Report) -> bool {
        let fallback = self.current().and_then(|step| step.fallback.as_ref());
        fallback.is_some_and(|it| report.unmoved || !it.action.gives_back())
    }

    /// Whether what is meant is no way on, and only gives back what the plan has stopped before it ends.
    pub(super) fn is_giving_up(&self) -> bool {
        self.in_fallback && self.current().is_some_and(|step| step.action.gives_back())
    }

    /// Whether it ended so: what it stopped has been given back, and nothing else of it is in effect.
    pub fn gave_up(&self) -> bool {
        self.is_giving_up() && matches!(self.phase, Phase::Halted { .. }) && self.has_given_back()
    }

    /// Whether a program has kept its service from writing, of this run or of one before it, and nothing has let it write again.
    pub fn keeps_from_writing(&self) -> bool {
        let steps = || self.plan.steps.iter().enumerate();
        let stop = steps().find_map(|(at, step)| {
            let Action::WritesStop { already, .. } = step.action else { return None };
            Some((at, already))
        });
        let Some((stop, already)) = stop.filter(|_| !self.gave_up()) else { return false };
        let is_begun =
            |at: usize| self.attempts.iter().any(|it| it.step == at && !it.is_untouched());
        let start = steps().find(|(_, step)| matches!(step.action, Action::WritesStart { .. }));
        // What restarts it does as well, however that ends.
        let restart = steps().find(|(_, step)| step.action.restarts());
        let is_over = match (start, restart) {
            (Some((start, _)), _) => self.cursor > start,
            (None, Some((restart, _))) => is_begun(restart),
            (None, None) => matches!(self.phase, Phase::Finished { .. }),
        };
        (already || is_begun(stop)) && !is_over
    }

    /// Whether the step at which it stands left all that it would have changed as it was.
    pub fn is_unmoved(&self) -> bool {
        let mut here = self.attempts.iter().rev().filter(|it| it.step == self.cursor);
        let report = here.find(|it| !it.fallback).and_then(|it| it.ended.as_ref());
        report.is_some_and(|(_, report)| report.unmoved)
    }

    fn has_given_back(&self) -> bool {
        let last = self.attempts.last().and_then(|attempt| attempt.ended.as_ref());
        last.is_some_and(|(_, it)| matches!(it.outcome, Outcome::Done | Outcome::AlreadyDone))
    }

    /// Why it goes no further, where what was stopped has been given back.
    pub(super) fn given_up(&self) -> Option<String> {
        let step = self.plan.steps.get(self.cursor).filter(|_| self.is_giving_up())?;
        let mut failed =
            self.attempts.iter().rev().filter(|it| it.step == self.cursor && !it.fallback);
        let report = failed.find_map(|it| it.ended.as_ref().map(|(_, report)| report))?;
        let why = match &report.outcome {
            Outcome::Failed { why, .. } | Outcome::Unknown { why } | Outcome::Withheld { why } => {
                why
            }
            Outcome::AlreadyDone | Outcome::Done => return None,
        };
        Some(format!(
            "`{}` failed: {why}. Nothing was changed, and what was stopped for it runs again as before",
            step.title
        ))
    }
}

impl Action {
    /// Whether it gives back what a plan has stopped: as a fallback that is where the plan ends.
    pub fn gives_back(&self) -> bool {
        matches!(self, Self::DeploymentStart { .. } | Self::WritesStart { .. })
    }

    /// Whether the application is started by it, of whichever version.
    fn restarts(&self) -> bool {
        matches!(self, Self::ReleaseRestart { .. } | Self::DeploymentRollout { .. })
    }
}

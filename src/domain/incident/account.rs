//! What of an incident is remembered for its report: windows and firings are gone when it is read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Decision;
use crate::{
    domain::{
        plan::Action,
        run::{self, Outcome, Run},
        verification::Check,
    },
    units::UnixMs,
};

/// Decisions remembered of one incident; the newest is kept whole beside them.
const DECISIONS_MAX: usize = 20;

/// What is remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// What each trigger saw when it fired, or got worse.
    pub fired: BTreeMap<String, String>,
    /// What was decided before, oldest first: when, and the decision in a sentence.
    pub decided: Vec<(UnixMs, String)>,
    /// The checklist as it stood when the verification ended.
    pub checks: Vec<Check>,
    /// When maintenance mode was on: of which run, from when and until when on the wall clock.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub maintenance: Vec<(String, UnixMs, Option<UnixMs>)>,
}

impl Account {
    /// Remembers that a step of a run switched maintenance mode on, or some of it.
    pub(super) fn maintenance_began(&mut self, run: &Run, fact: &run::Fact, at: UnixMs) {
        let run::Fact::Ended { step, report, .. } = fact else { return };
        let step = run.plan.steps.get(*step).map(|step| &step.action);
        let is_on = matches!(step, Some(Action::MaintenanceOn { .. }))
            && !matches!(report.outcome, Outcome::Withheld { .. } | Outcome::AlreadyDone);
        if is_on && self.maintenance.iter().all(|(of, ..)| *of != run.id) {
            self.maintenance.push((run.id.clone(), at, None));
        }
    }

    /// Remembers that it is off again.
    pub(in crate::domain) fn maintenance_ended(&mut self, run: &str, at: UnixMs) {
        let of_it = self.maintenance.iter_mut().filter(|(of, ..)| of == run);
        of_it.for_each(|(.., until)| *until = Some(at));
    }

    /// Remembers a decision that another one follows.
    pub(super) fn decided(&mut self, at: UnixMs, decision: &Decision) {
        if self.decided.len() >= DECISIONS_MAX {
            self.decided.remove(DECISIONS_MAX / 2);
        }
        let mut text = format!("{} as {}", decision.verdict, decision.severity);
        let refused =
            decision.refusing().filter_map(|v| Some(format!("{}: {}", v.guard, v.refusal()?)));
        let why: Vec<String> = decision.because.iter().cloned().chain(refused).collect();
        if !why.is_empty() {
            text.push_str(&format!("; {}", why.join("; ")));
        }
        self.decided.push((at, text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{examples, incident::Choice, service::Mode, severity::Severity};

    #[test]
    fn the_first_decision_and_the_newest_are_remembered_whatever_comes_between() {
        let policy = examples::service("shop/production", Mode::Auto);
        let decision = |because: i64| Decision {
            verdict: Choice::Ask,
            row: *policy.matrix.row(Severity::P1),
            severity: Severity::P1,
            because: vec![format!("number {because}")],
            guards: vec![],
            plan: None,
        };
        let mut account = Account::default();
        (0..50).for_each(|n| account.decided(UnixMs(n), &decision(n)));
        let kept: Vec<i64> = account.decided.iter().map(|(at, _)| at.0).collect();
        assert_eq!(kept.len(), DECISIONS_MAX);
        assert_eq!(kept[..3], [0, 1, 2], "how it began");
        assert_eq!(kept[17..], [47, 48, 49], "how it stands");
    }
}

//! The guards that numbers alone decide: whether an automatic rollback stands on this change, and on enough.
//!
//! A refusal never means silence: it means that people are asked, with the reason.

use serde::{Deserialize, Serialize};

use super::evalue;
use crate::units::{Percent, Span, UnixMs};

/// The change that a breach may belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// When it began to roll out.
    pub start: UnixMs,
    /// When it was out; `None` while it still rolls.
    pub end: Option<UnixMs>,
    /// It, or its revision, was already rolled back once.
    pub rolled_back: bool,
}

/// How the old revision does, while both serve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OldRevision {
    /// The lower bound of its error ratio, 0..=1.
    pub bound: f64,
    /// ln of the evidence that the new one is worse, where both arms are counted.
    pub ln_e: Option<f64>,
}

/// Requests since the onset.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Counted {
    /// How many.
    pub total: u64,
    /// The lower bound of their error ratio, 0..=1.
    pub bound: f64,
}

/// All that the guards look at, gathered when a trigger has fired.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// When it is judged, on the clock of `last_rollback`.
    pub at: UnixMs,
    /// The start of the first breaching interval.
    pub onset: UnixMs,
    /// The newest change, if any is known.
    pub change: Option<Change>,
    /// The lower bound over the 30 min before the change (for up and down: the share of time that was down);
    /// `None` when nothing is known from then.
    pub before: Option<f64>,
    /// What `before` and the old revision must not exceed: the rule's threshold, 0..=1.
    pub threshold: f64,
    /// How often the rule would have fired in the 24 h before, outside acknowledged incidents.
    pub fired_before: u32,
    /// The old revision, where it still serves and is counted.
    pub old: Option<OldRevision>,
    /// What was counted; `None` for up and down, to which counting does not apply.
    pub counted: Option<Counted>,
    /// When the service was last rolled back automatically.
    pub last_rollback: Option<UnixMs>,
}

/// The guards' limits; the defaults are the runbook's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// How much before the change a breach may begin: clocks differ, and the first bucket is wide.
    pub early: Span,
    /// How long after the change a breach may begin; `None` is any time.
    pub max_change_age: Option<Span>,
    /// Enough requests since the onset, ...
    pub requests: u64,
    /// ... or a lower bound above this.
    pub plain: Percent,
    /// Between two automatic rollbacks of a service.
    pub cooldown: Span,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            early: Span::seconds(60),
            max_change_age: Some(Span::minutes(60)),
            requests: 50,
            plain: Percent(0.2),
            cooldown: Span::minutes(30),
        }
    }
}

/// Why not to act automatically.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "reason")]
pub enum Refusal {
    /// No change is known that could be undone.
    NoDeploy,
    /// This change was already rolled back once.
    AlreadyRolledBack,
    /// The breach began before the change, or too long after it.
    OutsideWatchWindow {
        /// When it began.
        onset: UnixMs,
    },
    /// Nothing is known from before the change.
    NoPredeployData,
    /// It was already burning.
    BreachPredatesDeploy {
        /// The lower bound before the change.
        before: f64,
    },
    /// The rule fires on this service anyway.
    #[serde(rename = "rule_noisy_24h")]
    RuleNoisy {
        /// How often in the 24 h before.
        fired: u32,
    },
    /// Both revisions suffer: a dependency, not this change.
    OldRevisionEquallyBad {
        /// The old revision's lower bound.
        bound: f64,
    },
    /// Too few requests, and not plain enough without them.
    ThinEvidence {
        /// Requests since the onset.
        total: u64,
    },
    /// Rolled back a moment ago.
    Cooldown {
        /// Until when.
        until: UnixMs,
    },
}

impl Refusal {
    /// The name in metrics, facts and the API.
    pub fn name(&self) -> &'static str {
        match self {
            Self::NoDeploy => "no_deploy",
            Self::AlreadyRolledBack => "already_rolled_back",
            Self::OutsideWatchWindow { .. } => "outside_watch_window",
            Self::NoPredeployData => "no_predeploy_data",
            Self::BreachPredatesDeploy { .. } => "breach_predates_deploy",
            Self::RuleNoisy { .. } => "rule_noisy_24h",
            Self::OldRevisionEquallyBad { .. } => "old_revision_equally_bad",
            Self::ThinEvidence { .. } => "thin_evidence",
            Self::Cooldown { .. } => "cooldown",
        }
    }
}

/// Whether a breach that began at `onset` can be the doing of a change: not before it, not too long after it.
pub fn explains(start: UnixMs, end: Option<UnixMs>, onset: UnixMs, limits: &Limits) -> bool {
    let late = match (end, limits.max_change_age) {
        (Some(end), Some(age)) => onset > end + age,
        (Some(_) | None, _) => false,
    };
    onset >= start - limits.early && !late
}

/// Every reason not to act automatically, the weightiest first; empty means go.
pub fn refusals(facts: &Facts, limits: &Limits) -> Vec<Refusal> {
    let change = facts.change.as_ref();
    let outside = |c: &Change| !explains(c.start, c.end, facts.onset, limits);
    let before = match facts.before {
        _ if change.is_none() => None,
        None => Some(Refusal::NoPredeployData),
        Some(before) => {
            (before > facts.threshold).then_some(Refusal::BreachPredatesDeploy { before })
        }
    };
    let noisy = change.is_some() && facts.fired_before > 0;
    let equally_bad = |old: &OldRevision| {
        let worse = old.ln_e.is_some_and(|ln_e| ln_e >= evalue::DECIDES);
        old.bound > facts.threshold && !worse
    };
    let thin =
        |counted: &Counted| counted.total < limits.requests && counted.bound <= limits.plain.0;
    let until = facts.last_rollback.map(|at| at + limits.cooldown);
    [
        change.is_none().then_some(Refusal::NoDeploy),
        change.is_some_and(|c| c.rolled_back).then_some(Refusal::AlreadyRolledBack),
        change.is_some_and(outside).then_some(Refusal::OutsideWatchWindow { onset: facts.onset }),
        before,
        noisy.then_some(Refusal::RuleNoisy { fired: facts.fired_before }),
        facts
            .old
            .filter(equally_bad)
            .map(|old| Refusal::OldRevisionEquallyBad { bound: old.bound }),
        facts.counted.filter(thin).map(|counted| Refusal::ThinEvidence { total: counted.total }),
        until.filter(|until| facts.at < *until).map(|until| Refusal::Cooldown { until }),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> UnixMs {
        UnixMs(0) + Span::minutes(minute)
    }

    fn good() -> Facts {
        Facts {
            at: at(30),
            onset: at(25),
            change: Some(Change { start: at(20), end: Some(at(23)), rolled_back: false }),
            before: Some(0.001),
            threshold: 0.05,
            fired_before: 0,
            old: None,
            counted: Some(Counted { total: 50, bound: 0.06 }),
            last_rollback: None,
        }
    }

    fn names(facts: &Facts) -> Vec<&'static str> {
        refusals(facts, &Limits::default()).iter().map(Refusal::name).collect()
    }

    #[test]
    fn thin_evidence_is_few_requests_that_are_not_plain() {
        let counted = |total, bound| Facts { counted: Some(Counted { total, bound }), ..good() };
        assert!(names(&good()).is_empty());
        assert_eq!(names(&counted(49, 0.2)), ["thin_evidence"]);
        assert!(names(&counted(10, 0.203)).is_empty());
        let boolean = Facts { counted: None, ..good() };
        assert!(names(&boolean).is_empty(), "counting does not apply to up and down");
    }

    #[test]
    fn the_cooldown_ends() {
        let facts = |minute| Facts { last_rollback: Some(at(minute)), ..good() };
        assert_eq!(names(&facts(1)), ["cooldown"]);
        assert!(names(&facts(0)).is_empty());
    }

    #[test]
    fn exactly_the_threshold_before_is_not_burning_and_a_running_rollout_is_not_late() {
        assert!(names(&Facts { before: Some(0.05), ..good() }).is_empty());
        let old = Some(OldRevision { bound: 0.05, ln_e: None });
        assert!(names(&Facts { old, ..good() }).is_empty());
        let rolling = Change { start: at(20), end: None, rolled_back: false };
        assert!(names(&Facts { change: Some(rolling), onset: at(200), ..good() }).is_empty());
    }

    #[test]
    fn the_first_and_the_last_moment_that_a_change_is_given_are_its_own() {
        let limits = Limits::default();
        let its_own = |onset| explains(at(20), Some(at(23)), onset, &limits);
        assert!(its_own(at(19)) && !its_own(at(19) - Span(1)));
        assert!(its_own(at(83)) && !its_own(at(83) + Span(1)));
    }

    #[test]
    fn every_reason_is_told_not_only_the_first() {
        let facts = Facts { before: None, fired_before: 2, onset: at(1), ..good() };
        let all = ["outside_watch_window", "no_predeploy_data", "rule_noisy_24h"];
        assert_eq!(names(&facts), all);
    }
}

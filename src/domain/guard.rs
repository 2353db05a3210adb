//! The closed list of reasons not to act automatically, and what each says now.
//!
//! Every guard that refuses turns the action into a page with its reason and a prepared plan, never into silence.
//! All guards are asked each time: a person at 3 a.m. wants the whole list, not its first line.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::units::{Span, UnixMs};

/// Every guard there is, in the order in which people read them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Guard {
    /// `observe`, `approve` or `auto`.
    Mode,
    /// No change is known that could have done it.
    NoChange,
    /// The breach predates the change, or nothing is known from before it.
    AlreadyBurning,
    /// The same rule fired in the day before the change.
    Noisy,
    /// Too few requests to be sure.
    ThinEvidence,
    /// Old and new revision suffer alike.
    OldRevisionEquallyBad,
    /// An outage that only a probe sees.
    OneWitness,
    /// No known-good earlier revision, or it is quarantined or gone.
    NowhereSafe,
    /// The change carried a migration that the earlier application cannot run on.
    SchemaMoved,
    /// Something else sets what would be rolled back, and would put it back.
    Owner,
    /// A large part of the fleet suffers at once.
    Storm,
    /// One rollback per change, a pause between two, and a budget.
    Loop,
    /// Another plan holds something that this plan names.
    Locked,
    /// The evidence is stale.
    Blind,
    /// A person, a calendar or the kill switch said no.
    Hold,
}

impl Guard {
    /// All of them, in order.
    pub const ALL: [Self; 15] = [
        Self::Mode,
        Self::NoChange,
        Self::AlreadyBurning,
        Self::Noisy,
        Self::ThinEvidence,
        Self::OldRevisionEquallyBad,
        Self::OneWitness,
        Self::NowhereSafe,
        Self::SchemaMoved,
        Self::Owner,
        Self::Storm,
        Self::Loop,
        Self::Locked,
        Self::Blind,
        Self::Hold,
    ];

    /// Its name in configuration, metrics and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mode => "mode",
            Self::NoChange => "no-change",
            Self::AlreadyBurning => "already-burning",
            Self::Noisy => "noisy",
            Self::ThinEvidence => "thin-evidence",
            Self::OldRevisionEquallyBad => "old-revision-equally-bad",
            Self::OneWitness => "one-witness",
            Self::NowhereSafe => "nowhere-safe",
            Self::SchemaMoved => "schema-moved",
            Self::Owner => "owner",
            Self::Storm => "storm",
            Self::Loop => "loop",
            Self::Locked => "locked",
            Self::Blind => "blind",
            Self::Hold => "hold",
        }
    }

    /// Whether it may stop refusing by itself while an incident is young, so that asking again makes sense.
    pub fn may_pass_later(self) -> bool {
        match self {
            Self::ThinEvidence
            | Self::OldRevisionEquallyBad
            | Self::OneWitness
            | Self::Storm
            | Self::Locked
            | Self::Blind
            | Self::NoChange
            | Self::Hold => true,
            Self::Mode
            | Self::AlreadyBurning
            | Self::Noisy
            | Self::NowhereSafe
            | Self::SchemaMoved
            | Self::Owner
            | Self::Loop => false,
        }
    }
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What one guard says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "says")]
pub enum Says {
    /// It has no objection; the note says on what ground.
    Pass {
        /// On what ground.
        note: String,
    },
    /// It objects.
    Refuse {
        /// Why, in a sentence with numbers.
        reason: String,
        /// Whether it may stop by itself, though others of this guard's reasons do not.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        may_pass: bool,
    },
    /// It has nothing to judge here.
    NotApplicable {
        /// Why not.
        why: String,
    },
}

/// One guard's verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Which guard.
    pub guard: Guard,
    /// What it says.
    #[serde(flatten)]
    pub says: Says,
}

impl Verdict {
    /// It has no objection.
    pub fn pass(guard: Guard, note: impl Into<String>) -> Self {
        Self { guard, says: Says::Pass { note: note.into() } }
    }

    /// It objects.
    pub fn refuse(guard: Guard, reason: impl Into<String>) -> Self {
        Self { guard, says: Says::Refuse { reason: reason.into(), may_pass: false } }
    }

    /// It objects, for a reason that may pass by itself.
    pub fn refuse_for_now(guard: Guard, reason: impl Into<String>) -> Self {
        Self { guard, says: Says::Refuse { reason: reason.into(), may_pass: true } }
    }

    /// Whether it may stop refusing by itself while an incident is young.
    pub fn may_pass_later(&self) -> bool {
        self.guard.may_pass_later() || matches!(self.says, Says::Refuse { may_pass: true, .. })
    }

    /// It has nothing to judge.
    pub fn not_applicable(guard: Guard, why: impl Into<String>) -> Self {
        Self { guard, says: Says::NotApplicable { why: why.into() } }
    }

    /// The reason, when it objects.
    pub fn refusal(&self) -> Option<&str> {
        match &self.says {
            Says::Refuse { reason, .. } => Some(reason),
            Says::Pass { .. } | Says::NotApplicable { .. } => None,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.says {
            Says::Pass { note } => write!(f, "{} passes: {note}", self.guard),
            Says::Refuse { reason, .. } => write!(f, "{} refuses: {reason}", self.guard),
            Says::NotApplicable { why } => write!(f, "{} does not apply: {why}", self.guard),
        }
    }
}

/// An automatic rollback that was begun, for the loop guard and the budgets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollback {
    /// When, on the steady clock.
    pub at: UnixMs,
    /// Which change was undone.
    pub change: Option<String>,
    /// Whether the daemon began it by itself.
    pub automatic: bool,
}

/// Why the budgets of automatic rollbacks in an hour, the service's and the fleet's, leave nothing; `None` when they do.
pub fn spent(
    rollbacks: &[Rollback],
    service_budget: u32,
    (fleet_in_the_hour, fleet_budget): (u32, u32),
    now: UnixMs,
) -> Option<String> {
    let recent = |r: &&Rollback| r.automatic && now.since(r.at) < Span::hours(1);
    let in_the_hour = rollbacks.iter().filter(recent).count();
    let text = |count: usize, whose: &str, budget: u32| {
        let rollbacks = if count == 1 { "rollback" } else { "rollbacks" };
        Some(format!(
            "{count} automatic {rollbacks} in the last hour spent {whose} budget of {budget}"
        ))
    };
    if in_the_hour >= service_budget as usize {
        text(in_the_hour, "the service's", service_budget)
    } else if fleet_in_the_hour >= fleet_budget {
        text(fleet_in_the_hour as usize, "the fleet's", fleet_budget)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> UnixMs {
        UnixMs(minute * 60_000)
    }

    #[test]
    fn budgets_count_what_the_daemon_began_by_itself_within_the_hour() {
        let begun = |minute, automatic| Rollback { at: at(minute), change: None, automatic };
        let judge = |begun: &[Rollback], fleet| spent(begun, 2, (fleet, 5), at(100));
        assert_eq!(judge(&[begun(10, true), begun(45, true)], 0), None);
        assert_eq!(judge(&[begun(45, false), begun(65, true)], 0), None);
        assert!(
            judge(&[begun(45, true), begun(65, true)], 0).is_some_and(|w| w.contains("service"))
        );
        assert!(judge(&[], 5).is_some_and(|why| why.contains("fleet")));
    }

    #[test]
    fn every_guard_is_listed_once() {
        let mut names: Vec<&str> = Guard::ALL.iter().map(|g| g.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Guard::ALL.len());
    }
}

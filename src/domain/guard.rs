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
    pub const ALL: [Self; 14] = [
        Self::Mode,
        Self::NoChange,
        Self::AlreadyBurning,
        Self::Noisy,
        Self::ThinEvidence,
        Self::OldRevisionEquallyBad,
        Self::OneWitness,
        Self::NowhereSafe,
        Self::SchemaMoved,
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
        Self { guard, says: Says::Refuse { reason: reason.into() } }
    }

    /// It has nothing to judge.
    pub fn not_applicable(guard: Guard, why: impl Into<String>) -> Self {
        Self { guard, says: Says::NotApplicable { why: why.into() } }
    }

    /// The reason, when it objects.
    pub fn refusal(&self) -> Option<&str> {
        match &self.says {
            Says::Refuse { reason } => Some(reason),
            Says::Pass { .. } | Says::NotApplicable { .. } => None,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.says {
            Says::Pass { note } => write!(f, "{} passes: {note}", self.guard),
            Says::Refuse { reason } => write!(f, "{} refuses: {reason}", self.guard),
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

/// Judges the loop guard: at most one automatic rollback per change, a pause between two, and the budgets.
pub fn loop_guard(
    rollbacks: &[Rollback],
    change: Option<&str>,
    (cooldown, service_budget): (Span, u32),
    (fleet_in_the_hour, fleet_budget): (u32, u32),
    now: UnixMs,
) -> Verdict {
    let automatic = || rollbacks.iter().filter(|r| r.automatic);
    if change.is_some() && automatic().any(|r| r.change.as_deref() == change) {
        return Verdict::refuse(Guard::Loop, "this change was already rolled back once");
    }
    if let Some(last) = automatic().map(|r| r.at).max()
        && now.since(last) < cooldown
    {
        let ago = Span(now.since(last).ms() / 1000 * 1000);
        return Verdict::refuse(
            Guard::Loop,
            format!("the last automatic rollback was {ago} ago, less than {cooldown}"),
        );
    }
    let in_the_hour = automatic().filter(|r| now.since(r.at) < Span::hours(1)).count();
    if u32::try_from(in_the_hour).unwrap_or(u32::MAX) >= service_budget {
        return Verdict::refuse(
            Guard::Loop,
            format!(
                "{in_the_hour} automatic rollbacks in the last hour spent the budget of {service_budget}"
            ),
        );
    }
    if fleet_in_the_hour >= fleet_budget {
        return Verdict::refuse(
            Guard::Loop,
            format!(
                "{fleet_in_the_hour} automatic rollbacks of the fleet in the last hour spent its budget of {fleet_budget}"
            ),
        );
    }
    Verdict::pass(Guard::Loop, "no earlier rollback of this change, budgets not spent")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> UnixMs {
        UnixMs(minute * 60_000)
    }

    fn judge(rollbacks: &[(i64, &str)], change: &str, fleet: u32, now: i64) -> Option<String> {
        let rollbacks: Vec<Rollback> = rollbacks
            .iter()
            .map(|(minute, change)| Rollback {
                at: at(*minute),
                change: Some((*change).to_owned()),
                automatic: true,
            })
            .collect();
        loop_guard(&rollbacks, Some(change), (Span::minutes(30), 2), (fleet, 5), at(now))
            .refusal()
            .map(str::to_owned)
    }

    #[test]
    fn one_automatic_rollback_for_one_change() {
        assert_eq!(judge(&[], "c1", 0, 100), None);
        assert!(judge(&[(0, "c1")], "c1", 0, 1000).is_some_and(|why| why.contains("already")));
    }

    #[test]
    fn a_pause_between_two_and_a_budget() {
        assert!(judge(&[(90, "c0")], "c1", 0, 100).is_some_and(|why| why.contains("10m ago")));
        assert_eq!(judge(&[(60, "c0")], "c1", 0, 100), None);
        assert!(judge(&[(45, "a"), (65, "b")], "c1", 0, 100).is_some_and(|w| w.contains("budget")));
        assert!(judge(&[], "c1", 5, 100).is_some_and(|why| why.contains("fleet")));
    }

    #[test]
    fn every_guard_is_listed_once() {
        let mut names: Vec<&str> = Guard::ALL.iter().map(|g| g.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Guard::ALL.len());
    }
}

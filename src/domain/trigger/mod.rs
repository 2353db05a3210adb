//! One condition over one signal of one service: no data, ok, pending, firing, recovering.
//!
//! A trigger reads samples and the times in them, nothing else. It never decides what to do about what it
//! sees, never fires on silence and never resolves on it.

pub mod defaults;
mod drawn;
mod evidence;
mod hold;
mod judge;
mod machine;
mod rule;
#[cfg(test)]
mod tests;
mod versus;

use serde::{Deserialize, Serialize};

pub use self::{
    drawn::DRAWN,
    evidence::{Evidence, FiredBy, Wait},
    machine::{Snapshot, Trigger},
    rule::{
        Comparison, Escalation, Gauge, Hold, Kind, Limit, Ratio, Recurrent, Rule, Traffic, Unit,
    },
    versus::Compared,
};
use crate::{domain::severity::Severity, units::UnixMs};

/// Where a trigger is.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nothing is known, or not for long enough.
    #[default]
    NoData,
    /// Clean.
    Ok,
    /// In breach, not yet held.
    Pending,
    /// Held.
    Firing,
    /// Clean again after firing, not yet for long enough.
    Recovering,
}

/// A change of state, or of severity while firing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    /// The state before.
    pub from: State,
    /// The state after; the same when only the severity rose.
    pub to: State,
    /// The sample time at which it happened.
    pub at: UnixMs,
    /// The severity after.
    pub severity: Severity,
}

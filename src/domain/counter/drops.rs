//! Why counts were dropped or mended, and how often.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why something in a counter's life was dropped or mended: the closed list, for the metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Drop {
    /// The total went backwards, or another process answers: it restarted, and the new value is the delta.
    Reset,
    /// Only the errors went backwards: the interval is dropped.
    PartialReset,
    /// The same instant twice: the first wins.
    Duplicate,
    /// Older than the one before.
    OutOfOrder,
    /// Too long after the one before for its counts to be placed in time: the chain starts anew.
    Gap,
    /// NaN, infinite, negative or unparsable.
    Invalid,
    /// More new errors than new requests: cut to the requests.
    Clamped,
    /// More than the tolerance in the future.
    Future,
    /// Older than the source's declared lag.
    Late,
    /// The total is absent.
    Absent,
    /// It overlaps in time with the one before.
    Overlap,
    /// More series than the limit.
    Overflow,
}

impl Drop {
    /// All of them, in the order of their counters.
    pub const ALL: [Self; 12] = [
        Self::Reset,
        Self::PartialReset,
        Self::Duplicate,
        Self::OutOfOrder,
        Self::Gap,
        Self::Invalid,
        Self::Clamped,
        Self::Future,
        Self::Late,
        Self::Absent,
        Self::Overlap,
        Self::Overflow,
    ];

    /// The label in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::PartialReset => "partial_reset",
            Self::Duplicate => "duplicate",
            Self::OutOfOrder => "out_of_order",
            Self::Gap => "gap",
            Self::Invalid => "invalid",
            Self::Clamped => "clamped",
            Self::Future => "future",
            Self::Late => "late",
            Self::Absent => "absent",
            Self::Overlap => "overlap",
            Self::Overflow => "overflow",
        }
    }
}

impl fmt::Display for Drop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How often each happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drops([u64; Drop::ALL.len()]);

impl Drops {
    /// How often `drop` happened.
    pub fn count(&self, drop: Drop) -> u64 {
        self.0[drop as usize]
    }

    /// Those that happened.
    pub fn iter(&self) -> impl Iterator<Item = (Drop, u64)> + '_ {
        Drop::ALL.into_iter().map(|drop| (drop, self.count(drop))).filter(|(_, count)| *count > 0)
    }

    pub(super) fn add(&mut self, drop: Drop) {
        self.0[drop as usize] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_said_by_its_name() {
        assert!(Drop::ALL.iter().all(|drop| drop.to_string() == drop.name()));
    }
}

//! One series: cumulative readings in, new counts out.

use serde::{Deserialize, Serialize};

use super::{Drop, Drops};
use crate::units::{Span, UnixMs};

/// One field of a reading, as the source gave it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Field {
    /// The series is not there. Errors that are absent where the total is present are zero *new* errors.
    Absent,
    /// It is there; NaN, infinite and negative are invalid.
    Value(f64),
}

/// Cumulative errors and total of one series at one instant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cumulative {
    /// By the source's timestamp.
    pub at: UnixMs,
    /// Failed requests since the process started.
    pub bad: Field,
    /// All requests since the process started.
    pub total: Field,
}

/// New counts over `(at - width, at]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delta {
    /// Failed requests.
    pub bad: u64,
    /// All requests.
    pub total: u64,
    /// The width of the interval.
    pub width: Span,
}

/// The last good reading of one series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Chain(pub(super) Option<(i64, f64, f64)>);

impl Chain {
    /// Takes the next reading. `since_zero` is when the series was known not to exist yet: its first reading
    /// then counts from zero over the time since, else the first errors of a new revision would be lost.
    pub fn take(
        &mut self,
        reading: &Cumulative,
        since_zero: Option<UnixMs>,
        longest: Span,
        drops: &mut Drops,
    ) -> Option<Delta> {
        let total = match reading.total {
            Field::Value(total) => total,
            Field::Absent => return dropped(drops, Drop::Absent),
        };
        let valid = |value: f64| value.is_finite() && value >= 0.0;
        let bad = match reading.bad {
            Field::Value(bad) if !valid(bad) => return dropped(drops, Drop::Invalid),
            Field::Value(bad) => Some(bad),
            Field::Absent => None,
        };
        if !valid(total) {
            return dropped(drops, Drop::Invalid);
        }
        let at = reading.at.0;
        let Some((before_at, before_bad, before_total)) = self.0 else {
            self.0 = Some((at, bad.unwrap_or(0.0), total));
            let start = since_zero.filter(|start| start.0 < at && at - start.0 <= longest.ms())?;
            return Some(delta(bad.unwrap_or(0.0), total, at - start.0, drops));
        };
        if at == before_at {
            return dropped(drops, Drop::Duplicate);
        }
        if at < before_at {
            return dropped(drops, Drop::OutOfOrder);
        }
        let width = at - before_at;
        let reset = total < before_total;
        // An error series that vanishes for a moment must not count all its errors again when it returns.
        let bad = bad.unwrap_or(if reset { 0.0 } else { before_bad });
        self.0 = Some((at, bad, total));
        if width > longest.ms() {
            return dropped(drops, Drop::Gap);
        }
        if reset {
            drops.add(Drop::Reset);
            return Some(delta(bad, total, width, drops));
        }
        if bad < before_bad {
            return dropped(drops, Drop::PartialReset);
        }
        Some(delta(bad - before_bad, total - before_total, width, drops))
    }
}

pub(super) fn dropped(drops: &mut Drops, drop: Drop) -> Option<Delta> {
    drops.add(drop);
    None
}

fn delta(bad: f64, total: f64, width: i64, drops: &mut Drops) -> Delta {
    let (bad, total) = (bad.round() as u64, total.round() as u64);
    if bad > total {
        drops.add(Drop::Clamped);
    }
    Delta { bad: bad.min(total), total, width: Span(width) }
}

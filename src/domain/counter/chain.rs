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

/// A start that a source reports anew each time may differ by so much.
const SAME_START_MS: i64 = 2_000;

/// The last good reading of one series, and when the process behind it started, where that is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Chain(pub(super) Option<(i64, f64, f64)>, #[serde(default)] Option<i64>);

impl Chain {
    /// Takes the next reading. `since_zero` is when the series was known not to exist yet: its first reading
    /// then counts from zero over the time since, else the first errors of a new revision would be lost. `started` is
    /// when its process started: one that started since the last reading counts from zero, however much it has counted.
    pub fn take(
        &mut self,
        reading: &Cumulative,
        started: Option<UnixMs>,
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
        let started = started.map(|at| at.0);
        let Some((before_at, before_bad, before_total)) = self.0 else {
            self.1 = started;
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
        let reset = total < before_total || self.began_anew(started, before_at);
        self.1 = started.or(self.1);
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

    /// Whether another process answers than the one of the last reading. Its clock may be ahead of the source's, so that
    /// a start after the last reading is not enough: it must be another start.
    fn began_anew(&self, started: Option<i64>, before_at: i64) -> bool {
        let another = |(at, known): (i64, i64)| at > before_at && at - known > SAME_START_MS;
        started.zip(self.1).is_some_and(another)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_that_is_told_a_little_differently_is_the_same() {
        let chain = Chain(None, Some(10_000));
        let began = |after| chain.began_anew(Some(10_000 + after), 5_000);
        assert_eq!([began(SAME_START_MS), began(SAME_START_MS + 1)], [false, true]);
    }
}

//! What latency is normal for a service: learned from before a change, and frozen while the change is judged.

use serde::{Deserialize, Serialize};

use super::history::{Excluded, History};
use crate::units::{Span, UnixMs};

/// A p95 over fewer requests is no material.
pub const REQUESTS: u64 = 20;

/// Fewer valid samples make no baseline.
pub const SAMPLES: usize = 20;

/// Where and how a baseline is learned; the defaults are the runbook's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    /// How long before the change learning begins.
    pub begins: Span,
    /// How long before the change it ends, so that the change's first effects are not learned.
    pub ends: Span,
    /// The fewest valid samples.
    pub samples: usize,
    /// A service is never normal below this: three times two milliseconds is not an incident. In seconds.
    pub floor: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self { begins: Span::minutes(60), ends: Span::minutes(2), samples: SAMPLES, floor: 0.05 }
    }
}

/// What is normal.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// The median p95, at least the floor. In seconds.
    pub p95: f64,
    /// The median as measured. In seconds.
    pub median: f64,
    /// From how many valid samples.
    pub samples: u32,
    /// Over which period.
    pub over: Period,
}

/// Which period a baseline was learned over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// The hour before the change.
    Hour,
    /// The week before it, for the hour had too few samples.
    Week,
}

/// Learns the baseline for a change that began at `change`.
///
/// `None` when neither the hour nor the week before it
/// has enough valid samples outside incidents: then only an absolute limit can be judged, and only people told.
pub fn learn(
    history: &History,
    change: UnixMs,
    incidents: &[Excluded],
    options: &Options,
) -> Option<Baseline> {
    let mut hour = history.p95s(change - options.begins, change - options.ends, incidents);
    let (median, samples, over) = if hour.len() >= options.samples {
        let samples = u32::try_from(hour.len()).unwrap_or(u32::MAX);
        (median(&mut hour)?, samples, Period::Hour)
    } else {
        let (median, samples) = history.hourly_p95(change - options.ends, incidents)?;
        if (samples as usize) < options.samples {
            return None;
        }
        (median, samples, Period::Week)
    };
    Some(Baseline { p95: median.max(options.floor), median, samples, over })
}

/// The median, by sorting in place as far as it needs; the mean of the middle two for an even count, `None` for none.
pub fn median(values: &mut [f64]) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    let odd = values.len() % 2 == 1;
    let (below, upper, _) = values.select_nth_unstable_by(values.len() / 2, f64::total_cmp);
    let lower = below.iter().copied().max_by(f64::total_cmp).filter(|_| !odd);
    Some(lower.map_or(*upper, |lower| (lower + *upper) / 2.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(minutes: std::ops::Range<i64>, p95: f64) -> History {
        let mut history = History::new(Span::seconds(60));
        for minute in minutes {
            history.record_p95(UnixMs((minute + 1) * 60_000), p95, 100);
        }
        history
    }

    fn at(minute: i64) -> UnixMs {
        UnixMs(minute * 60_000)
    }

    #[test]
    fn an_hour_without_data_falls_back_to_the_week() {
        let mut quiet = history(0..600, 0.3);
        // One minute later, so that the last full hour is closed.
        quiet.record_p95(at(1200), 0.9, 100);
        let found = learn(&quiet, at(1200), &[], &Options::default()).unwrap();
        assert_eq!((found.over, found.samples), (Period::Week, 600));
        assert!((found.p95 - 0.3).abs() < 0.3 / 4096.0);
        let incident = at(0)..at(600);
        assert_eq!(learn(&quiet, at(1200), &[incident], &Options::default()), None);
    }

    #[test]
    fn the_last_two_minutes_before_the_change_are_not_learned() {
        let mut late = history(0..58, 0.1);
        late.record_p95(at(59), 5.0, 100);
        late.record_p95(at(60), 5.0, 100);
        let found = learn(&late, at(60), &[], &Options::default()).unwrap();
        assert_eq!((found.over, found.samples), (Period::Hour, 58));
    }

    #[test]
    fn an_hour_that_ends_in_those_two_minutes_is_no_part_of_the_week() {
        let mut few = history(0..540, 0.3);
        (551..=601).step_by(5).for_each(|minute| few.record_p95(at(minute), 5.0, 100));
        let found = |change| learn(&few, at(change), &[], &Options::default()).unwrap();
        assert_eq!((found(601).over, found(601).samples), (Period::Week, 540));
        assert_eq!(found(602).samples, 550);
    }

    #[test]
    fn the_median_of_few() {
        assert_eq!(median(&mut []), None);
        assert_eq!(median(&mut [3.0, 1.0]), Some(2.0));
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), Some(2.0));
    }
}

//! What an adapter hands over: readings, and everything that was wrong with them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::units::{Span, UnixMs};

/// What a source measures response times in. The domain knows seconds only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TimeUnit {
    /// As Prometheus recommends.
    #[default]
    #[serde(rename = "s")]
    Seconds,
    /// As Envoy and Istio do.
    #[serde(rename = "ms")]
    Milliseconds,
}

/// One reading of one series of a signal.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    /// Cumulative counts, as the target exposes them: the daemon takes the deltas.
    Counter {
        /// Which series: the pod or target, and what it is grouped by.
        series: String,
        /// The version that runs there, where the source says so.
        revision: Option<String>,
        /// The source's time of the reading.
        at: UnixMs,
        /// How many were bad, ever; nothing where no such series is there, which is no *new* error.
        bad: Option<f64>,
        /// How many there were, ever.
        total: f64,
        /// When the process that counts was started, where it says so.
        born: Option<UnixMs>,
    },
    /// Cumulative buckets of a histogram.
    Histogram {
        /// As above.
        series: String,
        /// As above.
        at: UnixMs,
        /// Upper bound and cumulative count, ascending, ending at infinity.
        buckets: Vec<(f64, f64)>,
        /// As above.
        born: Option<UnixMs>,
    },
    /// A value as it is.
    Gauge {
        /// As above.
        series: String,
        /// As above.
        at: UnixMs,
        /// The value; never NaN.
        value: f64,
        /// How many requests it stands on, where that is known.
        n: Option<f64>,
    },
}

/// What one poll of one signal gave.
///
/// A partial poll has no readings: half of a sum, taken for a whole one, would look like a counter reset.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Poll {
    /// The readings, ordered by series.
    pub readings: Vec<Reading>,
    /// What was wrong, bounded in number.
    pub faults: Vec<Fault>,
    /// Something that was wanted may be missing: this poll neither confirms nor clears anything.
    pub partial: bool,
    /// How long it took.
    pub took: Duration,
}

impl Poll {
    /// The same readings of response times in seconds: the bounds of buckets, and values.
    #[must_use]
    pub fn in_seconds(mut self, unit: TimeUnit) -> Self {
        if unit == TimeUnit::Milliseconds {
            for reading in &mut self.readings {
                match reading {
                    Reading::Histogram { buckets, .. } => {
                        buckets.iter_mut().for_each(|(bound, _)| *bound /= 1000.0);
                    }
                    Reading::Gauge { value, .. } => *value /= 1000.0,
                    Reading::Counter { .. } => {}
                }
            }
        }
        self
    }

    /// A poll that gave nothing.
    pub fn failed(fault: Fault) -> Self {
        Self { faults: vec![fault], partial: true, ..Self::default() }
    }

    /// Errors were found that are a part of nothing: their labels do not match the total's. Whatever was taken for
    /// free of errors may be where they belong, so nothing of this poll is known.
    pub fn without_mates(&mut self) {
        let mateless = |fault: &Fault| matches!(fault, Fault::NoTotal { .. });
        if self.faults.iter().any(mateless) {
            self.partial = true;
            self.readings.clear();
            // What is told first is why.
            self.faults.sort_by_key(|fault| !mateless(fault));
        }
    }
}

/// How several gauges become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fold {
    /// The worst, where more is worse.
    #[default]
    Max,
    /// The least.
    Min,
    /// All of them.
    Sum,
}

impl Fold {
    /// Two as one.
    pub fn of(self, one: f64, other: f64) -> f64 {
        match self {
            Self::Max => one.max(other),
            Self::Min => one.min(other),
            Self::Sum => one + other,
        }
    }
}

/// Whether a failure says something about the target, or only about us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Our own side: names, certificates, credentials, limits. It says nothing about the target.
    Unknown,
    /// The target's: refused, timed out, broken off, 5xx.
    Down,
}

/// Something that was wrong with a poll.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Fault {
    /// There was no usable answer.
    #[error("{why}")]
    Failed {
        /// Whose fault it looks like.
        class: Class,
        /// The whole story, safe to print.
        why: String,
    },
    /// A line that cannot be read, in the words of the scanner.
    #[error("{0}")]
    BadLine(String),
    /// Lines that cannot be read, altogether.
    #[error("{count} lines cannot be read")]
    BadLines {
        /// How many.
        count: u64,
    },
    /// The same series more than once. With one value it is counted once; with several it is as if it were missing.
    #[error("{count} series are there twice, first `{first}`")]
    Duplicate {
        /// How many.
        count: u64,
        /// The first of them.
        first: String,
    },
    /// The body ends in the middle.
    #[error("the body is cut off")]
    Cut,
    /// A limit was reached.
    #[error("{0}")]
    Over(String),
    /// NaN, infinite, or a negative count.
    #[error("`{series}` is {value}, which is not a usable number")]
    NotANumber {
        /// Which series.
        series: String,
        /// Its value.
        value: f64,
    },
    /// The sample is too old to say anything about now.
    #[error("`{series}` is {age} old")]
    Stale {
        /// Which series.
        series: String,
        /// How old.
        age: Span,
    },
    /// The sample is from the future: a clock is wrong.
    #[error("`{series}` is {ahead} in the future")]
    Future {
        /// Which series.
        series: String,
        /// How far.
        ahead: Span,
    },
    /// The total is not there, so nothing is known.
    #[error("there is no series `{wanted}`")]
    Absent {
        /// What was looked for.
        wanted: String,
    },
    /// Errors without the requests they are a part of.
    #[error("`{series}` has errors but no total: errors and total must have the same labels")]
    NoTotal {
        /// Which series.
        series: String,
    },
    /// More errors than requests in one period: the total does not count those that failed.
    #[error("{}", uncounted(.errors, .requests))]
    Uncounted {
        /// How many errors.
        errors: f64,
        /// How many requests, where there were any.
        requests: Option<f64>,
    },
    /// A histogram whose buckets do not fit together.
    #[error("the buckets of `{series}` cannot be used: {why}")]
    Buckets {
        /// Which series.
        series: String,
        /// Why.
        why: &'static str,
    },
    /// A native histogram where a number was expected.
    #[error(
        "`{series}` is a native histogram; ask for a number, with histogram_quantile() or histogram_count()"
    )]
    NativeHistogram {
        /// Which series.
        series: String,
    },
    /// The source said that its answer may be incomplete.
    #[error("the source warns: {0}")]
    Warned(String),
    /// Rows that cannot be told apart by service.
    #[error("{rows} rows have no label `{label}`")]
    NoLabel {
        /// The label.
        label: String,
        /// How many rows.
        rows: usize,
    },
    /// The list of targets cannot be read.
    #[error("{0}")]
    Unlisted(String),
    /// The list of targets is empty.
    #[error("no targets are listed")]
    NoTargets,
    /// The target names more than one version of itself.
    #[error("more than one version is told: {0}")]
    Revisions(String),
}

fn uncounted(errors: &f64, requests: &Option<f64>) -> String {
    let requests = match requests {
        Some(requests) => format!("with {requests} requests"),
        None => "without requests".to_owned(),
    };
    format!("{errors} errors in a period {requests}: `total` does not count what failed")
}

impl Fault {
    /// The short word for metrics: every drop is counted by reason.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Failed { class: Class::Unknown, .. } => "unknown",
            Self::Failed { class: Class::Down, .. } => "down",
            Self::BadLine(_) | Self::BadLines { .. } => "bad_line",
            Self::Duplicate { .. } => "duplicate",
            Self::Cut => "cut",
            Self::Over(_) => "limit",
            Self::NotANumber { .. } => "not_a_number",
            Self::Stale { .. } => "stale",
            Self::Future { .. } => "future",
            Self::Absent { .. } => "absent",
            Self::NoTotal { .. } => "no_total",
            Self::Uncounted { .. } => "uncounted",
            Self::Buckets { .. } => "buckets",
            Self::NativeHistogram { .. } => "native_histogram",
            Self::Warned(_) => "warned",
            Self::NoLabel { .. } => "no_label",
            Self::Unlisted(_) => "unlisted",
            Self::NoTargets => "no_targets",
            Self::Revisions(_) => "revisions",
        }
    }
}

/// How far a sample's time may be from ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// The oldest sample that still counts: the source's declared lag.
    pub lag: Span,
    /// How far in the future a sample may be.
    pub ahead: Span,
}

impl Default for Freshness {
    fn default() -> Self {
        Self { lag: Span::minutes(5), ahead: Span::seconds(120) }
    }
}

impl Freshness {
    /// What is wrong with a sample's time, if anything.
    pub fn fault(self, series: &str, at: UnixMs, now: UnixMs) -> Option<Fault> {
        let (age, ahead) = (now.since(at), at.since(now));
        if age > self.lag {
            Some(Fault::Stale { series: series.to_owned(), age })
        } else if ahead > self.ahead {
            Some(Fault::Future { series: series.to_owned(), ahead })
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_become_seconds_and_counts_stay() {
        let (series, at) = (String::new(), UnixMs(1));
        let histogram = |buckets: [(f64, f64); 3]| Reading::Histogram {
            series: series.clone(),
            at,
            buckets: buckets.to_vec(),
            born: None,
        };
        let gauge = |value| Reading::Gauge { series: series.clone(), at, value, n: Some(7.0) };
        let counter = || Reading::Counter {
            series: series.clone(),
            revision: None,
            at,
            bad: Some(1000.0),
            total: 2000.0,
            born: None,
        };
        let poll = |readings| Poll { readings, ..Poll::default() };
        let in_ms = vec![
            histogram([(5.0, 1.0), (2500.0, 3.0), (f64::INFINITY, 4.0)]),
            gauge(1500.0),
            counter(),
        ];
        let in_s = vec![
            histogram([(0.005, 1.0), (2.5, 3.0), (f64::INFINITY, 4.0)]),
            gauge(1.5),
            counter(),
        ];
        assert_eq!(poll(in_ms).in_seconds(TimeUnit::Milliseconds), poll(in_s.clone()));
        assert_eq!(poll(in_s.clone()).in_seconds(TimeUnit::Seconds), poll(in_s));
    }
}

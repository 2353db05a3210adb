//! One judgeable reading of a signal, and the interval of time it speaks about.
//!
//! Whatever a source read (cumulative counters, a histogram, a probe) has become a [`Sample`] before a trigger
//! sees it. A sample never says "zero" when it means "not known": that is [`Reading::Unknown`], with its reason.

use serde::{Deserialize, Serialize};

use crate::units::{Span, UnixMs};

/// A reading over the interval `(at - width, at]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// The end of the interval, by the source's own timestamps.
    pub at: UnixMs,
    /// How long the interval is. Wider than the poll step after a late or missed scrape: its counts are
    /// evidence, the missed ticks are unknown time.
    pub width: Span,
    /// What was read.
    pub reading: Reading,
}

impl Sample {
    /// The beginning of the interval.
    pub fn start(&self) -> UnixMs {
        self.at - self.width
    }

    /// Nothing could be read for the tick at `at`.
    pub fn unknown(at: UnixMs, width: Span, why: Unknown) -> Self {
        Self { at, width, reading: Reading::Unknown { why } }
    }
}

/// What a source said about one interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reading {
    /// Requests within the interval: `bad` of `total`. `bad` above `total` is read as `total`.
    Counts {
        /// Requests that failed, or were too slow.
        bad: u64,
        /// All requests.
        total: u64,
    },
    /// A value at the interval's end; NaN is unknown.
    Gauge {
        /// In the signal's own unit: seconds for a latency.
        value: f64,
        /// How many requests a quantile was taken over, where the source says.
        n: Option<u64>,
    },
    /// A probe answered, or something was ready; an event is absent.
    Up,
    /// Refused, timed out, 5xx, nothing ready; an event is present.
    Down,
    /// No data. Never fires a trigger and never clears one.
    Unknown {
        /// Why not.
        why: Unknown,
    },
}

/// Why a reading is not known: the closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unknown {
    /// The scrape or query did not succeed in time.
    Failed,
    /// The source answered without the series.
    Absent,
    /// NaN, infinite, negative or unparsable.
    Invalid,
    /// The source's data is older than its declared lag, or in the future.
    Stale,
    /// Nothing to take a difference from yet, or the chain of counters was broken.
    NoDelta,
    /// Our own fault: DNS, 401, 403, TLS configuration. Says nothing about the service.
    ClientError,
    /// The source said that its answer was partial.
    Partial,
    /// Nobody asked: a missed poll.
    Missed,
}

//! What has been seen since the onset of a breach (R1): a handful of sums, whatever the length.

use serde::{Deserialize, Serialize};

use super::rule;
use crate::{
    domain::{signal::Sample, wilson},
    units::{Percent, Span, UnixMs},
};

/// The sums since the onset. `onset` is `None` while nothing is in breach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Seen {
    /// The start of the first breaching interval, in milliseconds since the epoch.
    pub(super) onset: Option<i64>,
    pub(super) bad: u64,
    pub(super) total: u64,
    pub(super) samples: u32,
    pub(super) breached: i64,
    pub(super) known: i64,
    pub(super) clean_run: i64,
    pub(super) longest_clean: i64,
    /// Start of the first and end of the last interval with an error.
    pub(super) errors: Option<(i64, i64)>,
}

/// What a ratio's counts have to show beyond having lasted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counting {
    pub(super) above: Percent,
    /// The bound may equal the threshold ("at least"), where R1 wants it above.
    pub(super) or_equal: bool,
    pub(super) z: f64,
    pub(super) errors: u64,
    pub(super) span_share: Percent,
}

impl Counting {
    /// How far apart the first and the last error have to be, in milliseconds.
    pub(super) fn errors_apart(&self, hold: &rule::Hold) -> i64 {
        (self.span_share.0 * hold.lasts.ms() as f64).round() as i64
    }

    pub(super) fn convinced(&self, bound: f64) -> bool {
        bound > self.above.0 || (self.or_equal && bound >= self.above.0)
    }
}

impl Seen {
    /// A breaching interval of which `known` is known time.
    #[inline]
    pub(super) fn breach(&mut self, sample: &Sample, known: Span, counts: (u64, u64)) {
        if self.onset.is_none() {
            *self = Self { onset: Some(sample.start().0), ..Self::default() };
        }
        self.samples = self.samples.saturating_add(1);
        self.breached += known.ms();
        self.clean_run = 0;
        self.add(sample, known, counts);
    }

    /// A clean interval; does nothing before an onset.
    #[inline]
    pub(super) fn clean(&mut self, sample: &Sample, known: Span, counts: (u64, u64)) {
        if self.onset.is_some() {
            self.clean_run += known.ms();
            self.longest_clean = self.longest_clean.max(self.clean_run);
            self.add(sample, known, counts);
        }
    }

    pub(super) fn is_none(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Whether R1 holds at `at`, the end of a breaching interval.
    #[inline]
    pub(super) fn fires(&self, at: UnixMs, hold: &rule::Hold, counting: Option<&Counting>) -> bool {
        self.onset.is_some_and(|onset| at.0 - onset >= hold.lasts.ms())
            && self.samples >= hold.samples
            && self.share() >= hold.share.0
            && self.longest_clean <= hold.grace.ms()
            && counting.is_none_or(|counting| self.counts_show(hold, counting))
    }

    /// The share of the known time that was in breach; 0 before any is known.
    #[inline]
    pub(super) fn share(&self) -> f64 {
        if self.known == 0 { 0.0 } else { self.breached as f64 / self.known as f64 }
    }

    #[inline]
    pub(super) fn ratio(&self) -> f64 {
        if self.total == 0 { 0.0 } else { self.bad as f64 / self.total as f64 }
    }

    pub(super) fn bound(&self, z: f64) -> f64 {
        wilson::lower_bound(self.bad, self.total, z)
    }

    pub(super) fn error_span(&self) -> i64 {
        self.errors.map_or(0, |(first, last)| last - first)
    }

    fn counts_show(&self, hold: &rule::Hold, counting: &Counting) -> bool {
        self.bad >= counting.errors
            && self.error_span() >= counting.errors_apart(hold)
            && self.ratio() > counting.above.0
            && counting.convinced(self.bound(counting.z))
    }

    fn add(&mut self, sample: &Sample, known: Span, (bad, total): (u64, u64)) {
        self.known += known.ms();
        self.bad += bad;
        self.total += total;
        if bad > 0 {
            let first = self.errors.map_or(sample.start().0, |(first, _)| first);
            self.errors = Some((first, sample.at.0));
        }
    }
}

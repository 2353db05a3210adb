//! What one spec has of one group of series, and whether that makes a reading.

use std::collections::BTreeMap;

use super::Spec;
use crate::{
    sources::{
        exposition::Series,
        reading::{Fault, Fold, Reading},
    },
    units::UnixMs,
};

/// What one spec has of one group.
#[derive(Default)]
pub(super) struct Group {
    /// The errors; nothing where none of their series is there.
    bad: Option<f64>,
    /// The total, or the gauge.
    main: Option<f64>,
    /// How many series the total is summed from.
    totals: u32,
    /// How many of them say since when they are there, and the earliest of those times.
    created: (u32, Option<UnixMs>),
    pub(super) n: Option<f64>,
    /// Of each upper bound, by its bits: the count, and how many series it is summed from.
    buckets: BTreeMap<u64, (f64, u32)>,
    /// The newest timestamp of the target's own.
    pub(super) at: Option<UnixMs>,
    unusable: Option<f64>,
    bad_bound: bool,
}

impl Group {
    pub(super) fn count(&mut self, series: &Series<'_, '_>, bad: bool, total: bool) {
        self.usable_count(series.value);
        if bad {
            self.bad = Some(self.bad.unwrap_or(0.0) + series.value);
        }
        if total {
            self.main = Some(self.main.unwrap_or(0.0) + series.value);
            self.totals += 1;
            self.at = self.at.max(series.at);
        }
    }

    pub(super) fn created(&mut self, series: &Series<'_, '_>) {
        if let Some(at) = UnixMs::from_seconds(series.value) {
            let earliest = self.created.1.map_or(at, |before| before.min(at));
            self.created = (self.created.0 + 1, Some(earliest));
        }
    }

    /// Since when all that is summed is there: one series that is older, or does not say, makes it unknown.
    fn born(&self) -> Option<UnixMs> {
        let infinite = self.buckets.get(&sortable(f64::INFINITY)).map_or(0, |bucket| bucket.1);
        let (said, earliest) = self.created;
        earliest.filter(|_| said == self.totals.max(infinite))
    }

    pub(super) fn bucket(&mut self, series: &Series<'_, '_>) {
        self.usable_count(series.value);
        self.at = self.at.max(series.at);
        let bound = series.label("le").and_then(|le| le.text().parse::<f64>().ok());
        match bound.filter(|bound| !bound.is_nan()) {
            Some(bound) => {
                let bucket = self.buckets.entry(sortable(bound)).or_default();
                bucket.0 += series.value;
                bucket.1 += 1;
            }
            None => self.bad_bound = true,
        }
    }

    pub(super) fn gauge(&mut self, series: &Series<'_, '_>, fold: Fold) {
        if !series.value.is_finite() {
            self.unusable.get_or_insert(series.value);
        }
        self.at = self.at.max(series.at);
        self.main = Some(match self.main {
            Some(other) => fold.of(other, series.value),
            None => series.value,
        });
    }

    fn usable_count(&mut self, value: f64) {
        if !value.is_finite() || value < 0.0 {
            self.unusable.get_or_insert(value);
        }
    }

    /// Whether anything was seen beside when it was created.
    pub(super) fn is_counted(&self) -> bool {
        self.has_main() || self.bad.is_some() || self.n.is_some()
    }

    pub(super) fn has_main(&self) -> bool {
        self.main.is_some() || !self.buckets.is_empty() || self.bad_bound
    }

    pub(super) fn reading(
        self,
        spec: &Spec,
        series: String,
        at: UnixMs,
        born: Option<UnixMs>,
        revision: Option<&str>,
    ) -> Result<Reading, Fault> {
        if matches!(spec, Spec::Ratio(_)) && self.main.is_none() {
            return Err(Fault::NoTotal { series });
        }
        // The process says it best.
        let born = born.or_else(|| self.born());
        if let Some(value) = self.unusable {
            return Err(Fault::NotANumber { series, value });
        }
        match (spec, self.main) {
            (Spec::Ratio(_), Some(total)) => {
                let revision = revision.map(str::to_owned);
                Ok(Reading::Counter { series, revision, at, bad: self.bad, total, born })
            }
            (Spec::Ratio(_), None) => Err(Fault::NoTotal { series }),
            (Spec::Gauge(_), Some(value)) => Ok(Reading::Gauge { series, at, value, n: self.n }),
            (Spec::Gauge(spec), None) => Err(Fault::Absent { wanted: spec.value.to_string() }),
            (Spec::Histogram(_), _) => match self.whole_buckets() {
                Ok(buckets) => Ok(Reading::Histogram { series, at, buckets, born }),
                Err(why) => Err(Fault::Buckets { series, why }),
            },
        }
    }

    /// Sums of buckets mean something only where every series has every bucket.
    fn whole_buckets(self) -> Result<Vec<(f64, f64)>, &'static str> {
        if self.bad_bound {
            return Err("a bound is not a number");
        }
        let mut last: Option<(f64, u32)> = None;
        for bucket in self.buckets.values() {
            if last.is_some_and(|last| last.1 != bucket.1) {
                return Err("its series have different bounds");
            }
            if last.is_some_and(|last| last.0 > bucket.0) {
                return Err("the counts are not cumulative");
            }
            last = Some(*bucket);
        }
        let buckets: Vec<(f64, f64)> =
            self.buckets.iter().map(|(bound, count)| (from_sortable(*bound), count.0)).collect();
        match buckets.last() {
            Some((bound, _)) if *bound == f64::INFINITY => Ok(buckets),
            Some(_) | None => Err("there is no bucket up to +Inf"),
        }
    }
}

/// The bits of a float in an order that is the float's.
fn sortable(number: f64) -> u64 {
    let bits = (number + 0.0).to_bits();
    if bits >> 63 == 1 { !bits } else { bits | (1 << 63) }
}

fn from_sortable(bits: u64) -> f64 {
    f64::from_bits(if bits >> 63 == 1 { bits & !(1 << 63) } else { !bits })
}

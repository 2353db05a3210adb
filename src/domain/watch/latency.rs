//! Cumulative buckets of many series in, the 95th percentile of the trailing window out.
//!
//! As with counters, what cannot be placed in time is left out: it is never taken for now.

use std::collections::VecDeque;

use litemap::LiteMap;
use serde::{Deserialize, Serialize};

use super::reading::Raw;
use crate::{
    domain::{
        histogram::{self, Bucket},
        signal::Reading,
    },
    units::{Span, UnixMs},
};

/// Series followed for a quantile; the counters of the same signal count what is beyond.
const SERIES_MAX: usize = 1_000;

/// Buckets of the trailing window, for a 95th percentile that Prometheus would show alike.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Latency {
    window: Span,
    /// The last cumulative buckets of each series.
    #[serde(default)]
    series: LiteMap<String, Last>,
    /// What was added by each poll within the window.
    polls: VecDeque<(UnixMs, Added)>,
    #[serde(default)]
    polled: Option<UnixMs>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Last {
    at: UnixMs,
    buckets: Added,
}

/// A count for each upper bound.
type Added = LiteMap<Bound, f64>;

/// A bucket's upper bound, ordered; infinity is written as the largest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Bound(u64);

impl Bound {
    fn new(bound: f64) -> Self {
        // The bit patterns of non-negative floats are ordered like the floats.
        Self(bound.max(0.0).to_bits())
    }

    fn value(self) -> f64 {
        f64::from_bits(self.0)
    }
}

impl Latency {
    /// A quantile of another window from now on.
    pub(super) fn look_over(&mut self, window: Span) {
        self.window = window;
    }

    /// A window that has seen nothing.
    pub(super) fn over(window: Span) -> Self {
        Self { window, ..Self::default() }
    }

    /// Begins anew.
    pub(super) fn forget(&mut self) {
        *self = Self::over(self.window);
    }

    /// Takes one poll: the time it speaks for, and the percentile where this poll told anything. Counts over more
    /// than `longest` cannot be placed in time.
    pub(super) fn take(
        &mut self,
        raw: &[Raw],
        longest: Span,
        now: UnixMs,
    ) -> (UnixMs, Option<Reading>) {
        let (mut added, mut newest) = (None, None);
        for reading in raw {
            let Raw::Histogram { series, at, buckets, started } = reading else { continue };
            newest = newest.max(Some(*at));
            let buckets = buckets.iter().map(|(bound, count)| (Bound::new(*bound), *count));
            let last = Last { at: *at, buckets: buckets.collect() };
            if let Some(delta) = self.follow(series, last, *started, longest) {
                merge(&mut added, &delta);
            }
        }
        let at = newest.unwrap_or(now);
        self.series.retain(|_, last| at.since(last.at) <= longest);
        self.polled = self.polled.max(Some(now));
        while self.polls.front().is_some_and(|(old, _)| *old + self.window <= at && *old != at) {
            self.polls.pop_front();
        }
        // Nothing could be compared: what the window still holds says nothing about now.
        let Some(added) = added else { return (at, None) };
        self.polls.push_back((at, added));
        (at, self.percentile())
    }

    /// What a series adds since it was last read. A bucket that was not there before adds nothing yet.
    fn follow(
        &mut self,
        name: &str,
        current: Last,
        started: Option<UnixMs>,
        longest: Span,
    ) -> Option<Added> {
        let Some(before) = self.series.get_mut(name) else {
            if self.series.len() >= SERIES_MAX {
                return None;
            }
            // It began after the last poll: its first requests are new ones.
            let since_zero = self
                .polled
                .filter(|polled| started.is_some_and(|started| started > *polled))
                .filter(|polled| *polled < current.at && current.at.since(*polled) <= longest);
            let added = since_zero.map(|_| current.buckets.clone());
            self.series.insert(name.to_owned(), current);
            return added;
        };
        if current.at <= before.at {
            return None;
        }
        let before = std::mem::replace(before, current.clone());
        if current.at.since(before.at) > longest {
            return None;
        }
        let total = |buckets: &Added| buckets.last().map_or(0.0, |(_, count)| *count);
        if total(&current.buckets) < total(&before.buckets) {
            return Some(current.buckets);
        }
        let delta = |(bound, count): (Bound, f64)| {
            before.buckets.get(&bound).map(|earlier| (bound, (count - earlier).max(0.0)))
        };
        Some(current.buckets.into_iter().filter_map(delta).collect())
    }

    fn percentile(&self) -> Option<Reading> {
        let mut sum = None;
        for (_, added) in &self.polls {
            merge(&mut sum, added);
        }
        let buckets: Vec<Bucket> = sum?
            .iter()
            .map(|(bound, count)| Bucket { bound: bound.value(), count: *count })
            .collect();
        let requests = buckets.last().map_or(0.0, |bucket| bucket.count);
        // Nobody came: that is known, and no fault of the source.
        let value = if requests == 0.0 { Some(0.0) } else { histogram::quantile(&buckets, 0.95) };
        value.map(|value| Reading::Gauge { value, n: Some(requests.round() as u64) })
    }
}

/// Cumulative counts add up at the bounds that both have, and mean nothing at the others.
fn merge(sum: &mut Option<Added>, more: &Added) {
    let Some(sum) = sum else {
        *sum = Some(more.clone());
        return;
    };
    sum.retain(|bound, _| more.contains_key(bound));
    for (bound, count) in sum.iter_mut() {
        *count += more.get(bound).copied().unwrap_or(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Span = Span::seconds(180);

    fn histogram(series: &str, at: i64, counts: &[(f64, f64)]) -> Raw {
        let buckets = counts.to_vec();
        Raw::Histogram { series: series.to_owned(), at: UnixMs(at * 1000), buckets, started: None }
    }

    /// So many fast requests so far, and so many that took two seconds.
    fn counts(fast: f64, slow: f64) -> [(f64, f64); 3] {
        [(0.1, fast), (2.5, fast + slow), (f64::INFINITY, fast + slow)]
    }

    fn take(latency: &mut Latency, at: i64, raw: &[Raw]) -> Option<(f64, u64)> {
        match latency.take(raw, LONGEST, UnixMs(at * 1000)).1 {
            Some(Reading::Gauge { value, n }) => n.map(|n| (value, n)),
            Some(other) => panic!("{other:?}"),
            None => None,
        }
    }

    /// A thousand pods in a month of deployments, and the percentile was unknown for ever.
    #[test]
    fn series_that_are_gone_make_room() {
        let mut latency = Latency::over(Span::minutes(1));
        for pod in 0..1200 {
            let at = pod * 15;
            take(&mut latency, at, &[histogram(&format!("pod-{pod}"), at, &counts(1.0, 0.0))]);
        }
        assert!(latency.series.len() < 20, "{}", latency.series.len());
        take(&mut latency, 18_000, &[histogram("new", 18_000, &counts(1.0, 0.0))]);
        let told = take(&mut latency, 18_015, &[histogram("new", 18_015, &counts(11.0, 0.0))]);
        assert_eq!(told.map(|(_, n)| n), Some(10));
    }

    #[test]
    fn what_begins_anew_has_nothing_to_compare_with() {
        let mut latency = Latency::over(Span::minutes(1));
        take(&mut latency, 0, &[histogram("a", 0, &counts(100.0, 0.0))]);
        assert!(take(&mut latency, 15, &[histogram("a", 15, &counts(110.0, 0.0))]).is_some());
        latency.forget();
        assert_eq!(take(&mut latency, 30, &[histogram("a", 30, &counts(120.0, 0.0))]), None);
    }

    #[test]
    fn what_was_counted_while_nobody_looked_is_not_now() {
        let mut latency = Latency::over(Span::minutes(1));
        for (at, fast) in [(0, 100.0), (15, 110.0)] {
            take(&mut latency, at, &[histogram("a", at, &counts(fast, 0.0))]);
        }
        let back = [histogram("a", 7200, &counts(110.0, 9000.0))];
        assert_eq!(take(&mut latency, 7200, &back), None);
        let next = [histogram("a", 7215, &counts(120.0, 9000.0))];
        assert_eq!(take(&mut latency, 7215, &next).map(|(_, n)| n), Some(10));
    }

    #[test]
    fn a_bucket_that_is_new_does_not_count_its_history() {
        let mut latency = Latency::over(Span::minutes(1));
        take(&mut latency, 0, &[histogram("a", 0, &counts(1000.0, 500.0))]);
        let finer = [(0.1, 1010.0), (1.0, 1300.0), (2.5, 1510.0), (f64::INFINITY, 1510.0)];
        let (p95, n) = take(&mut latency, 15, &[histogram("a", 15, &finer)]).unwrap();
        assert!(p95 <= 0.1 && n == 10, "{p95} of {n}");
    }

    #[test]
    fn a_pod_that_was_born_since_the_last_poll_counts_from_zero() {
        let born = |started: i64| {
            let mut latency = Latency::over(Span::minutes(1));
            take(&mut latency, 0, &[histogram("old", 0, &counts(5.0, 0.0))]);
            let Raw::Histogram { series, at, buckets, .. } =
                histogram("new", 15, &counts(0.0, 30.0))
            else {
                panic!("not a histogram")
            };
            let started = Some(UnixMs(started * 1000));
            take(&mut latency, 15, &[Raw::Histogram { series, at, buckets, started }])
        };
        assert_eq!(born(3).map(|(_, n)| n), Some(30));
        assert_eq!(born(-3600), None, "an old pod's history is not now");
    }

    #[test]
    fn nobody_came_is_known_and_nothing_compared_is_not() {
        let mut latency = Latency::over(Span::minutes(1));
        let same = |at| [histogram("a", at, &counts(5.0, 0.0))];
        assert_eq!(take(&mut latency, 0, &same(0)), None);
        assert_eq!(take(&mut latency, 15, &same(15)), Some((0.0, 0)));
        let other = [histogram("b", 30, &counts(5.0, 0.0))];
        assert_eq!(take(&mut latency, 30, &other), None);
    }

    /// The first look at a series that began while nobody was away too long.
    #[test]
    fn a_new_series_counts_from_its_start_where_the_time_since_is_short_enough() {
        for (late, counted) in [(Span::ZERO, Some(7)), (Span::seconds(1), None)] {
            let mut latency = Latency::over(Span::minutes(5));
            take(&mut latency, 0, &[histogram("a", 0, &counts(100.0, 0.0))]);
            let at = (LONGEST + late).ms() / 1_000;
            let Raw::Histogram { series, at: read_at, buckets, .. } =
                histogram("b", at, &counts(7.0, 0.0))
            else {
                unreachable!("it is one")
            };
            let started = Some(UnixMs(1_000));
            let new = Raw::Histogram { series, at: read_at, buckets, started };
            assert_eq!(take(&mut latency, at, &[new]).map(|(_, n)| n), counted);
        }
    }
}

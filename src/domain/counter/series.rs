//! All series of a service: which pods answered, and what they add up to for each revision.

use std::collections::BTreeMap;

use litemap::LiteMap;
use serde::{Deserialize, Serialize};

use super::{
    Drop, Drops,
    chain::{Chain, Cumulative, Delta, dropped},
};
use crate::{
    domain::signal::{Reading, Sample, Unknown},
    units::{Span, UnixMs},
};

/// What one source can be trusted with.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// How often it is read.
    pub step: Span,
    /// The longest interval whose counts can be placed in time; three steps where those are longer.
    pub gap: Span,
    /// How far in the future its clock may be.
    pub ahead: Span,
    /// How old its newest data may be. Minutes for CloudWatch.
    pub lag: Span,
    /// The most series that are followed.
    pub series: usize,
}

impl Options {
    /// The runbook's tolerances for a source read every `step`.
    pub fn every(step: Span) -> Self {
        Self {
            step,
            gap: Span::seconds(180),
            ahead: Span::seconds(120),
            lag: (step * 3).max(Span::seconds(180)),
            series: 10_000,
        }
    }

    fn longest(&self) -> Span {
        self.gap.max(self.step * 3)
    }
}

/// All series of one signal of one service, by revision.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Counters {
    options: Options,
    /// Revision, then series (a pod): the last good reading. Few revisions serve at once, most often one, for which a
    /// tree would keep the room of eleven.
    chains: LiteMap<String, BTreeMap<String, Chain>>,
    followed: usize,
    /// Ends of the newest samples, by revision.
    newest: LiteMap<String, i64>,
    polled: Option<UnixMs>,
    /// How far the newest sample was behind its poll: where "nothing known" is placed in the source's time.
    behind: Span,
    drops: Drops,
}

/// One series in an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Series<'a> {
    /// The revision its pod runs.
    pub revision: &'a str,
    /// What tells it from the others, for example the pod.
    pub name: &'a str,
    /// When its process started, where that is known.
    pub started: Option<UnixMs>,
    /// What was read.
    pub reading: Cumulative,
}

/// What one revision counted in one answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Arm {
    /// The revision; empty where nobody says.
    pub revision: String,
    /// All of its series.
    pub sample: Sample,
    /// Those whose process was no longer young when the interval began, or says nothing of its start.
    pub settled: Sample,
}

/// When an answer was read, and whether it is old on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Poll {
    /// When the source was asked: by our clock live, by the record in a replay.
    pub now: UnixMs,
    /// Filling in after a restart: as old as it likes.
    pub backfill: bool,
}

impl Counters {
    /// Counters that have seen nothing.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            chains: LiteMap::new(),
            followed: 0,
            newest: LiteMap::new(),
            polled: None,
            behind: Span::ZERO,
            drops: Drops::default(),
        }
    }

    /// Trusts the source with something else from now on.
    pub fn follow(&mut self, options: Options) {
        self.options = options;
    }

    /// Takes one answer, and sums the new counts of each revision's series into a sample. A revision that
    /// answered without a single usable series gives a sample of which nothing is known.
    pub fn take(&mut self, poll: Poll, answer: &[Series<'_>]) -> Vec<(String, Sample)> {
        let arms = self.take_apart(poll, answer, Span::ZERO);
        arms.into_iter().map(|arm| (arm.revision, arm.sample)).collect()
    }

    /// The same, and beside it without the processes that are not older than `young`: they warm up.
    pub fn take_apart(&mut self, poll: Poll, answer: &[Series<'_>], young: Span) -> Vec<Arm> {
        // Few revisions answer, most often one: a tree would be made and let go of with each poll.
        let mut sums: Vec<(&str, (Sum, Sum))> = Vec::with_capacity(1);
        for series in answer {
            let known = sums.binary_search_by(|(revision, _)| (*revision).cmp(series.revision));
            let place = known.unwrap_or_else(|place| {
                sums.insert(place, (series.revision, Default::default()));
                place
            });
            let (all, settled) = &mut sums[place].1;
            let at = series.reading.at;
            if let Some(delta) = self.take_series(poll, series) {
                all.add(&delta, at);
                if series.started.is_none_or(|started| at - delta.width >= started + young) {
                    settled.add(&delta, at);
                }
            }
        }
        self.polled = Some(self.polled.map_or(poll.now, |before| before.max(poll.now)));
        let arms = sums
            .into_iter()
            .map(|(revision, (all, settled))| {
                let sample = self.sample(revision, &all, poll);
                let settled = settled.beside(&sample);
                Arm { revision: revision.to_owned(), sample, settled }
            })
            .collect();
        self.forget_the_gone(poll.now);
        arms
    }

    /// Begins every series anew, and keeps what was counted of drops.
    pub fn forget(&mut self) {
        *self = Self { drops: std::mem::take(&mut self.drops), ..Self::new(self.options) };
    }

    /// What was dropped or mended so far.
    pub fn drops(&self) -> &Drops {
        &self.drops
    }

    /// How many series are followed.
    pub fn series(&self) -> usize {
        self.followed
    }

    fn take_series(&mut self, poll: Poll, series: &Series<'_>) -> Option<Delta> {
        let at = series.reading.at;
        if at > poll.now + self.options.ahead {
            return dropped(&mut self.drops, Drop::Future);
        }
        if !poll.backfill && at + self.options.lag < poll.now {
            return dropped(&mut self.drops, Drop::Late);
        }
        let since_zero = self.polled.filter(|polled| series.started.is_some_and(|at| at > *polled));
        let (longest, drops) = (self.options.longest(), &mut self.drops);
        let take = |chain: &mut Chain, drops: &mut Drops| {
            chain.take(&series.reading, series.started, since_zero, longest, drops)
        };
        let pods = of(&mut self.chains, series.revision);
        if let Some(chain) = pods.and_then(|pods| pods.get_mut(series.name)) {
            return take(chain, drops);
        }
        if self.followed >= self.options.series {
            return dropped(drops, Drop::Overflow);
        }
        self.followed += 1;
        let pods = self.chains.entry(series.revision.to_owned()).or_default();
        take(pods.entry(series.name.to_owned()).or_default(), drops)
    }

    /// Revisions' samples must not overlap: a later one starts where the one before ended.
    fn sample(&mut self, revision: &str, sum: &Sum, poll: Poll) -> Sample {
        let before = of(&mut self.newest, revision).map(|newest| *newest);
        let Some(at) = sum.at else {
            return Sample::unknown(poll.now - self.behind, self.options.step, Unknown::NoDelta);
        };
        if before.is_some_and(|before| at.0 <= before) {
            self.drops.add(Drop::Overlap);
            return Sample::unknown(poll.now - self.behind, self.options.step, Unknown::Stale);
        }
        let since = before.map(|before| Span(at.0 - before));
        let width = since.map_or(sum.width, |since| since.min(sum.width));
        match of(&mut self.newest, revision) {
            Some(newest) => *newest = at.0,
            None => drop(self.newest.insert(revision.to_owned(), at.0)),
        }
        self.behind = poll.now.since(at);
        Sample { at, width, reading: Reading::Counts { bad: sum.bad, total: sum.total } }
    }

    /// A series that has not been read for longer than a gap has nothing left to continue.
    fn forget_the_gone(&mut self, now: UnixMs) {
        let oldest = now - self.options.longest() - self.options.lag;
        let followed = &mut self.followed;
        for (_, pods) in self.chains.iter_mut() {
            pods.retain(|_, chain| {
                let keep = chain.0.is_some_and(|(at, ..)| at >= oldest.0);
                *followed -= usize::from(!keep);
                keep
            });
        }
        self.chains.retain(|_, pods| !pods.is_empty());
        let chains = &self.chains;
        self.newest.retain(|revision, _| chains.contains_key(revision));
    }
}

/// What is kept of a revision. Most often there is one, and it has no name.
fn of<'m, V>(revisions: &'m mut LiteMap<String, V>, revision: &str) -> Option<&'m mut V> {
    if revisions.len() != 1 {
        return revisions.get_mut(revision);
    }
    let (only, kept) = revisions.iter_mut().next()?;
    (only.is_empty() && revision.is_empty() || only == revision).then_some(kept)
}

#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    bad: u64,
    total: u64,
    width: Span,
    at: Option<UnixMs>,
}

impl Sum {
    fn add(&mut self, delta: &Delta, at: UnixMs) {
        self.bad += delta.bad;
        self.total += delta.total;
        self.width = self.width.max(delta.width);
        self.at = self.at.max(Some(at));
    }

    /// What a part of the series says beside `whole`: nothing where that says nothing.
    fn beside(&self, whole: &Sample) -> Sample {
        let reading = match (whole.reading, self.at) {
            (Reading::Counts { .. }, Some(_)) => {
                Reading::Counts { bad: self.bad, total: self.total }
            }
            (Reading::Counts { .. }, None) => Reading::Unknown { why: Unknown::NoDelta },
            (unknown, _) => unknown,
        };
        Sample { width: whole.width.min(self.width), at: self.at.unwrap_or(whole.at), reading }
    }
}

/// Lets only samples through that do not overlap with the one before, for sources that count by themselves
/// (counts over exactly the poll interval).
///
/// A tenth of the width is forgiven: no two clocks tick alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disjoint {
    newest: Option<i64>,
}

impl Disjoint {
    /// The sample, or why it is dropped.
    pub fn admit(&mut self, sample: Sample) -> Result<Sample, Drop> {
        let forgiven = sample.width.ms() / 10;
        match self.newest {
            Some(newest) if sample.at.0 == newest => Err(Drop::Duplicate),
            Some(newest) if sample.at.0 < newest => Err(Drop::OutOfOrder),
            Some(newest) if sample.start().0 + forgiven < newest => Err(Drop::Overlap),
            Some(_) | None => {
                self.newest = Some(sample.at.0);
                Ok(sample)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::counter::Field;

    fn series<'a>(revision: &'a str, name: &'a str, at: i64, bad: f64, total: f64) -> Series<'a> {
        let reading = Cumulative {
            at: UnixMs(at * 1000),
            bad: Field::Value(bad),
            total: Field::Value(total),
        };
        Series { revision, name, started: None, reading }
    }

    fn poll(at: i64) -> Poll {
        Poll { now: UnixMs(at * 1000), backfill: false }
    }

    type Read<'a> = (&'a str, Option<(u64, u64, i64)>);

    fn read(samples: &[(String, Sample)]) -> Vec<Read<'_>> {
        let counts = |sample: &Sample| match sample.reading {
            Reading::Counts { bad, total } => Some((bad, total, sample.width.ms() / 1000)),
            Reading::Gauge { .. } | Reading::Up | Reading::Down | Reading::Unknown { .. } => None,
        };
        samples.iter().map(|(revision, sample)| (revision.as_str(), counts(sample))).collect()
    }

    #[test]
    fn pods_of_a_revision_are_summed_and_revisions_kept_apart() {
        let mut counters = Counters::new(Options::every(Span::seconds(60)));
        let at = |at, k: f64| {
            [
                series("v1", "a", at, k, 100.0 * k),
                series("v1", "b", at, 0.0, 50.0 * k),
                series("v2", "c", at, 9.0 * k, 10.0 * k),
            ]
        };
        assert_eq!(read(&counters.take(poll(0), &at(0, 1.0))), [("v1", None), ("v2", None)]);
        let samples = counters.take(poll(60), &at(60, 2.0));
        assert_eq!(read(&samples), [("v1", Some((1, 150, 60))), ("v2", Some((9, 10, 60)))]);
    }

    #[test]
    fn a_new_pod_s_first_errors_count_but_an_old_pod_s_history_does_not() {
        let mut counters = Counters::new(Options::every(Span::seconds(60)));
        counters.take(poll(0), &[]);
        let mut new = series("v2", "new", 60, 30.0, 40.0);
        new.started = Some(UnixMs(20_000));
        let mut old = series("v1", "old", 60, 500.0, 9_000.0);
        old.started = Some(UnixMs(-3_600_000));
        let samples = counters.take(poll(60), &[new, old]);
        assert_eq!(read(&samples), [("v1", None), ("v2", Some((30, 40, 60)))]);
    }

    fn started(at: i64, total: f64, started: i64) -> [Series<'static>; 1] {
        let started = Some(UnixMs(started * 1000));
        [Series { started, ..series("v1", "a", at, total / 10.0, total) }]
    }

    #[test]
    fn what_warms_up_is_counted_but_told_apart() {
        let mut counters = Counters::new(Options::every(Span::seconds(30)));
        let young = Span::seconds(60);
        let at = |at: i64| {
            let count = at as f64;
            let warm = Series { started: Some(UnixMs(0)), ..series("v2", "warm", at, 0.0, count) };
            let cold = Series {
                started: Some(UnixMs(85_000)),
                ..series("v2", "cold", at, count - 90.0, count - 90.0)
            };
            [warm, cold]
        };
        let mut told = |secs: i64| {
            let arms = counters.take_apart(poll(secs), &at(secs), young);
            [arms[0].sample, arms[0].settled].map(|sample| match sample.reading {
                Reading::Counts { bad, total } => Some((bad, total)),
                Reading::Gauge { .. } | Reading::Up | Reading::Down | Reading::Unknown { .. } => {
                    None
                }
            })
        };
        assert_eq!(told(90), [None, None]);
        assert_eq!(told(120), [Some((30, 60)), Some((0, 30))]);
        assert_eq!(told(150), [Some((30, 60)), Some((0, 30))], "35 s old when that began");
        assert_eq!(told(180), [Some((30, 60)), Some((30, 60))]);
    }

    /// It looked as if nobody had come: by chance it had counted as much as the process before. Found by seed 222540 of
    /// the simulator.
    #[test]
    fn another_process_counts_from_zero_however_much_it_has_counted() {
        let mut counters = Counters::new(Options::every(Span::seconds(60)));
        counters.take(poll(0), &started(0, 100.0, -30));
        for total in [100.0, 400.0] {
            let mut counters = counters.clone();
            let samples = counters.take(poll(60), &started(60, total, 20));
            assert_eq!(read(&samples), [("v1", Some((total as u64 / 10, total as u64, 60)))]);
            assert_eq!(counters.drops().count(Drop::Reset), 1);
        }
    }

    #[test]
    fn a_process_whose_clock_is_ahead_or_that_says_its_start_a_little_otherwise_is_the_same() {
        let mut counters = Counters::new(Options::every(Span::seconds(60)));
        for (at, total, start) in [(0, 100.0, 45), (30, 150.0, 46), (60, 200.0, 45)] {
            counters.take(poll(at), &started(at, total, start));
        }
        let samples = counters.take(poll(90), &started(90, 250.0, 46));
        assert_eq!(read(&samples), [("v1", Some((5, 50, 30)))]);
        assert_eq!(counters.drops().count(Drop::Reset), 0);
    }

    #[test]
    fn series_beyond_the_limit_are_counted_and_gone_pods_make_room() {
        let options = Options { series: 2, ..Options::every(Span::seconds(60)) };
        let mut counters = Counters::new(options);
        let names: Vec<String> = (0..5).map(|pod| format!("pod-{pod}")).collect();
        let all: Vec<_> = names.iter().map(|name| series("v1", name, 0, 0.0, 1.0)).collect();
        counters.take(poll(0), &all);
        assert_eq!((counters.series(), counters.drops().count(Drop::Overflow)), (2, 3));
        counters.take(poll(900), &[]);
        assert_eq!(counters.series(), 0);
        counters.take(poll(960), &[series("v1", "pod-4", 960, 0.0, 1.0)]);
        assert_eq!(counters.series(), 1);
    }

    #[test]
    fn samples_of_one_revision_never_overlap() {
        let mut counters = Counters::new(Options::every(Span::seconds(60)));
        counters.take(poll(0), &[series("v1", "a", 0, 0.0, 0.0), series("v1", "b", 0, 0.0, 0.0)]);
        counters.take(poll(60), &[series("v1", "a", 60, 0.0, 10.0)]);
        let late = [series("v1", "a", 120, 0.0, 20.0), series("v1", "b", 120, 4.0, 20.0)];
        assert_eq!(read(&counters.take(poll(120), &late)), [("v1", Some((4, 30, 60)))]);
    }

    #[test]
    fn nothing_known_is_placed_in_the_source_s_time() {
        let options = Options { lag: Span::minutes(10), ..Options::every(Span::seconds(60)) };
        let mut counters = Counters::new(options);
        for at in [0, 60] {
            counters.take(poll(at + 300), &[series("v1", "a", at, 0.0, 1.0)]);
        }
        let samples = counters.take(poll(420), &[series("v1", "a", 120, f64::NAN, 2.0)]);
        assert_eq!(
            samples[0].1,
            Sample::unknown(UnixMs(120_000), Span::seconds(60), Unknown::NoDelta)
        );
    }

    #[test]
    fn what_is_begun_anew_keeps_what_was_dropped() {
        let mut counters = Counters::new(Options::every(Span::seconds(60)));
        counters.drops.add(Drop::Reset);
        counters.forget();
        assert_eq!(counters.drops().count(Drop::Reset), 1);
    }
}

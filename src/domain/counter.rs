//! Cumulative counters, series by series, turned into counts over an interval.
//!
//! What cannot be placed in time, or does not add up, is dropped and counted by reason; it is never guessed.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::signal::{Reading, Sample, Unknown};
use crate::units::{Span, UnixMs};

/// Why something in a counter's life was dropped or mended: the closed list, for the metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Drop {
    /// The total went backwards: the process restarted, and the new value is the delta.
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

    fn add(&mut self, drop: Drop) {
        self.0[drop as usize] += 1;
    }
}

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
pub struct Chain(Option<(i64, f64, f64)>);

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

fn dropped(drops: &mut Drops, drop: Drop) -> Option<Delta> {
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

/// All series of one signal of one service, by revision.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Counters {
    options: Options,
    /// Revision, then series (a pod): the last good reading.
    chains: BTreeMap<String, BTreeMap<String, Chain>>,
    followed: usize,
    /// Ends of the newest samples, by revision.
    newest: BTreeMap<String, i64>,
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
            chains: BTreeMap::new(),
            followed: 0,
            newest: BTreeMap::new(),
            polled: None,
            behind: Span::ZERO,
            drops: Drops::default(),
        }
    }

    /// Takes one answer, and sums the new counts of each revision's series into a sample. A revision that
    /// answered without a single usable series gives a sample of which nothing is known.
    pub fn take(&mut self, poll: Poll, answer: &[Series<'_>]) -> Vec<(String, Sample)> {
        let mut sums: BTreeMap<&str, Sum> = BTreeMap::new();
        for series in answer {
            let sum = sums.entry(series.revision).or_default();
            if let Some(delta) = self.take_series(poll, series) {
                sum.bad += delta.bad;
                sum.total += delta.total;
                sum.width = sum.width.max(delta.width);
                sum.at = sum.at.max(Some(series.reading.at));
            }
        }
        self.polled = Some(self.polled.map_or(poll.now, |before| before.max(poll.now)));
        let samples = sums
            .into_iter()
            .map(|(revision, sum)| (revision.to_owned(), self.sample(revision, &sum, poll)))
            .collect();
        self.forget_the_gone(poll.now);
        samples
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
        let known =
            self.chains.get(series.revision).is_some_and(|pods| pods.contains_key(series.name));
        if !known {
            if self.followed >= self.options.series {
                return dropped(&mut self.drops, Drop::Overflow);
            }
            self.followed += 1;
            let pods = self.chains.entry(series.revision.to_owned()).or_default();
            pods.insert(series.name.to_owned(), Chain::default());
        }
        let since_zero = self.polled.filter(|polled| series.started.is_some_and(|at| at > *polled));
        let chain = self.chains.get_mut(series.revision)?.get_mut(series.name)?;
        chain.take(&series.reading, since_zero, self.options.longest(), &mut self.drops)
    }

    /// Revisions' samples must not overlap: a later one starts where the one before ended.
    fn sample(&mut self, revision: &str, sum: &Sum, poll: Poll) -> Sample {
        let before = self.newest.get(revision).copied();
        let Some(at) = sum.at else {
            return Sample::unknown(poll.now - self.behind, self.options.step, Unknown::NoDelta);
        };
        if before.is_some_and(|before| at.0 <= before) {
            self.drops.add(Drop::Overlap);
            return Sample::unknown(poll.now - self.behind, self.options.step, Unknown::Stale);
        }
        let since = before.map(|before| Span(at.0 - before));
        let width = since.map_or(sum.width, |since| since.min(sum.width));
        self.newest.insert(revision.to_owned(), at.0);
        self.behind = poll.now.since(at);
        Sample { at, width, reading: Reading::Counts { bad: sum.bad, total: sum.total } }
    }

    /// A series that has not been read for longer than a gap has nothing left to continue.
    fn forget_the_gone(&mut self, now: UnixMs) {
        let oldest = now - self.options.longest() - self.options.lag;
        let followed = &mut self.followed;
        self.chains.retain(|_, pods| {
            pods.retain(|_, chain| {
                let keep = chain.0.is_some_and(|(at, ..)| at >= oldest.0);
                *followed -= usize::from(!keep);
                keep
            });
            !pods.is_empty()
        });
        let chains = &self.chains;
        self.newest.retain(|revision, _| chains.contains_key(revision));
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    bad: u64,
    total: u64,
    width: Span,
    at: Option<UnixMs>,
}

/// Lets only samples through that do not overlap with the one before, for sources that count by themselves
/// (counts over exactly the poll interval). A tenth of the width is forgiven: no two clocks tick alike.
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

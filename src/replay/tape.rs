//! What was recorded of one service: its signals, poll by poll, and its deployments.

use std::collections::BTreeMap;

use crate::{
    domain::{policy::ServicePolicy, service::ServiceId, signal::Unknown, watch::Raw},
    units::{Span, UnixMs},
};

/// Counts over whole intervals, one after the other. `None` where nothing was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    /// The beginning of the first interval.
    pub from: UnixMs,
    /// How long each is.
    pub step: Span,
    /// Bad requests and all, for each interval.
    pub each: Vec<Option<(u32, u32)>>,
}

/// Readings at whole steps, each with how many steps after the beginning it was; where nothing was read, nobody asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Steps<T> {
    /// The beginning.
    pub from: UnixMs,
    /// How long each step is.
    pub step: Span,
    /// Ascending.
    pub each: Vec<(u32, T)>,
}

impl<T> Steps<T> {
    fn at(&self, index: usize) -> Option<UnixMs> {
        self.each.get(index).map(|(steps, _)| self.from + self.step * i64::from(*steps))
    }
}

/// One signal.
#[derive(Clone, Debug, PartialEq)]
pub enum Track {
    /// Bad requests of all, counted by whoever recorded them.
    Counts(Counts),
    /// Values in seconds, each with the requests that it is taken over, where those are known.
    Values(Steps<(f64, Option<u32>)>),
    /// Whether a probe was answered as it should be.
    Probes(Steps<bool>),
    /// What was read at each poll, ascending in time.
    Polls(Vec<(UnixMs, Vec<Raw>)>),
}

impl Track {
    /// How many polls it holds.
    pub fn len(&self) -> usize {
        match self {
            // The counters are read once before the first interval, too.
            Self::Counts(counts) => counts.each.len() + 1,
            Self::Values(values) => values.each.len(),
            Self::Probes(probes) => probes.each.len(),
            Self::Polls(polls) => polls.len(),
        }
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// When a poll was.
    pub(super) fn at(&self, index: usize) -> Option<UnixMs> {
        match self {
            Self::Counts(counts) => {
                let steps = i64::try_from(index).ok()?;
                (index <= counts.each.len()).then(|| counts.from + counts.step * steps)
            }
            Self::Values(values) => values.at(index),
            Self::Probes(probes) => probes.at(index),
            Self::Polls(polls) => polls.get(index).map(|(at, _)| *at),
        }
    }

    /// Plays it from the beginning.
    pub(super) fn player(&self) -> Player<'_> {
        Player { track: self, next: 0, bad: 0.0, total: 0.0 }
    }

    /// Plays it from the last reading on that is no later than `at` and from which a difference can be taken. Counters
    /// begin at zero there.
    pub(super) fn player_from(&self, at: UnixMs) -> Player<'_> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            let later = self.at(middle).is_none_or(|there| there > at);
            (low, high) = if later { (low, middle) } else { (middle + 1, high) };
        }
        let mut next = low.saturating_sub(1);
        while next > 0 && !self.tells(next) {
            next -= 1;
        }
        Player { next, ..self.player() }
    }

    /// Whether a difference to this reading can be taken; only counts may have none.
    fn tells(&self, index: usize) -> bool {
        match self {
            Self::Counts(counts) => index == 0 || counts.each[index - 1].is_some(),
            Self::Values(_) | Self::Probes(_) => true,
            Self::Polls(polls) => polls[index]
                .1
                .iter()
                .any(|raw| !matches!(raw, Raw::Unknown { .. } | Raw::Counter { total: None, .. })),
        }
    }
}

/// Where a track is.
#[derive(Debug)]
pub(super) struct Player<'t> {
    track: &'t Track,
    next: usize,
    bad: f64,
    total: f64,
}

impl Player<'_> {
    /// When the next poll is.
    pub(super) fn at(&self) -> Option<UnixMs> {
        self.track.at(self.next)
    }

    /// The next poll, as a source would have answered it, in the place of what was read before.
    pub(super) fn read(&mut self, readings: &mut Vec<Raw>) {
        let Some(at) = self.at() else { return readings.clear() };
        let index = self.next;
        self.next += 1;
        let reading = match self.track {
            Track::Polls(polls) => return readings.clone_from(&polls[index].1),
            Track::Counts(counts) => self.counted(counts, index, at),
            Track::Values(values) => {
                let (value, n) = values.each[index].1;
                Raw::Gauge { at, value, n: n.map(u64::from) }
            }
            Track::Probes(probes) if probes.each[index].1 => Raw::Up { at },
            Track::Probes(_) => Raw::Down { at, answered: false },
        };
        readings.clear();
        readings.push(reading);
    }

    fn counted(&mut self, counts: &Counts, index: usize, at: UnixMs) -> Raw {
        let counted = index.checked_sub(1).map_or(Some((0, 0)), |index| counts.each[index]);
        let Some((bad, total)) = counted else { return Raw::Unknown { at, why: Unknown::Absent } };
        self.bad += f64::from(bad);
        self.total += f64::from(total);
        let (bad, total) = (Some(self.bad), Some(self.total));
        let (series, revision) = (String::new(), String::new());
        Raw::Counter { series, revision, at, bad, total, started: None }
    }
}

/// A policy for what was recorded: each signal is read as often as `step` says it was, and one that was not recorded is no
/// signal, or it would be blind.
pub fn read_as(policy: &ServicePolicy, step: impl Fn(&str) -> Option<Span>) -> ServicePolicy {
    let mut signals = BTreeMap::clone(&policy.signals);
    signals.retain(|name, signal| {
        let step = step(name);
        signal.poll_every = step.unwrap_or(signal.poll_every);
        step.is_some()
    });
    let slowest = signals.values().map(|signal| signal.poll_every).max();
    let history_slot = policy.history_slot.max(slowest.unwrap_or(Span::ZERO));
    ServicePolicy { signals: signals.into(), history_slot, ..policy.clone() }
}

/// A revision began to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// When.
    pub at: UnixMs,
    /// What has served since.
    pub version: String,
}

/// Everything recorded of one service.
#[derive(Clone, Debug, PartialEq)]
pub struct Tape {
    /// Which service.
    pub service: ServiceId,
    /// By the signal's name in the policy.
    pub tracks: Vec<(String, Track)>,
    /// Ascending. What served before the first is called `before`.
    pub deployments: Vec<Deployment>,
}

impl Tape {
    /// The first poll and the last.
    pub fn span(&self) -> Option<(UnixMs, UnixMs)> {
        let ends = |(_, track): &(String, Track)| {
            Some((track.at(0)?, track.at(track.len().checked_sub(1)?)?))
        };
        let all = self.tracks.iter().filter_map(ends);
        all.reduce(|(first, last), (from, to)| (first.min(from), last.max(to)))
    }

    /// How many polls it holds.
    pub fn polls(&self) -> usize {
        self.tracks.iter().map(|(_, track)| track.len()).sum()
    }
}

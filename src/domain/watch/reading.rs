//! From what a source read to samples that a trigger can judge: differences, and sums over series.

use std::ops::Deref;

use serde::{Deserialize, Serialize};

use super::latency::Latency;
use crate::{
    domain::{
        counter::{Arm, Counters, Cumulative, Drops, Field, Options, Poll, Series},
        histogram::{self, Bucket},
        policy::{SignalKind, SignalPolicy},
        signal::{Reading, Sample, Unknown},
    },
    units::{Span, UnixMs},
};

/// What a source read, before any difference is taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "read")]
pub enum Raw {
    /// Cumulative counters of one series. Absent is not zero.
    Counter {
        /// What tells it from the others, for example the pod.
        series: String,
        /// The revision it runs; empty where nobody says.
        revision: String,
        /// By the source's timestamp.
        at: UnixMs,
        /// Failed requests since the process started.
        bad: Option<f64>,
        /// All requests since the process started.
        total: Option<f64>,
        /// When the process started, where that is known.
        started: Option<UnixMs>,
    },
    /// Cumulative buckets of one series, in seconds, ascending, the last one infinite.
    Histogram {
        /// What tells it from the others.
        series: String,
        /// By the source's timestamp.
        at: UnixMs,
        /// Upper bound and count.
        buckets: Vec<(f64, f64)>,
        /// When the process started, where that is known.
        started: Option<UnixMs>,
    },
    /// A value.
    Gauge {
        /// By the source's timestamp.
        at: UnixMs,
        /// In the signal's unit.
        value: f64,
        /// Over how many requests, for a quantile.
        n: Option<u64>,
    },
    /// A probe was answered as it should be.
    Up {
        /// When.
        at: UnixMs,
    },
    /// A probe was refused, timed out, or answered wrongly.
    Down {
        /// When.
        at: UnixMs,
        /// Whether the service itself answered, and said so: then it is not the network.
        answered: bool,
    },
    /// Nothing could be read.
    Unknown {
        /// When it was tried.
        at: UnixMs,
        /// Why not.
        why: Unknown,
    },
}

/// What a sample is about; one signal can speak on several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Channel {
    Errors,
    Slow,
    P95,
    /// Whether a probe was answered as it should be.
    Probe,
    /// Whether it was answered at all: a service that says it is unwell is there.
    Reach,
    Usage,
    /// What each revision counted. No sample is about it: it comes beside those of [`Channel::Errors`].
    Arms,
}

/// The samples of one poll: one or two, in place, for a list would be made and let go of with each poll.
#[derive(Clone, Copy, Debug)]
pub(super) struct Samples {
    each: [(Channel, Sample); 2],
    only_one: bool,
}

impl Samples {
    fn one(channel: Channel, sample: Sample) -> Self {
        Self { each: [(channel, sample); 2], only_one: true }
    }

    fn two(one: (Channel, Sample), other: (Channel, Sample)) -> Self {
        Self { each: [one, other], only_one: false }
    }
}

impl Deref for Samples {
    type Target = [(Channel, Sample)];

    fn deref(&self) -> &Self::Target {
        if self.only_one { &self.each[..1] } else { &self.each }
    }
}

/// What one poll told.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) samples: Samples,
    /// By revision, where requests are counted.
    pub(super) arms: Vec<Arm>,
}

/// One signal's chain of readings.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Chain {
    step: Span,
    counters: Counters,
    latency: Latency,
    probed: Option<UnixMs>,
}

fn tolerances(policy: &SignalPolicy) -> Options {
    let lag = (policy.lag + policy.poll_every * 3).max(Span::minutes(2));
    Options { lag, ..Options::every(policy.poll_every) }
}

impl Chain {
    pub(super) fn new(policy: &SignalPolicy) -> Self {
        Self {
            step: policy.poll_every,
            counters: Counters::new(tolerances(policy)),
            latency: Latency::over(policy.quantile_window),
            probed: None,
        }
    }

    /// Reads as another policy says from now on; what was read stays.
    pub(super) fn follow(&mut self, policy: &SignalPolicy) {
        self.step = policy.poll_every;
        self.counters.follow(tolerances(policy));
        self.latency.look_over(policy.quantile_window);
    }

    /// What was dropped or mended so far, by reason.
    pub(super) fn drops(&self) -> &Drops {
        self.counters.drops()
    }

    /// The wall clock was set: no reading from before can be compared with one from after.
    pub(super) fn forget(&mut self) {
        self.counters.forget();
        self.latency.forget();
        self.probed = None;
    }

    /// Takes one poll. `tau` is what "slow" means now, in seconds; a process no older than `young` is told apart.
    pub(super) fn take(
        &mut self,
        kind: SignalKind,
        raw: &[Raw],
        tau: Option<f64>,
        poll: Poll,
        young: Span,
    ) -> Taken {
        let now = poll.now;
        let samples = match kind {
            SignalKind::ErrorRate => {
                let (sample, arms) = self.counts(raw, poll, young);
                return Taken { samples: Samples::one(Channel::Errors, sample), arms };
            }
            SignalKind::Latency => self.latency(raw, tau, poll),
            SignalKind::Health => {
                let probe = self.probe(raw, now);
                let answered = matches!(raw.last(), Some(Raw::Down { answered: true, .. }));
                let reading = if answered { Reading::Up } else { probe.reading };
                Samples::two((Channel::Probe, probe), (Channel::Reach, Sample { reading, ..probe }))
            }
            SignalKind::Cpu | SignalKind::Memory | SignalKind::Logs => {
                Samples::one(Channel::Usage, self.gauge(raw, now))
            }
        };
        Taken { samples, arms: vec![] }
    }

    fn counts(&mut self, raw: &[Raw], poll: Poll, young: Span) -> (Sample, Vec<Arm>) {
        if let [only] = raw {
            return self.sum(raw, series_of(only).as_slice(), poll, young);
        }
        let series: Vec<Series<'_>> = raw.iter().filter_map(series_of).collect();
        self.sum(raw, &series, poll, young)
    }

    fn sum(
        &mut self,
        raw: &[Raw],
        series: &[Series<'_>],
        poll: Poll,
        young: Span,
    ) -> (Sample, Vec<Arm>) {
        if series.is_empty() {
            return (self.unknown(raw, poll.now), vec![]);
        }
        let taken = self.counters.take_apart(poll, series, young);
        let (mut bad, mut total, mut newest) = (0_u64, 0_u64, None::<(UnixMs, Span)>);
        let mut unknown = None;
        for sample in taken.iter().map(|arm| arm.sample) {
            if let Reading::Counts { bad: more_bad, total: more } = sample.reading {
                bad = bad.saturating_add(more_bad);
                total = total.saturating_add(more);
                let (at, width) = newest.unwrap_or((sample.at, sample.width));
                newest = Some((at.max(sample.at), width.max(sample.width)));
            } else {
                unknown = Some(sample);
            }
        }
        let sample = match newest {
            Some((at, width)) => Sample { at, width, reading: Reading::Counts { bad, total } },
            None => unknown.unwrap_or_else(|| self.unknown(raw, poll.now)),
        };
        (sample, taken)
    }

    fn unknown(&self, raw: &[Raw], now: UnixMs) -> Sample {
        let why = raw.iter().find_map(|r| match r {
            Raw::Unknown { why, .. } => Some(*why),
            Raw::Counter { .. }
            | Raw::Histogram { .. }
            | Raw::Gauge { .. }
            | Raw::Up { .. }
            | Raw::Down { .. } => None,
        });
        Sample::unknown(now, self.step, why.unwrap_or(Unknown::Absent))
    }

    fn latency(&mut self, raw: &[Raw], tau: Option<f64>, poll: Poll) -> Samples {
        let histograms = raw.iter().any(|r| matches!(r, Raw::Histogram { .. }));
        if !histograms {
            return Samples::one(Channel::P95, self.gauge(raw, poll.now));
        }
        let options = Options::every(self.step);
        let (at, p95) = self.latency.take(raw, options.gap.max(options.step * 3), poll.now);
        let width = self.since_last(at);
        let p95 = match p95 {
            Some(reading) => Sample { at, width, reading },
            None => Sample::unknown(at, self.step, Unknown::NoDelta),
        };
        match tau {
            Some(tau) => {
                Samples::two((Channel::P95, p95), (Channel::Slow, self.slow(raw, tau, poll)))
            }
            None => Samples::one(Channel::P95, p95),
        }
    }

    /// Slow requests as a counter. The bound is part of the series' name: another bound starts another chain,
    /// because its count is another one.
    fn slow(&mut self, raw: &[Raw], tau: f64, poll: Poll) -> Sample {
        let mut found = vec![];
        for reading in raw {
            if let Raw::Histogram { series, at, buckets, started } = reading {
                let buckets: Vec<Bucket> = buckets
                    .iter()
                    .map(|(bound, count)| Bucket { bound: *bound, count: *count })
                    .collect();
                let slow = histogram::slow(&buckets, tau);
                let field = |value: f64| Field::Value(value);
                let (bad, total) = slow
                    .map_or((Field::Absent, Field::Absent), |s| (field(s.slow), field(s.total)));
                let bound = slow.map_or(f64::NAN, |s| s.bound);
                let cumulative = Cumulative { at: *at, bad, total };
                found.push((format!("{series}|{bound}"), *started, cumulative));
            }
        }
        let series: Vec<Series<'_>> = found
            .iter()
            .map(|(name, started, reading)| Series {
                revision: "",
                name,
                started: *started,
                reading: *reading,
            })
            .collect();
        self.sum(raw, &series, poll, Span::ZERO).0
    }

    fn gauge(&mut self, raw: &[Raw], now: UnixMs) -> Sample {
        let value = raw.iter().find_map(|r| match r {
            Raw::Gauge { at, value, n } if value.is_finite() => Some((*at, *value, *n)),
            Raw::Gauge { .. }
            | Raw::Counter { .. }
            | Raw::Histogram { .. }
            | Raw::Up { .. }
            | Raw::Down { .. }
            | Raw::Unknown { .. } => None,
        });
        match value {
            Some((at, value, n)) => {
                Sample { at, width: self.since_last(at), reading: Reading::Gauge { value, n } }
            }
            None => self.unknown(raw, now),
        }
    }

    fn probe(&mut self, raw: &[Raw], now: UnixMs) -> Sample {
        match raw.last() {
            Some(Raw::Up { at }) => {
                Sample { at: *at, width: self.since_last(*at), reading: Reading::Up }
            }
            Some(Raw::Down { at, .. }) => {
                Sample { at: *at, width: self.since_last(*at), reading: Reading::Down }
            }
            Some(
                Raw::Unknown { .. }
                | Raw::Counter { .. }
                | Raw::Histogram { .. }
                | Raw::Gauge { .. },
            )
            | None => {
                self.probed = Some(now);
                self.unknown(raw, now)
            }
        }
    }

    /// A probe speaks for the time since the one before, but never for more than a step: missed probes are unknown.
    fn since_last(&mut self, at: UnixMs) -> Span {
        let since = self.probed.map_or(self.step, |before| at.since(before));
        self.probed = Some(at);
        if since == Span::ZERO { self.step } else { since.min(self.step) }
    }
}

fn series_of(reading: &Raw) -> Option<Series<'_>> {
    let Raw::Counter { series: name, revision, at, bad, total, started } = reading else {
        return None;
    };
    let field = |value: &Option<f64>| value.map_or(Field::Absent, Field::Value);
    let reading = Cumulative { at: *at, bad: field(bad), total: field(total) };
    Some(Series { revision, name, started: *started, reading })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A service that says it is unwell is no outage: it is there.
    #[test]
    fn a_service_that_answers_that_it_is_unwell_is_there() {
        let probed = |raw: Raw| {
            let mut chain = Chain::new(&SignalPolicy {
                kind: SignalKind::Health,
                source: String::new(),
                poll_every: Span::seconds(15),
                lag: Span::ZERO,
                quantile_window: Span::minutes(1),
            });
            let poll = Poll { now: UnixMs(1_000), backfill: false };
            let taken = chain.take(SignalKind::Health, &[raw], None, poll, Span::ZERO);
            taken
                .samples
                .iter()
                .map(|(_, sample)| sample.reading == Reading::Up)
                .collect::<Vec<_>>()
        };
        let at = UnixMs(1_000);
        assert_eq!(probed(Raw::Down { at, answered: true }), [false, true]);
        assert_eq!(probed(Raw::Down { at, answered: false }), [false, false]);
        assert_eq!(probed(Raw::Up { at }), [true, true]);
    }

    /// Watched, it is read three times in its usual pace: clean time counted three times.
    #[test]
    fn a_percentile_speaks_for_the_time_since_the_one_before() {
        let mut chain = Chain::new(&SignalPolicy {
            kind: SignalKind::Latency,
            source: String::new(),
            poll_every: Span::seconds(15),
            lag: Span::ZERO,
            quantile_window: Span::minutes(1),
        });
        let mut width = |at: i64| {
            let at = UnixMs(at * 1000);
            let count = at.0 as f64;
            let buckets = vec![(0.1, count), (f64::INFINITY, count)];
            let raw = [Raw::Histogram { series: "a".into(), at, buckets, started: None }];
            let poll = Poll { now: at, backfill: false };
            chain.take(SignalKind::Latency, &raw, None, poll, Span::ZERO).samples[0].1.width
        };
        let widths = [0, 15, 20, 25, 100].map(|at| width(at).ms() / 1000);
        assert_eq!(widths, [15, 15, 5, 5, 15]);
    }

    /// A quantile over no requests is a NaN in Prometheus, a ratio without any an infinity.
    #[test]
    fn a_value_that_is_no_number_is_no_data() {
        for value in [f64::NAN, f64::INFINITY, 0.2] {
            let mut chain = Chain::new(&SignalPolicy {
                kind: SignalKind::Latency,
                source: String::new(),
                poll_every: Span::seconds(15),
                lag: Span::ZERO,
                quantile_window: Span::minutes(1),
            });
            let at = UnixMs(60_000);
            let raw = [Raw::Gauge { at, value, n: Some(100) }];
            let poll = Poll { now: at, backfill: false };
            let taken = chain.take(SignalKind::Latency, &raw, None, poll, Span::ZERO).samples;
            let told = taken.iter().any(|(_, s)| matches!(s.reading, Reading::Gauge { .. }));
            assert_eq!(told, value.is_finite(), "{value}: {taken:?}");
        }
    }
}

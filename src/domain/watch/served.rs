//! How many requests the revision that runs has been seen to answer: what nobody used, nobody knows to be good.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::reading::Channel;
use crate::{
    domain::signal::{Reading, Sample},
    units::UnixMs,
};

/// Requests by signal, since one revision runs and all is well.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Served {
    by: Option<String>,
    since: UnixMs,
    requests: BTreeMap<String, u64>,
}

impl Served {
    /// Counts what was told of `running`. What began before it was seen to run is another revision's.
    pub(super) fn count(
        &mut self,
        running: &str,
        signal: &str,
        samples: &[(Channel, Sample)],
        now: UnixMs,
    ) {
        if self.by.as_deref() != Some(running) {
            *self = Self { by: Some(running.to_owned()), since: now, requests: BTreeMap::new() };
        }
        let mine = samples.iter().filter(|(_, sample)| sample.start() >= self.since);
        let told: u64 = mine.map(|(channel, sample)| requests(*channel, sample)).sum();
        match self.requests.get_mut(signal) {
            _ if told == 0 => {}
            Some(requests) => *requests += told,
            None => drop(self.requests.insert(signal.to_owned(), told)),
        }
    }

    /// What was counted while something was wrong counts no more.
    pub(super) fn begin_anew(&mut self) {
        self.requests.clear();
    }

    /// The wall clock was set: whose the next samples are is found out again.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// By the signal that saw the most.
    pub(super) fn most(&self) -> u64 {
        self.requests.values().copied().max().unwrap_or(0)
    }
}

fn requests(channel: Channel, sample: &Sample) -> u64 {
    match (channel, sample.reading) {
        (Channel::Errors | Channel::Slow, Reading::Counts { total, .. }) => total,
        // A quantile is of one request at least; of how many, its window tells again and again.
        (Channel::P95, Reading::Gauge { n, .. }) => u64::from(n != Some(0)),
        (
            Channel::Errors
            | Channel::Slow
            | Channel::P95
            | Channel::Probe
            | Channel::Reach
            | Channel::Usage
            | Channel::Arms,
            Reading::Counts { .. }
            | Reading::Gauge { .. }
            | Reading::Up
            | Reading::Down
            | Reading::Unknown { .. },
        ) => 0,
    }
}

//! What one signal told last: its newest sample, and since when and why it tells nothing.

use super::{
    Signal,
    reading::{Chain, Channel},
};
use crate::{
    domain::{
        history::History,
        policy::{ServicePolicy, SignalPolicy},
        signal::{Reading, Sample},
    },
    units::{Span, UnixMs},
};

fn history(policy: &ServicePolicy, signal: &SignalPolicy) -> History {
    let slot = policy.history_slot.max(signal.poll_every);
    History::with_limits(slot, policy.guards.noisy_window, Span::hours(7 * 24))
}

impl Signal {
    /// Reads and remembers as another policy says from now on; what was seen stays.
    pub(super) fn follow(&mut self, policy: &ServicePolicy, signal: &SignalPolicy) {
        self.chain.follow(signal);
        self.history.follow(history(policy, signal));
    }

    pub(super) fn new(policy: &ServicePolicy, signal: &SignalPolicy) -> Self {
        Self {
            number: 0,
            kind: signal.kind,
            young: Span::ZERO,
            chain: Chain::new(signal),
            history: history(policy, signal),
            newest: None,
            unknown_since: None,
            fault: None,
            note: None,
            idle: false,
            refused_at: None,
            unasked: 0,
            restored: false,
            backfilled: false,
        }
    }

    pub(super) fn note(
        &mut self,
        samples: &[(Channel, Sample)],
        fault: Option<&str>,
        wall: UnixMs,
    ) {
        let known = |s: &&(Channel, Sample)| !matches!(s.1.reading, Reading::Unknown { .. });
        let told = samples.iter().filter(known).map(|(_, s)| s.at).max();
        let empty = |r: &Reading| {
            matches!(r, Reading::Counts { total: 0, .. } | Reading::Gauge { n: Some(0), .. })
        };
        self.idle = told.is_some() && samples.iter().filter(known).all(|(_, s)| empty(&s.reading));
        self.note = fault.filter(|_| told.is_some()).map(str::to_owned);
        match told.filter(|_| !self.idle) {
            Some(at) => {
                self.newest = self.newest.max(Some(at));
                self.unknown_since = None;
                self.fault = None;
            }
            None => {
                self.newest = self.newest.max(told);
                self.unknown_since.get_or_insert(wall);
                let why = if self.idle { "no requests" } else { "no usable sample" };
                self.fault = Some(fault.unwrap_or(why).to_owned());
            }
        }
    }

    pub(super) fn record(&mut self, channel: Channel, sample: &Sample) {
        match (channel, sample.reading) {
            // Probes are kept as counts, so that the time before a change can be judged alike.
            (Channel::Probe, Reading::Up) => self.history.record_counts(sample.at, 0, 1),
            (Channel::Probe, Reading::Down) => self.history.record_counts(sample.at, 1, 1),
            (Channel::Errors | Channel::Slow | Channel::P95, _) => self.history.record(sample),
            (Channel::Probe | Channel::Reach | Channel::Usage | Channel::Arms, _) => {}
        }
    }
}

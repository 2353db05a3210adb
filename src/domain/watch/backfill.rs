//! What happened while nobody looked, told afterwards by a source that remembers.
//!
//! Windows and history take it in order of time, so that a breach is as old as it is. It decides nothing: what follows
//! from it follows with the next answer. And it earns nothing: neither health nor a verification.

use super::{ServiceWatch, arms, reading::Raw, snapshot::UNASKED};
use crate::{
    domain::{
        counter::Poll,
        event::Now,
        signal::{Reading, Sample},
        state::ServiceState,
    },
    units::UnixMs,
};

impl ServiceWatch {
    /// Up to when a signal, or a trigger over it, knows: what is told afterwards begins there.
    pub fn known_until(&self, signal: &str) -> Option<UnixMs> {
        let over = self.triggers.values().filter(|i| i.signal == signal);
        let judged = over.filter_map(|i| i.trigger.evidence().newest);
        judged.chain(self.signals.get(signal)?.newest).max()
    }

    pub(super) fn backfilled(
        &mut self,
        name: &str,
        polls: &[(UnixMs, Vec<Raw>)],
        state: &ServiceState,
        now: Now,
    ) {
        let mut known = self.known_until(name);
        let Some(signal) = self.signals.get_mut(name) else { return };
        signal.unasked = UNASKED;
        signal.backfilled = true;
        let tau = self.taus.get(name).copied();
        for (at, readings) in polls {
            // No window ever runs backwards, nor ahead.
            if known >= Some(*at) || *at > now.wall {
                continue;
            }
            known = Some(*at);
            let poll = Poll { now: *at, backfill: true };
            let taken = signal.chain.take(signal.kind, readings, tau, poll, signal.young);
            let samples = &taken.samples;
            let told = |s: &Sample| !matches!(s.reading, Reading::Unknown { .. });
            let newest = samples.iter().map(|(_, s)| s).filter(|s| told(s)).map(|s| s.at).max();
            signal.newest = signal.newest.max(newest);
            signal.restored &= newest.is_none();
            samples.iter().for_each(|(channel, sample)| signal.record(*channel, sample));
            arms::show(&mut self.triggers, signal.number, &taken, state);
        }
        if self.hurts() {
            self.healthy_since = None;
        }
    }
}

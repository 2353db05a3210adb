//! What must hold without a gap: health, the verification, and the times of both when the clock is set.

use super::{ServiceWatch, Signal, tally::Tallies};
use crate::{
    domain::{
        event::Now,
        incident::Phase,
        policy::{ServicePolicy, SignalKind, SignalPolicy},
        severity::Severity,
        state::ServiceState,
        trigger::State,
    },
    units::{Span, UnixMs},
};

impl ServiceWatch {
    /// The wall clock was set. Sample times are its times, or times of other machines that are compared with it:
    /// which of both it agrees with now nobody knows, so that every window begins anew. What is normal stays.
    pub fn clock_set(&mut self, by_ms: i64, now: Now) {
        for signal in self.signals.values_mut() {
            signal.chain.forget();
            signal.history.clock_set(by_ms);
            signal.newest = None;
            signal.refused_at = None;
            signal.unknown_since =
                Some(signal.unknown_since.map_or(now.wall, |at| at.set_by(by_ms)));
            signal.fault.get_or_insert_with(|| "the clock was set".to_owned());
        }
        self.triggers.change(|triggers| {
            for instance in triggers.values_mut() {
                instance.trigger.forget();
                instance.ok_since = None;
            }
        });
        let set = |at: &mut UnixMs| *at = at.set_by(by_ms);
        let noted = [
            &mut self.looked_at,
            &mut self.undeployed_since,
            &mut self.learned_at,
            &mut self.tried_at,
        ];
        noted.into_iter().flatten().for_each(set);
        self.alerts_seen.values_mut().for_each(set);
        self.integrity.clock_set(by_ms);
        self.tallies = None;
        self.healthy_since = None;
        self.served.forget();
        // What is written down from now on knows of it.
        self.heard_at = Some(now.steady);
    }

    /// Counting for the verification starts with it, and ends with the incident.
    pub(super) fn follow_verification(&mut self, state: &ServiceState) {
        let verifying = state.incident.as_ref().and_then(|i| match i.phase {
            Phase::Verifying { since_wall, .. } => Some((i.id.as_str(), since_wall)),
            Phase::Watching { .. }
            | Phase::Assessing
            | Phase::Gathering { .. }
            | Phase::Monitoring { .. }
            | Phase::Deciding
            | Phase::Scheduled
            | Phase::RollingBack
            | Phase::Escalated { .. }
            | Phase::Closed { .. } => None,
        });
        if let Some((incident, from)) = verifying
            && self.tallies.as_ref().is_none_or(|t| t.incident != incident || t.from != from)
        {
            self.tallies = Some(Tallies { incident: incident.into(), from, ..Tallies::default() });
        }
        if state.incident.is_none() {
            self.tallies = None;
        }
    }

    /// What must hold without a gap begins anew after one: a daemon that was down saw nothing of it.
    pub(super) fn note_gap(&mut self, now: Now) {
        if self.is_deaf(now.steady) {
            self.healthy_since = None;
            if let Some(tallies) = &mut self.tallies {
                tallies.holds_since = None;
            }
        }
        self.heard_at = Some(now.steady);
    }

    fn is_deaf(&self, steady: UnixMs) -> bool {
        self.heard_at.is_none_or(|at| steady.since(at) > self.patience)
    }

    /// Remembers whether the verification holds, since when.
    pub fn note_verification(&mut self, passes: bool, now: Now) {
        if let Some(tallies) = &mut self.tallies {
            tallies.holds_since =
                if passes { tallies.holds_since.or(Some(now.steady)) } else { None };
        }
    }

    pub(super) fn note_health(&mut self, policy: &ServicePolicy, now: Now) {
        let hurts = self.hurts();
        let patience = policy.guards.freshness_min;
        // Nobody coming is no fault, but it is no evidence of health either: it cannot begin it.
        let silent = |s: &Signal| s.unknown_since.is_some_and(|at| now.wall.since(at) > patience);
        let blind = self.signals.values().any(|s| s.newest.is_none() || silent(s) && !s.idle);
        let seen = self.signals.values().any(|s| s.unknown_since.is_none());
        self.healthy_since = match self.healthy_since {
            _ if hurts || blind => None,
            None => seen.then_some(now.steady),
            since => since,
        };
        if self.healthy_since.is_none() {
            self.served.begin_anew();
        }
    }

    /// Whether a trigger fires, or recovers, that is more than cosmetic.
    pub(super) fn hurts(&self) -> bool {
        self.triggers.restless().any(|i| {
            matches!(i.trigger.state(), State::Firing | State::Recovering)
                && i.trigger.severity().is_worse_than(Severity::P3)
        })
    }

    /// Whether something may be about to fire: a breach worse than cosmetic that has not held for long enough, or a signal
    /// that was not asked since the daemon started.
    pub fn is_undecided(&self) -> bool {
        let breaches = self.triggers.restless().any(|i| {
            i.trigger.is_about_to_fire() && i.trigger.severity().is_worse_than(Severity::P3)
        });
        breaches || self.signals.values().any(|signal| signal.unasked > 0)
    }

    /// Whether the revision that runs has answered enough requests to tell whether it is good, where a signal counts
    /// them. A probe alone is no user.
    pub fn has_served(&self, policy: &ServicePolicy) -> bool {
        let counts =
            |s: &SignalPolicy| matches!(s.kind, SignalKind::ErrorRate | SignalKind::Latency);
        !policy.signals.values().any(counts)
            || self.served.most() >= policy.verification.min_requests
    }

    /// For how long every signal has told, and none told anything bad.
    pub fn healthy_for(&self, steady: UnixMs) -> Option<Span> {
        self.healthy_since.filter(|_| !self.is_deaf(steady)).map(|since| steady.since(since))
    }

    /// Since when the verification holds, on the steady clock.
    pub fn verified_since(&self, steady: UnixMs) -> Option<UnixMs> {
        self.tallies.as_ref()?.holds_since.filter(|_| !self.is_deaf(steady))
    }
}

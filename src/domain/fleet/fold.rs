//! What facts make true, as they are written down or read again, and windows that were written down before some of them.

use super::Fleet;
use crate::{
    domain::{
        event::Now,
        fact::{Fact, Fleet as FleetFact},
        incident,
        service::ServiceId,
        state::ServiceState,
        timeline, watch,
    },
    units::{Span, UnixMs},
};

/// Times that the clock was set, which are remembered: windows are written down every minute.
const CLOCK_SETS_MAX: usize = 16;

impl Fleet {
    /// Folds a fact of the journal, at start-up.
    pub fn recover(&mut self, service: Option<&ServiceId>, fact: &Fact, now: Now) {
        match service {
            Some(id) => {
                let state = self
                    .states
                    .entry(id.clone())
                    .or_insert_with(|| ServiceState::new(id.clone()).into());
                state.evolve(fact, now);
                self.count_rollback(fact, now.steady);
                self.index(id, now);
            }
            None => self.evolve_fleet(fact, now),
        }
    }

    pub(super) fn evolve_fleet(&mut self, fact: &Fact, now: Now) {
        match fact {
            Fact::Fleet(FleetFact::KillSwitch { reason }) => self.kill_switch.clone_from(reason),
            Fact::Fleet(FleetFact::ClockSet { from, to }) => {
                self.clock_sets.push_back((now.steady, to.0 - from.0));
                if self.clock_sets.len() > CLOCK_SETS_MAX {
                    self.clock_sets.pop_front();
                }
                let line = timeline::line(fact);
                for state in self.states.values_mut() {
                    state.clock_set(to.0 - from.0);
                    if let (Some(incident), Some(line)) = (&mut state.incident, &line) {
                        incident.note(now.wall, line.clone());
                    }
                }
            }
            Fact::Fleet(FleetFact::Left { services }) => self.leave(services, now),
            Fact::Fleet(FleetFact::Forgotten { services }) => self.forget(services, now),
            Fact::Fleet(FleetFact::Started { .. }) => self.welcome(),
            Fact::Fleet(
                FleetFact::Undelivered { .. }
                | FleetFact::Configured { .. }
                | FleetFact::ConfigRefused { .. }
                | FleetFact::Discovered { .. },
            )
            | Fact::Service(_)
            | Fact::Ledger(_)
            | Fact::Trigger(_)
            | Fact::Incident(_)
            | Fact::Run(_)
            | Fact::Maintenance(_)
            | Fact::Told(_) => {}
        }
    }

    pub(super) fn count_rollback(&mut self, fact: &Fact, at: UnixMs) {
        if let Fact::Incident(incident::Fact::Planned { by: None, .. }) = fact {
            self.rollbacks.push_back(at);
            while self.rollbacks.front().is_some_and(|old| at.since(*old) > Span::hours(1)) {
                self.rollbacks.pop_front();
            }
        }
    }

    /// Continues windows that were written down, as far as the policy still asks for them. Where the clock was set after
    /// they were written they begin anew, as they did then.
    pub fn restore_windows(&mut self, id: &ServiceId, kept: watch::Snapshot, now: Now) {
        let (Some(watch), Some(policy)) = (self.watches.get_mut(id), self.policy.services.get(id))
        else {
            return;
        };
        let written_at = kept.heard_at();
        watch.restore(kept, policy);
        let since = self.clock_sets.iter().filter(|(at, _)| written_at.is_some_and(|w| *at > w));
        let by: Vec<i64> = since.map(|(_, by_ms)| *by_ms).collect();
        if !by.is_empty() {
            watch.clock_set(by.iter().sum(), now);
        }
    }
}

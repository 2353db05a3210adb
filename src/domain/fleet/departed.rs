//! Services that nobody asks for any more: taken out of the configuration, or out of sight of the query that found
//! them. What is true of one stays for [`FleetPolicy::forget_left_after`], so that one that comes back has its history
//! and its known-good revisions; then it is forgotten. One with an open incident, or with
//! maintenance mode on, is not.
//!
//! [`FleetPolicy::forget_left_after`]: crate::domain::policy::FleetPolicy::forget_left_after

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Fleet, FleetFact};
use crate::{
    domain::{
        event::{Now, What},
        service::ServiceId,
        state::ServiceState,
    },
    units::UnixMs,
};

/// When each of them left, on the steady clock; who left first is first, for that is looked at before every event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Departed(BTreeSet<(UnixMs, ServiceId)>);

impl Fleet {
    /// Who left, and who left so long ago that nothing of it is kept.
    pub(super) fn departures(&self, what: &What, now: Now) -> Vec<FleetFact> {
        let anew = match what {
            What::Started | What::Configured { .. } => true,
            What::Discovered { changes, .. } => !changes.is_empty(),
            What::Tick => false,
            What::Polled { .. }
            | What::Backfilled { .. }
            | What::Seen { .. }
            | What::ChangePosted { .. }
            | What::Alerted { .. }
            | What::AlertsActive { .. }
            | What::SchemaSeen { .. }
            | What::SnapshotsSeen { .. }
            | What::RdsSeen { .. }
            | What::ScriptsSeen { .. }
            | What::ScriptTried { .. }
            | What::IntegritySeen { .. }
            | What::EvidencePosted { .. }
            | What::StepReported { .. }
            | What::StepGoesOn { .. }
            | What::Spoke { .. }
            | What::KillSwitch { .. }
            | What::Undelivered { .. }
            | What::ClockSet { .. }
            | What::ConfigRefused { .. } => return vec![],
        };
        let left = if anew { self.newly_left() } else { vec![] };
        let due = self.forgettable().take_while(|(_, at)| *at <= now.steady);
        let forgotten: Vec<ServiceId> = due.map(|(id, _)| id.clone()).collect();
        let left = (!left.is_empty()).then_some(FleetFact::Left { services: left });
        let forgotten =
            (!forgotten.is_empty()).then_some(FleetFact::Forgotten { services: forgotten });
        left.into_iter().chain(forgotten).collect()
    }

    fn newly_left(&self) -> Vec<ServiceId> {
        let known: BTreeSet<&ServiceId> = self.departed.0.iter().map(|(_, id)| id).collect();
        let is_new =
            |id: &&ServiceId| !self.policy.services.contains_key(*id) && !known.contains(*id);
        self.states.keys().filter(is_new).cloned().collect()
    }

    /// Who may be forgotten, and when; who is due first is first.
    fn forgettable(&self) -> impl Iterator<Item = (&ServiceId, UnixMs)> {
        let is_plain = |id: &ServiceId| {
            let is_open =
                |state: &ServiceState| state.incident.is_some() || !state.maintained.is_empty();
            let open = self.states.get(id).is_some_and(|state| is_open(state));
            !open && !self.policy.services.contains_key(id)
        };
        let all = self.departed.0.iter().filter(move |(_, id)| is_plain(id));
        all.map(|(left, id)| (id, *left + self.policy.fleet.forget_left_after))
    }

    /// When the next of them is to be forgotten.
    pub(super) fn next_forgotten(&self) -> Option<UnixMs> {
        self.forgettable().next().map(|(_, at)| at)
    }

    pub(super) fn leave(&mut self, services: &[ServiceId], now: Now) {
        let anew: BTreeSet<&ServiceId> = services.iter().collect();
        self.departed.0.retain(|(_, id)| !anew.contains(id));
        self.departed.0.extend(services.iter().map(|id| (now.steady, id.clone())));
    }

    pub(super) fn forget(&mut self, services: &[ServiceId], now: Now) {
        let services: BTreeSet<&ServiceId> = services.iter().collect();
        self.departed.0.retain(|(_, id)| !services.contains(id));
        for id in services {
            self.states.remove(id);
            // It came back since: then it is another, of which nothing is known.
            if self.policy.services.contains_key(id) {
                self.states.insert(id.clone(), ServiceState::new(id.clone()).into());
            }
            self.index(id, now);
        }
    }

    /// Who is asked for again has not left.
    pub(super) fn welcome(&mut self) {
        let services = &self.policy.services;
        self.departed.0.retain(|(_, id)| !services.contains_key(id));
    }
}

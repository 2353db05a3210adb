//! Services that nobody asks for any more: taken out of the configuration, or out of sight of the query that found
//! them. What is true of one stays for [`FleetPolicy::forget_left_after`], so that one that comes back has its history
//! and its known-good revisions; then it is forgotten. One with an open incident is not.
//!
//! [`FleetPolicy::forget_left_after`]: crate::domain::policy::FleetPolicy::forget_left_after

use std::collections::BTreeMap;

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

/// When each of them left, on the steady clock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Departed(BTreeMap<ServiceId, UnixMs>);

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
            | What::EvidencePosted { .. }
            | What::StepReported { .. }
            | What::Spoke { .. }
            | What::KillSwitch { .. }
            | What::Undelivered { .. }
            | What::ClockSet { .. }
            | What::ConfigRefused { .. } => return vec![],
        };
        let is_gone = |id: &&ServiceId| !self.policy.services.contains_key(*id);
        let is_new = |id: &&ServiceId| !self.departed.0.contains_key(*id);
        let states = self.states.keys().filter(|_| anew);
        let left: Vec<ServiceId> = states.filter(is_gone).filter(is_new).cloned().collect();
        let due = self.forgettable().filter(|(_, at)| *at <= now.steady);
        let forgotten: Vec<ServiceId> = due.map(|(id, _)| id.clone()).collect();
        let left = (!left.is_empty()).then_some(FleetFact::Left { services: left });
        let forgotten =
            (!forgotten.is_empty()).then_some(FleetFact::Forgotten { services: forgotten });
        left.into_iter().chain(forgotten).collect()
    }

    /// Who may be forgotten, and when.
    fn forgettable(&self) -> impl Iterator<Item = (&ServiceId, UnixMs)> {
        let is_plain = |id: &ServiceId| {
            let open = self.states.get(id).is_some_and(|state| state.incident.is_some());
            !open && !self.policy.services.contains_key(id)
        };
        let all = self.departed.0.iter().filter(move |(id, _)| is_plain(id));
        all.map(|(id, left)| (id, *left + self.policy.fleet.forget_left_after))
    }

    /// When the next of them is to be forgotten.
    pub(super) fn next_forgotten(&self) -> Option<UnixMs> {
        self.forgettable().map(|(_, at)| at).min()
    }

    pub(super) fn leave(&mut self, services: &[ServiceId], now: Now) {
        self.departed.0.extend(services.iter().map(|id| (id.clone(), now.steady)));
    }

    pub(super) fn forget(&mut self, services: &[ServiceId], now: Now) {
        for id in services {
            self.departed.0.remove(id);
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
        self.departed.0.retain(|id, _| !services.contains_key(id));
    }
}

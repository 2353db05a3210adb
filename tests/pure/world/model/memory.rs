//! What is remembered: the journal says what is true, however often it is read, and all of it stays bounded.

use std::collections::BTreeSet;

use rollbackd::domain::{event::Now, fact::Fact, fleet::Fleet, policy::Policy, service::ServiceId};

use super::Model;

/// What is true of one service, written down.
const BYTES_MAX: usize = 400_000;

/// The journal so far, folded record by record.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    shadow: Option<Fleet>,
    touched: BTreeSet<ServiceId>,
}

impl Memory {
    pub(super) fn adopted(&mut self, policy: &Policy) {
        if let Some(shadow) = &mut self.shadow {
            shadow.adopt(policy.clone());
        }
    }
}

impl Model {
    pub(crate) fn has_memory(&self) -> bool {
        self.memory.shadow.is_some()
    }

    pub(crate) fn remember(&mut self, fleet: &Fleet) {
        let mut shadow = Fleet::new(fleet.policy.clone(), fleet.epoch);
        shadow.restore(fleet.checkpoint());
        self.memory.shadow = Some(shadow);
    }

    /// A record was written, and this is what it says when it is read again.
    pub(crate) fn fold(&mut self, service: Option<&ServiceId>, fact: &Fact, now: Now) {
        if let Some(shadow) = &mut self.memory.shadow {
            shadow.recover(service, fact, now);
            self.memory.touched.extend(service.cloned());
        }
    }

    /// After a start: all of the journal at once is what it was record by record.
    pub(crate) fn folded(&mut self, fleet: &Fleet, at: i64) {
        self.memory.touched.clear();
        let Some(shadow) = &self.memory.shadow else { return };
        let differs =
            fleet.states.iter().find(|(id, state)| shadow.states.get(*id) != Some(*state));
        let how = differs.map(|(id, _)| format!("{id} is another one after a start"));
        if let Some(how) = how {
            self.violated("I10", at, how);
        }
    }

    pub(super) fn check_memory(&mut self, fleet: &Fleet, at: i64) {
        let touched = std::mem::take(&mut self.memory.touched);
        let Some(shadow) = &self.memory.shadow else { return };
        let differs = touched.iter().find(|id| fleet.states.get(*id) != shadow.states.get(*id));
        let how = differs.map(|id| {
            let lines = |fleet: &Fleet| format!("{:#?}", fleet.states.get(id));
            let (live, again) = (lines(fleet), lines(shadow));
            let first = live.lines().zip(again.lines()).find(|(a, b)| a != b);
            format!("{id} is not what its journal says: {first:?}")
        });
        if let Some(how) = how {
            self.violated("I10", at, how);
        }
    }

    pub(crate) fn check_bounds(&mut self, fleet: &Fleet, at: i64) {
        for (id, state) in &fleet.states {
            let bytes = serde_json::to_string(state).map_or(0, |text| text.len());
            if bytes > BYTES_MAX || state.firing.len() > 20 {
                self.violated("I12", at, format!("{id} takes {bytes} bytes"));
            }
        }
    }
}

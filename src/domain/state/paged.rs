//! What people are paged about that is no incident, until it is over: what is set again, maintenance mode that stays on.

use std::sync::Arc;

use super::ServiceState;
use crate::domain::{
    escalation::Escalation,
    event::Now,
    maintenance::{self, On},
    run,
};

impl ServiceState {
    /// Another version is set, or a person lifted its quarantine: nobody need acknowledge that any more.
    pub(super) fn forget_set_again(&mut self) {
        let Some(again) = &self.set_again else { return };
        let serving = self.ledger.serving(again.component);
        let entry = self.ledger.entry(again.component, &again.revision);
        let stands = serving.is_some_and(|now| now.agrees_with(&again.revision))
            && entry.is_some_and(|entry| entry.quarantine.is_some());
        if !stands {
            self.set_again = None;
            self.forget_page();
        }
    }

    /// Nobody need acknowledge a page when nothing is left that it was about.
    pub(super) fn forget_page(&mut self) {
        if self.blind.is_empty() && self.set_again.is_none() && !self.maintained.is_told() {
            self.page = Escalation::default();
        }
    }

    pub(super) fn evolve_maintenance(&mut self, fact: &maintenance::Fact, now: Now) {
        let Some(off) = self.maintained.evolve(fact, now) else { return };
        if off.told.is_some() {
            self.forget_page();
        }
        self.account_ends(&off, now);
    }

    /// A rollback switches it on, or goes on with what an earlier one did.
    pub(super) fn follow_maintenance(&mut self, fact: &run::Fact, now: Now) {
        let Some(incident) = &mut self.incident else { return };
        let Some(run) = &incident.run else { return };
        let Some(earlier) = self.maintained.follow(&incident.id, run, fact, now) else { return };
        incident.account.maintenance.push((run.id.clone(), now.wall, None));
        self.account_ends(&earlier, now);
    }

    fn account_ends(&mut self, off: &On, now: Now) {
        // Its incident may be closed by then; its report is read afterwards.
        let past = self.past.0.iter_mut().filter(|past| past.id == off.incident).map(Arc::make_mut);
        let open = self.incident.as_mut().filter(|open| open.id == off.incident);
        past.chain(open)
            .for_each(|incident| incident.account.maintenance_ended(&off.run, now.wall));
    }
}

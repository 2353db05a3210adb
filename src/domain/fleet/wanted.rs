//! What must be under way outside, derived from what is true, so that start-up, a lost task and an ordinary turn are one path.

use super::Fleet;
use crate::domain::{
    incident::Phase,
    maintenance::Maintained,
    run::Order,
    service::{Mode, ServiceId},
};

impl Fleet {
    /// Attempts that must be under way. The shell starts those that are not yet in flight.
    pub fn wanted(&self) -> Vec<(ServiceId, Order)> {
        let order = |id: &ServiceId| {
            self.policy.services.get(id).filter(|policy| policy.mode != Mode::Observe)?;
            let incident = self.states.get(id)?.incident.as_ref()?;
            let run =
                incident.run.as_ref().filter(|_| matches!(incident.phase, Phase::RollingBack))?;
            // What is under way ends; what an earlier daemon began, and a person has held since, is not begun anew.
            let held = self.states.get(id).is_some_and(|state| state.hold.is_some());
            Some((id.clone(), run.wanted(self.epoch).filter(|order| !(held && order.resumed))?))
        };
        let off = |id: &ServiceId| {
            self.policy.services.get(id).filter(|policy| policy.mode != Mode::Observe)?;
            let state = self.states.get(id)?;
            let order = state.maintained.wanted(self.epoch)?;
            (state.hold.is_none() || !order.resumed).then(|| (id.clone(), order))
        };
        let off = self.standing.maintained.iter().filter_map(off);
        self.standing.rolling_back.iter().filter_map(order).chain(off).collect()
    }

    /// Each service that a rollback has put into maintenance mode, or may have.
    pub fn maintained(&self) -> impl Iterator<Item = (&ServiceId, &Maintained)> {
        let maintained = self.standing.maintained.iter();
        maintained.filter_map(|id| Some((id, &self.states.get(id)?.maintained)))
    }
}

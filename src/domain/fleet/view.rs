//! What one service must know of the others before anything is decided for it, and whether there is anything to decide.

use super::Fleet;
use crate::{
    domain::{
        event::{Event, Now, What},
        policy::ServicePolicy,
        service::ServiceId,
        situation::FleetView,
        state::ServiceState,
        watch::ServiceWatch,
    },
    units::Span,
};

impl Fleet {
    /// Of a service that is at rest.
    pub(super) fn nothing_follows(&self, event: &Event, now: Now) -> bool {
        let proposed = event.what.service().and_then(|id| self.propose(id, event, now));
        proposed.is_none_or(|(facts, state, reply)| {
            facts.is_empty() && state.is_none() && reply.is_none()
        })
    }

    /// What one service must know of the others. Counted only while it has something to decide: what is told may fire, open
    /// an incident and be acted upon in this very turn.
    pub(super) fn view(
        &self,
        id: &ServiceId,
        (policy, state, watch): (&ServicePolicy, &ServiceState, &ServiceWatch),
        what: &What,
        now: Now,
    ) -> FleetView {
        let looks = matches!(what, What::Polled { .. } | What::Seen { .. } | What::Tick);
        let calm = state.incident.is_none() && !watch.is_unsettled() && state.firing.is_empty();
        if looks && calm {
            return self.view_of_calm(id, policy, now);
        }
        self.whole_view(id, policy, now)
    }

    /// All of it, whatever there is to decide.
    pub(super) fn whole_view(&self, id: &ServiceId, policy: &ServicePolicy, now: Now) -> FleetView {
        let mut view = self.view_of_calm(id, policy, now);
        view.alarmed = self.alarmed(now.steady);
        let in_the_hour =
            self.rollbacks.iter().filter(|at| now.steady.since(**at) < Span::hours(1)).count();
        view.rollbacks_in_the_hour = u32::try_from(in_the_hour).unwrap_or(u32::MAX);
        let frozen = self.policy.freezes.iter().find(|f| f.from <= now.wall && now.wall < f.until);
        view.freeze = frozen.map(|f| format!("{} until {}", f.reason, f.until));
        view
    }

    fn view_of_calm(&self, id: &ServiceId, policy: &ServicePolicy, now: Now) -> FleetView {
        let mut view = FleetView {
            services: u32::try_from(self.policy.services.len()).unwrap_or(u32::MAX),
            kill_switch: self.kill_switch.clone(),
            stopping: self.stopping,
            started: self.started,
            unwritable: self
                .unwritable
                .as_ref()
                .map(|(since, why)| format!("{why} (since {} UTC)", since.clock())),
            ..FleetView::default()
        };
        view.locked = self.standing.locked(id);
        let window = self.policy.fleet.storm_window;
        view.storm_paged = self.standing.storm_paged(id, now.steady, window);
        let sources = policy.signals.values().map(|signal| signal.source.as_str());
        let enough = self.policy.fleet.storm_services;
        view.blind_paged = self.standing.blind_paged(id, sources, (now.steady, window), enough);
        view
    }
}

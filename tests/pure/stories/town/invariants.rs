//! What must hold after every turn of every story.

use std::collections::BTreeSet;

use rollbackd::{
    domain::{
        fact::Fact,
        fleet::Fleet,
        incident::{self, Closing, Phase},
        service::{Mode, ServiceId},
    },
    units::Span,
};

use super::Town;

impl Town {
    /// While nothing can be read for longer than any freshness bound, nothing is begun and nothing ends by itself.
    pub(super) fn check_not_blind(&self, service: Option<&ServiceId>, facts: &[Fact]) {
        let Some(place) = service.and_then(|id| self.places.get(id)) else { return };
        let blind = place
            .monitoring_down_since
            .is_some_and(|at| self.now.steady.since(at) > Span::minutes(3));
        let posted = self.fleet.states[service.unwrap()].incident.as_ref().is_some_and(|i| {
            i.triggers.keys().any(|name| name.starts_with("alert:") || name.contains("corruption"))
        });
        for fact in facts.iter().filter(|_| blind && !posted) {
            let Fact::Incident(fact) = fact else { continue };
            let acts = matches!(fact, incident::Fact::Planned { by: None, .. });
            let ends = matches!(
                fact,
                incident::Fact::Entered(Phase::Closed {
                    outcome: Closing::Recovered | Closing::RolledBack | Closing::Fixed
                })
            );
            assert!(!acts && !ends, "I3: on missing data: {fact:?}");
        }
    }

    pub(super) fn check_orders(&self) {
        let wanted = self.fleet.wanted();
        let mut held = BTreeSet::new();
        for (service, order) in &wanted {
            let run = self.fleet.states[service].incident.as_ref().and_then(|i| i.run.as_ref());
            for resource in &run.unwrap().plan.resources {
                assert!(held.insert(resource.clone()), "I1: two plans hold {resource}");
            }
            assert_ne!(self.policy.services[service].mode, Mode::Observe, "I7: {order:?}");
        }
    }

    /// An open incident has a person, or something is still to come of it: a deadline, a page again, a step's end.
    pub(super) fn check_nobody_is_forgotten(&self) {
        for (id, incident) in self.fleet.open() {
            let Some(policy) = self.policy.services.get(id) else { continue };
            let goes_on = incident.next_deadline(policy, self.now.steady).is_some()
                || self.fleet.wanted().iter().any(|(of, _)| of == id);
            let scheduled = matches!(incident.phase, Phase::Scheduled);
            assert!(goes_on || scheduled || incident.acknowledged, "I5: {incident:#?}");
        }
    }

    /// Who stands out is kept up turn by turn, and is whom a look at every service finds.
    pub(super) fn check_standing(&mut self) {
        let watched = self.fleet.watched(self.now);
        let all = self.fleet.policy.services.keys();
        let scanned = all.filter(|id| self.fleet.is_watched(id, self.now)).cloned().collect();
        assert_eq!(watched, scanned, "watched closely");
        let unsettled = self.fleet.watches.iter().filter(|(_, watch)| watch.is_unsettled());
        let unsettled: BTreeSet<ServiceId> = unsettled.map(|(id, _)| id.clone()).collect();
        assert_eq!(*self.fleet.unsettled(), unsettled, "neither clean nor without data");
    }

    /// The journal, folded afresh from its first record, is what is true.
    pub(in crate::stories) fn check_everything(&self) {
        self.check_same(&self.folded(), "I10: the whole journal");
        let mut names = BTreeSet::new();
        for notice in self.notices("") {
            let name = notice.id.clone();
            assert!(names.insert(notice.id), "I8: an outbox takes both for one: {name}");
        }
    }

    pub(super) fn check_same(&self, folded: &Fleet, what: &str) {
        if self.fleet.states == folded.states {
            return;
        }
        let live = format!("{:#?}", self.fleet.states);
        let folded = format!("{:#?}", folded.states);
        let differ = live.lines().zip(folded.lines()).find(|(live, folded)| live != folded);
        panic!("{what}: {differ:?}");
    }
}

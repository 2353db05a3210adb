//! Which services stand out: an index over states and windows, so that ten thousand quiet ones cost a turn nothing.
//!
//! It is derived, follows every change of a state, and decides nothing: whoever finds a service here looks at the
//! service itself.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    domain::{
        event::Now,
        guard::Guard,
        incident::{self, Incident, Phase},
        policy::ServicePolicy,
        service::ServiceId,
        state::ServiceState,
    },
    units::{Span, UnixMs},
};

/// Services that stand out, and why.
#[derive(Debug, Default)]
pub(super) struct Standing {
    due: BTreeSet<(UnixMs, ServiceId)>,
    due_of: BTreeMap<ServiceId, UnixMs>,
    /// With an open incident.
    pub(super) active: BTreeSet<ServiceId>,
    /// Of these, with a plan that is carried out.
    pub(super) rolling_back: BTreeSet<ServiceId>,
    /// With maintenance mode on that a rollback switched on.
    pub(super) maintained: BTreeSet<ServiceId>,
    /// What their plans hold.
    holding: BTreeMap<ServiceId, Vec<String>>,
    /// For which people were paged about a storm, when on the steady clock.
    storms: BTreeMap<ServiceId, UnixMs>,
    /// Sources that people were paged about because they tell nothing: for which services, when on the steady clock.
    blind: BTreeMap<String, BTreeMap<ServiceId, UnixMs>>,
    blind_of: BTreeMap<ServiceId, BTreeSet<String>>,
    /// Whose triggers fire or are about to, as of when on the steady clock.
    alarmed: BTreeMap<ServiceId, UnixMs>,
    alarms: BTreeSet<(UnixMs, ServiceId)>,
    /// Watched closely when last asked, or since.
    pub(super) close: BTreeSet<ServiceId>,
    /// With a trigger that is neither clean nor without data.
    pub(super) unsettled: BTreeSet<ServiceId>,
}

impl Standing {
    /// Follows a service's state.
    pub(super) fn note(
        &mut self,
        id: &ServiceId,
        state: Option<&ServiceState>,
        policy: Option<&ServicePolicy>,
        now: Now,
    ) {
        if let Some(old) = self.due_of.remove(id) {
            self.due.remove(&(old, id.clone()));
        }
        if let (Some(state), Some(policy)) = (state, policy) {
            if let Some((at, _)) = state.next_deadline(policy, now) {
                self.due.insert((at, id.clone()));
                self.due_of.insert(id.clone(), at);
            }
            if state.is_watched(policy, now.wall) {
                self.close.insert(id.clone());
            }
        }
        let incident = state.and_then(|s| s.incident.as_ref());
        belongs(&mut self.active, id, incident.is_some());
        let rolls = |i: &Incident| matches!(i.phase, Phase::RollingBack);
        belongs(&mut self.rolling_back, id, incident.is_some_and(rolls));
        belongs(&mut self.maintained, id, state.is_some_and(|s| !s.maintained.is_empty()));
        // What a service holds that was taken out of the configuration nobody could let go of any more.
        let run = incident.filter(|i| policy.is_some() && holds(i)).and_then(|i| i.run.as_ref());
        match run {
            Some(run) => {
                self.holding.insert(id.clone(), run.plan.resources.iter().cloned().collect());
            }
            None => drop(self.holding.remove(id)),
        }
        let storm = |d: &incident::Decision| d.refusing().any(|v| v.guard == Guard::Storm);
        let told = incident
            .filter(|i| i.decision.as_ref().is_some_and(storm))
            .and_then(|i| i.escalation.told_at);
        match told {
            Some(at) => drop(self.storms.insert(id.clone(), at)),
            None => drop(self.storms.remove(id)),
        }
        self.note_blind(id, state);
    }

    /// The service is seen to fire, or to be about to.
    pub(super) fn alarm(&mut self, id: &ServiceId, at: UnixMs) {
        match self.alarmed.get_mut(id) {
            Some(before) => {
                self.alarms.remove(&(*before, id.clone()));
                *before = at;
            }
            None => drop(self.alarmed.insert(id.clone(), at)),
        }
        self.alarms.insert((at, id.clone()));
        self.close.insert(id.clone());
    }

    /// Lets go of alarms that have left the window.
    pub(super) fn pass(&mut self, steady: UnixMs, window: Span) {
        while let Some((at, id)) = self.alarms.first()
            && steady.since(*at) > window
        {
            self.alarmed.remove(id);
            self.alarms.pop_first();
        }
    }

    /// How many services alarmed within the window.
    pub(super) fn alarmed(&self, steady: UnixMs, window: Span) -> usize {
        let gone = self.alarms.iter().take_while(|(at, _)| steady.since(*at) > window).count();
        self.alarms.len() - gone
    }

    /// Of services that are not asked for any more nothing is due, nothing is held, and none can alarm.
    pub(super) fn retain(&mut self, wanted: impl Fn(&ServiceId) -> bool) {
        self.due.retain(|(_, id)| wanted(id));
        self.due_of.retain(|id, _| wanted(id));
        self.holding.retain(|id, _| wanted(id));
        self.storms.retain(|id, _| wanted(id));
        self.blind.values_mut().for_each(|services| services.retain(|id, _| wanted(id)));
        self.blind_of.retain(|id, _| wanted(id));
        self.alarmed.retain(|id, _| wanted(id));
        self.alarms.retain(|(_, id)| wanted(id));
        self.close.retain(&wanted);
        self.unsettled.retain(wanted);
    }

    /// What other services' plans hold, and whose they are.
    pub(super) fn locked(&self, but: &ServiceId) -> BTreeMap<String, ServiceId> {
        if self.holding.is_empty() {
            return BTreeMap::new();
        }
        let others = self.holding.iter().filter(|(other, _)| *other != but);
        others
            .flat_map(|(other, held)| held.iter().map(|what| (what.clone(), other.clone())))
            .collect()
    }

    /// Another service for which people were paged about a storm within the window.
    pub(super) fn storm_paged(
        &self,
        but: &ServiceId,
        steady: UnixMs,
        window: Span,
    ) -> Option<ServiceId> {
        let recent =
            |(other, at): &(&ServiceId, &UnixMs)| *other != but && steady.since(**at) <= window;
        self.storms.iter().rev().find(recent).map(|(other, _)| other.clone())
    }

    fn note_blind(&mut self, id: &ServiceId, state: Option<&ServiceState>) {
        for source in self.blind_of.remove(id).into_iter().flatten() {
            if let Some(services) = self.blind.get_mut(&source) {
                services.remove(id);
                if services.is_empty() {
                    self.blind.remove(&source);
                }
            }
        }
        let Some((state, at)) = state.and_then(|s| Some((s, s.page.told_at?))) else { return };
        for blind in state.blind.values() {
            self.blind.entry(blind.source.clone()).or_default().insert(id.clone(), at);
            self.blind_of.entry(id.clone()).or_default().insert(blind.source.clone());
        }
    }

    /// For how many other services people were paged within the window that one of these sources tells nothing; no more
    /// are counted than `enough`.
    pub(super) fn blind_paged<'s>(
        &self,
        but: &ServiceId,
        sources: impl Iterator<Item = &'s str>,
        (steady, window): (UnixMs, Span),
        enough: u32,
    ) -> BTreeMap<String, u32> {
        if self.blind.is_empty() {
            return BTreeMap::new();
        }
        let enough = usize::try_from(enough).unwrap_or(usize::MAX);
        let count = |source: &str| {
            let services = self.blind.get(source)?;
            let recent =
                |(other, at): &(&ServiceId, &UnixMs)| *other != but && steady.since(**at) <= window;
            let count = services.iter().filter(recent).take(enough).count();
            Some((source.to_owned(), u32::try_from(count).unwrap_or(u32::MAX)))
        };
        sources.filter_map(count).collect()
    }

    /// When the first service is due.
    pub(super) fn next(&self) -> Option<UnixMs> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Services that are due, whoever was due first before the others.
    pub(super) fn due(&self, steady: UnixMs) -> impl Iterator<Item = &ServiceId> {
        let due = self.due.iter().take_while(move |(at, _)| *at <= steady);
        due.map(|(_, id)| id)
    }

    /// Whether this service is.
    pub(super) fn is_due(&self, id: &ServiceId, steady: UnixMs) -> bool {
        self.due_of.get(id).is_some_and(|at| *at <= steady)
    }
}

pub(super) fn belongs(set: &mut BTreeSet<ServiceId>, id: &ServiceId, belongs: bool) {
    if !belongs {
        set.remove(id);
    } else if !set.contains(id) {
        set.insert(id.clone());
    }
}

/// Whether an incident's plan still holds its resources: until it is verified or a person has closed it.
fn holds(incident: &Incident) -> bool {
    match incident.phase {
        Phase::RollingBack | Phase::Verifying { .. } | Phase::Escalated { .. } => true,
        Phase::Assessing
        | Phase::Gathering { .. }
        | Phase::Monitoring { .. }
        | Phase::Deciding
        | Phase::Scheduled
        | Phase::Watching { .. }
        | Phase::Closed { .. } => false,
    }
}

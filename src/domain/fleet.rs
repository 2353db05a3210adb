//! All services together, and the one synchronous turn that daemon, replay and simulator share.
//!
//! A turn: the windows see the event; facts follow; they are made durable; only then are they true here; what is
//! wanted from outside is derived from what is true. Nothing here reads a clock or touches anything.

mod departed;
mod fold;
mod kept;
mod standing;
#[cfg(test)]
mod tests;
mod view;
mod wanted;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

pub use self::kept::Kept;
use self::{departed::Departed, standing::Standing};
use super::{
    event::{Alert, Event, Now, What},
    fact::{Fact, Fleet as FleetFact},
    firing::Basis,
    incident::{self, Phase, speak::Reply},
    policy::{Policy, ServicePolicy},
    service::ServiceId,
    settle,
    severity::Severity,
    situation::{FleetView, Situation},
    state::ServiceState,
    verification,
    watch::ServiceWatch,
    wording,
};
use crate::units::UnixMs;

/// Facts of one service (or of none: the fleet's own), in order.
pub type Batch = (Option<ServiceId>, Vec<Fact>);

/// Services whose time has come that one turn looks at: each may cost a write.
const DUE_AT_ONCE: usize = 100;

/// What a turn led to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Turned {
    /// What is true since.
    pub batches: Vec<Batch>,
    /// The answer to whoever spoke.
    pub reply: Option<Reply>,
}

/// The services for which something may follow; of most events it is the one that they are about.
enum Concerned<'e> {
    One(&'e ServiceId),
    These(Vec<ServiceId>),
}

/// Everything that is true, and everything that is seen.
#[derive(Debug, Default)]
pub struct Fleet {
    /// What the operator decided.
    pub policy: Policy,
    /// What is true of each service: the fold of the journal.
    // Boxed: a tree keeps room for eleven of what it holds in each of its nodes, and these are large.
    pub states: BTreeMap<ServiceId, Box<ServiceState>>,
    /// What the windows of each service see.
    // Boxed: as above.
    pub watches: BTreeMap<ServiceId, Box<ServiceWatch>>,
    /// The reason in the `HOLD` file.
    pub kill_switch: Option<String>,
    /// The lease's number.
    pub epoch: u64,
    /// Whether the daemon is ending: steps under way end, and no other begins.
    pub stopping: bool,
    /// Why the journal cannot be written, and since when, while it cannot.
    pub unwritable: Option<(UnixMs, String)>,
    started: Option<UnixMs>,
    /// What a service that is at rest must know of the others.
    nobody: FleetView,
    standing: Standing,
    departed: Departed,
    rollbacks: VecDeque<UnixMs>,
    /// When the wall clock was set, on the steady clock, and by how much; the newest few.
    clock_sets: VecDeque<(UnixMs, i64)>,
}

impl Fleet {
    /// A fleet of which nothing is known yet.
    pub fn new(policy: Policy, epoch: u64) -> Self {
        let mut fleet = Self { epoch, ..Self::default() };
        fleet.adopt(policy);
        fleet
    }

    /// Swaps what the operator decided; what happened and what was seen stays.
    pub fn adopt(&mut self, policy: Policy) {
        for (id, service) in &policy.services {
            self.states.entry(id.clone()).or_insert_with(|| ServiceState::new(id.clone()).into());
            match self.watches.get_mut(id) {
                Some(_) if self.policy.services.get(id) == Some(service) => {}
                Some(watch) => watch.adopt(service),
                None => {
                    self.watches.insert(id.clone(), Box::new(ServiceWatch::new(service)));
                }
            }
        }
        self.watches.retain(|id, _| policy.services.contains_key(id));
        self.standing.retain(|id| policy.services.contains_key(id));
        self.policy = policy;
        self.welcome();
        self.stand_out_again();
    }

    /// One turn. `append` makes a batch durable; where it fails nothing of that batch is true.
    pub fn turn<E>(
        &mut self,
        event: &Event,
        now: Now,
        mut append: impl FnMut(&Batch) -> Result<(), E>,
    ) -> Result<Turned, E> {
        let mut turned = Turned::default();
        self.standing.pass(now.steady, self.policy.fleet.storm_window);
        if event.what == What::Started {
            self.started.get_or_insert(now.steady);
        }
        let facts = self.fleet_facts(event, now);
        if !facts.is_empty() {
            let batch = (None, facts);
            append(&batch)?;
            batch.1.iter().for_each(|fact| self.evolve_fleet(fact, now));
            turned.batches.push(batch);
        }
        let is_at_rest = self.see(event, now);
        if is_at_rest {
            debug_assert!(self.nothing_follows(event, now), "something follows from {event:?}");
            return Ok(turned);
        }
        match self.concerned(event, now) {
            Concerned::One(id) => self.follow(id, event, now, &mut append, &mut turned)?,
            Concerned::These(ids) => {
                for id in &ids {
                    self.follow(id, event, now, &mut append, &mut turned)?;
                }
            }
        }
        Ok(turned)
    }

    /// What follows for one service.
    fn follow<E>(
        &mut self,
        id: &ServiceId,
        event: &Event,
        now: Now,
        append: &mut impl FnMut(&Batch) -> Result<(), E>,
        turned: &mut Turned,
    ) -> Result<(), E> {
        let Some((facts, state, reply)) = self.propose(id, event, now) else { return Ok(()) };
        turned.reply = turned.reply.take().or(reply);
        if let Some(state) = state {
            let batch = (Some(id.clone()), facts);
            append(&batch)?;
            for fact in &batch.1 {
                self.count_rollback(fact, now.steady);
            }
            turned.batches.push(batch);
            self.states.insert(id.clone(), state);
            self.index(id, now);
        } else if matches!(event.what, What::Configured { .. } | What::Discovered { .. })
            || self.standing.is_due(id, now.steady)
        {
            self.index(id, now);
        }
        Ok(())
    }

    fn started(&self) -> Fact {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Fact::Fleet(FleetFact::Started { epoch: self.epoch, version })
    }

    fn fleet_facts(&self, event: &Event, now: Now) -> Vec<Fact> {
        // What is about one service, as nearly everything is.
        if matches!(event.what, What::Polled { .. } | What::Seen { .. }) {
            return vec![];
        }
        let fact = match &event.what {
            What::KillSwitch { reason } if *reason != self.kill_switch => {
                Some(Fact::Fleet(FleetFact::KillSwitch { reason: reason.clone() }))
            }
            What::Undelivered { subject, channel, why, again, .. } => {
                Some(Fact::Fleet(FleetFact::Undelivered {
                    subject: subject.clone(),
                    channel: channel.clone(),
                    why: why.clone(),
                    again: *again,
                }))
            }
            &What::ClockSet { from, to } => Some(Fact::Fleet(FleetFact::ClockSet { from, to })),
            What::Configured { changes } => {
                Some(Fact::Fleet(FleetFact::Configured { changes: changes.clone() }))
            }
            What::Discovered { of, changes, odd } => Some(Fact::Fleet(FleetFact::Discovered {
                of: of.clone(),
                changes: changes.clone(),
                odd: odd.clone(),
            })),
            What::ConfigRefused { why } => {
                Some(Fact::Fleet(FleetFact::ConfigRefused { why: why.clone() }))
            }
            What::Started => Some(self.started()),
            What::KillSwitch { .. }
            | What::Polled { .. }
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
            | What::Tick => None,
        };
        let concerned: Vec<String> = match fact {
            Some(Fact::Fleet(FleetFact::Started { .. })) => {
                let dropped = self.open().filter(|(id, _)| !self.policy.services.contains_key(*id));
                let dropped = dropped.map(|(id, incident)| wording::dropped(id, incident));
                let left =
                    self.maintained().filter(|(id, _)| !self.policy.services.contains_key(*id));
                let left = left.flat_map(|(id, on)| wording::left_on(id, on));
                dropped.chain(left).collect()
            }
            Some(_) => {
                let acts = self.open().filter(|(_, i)| matches!(i.phase, Phase::RollingBack));
                let maintained = |id: &ServiceId| self.standing.maintained.contains(id);
                acts.map(|(id, _)| match maintained(id) {
                    true => format!("{id} (in maintenance mode)"),
                    false => id.to_string(),
                })
                .collect()
            }
            None => vec![],
        };
        let told = fact.as_ref().and_then(|f| wording::fleet_notice(f, &concerned, &event.id, now));
        let departed = self.departures(&event.what, now).into_iter().map(Fact::Fleet);
        fact.into_iter().chain(told.map(|it| Fact::Told(Box::new(it)))).chain(departed).collect()
    }

    /// The windows see the event, whether or not anything follows from it. Whether nothing does: a service was asked for once
    /// more, as every few seconds, and all is well.
    fn see(&mut self, event: &Event, now: Now) -> bool {
        if let What::ClockSet { from, to } = event.what {
            self.watches.values_mut().for_each(|watch| watch.clock_set(to.0 - from.0, now));
            self.stand_out_again();
            return false;
        }
        if event.what == What::Started {
            self.stand_out_again();
            self.alarm_again(now);
        }
        let Some(id) = event.what.service() else { return false };
        let (Some(watch), Some(policy), Some(state)) =
            (self.watches.get_mut(id), self.policy.services.get(id), self.states.get(id))
        else {
            return false;
        };
        watch.see(&event.what, policy, state, now);
        if watch.is_alarmed() {
            self.standing.alarm(id, now.steady);
        }
        standing::belongs(&mut self.standing.unsettled, id, watch.is_unsettled());
        let situation = Situation {
            policy,
            fleet_policy: &self.policy.fleet,
            state,
            watch,
            // What is true of others matters to whoever has something to decide.
            fleet: &self.nobody,
            now,
            epoch: self.epoch,
        };
        let is_polled = matches!(event.what, What::Polled { .. });
        if is_polled && settle::is_at_rest(&situation) && !self.standing.is_due(id, now.steady) {
            return true;
        }
        let verifying = |i: &incident::Incident| matches!(i.phase, Phase::Verifying { .. });
        if state.incident.as_ref().is_some_and(verifying) {
            let passes = self.look(id, now, |s, _| {
                let checks = s.state.incident.as_ref().map(|i| verification::verify(s, i).checks);
                checks.is_some_and(|checks| verification::Verification::passes(&checks))
            });
            // Behind a maintenance page everything is well.
            let maintained = self.states.get(id).is_some_and(|state| !state.maintained.is_empty());
            if let (Some(passes), Some(watch)) = (passes, self.watches.get_mut(id)) {
                watch.note_verification(passes && !maintained, now);
            }
        }
        false
    }

    /// The windows changed without a poll: those of an earlier daemon, of another policy, or since the clock was set.
    fn stand_out_again(&mut self) {
        for (id, watch) in &self.watches {
            standing::belongs(&mut self.standing.unsettled, id, watch.is_unsettled());
            if watch.is_alarmed() {
                self.standing.close.insert(id.clone());
            }
        }
    }

    /// Who was firing when an earlier daemon last looked counts for a storm until it was asked again: whoever answers
    /// first is not alone for that.
    fn alarm_again(&mut self, now: Now) {
        let fires = |id: &ServiceId| {
            let firing = self.states.get(id).into_iter().flat_map(|state| state.firing.values());
            firing
                .into_iter()
                .any(|f| f.basis == Basis::Window && f.severity.is_worse_than(Severity::P2))
        };
        for (id, watch) in &self.watches {
            if watch.is_alarmed() || fires(id) {
                self.standing.alarm(id, now.steady);
            }
        }
    }

    /// The services for which something may follow.
    fn concerned<'e>(&self, event: &'e Event, now: Now) -> Concerned<'e> {
        let all = || Concerned::These(self.policy.services.keys().cloned().collect());
        match &event.what {
            What::Started
            | What::KillSwitch { .. }
            | What::ClockSet { .. }
            | What::Configured { .. } => all(),
            // Who comes back is due again.
            What::Discovered { changes, .. } if !changes.is_empty() => all(),
            What::Backfilled { .. } | What::ConfigRefused { .. } | What::Discovered { .. } => {
                Concerned::These(vec![])
            }
            What::Tick => Concerned::These(self.due(now.steady)),
            What::Polled { .. }
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
            | What::Undelivered { .. } => {
                event.what.service().map_or(Concerned::These(vec![]), Concerned::One)
            }
        }
    }

    /// Whose time has come, those with the worst incident first, and so few that whoever tells of something is not kept
    /// waiting: the others stay due, and come with the next turn.
    fn due(&self, steady: UnixMs) -> Vec<ServiceId> {
        let incident = |id: &ServiceId| self.states.get(id)?.incident.as_ref();
        let mut due: Vec<&ServiceId> = self.standing.due(steady).collect();
        if due.len() > DUE_AT_ONCE {
            // Cached: a whole fleet may be due, and each is looked up once.
            due.sort_by_cached_key(|id| incident(id).map_or(Severity::P3, |i| i.severity));
            due.truncate(DUE_AT_ONCE);
        }
        due.into_iter().cloned().collect()
    }

    fn propose(&self, id: &ServiceId, event: &Event, now: Now) -> Option<settle::Settled> {
        let policy = self.policy.services.get(id)?;
        let (state, watch) = (self.states.get(id)?, self.watches.get(id)?);
        let fleet = self.view(id, (policy, state, watch), &event.what, now);
        let frame = settle::Frame {
            policy,
            fleet_policy: &self.policy.fleet,
            watch,
            fleet: &fleet,
            now,
            epoch: self.epoch,
        };
        Some(settle::settle(&frame, state, &event.what))
    }

    fn index(&mut self, id: &ServiceId, now: Now) {
        let (state, policy) = (self.states.get(id), self.policy.services.get(id));
        self.standing.note(id, state.map(Box::as_ref), policy.map(Arc::as_ref), now);
    }

    /// How many services fire, or are about to, within the storm's window.
    pub fn alarmed(&self, steady: UnixMs) -> u32 {
        let alarmed = self.standing.alarmed(steady, self.policy.fleet.storm_window);
        u32::try_from(alarmed).unwrap_or(u32::MAX)
    }

    /// When to take a turn again even if nothing happens.
    pub fn next_deadline(&self) -> Option<UnixMs> {
        [self.standing.next(), self.next_forgotten()].into_iter().flatten().min()
    }

    /// The open incident of each service that has one.
    pub fn open(&self) -> impl Iterator<Item = (&ServiceId, &incident::Incident)> {
        let active = self.standing.active.iter();
        active.filter_map(|id| Some((id, self.states.get(id)?.incident.as_ref()?)))
    }

    /// Services with an open incident that stands on an alert, with the fingerprints to ask Alertmanager about.
    pub fn alerts_to_confirm(&self) -> BTreeMap<ServiceId, BTreeSet<String>> {
        let mut wanted: BTreeMap<ServiceId, BTreeSet<String>> = BTreeMap::new();
        for id in &self.standing.active {
            for firing in self.states.get(id).iter().flat_map(|s| s.firing.values()) {
                if let Basis::Alert { fingerprint, .. } = &firing.basis
                    && !Alert::is_of_cloudwatch(fingerprint)
                {
                    wanted.entry(id.clone()).or_default().insert(fingerprint.clone());
                }
            }
        }
        wanted
    }

    /// Whether a service is being watched more closely: after a change, or with an incident.
    pub fn is_watched(&self, id: &ServiceId, now: Now) -> bool {
        match (self.states.get(id), self.policy.services.get(id)) {
            (Some(state), Some(policy)) => {
                state.is_watched(policy, now.wall)
                    || self.watches.get(id).is_some_and(|watch| watch.is_alarmed())
            }
            (None, _) | (_, None) => false,
        }
    }

    /// All services that are. Only those are looked at that were when last asked, or came to be since.
    pub fn watched(&mut self, now: Now) -> BTreeSet<ServiceId> {
        let mut close = std::mem::take(&mut self.standing.close);
        close.retain(|id| self.is_watched(id, now));
        self.standing.close.clone_from(&close);
        close
    }

    /// Services with a trigger that is neither clean nor without data: what their windows hold is about to matter.
    pub fn unsettled(&self) -> &BTreeSet<ServiceId> {
        &self.standing.unsettled
    }

    /// What `explain` and `plan` look at.
    pub fn look<T>(
        &self,
        id: &ServiceId,
        now: Now,
        at: impl FnOnce(&Situation<'_>, &ServicePolicy) -> T,
    ) -> Option<T> {
        let policy = self.policy.services.get(id)?;
        let (state, watch) = (self.states.get(id)?, self.watches.get(id)?);
        let fleet = self.whole_view(id, policy, now);
        let situation = Situation {
            policy,
            fleet_policy: &self.policy.fleet,
            state,
            watch,
            fleet: &fleet,
            now,
            epoch: self.epoch,
        };
        Some(at(&situation, policy))
    }
}

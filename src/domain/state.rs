//! What is true of one service: the fold of its facts. The windows are not part of it; they live in `watch`.

mod paged;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{
    change::{Change, Component, Revision},
    escalation::Escalation,
    event::Now,
    fact::{Fact, Service},
    firing::{self, Firing},
    guard::Rollback,
    incident::{self, Closing, Incident, Phase},
    ledger::Ledger,
    maintenance::Maintained,
    notice::{Kind, Urgency},
    owner::SetAgain,
    policy::ServicePolicy,
    service::ServiceId,
    severity::Severity,
    timeline,
    trigger::defaults,
};
use crate::units::{Span, UnixMs};

/// Changes remembered of one service.
pub const CHANGES_MAX: usize = 20;
/// Closed incidents remembered of one service; older ones are in the journal.
pub const PAST_MAX: usize = 5;
/// Rollbacks remembered of one service, for the loop guard.
pub const ROLLBACKS_MAX: usize = 20;

/// A person's no.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Since when, on the wall clock.
    pub at: UnixMs,
}

/// A signal that tells nothing, and was told about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blindness {
    /// Since when, on the wall clock.
    pub since: UnixMs,
    /// Where it should come from.
    pub source: String,
    /// What its source says.
    pub why: String,
    /// Whether it was told as that of a service that is watched.
    #[serde(default)]
    pub watched: bool,
    /// When it was last told, on the wall clock.
    #[serde(default)]
    pub told_at: Option<UnixMs>,
}

/// What is true of one service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceState {
    /// Which service.
    pub id: ServiceId,
    /// What happened to it, oldest first.
    pub changes: Recent<Change>,
    /// Its revisions.
    pub ledger: Ledger,
    /// Its triggers that fire.
    pub firing: BTreeMap<String, Firing>,
    /// Those of them that a person dismissed: they open nothing until they clear or get worse than this.
    #[serde(default)]
    pub dismissed: BTreeMap<String, Severity>,
    /// Its signals that tell nothing.
    pub blind: BTreeMap<String, Blindness>,
    /// Its open incident.
    pub incident: Option<Incident>,
    /// Its closed incidents, oldest first.
    pub past: Recent<Arc<Incident>>,
    /// Its rollbacks, oldest first.
    pub rollbacks: Vec<Rollback>,
    /// How many there ever were; numbers their runs.
    #[serde(default)]
    runs: u64,
    /// A person's no.
    pub hold: Option<Hold>,
    /// What was rolled away from, while it is set again.
    #[serde(default)]
    pub set_again: Option<SetAgain>,
    /// Maintenance mode that a rollback switched on.
    #[serde(default, skip_serializing_if = "Maintained::is_empty")]
    pub maintained: Maintained,
    /// A page that belongs to no incident.
    pub page: Escalation,
    /// Root cause analyses that are due: when on the wall clock, and of which incident.
    pub followups: Vec<(UnixMs, String)>,
    /// How many notices were told; numbers them.
    pub told: u64,
}

/// A list that forgets its oldest entry when it is full.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Recent<T>(VecDeque<T>);

impl<T> Recent<T> {
    fn push(&mut self, item: T, most: usize) {
        while self.0.len() >= most {
            self.0.pop_front();
        }
        self.0.push_back(item);
    }

    /// The newest.
    pub fn last(&self) -> Option<&T> {
        self.0.back()
    }

    /// Oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.0.iter()
    }
}

impl<T> Recent<Arc<T>> {
    /// Oldest first, whoever shares them.
    pub fn each(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.0.iter().map(AsRef::as_ref)
    }
}

impl ServiceState {
    /// Whether nothing fires, nothing is blind, and nothing is under way.
    pub(super) fn is_at_rest(&self) -> bool {
        self.incident.is_none()
            && self.firing.is_empty()
            && self.blind.is_empty()
            && self.maintained.is_empty()
    }

    /// A service of which nothing is known.
    pub fn new(id: ServiceId) -> Self {
        Self {
            id,
            changes: Recent(VecDeque::new()),
            ledger: Ledger::default(),
            firing: BTreeMap::new(),
            dismissed: BTreeMap::new(),
            blind: BTreeMap::new(),
            incident: None,
            past: Recent(VecDeque::new()),
            rollbacks: vec![],
            runs: 0,
            hold: None,
            set_again: None,
            maintained: Maintained::default(),
            page: Escalation::default(),
            followups: vec![],
            told: 0,
        }
    }

    /// Makes a fact so.
    pub fn evolve(&mut self, fact: &Fact, now: Now) {
        let line = timeline::line(fact);
        match fact {
            Fact::Service(fact) => self.evolve_service(fact, now),
            Fact::Ledger(fact) => {
                self.ledger.evolve(fact, now.wall);
                self.forget_set_again();
            }
            Fact::Trigger(fact) => self.evolve_trigger(fact, now),
            Fact::Incident(fact) => self.evolve_incident(fact, now),
            Fact::Run(fact) => {
                self.follow_maintenance(fact, now);
                if let Some(incident) = &mut self.incident {
                    incident.evolve_run(fact, now);
                }
            }
            Fact::Maintenance(fact) => self.evolve_maintenance(fact, now),
            Fact::Fleet(_) => {}
            Fact::Told(notice) => {
                self.told += 1;
                if notice.urgency == Urgency::Page {
                    let repeated = notice.kind == Kind::Reminder;
                    match &mut self.incident {
                        Some(incident) if notice.incident.is_some() => {
                            incident.escalation.told(repeated, now.steady);
                        }
                        Some(_) | None => self.page.told(repeated, now.steady),
                    }
                }
            }
        }
        if let (Some(incident), Some(line)) = (&mut self.incident, line) {
            incident.note(now.wall, line);
        }
        self.retire(now);
    }

    /// The wall clock was set: what is compared with it later is kept as a moment of the clock as it is now.
    pub(super) fn clock_set(&mut self, by_ms: i64) {
        let set = |at: &mut UnixMs| *at = at.set_by(by_ms);
        let change = |c: &mut Change| {
            set(&mut c.started_at);
            c.ended_at.iter_mut().for_each(set);
        };
        self.changes.0.iter_mut().for_each(change);
        self.ledger.clock_set(by_ms);
        for firing in self.firing.values_mut() {
            set(&mut firing.onset);
            set(&mut firing.fired_at);
        }
        for blind in self.blind.values_mut() {
            set(&mut blind.since);
            blind.told_at.iter_mut().for_each(set);
        }
        self.followups.iter_mut().for_each(|(at, _)| set(at));
        let past = self.past.0.iter_mut().map(Arc::make_mut);
        for incident in past.chain(&mut self.incident) {
            set(&mut incident.onset);
            incident.raised_onset.iter_mut().for_each(set);
            incident.owned.iter_mut().for_each(|owned| owned.clock_set(by_ms));
            incident.closed_at.iter_mut().for_each(|now| set(&mut now.wall));
            incident.change.iter_mut().for_each(change);
            if let Phase::Verifying { since_wall, .. } = &mut incident.phase {
                set(since_wall);
            }
        }
    }

    fn evolve_service(&mut self, fact: &Service, now: Now) {
        match fact {
            Service::Changed(change) => {
                let same = self.same_change(change).map(|known| known.id.clone());
                match same.and_then(|id| self.changes.0.iter_mut().find(|c| c.id == id)) {
                    Some(known) => *known = change.clone(),
                    None => self.changes.push(change.clone(), CHANGES_MAX),
                }
                self.changes.0.make_contiguous().sort_by_key(|c| c.started_at);
                self.refresh_change();
            }
            Service::Held { by, reason } => {
                self.hold = Some(Hold { by: by.clone(), reason: reason.clone(), at: now.wall });
            }
            Service::Unheld { .. } => self.hold = None,
            Service::Acknowledged { by } => self.page.acknowledged(by),
            Service::SetAgain(again) => self.set_again = Some(again.clone()),
            Service::Reminded => {}
            Service::FollowedUp { incident } => self.followups.retain(|(_, id)| id != incident),
        }
    }

    fn evolve_trigger(&mut self, fact: &firing::Fact, now: Now) {
        match fact {
            firing::Fact::Fired(firing) => {
                // The same alert may fire anew after it was dismissed; a window that is still firing cannot, unless
                // for another breach.
                let before = self.firing.insert(firing.trigger.clone(), (**firing).clone());
                let anew =
                    |before: Firing| before.basis != firing.basis || firing.onset > before.fired_at;
                if before.is_none_or(anew) {
                    self.dismissed.remove(&firing.trigger);
                }
            }
            firing::Fact::Cleared { trigger, .. } => {
                self.firing.remove(trigger);
                self.dismissed.remove(trigger);
            }
            firing::Fact::Blind { signal, source, since, why, watched } => {
                let blindness = Blindness {
                    since: *since,
                    source: source.clone(),
                    why: why.clone(),
                    watched: *watched,
                    told_at: Some(now.wall),
                };
                self.blind.insert(signal.clone(), blindness);
            }
            firing::Fact::Sighted { signal } => {
                self.blind.remove(signal);
                self.forget_page();
            }
        }
    }

    fn evolve_incident(&mut self, fact: &incident::Fact, now: Now) {
        if let Some(opened) = Incident::opened(fact, now) {
            self.incident = Some(opened);
            self.remember_what_fired();
            return;
        }
        if let incident::Fact::Planned { by, .. } = fact {
            let onset = self.incident.as_ref().map(Incident::acute_onset);
            let change = onset.and_then(|at| self.change_behind(at, None)).map(|c| c.id.clone());
            self.runs = self.runs() + 1;
            self.rollbacks.push(Rollback { at: now.steady, change, automatic: by.is_none() });
            if self.rollbacks.len() > ROLLBACKS_MAX {
                self.rollbacks.remove(0);
            }
        }
        if let Some(incident) = &mut self.incident {
            incident.evolve(fact, now);
        }
        self.remember_what_fired();
    }

    /// A firing is gone once it clears; the report is read afterwards.
    fn remember_what_fired(&mut self) {
        let Some(incident) = &mut self.incident else { return };
        for name in incident.triggers.keys() {
            if let Some(firing) = self.firing.get(name) {
                let says = format!("({}): {}", firing.severity, firing.says);
                incident.account.fired.insert(name.clone(), says);
            }
        }
    }

    /// A closed incident becomes a past one, and with it ends what was posted, where not only another deployment ended it. What still fires although a person
    /// closed it must not open the next one at once.
    fn retire(&mut self, now: Now) {
        let closed = |i: &Incident| matches!(i.phase, Phase::Closed { .. });
        if !self.incident.as_ref().is_some_and(closed) {
            return;
        }
        let Some(incident) = self.incident.take() else { return };
        let posted = |f: &Firing| matches!(f.basis, firing::Basis::Posted { .. });
        // Another deployment mends no migration of which half was applied: a person says when that is over.
        let stays = |f: &Firing| {
            f.trigger == defaults::MIGRATION_FAILURE
                && matches!(incident.phase, Phase::Closed { outcome: Closing::Overtaken { .. } })
        };
        self.firing.retain(|_, f| !posted(f) || stays(f));
        if matches!(incident.phase, Phase::Closed { outcome: Closing::Dismissed { .. } }) {
            let severities = self.firing.iter().map(|(name, f)| (name.clone(), f.severity));
            self.dismissed = severities.collect();
        }
        if incident.run.is_some() {
            self.followups.push((now.wall, incident.id.clone()));
        }
        self.past.push(Arc::new(incident), PAST_MAX);
    }

    /// How many rollbacks there ever were. What was kept before they were counted knows those it remembers.
    pub fn runs(&self) -> u64 {
        self.runs.max(self.rollbacks.len() as u64)
    }

    /// What fires and was not dismissed, or is worse than what was.
    pub fn live_firings(&self) -> impl Iterator<Item = &Firing> {
        self.firing.values().filter(|f| {
            self.dismissed.get(&f.trigger).is_none_or(|known| f.severity.is_worse_than(*known))
        })
    }

    /// Whether a person said of what fires that it is nothing.
    pub fn is_dismissed(&self, firing: &Firing) -> bool {
        self.dismissed.contains_key(&firing.trigger)
    }

    /// The known change that is the same happening as this one. One that was followed by another is not: what was
    /// rolled back and deployed again is a new change.
    pub fn same_change(&self, change: &Change) -> Option<&Change> {
        let same = self.changes.iter().rev().find(|known| known.is_same_as(change))?;
        let between = |c: &Change| {
            c.component == change.component
                && !c.to.agrees_with(&change.to)
                && same.started_at < c.started_at
                && c.started_at < change.started_at
        };
        (same.id == change.id || !self.changes.iter().any(between)).then_some(same)
    }

    /// What became known of the change behind the open incident: a post can come after the breach.
    fn refresh_change(&mut self) {
        let Some(incident) = &self.incident else { return };
        let known = incident.change.as_ref();
        let newer = match known {
            Some(known) => self.changes.iter().find(|c| c.is_same_as(known) && !c.is_rollback),
            None => self.change_behind(incident.acute_onset(), None).filter(|c| !c.is_rollback),
        };
        let newer = newer.cloned().or_else(|| known.cloned());
        if let Some(incident) = &mut self.incident {
            incident.change = newer;
        }
    }

    /// The newest change that a breach which began at `onset` can be the doing of.
    pub fn change_behind(&self, onset: UnixMs, max_age: Option<Span>) -> Option<&Change> {
        self.changes.iter().rev().find(|c| c.explains(onset, max_age))
    }

    /// The changes since that version of the application last served: a rollback to it goes back across all of them. Where none is named,
    /// the one that a rollback would go to by itself.
    pub fn changes_since(&self, target: Option<&Revision>) -> Vec<&Change> {
        let target = target.or_else(|| self.ledger.target(Component::Application).ok());
        let since = target
            .and_then(|t| self.ledger.entry(Component::Application, t))
            .map(|entry| entry.serving_since);
        let Some(since) = since else { return vec![] };
        self.changes.iter().filter(|c| c.started_at > since).collect()
    }

    /// Whether a change or an incident is being watched, so that silence matters more.
    pub fn is_watched(&self, policy: &ServicePolicy, wall: UnixMs) -> bool {
        self.incident.is_some() || self.watched_change(policy, wall).is_some()
    }

    /// The change that is being watched: the newest, as long as a breach can be its doing.
    pub fn watched_change(&self, policy: &ServicePolicy, wall: UnixMs) -> Option<&Change> {
        let age = policy.guards.max_change_age.unwrap_or(Span::hours(24));
        self.changes.last().filter(|c| wall <= c.settled_at() + age)
    }

    /// Whether people know already that a signal tells nothing. What they were told mildly, or before the newest change,
    /// is news once that change is to be watched; a sender's clock may be ahead, and its change is to be watched later.
    pub(super) fn knows_blind(&self, signal: &str, watched: bool, now: UnixMs) -> bool {
        let begun = self.changes.iter().rev().find(|c| c.started_at <= now);
        let change = begun.filter(|c| !c.is_rollback);
        self.blind.get(signal).is_some_and(|blind| {
            let since = change.zip(blind.told_at).is_some_and(|(c, told)| c.started_at > told);
            !watched || blind.watched && !since
        })
    }

    /// When to look at this service again even if nothing happens, on the steady clock, and what for.
    pub fn next_deadline(
        &self,
        policy: &ServicePolicy,
        now: Now,
    ) -> Option<(UnixMs, &'static str)> {
        let incident = self.incident.as_ref().and_then(|i| i.next_deadline(policy, now.steady));
        let page =
            self.page.due(policy.people.repeat_page_every).map(|at| (at, "nobody saw the page"));
        let followup = self.followups.first().map(|(at, _)| {
            let due = *at + policy.people.root_cause_within;
            (now.steady + due.since(now.wall), "the root cause analysis is due")
        });
        let maintenance = self.maintained.next_deadline(now.steady);
        [incident, page, followup, maintenance].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::plan::Plan;

    #[test]
    fn no_two_runs_of_a_service_have_one_number() {
        let id: ServiceId = "shop/production".parse().unwrap();
        let plan = Plan {
            service: id.clone(),
            targets: vec![],
            steps: vec![],
            resources: [].into(),
            estimate: Span::ZERO,
            scope: String::new(),
            lost: String::new(),
            made_at: UnixMs(0),
        };
        let mut state = ServiceState::new(id);
        let planned = incident::Fact::Planned { run: "r".into(), plan: plan.into(), by: None };
        let planned = Fact::Incident(planned);
        for run in 1..=ROLLBACKS_MAX as u64 + 5 {
            state.evolve(&planned, Now { wall: UnixMs(0), steady: UnixMs(0) });
            assert_eq!(state.runs(), run);
        }
        // A checkpoint of before they were counted knows only those that it remembers.
        let mut kept = serde_json::to_value(&state).unwrap();
        kept.as_object_mut().unwrap().remove("runs");
        let kept: ServiceState = serde_json::from_value(kept).unwrap();
        assert_eq!(kept.runs(), ROLLBACKS_MAX as u64);
    }

    #[test]
    fn only_what_a_person_dismissed_is_dismissed() {
        let firing = |trigger: &str| Firing {
            trigger: trigger.to_owned(),
            severity: Severity::P1,
            basis: firing::Basis::Window,
            onset: UnixMs(0),
            fired_at: UnixMs(0),
            says: String::new(),
            may_act: true,
            evidence: None,
        };
        let mut state = ServiceState::new("shop/production".parse().unwrap());
        state.dismissed.insert("errors".to_owned(), Severity::P1);
        let dismissed = |trigger| state.is_dismissed(&firing(trigger));
        assert_eq!([dismissed("errors"), dismissed("latency")], [true, false]);
    }
}

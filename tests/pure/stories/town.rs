//! A town of services: a virtual clock, a platform that does what it is told, a journal in memory.

mod invariants;

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
};

use rollbackd::{
    domain::{
        change::Component,
        event::{Event, Now, Said, What},
        fact::Fact,
        fleet::{Batch, Fleet},
        incident::{self, Incident, speak::Reply},
        notice::Notice,
        plan::Action,
        policy::Policy,
        run::{Order, Outcome, Report},
        service::ServiceId,
        situation::Situation,
        state::ServiceState,
        timeline,
        watch::{self, ServiceWatch},
    },
    units::{Span, UnixMs},
};

use super::{
    place::{Behaviour, Place},
    policy::{POLL, id},
    told,
};

/// 2026-03-02, 12:00 UTC: when every story begins.
pub(super) const NOON: UnixMs = UnixMs(1_772_452_800_000);
const WARM_UP: Span = Span::minutes(70);

/// One record of the journal, as it would be read again: the fact as JSON.
struct Record {
    service: Option<ServiceId>,
    body: String,
    now: Now,
}

/// How an attempt will end, and when.
struct UnderWay {
    at: UnixMs,
    service: ServiceId,
    order: Order,
}

pub(super) struct Town {
    pub(super) fleet: Fleet,
    pub(super) places: BTreeMap<ServiceId, Place>,
    policy: Policy,
    now: Now,
    next_poll: UnixMs,
    epoch: u64,
    turns: u64,
    journal: Vec<Record>,
    told_from: usize,
    /// The windows as they were last written down on purpose.
    old_windows: BTreeMap<ServiceId, String>,
    /// The journal so far, folded as a restart would.
    shadow: Fleet,
    in_flight: BTreeSet<(String, usize, u32, bool)>,
    under_way: Vec<UnderWay>,
    /// How long each step takes.
    pub(super) takes: Span,
    pub(super) replies: Vec<Reply>,
    /// After how many turns the daemon crashes, again and again.
    pub(super) crashes: Option<(u64, Windows, bool)>,
}

impl Town {
    /// A town that has been healthy for over an hour at noon, on v1 everywhere.
    pub(super) fn healthy(policy: Policy) -> Self {
        let mut town = Self::new(policy);
        town.warm_up();
        town
    }

    /// Time passes until noon, and the story begins.
    pub(super) fn warm_up(&mut self) {
        self.run_for(WARM_UP);
        self.told_from = self.journal.len();
        self.writes_windows();
    }

    /// The windows are written down, and then cannot be for long.
    pub(super) fn writes_windows(&mut self) {
        self.old_windows = self.written_windows();
    }

    fn written_windows(&self) -> BTreeMap<ServiceId, String> {
        let watches = self.fleet.watches.iter();
        let text = |watch: &ServiceWatch| serde_json::to_string(&watch.snapshot()).unwrap();
        watches.map(|(id, watch)| (id.clone(), text(watch))).collect()
    }

    /// A town that nobody has looked at yet, before noon.
    pub(super) fn new(policy: Policy) -> Self {
        let wall = NOON - WARM_UP;
        let steady = UnixMs(5_000_000);
        let places = policy.services.keys().map(|id| (id.clone(), Place::new(wall)));
        let mut town = Self {
            fleet: Fleet::new(policy.clone(), 1),
            places: places.collect(),
            now: Now { wall, steady },
            next_poll: steady,
            epoch: 1,
            turns: 0,
            journal: vec![],
            told_from: 0,
            old_windows: BTreeMap::new(),
            shadow: Fleet::new(policy.clone(), 1),
            in_flight: BTreeSet::new(),
            under_way: vec![],
            takes: Span::seconds(5),
            replies: vec![],
            crashes: None,
            policy,
        };
        town.turn(What::Started);
        town
    }

    // What happens.

    /// Another version is switched to and serves.
    pub(super) fn deploy(&mut self, version: &str, behaviour: Behaviour) {
        self.deploy_to("shop", version, behaviour);
    }

    pub(super) fn deploy_to(&mut self, name: &str, version: &str, behaviour: Behaviour) {
        let wall = self.now.wall;
        let place = self.places.get_mut(&id(name)).unwrap();
        place.versions.insert(version.to_owned(), behaviour);
        place.switch(version, wall);
        place.restart(wall);
        self.look(&id(name));
    }

    /// A map of the shop is edited in place, and read at once or when pods start next.
    pub(super) fn edit(&mut self, name: &str, holds: &str, is_read: bool) {
        let wall = self.now.wall;
        let place = self.places.get_mut(&id("shop")).unwrap();
        place.edit(name, holds, wall);
        if is_read {
            place.restart(wall);
        }
        self.look(&id("shop"));
    }

    /// The service behaves like this from now on, whatever its version.
    pub(super) fn behaves(&mut self, behaviour: Behaviour) {
        let place = self.places.get_mut(&id("shop")).unwrap();
        place.versions.values_mut().for_each(|b| *b = behaviour);
    }

    /// The operator decides something else.
    pub(super) fn adopts(&mut self, change: impl FnOnce(&mut Policy)) {
        self.follows(change, What::Configured { changes: vec!["something".into()] });
    }

    /// A query that finds services answers: with whom it found, and what is said of it.
    pub(super) fn finds(&mut self, change: impl FnOnce(&mut Policy), changes: &[&str]) {
        let changes = changes.iter().map(|change| (*change).to_owned()).collect();
        self.follows(change, What::Discovered { of: "web".into(), changes, odd: Some(vec![]) });
    }

    fn follows(&mut self, change: impl FnOnce(&mut Policy), what: What) {
        change(&mut self.policy);
        self.fleet.adopt(self.policy.clone());
        self.shadow.adopt(self.policy.clone());
        self.turn(what);
    }

    /// Somebody says something about the shop; the answer is kept.
    pub(super) fn says(&mut self, by: &str, said: Said) -> Reply {
        let service = id("shop");
        let reply = self.turn(What::Spoke { service, by: by.into(), said });
        let reply = reply.unwrap_or_else(|| Err("nobody answered".into()));
        self.replies.push(reply.clone());
        reply
    }

    pub(super) fn shop(&self) -> &ServiceState {
        &self.fleet.states[&id("shop")]
    }

    pub(super) fn incident(&self) -> &Incident {
        self.shop().incident.as_ref().unwrap()
    }

    /// What somebody sees who looks at the shop now.
    pub(super) fn seen<T>(&self, look: impl FnOnce(&Situation<'_>) -> T) -> T {
        self.fleet.look(&id("shop"), self.now, |s, _| look(s)).unwrap()
    }

    /// The hash of the plan that is offered now.
    pub(super) fn offered(&self) -> String {
        self.incident().offered.as_ref().map(|plan| plan.hash()).unwrap_or_default()
    }

    pub(super) fn place_of(&self, name: &str) -> &Place {
        &self.places[&id(name)]
    }

    pub(super) fn place(&mut self) -> &mut Place {
        self.places.get_mut(&id("shop")).unwrap()
    }

    /// Time passes.
    pub(super) fn run(&mut self, span: &str) {
        self.run_for(span.parse().unwrap());
    }

    pub(super) fn run_for(&mut self, span: Span) {
        let until = self.now.steady + span;
        loop {
            let report = self.under_way.iter().map(|u| u.at).min();
            let due = [Some(until), Some(self.next_poll), report, self.fleet.next_deadline()];
            let next = due.into_iter().flatten().min().unwrap_or(until).max(self.now.steady);
            let passed = next.since(self.now.steady);
            self.now = Now { wall: self.now.wall + passed, steady: next };
            self.report_what_ended();
            if self.next_poll <= self.now.steady && self.now.steady < until {
                self.next_poll = self.now.steady + POLL;
                self.poll();
            }
            if self.fleet.next_deadline().is_some_and(|at| at <= self.now.steady) {
                self.turn(What::Tick);
            }
            if self.now.steady >= until {
                return;
            }
        }
    }

    /// The wall clock is set, and the daemon notices before anything else.
    pub(super) fn step_clock(&mut self, ms: i64) {
        let from = self.now.wall;
        self.now.wall = from.set_by(ms);
        self.turn(What::ClockSet { from, to: self.now.wall });
    }

    /// Time passes in which the daemon is down: nobody polls, nobody turns.
    pub(super) fn sleeps_through(&mut self, span: Span) {
        self.now = Now { wall: self.now.wall + span, steady: self.now.steady + span };
        self.next_poll = self.now.steady;
    }

    pub(super) fn wall(&self) -> UnixMs {
        self.now.wall
    }

    pub(super) fn now(&self) -> Now {
        self.now
    }

    fn poll(&mut self) {
        let ids: Vec<ServiceId> = self.places.keys().cloned().collect();
        for id in ids {
            let wall = self.now.wall;
            let place = self.places.get_mut(&id).unwrap();
            let down = place.monitoring_down.map(|_| self.now.steady);
            place.monitoring_down_since =
                down.map(|now| place.monitoring_down_since.unwrap_or(now));
            let polls = place.poll(wall);
            self.look(&id);
            for (signal, readings, fault) in polls {
                let (service, signal) = (id.clone(), signal.to_owned());
                self.turn(What::Polled { service, signal, readings, fault });
            }
        }
    }

    /// The platform is looked at.
    fn look(&mut self, id: &ServiceId) {
        let inventory = self.places[id].inventory();
        self.turn(What::Seen { service: id.clone(), inventory });
    }

    fn report_what_ended(&mut self) {
        while let Some(index) = self.under_way.iter().position(|u| u.at <= self.now.steady) {
            let UnderWay { service, order, .. } = self.under_way.remove(index);
            let wall = self.now.wall;
            let place = self.places.get_mut(&service).unwrap();
            let outcome = place.carry_out(&order.what, wall);
            let unmoved = place.unmoved && matches!(outcome, Outcome::Failed { .. });
            let is_failed = matches!(outcome, Outcome::Failed { .. });
            let output = place.prints.clone();
            let output = if is_failed { output } else { String::new() };
            let left = match (&order.what.action, &outcome) {
                (Action::OwnerSuspend { .. }, _) => "it stays suspended".to_owned(),
                (Action::DatabaseSwitch { restored, .. }, Outcome::Failed { .. }) => {
                    format!("the database {restored}, restored and not in its place")
                }
                _ => String::new(),
            };
            let report = Report {
                outcome,
                before: String::new(),
                after: String::new(),
                output,
                left,
                unmoved,
                took_ms: 5_000,
            };
            self.look(&service);
            self.in_flight.remove(&(order.run.clone(), order.step, order.attempt, order.fallback));
            let Order { run, step, attempt, fallback, .. } = order;
            self.turn(What::StepReported { service, run, step, attempt, fallback, report });
        }
    }

    // A turn, and what must hold after it.

    pub(super) fn turn(&mut self, what: What) -> Option<Reply> {
        self.turns += 1;
        let event = Event { id: format!("e{}", self.turns), what };
        let mut appended: Vec<Batch> = vec![];
        let turned = self.fleet.turn(&event, self.now, |batch| {
            appended.push(batch.clone());
            Ok::<(), Infallible>(())
        });
        let Ok(turned) = turned;
        for (service, facts) in &appended {
            self.check_not_blind(service.as_ref(), facts);
            for fact in facts {
                self.record(service.as_ref(), fact);
            }
        }
        if !appended.is_empty() {
            self.check_same(&self.shadow, "I10: folded again it is the same");
            assert_eq!(self.fleet.kill_switch, self.shadow.kill_switch, "I10");
        }
        self.check_orders();
        self.check_nobody_is_forgotten();
        self.check_standing();
        self.start_wanted();
        if let Some((every, windows, applied)) = self.crashes
            && self.turns.is_multiple_of(every)
            && event.what != What::Started
        {
            self.crash(windows, applied);
        }
        turned.reply
    }

    fn record(&mut self, service: Option<&ServiceId>, fact: &Fact) {
        let body = serde_json::to_string(fact).unwrap();
        let again: Fact = serde_json::from_str(&body).unwrap_or_else(|e| panic!("{e}: {body}"));
        if let (Some(service), Fact::Incident(incident::Fact::Planned { plan, by: None, .. })) =
            (service, &again)
        {
            let ledger = &self.shadow.states[service].ledger;
            for target in &plan.targets {
                let entry = ledger.entry(target.component, &target.to).unwrap();
                assert!(entry.known_good_at.is_some(), "I2: {} is not known good", target.to);
                assert!(entry.quarantine.is_none(), "I2: {} is quarantined", target.to);
            }
        }
        self.shadow.recover(service, &again, self.now);
        self.journal.push(Record { service: service.cloned(), body, now: self.now });
    }

    fn start_wanted(&mut self) {
        for (service, order) in self.fleet.wanted() {
            let key = (order.run.clone(), order.step, order.attempt, order.fallback);
            if self.in_flight.insert(key) {
                let at = self.now.steady + self.takes;
                self.under_way.push(UnderWay { at, service, order });
            }
        }
    }

    fn folded(&self) -> Fleet {
        let mut fleet = Fleet::new(self.policy.clone(), self.epoch);
        for record in &self.journal {
            let fact = serde_json::from_str(&record.body).unwrap();
            fleet.recover(record.service.as_ref(), &fact, record.now);
        }
        fleet
    }

    /// The daemon dies with everything under way, and starts again from its journal. Of an attempt under way nobody
    /// heard: its effect is there (`applied`) or not.
    pub(super) fn crash(&mut self, windows: Windows, applied: bool) {
        let mut lost = std::mem::take(&mut self.under_way);
        if applied {
            for UnderWay { service, order, .. } in lost.drain(..) {
                let wall = self.now.wall;
                self.places.get_mut(&service).unwrap().carry_out(&order.what, wall);
            }
        }
        self.in_flight.clear();
        self.epoch += 1;
        let mut fleet = self.folded();
        let written = match windows {
            Windows::Kept => self.written_windows(),
            Windows::Old => self.old_windows.clone(),
            Windows::Lost => BTreeMap::new(),
        };
        for (id, body) in written {
            let kept: watch::Snapshot = serde_json::from_str(&body).unwrap();
            fleet.restore_windows(&id, kept, self.now);
        }
        self.fleet = fleet;
        self.turn(What::Started);
    }

    // What people read.

    /// The facts since noon, one sentence each.
    pub(super) fn transcript(&self) -> String {
        let several = self.places.len() > 1;
        let mut text = String::new();
        for record in &self.journal[self.told_from..] {
            let fact: Fact = serde_json::from_str(&record.body).unwrap();
            let who = match &record.service {
                Some(service) if several => format!("{} ", service.name()),
                Some(_) | None => String::new(),
            };
            let line = if let Fact::Told(notice) = &fact {
                Some(told(notice))
            } else {
                timeline::line(&fact)
            };
            if let Some(line) = line {
                text.push_str(&format!("{} {who}{line}\n", record.now.wall.clock()));
            }
        }
        text
    }

    /// Every notice since noon whose subject holds `part`, whole.
    pub(super) fn notices(&self, part: &str) -> Vec<Notice> {
        let facts = self.journal[self.told_from..].iter();
        let facts = facts.map(|r| serde_json::from_str(&r.body).unwrap());
        let told = facts
            .filter_map(|fact| if let Fact::Told(notice) = fact { Some(*notice) } else { None });
        told.filter(|notice| notice.subject.contains(part)).collect()
    }

    /// How many rollbacks were begun since noon.
    pub(super) fn rollbacks(&self) -> usize {
        self.count("\"planned\"")
    }

    /// How many facts since noon have this in their text.
    pub(super) fn count(&self, part: &str) -> usize {
        self.journal[self.told_from..].iter().filter(|r| r.body.contains(part)).count()
    }

    pub(super) fn serving(&self) -> String {
        let serving = self.shop().ledger.serving(Component::Application);
        serving.map(ToString::to_string).unwrap_or_default()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Windows {
    Kept,
    /// They could not be written down since.
    Old,
    Lost,
}

/// A report that an attempt failed.
pub(super) fn failed(why: &str, retry: bool) -> Outcome {
    Outcome::Failed { why: why.into(), retry }
}

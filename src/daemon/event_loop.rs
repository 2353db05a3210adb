//! One thread, one owner: every event becomes facts, facts become durable, and only then is anything wanted.
//!
//! It decides nothing: the turn is the domain's. It never waits for anything but the disk.

use std::collections::BTreeSet;

use tokio::{
    sync::{mpsc, watch},
    time::{Duration, Instant},
};
use tracing::{error, info, warn};

use super::{clock::Clock, journaling, recovery::CHECKPOINT_KIND, rounds::Rounds};
use crate::{
    domain::{
        controller::Controller,
        event::{Event, What},
        fact::{self, Fact},
        fleet::{Batch, Fleet},
        incident::{self, Phase},
        notice::{Notice, Urgency},
        run::Order,
        service::ServiceId,
        timeline,
    },
    handle::{Ask, Asks, Routing},
    store::{Checkpoint, Store, StoreError},
    telemetry,
    units::{Span, UnixMs},
};

/// What an event loop needs from the daemon.
#[derive(Debug)]
pub(super) struct Wiring {
    /// Attempts to carry out.
    pub orders: mpsc::UnboundedSender<(ServiceId, Order)>,
    /// Notices that must go out although they cannot be written down.
    pub unwritten: mpsc::Sender<Notice>,
    /// Told that the outbox has something new.
    pub outbox: watch::Sender<u64>,
    /// Services to poll faster.
    pub watched: watch::Sender<BTreeSet<ServiceId>>,
    /// Incidents that closed: whose, and its name.
    pub closed: mpsc::UnboundedSender<(ServiceId, String)>,
    /// Which channels take what.
    pub routing: Routing,
    /// How often the windows of every service are written down.
    pub snapshot_every: Span,
}

/// The event loop.
#[derive(Debug)]
pub(super) struct EventLoop {
    controller: Controller,
    store: Store,
    clock: Clock,
    wiring: Wiring,
    /// When to try again whether the journal can be written.
    probe_at: Instant,
    rounds: Rounds,
    /// Something was seen since the last round.
    dirty: bool,
    snapshot_due: Instant,
    since_checkpoint: u64,
    /// Something was written down since it was last said who is polled faster.
    watched_stale: bool,
    watched_due: Instant,
}

/// Facts between two checkpoints.
const CHECKPOINT_EVERY: u64 = 5_000;
/// So often at most it is said who is polled faster: looking at all of them for each fact would cost a storm most of its time.
const WATCHED_EVERY: Duration = Duration::from_secs(1);
/// The pause between two tries whether the journal can be written again.
const PROBE_EVERY: Duration = Duration::from_secs(1);

impl EventLoop {
    /// An event loop over what the journal says is true.
    pub(super) fn new(fleet: Fleet, store: Store, clock: Clock, wiring: Wiring) -> Self {
        let snapshot_due = Instant::now() + wiring.snapshot_every.duration();
        let rounds = Rounds::new(&store);
        Self {
            controller: Controller::new(fleet),
            store,
            clock,
            wiring,
            probe_at: Instant::now(),
            rounds,
            dirty: false,
            snapshot_due,
            since_checkpoint: 0,
            watched_stale: false,
            watched_due: Instant::now(),
        }
    }

    /// Runs until it is told to stop and no attempt is in flight, or told to stop again, or everybody has gone.
    pub(super) async fn run(mut self, mut asks: Asks) {
        // A report may have been lost with the daemon that closed the incident.
        for (id, state) in &self.controller.fleet.states {
            for incident in state.past.each() {
                let _ = self.wiring.closed.send((id.clone(), incident.id.clone()));
            }
        }
        self.turn(&Event { id: "start".into(), what: What::Started }, None);
        loop {
            if self.controller.has_stopped() {
                break;
            }
            let wake = self.wake_at();
            tokio::select! {
                ask = asks.recv() => match ask {
                    Some(ask) => self.serve(ask),
                    None => break,
                },
                () = tokio::time::sleep_until(wake) => self.tick(),
            }
        }
        self.save_windows(true);
        self.checkpoint();
    }

    fn wake_at(&self) -> Instant {
        // What is due stays due while nothing can be written: waking for it would be a spin.
        if self.controller.is_unwritable() {
            return self.probe_at;
        }
        // Nothing is decided any more while it stops: what is due stays due.
        let due = self.controller.fleet.next_deadline();
        let due = due.filter(|_| !self.controller.is_stopping());
        let due = due.map(|at| Instant::from_std(self.clock.instant(at)));
        let snapshot = self.dirty.then_some(self.snapshot_due);
        let watched = self.watched_stale.then_some(self.watched_due);
        let idle = Instant::now() + Duration::from_secs(60);
        [due, snapshot, watched].into_iter().flatten().min().unwrap_or(idle)
    }

    fn serve(&mut self, ask: Ask) {
        match ask {
            Ask::Told { event, answer } => {
                if !self.controller.takes(&event) {
                    drop(answer);
                    return;
                }
                self.turn(&event, answer);
            }
            Ask::Look(look) => look(&self.controller.fleet, self.clock.now()),
            Ask::Store(work) => work(&mut self.store, self.clock.now()),
            Ask::Adopt(policy, routing) => {
                self.controller.fleet.adopt(*policy);
                self.wiring.routing = routing;
                self.publish_watched();
            }
            Ask::Stop => {
                let in_flight = self.controller.in_flight();
                info!(in_flight, "stopping after the steps under way");
                self.controller.stop();
            }
        }
    }

    fn tick(&mut self) {
        if self.controller.is_unwritable() {
            self.try_to_write();
            self.probe_at = Instant::now() + PROBE_EVERY;
            if self.controller.is_unwritable() {
                return;
            }
        }
        if Instant::now() >= self.snapshot_due {
            self.save_windows(false);
        }
        if !self.controller.is_stopping() {
            self.turn(&Event { id: "deadline".into(), what: What::Tick }, None);
        }
        // A loop that stops takes no turn.
        if self.watched_stale && Instant::now() >= self.watched_due {
            self.publish_watched();
        }
    }

    /// One turn; whether everything it led to is written down. A clock that was set comes before whatever it stamps.
    fn turn(&mut self, event: &Event, answer: Option<crate::handle::Answer>) -> bool {
        if let Some(set) = self.clock.was_set() {
            // Before the fact: a crash in between does it once more, which only makes a notice come sooner.
            if set.to < set.from
                && let Err(fault) = self.store.clock_set_back(set.from.since(set.to))
            {
                warn!("notices may come late by the step: {}", telemetry::chain(&fault));
            }
            let what = What::ClockSet { from: set.from, to: set.to };
            let event = Event { id: format!("clock-{}", set.to.0), what };
            if self.take(&event, None) {
                self.clock.agree(set);
            }
        }
        self.take(event, answer)
    }

    fn take(&mut self, event: &Event, answer: Option<crate::handle::Answer>) -> bool {
        let now = self.clock.now();
        let begun = Instant::now();
        let Self { controller, store, wiring, .. } = self;
        let config_hash = controller.fleet.policy.config_hash.clone();
        let mut open = journaling::open_incidents(&controller.fleet, event);
        let was_writable = !controller.is_unwritable();
        let mut written = 0;
        let mut told = false;
        let taken = controller.take(event, now, |batch: &Batch| {
            let (facts, notices) =
                journaling::drafts(batch, &mut open, event, now, &config_hash, &wiring.routing);
            told |= !notices.is_empty();
            let appended = journaling::append(store, &facts, &notices)?;
            written += facts.len() as u64;
            for lost in appended.overflow {
                error!(channel = lost.channel, "a full outbox pushed out `{}`", lost.notice_id);
                telemetry::notice_dropped(&lost.channel);
                if lost.urgency == Urgency::Page {
                    let notice = journaling::pushed_out_notice(&lost, now.wall);
                    if wiring.unwritten.try_send(notice).is_err() {
                        error!("and the page about it could not be queued");
                    }
                }
            }
            Ok::<(), StoreError>(())
        });
        telemetry::turn_took(begun.elapsed());
        self.dirty |= event.what.service().is_some();
        let whole = taken.result.is_ok();
        match taken.result {
            Ok(turned) => {
                self.since_checkpoint += written;
                self.settled(event, &turned.batches);
                if let Some(answer) = answer {
                    // Whoever asked may have gone away.
                    let _ = answer.send(Ok(turned.reply));
                }
            }
            Err(fault) => {
                let why = self.stand_still(&event.id, &fault, was_writable);
                if let Some(answer) = answer {
                    let _ = answer.send(Err(why));
                }
            }
        }
        if told {
            self.wiring.outbox.send_modify(|count| *count += 1);
        }
        self.start(taken.orders);
        self.watched_stale |= written > 0;
        if self.watched_due <= begun {
            self.publish_watched();
        }
        if self.since_checkpoint >= CHECKPOINT_EVERY {
            self.checkpoint();
        }
        whole
    }

    /// Says what became true, and lets go of what ended.
    fn settled(&mut self, event: &Event, batches: &[Batch]) {
        for (service, facts) in batches {
            let who = service.as_ref().map_or_else(|| "fleet".to_owned(), ToString::to_string);
            for fact in facts {
                telemetry::fact(service.as_ref(), fact, &self.controller.fleet);
                if let Some(line) = timeline::line(fact) {
                    let state =
                        service.as_ref().and_then(|id| self.controller.fleet.states.get(id));
                    let incident = state.and_then(|s| s.incident.as_ref());
                    Self::say(fact, &who, incident.map(|i| i.id.as_str()), &event.id, &line);
                }
                if let (Some(id), Fact::Incident(incident::Fact::Entered(Phase::Closed { .. }))) =
                    (service, fact)
                {
                    let past = self.controller.fleet.states.get(id).and_then(|s| s.past.last());
                    if let Some(incident) = past {
                        let _ = self.wiring.closed.send((id.clone(), incident.id.clone()));
                    }
                }
            }
        }
    }

    /// One line of the log; who is concerned is in the text, too, for not everybody looks at fields.
    fn say(fact: &Fact, service: &str, incident: Option<&str>, cause: &str, line: &str) {
        match fact {
            Fact::Told(_) => tracing::debug!(service, incident, cause, "{service}: {line}"),
            Fact::Service(_)
            | Fact::Ledger(_)
            | Fact::Trigger(_)
            | Fact::Incident(_)
            | Fact::Run(_)
            | Fact::Maintenance(_)
            | Fact::Fleet(
                fact::Fleet::KillSwitch { .. }
                | fact::Fleet::Configured { .. }
                | fact::Fleet::Discovered { odd: None, .. }
                | fact::Fleet::Left { .. }
                | fact::Fleet::Forgotten { .. }
                | fact::Fleet::Started { .. },
            ) => info!(service, incident, cause, "{service}: {line}"),
            Fact::Fleet(
                fact::Fleet::Undelivered { .. }
                | fact::Fleet::ClockSet { .. }
                | fact::Fleet::ConfigRefused { .. }
                | fact::Fleet::Discovered { odd: Some(_), .. },
            ) => warn!(service, incident, cause, "{service}: {line}"),
        }
    }

    /// Nothing is acted upon while nothing can be written; that page is sent from memory on every channel.
    fn stand_still(&mut self, cause: &str, fault: &StoreError, is_news: bool) -> String {
        let why = telemetry::chain(fault);
        error!(cause, "the journal cannot be written, nothing is acted upon: {why}");
        if is_news {
            self.probe_at = Instant::now() + PROBE_EVERY;
            let notice = journaling::unwritable_notice(&why, self.clock.now().wall);
            if self.wiring.unwritten.try_send(notice).is_err() {
                error!("and the page about it could not be queued");
            }
        }
        self.controller.stand_still(self.clock.now().wall, why.clone());
        telemetry::journal_writable(false);
        why
    }

    /// A probe that was written is no proof: only turns are, and what they lead to is begun after them.
    fn try_to_write(&mut self) {
        if let Err(fault) = self.store.probe_write() {
            tracing::debug!("still cannot write: {}", telemetry::chain(&fault));
            return;
        }
        let (known, mut proofs) = self.controller.proofs();
        while let Some(event) = proofs.pop_front() {
            if !self.turn(&event, None) {
                return self.controller.not_yet(known, proofs);
            }
        }
        warn!("the journal can be written again");
        self.controller.can_write();
        telemetry::journal_writable(true);
        let orders = self.controller.orders();
        self.start(orders);
    }

    fn start(&mut self, orders: Vec<(ServiceId, Order)>) {
        for order in orders {
            if self.wiring.orders.send(order).is_err() {
                error!("nobody carries out orders any more");
            }
        }
    }

    fn publish_watched(&mut self) {
        self.watched_stale = false;
        self.watched_due = Instant::now() + WATCHED_EVERY;
        let watched = self.controller.fleet.watched(self.clock.now());
        self.wiring.watched.send_if_modified(|known| {
            let changed = *known != watched;
            *known = watched;
            changed
        });
    }

    fn save_windows(&mut self, all: bool) {
        let now = self.clock.now();
        self.dirty = false;
        let fleet = &mut self.controller.fleet;
        if let Err(fault) = self.rounds.write(fleet, &mut self.store, now, all) {
            // Known before the first decision that could not be written down.
            let is_news = !self.controller.is_unwritable();
            self.stand_still("snapshot", &fault, is_news);
        }
        if !self.controller.is_unwritable()
            && let Err(fault) = self.store.mark()
        {
            // A journal that can be written goes on; only damage to it would go unnoticed.
            warn!("how far the journal has come could not be noted: {}", telemetry::chain(&fault));
        }
        self.snapshot_due = Instant::now() + self.wiring.snapshot_every.duration();
    }

    fn checkpoint(&mut self) {
        self.since_checkpoint = 0;
        let body = match serde_json::to_string(&self.controller.fleet.checkpoint()) {
            Ok(body) => body,
            // The one before is of more use than one that says nothing.
            Err(fault) => return warn!("the checkpoint could not be made: {fault}"),
        };
        let kept = self.store.view().last_seq().and_then(|seq| {
            let versions = [(CHECKPOINT_KIND.to_owned(), fact::VERSION)].into();
            let at: UnixMs = self.clock.now().wall;
            self.store.save_checkpoint(&Checkpoint { seq, at, versions, body })
        });
        if let Err(fault) = kept {
            warn!("the checkpoint could not be written: {}", telemetry::chain(&fault));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        daemon::clock,
        domain::{event::Now, examples, service::Mode},
    };

    #[test]
    fn what_is_due_does_not_wake_a_loop_that_is_stopping() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(crate::store::Options::new(dir.path())).unwrap();
        let service = examples::service("shop/production", Mode::Auto);
        let id = service.id.clone();
        let fleet = Fleet::new(examples::policy([service]), 1);
        let mut event_loop = EventLoop::new(fleet, store, Clock::starting(None), wiring());
        event_loop.turn(&Event { id: "e".into(), what: evidence(id) }, None);
        event_loop.dirty = false;
        let idle = Instant::now() + Duration::from_secs(59);
        let due = event_loop.controller.fleet.next_deadline().expect("an incident is open");
        // It has passed.
        event_loop.clock = Clock::starting(Some(Now { wall: clock::wall(), steady: due }));
        assert!(event_loop.wake_at() <= Instant::now());
        event_loop.serve(Ask::Stop);
        assert!(event_loop.wake_at() > idle, "it would spin until the step under way ends");
    }

    /// A storm of ten thousand spent most of its time on looking at all of them for each fact.
    #[test]
    fn who_is_polled_faster_is_said_once_a_second_and_nobody_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(crate::store::Options::new(dir.path())).unwrap();
        let services =
            ["shop/production", "cart/production"].map(|id| examples::service(id, Mode::Observe));
        let ids = services.clone().map(|service| service.id.clone());
        let fleet = Fleet::new(examples::policy(services), 1);
        let mut event_loop = EventLoop::new(fleet, store, Clock::starting(None), wiring());
        let said = event_loop.wiring.watched.subscribe();
        for id in &ids {
            event_loop.turn(&Event { id: "e".into(), what: evidence(id.clone()) }, None);
        }
        assert_eq!(*said.borrow(), [ids[0].clone()].into(), "the first at once");
        assert!(event_loop.wake_at() <= Instant::now() + WATCHED_EVERY, "the second without news");
        event_loop.watched_due = Instant::now();
        event_loop.tick();
        assert_eq!(*said.borrow(), ids.into());
        event_loop.watched_stale = true;
        event_loop.serve(Ask::Stop);
        event_loop.watched_due = Instant::now();
        event_loop.tick();
        assert!(!event_loop.watched_stale, "it would spin until the step under way ends");
    }

    fn evidence(service: ServiceId) -> What {
        What::EvidencePosted {
            service,
            trigger: "data-corruption".into(),
            by: "check".into(),
            note: "rows are missing".into(),
            partial: false,
        }
    }

    /// Nobody listens.
    fn wiring() -> Wiring {
        Wiring {
            orders: mpsc::unbounded_channel().0,
            unwritten: mpsc::channel(1).0,
            outbox: watch::Sender::new(0),
            watched: watch::Sender::new(BTreeSet::new()),
            closed: mpsc::unbounded_channel().0,
            routing: vec![],
            snapshot_every: Span::minutes(10),
        }
    }
}

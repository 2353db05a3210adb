//! The daemon's process: it starts from the journal, takes events in the real order, and dies anywhere.
//!
//! The order is the domain's (`src/domain/controller.rs`); what surrounds it here is what `src/daemon/event_loop.rs` and
//! `src/daemon/recovery.rs` surround it with.

use std::collections::BTreeSet;

use rollbackd::{
    daemon::{journaling, recovery},
    domain::{
        controller::Controller,
        event::{Event, Now, What},
        fact::Fact,
        fleet::{Batch, Fleet},
        incident::speak::Reply,
        notice::Audience,
        run::Order,
        service::ServiceId,
        steady::Ahead,
        timeline,
    },
    units::UnixMs,
};

use super::{
    World,
    act::Act,
    executor::{self, Attempt, Mishap},
    journal::Fault,
    model::Look,
    rng::Dice,
    script::{Boundary, Fate},
    secret::Secret,
};

/// A running daemon.
pub(crate) struct Daemon {
    pub(crate) controller: Controller,
    ahead: Ahead,
    steady_at_start: UnixMs,
    started_at: i64,
    pub(crate) epoch: u64,
    knows_hold: bool,
    /// Told to stop, and when it starts again.
    pub(crate) down: Option<i64>,
}

/// Folding again and again is bounded: each time another daemon dies of it.
const FOLDS_MAX: usize = 3;

/// Which channel takes what.
pub(crate) fn routing() -> Vec<(String, BTreeSet<Audience>)> {
    let both = BTreeSet::from([Audience::OnCall, Audience::Stakeholders]);
    vec![("chat".into(), both), ("hook".into(), BTreeSet::from([Audience::OnCall]))]
}

impl World {
    pub(super) fn now(&self) -> Now {
        let wall = self.wall();
        let steady = self.daemon.as_ref().map_or(UnixMs(0), |d| d.steady(self.at));
        Now { wall, steady }
    }

    /// From the journal to what is true, and the first turn.
    pub(super) fn start(&mut self) {
        if self.daemon.is_some() {
            return;
        }
        let mut folds = 0;
        let (fleet, last) = loop {
            self.journal.epoch += 1;
            folds += 1;
            let dies = matches!(self.armed, Some((Boundary::DuringFold, ..))) && folds < FOLDS_MAX;
            match self.fold(dies) {
                Some(folded) => break folded,
                None => {
                    self.tally.crashed(Boundary::DuringFold);
                    self.armed = None;
                    self.tell(|| "the daemon dies while it folds the journal".into());
                }
            }
        };
        self.model.folded(&fleet, self.at);
        if !self.model.has_memory() {
            self.model.remember(&fleet);
        }
        let (steady_at_start, ahead) = Ahead::starting(last, self.wall());
        let epoch = self.journal.epoch;
        let controller = Controller::new(fleet);
        // As `Hold::new`: what the journal says of it.
        let knows_hold = controller.fleet.kill_switch.is_some();
        let started_at = self.at;
        self.daemon = Some(Daemon {
            controller,
            ahead,
            steady_at_start,
            started_at,
            epoch,
            knows_hold,
            down: None,
        });
        self.model.up(self.at);
        self.tell(|| format!("the daemon starts, epoch {epoch}"));
        if self.turn(What::Started).is_some() {
            self.look_for_hold();
        }
    }

    fn fold(&self, dies: bool) -> Option<(Fleet, Option<Now>)> {
        let mut fleet = Fleet::new(self.policy.clone(), self.journal.epoch);
        let mut after = 0;
        if let Some((count, body)) = &self.journal.checkpoint {
            fleet.restore(serde_json::from_str(body).unwrap());
            after = *count;
        }
        let before = after.checked_sub(1).map(|index| {
            let fact = &self.journal.records[index].fact;
            Now { wall: fact.at, steady: UnixMs(fact.steady_ms) }
        });
        let mut folding = recovery::Folding::over(fleet, after as u64);
        let records = &self.journal.records[after..];
        let lives = if dies { records.len() / 2 } else { records.len() };
        for record in &records[..lives] {
            folding.fold(record).unwrap();
        }
        if dies {
            return None;
        }
        let recovery::Folding { mut fleet, last, .. } = folding;
        let last = last.or(before);
        let now = last.unwrap_or(Now { wall: UnixMs(0), steady: UnixMs(0) });
        for (id, body) in &self.journal.snapshots {
            fleet.restore_windows(id, serde_json::from_str(body).unwrap(), now);
        }
        Some((fleet, last))
    }

    /// One event, a clock that was set before it. `None` where nobody answers, or nothing could be written.
    pub(super) fn turn(&mut self, what: What) -> Option<Option<Reply>> {
        let now = self.now();
        let daemon = self.daemon.as_mut()?;
        let set = daemon.ahead.compare(now);
        if set.is_real() && set.to < set.from {
            self.journal.clock_set_back(set.from.since(set.to));
        }
        if !set.is_real() {
            daemon.ahead.agree(set);
        } else if self.take(What::ClockSet { from: set.from, to: set.to }).is_some()
            && let Some(daemon) = &mut self.daemon
        {
            daemon.ahead.agree(set);
        }
        self.take(what)
    }

    fn take(&mut self, what: What) -> Option<Option<Reply>> {
        let now = self.now();
        self.events += 1;
        let event = Event { id: format!("e{}", self.events), what };
        let daemon = self.daemon.as_mut().filter(|d| d.controller.takes(&event))?;
        let was_writable = !daemon.controller.is_unwritable();
        let mut open = journaling::open_incidents(&daemon.controller.fleet, &event);
        let hash = daemon.controller.fleet.policy.config_hash.clone();
        let first_new = self.journal.records.len();
        let epoch = daemon.epoch;
        let (journal, armed, at) = (&mut self.journal, &mut self.armed, self.at);
        let routing = &self.routing;
        let taken = daemon.controller.take(&event, now, |batch: &Batch| {
            let (facts, notices) =
                journaling::drafts(batch, &mut open, &event, now, &hash, routing);
            strikes(armed, Boundary::BeforeAppend)?;
            journal.append(epoch, &facts, &notices, at)?;
            strikes(armed, Boundary::AfterAppend)
        });
        match taken.result {
            Ok(turned) => {
                let facts = if self.thorough { self.read(first_new) } else { each(turned.batches) };
                self.written(facts, now, &event);
                self.model.writable(self.at);
                self.look_around(&event);
                self.begin(taken.orders);
                Some(turned.reply)
            }
            Err(Fault::Crash) => {
                self.written(self.read(first_new), now, &event);
                self.die_in_the_turn();
                None
            }
            Err(Fault::Stale) => {
                self.is_refused();
                None
            }
            Err(Fault::DiskFull) => {
                self.written(self.read(first_new), now, &event);
                if let Some(daemon) = &mut self.daemon {
                    daemon.controller.stand_still(now.wall, "the disk is full".into());
                }
                self.model.unwritable();
                if was_writable {
                    self.tally.unwritable += 1;
                    self.tell(|| "the journal cannot be written; that is paged from memory".into());
                    self.later(self.at + 1_000, Act::Probe);
                }
                None
            }
        }
    }

    fn is_refused(&mut self) {
        self.tell(|| "its write is refused: another daemon has the lease".into());
        self.tally.stale += 1;
        self.die(3_000, false);
    }

    /// What the newest records say, read from their bytes.
    fn read(&self, first_new: usize) -> Facts {
        let records = &self.journal.records[first_new..];
        records.iter().map(|record| recovery::parse(record).unwrap()).collect()
    }

    /// What is in the journal since.
    fn written(&mut self, facts: Facts, now: Now, event: &Event) {
        let policy = &self.policy;
        let look = Look { at: self.at, sites: &self.sites, sources: &self.sources, policy };
        let mut lines = vec![];
        for (service, fact) in &facts {
            if self.story.is_some() {
                let who = service.as_ref().map_or("fleet", ServiceId::name);
                let line = match fact {
                    Fact::Told(notice) => {
                        Some(format!("-> {:?}: {}", notice.urgency, notice.subject))
                    }
                    _ => timeline::line(fact),
                };
                lines.extend(line.map(|line| format!("{who}: {line}")));
            }
            self.tally.fact(fact);
            self.model.fact(service.as_ref(), fact, event, &look);
            self.model.fold(service.as_ref(), fact, now);
        }
        for line in lines {
            self.tell(|| line);
        }
    }

    /// The invariants that can be seen after any turn.
    fn look_around(&mut self, event: &Event) {
        let Some(daemon) = &self.daemon else { return };
        let policy = &self.policy;
        let look = Look { at: self.at, sites: &self.sites, sources: &self.sources, policy };
        self.model.after_turn(&daemon.controller.fleet, event, &look);
    }

    fn begin(&mut self, orders: Vec<(ServiceId, Order)>) {
        for (service, order) in orders {
            if strikes(&mut self.armed, Boundary::BeforeEffect).is_err() {
                self.tally.crashed(Boundary::BeforeEffect);
                return self.die(self.armed_down(), true);
            }
            let Some(epoch) = self.daemon.as_ref().map(|d| d.epoch) else { return };
            self.model.ordered(&service, &order, self.at);
            let key = format!("{}/{}/{}", order.run, order.step, order.attempt);
            let mut dice = self.dice.named(&key);
            let mishap = self.mishap(&order, &mut dice);
            if mishap != Mishap::Nothing {
                self.tally.mishap(mishap);
            }
            let orphan_ends = executor::orphan_of(&self.attempts, &order);
            let when = (self.at, orphan_ends);
            let attempt = Attempt::new(service, order, epoch, when, mishap, &mut dice);
            self.tell(|| {
                format!(
                    "   attempt {key}{} begins ({mishap:?})",
                    if attempt.order.resumed { ", resumed," } else { "" }
                )
            });
            self.attempts.push_back(attempt);
        }
    }

    fn mishap(&mut self, order: &Order, dice: &mut Dice) -> Mishap {
        let Some((step, fate)) = self.script.fate else {
            let percent = if self.at < self.mishaps.1 { self.mishaps.0 } else { 6 };
            return Mishap::thrown(dice, percent);
        };
        let first = order.step == step && order.attempt == 1 && !order.resumed;
        match fate {
            Fate::Once(mishap) if first => mishap,
            Fate::Always(mishap) if order.step == step => mishap,
            Fate::CrashBefore if first => {
                self.later(self.at, Act::Dies);
                Mishap::Nothing
            }
            Fate::CrashAfter if first => {
                self.armed = Some((Boundary::AfterEffect, 0, 5_000));
                Mishap::Nothing
            }
            Fate::Once(_)
            | Fate::Always(_)
            | Fate::Twice
            | Fate::CrashBefore
            | Fate::CrashAfter => Mishap::Nothing,
        }
    }

    pub(super) fn armed_down(&self) -> i64 {
        self.armed.map_or(5_000, |(.., down)| down)
    }

    fn die_in_the_turn(&mut self) {
        let at = self.armed.map_or(Boundary::AfterAppend, |(at, ..)| at);
        self.tally.crashed(at);
        self.die(self.armed_down(), false);
    }

    /// The process is gone. Between two turns the windows may just have been written down.
    pub(super) fn die(&mut self, down: i64, between_turns: bool) {
        self.armed = None;
        if between_turns && self.dice.percent(50) {
            self.journal.snapshots = self.windows();
        } else if self.dice.percent(30) {
            self.journal.snapshots.clear();
        } else {
            self.journal.snapshots = std::mem::take(&mut self.stale);
        }
        self.is_gone();
        let mut dice = self.dice.clone();
        let mut left = vec![];
        for mut attempt in self.attempts.drain(..) {
            let applied = attempt.outcome.is_some();
            if attempt.is_left_behind(applied || dice.percent(50)) {
                attempt.orphan = true;
                left.push(attempt);
            }
        }
        self.attempts.extend(left);
        self.tell(|| format!("the daemon is gone for {} s", down as f64 / 1e3));
        self.later(self.at + down, Act::Start);
    }

    fn is_gone(&mut self) {
        self.daemon = None;
        self.sites.iter_mut().filter_map(|site| site.secret.as_mut()).for_each(Secret::forgotten);
        self.model.down();
    }

    /// Whether the journal can be written again; and what could not be written before.
    pub(super) fn probe(&mut self) {
        let Some(daemon) = self.daemon.as_mut().filter(|d| d.controller.is_unwritable()) else {
            return;
        };
        match self.journal.may_write(daemon.epoch, self.at) {
            Ok(()) => {}
            // The write that is tried tells so, too.
            Err(Fault::Stale) => return self.is_refused(),
            Err(Fault::DiskFull | Fault::Crash) => {
                return self.later(self.at + 1_000, Act::Probe);
            }
        }
        let (known, mut proofs) = daemon.controller.proofs();
        while let Some(event) = proofs.pop_front() {
            if self.turn(event.what).is_none() {
                if let Some(daemon) = &mut self.daemon {
                    daemon.controller.not_yet(known, proofs);
                    self.later(self.at + 1_000, Act::Probe);
                }
                return;
            }
        }
        if let Some(daemon) = &mut self.daemon {
            daemon.controller.can_write();
            let orders = daemon.controller.orders();
            self.tell(|| "the journal can be written again".into());
            self.begin(orders);
        }
    }

    /// When the daemon wants a turn although nothing happens.
    pub(super) fn next_deadline(&self) -> Option<i64> {
        let daemon = self.daemon.as_ref()?;
        if daemon.controller.is_unwritable() || daemon.controller.is_stopping() {
            return None;
        }
        let due = daemon.controller.fleet.next_deadline()?;
        Some(daemon.started_at + (due.0 - daemon.steady_at_start.0))
    }

    pub(super) fn tick(&mut self) {
        self.turn(What::Tick);
    }

    /// The HOLD file is looked for, and told of when it changed.
    pub(super) fn look_for_hold(&mut self) {
        let held = self.at < self.hold_until;
        let Some(daemon) = &self.daemon else { return };
        if daemon.knows_hold == held {
            return;
        }
        let reason = held.then(|| "people said stop".to_owned());
        if self.turn(What::KillSwitch { reason }).is_some()
            && let Some(daemon) = &mut self.daemon
        {
            daemon.knows_hold = held;
        }
    }

    /// What is true is written down, so that not all of the journal need be folded.
    pub(super) fn checkpoint(&mut self) {
        let fleet = self.daemon.as_ref().map(|d| d.controller.fleet.checkpoint());
        if let Some(Ok(body)) = fleet.map(|kept| serde_json::to_string(&kept)) {
            self.journal.checkpoint = Some((self.journal.records.len(), body));
        }
    }

    /// A stop that was asked for is over.
    pub(super) fn stopped(&mut self) {
        let Some(daemon) = self.daemon.as_ref().filter(|d| d.controller.has_stopped()) else {
            return;
        };
        let down = daemon.down.unwrap_or(1_000);
        // A clean end writes everything down.
        self.journal.snapshots = self.windows();
        self.checkpoint();
        self.stale = self.journal.snapshots.clone();
        self.is_gone();
        self.tell(|| "the daemon has stopped".into());
        self.later(self.at + down, Act::Start);
    }
}

impl Daemon {
    fn steady(&self, at: i64) -> UnixMs {
        self.steady_at_start.set_by(at - self.started_at)
    }
}

/// Facts, and whose they are.
type Facts = Vec<(Option<ServiceId>, Fact)>;

fn each(batches: Vec<Batch>) -> Facts {
    let facts =
        |(service, facts): Batch| facts.into_iter().map(move |fact| (service.clone(), fact));
    batches.into_iter().flat_map(facts).collect()
}

/// A crash that was waiting for this place, once it has come by often enough.
pub(super) fn strikes(
    armed: &mut Option<(Boundary, u64, i64)>,
    here: Boundary,
) -> Result<(), Fault> {
    match armed {
        Some((at, 0, _)) if *at == here => Err(Fault::Crash),
        Some((at, skip, _)) if *at == here => {
            *skip -= 1;
            Ok(())
        }
        Some(_) | None => Ok(()),
    }
}

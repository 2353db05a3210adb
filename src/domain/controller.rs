//! In which order an event leads to effects: facts, the disk, what is believed, what is wanted.
//!
//! The daemon's event loop is this around a store and a clock, the simulator around a world in which everything fails. It
//! starts nothing and writes nothing itself.

use std::collections::{BTreeSet, VecDeque};

use super::{
    event::{Event, Now, What},
    fleet::{Batch, Fleet, Turned},
    run::Order,
    service::ServiceId,
};
use crate::units::UnixMs;

/// Reports of attempts kept while the journal cannot be written: one for each rollback under way.
const KEPT_MAX: usize = 10_000;

/// Which attempt at which step of which run, and whether its fallback.
type Attempt = (ServiceId, String, usize, u32, bool);

/// The one owner of what is true.
#[derive(Debug)]
pub struct Controller {
    /// Everything that is true, and everything that is seen.
    pub fleet: Fleet,
    in_flight: BTreeSet<Attempt>,
    kept: VecDeque<Event>,
    unwritable: bool,
    stop_now: bool,
}

/// What became of an event.
#[derive(Debug)]
pub struct Taken<E> {
    /// What is true since, or why it could not be written down.
    pub result: Result<Turned, E>,
    /// Attempts to start now.
    pub orders: Vec<(ServiceId, Order)>,
}

impl Controller {
    /// Over what the journal says is true.
    pub fn new(fleet: Fleet) -> Self {
        Self {
            fleet,
            in_flight: BTreeSet::new(),
            kept: VecDeque::new(),
            unwritable: false,
            stop_now: false,
        }
    }

    /// One event: its turn, and what is to be started because of it. Where `append` fails nothing is started, and the
    /// report of an attempt is kept for when it can be written down.
    pub fn take<E>(
        &mut self,
        event: &Event,
        now: Now,
        append: impl FnMut(&Batch) -> Result<(), E>,
    ) -> Taken<E> {
        let result = self.fleet.turn(event, now, append);
        match (&result, &event.what) {
            (Ok(_), What::StepReported { service, run, step, attempt, fallback, .. }) => {
                let ended = (service.clone(), run.clone(), *step, *attempt, *fallback);
                self.in_flight.remove(&ended);
            }
            (Err(_), What::StepReported { .. }) => {
                self.unwritable = true;
                if self.kept.len() < KEPT_MAX {
                    self.kept.push_back(event.clone());
                }
            }
            (Err(_), _) => self.unwritable = true,
            (Ok(_), _) => {}
        }
        Taken { result, orders: self.orders() }
    }

    /// Effects are derived from what is true, minus what is in flight; none while nothing can be written.
    pub fn orders(&mut self) -> Vec<(ServiceId, Order)> {
        if self.unwritable {
            return vec![];
        }
        let mut orders = self.fleet.wanted();
        orders.retain(|(service, order)| {
            let Order { run, step, attempt, fallback, .. } = order;
            self.in_flight.insert((service.clone(), run.clone(), *step, *attempt, *fallback))
        });
        orders
    }

    /// How many attempts are under way.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Whether nothing can be written, so that nothing is acted upon.
    pub fn is_unwritable(&self) -> bool {
        self.unwritable
    }

    /// Nothing can be written since `at`, or since it was first told.
    pub fn stand_still(&mut self, at: UnixMs, why: String) {
        self.unwritable = true;
        self.fleet.unwritable.get_or_insert((at, why));
    }

    /// What must be written before anything is acted upon again: what could not be, then two turns as proof. What they
    /// decide, they decide because it can be written. A turn that fails is followed by [`Self::not_yet`].
    pub fn proofs(&mut self) -> (Option<(UnixMs, String)>, VecDeque<Event>) {
        let mut proofs = std::mem::take(&mut self.kept);
        let proof = |what| Event { id: "writable".into(), what };
        proofs.push_back(proof(What::Started));
        if !self.fleet.stopping {
            proofs.push_back(proof(What::Tick));
        }
        (self.fleet.unwritable.take(), proofs)
    }

    /// A proof failed: what could not be written since `known` still cannot be, and `rest` comes after what failed.
    pub fn not_yet(&mut self, known: Option<(UnixMs, String)>, rest: VecDeque<Event>) {
        let reports = rest.into_iter().filter(|e| matches!(e.what, What::StepReported { .. }));
        self.kept.extend(reports);
        self.fleet.unwritable = known;
    }

    /// Every proof was written.
    pub fn can_write(&mut self) {
        self.unwritable = false;
    }

    /// Ends after the attempts under way; told again, at once.
    pub fn stop(&mut self) {
        self.stop_now = self.fleet.stopping;
        self.fleet.stopping = true;
    }

    /// Whether it is ending: nothing is decided any more.
    pub fn is_stopping(&self) -> bool {
        self.fleet.stopping
    }

    /// Whether it has ended.
    pub fn has_stopped(&self) -> bool {
        self.stop_now || (self.fleet.stopping && self.in_flight.is_empty())
    }

    /// Whether an event is taken: while it stops, only how an attempt went.
    pub fn takes(&self, event: &Event) -> bool {
        !self.fleet.stopping || matches!(event.what, What::StepReported { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        change::Revision,
        examples,
        fact::Fact,
        incident,
        inventory::Place,
        run::{self, Outcome, Report},
        service::Mode,
        severity::Severity,
    };

    const NOW: Now = Now { wall: UnixMs(1_772_452_800_000), steady: UnixMs(5_000_000) };

    fn event(what: What) -> Event {
        Event { id: "e".into(), what }
    }

    fn report(step: usize) -> Event {
        let report = Report {
            outcome: Outcome::Done,
            before: String::new(),
            after: String::new(),
            output: String::new(),
            left: String::new(),
            unmoved: false,
            took_ms: 1,
        };
        let service = "shop/production".parse().unwrap();
        let run = "r".to_owned();
        event(What::StepReported { service, run, step, attempt: 1, fallback: false, report })
    }

    fn steps(events: &VecDeque<Event>) -> Vec<usize> {
        let step = |e: &Event| {
            if let What::StepReported { step, .. } = &e.what { Some(*step) } else { None }
        };
        events.iter().filter_map(step).collect()
    }

    #[test]
    fn while_it_stops_it_hears_only_how_attempts_went() {
        let policy = examples::policy([examples::service("shop/production", Mode::Auto)]);
        let mut controller = Controller::new(Fleet::new(policy, 1));
        assert!(controller.takes(&event(What::Tick)));
        assert!(!controller.has_stopped() && !controller.is_unwritable());
        controller.stop();
        assert!(!controller.takes(&event(What::Tick)), "nothing is decided any more");
        assert!(controller.takes(&report(0)));
        assert!(controller.has_stopped(), "nothing is under way");
    }

    #[test]
    fn reports_that_could_not_be_written_stay_in_order_until_they_are() {
        let policy = examples::policy([examples::service("shop/production", Mode::Auto)]);
        let mut controller = Controller::new(Fleet::new(policy, 1));
        // A report of a run that nobody knows leads to no fact; the fleet's own always is one.
        let refuse = |_: &Batch| Err("the disk is full");
        assert!(controller.take(&event(What::Started), NOW, refuse).result.is_err());
        controller.stand_still(NOW.wall, "the disk is full".into());
        assert!(controller.is_unwritable());
        controller.kept.extend([report(0), report(1), report(2)]);
        let (known, mut proofs) = controller.proofs();
        assert_eq!((known.is_some(), steps(&proofs)), (true, vec![0, 1, 2]));
        assert!(controller.fleet.unwritable.is_none(), "it decides as if it could be written");
        let first = proofs.pop_front().unwrap();
        // As `take` does when the first of them fails.
        controller.kept.push_back(first);
        controller.not_yet(known, proofs);
        assert!(controller.is_unwritable() && controller.fleet.unwritable.is_some());
        assert_eq!(steps(&controller.proofs().1), [0, 1, 2]);
    }

    #[test]
    fn what_was_wanted_while_the_disk_was_full_is_started_once_it_can_be_written() {
        let shop = examples::id("shop/production");
        let service = examples::service("shop/production", Mode::Auto);
        let revision = |name: &str| Revision::named(name);
        let runbook = service.runbook.as_ref().unwrap();
        let plan =
            runbook.plan(&shop, (&revision("v2"), &revision("v1")), &Place::default(), NOW.wall);
        let mut controller = Controller::new(Fleet::new(examples::policy([service]), 1));
        let opened = incident::Fact::Opened {
            id: "i".into(),
            severity: Severity::P0,
            trigger: "outage".into(),
            onset: NOW.wall,
            change: None,
        };
        let planned = incident::Fact::Planned { run: "r".into(), plan: plan.into(), by: None };
        let begun = run::Fact::Begun { step: 0, attempt: 1, fallback: false, epoch: 1 };
        for fact in [Fact::Incident(opened), Fact::Incident(planned), Fact::Run(begun)] {
            controller.fleet.recover(Some(&shop), &fact, NOW);
        }
        controller.stand_still(NOW.wall, "the disk is full".into());
        assert_eq!(controller.orders(), []);
        controller.proofs();
        assert_eq!(controller.orders(), [], "nothing is proven yet");
        controller.can_write();
        assert_eq!(controller.orders().len(), 1);
        assert_eq!(controller.orders(), [], "it is under way");
    }

    #[test]
    fn it_begins_with_nothing_under_way_and_goes_on() {
        let mut controller = Controller::new(Fleet::default());
        assert_eq!((controller.in_flight(), controller.is_stopping()), (0, false));
        controller.stop();
        assert!(controller.is_stopping());
    }
}

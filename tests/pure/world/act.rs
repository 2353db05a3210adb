//! What is done when its time comes: polls, attempts, deliveries, and whatever was put on the agenda.

use std::collections::BTreeSet;

use rollbackd::domain::{
    delivery::{self, Next},
    event::{Alert, Said, What},
    notice::{Audience, Urgency},
    run::Outcome,
};

use super::{
    Wall, World,
    daemon::strikes,
    executor::Mishap,
    operator::{self, Layout, POLL_MS},
    script::{Boundary, Fate},
    site::{Actor, Effect},
};

/// Something on the agenda.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Happening(usize),
    Poll,
    /// The daemon's process is started.
    Start,
    /// Whether the journal can be written again.
    Probe,
    LookForHold,
    PipelineRestarts {
        site: usize,
    },
    /// An event from outside that is told once more where nobody answers.
    Told {
        what: Box<What>,
        tries: u8,
    },
    AlertOver {
        fingerprint: String,
    },
    /// A person says something about a service.
    Says {
        service: usize,
        said: Said,
    },
    /// A person has the script tried that would take its schema back.
    Tries {
        service: usize,
    },
    ShutdownCrash,
    Dies,
    /// Everything works again.
    Calm,
    /// People look after what is open.
    Round,
}

/// An alert that Alertmanager has.
#[derive(Clone, Debug)]
pub(crate) struct Active {
    pub(crate) service: usize,
    pub(crate) alert: Alert,
}

impl World {
    pub(super) fn act(&mut self, act: Act) {
        match act {
            Act::Happening(index) => self.happens(index),
            Act::Poll => self.poll(),
            Act::Start => self.start(),
            Act::Probe => self.probe(),
            Act::LookForHold => self.look_for_hold(),
            Act::PipelineRestarts { site } => {
                let wall = self.wall();
                self.sites[site].restart(Actor::Pipeline, self.at, wall);
            }
            Act::Told { what, tries } => {
                let answered = self.turn((*what).clone()).is_some();
                if !answered && tries > 0 {
                    self.later(self.at + 20_000, Act::Told { what, tries: tries - 1 });
                }
            }
            Act::AlertOver { fingerprint } => {
                self.alerts.retain(|active| active.alert.fingerprint != fingerprint);
            }
            Act::Says { service, said } => self.says(service, said),
            Act::Tries { service } => self.tries(service),
            Act::ShutdownCrash => {
                if self.daemon.is_some() {
                    self.tally.crashed(Boundary::DuringShutdown);
                    self.die(5_000, true);
                }
            }
            Act::Dies => self.die(5_000, true),
            Act::Calm => self.calm(),
            Act::Round => self.round(),
        }
        self.stopped();
    }

    fn poll(&mut self) {
        self.later(self.at + POLL_MS, Act::Poll);
        let wall = self.wall();
        self.model.time_passes(self.at, &self.sites, &self.sources);
        for service in 0..self.sources.len() {
            let site = self.site_of(service);
            let id = operator::id(service);
            let (sources, at) = (&mut self.sources[service], self.at);
            let polls = sources.poll(&self.sites[site], at, wall);
            // What is as it was is looked at half as often.
            if at.rem_euclid(2 * POLL_MS) < POLL_MS || self.sites[site].is_new(at - POLL_MS) {
                let mut inventory = self.sites[site].inventory(at);
                let is_readable = at >= self.sites[site].unreadable_until;
                let secret = self.sites[site].secret.as_mut();
                inventory.read = secret.and_then(|it| it.seen(is_readable, wall));
                self.turn(What::Seen { service: id.clone(), inventory });
            }
            if let Some(database) = &self.sites[site].database {
                let is_readable = at >= self.sites[site].unreadable_until;
                let (seen, copies) = (database.seen(is_readable), database.snapshots(is_readable));
                let in_rds = database.in_rds(is_readable);
                let scripts = database.scripts(is_readable);
                self.turn(What::SchemaSeen { service: id.clone(), seen });
                if self.script.layout == Layout::InRds {
                    self.turn(What::RdsSeen { service: id.clone(), seen: in_rds });
                }
                if self.script.layout == Layout::Reversed {
                    let seen = scripts;
                    self.turn(What::ScriptsSeen { service: id.clone(), seen });
                }
                if self.script.layout == Layout::Restored {
                    self.turn(What::SnapshotsSeen { service: id.clone(), seen: copies });
                }
            }
            for (signal, readings, fault) in polls {
                let (service, signal) = (id.clone(), signal.to_owned());
                self.turn(What::Polled { service, signal, readings, fault });
            }
        }
        if self.at.rem_euclid(2 * POLL_MS) < POLL_MS {
            self.ask_alertmanager();
        }
    }

    /// Which alerts are active, of those that the daemon rests on.
    fn ask_alertmanager(&mut self) {
        let Some(daemon) = &self.daemon else { return };
        for (service, wanted) in daemon.controller.fleet.alerts_to_confirm() {
            let index = self.index_of(&service);
            let active = self.alerts.iter().filter(|a| a.service == index);
            let active: BTreeSet<String> = active.map(|a| a.alert.fingerprint.clone()).collect();
            let fingerprints = wanted.intersection(&active).cloned().collect();
            self.turn(What::AlertsActive { service, fingerprints, suppressed: BTreeSet::new() });
        }
    }

    // Attempts.

    pub(super) fn next_of_attempts(&self) -> Option<i64> {
        let next =
            |a: &super::Attempt| if a.outcome.is_none() { a.applies_at } else { a.reports_at };
        self.attempts.iter().map(next).min()
    }

    pub(super) fn attempts_go_on(&mut self) {
        let at = self.at;
        let applies = |a: &super::Attempt| a.outcome.is_none() && a.applies_at <= at;
        if let Some(index) = self.attempts.iter().position(applies) {
            return self.attempt_applies(index);
        }
        let reports = |a: &super::Attempt| a.outcome.is_some() && a.reports_at <= at;
        let Some(index) = self.attempts.iter().position(reports) else { return };
        if strikes(&mut self.armed, Boundary::AfterEffect).is_err() {
            self.tally.crashed(Boundary::AfterEffect);
            return self.die(self.armed_down(), true);
        }
        let Some(attempt) = self.attempts.remove(index) else { return };
        if attempt.orphan {
            return;
        }
        if matches!(attempt.outcome, Some(Outcome::Withheld { .. })) {
            // The domain must know of the kill switch before it hears that a step was withheld by it.
            self.look_for_hold();
        }
        let report = attempt.report();
        let order = attempt.order;
        let (service, step) = (attempt.service, order.step);
        self.turn(What::StepReported {
            service,
            run: order.run,
            step,
            attempt: order.attempt,
            fallback: order.fallback,
            report,
        });
        self.stopped();
    }

    fn attempt_applies(&mut self, index: usize) {
        let (at, wall) = (self.at, Wall(self.wall()));
        let service = self.index_of(&self.attempts[index].service);
        let site = self.site_of(service);
        let writable = self.daemon.as_ref().is_some_and(|d| !d.controller.is_unwritable());
        let attempt = &mut self.attempts[index];
        // A child that runs already asks nobody.
        let withheld = match () {
            () if attempt.orphan => None,
            () if attempt.epoch != self.journal.epoch => Some("the lease is lost"),
            () if !writable => Some("the journal cannot be written"),
            () if at < self.hold_until => Some("the HOLD file"),
            () => None,
        };
        let before = self.sites[site].done.len();
        attempt.apply(&mut self.sites[site], withheld, at, wall);
        let attempt = attempt.clone();
        if self.script.fate == Some((attempt.order.step, Fate::Twice)) {
            let mut again = attempt.clone();
            again.order.resumed = true;
            again.apply(&mut self.sites[site], withheld, at, wall);
            self.attempts[index].outcome = again.outcome;
        }
        let effects: Vec<Effect> = self.sites[site].done.iter().skip(before).cloned().collect();
        for effect in effects {
            self.tally.effects += 1;
            self.tell(|| format!("   {:?} {:?}", attempt.order.what.title, effect.done));
            let (site, epoch) = (&self.sites[site], self.journal.epoch);
            self.model.effect(&effect, &attempt, site, epoch, self.hold_until);
        }
        if self.model.violation.is_none() && attempt.mishap == Mishap::Lies {
            self.tally.lies += 1;
        }
    }

    // Deliveries.

    pub(super) fn next_delivery(&self) -> Option<(i64, usize)> {
        let daemon = self.daemon.as_ref()?;
        if daemon.controller.is_unwritable() {
            return None;
        }
        let due = |(index, channel): (usize, &super::Channel)| {
            let due = self.journal.next_due(channel.name, self.now().wall)?;
            let at = due.0 - super::base::NOON.0 - self.off;
            // A queue whose pauses the clock moved away is looked at again every few seconds all the same.
            Some((at.min(self.at + 300_000).max(channel.closed_until).max(self.at), index))
        };
        self.channels.iter().enumerate().filter_map(due).min()
    }

    pub(super) fn deliver(&mut self, index: usize) {
        let (wall, at) = (self.wall(), self.at);
        let channel = &mut self.channels[index];
        let name = channel.name;
        let Some(due) = self.journal.due(name, wall) else {
            channel.closed_until = at + 5_000;
            return;
        };
        let (went, received) = channel.send(at);
        if received {
            self.tally.delivered += 1;
            self.model.received(&due.notice);
            self.tell(|| format!("   {name} has: {}", due.notice.subject));
            let asks =
                due.notice.urgency == Urgency::Page && due.notice.audience == Audience::OnCall;
            if asks {
                self.people_react(&due.notice);
            }
            if strikes(&mut self.armed, Boundary::AfterDelivery).is_err() {
                self.tally.crashed(Boundary::AfterDelivery);
                return self.die(self.armed_down(), true);
            }
        } else {
            self.tally.undelivered += 1;
        }
        match delivery::next(went, name, &due.notice, due.attempts, "no answer") {
            Next::Delivered => self.journal.settled(name, &due),
            Next::Again { wait, tell } => {
                if let Some(what) = tell {
                    self.turn(*what);
                }
                self.journal.failed(name, &due, wall + wait);
            }
            Next::GivenUp { tell } => {
                if let Some(what) = tell
                    && self.turn(*what).is_none()
                {
                    // Not told: it stays.
                    self.channels[index].closed_until = at + 1_000;
                    return;
                }
                self.journal.settled(name, &due);
            }
        }
    }
}

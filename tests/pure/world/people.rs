//! People: they acknowledge, approve once, twice or too late, say no, and at last look after everything that is open.

use rollbackd::{
    domain::{
        event::{Said, What},
        fleet::Fleet,
        incident::{
            Incident, script,
            target::{self, To},
        },
        notice::Notice,
        schema::script::Trial,
    },
    units::Span,
};

use super::{
    World,
    act::Act,
    operator::{self, Layout},
};

/// So long people may take, once everything works, until nothing is open that nobody owns.
const PATIENCE_MS: i64 = 45 * 60_000;

impl World {
    /// A page arrived with somebody.
    pub(super) fn people_react(&mut self, notice: &Notice) {
        let Some(id) = &notice.service else { return };
        let service = self.index_of(id);
        // The same page on two channels moves one person, and on the same channel again nobody.
        if !self.reacted.insert(notice.id.clone()) {
            return;
        }
        if self.script.layout == Layout::Reversed {
            let mut dice = self.dice.named(&format!("{} tried", notice.id));
            if self.script.fate.is_some() || dice.percent(60) {
                let soon = self.at + dice.between(5_000, 60_000);
                self.later(soon, Act::Tries { service });
            }
        }
        if self.script.fate.is_some() {
            return;
        }
        let mut dice = self.dice.named(&notice.id);
        let approve = notice.choices.iter().find_map(|choice| {
            choice.command.strip_prefix(&format!("rollbackd approve {id} ")).map(str::to_owned)
        });
        let soon = self.at + dice.between(5_000, 120_000);
        let reason = String::from("looked at it");
        let said = match (dice.below(10), approve) {
            (0..=2, Some(plan)) => {
                if dice.percent(40) {
                    let said = Said::Approve { plan: plan.clone() };
                    let again = if dice.percent(50) { soon + 300 } else { soon + 400_000 };
                    self.later(again, Act::Says { service, said });
                }
                Said::Approve { plan }
            }
            (3, _) => Said::Reject { reason },
            (4, _) => Said::Dismiss { reason },
            (5, _) => Said::Hold { reason },
            (6 | 7, _) => return,
            _ => Said::Acknowledge,
        };
        self.later(soon, Act::Says { service, said });
    }

    /// A person has tried what would take the schema back, as `rollbackd dry-run` does; sees what it changes, and wants just that.
    pub(super) fn tries(&mut self, service: usize) {
        let (id, now, site) = (operator::id(service), self.now(), self.site_of(service));
        let to = To::LastKnownGood;
        let to_try = |fleet: &Fleet| fleet.look(&id, now, |s, _| script::to_try(s, to));
        let Some(Ok(of)) = self.daemon.as_ref().and_then(|it| to_try(&it.controller.fleet)) else {
            return;
        };
        let Some(database) = &self.sites[site].database else { return };
        let came = database.try_out(&of);
        self.tell(|| format!("   ada has {} of {id} tried: {came:?}", of.in_words()));
        let trial = Box::new(Trial { of, at: now.wall, took: Span::seconds(1), came });
        self.model.tried(&id, &trial);
        self.turn(What::ScriptTried { service: id.clone(), trial });
        let would_run = |fleet: &Fleet| fleet.look(&id, now, |s, _| target::plan(s, to));
        let Some(Ok(plan)) = self.daemon.as_ref().and_then(|it| would_run(&it.controller.fleet))
        else {
            return;
        };
        let mut dice = self.dice.named(&format!("{} at {}", plan.hash(), self.at));
        let (plan, reason) = (plan.hash(), String::from("it must go"));
        let said = match self.script.fate.is_some() || dice.percent(60) {
            true => Said::Approve { plan },
            false => Said::RollBack { to: None, to_previous: false, plan: Some(plan), reason },
        };
        self.later(self.at + dice.between(3_000, 60_000), Act::Says { service, said });
    }

    pub(super) fn says(&mut self, service: usize, said: Said) {
        let id = operator::id(service);
        self.tell(|| format!("   ada on {id}: {said:?}"));
        self.model.spoke(&id, &said);
        let what = What::Spoke { service: id.clone(), by: "ada".into(), said: said.clone() };
        let reply = self.turn(what).flatten();
        if let Some(Ok(_)) = &reply {
            self.tally.heeded += 1;
            self.model.heeded(&id, &said);
        }
        self.tell(|| format!("   answered: {reply:?}"));
    }

    /// Whatever is open is acknowledged, and holds are lifted; when nothing is left to do the world is over.
    pub(super) fn round(&mut self) {
        if self.daemon.is_none() {
            return self.later(self.at + 10_000, Act::Round);
        }
        let mut open = false;
        for service in 0..self.sources.len() {
            let id = operator::id(service);
            let Some(state) = self.daemon.as_ref().and_then(|d| d.controller.fleet.states.get(&id))
            else {
                continue;
            };
            let waits = |i: &Incident| i.escalation.is_open();
            let paged = state.incident.as_ref().is_some_and(waits) || state.page.is_open();
            let held = state.hold.is_some();
            open |= held || paged || !super::Model::is_at_rest(state);
            if held {
                self.says(service, Said::Unhold);
            }
            if paged {
                self.says(service, Said::Acknowledge);
            }
        }
        open |= !self.journal.is_told() || !self.attempts.is_empty();
        if !open {
            self.over = true;
        } else if self.at > self.script.calm_at + PATIENCE_MS {
            let what = self.what_is_open();
            self.model.violated("I5", self.at, format!("still open after all: {what}"));
        } else {
            self.later(self.at + 20_000, Act::Round);
        }
    }

    fn what_is_open(&self) -> String {
        let fleet = self.daemon.iter().flat_map(|d| &d.controller.fleet.states);
        let open = fleet.filter_map(|(id, state)| {
            let incident = state.incident.as_ref()?;
            Some(format!("{id} {} ({:?})", incident.phase.name(), incident.escalation))
        });
        let untold: usize = self.journal.outbox.values().map(Vec::len).sum();
        format!("{}; {untold} notices untold", open.collect::<Vec<_>>().join(", "))
    }

    /// What must be so when all is quiet.
    pub(super) fn at_the_end(&mut self) {
        self.tally.worlds = 1;
        self.model.at_the_end(self.at);
        if let Some(daemon) = self.daemon.as_ref().filter(|_| self.thorough) {
            self.model.check_bounds(&daemon.controller.fleet, self.at);
        }
    }
}

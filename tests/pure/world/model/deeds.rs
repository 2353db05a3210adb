//! What is done outside, and what is planned to be done.

use rollbackd::domain::{
    change::Component,
    event::Event,
    firing::{Basis, Firing},
    incident::{self, Closing, Phase},
    plan::{Action, Plan, Step, Target},
    run::{self, Order},
    service::{Mode, ServiceId},
    severity::Severity,
};

use super::{Look, Model, Running, Service};
use crate::world::{
    database::Database,
    executor::Attempt,
    operator::{BAKE, COOLDOWN, MAX_CHANGE_AGE, POLL_MS},
    readings::{Ailment, Sources},
    site::{Actor, Done, Effect, Site},
};

/// A poll on each side, and the restart after the switch.
const SLACK_MS: i64 = 60_000;
/// So long nothing may have been read for a source to be blind: three polls, and a moment.
const BLIND_MS: i64 = 3 * POLL_MS + 20_000;
/// What has hurt badly for this long was not seen to be well by anybody who looked.
const NOT_OVER_MS: i64 = 150_000;
/// So long after it was over a breach may still fire: the narrowest window, and what may be stale.
const FIRES_MS: i64 = 4 * 60_000;
/// Well for this long, no trigger takes a breach for the one before.
const RECOVERED_MS: i64 = 3 * 60_000;
/// What hurt within this time may be acted upon: what a trigger remembers, and a monitoring period.
const REMEMBERED_MS: i64 = 8 * 60_000;

impl Model {
    /// Time passes: what runs is well, or hurts.
    pub(crate) fn time_passes(&mut self, at: i64, sites: &[Site], sources: &[Sources]) {
        let mut hidden = vec![];
        for (id, service) in &mut self.services {
            let site = if sites.len() == 1 { &sites[0] } else { &sites[service.index] };
            let truth = sources[service.index].truth(site, at);
            let given = site.secret.as_ref().map(|secret| secret.read.clone());
            let is_other = service.runs != site.running || service.given != given;
            if is_other || truth.hurts() {
                service.well_since = None;
            }
            service.given = given;
            let sources = &sources[service.index];
            if sources.is_ailing(at) && sources.ailment == Ailment::Disorderly {
                service.disorderly_at = at;
            }
            if at < sources.unreachable_until {
                service.unreachable_at = at;
            }
            service.runs.clone_from(&site.running);
            if truth.hurts() {
                service.hurt_at = at;
            } else if let Some(version) = &site.running {
                let since = *service.well_since.get_or_insert(at);
                if at - since >= BAKE.ms() - SLACK_MS {
                    service.earned.insert(version.clone());
                    service.earned_by_secrets.extend(service.given.clone());
                }
            }
            service.changed_at =
                service.changed_at.max(site.touched_by_others().unwrap_or(i64::MIN));
            let worst = truth.hurts_badly();
            // What comes up and fails is no outage any more: that was seen to end, and this is another breach.
            if std::mem::replace(&mut service.was_up, truth.up) != truth.up {
                service.worst_since = None;
            }
            service.worst_since = if worst { service.worst_since.or(Some(at)) } else { None };
            let seen = worst && !sources.is_ailing(at);
            service.bad_since = if seen { service.bad_since.or(Some(at)) } else { None };
            // A breach that comes again before a trigger has recovered is the same one.
            service.dismissed &= at - service.hurt_at < RECOVERED_MS;
            let since = service.bad_since.filter(|_| !service.dismissed);
            if let (Some(since), None) = (since, &service.open) {
                hidden.push((id.clone(), since, service.paged_at));
            }
        }
        self.check_no_silent_refusal(at);
        for (id, since, paged_at) in hidden {
            self.check_nothing_is_hidden(&id, since, paged_at, at);
        }
    }

    /// What fires hurts, or did a moment ago: neither silence nor disorder is a breach, and nobody ever stopped coming.
    pub(super) fn check_firing(&mut self, id: &ServiceId, firing: &Firing, at: i64) {
        let Some(service) = self.services.get(id).filter(|_| firing.basis == Basis::Window) else {
            return;
        };
        let lately = |since: i64| at - since <= FIRES_MS;
        // A counter that begins anew at what it was before looks as if nobody had come.
        let looks_so = if firing.trigger == "traffic-collapse" {
            lately(service.disorderly_at)
        } else {
            lately(service.hurt_at) || lately(service.unreachable_at)
        };
        if !looks_so {
            let how = format!("{id} is well, and {} fires: {}", firing.trigger, firing.says);
            self.violated("I3", at, how);
        }
    }

    /// Every plan, and above all those of the daemon's own.
    pub(super) fn check_plan(&mut self, id: &ServiceId, fact: &incident::Fact, look: &Look<'_>) {
        let incident::Fact::Planned { plan, by, .. } = fact else { return };
        let Some(service) = self.services.get(id) else { return };
        let at = look.at;
        let mut wrong: Vec<(&str, String)> = vec![];
        for (other, theirs) in &self.services {
            let shared =
                theirs.running.as_ref().map(|r| r.resources.intersection(&plan.resources).count());
            if shared.is_some_and(|shared| shared > 0) {
                wrong.push(("I1", format!("{id} and {other} change the same at once")));
            }
        }
        if service.mode == Mode::Observe {
            wrong.push(("I7", format!("{id} is only observed")));
        }
        match by {
            Some(by) if service.asked == 0 => {
                wrong.push(("I11", format!("{by} never asked for a rollback of {id}")));
            }
            Some(_) => {}
            None => wrong.extend(self.own_plan(id, plan, look)),
        }
        wrong.extend(service.reviewed(id, plan));
        for (invariant, how) in wrong {
            self.violated(invariant, at, how);
        }
        if let (None, Some(service)) = (by, self.services.get_mut(id)) {
            service.rolled_back_at = Some(at + self.ahead_ms);
        }
    }

    fn own_plan(
        &self,
        id: &ServiceId,
        plan: &Plan,
        look: &Look<'_>,
    ) -> Vec<(&'static str, String)> {
        let at = look.at;
        let service = &self.services[id];
        let mut wrong = vec![];
        let of_application = |target: &&Target| target.component == Component::Application;
        for target in plan.targets.iter().filter(of_application) {
            let to = &target.to.version;
            if !service.earned.contains(to) {
                wrong.push(("I2", format!("{to} of {id} never was good for the bake time")));
            }
            if service.quarantined.contains(to) {
                wrong.push(("I2", format!("{to} of {id} was rolled away from")));
            }
        }
        let moves = plan.steps.iter().filter_map(|step| match &step.action {
            Action::SecretMove { what } => Some(&what.to),
            _ => None,
        });
        for to in moves.filter(|to| !service.earned_by_secrets.contains(*to)) {
            wrong.push(("I16", format!("{to} of {id} was never read for the bake time")));
        }
        let open = service.open.as_ref();
        let hearsay = open.is_some_and(|open| open.hearsay);
        if service.mode != Mode::Auto {
            wrong.push(("I7", format!("{id} is in {:?}", service.mode)));
        }
        if open.is_none_or(|open| open.severity.is_worse_than(Severity::P2)) == open.is_none() {
            wrong.push(("I5", format!("silence rolls back {id}, which is not P0 or P1")));
        }
        if service.held || self.kill_switch {
            wrong.push(("I11", format!("{id} is held")));
        }
        let told_at = look.sources[service.index].told_at;
        if !hearsay && at - told_at > BLIND_MS {
            wrong
                .push(("I3", format!("nothing was read of {id} for {} s", (at - told_at) / 1_000)));
        }
        if !hearsay && at - service.hurt_at > REMEMBERED_MS {
            wrong.push((
                "I13",
                format!("{id} has been well for {} s", (at - service.hurt_at) / 1_000),
            ));
        }
        if at - service.changed_at > 2 * MAX_CHANGE_AGE.ms() {
            wrong.push(("I13", format!("{id} did not change")));
        }
        let ago = service.rolled_back_at.map(|last| at + self.ahead_ms - last);
        if let Some(ago) = ago.filter(|ago| *ago < COOLDOWN.ms() - 2_000) {
            wrong.push(("I13", format!("{id} was rolled back {} s ago", ago / 1_000)));
        }
        wrong
    }

    /// What nobody sees does not end.
    pub(super) fn check_end(&mut self, id: &ServiceId, fact: &incident::Fact, look: &Look<'_>) {
        let ends = matches!(
            fact,
            incident::Fact::Entered(Phase::Closed {
                outcome: Closing::Recovered | Closing::RolledBack | Closing::Fixed
            })
        );
        let Some(service) = self.services.get(id).filter(|_| ends) else { return };
        let hearsay = service.open.as_ref().is_some_and(|open| open.hearsay);
        let silent_ms = look.at - look.sources[service.index].told_at;
        if silent_ms > BLIND_MS && !hearsay {
            let how = format!("{id} is over although nothing was read for {} s", silent_ms / 1_000);
            return self.violated("I3", look.at, how);
        }
        // The breach that it is about goes on; or a later one, which was there to be seen. One that nobody could see is an
        // incident of its own as soon as it is judged. What answers is no longer what a probe found dead.
        let open = service.open.as_ref().filter(|open| !(open.probed && service.was_up));
        let opened = open.map_or(i64::MIN, |open| open.opened);
        let its_own = service.worst_since.filter(|since| *since <= opened);
        let seen = service.bad_since.zip(self.able_since).map(|(bad, able)| bad.max(able));
        // A clock that was set has begun the windows anew.
        let since = its_own.or(seen).map(|since| since.max(self.stepped_at.unwrap_or(since)));
        let hurts_ms = since.map_or(0, |since| look.at - since);
        if hurts_ms > NOT_OVER_MS && !hearsay && !service.dismissed {
            let how = format!("{id} is over although it has hurt badly for {} s", hurts_ms / 1_000);
            self.violated("I3", look.at, how);
        }
    }

    pub(super) fn run(&mut self, id: &ServiceId, fact: &run::Fact, event: &Event, look: &Look<'_>) {
        let Some(service) = self.services.get_mut(id) else { return };
        let Some(running) = service.running.clone() else { return };
        match fact {
            run::Fact::Begun { step, attempt, .. } => {
                self.begun.insert((running.run.clone(), *step, *attempt));
                let site = &look.sites[if look.sites.len() == 1 { 0 } else { service.index }];
                let before = step.checked_sub(1).and_then(|before| running.steps.get(before));
                if let Some(before) = before.filter(|before| !in_effect(before, &running, site)) {
                    let how = format!("{id} goes on, and `{}` is not in effect", before.title);
                    self.violated("I4", look.at, how);
                }
            }
            run::Fact::Halted { why } => service.owed = Some(why.clone()),
            run::Fact::Finished => {
                let site = &look.sites[if look.sites.len() == 1 { 0 } else { service.index }];
                let by_others = site.touched_by_others().is_some_and(|at| at >= running.since);
                // What can be observed was so before the next step; another script may have undone it since.
                let observed =
                    |step: &Step| matches!(&step.action, Action::Command { observe: Some(_), .. });
                let mut lasting = running.steps.iter().filter(|step| !observed(step));
                let all = lasting.all(|step| in_effect(step, &running, site));
                let is_read = running.steps.iter().all(|step| is_read(step, site));
                // Where a secret alone goes back, the release stays.
                let is_there =
                    running.to.is_empty() || site.running.as_deref() == Some(running.to.as_str());
                let is_as_said = all && is_read && is_there;
                if !by_others && !is_as_said {
                    let runs = site.running.clone().unwrap_or_else(|| "nothing".into());
                    let how = format!(
                        "{id} is said to be on {} by {}, and {runs} runs",
                        running.to, event.id
                    );
                    self.violated("I4", look.at, how);
                }
            }
            run::Fact::Ended { .. } => {}
        }
    }

    /// An attempt is about to begin.
    pub(crate) fn ordered(&mut self, id: &ServiceId, order: &Order, at: i64) {
        let is_off = matches!(order.what.action, Action::MaintenanceOff { .. });
        let is_written = match is_off {
            true => self.begun_off.contains(&(order.run.clone(), order.attempt)),
            false => self.begun.contains(&(order.run.clone(), order.step, order.attempt)),
        };
        if !is_written {
            let how = format!("{id}: `{}` begins before it is written down", order.what.title);
            self.violated("I4", at, how);
        }
    }

    /// Something was changed outside.
    pub(crate) fn effect(
        &mut self,
        effect: &Effect,
        attempt: &Attempt,
        site: &Site,
        epoch: u64,
        hold_until: i64,
    ) {
        let (id, at) = (&attempt.service, effect.at);
        if !attempt.orphan && attempt.epoch != epoch {
            self.violated("I6", at, format!("{id}: {:?} without the lease", effect.done));
        }
        if !attempt.orphan && at < hold_until {
            self.violated("I11", at, format!("{id}: {:?} in spite of the HOLD file", effect.done));
        }
        self.applied_once(effect, attempt, site);
        let Some(service) = self.services.get_mut(id) else { return };
        match &effect.done {
            Done::Ran { script, .. } if script == "drain" => service.drained_at = Some(at),
            Done::Ran { script, .. } if script == "undrain" => service.drained_at = None,
            Done::Maintained { on: true } => {
                service.maintained_at.get_or_insert(at);
            }
            Done::Maintained { on: false } => service.maintained_at = None,
            Done::Ran { .. }
            | Done::Switched { .. }
            | Done::Restarted { .. }
            | Done::Moved { .. }
            | Done::Migrated { .. } => {}
        }
        self.bears_its_code(effect, attempt, site);
        self.takes_nothing_newer(effect, attempt);
    }

    /// A secret goes from exactly the version that the plan names to exactly the other one, which was well: what anybody made since stays.
    fn takes_nothing_newer(&mut self, effect: &Effect, attempt: &Attempt) {
        let Done::Moved { from, to } = &effect.done else { return };
        let Action::SecretMove { what } = &attempt.order.what.action else { return };
        if (from, to) != (&what.from, &what.to) {
            let how = format!("{} goes from {from} to {to}: {what:?}", attempt.service);
            self.violated("I16", effect.at, how);
        }
    }

    /// No code is started by the daemon itself, or after its schema went back, on a schema that it does not run on.
    fn bears_its_code(&mut self, effect: &Effect, attempt: &Attempt, site: &Site) {
        let Done::Restarted { on } = &effect.done else { return };
        let running = self.services.get(&attempt.service).and_then(|it| it.running.as_ref());
        let Some(running) = running.filter(|it| it.run == attempt.order.run) else { return };
        if !running.own && !running.moves_schema {
            return;
        }
        let by_others = site.touched_by_others().is_some_and(|at| at >= running.since);
        if !by_others && !site.bears(on) {
            let id = &attempt.service;
            let how = format!("{id} is started on {on}, which does not run on its schema");
            self.violated("I14", effect.at, how);
        }
    }

    /// Each step is applied once in effect.
    fn applied_once(&mut self, effect: &Effect, attempt: &Attempt, site: &Site) {
        let (order, at) = (&attempt.order, effect.at);
        let again = match (&effect.done, &order.what.action) {
            (Done::Ran { in_effect: true, .. }, Action::Command { observe: Some(_), .. }) => true,
            (Done::Ran { .. }, Action::Command { observe: None, idempotent: false, .. })
            | (Done::Switched { .. } | Done::Migrated { .. } | Done::Moved { .. }, _) => {
                let key = (order.run.clone(), order.step, String::new());
                let (count, _) = self.deeds.entry(key).or_insert((0, at));
                *count += 1;
                *count > 1
            }
            _ => false,
        };
        let by_others = self.services.get(&attempt.service).is_some_and(|service| {
            let since = service.running.as_ref().map(|running| running.since);
            since.zip(site.touched_by_others()).is_some_and(|(since, touched)| touched >= since)
        });
        if again && !(by_others && matches!(effect.done, Done::Switched { .. })) {
            self.violated("I4", at, format!("{}: {:?} a second time", order.run, effect.done));
        }
    }
}

impl Service {
    /// A script runs only as it was tried, and only for somebody who named the plan that runs it.
    fn reviewed(&self, id: &ServiceId, plan: &Plan) -> Option<(&'static str, String)> {
        let (script, changed) = plan.steps.iter().find_map(|step| match &step.action {
            Action::ReverseScript { script, changed, .. } => Some((script, changed)),
            _ => None,
        })?;
        let file = &script.file;
        let is_tried = self.tried.iter().any(|(of, sha256)| of == &**script && sha256 == changed);
        match is_tried {
            false => Some(("I15", format!("{file} of {id} is run as it was never tried"))),
            true if self.named.contains(&plan.hash()) => None,
            true => Some(("I15", format!("nobody named the plan of {id} that runs {file}"))),
        }
    }
}

/// Whether what runs was given the version of the secret that a step went to.
fn is_read(step: &Step, site: &Site) -> bool {
    let Action::SecretMove { what } = &step.action else { return true };
    site.secret.as_ref().is_some_and(|it| it.read == what.to)
}

/// Whether a step is in effect, unless somebody else has been there since.
fn in_effect(step: &Step, running: &Running, site: &Site) -> bool {
    if site.touched_by_others().is_some_and(|at| at >= running.since) {
        return true;
    }
    match &step.action {
        Action::ReleaseSwitch { to, .. } => site.linked == *to,
        Action::ReleaseRestart { to, .. } => site.running.as_ref() == Some(to),
        Action::SecretMove { what } => site.secret.as_ref().is_some_and(|it| it.current == what.to),
        Action::FrontendCopy { to, .. } => site.linked == to.version,
        Action::FrontendInvalidate { to, .. } => site.running.as_ref() == Some(&to.version),
        Action::WritesStop { run, .. }
        | Action::WritesStart { run }
        | Action::Command { run, .. } => {
            let name = &run.argv[0];
            let ran = |e: &Effect| {
                let by = matches!(&e.by, Actor::Daemon { run, .. } if *run == running.run);
                by && matches!(&e.done, Done::Ran { script, .. } if script == name)
            };
            site.scripts.get(name) == Some(&true) || site.done.iter().any(ran)
        }
        // Where it is not required the rollback goes on without it.
        Action::MaintenanceOn { required, .. } => site.maintained || !required,
        Action::MaintenanceOff { .. } => !site.maintained,
        Action::ReverseScript { script, .. } => {
            site.database.as_ref().is_some_and(|it| it.revision().version == script.to.version)
        }
        Action::MigrationsUndo { to, .. }
        | Action::DatabaseSwitch { to, .. }
        | Action::RdsSwitch { to, .. } => {
            site.database.as_ref().is_some_and(|it| it.revision().version == to.version)
        }
        Action::SnapshotRestore { to, .. } | Action::RdsVerify { to, .. } => site
            .database
            .as_ref()
            .is_some_and(|it| it.is_restored() || it.revision().agrees_with(to)),
        Action::RdsRestore { .. } => site.database.as_ref().is_some_and(Database::was_restored),
        Action::OwnerSuspend { .. }
        | Action::ConfigMapRestore { .. }
        | Action::DeploymentRestart { .. }
        | Action::DeploymentStop { .. }
        | Action::DeploymentStart { .. }
        | Action::DeploymentUndo { .. }
        | Action::DeploymentImage { .. }
        | Action::DeploymentRollout { .. }
        | Action::DeploymentApply { .. }
        | Action::CheckJob { .. } => {
            panic!("there are releases here, and no cluster: {:?}", step.action)
        }
        Action::RdsReady { .. } | Action::Check { .. } | Action::FrontendVerify { .. } => true,
    }
}

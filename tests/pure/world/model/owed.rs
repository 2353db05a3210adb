//! What people are owed: to be told, in time, and to own what is not over.

use rollbackd::domain::{
    event::Event,
    fleet::Fleet,
    incident::Phase,
    notice::{Audience, Notice, Urgency},
    service::ServiceId,
    state::ServiceState,
};

use super::{Look, Model};
use crate::world::operator::MAINTAINED_AT_MOST;

/// What is due is told after this long at the latest: two polls after a start, and a look again.
const PROMPT_MS: i64 = 80_000;
/// What has hurt for this long holds: the longest time to wait, the time that a change is given, and two polls.
const HOLDS_MS: i64 = 5 * 60_000 + 90_000;
/// What hurts badly, and is read by everybody, is an incident by then.
const NOTICED_MS: i64 = 6 * 60_000;
/// Maintenance mode that nothing needs is off by then, or people know: three attempts, the pauses between, and two polls.
const LEFT_ON_MS: i64 = 4 * 60_000;

impl Model {
    pub(super) fn told(&mut self, notice: &Notice, at: i64) {
        if notice.urgency != Urgency::Page || notice.audience != Audience::OnCall {
            return;
        }
        self.pages.insert(notice.id.clone(), notice.subject.clone());
        if let Some(service) = notice.service.as_ref().and_then(|id| self.services.get_mut(id)) {
            service.owed = None;
            service.paged_at = at;
            if notice.subject.contains("maintenance mode is still on") {
                service.maintenance_paged_at = at;
            }
        }
    }

    /// A person has it.
    pub(crate) fn received(&mut self, notice: &Notice) {
        self.received.insert(notice.id.clone());
    }

    /// After each turn that was written down.
    pub(crate) fn after_turn(&mut self, fleet: &Fleet, event: &Event, look: &Look<'_>) {
        self.check_memory(fleet, look.at);
        let mut wrong = vec![];
        for (id, service) in &mut self.services {
            if let Some(why) = service.owed.take() {
                wrong.push(("I8", format!("{id}: nobody was paged by {}: {why}", event.id)));
            }
        }
        wrong.extend(self.overdue(look));
        wrong.extend(self.maintained_in_silence(look.at));
        for (invariant, how) in wrong {
            self.violated(invariant, look.at, how);
        }
    }

    /// By its deadline the action is under way, or people are paged that it is late. No clock that is set, and no crash,
    /// makes it later; what nobody can decide while the daemon is down is told as soon as it is up.
    fn overdue(&self, look: &Look<'_>) -> Vec<(&'static str, String)> {
        let Some(able_since) = self.able_since else { return vec![] };
        let mut wrong = vec![];
        for (id, service) in &self.services {
            let Some(open) = service.open.as_ref().filter(|o| o.waits && !o.late) else { continue };
            let Some(policy) = look.policy.services.get(id) else { continue };
            let Some(within) = policy.matrix.row(open.severity).act_within else { continue };
            // While it is down there is only the wall clock; where that is set back, nothing is counted since the last record.
            let uncounted = if self.stepped_at.is_some() { self.unwritten_ms } else { 0 };
            let due = (open.rose + within.ms() + uncounted).max(able_since);
            if look.at > due + PROMPT_MS {
                let late = (look.at - due) / 1_000;
                wrong.push((
                    "I5",
                    format!("{id} is {late} s past its deadline, and nobody was told"),
                ));
            }
        }
        wrong
    }

    /// What a rollback switched on is switched off soon after it, or people know; and they know when it takes too long.
    fn maintained_in_silence(&self, at: i64) -> Vec<(&'static str, String)> {
        let Some(able_since) = self.able_since else { return vec![] };
        // While it was down nothing went on; and by how far clocks hide that, nobody can tell.
        let from = |since: i64| since.max(able_since).max(self.stepped_at.unwrap_or(since));
        let silent = self.services.iter().filter_map(|(id, service)| {
            let since = service.maintained_at.filter(|on| service.maintenance_paged_at < *on)?;
            let needed = service.running.is_some();
            let not_needed_ms = if needed { 0 } else { at - from(since.max(service.ended_at)) };
            let on_ms = at - from(since);
            let too_long = not_needed_ms > LEFT_ON_MS || on_ms > MAINTAINED_AT_MOST.ms() + PROMPT_MS;
            too_long.then(|| {
                let (on, not_needed) = (on_ms / 1_000, not_needed_ms / 1_000);
                ("I9", format!("{id} is in maintenance mode for {on} s, {not_needed} s of it for nothing, and nobody was told"))
            })
        });
        silent.collect()
    }

    /// What hurts badly, and can be seen, does not go unnoticed.
    pub(super) fn check_nothing_is_hidden(
        &mut self,
        id: &ServiceId,
        since: i64,
        paged_at: i64,
        at: i64,
    ) {
        let undisturbed = self.able_since.map(|able| {
            since.max(able).max(self.reloaded_at).max(self.stepped_at.unwrap_or(since))
        });
        if undisturbed.is_some_and(|from| at - from > NOTICED_MS && paged_at < since) {
            self.violated("I5", at, format!("{id} has hurt for minutes, and nobody was told"));
        }
    }

    /// When the time to wait is over and it still hurts, it is acted upon, or people are asked: no guard refuses in silence.
    pub(super) fn check_no_silent_refusal(&mut self, at: i64) {
        let Some(able) = self.able_since else { return };
        let undisturbed = able.max(self.reloaded_at).max(self.stepped_at.unwrap_or(able));
        let silent = self.services.iter().find(|(_, service)| {
            let Some(open) = service.open.as_ref().filter(|o| o.waits && !o.decided) else {
                return false;
            };
            let seen = service.bad_since.is_some_and(|since| at - since > HOLDS_MS);
            let from = open.rose.max(undisturbed).max(service.changed_at);
            seen && at - from > HOLDS_MS
        });
        if let Some((id, _)) = silent {
            let how = format!("{id} still hurts after the time to wait, and nobody was asked");
            self.violated("I8", at, how);
        }
    }

    /// Whether somebody owns what is open, or nothing is.
    pub(crate) fn is_at_rest(state: &ServiceState) -> bool {
        if !state.maintained.is_empty() && !state.maintained.is_told() {
            return false;
        }
        let Some(incident) = &state.incident else { return true };
        let owned = incident.acknowledged && !incident.escalation.is_open();
        match incident.phase {
            Phase::Scheduled | Phase::Closed { .. } => true,
            Phase::Deciding | Phase::Escalated { .. } => owned,
            Phase::RollingBack
            | Phase::Assessing
            | Phase::Gathering { .. }
            | Phase::Monitoring { .. }
            | Phase::Verifying { .. }
            | Phase::Watching { .. } => false,
        }
    }

    pub(crate) fn at_the_end(&mut self, at: i64) {
        let lost = self.pages.iter().find(|(id, _)| !self.received.contains(*id));
        if let Some((id, subject)) = lost {
            let how = format!("the page {id} never reached anybody: {subject}");
            self.violated("I8", at, how);
        }
        let drained =
            self.services.iter().find(|(_, s)| s.drained_at.is_some_and(|at| s.paged_at < at));
        if let Some((id, _)) = drained {
            let how = format!("{id} is still drained, and nobody was paged");
            self.violated("I9", at, how);
        }
        let on = |s: &super::Service| s.maintained_at.is_some_and(|on| s.maintenance_paged_at < on);
        if let Some((id, _)) = self.services.iter().find(|(_, service)| on(service)) {
            let how = format!("{id} is still in maintenance mode, and nobody was paged about it");
            self.violated("I9", at, how);
        }
    }
}

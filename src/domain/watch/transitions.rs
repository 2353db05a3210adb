//! What the windows see that is not true yet: triggers that fire or are clear, signals that went blind or see again.

use super::{Instance, IntegritySeen, ServiceWatch, Signal, says};
use crate::domain::{
    firing::{Basis, Fact, Firing},
    incident::{Closing, Incident, Phase},
    inventory::PLATFORM,
    policy::TriggerPolicy,
    schema::DATABASE,
    situation::Situation,
    trigger::State,
};
use crate::units::UnixMs;

impl ServiceWatch {
    /// Facts that follow from comparing what is seen with what is true.
    pub fn transitions(&self, s: &Situation<'_>) -> Vec<Fact> {
        let mut facts = vec![];
        // Most services, most of the time.
        let calm = !self.triggers.is_restless() && s.state.firing.is_empty();
        for (key, instance) in (!calm).then(|| self.triggers.iter()).into_iter().flatten() {
            // Most triggers of most services, most of the time.
            if instance.trigger.state() != State::Firing && !s.state.firing.contains_key(key) {
                continue;
            }
            // What happened while nobody looked is true with the next answer, or the lack of one.
            // And windows may have been written down long before their daemon died.
            let waits = |signal: &Signal| signal.backfilled || signal.restored;
            if self.signals.get(&instance.signal).is_some_and(|signal| waits(signal)) {
                continue;
            }
            let Some(policy) = s.policy.triggers.get(&instance.name) else { continue };
            facts.extend(transition(key, instance, policy, s));
        }
        for (name, firing) in &s.state.firing {
            if firing.basis == Basis::Window && self.triggers.get(name).is_none() {
                let why = "it is not configured any more".to_owned();
                facts.push(Fact::Cleared { trigger: name.clone(), why });
            }
        }
        for (name, signal) in &self.signals {
            facts.extend(blindness(name, signal, s));
        }
        facts.extend(self.platform_blindness(s));
        facts.extend(self.database.transition(s));
        facts.extend(self.database.blindness(s));
        facts.extend(self.integrity.transition(s));
        facts.extend(self.integrity.blindness(s));
        // What is not read any more cannot be blind, and must not hide what is.
        let platform = |name: &str| name == PLATFORM && s.policy.runbook.is_some();
        let database = |name: &str| {
            name == DATABASE && s.policy.database.is_some() || IntegritySeen::is_a_check(name, s)
        };
        let gone =
            s.state.blind.keys().filter(|name| {
                !self.signals.contains_key(*name) && !platform(name) && !database(name)
            });
        facts.extend(gone.map(|name| Fact::Sighted { signal: name.clone() }));
        facts
    }

    /// A service whose platform cannot be read cannot be rolled back: to be known before it must be.
    fn platform_blindness(&self, s: &Situation<'_>) -> Option<Fact> {
        let runbook = s.policy.runbook.as_ref()?;
        let Some(since) = self.undeployed_since else {
            let sighted = Fact::Sighted { signal: PLATFORM.to_owned() };
            let known = s.state.blind.contains_key(PLATFORM);
            return (known && self.inventory.is_some()).then_some(sighted);
        };
        let watched = s.state.is_watched(s.policy, s.now.wall);
        let patience = if watched { s.policy.blind_watched } else { s.policy.blind_idle };
        let faults = self.inventory.as_ref().map(|i| i.faults.join("; ")).unwrap_or_default();
        let known = s.state.knows_blind(PLATFORM, watched, s.now.wall);
        (!known && s.now.wall.since(since) >= patience).then(|| Fact::Blind {
            signal: PLATFORM.to_owned(),
            source: runbook.application.place(),
            since,
            why: faults,
            watched,
        })
    }
}

fn transition(
    key: &str,
    instance: &Instance,
    policy: &TriggerPolicy,
    s: &Situation<'_>,
) -> Option<Fact> {
    let known = s.state.firing.get(key);
    let severity = instance.trigger.severity();
    let another = || known.and_then(|known| another(instance, known, s));
    match (instance.trigger.state(), known) {
        (State::Firing, Some(known))
            if !severity.is_worse_than(known.severity) && another().is_none() =>
        {
            None
        }
        (State::Firing, _) => {
            let evidence = instance.trigger.evidence();
            let onset = another().or(evidence.onset).or(evidence.newest);
            Some(Fact::Fired(Box::new(Firing {
                trigger: key.to_owned(),
                severity,
                basis: Basis::Window,
                onset: onset.unwrap_or(s.now.wall),
                fired_at: s.now.wall,
                says: says::evidence(&evidence),
                may_act: policy.may_act,
                evidence: Some(Box::new(evidence)),
            })))
        }
        (State::Ok, Some(_)) if instance.is_clear() => {
            let clean = instance.trigger.rule().hold.recovery;
            Some(Fact::Cleared { trigger: key.to_owned(), why: format!("clean for {clean}") })
        }
        (State::NoData | State::Ok | State::Pending | State::Recovering, _) => None,
    }
}

/// Since when something else fires than what is known to: it began after a deployment that came after that. Windows that
/// began anew, as after a clock that was set, do not see the breach before it end; and what a person dismissed may not have
/// recovered for long enough to have ended.
fn another(instance: &Instance, known: &Firing, s: &Situation<'_>) -> Option<UnixMs> {
    let dismissed = s.state.is_dismissed(known);
    // What had come again before somebody said that it is none was meant by that, too.
    let said_at = dismissed_at(s);
    let is_new = |at: &UnixMs| dismissed && said_at.is_none_or(|said| *at > said);
    let relapsed = instance.trigger.relapsed_at().filter(is_new);
    let since = relapsed.or_else(|| instance.trigger.evidence().onset)?;
    let behind = || s.state.change_behind(since, s.policy.guards.max_change_age);
    // Where the clock was set back in between, it fired before it began: that is known, too.
    let another = since > known.fired_at.max(known.onset)
        && behind().is_some_and(|c| !c.is_rollback && c.started_at > known.fired_at);
    another.then_some(since)
}

/// When a person last dismissed an incident, on the wall clock.
fn dismissed_at(s: &Situation<'_>) -> Option<UnixMs> {
    let is_dismissed = |it: &&std::sync::Arc<Incident>| {
        matches!(it.phase, Phase::Closed { outcome: Closing::Dismissed { .. } })
    };
    let last = s.state.past.iter().rev().find(is_dismissed)?;
    last.closed_at.map(|at| at.wall)
}

fn blindness(name: &str, signal: &Signal, s: &Situation<'_>) -> Option<Fact> {
    let Some(since) = signal.unknown_since else {
        let known = s.state.blind.contains_key(name);
        return known.then(|| Fact::Sighted { signal: name.to_owned() });
    };
    let watched = s.state.is_watched(s.policy, s.now.wall);
    let patience = if watched { s.policy.blind_watched } else { s.policy.blind_idle };
    // Nobody is paged because nobody came: a quiet night is no fault of the source.
    let quiet = signal.idle && (!watched || s.state.incident.is_some());
    // Nor is it one that has lasted all night when a change comes in the morning: that has to wait for its requests.
    let changed = s.state.changes.last().filter(|_| signal.idle).map(|c| c.started_at);
    let silent_since = changed.map_or(since, |at| at.max(since));
    let known = s.state.knows_blind(name, watched, s.now.wall);
    if known || quiet || s.now.wall.since(silent_since) < patience {
        return None;
    }
    let source = s.policy.signals.get(name).map_or_else(String::new, |p| p.source.clone());
    Some(Fact::Blind {
        signal: name.to_owned(),
        source,
        since,
        why: signal.fault.clone().unwrap_or_else(|| "nothing was read".into()),
        watched,
    })
}

//! What follows at once from an event, before anything is decided: who said what, what was seen, what changed.

use std::collections::BTreeSet;

use super::{
    change::{Change, Component, Migrations, Origin, Revision, Told},
    configuration::Configuration,
    event::{Alert, What},
    fact::{Fact, Service},
    firing::{self, Basis, Firing},
    incident::{
        self, Phase, goes_on,
        speak::{self, Reply},
    },
    inventory::Inventory,
    ledger,
    owner::SetAgain,
    runbook::ApplicationRunbook,
    schema::Seen,
    severity::Severity,
    situation::Situation,
};
use crate::units::{Span, UnixMs};

/// Facts that follow from the event itself, and the answer to whoever spoke.
pub(super) fn receive(s: &Situation<'_>, what: &What) -> (Vec<Fact>, Option<Reply>) {
    match what {
        What::Seen { inventory, .. } => (seen(s, inventory), None),
        What::SchemaSeen { seen, .. } => (schema(s, seen), None),
        What::ChangePosted { change, .. } => posted(s, change),
        What::Alerted { alert, .. } => (alerted(s, alert), None),
        What::EvidencePosted { trigger, by, note, partial, .. } => {
            evidence(s, trigger, by, note, *partial)
        }
        What::StepReported { run, step, attempt, fallback, report, .. } => {
            if let Some(off) = s.state.maintained.on_report(run, *step, *attempt, report) {
                return (vec![Fact::Maintenance(off)], None);
            }
            let mine = s.state.incident.as_ref().and_then(|i| i.run.as_ref());
            let facts = mine
                .filter(|r| r.id == *run)
                .map(|r| r.on_report(*step, *attempt, *fallback, report, s.epoch))
                .unwrap_or_default();
            (facts.into_iter().map(Fact::Run).collect(), None)
        }
        What::StepGoesOn { run, step, attempt, said, .. } => {
            (goes_on::told(s, (run, *step, *attempt), said), None)
        }
        What::Spoke { by, said, .. } => {
            let (facts, reply) = speak::on_said(s, by, said);
            (facts, Some(reply))
        }
        What::AlertsActive { fingerprints, suppressed, .. } => {
            let still: BTreeSet<String> = fingerprints.union(suppressed).cloned().collect();
            (no_longer_active(s, &still), None)
        }
        What::Polled { .. }
        | What::SnapshotsSeen { .. }
        | What::RdsSeen { .. }
        | What::ScriptsSeen { .. }
        | What::ScriptTried { .. }
        | What::IntegritySeen { .. }
        | What::Backfilled { .. }
        | What::Undelivered { .. }
        | What::KillSwitch { .. }
        | What::ClockSet { .. }
        | What::Configured { .. }
        | What::ConfigRefused { .. }
        | What::Discovered { .. }
        | What::Started
        | What::Tick => (vec![], None),
    }
}

/// Of what changed at the same moment, what is set stands last: it is the one that is told.
fn seen(s: &Situation<'_>, inventory: &Inventory) -> Vec<Fact> {
    let mut facts = configured(s, inventory);
    facts.extend(set(s, inventory));
    facts
}

/// The platform serves something: noticed by watching, so that a lost post does not hide a change.
fn set(s: &Situation<'_>, inventory: &Inventory) -> Vec<Fact> {
    // What the platform was told to serve counts, even while the restart is under way: the change began with it.
    let Some(linked) = &inventory.linked else { return vec![] };
    let component = inventory.component;
    let before = s.state.ledger.serving(component);
    // Nothing was switched to before what it replaces: a platform that says so tells of an earlier time that it served.
    let replaced_since = before
        .and_then(|before| s.state.ledger.entry(component, before))
        .map(|entry| entry.serving_since);
    let later = |at: &UnixMs| replaced_since.is_none_or(|since| *at >= since);
    let since = inventory.switched_at.filter(later).unwrap_or(s.now.wall).min(s.now.wall);
    let serving = ledger::Fact::Serving { component, revision: linked.clone(), since };
    match before {
        Some(known) if known.agrees_with(linked) => match (&known.digest, &linked.digest) {
            (None, Some(_)) => vec![Fact::Ledger(serving)],
            (Some(_) | None, _) => vec![],
        },
        // At first start what serves is no change: it earns known good like any other.
        None => vec![Fact::Ledger(serving)],
        Some(before) => {
            let told = inventory.told.clone().map(Box::new);
            let change = Change { told, ..observed(s, before, linked, component, since) };
            let change = merged(s, change);
            let mut facts: Vec<Fact> = rolled_away(s, &change, before).into_iter().collect();
            facts.push(Fact::Service(Service::Changed(change)));
            facts.push(Fact::Ledger(serving));
            let by = inventory.told.as_ref().and_then(|told| told.by.clone());
            facts.extend(set_again(s, inventory, (component, linked), by));
            facts
        }
    }
}

/// The history of migrations is another than before: whoever migrated, and however.
fn schema(s: &Situation<'_>, seen: &Seen) -> Vec<Fact> {
    let Seen::Known(schema) = seen else { return vec![] };
    let (component, revision) = (Component::Database, schema.revision());
    let serving = |since: UnixMs| {
        let revision = revision.clone();
        Fact::Ledger(ledger::Fact::Serving { component, revision, since })
    };
    let Some(before) = s.state.ledger.serving(component) else {
        return vec![serving(s.now.wall)];
    };
    if before.agrees_with(&revision) {
        return vec![];
    }
    // Somewhen since the look before this one. By its own time of writing only the database could tell, in whichever zone.
    let since = s.watch.database.looked_before().unwrap_or(s.now.wall).min(s.now.wall);
    let told = Told { called: s.watch.database.added(), ..Told::default() };
    let change = Change {
        told: told.called.is_some().then(|| Box::new(told)),
        ended_at: Some(s.now.wall),
        ..observed(s, before, &revision, component, since)
    };
    vec![Fact::Service(Service::Changed(merged(s, change))), serving(since)]
}

/// Whoever rolls back by hand in the middle of an incident rolls away from what hurt. What is cosmetic may stay open for
/// weeks, and deployments go on under it.
fn rolled_away(s: &Situation<'_>, change: &Change, before: &Revision) -> Option<Fact> {
    let incident = s.state.incident.as_ref().filter(|_| change.is_rollback)?;
    let is_acute = incident.run.is_none() && incident.severity.is_worse_than(Severity::P3);
    is_acute.then(|| {
        let (component, revision) = (change.component, before.clone());
        let incident = incident.id.clone();
        Fact::Ledger(ledger::Fact::Quarantined { component, revision, incident })
    })
}

/// What was rolled away from is set again. Whoever did it: a rollback that is put back is none, and a person must know at
/// once, not when it hurts.
fn set_again(
    s: &Situation<'_>,
    inventory: &Inventory,
    (component, revision): (Component, &Revision),
    by: Option<String>,
) -> Option<Fact> {
    let entry = s.state.ledger.entry(component, revision)?;
    let owners = inventory.owners().iter().filter(|owner| owner.reconciles());
    let again = SetAgain {
        component,
        revision: revision.clone(),
        incident: entry.quarantine.as_ref()?.incident.clone(),
        by,
        owners: owners.cloned().collect(),
    };
    let phase = s.state.incident.as_ref().map(|incident| &incident.phase);
    if matches!(phase, Some(Phase::Verifying { .. } | Phase::Watching { .. })) {
        let phase = Phase::Escalated { why: again.to_string(), by: None };
        return Some(Fact::Incident(incident::Fact::Entered(phase)));
    }
    Some(Fact::Service(Service::SetAgain(again)))
}

/// A change that pods come to read so much later ends then: what they do with it shows no sooner.
const READ_LATE: Span = Span::minutes(10);

/// What pods read beside their image is another than before. What nobody can tell is no change.
fn configured(s: &Situation<'_>, inventory: &Inventory) -> Vec<Fact> {
    let Some(found) = inventory.configuration() else { return vec![] };
    let (component, now) = (Component::Configuration, s.now.wall);
    let serving = |since: UnixMs| {
        let revision = found.revision.clone();
        Fact::Ledger(ledger::Fact::Serving { component, revision, since })
    };
    let Some(before) = s.state.ledger.serving(component) else {
        return vec![serving(found.written_at.unwrap_or(now).min(now))];
    };
    if before.agrees_with(&found.revision) {
        return read_late(s, found).into_iter().collect();
    }
    // With other secrets looked at than before it is another revision, and nothing that is read changed.
    if found.kept_of(before).is_some_and(|kept| found.is_only_looked_at_otherwise(kept)) {
        return vec![serving(now)];
    }
    if is_between(s, &found.revision) {
        return vec![];
    }
    // Where nothing was written since, another template refers to something else; or something was deleted, and nobody says when.
    let known_since = s.state.ledger.entry(component, before).map(|entry| entry.serving_since);
    let later = |at: &UnixMs| known_since.is_none_or(|since| *at > since);
    let is_of_another = s.state.ledger.serving(Component::Application) != inventory.linked.as_ref();
    let switched_at = inventory.switched_at.filter(|at| is_of_another && later(at));
    let since = found.written_at.filter(later).or(switched_at);
    let since = since.unwrap_or(now).min(now);
    let by = found.written.as_ref().and_then(|written| written.by.clone());
    let differs = found.kept_of(before).map(|kept| found.differs_from(kept)).unwrap_or_default();
    let newest = || found.written.as_ref().map(|written| written.what.clone());
    let called = if differs.is_empty() { newest() } else { Some(differs.join(", ")) };
    let told = Some(Box::new(Told { by: by.clone(), called, ..Told::default() }));
    let change = Change { told, ..observed(s, before, &found.revision, component, since) };
    let change = merged(s, change);
    let mut facts: Vec<Fact> = rolled_away(s, &change, before).into_iter().collect();
    facts.extend([Fact::Service(Service::Changed(change)), serving(since)]);
    facts.extend(set_again(s, inventory, (component, &found.revision), by));
    facts
}

/// Whether a rollback under way has restored a part of a configuration, and goes on to the next.
fn is_between(s: &Situation<'_>, revision: &Revision) -> bool {
    let incident = s.state.incident.as_ref().filter(|i| matches!(i.phase, Phase::RollingBack));
    let Some(run) = incident.and_then(|incident| incident.run.as_ref()) else { return false };
    let mut targets = run.plan.targets.iter();
    targets.any(|t| t.component == Component::Configuration && !t.to.agrees_with(revision))
}

/// All pods were made anew, long after what they read was changed. One that has served well since was read before: that its
/// pods are made again, as by a node that is drained, is no change.
fn read_late(s: &Situation<'_>, found: &Configuration) -> Option<Fact> {
    let entry = s.state.ledger.entry(Component::Configuration, &found.revision)?;
    if entry.known_good_at.is_some_and(|at| at >= entry.serving_since) {
        return None;
    }
    let of_it =
        |c: &&Change| c.component == Component::Configuration && c.to.agrees_with(&found.revision);
    let change = s.state.changes.iter().rev().find(of_it)?;
    let is_late = |at: &UnixMs| {
        change.ended_at == Some(change.started_at) && *at > change.started_at + READ_LATE
    };
    let ended_at = Some(found.read_at.filter(is_late)?.min(s.now.wall));
    Some(Fact::Service(Service::Changed(Change { ended_at, ..change.clone() })))
}

fn observed(
    s: &Situation<'_>,
    before: &Revision,
    after: &Revision,
    component: Component,
    since: UnixMs,
) -> Change {
    let known_good =
        s.state.ledger.entry(component, after).is_some_and(|e| e.known_good_at.is_some());
    let own_run = s.state.incident.as_ref().and_then(|i| i.run.as_ref());
    let own = own_run.is_some_and(|run| run.plan.targets.iter().any(|t| t.to.agrees_with(after)));
    Change {
        id: format!("{component}-{after}-{}", since.0),
        component,
        from: Some(before.clone()),
        to: after.clone(),
        started_at: since,
        ended_at: Some(since),
        origin: Origin::Observed,
        migrations: Migrations::Unknown,
        checks_passed: None,
        is_rollback: own || known_good,
        told: None,
    }
}

fn merged(s: &Situation<'_>, change: Change) -> Change {
    match s.state.same_change(&change) {
        Some(known) => known.merged_with(&change),
        None => change,
    }
}

fn posted(s: &Situation<'_>, change: &Change) -> (Vec<Fact>, Option<Reply>) {
    let merged = merged(s, of_the_site(s, change.clone()));
    let known = s.state.changes.iter().any(|c| *c == merged);
    let reply = Some(Ok(format!("change {} of {} noted", merged.id, s.state.id)));
    if known {
        return (vec![], reply);
    }
    (vec![Fact::Service(Service::Changed(merged))], reply)
}

/// A site is all that its service has: whoever calls it the frontend means what is rolled back.
fn of_the_site(s: &Situation<'_>, change: Change) -> Change {
    let application = s.policy.runbook.as_ref().map(|runbook| &runbook.application);
    match (change.component, application) {
        (Component::Frontend, Some(ApplicationRunbook::Frontend(_))) => {
            Change { component: Component::Application, ..change }
        }
        _ => change,
    }
}

/// Alerts of one service that fire at once; more of them tell nothing new.
const ALERTS_MAX: usize = 20;
/// Alertmanager, asked, may not know an alert yet that it has just sent.
const ALERT_SETTLES: Span = Span::minutes(1);

fn alerts<'a>(s: &Situation<'a>) -> impl Iterator<Item = (&'a Firing, &'a str, &'a str)> {
    s.state.firing.values().filter_map(|f| match &f.basis {
        Basis::Alert { key, fingerprint, .. } => Some((f, key.as_str(), fingerprint.as_str())),
        Basis::Window | Basis::Database | Basis::Posted { .. } => None,
    })
}

/// The name under which an alert fires: the trigger it stands for, or its own; another one of that name with other
/// labels gets its fingerprint behind it.
fn alert_trigger(s: &Situation<'_>, alert: &Alert) -> String {
    let name = format!("alert:{}", alert.trigger.as_deref().unwrap_or(&alert.name));
    if s.state.firing.contains_key(&name) { format!("{name}#{}", alert.fingerprint) } else { name }
}

fn alerted(s: &Situation<'_>, alert: &Alert) -> Vec<Fact> {
    let fired = |trigger| {
        let firing = alert_firing(s, alert, trigger);
        vec![Fact::Trigger(firing::Fact::Fired(Box::new(firing)))]
    };
    let known = alerts(s).find(|(_, _, fingerprint)| *fingerprint == alert.fingerprint);
    let ended = s.watch.alarms_ended.get(&alert.fingerprint);
    match (alert.firing, known) {
        // A topic keeps no order: what began and ended meanwhile is over.
        (true, _) if ended.is_some_and(|ended| *ended > alert.starts_at) => vec![],
        (true, None) if alerts(s).count() >= ALERTS_MAX => {
            // The new one takes the place of the least severe, the oldest of those; news of less is no news.
            let least = alerts(s).max_by_key(|(f, ..)| (f.severity, std::cmp::Reverse(f.fired_at)));
            let mut facts = vec![];
            let new = alert_firing(s, alert, alert_trigger(s, alert));
            if let Some((least, ..)) =
                least.filter(|(f, ..)| !f.severity.is_worse_than(new.severity))
            {
                facts.extend(cleared(least, "too many alerts fire for this service: it made room"));
                facts.push(Fact::Trigger(firing::Fact::Fired(Box::new(new))));
            }
            facts
        }
        (true, None) => fired(alert_trigger(s, alert)),
        // It was resolved in between and nobody told: it fires anew.
        (true, Some((known, ..))) if alert.starts_at > known.onset => fired(known.trigger.clone()),
        (false, Some((known, key, _))) if key == alert.key() => {
            cleared(known, "Alertmanager resolved it")
        }
        // Of an alarm's end only its own time is known; one that arrives late is older than what fires.
        (false, Some((known, _, fingerprint)))
            if Alert::is_of_cloudwatch(fingerprint) && alert.starts_at > known.onset =>
        {
            cleared(known, "CloudWatch says that it is over")
        }
        // The same alert again, an older one that arrives late, a resolve of something else.
        (true | false, Some(_)) | (false, None) => vec![],
    }
}

fn cleared(known: &Firing, why: &str) -> Vec<Fact> {
    let (trigger, why) = (known.trigger.clone(), why.to_owned());
    vec![Fact::Trigger(firing::Fact::Cleared { trigger, why })]
}

/// A resolve can get lost on its way; whoever asks, finds out.
fn no_longer_active(s: &Situation<'_>, active: &BTreeSet<String>) -> Vec<Fact> {
    let gone = alerts(s).filter(|(firing, _, fingerprint)| {
        !active.contains(*fingerprint)
            && !Alert::is_of_cloudwatch(fingerprint)
            && s.now.wall.since(firing.fired_at) >= ALERT_SETTLES
    });
    gone.flat_map(|(firing, ..)| cleared(firing, "Alertmanager, asked, has it no longer")).collect()
}

fn alert_firing(s: &Situation<'_>, alert: &Alert, trigger: String) -> Firing {
    let policy = alert.trigger.as_ref().and_then(|name| s.policy.triggers.get(name));
    let severity = policy.map_or(alert.severity, |p| p.rule.severity);
    Firing {
        trigger,
        severity,
        basis: Basis::Alert {
            key: alert.key(),
            fingerprint: alert.fingerprint.clone(),
            trigger: alert.trigger.clone(),
            labels: alert.labels.clone(),
        },
        onset: alert.starts_at,
        fired_at: s.now.wall,
        says: format!("{}: {} - {}", alert.teller(), alert.name, alert.summary),
        may_act: policy.is_some_and(|p| p.may_act),
        evidence: None,
    }
}

fn evidence(
    s: &Situation<'_>,
    trigger: &str,
    by: &str,
    note: &str,
    partial: bool,
) -> (Vec<Fact>, Option<Reply>) {
    let Some(policy) = s.policy.triggers.get(trigger) else {
        let known: Vec<&str> = s
            .policy
            .triggers
            .iter()
            .filter(|(_, t)| t.looks_at == super::policy::LooksAt::Event)
            .map(|(name, _)| name.as_str())
            .collect();
        let why = format!("`{trigger}` is not a kind of evidence; use one of {}", known.join(", "));
        return (vec![], Some(Err(why)));
    };
    let severity = if partial { Severity::P0 } else { policy.rule.severity };
    let known = s.state.firing.get(trigger);
    if known.is_some_and(|known| !severity.is_worse_than(known.severity)) {
        return (vec![], Some(Ok(format!("{trigger} of {} is known already", s.state.id))));
    }
    let firing = Firing {
        trigger: trigger.to_owned(),
        severity,
        basis: Basis::Posted { by: by.to_owned() },
        onset: s.now.wall,
        fired_at: s.now.wall,
        says: format!("{by}: {note}"),
        may_act: policy.may_act,
        evidence: None,
    };
    let reply = format!("{trigger} of {} fires as {severity}", s.state.id);
    (vec![Fact::Trigger(firing::Fact::Fired(Box::new(firing)))], Some(Ok(reply)))
}

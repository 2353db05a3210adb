//! What every guard says about acting by itself now, and the plan that would run.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    Incident,
    grounds::Grounds,
    pulled, schema,
    target::{self, To},
    witness,
};
use crate::{
    domain::{
        change::{Change, Component, Migrations},
        event::Alert,
        firing::{Basis, Firing},
        guard::{Guard, Verdict},
        inventory::Inventory,
        owner::Owner,
        plan::{Plan, Restore},
        policy::{LooksAt, TriggerPolicy},
        service::Mode,
        severity::Severity,
        situation::{Holds, Situation},
        trigger::{State, defaults},
    },
    units::UnixMs,
};

/// All verdicts and the plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// In the order of [`Guard::ALL`].
    pub guards: Vec<Verdict>,
    /// The plan, or why there is none.
    pub plan: Result<Arc<Plan>, String>,
}

impl Judgement {
    /// The reasons of every guard that refuses.
    pub fn refused(&self) -> Vec<String> {
        let refuses = |v: &Verdict| v.refusal().map(|why| format!("{}: {why}", v.guard));
        self.guards.iter().filter_map(refuses).collect()
    }
}

/// Asks every guard, and makes the plan.
pub fn judge(s: &Situation<'_>, incident: &Incident) -> Judgement {
    let lead = s.leading(incident);
    // The change that counts is the one known now: a post can come after the breach, and so can a fix.
    let plan = target::plan(s, To::LastKnownGood);
    let grounds = Grounds::of(s, incident, lead, plan.as_deref().ok());
    let change = grounds.change;
    let guards = Guard::ALL
        .into_iter()
        .map(|guard| match guard {
            Guard::Mode => mode(s, lead),
            Guard::NoChange
            | Guard::AlreadyBurning
            | Guard::Noisy
            | Guard::ThinEvidence
            | Guard::OldRevisionEquallyBad
            | Guard::Loop => grounds.verdict(guard),
            Guard::OneWitness => witness::one_witness(s, lead),
            Guard::NowhereSafe => nowhere_safe(s, &plan),
            Guard::SchemaMoved => schema_moved(s, change, plan.as_deref().ok()),
            Guard::Owner => owner(s, plan.as_deref().ok()),
            Guard::Storm => storm(s, incident, change),
            Guard::Locked => locked(s, &plan),
            Guard::Blind => blind(s, lead),
            Guard::Hold => hold(s),
        })
        .collect();
    Judgement { guards, plan }
}

fn mode(s: &Situation<'_>, lead: Option<&Firing>) -> Verdict {
    let guard = Guard::Mode;
    match s.policy.mode {
        Mode::Observe => Verdict::refuse(guard, "observe: decide and tell, never touch"),
        Mode::Approve => Verdict::refuse(guard, "approve: a person says yes"),
        Mode::Auto => match lead {
            Some(lead) if evidence_of(s, lead).is_some_and(|it| !opted_in(s, it)) => {
                let evidence = evidence_of(s, lead).unwrap_or_default();
                Verdict::refuse(guard, format!("this service did not opt in to act on {evidence}"))
            }
            Some(Firing { basis: Basis::Alert { trigger: None, .. }, .. }) => Verdict::refuse(
                guard,
                "an alert without the label rollbackd_trigger pages, and is not a reason to act",
            ),
            Some(Firing { basis: Basis::Alert { trigger: Some(name), .. }, .. })
                if !s.policy.triggers.contains_key(name) =>
            {
                let why = format!("no trigger is called {name}, which the alert's label names");
                Verdict::refuse(guard, why)
            }
            Some(Firing { may_act: false, .. }) => {
                Verdict::refuse(guard, "this trigger only pages")
            }
            Some(_) | None => Verdict::pass(guard, "auto"),
        },
    }
}

/// The kind of evidence that a firing is, where it is one: posted, or told by an alert that names it.
fn evidence_of<'f>(s: &Situation<'_>, lead: &'f Firing) -> Option<&'f str> {
    let is_event = |name: &str| {
        s.policy.triggers.get(name).is_some_and(|policy| policy.looks_at == LooksAt::Event)
    };
    match &lead.basis {
        Basis::Posted { .. } | Basis::Database => Some(&lead.trigger),
        Basis::Alert { trigger: Some(name), .. } if is_event(name) => Some(name),
        Basis::Alert { .. } | Basis::Window => None,
    }
}

fn opted_in(s: &Situation<'_>, evidence: &str) -> bool {
    !defaults::needs_opt_in(evidence) || s.policy.acts_on_evidence.contains(evidence)
}

fn nowhere_safe(s: &Situation<'_>, plan: &Result<Arc<Plan>, String>) -> Verdict {
    let guard = Guard::NowhereSafe;
    match plan {
        Ok(plan) => match pulled::bars(s, plan) {
            // What is pushed again can be gone back to.
            Some(why) => Verdict::refuse_for_now(guard, format!("{why}{}", offered(s, Some(plan)))),
            None => {
                let images = pulled::outlook(s, plan).map(|said| format!("; {said}"));
                let images = images.unwrap_or_default();
                Verdict::pass(guard, format!("{}, known good{images}", plan.summary()))
            }
        },
        Err(why) => Verdict::refuse(guard, format!("{why}{}", offered(s, None))),
    }
}

/// What else a person could choose, than what is set and where the plan goes.
fn offered(s: &Situation<'_>, plan: Option<&Arc<Plan>>) -> String {
    let serving = s.watch.inventory.as_ref().and_then(|i| i.linked.as_ref());
    let targets = plan.into_iter().flat_map(|plan| &plan.targets).map(|target| &target.to);
    let not: Vec<_> = serving.into_iter().chain(targets).collect();
    let all = s.watch.inventory.iter().flat_map(|i| &i.available);
    let offered = all.filter(|a| not.iter().all(|known| !known.agrees_with(&a.revision)));
    let names: Vec<&str> = offered.take(5).map(|a| a.revision.version.as_str()).collect();
    if names.is_empty() {
        return String::new();
    }
    format!("; the platform offers {} to a person's choice", names.join(", "))
}

fn schema_moved(s: &Situation<'_>, change: Option<&Change>, plan: Option<&Plan>) -> Verdict {
    let guard = Guard::SchemaMoved;
    if let Some(half) = half_applied(s) {
        let why =
            format!("a migration was half applied, and what runs on that nobody knows: {half}");
        return Verdict::refuse(guard, why);
    }
    if let Some(verdict) = schema::verdict(s, plan) {
        return verdict;
    }
    let Some(change) = change else {
        return Verdict::not_applicable(guard, "there is no change");
    };
    // Every change since the target last served counts: the rollback goes back across all of them.
    let targets = plan.into_iter().flat_map(|plan| &plan.targets);
    let mut targets = targets.filter(|target| target.component == Component::Application);
    let between = s.state.changes_since(targets.next().map(|target| &target.to));
    let moved =
        between.iter().copied().chain([change]).find(|c| c.migrations == Migrations::Incompatible);
    match (moved, change.migrations) {
        (Some(moved), _) => Verdict::refuse(
            guard,
            format!(
                "the change to {} carried a migration that the earlier application cannot run on",
                moved.to
            ),
        ),
        (None, Migrations::Compatible) => Verdict::pass(
            guard,
            "its migrations were said to be backward compatible; the database is suspect all the same",
        ),
        (None, Migrations::None) => Verdict::pass(guard, "it carried no migration"),
        (None, Migrations::Unknown | Migrations::Incompatible) => {
            Verdict::pass(guard, "no migration is known, and no database is watched")
        }
    }
}

/// A migration of which part is there, as the database shows it, whatever a rule makes of that; or as it was posted, worse than one
/// that failed cleanly.
fn half_applied(s: &Situation<'_>) -> Option<String> {
    if let Some(half) = s.policy.database.as_ref().and_then(|it| s.watch.database.half_applied(it))
    {
        return Some(half);
    }
    let firing = s.state.firing.get(defaults::MIGRATION_FAILURE)?;
    let cleanly = s.policy.triggers.get(&firing.trigger)?.rule.severity;
    firing.severity.is_worse_than(cleanly).then(|| firing.says.clone())
}

/// What else sets the Deployment: a rollback that is put back at once only makes it worse.
fn owner(s: &Situation<'_>, plan: Option<&Plan>) -> Verdict {
    let guard = Guard::Owner;
    let Some(rule) = s.policy.owner_rule() else {
        return Verdict::not_applicable(guard, "no Deployment is rolled back");
    };
    let Some(inventory) = &s.watch.inventory else {
        return Verdict::not_applicable(guard, "its platform was not looked at yet");
    };
    let owners = owners(inventory, plan);
    let undo: Vec<&Owner> = owners.iter().filter(|owner| owner.undoes(rule)).collect();
    let named = |owners: &[&Owner]| {
        owners.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
    };
    if undo.is_empty() {
        let known: Vec<String> = owners.iter().map(|owner| owner.outlook(rule)).collect();
        let note = if known.is_empty() {
            "nothing else is known to set it".into()
        } else {
            known.join("; ")
        };
        return Verdict::pass(guard, note);
    }
    let now = inventory.linked.as_ref().map_or_else(|| "it".to_owned(), ToString::to_string);
    let how = if undo.iter().all(|owner| owner.can_be_suspended()) {
        "suspend that, then roll back by hand; owner = \"take-over\" does both"
    } else {
        "change it there, or stop that before rolling back by hand"
    };
    Verdict::refuse(guard, format!("{} would put {now} back: {how}", named(&undo)))
}

/// Those of the Deployment, and of what its pods read where that goes back.
fn owners(inventory: &Inventory, plan: Option<&Plan>) -> Vec<Owner> {
    let mut owners = inventory.owners().to_vec();
    let restores: Vec<Restore> = plan.into_iter().flat_map(Plan::restores).cloned().collect();
    let of_maps = inventory.configuration().map(|found| found.owners_of(&restores));
    for owner in of_maps.into_iter().flatten() {
        if !owners.contains(&owner) {
            owners.push(owner);
        }
    }
    owners
}

/// A large part of the fleet suffers: a shared cause, unless this service's own change came just before.
fn storm(s: &Situation<'_>, incident: &Incident, change: Option<&Change>) -> Verdict {
    let (alarmed, services) = (s.fleet.alarmed, s.fleet.services);
    let limit = s.fleet_policy;
    let note =
        format!("{alarmed} of {services} services firing or pending within {}", limit.storm_window);
    let window = limit.storm_window;
    let own = change.filter(|c| c.explains(s.onset_of(incident), Some(window)));
    match own {
        _ if !limit.is_storm(alarmed, services) => Verdict::pass(Guard::Storm, note),
        Some(own) => Verdict::pass(
            Guard::Storm,
            format!("{note}, but it began within {window} of its own change to {}", own.to),
        ),
        None => Verdict::refuse(Guard::Storm, format!("{note}: a shared cause")),
    }
}

fn locked(s: &Situation<'_>, plan: &Result<Arc<Plan>, String>) -> Verdict {
    let Ok(plan) = plan else {
        return Verdict::not_applicable(Guard::Locked, "there is no plan");
    };
    let held = plan.resources.iter().find_map(|r| s.fleet.locked.get(r).map(|by| (r, by)));
    match held {
        Some((resource, by)) if *by != s.state.id => {
            Verdict::refuse(Guard::Locked, format!("{resource} is held by the rollback of {by}"))
        }
        Some(_) | None => Verdict::pass(Guard::Locked, "no other plan holds its resources"),
    }
}

fn blind(s: &Situation<'_>, lead: Option<&Firing>) -> Verdict {
    let guard = Guard::Blind;
    let Some(lead) = lead else {
        return Verdict::refuse(guard, "nothing is firing any more");
    };
    match &lead.basis {
        Basis::Posted { .. } => Verdict::not_applicable(guard, "posted evidence does not age"),
        Basis::Database => match s.still_holds_firing(lead) {
            Holds::Yes => Verdict::pass(guard, "the last look at the database shows it"),
            Holds::Recovering => Verdict::refuse(guard, "the database shows it no longer"),
            Holds::Unknown(why) => Verdict::refuse(guard, why),
        },
        Basis::Alert { fingerprint, .. } => match s.still_holds_firing(lead) {
            Holds::Yes if Alert::is_of_cloudwatch(fingerprint) => {
                Verdict::pass(guard, "our own windows confirm the alarm")
            }
            Holds::Yes => Verdict::pass(guard, "our own windows or Alertmanager confirm the alert"),
            Holds::Recovering => Verdict::refuse(guard, "the alert is no longer active"),
            Holds::Unknown(why) => Verdict::refuse(guard, why),
        },
        Basis::Window => match s.evidence_freshness(&lead.trigger) {
            Ok(note) => Verdict::pass(guard, note),
            Err(why) => Verdict::refuse(guard, why),
        },
    }
}

fn hold(s: &Situation<'_>) -> Verdict {
    let guard = Guard::Hold;
    if let Some(reason) = &s.fleet.kill_switch {
        return Verdict::refuse(guard, format!("the HOLD file: {reason}"));
    }
    if let Some(hold) = &s.state.hold {
        return Verdict::refuse(guard, format!("{} holds it: {}", hold.by, hold.reason));
    }
    if let Some(freeze) = &s.fleet.freeze {
        return Verdict::refuse(guard, format!("a freeze: {freeze}"));
    }
    Verdict::pass(guard, "nobody holds it")
}

/// What a judgement stands on that was made for people to look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "ground")]
pub enum Ground {
    /// The open incident.
    Incident {
        /// Its name.
        id: String,
    },
    /// This trigger fires, and an incident is about to open.
    Fires {
        /// Its name.
        trigger: String,
    },
    /// Nothing fires; this trigger is assumed to begin to.
    IfFired {
        /// Its name.
        trigger: String,
    },
    /// There is no trigger that could fire.
    NoTrigger,
}

/// What every guard would say now: of the open incident, of what fires, or of what comes closest to it.
pub fn judge_hypothetical(s: &Situation<'_>) -> (Ground, Judgement) {
    if let Some(incident) = &s.state.incident {
        return (Ground::Incident { id: incident.id.clone() }, judge(s, incident));
    }
    let mut state = s.state.clone();
    let worst = state.firing.values().min_by_key(|f| (f.severity, f.onset)).cloned();
    let (ground, firing) = match (worst, closest(s)) {
        (Some(firing), _) => (Ground::Fires { trigger: firing.trigger.clone() }, firing),
        (None, Some(firing)) => (Ground::IfFired { trigger: firing.trigger.clone() }, firing),
        (None, None) => {
            let opened = opened(s, "nothing", Severity::P1, s.now.wall);
            return (Ground::NoTrigger, judge(s, &opened));
        }
    };
    let incident = opened(s, &firing.trigger, firing.severity, firing.onset);
    state.firing.insert(firing.trigger.clone(), firing);
    (ground, judge(&Situation { state: &state, ..*s }, &incident))
}

/// The firing that would follow if the trigger that comes closest fired now.
fn closest(s: &Situation<'_>) -> Option<Firing> {
    let rank = |(away, policy): (u8, &TriggerPolicy)| (away, !policy.may_act, policy.rule.severity);
    let (name, policy) = s
        .watch
        .triggers()
        .filter_map(|(key, _, trigger)| {
            let away = match trigger.state() {
                State::Firing => 0,
                State::Pending => 1,
                State::Recovering | State::Ok | State::NoData => 2,
            };
            Some((key, away, s.policy.triggers.get(crate::domain::watch::own_name(key))?))
        })
        .min_by_key(|(_, away, policy)| rank((*away, policy)))
        .map(|(key, _, policy)| (key.to_owned(), policy))?;
    Some(Firing {
        trigger: name,
        severity: policy.rule.severity,
        basis: Basis::Window,
        onset: s.now.wall,
        fired_at: s.now.wall,
        says: "assumed".to_owned(),
        may_act: policy.may_act,
        evidence: None,
    })
}

fn opened(s: &Situation<'_>, trigger: &str, severity: Severity, onset: UnixMs) -> Incident {
    let change = s.state.change_behind(onset, s.policy.guards.max_change_age).cloned();
    Incident::new(s.new_incident_id(), trigger, severity, onset, change, s.now)
}

//! Where a rollback goes, and what it leaves: from what is set, what serves and what is known good to one exact plan.

use std::sync::Arc;

use super::scope::{self, Scope};
use crate::{
    domain::{
        change::{Change, Component, Revision},
        inventory::{Deployed, Inventory, Place, Serving},
        ledger,
        plan::{Plan, Target},
        planning::{ConfigurationMove, Moves},
        situation::Situation,
    },
    units::Span,
};

/// How much sooner than the change says it may have been seen to serve: clocks differ.
const EARLY: Span = Span::minutes(1);

/// Which way a rollback goes.
struct Way {
    /// What of the application is left, and where it goes; nothing where it stays.
    application: Option<(Revision, Revision)>,
    configuration: Option<ConfigurationMove>,
    scope: String,
}

/// The plan of a rollback: to a version that a person names, or to the last known good.
pub fn plan(s: &Situation<'_>, to: Option<&str>) -> Result<Arc<Plan>, String> {
    let runbook = s.policy.runbook.as_ref().ok_or("no rollback is configured for this service")?;
    let inventory = s.watch.inventory.as_ref().ok_or("its platform was not looked at yet")?;
    let linked = inventory.linked.as_ref().ok_or_else(|| {
        format!("nobody can tell what is deployed: {}", inventory.faults.join("; "))
    })?;
    let way = match to {
        Some(version) => named(s, inventory, linked, version)?,
        None => to_last_known_good(s, inventory, linked)?,
    };
    if let Some(why) = inventory.deployed.as_deref().and_then(Deployed::bars) {
        return Err(why.to_owned());
    }
    let mut place = match &way.application {
        Some((_, to)) => there(s, inventory, to)?,
        None => inventory.place_of_itself(),
    };
    let configuration = way.configuration.as_ref();
    if let Some((found, moved)) = inventory.configuration().zip(configuration) {
        place.owners.extend(found.owners_of(&moved.restores));
        place.owners.dedup();
    }
    let (from, to) = way.application.as_ref().map_or((linked, linked), |(from, to)| (from, to));
    let moves = Moves { from, to, configuration, database: None };
    let plan = runbook.plan_of(&s.state.id, &moves, &place, s.now.wall);
    Ok(Arc::new(Plan { scope: way.scope, ..plan }))
}

/// Where nobody named anything.
fn to_last_known_good(
    s: &Situation<'_>,
    inventory: &Inventory,
    linked: &Revision,
) -> Result<Way, String> {
    let scope = scope::of(s, inventory);
    let application = scope.application;
    // The version before was given it too: a configuration that cannot go back keeps no bad release where it is.
    let may_stay = application && scope.application_last;
    let (configuration, scope) = with_it(s, inventory, scope, application, may_stay)?;
    let application = match application {
        true => {
            let target = last_known_good(s, inventory, linked)?;
            Some((left_by(inventory, linked, &target)?, target))
        }
        false => None,
    };
    Ok(Way { application, configuration, scope })
}

/// What goes back of what its pods read, and why; where that cannot and `may_stay`, it stays, and that is said.
fn with_it(
    s: &Situation<'_>,
    inventory: &Inventory,
    scope: Scope,
    with_application: bool,
    may_stay: bool,
) -> Result<(Option<ConfigurationMove>, String), String> {
    let found = inventory.configuration().filter(|_| scope.configuration);
    match found.map(|found| scope::last_known_good(s, found, with_application)) {
        None => Ok((None, scope.why)),
        Some(Ok(moved)) => Ok((Some(moved), scope.why)),
        Some(Err(why)) if may_stay => Ok((None, format!("only the application goes back: {why}"))),
        Some(Err(why)) => Err(why),
    }
}

/// A person named a version of the application, or a configuration that is kept. What cannot go back with the application
/// stays, and that is said: they know what they want.
fn named(
    s: &Situation<'_>,
    inventory: &Inventory,
    linked: &Revision,
    version: &str,
) -> Result<Way, String> {
    let found = inventory.configuration();
    let kept = found.and_then(|found| {
        let kept = found.kept.iter().find(|kept| kept.revision.version == version)?;
        Some((found, &kept.revision))
    });
    if let Some((found, to)) = kept {
        let configuration = Some(scope::back_to(s, found, to, false)?);
        let scope = "only the configuration goes back, as was asked for".to_owned();
        return Ok(Way { application: None, configuration, scope });
    }
    let target = inventory.meant_by(version).map(|a| a.revision.clone());
    let target = target.ok_or_else(|| format!("version {version} is not there any more"))?;
    let application = Some((left_by(inventory, linked, &target)?, target));
    let scope = scope::of(s, inventory);
    let (configuration, scope) = with_it(s, inventory, scope, true, true)?;
    Ok(Way { application, configuration, scope })
}

/// Where the platform has it, unless it was rolled away from.
fn there(s: &Situation<'_>, inventory: &Inventory, target: &Revision) -> Result<Place, String> {
    let there = inventory
        .find(&target.version)
        .ok_or_else(|| format!("{target}, the last known good, is not there any more"))?;
    let quarantined = s
        .state
        .ledger
        .entry(Component::Application, target)
        .is_some_and(|e| e.quarantine.is_some());
    if quarantined {
        return Err(format!("{target} was itself rolled away from; `rollbackd lift` it first"));
    }
    Ok(inventory.place(there))
}

/// Where a rollback goes that nobody named a version for. One that was switched to and never came up is gone on with:
/// it is set, and something else serves.
fn last_known_good(
    s: &Situation<'_>,
    inventory: &Inventory,
    linked: &Revision,
) -> Result<Revision, String> {
    let component = Component::Application;
    let good = |e: &&ledger::Entry| e.known_good_at.is_some() && e.quarantine.is_none();
    let set = s.state.ledger.entry(component, linked).filter(good);
    // The old pods of a Deployment serve on while a new version comes up: only away from one that was rolled away from.
    let goes_on = |running: &str| {
        let known = s.state.ledger.entry(component, &Revision::named(running));
        inventory.deployed.is_none() || known.is_some_and(|e| e.quarantine.is_some())
    };
    match (&inventory.running, set) {
        (Serving::Version(running), Some(set))
            if *running != linked.version && goes_on(running) =>
        {
            Ok(set.revision.clone())
        }
        (Serving::Version(_) | Serving::NotRunning(_) | Serving::Unknown(_), _) => {
            let target = s.state.ledger.target(component).map_err(|why| why.to_string())?;
            Ok(target.clone())
        }
    }
}

/// What a rollback to `target` leaves: what is set, or what serves in spite of it.
fn left_by(
    inventory: &Inventory,
    linked: &Revision,
    target: &Revision,
) -> Result<Revision, String> {
    if !target.agrees_with(linked) {
        return Ok(linked.clone());
    }
    match &inventory.running {
        Serving::Version(running) if *running == target.version => {
            Err(format!("{target} is what serves already"))
        }
        Serving::Version(running) => Ok(Revision::named(running)),
        Serving::NotRunning(why) => Err(format!(
            "{target} is what is set already, and nothing serves ({why}): it must be started by hand"
        )),
        Serving::Unknown(why) => {
            Err(format!("{target} is what is set already, and what serves is unknown: {why}"))
        }
    }
}

/// Why a plan would leave in place the change that it is to undo; `None` when it goes back behind it.
pub(super) fn not_undone_by(
    s: &Situation<'_>,
    change: &Change,
    plan: Option<&Plan>,
) -> Option<String> {
    let component = change.component;
    let targets = plan.map(|plan| plan.targets.as_slice()).unwrap_or_default();
    let Some(target) = targets.iter().find(|t| t.component == component) else {
        let other = targets.first().map_or(Component::Application, |t| t.component);
        let is_of_another = component != other;
        return is_of_another.then(|| {
            format!(
                "the last change is of the {component}; a rollback of the {other} would not undo it"
            )
        });
    };
    let undone = change.to.agrees_with(&target.from) || lies_between(s, change, target);
    (!undone).then(|| {
        let to = &change.to;
        format!(
            "the last change, to {to}, was not seen to serve: {} would not undo it",
            plan_in_words(target)
        )
    })
}

fn plan_in_words(target: &Target) -> String {
    format!("{} -> {}", target.from, target.to)
}

/// Whether what a change brought served after the target last did: a rollback goes back across it too.
fn lies_between(s: &Situation<'_>, change: &Change, target: &Target) -> bool {
    let served = |revision: &Revision| {
        s.state.ledger.entry(change.component, revision).map(|entry| entry.serving_since)
    };
    match (served(&target.to), served(&change.to)) {
        (Some(target), Some(changed)) => changed > target && changed >= change.started_at - EARLY,
        (Some(_) | None, _) => false,
    }
}

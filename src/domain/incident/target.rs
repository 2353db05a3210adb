//! Where a rollback goes, and what it leaves: from what is set, what serves and what is known good to one exact plan.

use std::sync::Arc;

use super::{
    schema::{self, Schema},
    scope::{self, Scope},
};
use crate::{
    domain::{
        change::{Change, Component, Revision},
        inventory::{Deployed, Inventory, Place, Serving},
        ledger,
        plan::{Plan, Target},
        planning::{ConfigurationMove, Moves},
        previous::{Names, NewImage, Previous},
        situation::Situation,
    },
    units::Span,
};

/// How much sooner than the change says it may have been seen to serve: clocks differ.
const EARLY: Span = Span::minutes(1);

/// Where a rollback is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To<'t> {
    /// To what served well.
    LastKnownGood,
    /// To what a person names.
    Version(&'t str),
    /// To what the platform says was before, which only a person may want.
    Previous,
}

impl<'t> To<'t> {
    /// As people say it.
    pub fn said(to: Option<&'t str>, to_previous: bool) -> Self {
        match to {
            _ if to_previous => Self::Previous,
            Some(version) => Self::Version(version),
            None => Self::LastKnownGood,
        }
    }
}

/// Which way a rollback goes.
struct Way {
    /// What of the application is left, and where it goes; nothing where it stays.
    application: Option<(Revision, Revision)>,
    configuration: Option<ConfigurationMove>,
    /// The image that brings it there, where nothing holds a template.
    image: Option<NewImage>,
    scope: String,
}

/// What is deployed, and what is set of it.
fn deployed<'s>(s: &'s Situation<'_>) -> Result<(&'s Inventory, &'s Revision), String> {
    let inventory = s.watch.inventory.as_ref().ok_or("its platform was not looked at yet")?;
    let linked = inventory.linked.as_ref().ok_or_else(|| {
        format!("nobody can tell what is deployed: {}", inventory.faults.join("; "))
    })?;
    Ok((inventory, linked))
}

fn way(
    s: &Situation<'_>,
    (inventory, linked): (&Inventory, &Revision),
    to: To<'_>,
) -> Result<Way, String> {
    match to {
        To::Version(version) => named(s, inventory, linked, version),
        To::LastKnownGood => to_last_known_good(s, inventory, linked),
        To::Previous => to_previous(s, inventory, linked),
    }
}

/// What of the application a rollback leaves, and where that goes; nothing where it stays.
pub(super) fn application(
    s: &Situation<'_>,
    to: To<'_>,
) -> Result<Option<(Revision, Revision)>, String> {
    Ok(way(s, deployed(s)?, to)?.application)
}

/// The plan of a rollback: to a version that a person names, or to the last known good.
pub fn plan(s: &Situation<'_>, to: To<'_>) -> Result<Arc<Plan>, String> {
    let runbook = s.policy.runbook.as_ref().ok_or("no rollback is configured for this service")?;
    let (inventory, linked) = deployed(s)?;
    let way = way(s, (inventory, linked), to)?;
    let bars = inventory.deployed.as_deref().and_then(Deployed::bars);
    let stopped = inventory.deployed.as_deref().filter(|it| !it.paused && it.wanted == 0);
    let stopped = stopped.and_then(|it| it.stopped).filter(|_| way.application.is_some());
    if let Some(why) = bars.filter(|_| stopped.is_none()) {
        return Err(why.to_owned());
    }
    let mut place = match (&way.application, way.image) {
        (Some(_), image @ Some(_)) => Place { image, ..inventory.place_of_itself() },
        (Some((_, to)), None) => there(s, inventory, to)?,
        (None, _) => inventory.place_of_itself(),
    };
    let configuration = way.configuration.as_ref();
    if let Some((found, moved)) = inventory.configuration().zip(configuration) {
        place.owners.extend(found.owners_of(&moved.restores));
        place.owners.dedup();
    }
    let (from, to) = way.application.as_ref().map_or((linked, linked), |(from, to)| (from, to));
    let (database, why) = match &way.application {
        Some((from, to)) => schema::back(s, inventory, (from, to)),
        None => (None, String::new()),
    };
    // Its pods come back only to a schema that what they come back to runs on.
    if let (Some(bars), None) = (bars, &database) {
        match schema::of(s, to) {
            Schema::Moved(_) if !why.is_empty() => return Err(format!("{bars}; {why}")),
            Schema::Moved(what) => return Err(format!("{bars}; {what}")),
            Schema::Stays(_) | Schema::Unwatched => {}
        }
    }
    place.stopped = stopped;
    let moves = Moves { from, to, configuration, database: database.as_ref() };
    let plan = runbook.plan_of(&s.state.id, &moves, &place, s.now.wall);
    let scope = [way.scope, why].into_iter().filter(|said| !said.is_empty());
    Ok(Arc::new(Plan { scope: scope.collect::<Vec<_>>().join("; "), ..plan }))
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
    Ok(Way { application, configuration, image: None, scope })
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
        return Ok(Way { application: None, configuration, image: None, scope });
    }
    let target = inventory.meant_by(version).map(|a| a.revision.clone());
    let gone = || or_previous(s, inventory, format!("version {version} is not there any more"));
    let target = target.ok_or_else(gone)?;
    let application = Some((left_by(inventory, linked, &target)?, target));
    let scope = scope::of(s, inventory);
    let (configuration, scope) = with_it(s, inventory, scope, true, true)?;
    Ok(Way { application, configuration, image: None, scope })
}

/// A person wants what an annotation names. Of what its pods read nothing is known to fit that version: it stays as it is.
fn to_previous(s: &Situation<'_>, inventory: &Inventory, linked: &Revision) -> Result<Way, String> {
    let annotation = s.policy.runbook.as_ref().and_then(|it| it.application.previous());
    let annotation = annotation.ok_or(
        "no annotation that names a previous version is looked at: that takes a Deployment, with `previous_version_annotation`",
    )?;
    let missing = || format!("its Deployment has no annotation {annotation}");
    let Previous { names, .. } = inventory.previous().ok_or_else(missing)?;
    let image = match names {
        Names::Image(image) => image,
        Names::Nothing(why) => {
            return Err(format!("its annotation {annotation} cannot be used: {why}"));
        }
    };
    if image.revision.agrees_with(linked) {
        let NewImage { image, revision, .. } = &**image;
        return Err(format!(
            "{image}, which its annotation {annotation} names, is what is set already ({revision})"
        ));
    }
    is_free(s, &image.revision)?;
    if let Some(bad) = rolled_away_from(s, &image.revision) {
        return Err(format!(
            "{bad}, which has the same tag, was itself rolled away from; `rollbackd lift` it first"
        ));
    }
    let scope = match inventory.deployed.as_ref().is_some_and(|it| it.configuration.is_some()) {
        true => "only the image is set, as was asked for: what its pods read stays as it is",
        false => "",
    };
    let application = Some((linked.clone(), image.revision.clone()));
    let image = Some(NewImage::clone(image));
    Ok(Way { application, configuration: None, image, scope: scope.to_owned() })
}

/// Adds to why there is no way back what a person could do: only where that would be taken now.
fn or_previous(s: &Situation<'_>, inventory: &Inventory, why: String) -> String {
    if inventory.deployed.as_deref().and_then(Deployed::bars).is_some() {
        return why;
    }
    let offered =
        inventory.linked.as_ref().and_then(|linked| to_previous(s, inventory, linked).ok());
    let Some(NewImage { image, .. }) = offered.and_then(|way| way.image) else { return why };
    let id = &s.state.id;
    format!(
        "{why}; it says itself that {image} was before, which was not seen to serve well: `rollbackd rollback {id} --to-previous-version --reason '…'`"
    )
}

/// Where the platform has it, unless it was rolled away from.
fn there(s: &Situation<'_>, inventory: &Inventory, target: &Revision) -> Result<Place, String> {
    let there = inventory
        .find(&target.version)
        .ok_or_else(|| format!("{target}, the last known good, is not there any more"))
        .map_err(|why| or_previous(s, inventory, why))?;
    is_free(s, target)?;
    Ok(inventory.place(there))
}

/// The template that is set now with another image is a version that never was: what is bad about an image stays bad.
fn rolled_away_from<'s>(s: &Situation<'s>, target: &Revision) -> Option<&'s Revision> {
    let tag = |revision: &Revision| {
        let version = &revision.version;
        version.split_once('+').map_or(version.clone(), |(tag, _)| tag.to_owned())
    };
    let entries = &s.state.ledger.shelves.get(&Component::Application)?.entries;
    let bad = entries.iter().find(|it| it.quarantine.is_some() && tag(&it.revision) == tag(target));
    bad.map(|entry| &entry.revision)
}

fn is_free(s: &Situation<'_>, target: &Revision) -> Result<(), String> {
    let quarantined = s
        .state
        .ledger
        .entry(Component::Application, target)
        .is_some_and(|e| e.quarantine.is_some());
    if quarantined {
        return Err(format!("{target} was itself rolled away from; `rollbackd lift` it first"));
    }
    Ok(())
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
            let target = s.state.ledger.target(component);
            let target = target.map_err(|why| or_previous(s, inventory, why.to_string()))?;
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
    if change.component == Component::Database
        && let Some(release) = came_with(s, change)
    {
        return not_undone_by(s, release, plan);
    }
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

/// The release that a migration belongs to: of the changes of the application that are near in time, the nearest. Whether the earlier
/// one runs on what the migration left is another guard's question.
fn came_with<'s>(s: &Situation<'s>, migration: &Change) -> Option<&'s Change> {
    let away = |change: &&Change| change.started_at.0.abs_diff(migration.started_at.0);
    let near = u64::try_from(s.policy.bake.ms()).unwrap_or(0);
    let releases = s.state.changes.iter().filter(|it| it.component == Component::Application);
    releases.filter(|it| away(it) <= near).min_by_key(away)
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

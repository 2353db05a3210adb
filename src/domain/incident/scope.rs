//! Which parts of a service go back: the application, what its pods read, or both, by what changed since both were good.

use crate::domain::{
    change::{Component, Revision},
    configuration::Configuration,
    configuration::Kind,
    inventory::Inventory,
    ledger::{Entry, Ledger},
    plan::Restore,
    planning::ConfigurationMove,
    situation::Situation,
};
use crate::units::UnixMs;

const APPLICATION: Component = Component::Application;
const CONFIGURATION: Component = Component::Configuration;

/// What goes back.
pub(super) struct Scope {
    /// Whether the application does.
    pub(super) application: bool,
    /// Whether what its pods read does.
    pub(super) configuration: bool,
    /// Whether of both it is the application that came last: without the other it goes back all the same.
    pub(super) application_last: bool,
    /// Why, in a sentence.
    pub(super) why: String,
}

/// By what changed: of two parts the one that changed last goes back, and the other with it unless it had earned known good
/// before. What nobody can tell is no reason to leave the application where it is.
pub(super) fn of(s: &Situation<'_>, inventory: &Inventory) -> Scope {
    let alone = |why: String| Scope {
        application: true,
        configuration: false,
        application_last: true,
        why,
    };
    if let Some(why) = inventory.configuration_unknown() {
        return alone(format!(
            "only the application goes back: what its pods read is unknown ({why})"
        ));
    }
    if inventory.configuration().is_none() {
        return alone(String::new());
    }
    let ledger = &s.state.ledger;
    let Some((application, configuration)) =
        serving(ledger, APPLICATION).zip(serving(ledger, CONFIGURATION))
    else {
        return alone(String::new());
    };
    if !has_changed(ledger, CONFIGURATION) {
        return alone(format!(
            "only the application goes back: {} never changed",
            configuration.revision
        ));
    }
    let (a, c) = (&application.revision, &configuration.revision);
    let is_newest = configuration.serving_since >= application.serving_since;
    if !is_newest && was_good(configuration, application.serving_since) {
        return alone(format!(
            "only the application goes back: {c} was known good before {a} came"
        ));
    }
    let goes_too = !is_newest
        || has_changed(ledger, APPLICATION) && !was_good(application, configuration.serving_since);
    let why = match (is_newest, goes_too) {
        (true, false) => format!(
            "only the configuration goes back, and {}: {c} came when {a} had served well",
            if inventory.deployed.is_some() {
                "the pods are started anew"
            } else {
                "it is restarted"
            }
        ),
        (_, true) | (false, _) => format!(
            "the configuration goes back first, then the application{}: neither {c} nor {a} was known good when the other came",
            if inventory.deployed.is_some() { ", in one rollout" } else { "" }
        ),
    };
    Scope { application: goes_too, configuration: true, application_last: !is_newest, why }
}

fn serving(ledger: &Ledger, component: Component) -> Option<&Entry> {
    ledger.entry(component, ledger.serving(component)?)
}

/// What was there at the first look is no change.
fn has_changed(ledger: &Ledger, component: Component) -> bool {
    ledger.shelves.get(&component).is_some_and(|shelf| shelf.entries.len() > 1)
}

fn was_good(entry: &Entry, before: UnixMs) -> bool {
    entry.quarantine.is_none() && entry.known_good_at.is_some_and(|at| at <= before)
}

/// What is done so that pods read again what they read when all was well.
pub(super) fn last_known_good(
    s: &Situation<'_>,
    found: &Configuration,
    with_application: bool,
) -> Result<ConfigurationMove, String> {
    let target = s.state.ledger.target(CONFIGURATION);
    let to = target.map_err(|why| {
        format!("what its pods read changed too, to {}, and cannot go back: {why}", found.revision)
    })?;
    back_to(s, found, to, with_application)
}

/// The same, to one that is named.
pub(super) fn back_to(
    s: &Situation<'_>,
    found: &Configuration,
    to: &Revision,
    with_application: bool,
) -> Result<ConfigurationMove, String> {
    if to.agrees_with(&found.revision) {
        return Err(format!("{to} is what its pods are given already"));
    }
    let kept = found.kept_of(to).ok_or_else(|| {
        format!("what its pods read changed, and of {to}, the last known good, nothing is kept")
    })?;
    let is_quarantined =
        s.state.ledger.entry(CONFIGURATION, to).is_some_and(|entry| entry.quarantine.is_some());
    if is_quarantined {
        return Err(format!("{to} was itself rolled away from; `rollbackd lift` it first"));
    }
    if !with_application && !found.is_of_the_same(kept) {
        return Err(format!("{to} is not what the template that is set now refers to"));
    }
    // A revision is of all that it was made of: with another set of secrets nothing could be that one again.
    if !found.looks_at_the_same(kept) {
        return Err(format!("{to} is of when other secrets of AWS were looked at"));
    }
    let (secrets, restores): (Vec<Restore>, Vec<Restore>) =
        found.back_to(kept)?.into_iter().partition(|it| it.kind == Kind::AwsSecret);
    let runbook = s.policy.runbook.as_ref().ok_or("no rollback is configured for this service")?;
    let secrets = runbook.secret_steps(&secrets, to)?;
    let misread_since = s.state.ledger.replaced_at(CONFIGURATION, to);
    let (from, to) = (found.revision.clone(), to.clone());
    Ok(ConfigurationMove { from, to, restores, secrets, misread_since })
}

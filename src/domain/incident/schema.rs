//! Whether the application can go back on the schema that is there, or the schema goes back with it, or neither.

use crate::{
    domain::{
        change::{Component, Migrations, Revision},
        guard::{Guard, Verdict},
        inventory::Inventory,
        plan::Plan,
        planning::DatabaseMove,
        runbook::Way,
        schema::between::{self, Between},
        situation::Situation,
    },
    units::UnixMs,
};

const APPLICATION: Component = Component::Application;
const DATABASE: Component = Component::Database;

/// What becomes of the schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Schema {
    /// It stays, and the target runs on it; why.
    Stays(String),
    /// It stays, and whether the target runs on it nobody can tell: no database is watched.
    Unwatched,
    /// The target cannot run on it, or nobody says that it can; why, in words.
    Moved(String),
}

/// What lies between the schema on which `target` ran well and the one that is there.
pub(super) fn of(s: &Situation<'_>, target: &Revision) -> Schema {
    let Some(policy) = &s.policy.database else { return Schema::Unwatched };
    let Some(good) = good_for(s, target) else {
        let shelf = s.state.ledger.shelves.get(&DATABASE);
        // What was there at the first look was never seen to change.
        return match shelf.map(|shelf| shelf.entries.len()) {
            Some(1) => Schema::Stays("its schema was never seen to change".into()),
            Some(_) | None => {
                let what = match s.watch.database.unknown() {
                    Some(why) => format!("nobody can tell which migrations it has: {why}"),
                    None => format!("on which schema {target} ran well was never seen"),
                };
                Schema::Moved(what)
            }
        };
    };
    let Some(now) = s.watch.database.known() else {
        let why = s.watch.database.unknown().unwrap_or("it was not looked at yet");
        let what = format!("nobody can tell which migrations it has: {why}");
        return Schema::Moved(what);
    };
    match between::between(now, good, policy.compatible_marker.as_deref()) {
        Between::Nothing => {
            Schema::Stays(format!("{target} ran well on version {good} of the schema"))
        }
        Between::Compatible(what) => Schema::Stays(format!(
            "said to be backward compatible: {what}; the database is suspect all the same"
        )),
        Between::Incompatible(what) if was_said_to_be_compatible(s) => {
            Schema::Stays(format!("whoever told of the change said that it is compatible: {what}"))
        }
        Between::Incompatible(what) => Schema::Moved(format!(
            "applied since {target} ran well, on version {good} of the schema: {what}"
        )),
        Between::Unknown(what) => Schema::Moved(what),
    }
}

/// The newest schema on which that version of the application earned that it is good, or served while another earned it.
fn good_for<'s>(s: &Situation<'s>, target: &Revision) -> Option<&'s Revision> {
    let ledger = &s.state.ledger;
    let replaced = ledger.replaced_at(APPLICATION, target);
    let proven = |at: UnixMs| replaced.is_none_or(|replaced| at <= replaced);
    let entries = ledger.shelves.get(&DATABASE)?.entries.iter();
    let good = entries
        .filter(|entry| entry.quarantine.is_none() && entry.known_good_at.is_some_and(proven));
    good.max_by_key(|entry| entry.serving_since).map(|entry| &entry.revision)
}

/// What was posted as incompatible stays so, whatever the history shows.
fn was_said_to_be_incompatible(s: &Situation<'_>) -> bool {
    let changes = s.state.changes_since_target();
    changes.iter().any(|change| change.migrations == Migrations::Incompatible)
}

/// Every change since the target served must have been said to be: the rollback goes back across all of them.
fn was_said_to_be_compatible(s: &Situation<'_>) -> bool {
    let mut carried = s.state.changes_since_target().into_iter().filter(|change| {
        change.component == APPLICATION && change.migrations != Migrations::Unknown
    });
    let first = carried.next();
    first.is_some_and(|change| change.migrations == Migrations::Compatible)
        && carried
            .all(|change| matches!(change.migrations, Migrations::Compatible | Migrations::None))
}

/// What the guard says of a plan by the history of migrations; none where no database is watched, and what was posted must do.
pub(super) fn verdict(s: &Situation<'_>, plan: Option<&Plan>) -> Option<Verdict> {
    let guard = Guard::SchemaMoved;
    let target = plan?.targets.iter().find(|target| target.component == APPLICATION);
    let Some(target) = target else {
        s.policy.database.as_ref()?;
        return Some(Verdict::not_applicable(guard, "the application stays at its version"));
    };
    let moved = match of(s, &target.to) {
        Schema::Unwatched => return None,
        Schema::Stays(_) if was_said_to_be_incompatible(s) => return None,
        Schema::Stays(why) => return Some(Verdict::pass(guard, why)),
        Schema::Moved(what) => what,
    };
    let goes_back = plan?.targets.iter().any(|target| target.component == DATABASE);
    let runbook = s.policy.runbook.as_ref().and_then(|it| it.database.as_ref());
    if let Some(runbook) = runbook.filter(|_| goes_back) {
        return Some(match runbook.automatic {
            true => Verdict::pass(guard, format!("the schema goes back with it: {moved}")),
            false => Verdict::refuse(
                guard,
                format!(
                    "the schema goes back with it, and what was written into what goes is lost: a person approves that. {moved}"
                ),
            ),
        });
    }
    let to = &target.to;
    let why = format!(
        "{moved}. Nobody says that {to} runs on that: mark such a migration as compatible, take it back first, or roll back by hand if you know that it does"
    );
    Some(Verdict::refuse(guard, why))
}

/// How the schema goes back with the application to `target`, where it has to, that is configured, and there is a way; and where
/// there is none, why it stays, which the guard refuses to act upon.
pub(super) fn back(
    s: &Situation<'_>,
    inventory: &Inventory,
    target: &Revision,
) -> (Option<DatabaseMove>, String) {
    let stays = (None, String::new());
    let runbook = s.policy.runbook.as_ref().and_then(|it| it.database.as_ref());
    let (Some(runbook), Schema::Moved(_)) = (runbook, of(s, target)) else { return stays };
    let (Some(good), Some(now)) = (good_for(s, target), s.watch.database.known()) else {
        return stays;
    };
    let undone = match between::way_back(now, good) {
        Ok(undone) => undone,
        Err(why) => return (None, format!("the schema cannot go back with it: {why}")),
    };
    let from = now.revision();
    let way = Way { from: &from, to: good, undone: &undone };
    let pods = inventory.deployed.as_ref().map(|deployed| deployed.wanted);
    (Some(runbook.back(way, pods)), String::new())
}

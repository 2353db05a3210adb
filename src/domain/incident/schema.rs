//! Whether the application can go back on the schema that is there, or the schema goes back with it, or neither.

use super::{rds, script};
use crate::{
    domain::{
        change::{Change, Component, Migrations, Revision},
        guard::{Guard, Verdict},
        inventory::Inventory,
        plan::{Action, Plan, Step},
        planning::DatabaseMove,
        run::Run,
        runbook::{Replacement, RestoreRunbook, Way},
        schema::{
            self,
            between::{self, Between},
        },
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
        let replaced = s.state.ledger.replaced_at(APPLICATION, target);
        let served_on_it = |since: UnixMs| replaced.is_none_or(|replaced| since <= replaced);
        return match shelf.map(|shelf| shelf.entries.as_slice()) {
            // What was there at the first look, while the target served, was never seen to change.
            Some([only]) if served_on_it(only.serving_since) => match known(s) {
                Ok(now) if now.revision().agrees_with(&only.revision) => {
                    Schema::Stays("its schema was never seen to change".into())
                }
                Ok(now) => Schema::Moved(format!(
                    "it is at {}, and {target} served on {}",
                    now.revision(),
                    only.revision
                )),
                Err(what) => Schema::Moved(what),
            },
            Some(_) | None => {
                let what = match s.watch.database.unknown() {
                    Some(why) => format!("nobody can tell which migrations it has: {why}"),
                    None => format!("on which schema {target} ran well was never seen"),
                };
                Schema::Moved(what)
            }
        };
    };
    let now = match known(s) {
        Ok(now) => now,
        Err(what) => return Schema::Moved(what),
    };
    if let Some(run) = &now.run {
        return Schema::Moved(format!(
            "somebody migrates it at this moment, and what that leaves nobody knows: {}",
            run.session
        ));
    }
    match between::between(now, good, policy.compatible_marker.as_deref()) {
        Between::Nothing => {
            Schema::Stays(format!("{target} ran well on version {good} of the schema"))
        }
        Between::Compatible(what) => Schema::Stays(format!(
            "said to be backward compatible: {what}; the database is suspect all the same"
        )),
        Between::Incompatible(what) if was_said_to_be_compatible(s, target) => {
            Schema::Stays(format!("whoever told of the change said that it is compatible: {what}"))
        }
        Between::Incompatible(what) => Schema::Moved(format!(
            "applied since {target} ran well, on version {good} of the schema: {what}"
        )),
        Between::Unknown(what) => Schema::Moved(what),
    }
}

/// The schema that is there; or why nobody can tell.
pub(super) fn known<'s>(s: &Situation<'s>) -> Result<&'s schema::Schema, String> {
    let told = s.watch.database.known_at().ok_or_else(|| {
        let why = s.watch.database.unknown().unwrap_or("it was not looked at yet");
        format!("nobody can tell which migrations it has: {why}")
    });
    let (now, at) = told?;
    // Whoever comes with a migration makes it before it ends.
    let newest = s.state.changes.iter().rev().find(|it| it.component == APPLICATION);
    match newest.filter(|change| change.settled_at() > at && change.settled_at() <= s.now.wall) {
        None => Ok(now),
        Some(change) => Err(format!(
            "nobody can tell which migrations came with {}: it was looked at before that",
            change.to
        )),
    }
}

/// The newest schema on which that version of the application earned that it is good, or served while another earned it.
pub(super) fn good_for<'s>(s: &Situation<'s>, target: &Revision) -> Option<&'s Revision> {
    let ledger = &s.state.ledger;
    let replaced = ledger.replaced_at(APPLICATION, target);
    let proven = |at: UnixMs| replaced.is_none_or(|replaced| at <= replaced);
    let entries = ledger.shelves.get(&DATABASE)?.entries.iter();
    let good = entries
        .filter(|entry| entry.quarantine.is_none() && entry.known_good_at.is_some_and(proven));
    good.max_by_key(|entry| entry.serving_since).map(|entry| &entry.revision)
}

/// What was posted as incompatible stays so, whatever the history shows.
fn was_said_to_be_incompatible(s: &Situation<'_>, target: &Revision) -> bool {
    let changes = s.state.changes_since(Some(target));
    changes.iter().any(|change| change.migrations == Migrations::Incompatible)
}

/// Every change since the target served must have been said to be: the rollback goes back across all of them.
fn was_said_to_be_compatible(s: &Situation<'_>, target: &Revision) -> bool {
    let mut changes = s.state.changes_since(Some(target));
    // What is seen of the schema itself is of nobody who could say so.
    changes.retain(|change| change.component == APPLICATION);
    let says = |change: &&Change| match change.migrations {
        Migrations::Compatible | Migrations::None => true,
        Migrations::Incompatible | Migrations::Unknown => false,
    };
    changes.iter().any(|change| change.migrations == Migrations::Compatible)
        && changes.iter().all(says)
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
        Schema::Stays(_) if was_said_to_be_incompatible(s, &target.to) => return None,
        Schema::Stays(why) => return Some(Verdict::pass(guard, why)),
        Schema::Moved(what) => what,
    };
    if let Some(verdict) = goes_back(s, plan?, &moved) {
        return Some(verdict);
    }
    let to = &target.to;
    let why = format!(
        "{moved}. Nobody says that {to} runs on that: mark such a migration as compatible, take it back first, or roll back by hand if you know that it does"
    );
    Some(Verdict::refuse(guard, why))
}

/// What it says where the schema goes back as well: by itself only where that is allowed for this very service.
fn goes_back(s: &Situation<'_>, plan: &Plan, moved: &str) -> Option<Verdict> {
    let guard = Guard::SchemaMoved;
    plan.targets.iter().find(|target| target.component == DATABASE)?;
    let runbook = s.policy.runbook.as_ref()?;
    if let Some(script) = script::of(plan) {
        let what = script.in_words();
        let why = format!(
            "the schema goes back with it, by {what}, and what it deletes is lost: a person approves that very script. {moved}"
        );
        return Some(Verdict::refuse(guard, why));
    }
    let (is_automatic, how, lost) = match plan.steps.iter().find_map(|step| copied(s, step)) {
        Some((is_automatic, how, lost)) => (is_automatic?, how, lost),
        None => {
            let lost = "what was written into what goes is lost".to_owned();
            (runbook.database.as_ref()?.automatic, "by undoing its migrations".to_owned(), lost)
        }
    };
    Some(match is_automatic {
        true => Verdict::pass(guard, format!("the schema goes back with it, {how}: {moved}")),
        false => Verdict::refuse(
            guard,
            format!(
                "the schema goes back with it, {how}, and {lost}: a person approves that. {moved}"
            ),
        ),
    })
}

/// Of a step that restores a copy: whether the daemon may do it by itself, where that is configured; from which copy, and what is lost.
fn copied(s: &Situation<'_>, step: &Step) -> Option<(Option<bool>, String, String)> {
    let runbook = s.policy.runbook.as_ref();
    if let Action::RdsRestore { what } = &step.action {
        let is_automatic = runbook.and_then(|it| it.rds.as_ref()).map(|it| it.automatic);
        let (how, lost) = rds::in_words(s, what);
        return Some((is_automatic, how, lost));
    }
    let Action::SnapshotRestore { file, .. } = &step.action else { return None };
    let seen = s.watch.database.ways.snapshots.iter().flatten();
    let found = seen.flat_map(|all| &all.newest).find(|it| it.file == *file);
    let lost = found.map_or_else(
        || "what was written since is lost".to_owned(),
        |snapshot| snapshot.loss(s.now.wall),
    );
    let is_automatic = runbook.and_then(|it| it.restore.as_ref()).map(|it| it.automatic);
    Some((is_automatic, format!("by {file}"), lost))
}

/// How the schema goes back with the application to `target`, where it has to, that is configured, and there is a way; and where
/// there is none, why it stays, which the guard refuses to act upon.
pub(super) fn back(
    s: &Situation<'_>,
    inventory: &Inventory,
    way: (&Revision, &Revision),
) -> (Option<DatabaseMove>, String) {
    let (mut moved, why) = gone_back(s, inventory, way);
    let earlier = s.state.incident.as_ref().and_then(|incident| incident.run.as_ref());
    if earlier.is_some_and(Run::keeps_from_writing) {
        moved.iter_mut().for_each(DatabaseMove::stopped_before);
    }
    (moved, why)
}

fn gone_back(
    s: &Situation<'_>,
    inventory: &Inventory,
    (release, target): (&Revision, &Revision),
) -> (Option<DatabaseMove>, String) {
    let stays = (None, String::new());
    let Some(runbook) = &s.policy.runbook else { return stays };
    if runbook.database.is_none() && runbook.restore.is_none() && runbook.rds.is_none() {
        return stays;
    }
    let Schema::Moved(moved) = of(s, target) else { return stays };
    let (Some(good), Ok(now)) = (good_for(s, target), known(s)) else {
        // A plan of the code alone must not look as if that were all.
        return (None, format!("the schema does not go back with it: {moved}"));
    };
    let from = now.revision();
    // Those that a rollback took away which then halted are given back by this one.
    let pods = inventory.deployed.as_ref().map(|it| it.stopped.unwrap_or(it.wanted));
    let undo = runbook.database.as_ref().map(|undo| {
        let undone = between::way_back(now, good)?;
        let way = Way { from: &from, to: good, undone: &undone };
        script::back(s, undo, way, (release, pods))
    });
    let why = match undo {
        Some(Ok(moved)) => return (Some(moved), String::new()),
        Some(Err(why)) => Some(why),
        None => None,
    };
    let restore = match &runbook.rds {
        Some(runbook) => Some(rds::back(s, runbook, (now, good), pods)),
        None => runbook.restore.as_ref().map(|it| restored(s, it, &from, good, pods)),
    };
    let restore = restore
        .map(|back| back.map(|(moved, lost)| (DatabaseMove { lost: lost.clone(), ..moved }, lost)));
    match (restore, why) {
        (Some(Ok((moved, lost))), None) => (Some(moved), lost),
        (Some(Ok((moved, lost))), Some(why)) => {
            (Some(moved), format!("its migrations cannot be taken back, {why}; {lost}"))
        }
        (Some(Err(why)), undone) => {
            let why = [undone, Some(why)].into_iter().flatten().collect::<Vec<_>>().join("; ");
            (None, format!("the schema cannot go back with it: {why}"))
        }
        (None, Some(why)) => (None, format!("the schema cannot go back with it: {why}")),
        (None, None) => stays,
    }
}

/// By an earlier copy of everything, and what would be lost with that.
fn restored(
    s: &Situation<'_>,
    runbook: &RestoreRunbook,
    from: &Revision,
    good: &Revision,
    pods: Option<u32>,
) -> Result<(DatabaseMove, String), String> {
    let seen = s.watch.database.ways.snapshots.as_ref();
    let seen = seen.ok_or("nobody has looked yet which snapshots there are")?;
    let all =
        seen.as_ref().map_err(|why| format!("nobody can tell which snapshots there are: {why}"))?;
    let snapshot = all.of(good)?;
    let [restored, replaced] =
        ["restored", "replaced"].map(|kind| all.free(&runbook.database, kind));
    let (restored, replaced) = (restored.as_str(), replaced.as_str());
    let it = Replacement { from, to: good, snapshot, restored, replaced };
    Ok((runbook.back(it, pods), snapshot.loss(s.now.wall)))
}

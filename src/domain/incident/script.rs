//! Going back by a reviewed script: only one that was tried on the very schema that is there, and only by a person's word for it.

use super::{
    schema,
    target::{self, To},
};
use crate::domain::{
    change::Revision,
    plan::{Action, Plan},
    planning::DatabaseMove,
    run,
    runbook::{DatabaseRunbook, ScriptRunbook, Way},
    schema::{
        between,
        script::{Changes, Script, ScriptRun},
    },
    situation::Situation,
};

/// The script that a plan runs.
pub(super) fn of(plan: &Plan) -> Option<&ScriptRun> {
    plan.steps.iter().find_map(|step| {
        let Action::ReverseScript { script, .. } = &step.action else { return None };
        Some(&**script)
    })
}

/// How the schema goes back by what its runbook says: by the undo of the tool; by the script where there is no undo, where it would take
/// back something else, or where it was tried in this incident and the schema is still where it was.
pub(super) fn back(
    s: &Situation<'_>,
    runbook: &DatabaseRunbook,
    way: Way<'_>,
    (release, pods): (&Revision, Option<u32>),
) -> Result<DatabaseMove, String> {
    let undo = runbook.undo.as_ref();
    let is_exact = between::are_all_above(way.undone, way.to);
    let instead =
        |_: &&ScriptRunbook| undo.is_none() || is_exact.is_err() || took_nothing_back(s, way);
    let Some(script) = runbook.script.as_ref().filter(instead) else {
        is_exact?;
        return runbook.back(way, pods).ok_or_else(|| "nothing takes it back".to_owned());
    };
    let found = meant(s, script, release, way)?;
    let run = script.run(&runbook.schema, found, way, runbook.undo_timeout);
    let changes = tried(s, &run)?;
    Ok(runbook.back_by_script((run, found), changes, way, pods))
}

/// What is to be tried so that there can be a plan with it; and why nothing is.
pub fn to_try(s: &Situation<'_>, to: To<'_>) -> Result<ScriptRun, String> {
    if let Some(why) = s.forbidden() {
        return Err(format!("nothing can be tried: {why}"));
    }
    let runbook = s.policy.runbook.as_ref().and_then(|it| it.database.as_ref());
    let both = runbook.and_then(|it| Some((it, it.script.as_ref()?)));
    let (runbook, script) = both.ok_or(
        "no script takes its schema back: that takes `script` in [service.NAME.rollback.database]",
    )?;
    let target = target::application(s, to)?;
    let (release, target) =
        target.ok_or("its application stays at its version, and so does its schema")?;
    let good = schema::good_for(s, &target);
    let good = good.ok_or_else(|| format!("on which schema {target} ran well was never seen"))?;
    let now = schema::known(s)?;
    let (from, undone) = (now.revision(), between::way_back(now, good)?);
    let way = Way { from: &from, to: good, undone: &undone };
    let found = meant(s, script, &release, way)?;
    Ok(script.run(&runbook.schema, found, way, runbook.undo_timeout))
}

/// What else people can do where the undo of a rollback took nothing back; nothing where they can do nothing else, or it has halted
/// elsewhere.
pub(super) fn instead(s: &Situation<'_>) -> Option<String> {
    let runbook = s.policy.runbook.as_ref()?.database.as_ref()?;
    runbook.script.as_ref()?;
    let way = halted(s)?.plan.steps.get(halted(s)?.cursor)?;
    let Action::MigrationsUndo { from, to, undone, .. } = &way.action else { return None };
    if !took_nothing_back(s, Way { from, to, undone }) {
        return None;
    }
    let id = &s.state.id;
    match target::plan(s, To::LastKnownGood) {
        Ok(plan) => match of(&plan) {
            Some(script) => Some(format!(
                "{} takes it back instead, where a person approves that: look at `rollbackd plan {id}`, then `rollbackd rollback {id} --plan {} --reason …`",
                script.in_words(),
                plan.hash()
            )),
            None => Some(format!("there may be a script instead: {}", plan.scope)),
        },
        Err(why) => Some(format!("there may be a script instead: {why}")),
    }
}

/// The file that is meant, as it was looked at last, if it can be run.
fn meant<'s>(
    s: &'s Situation<'_>,
    runbook: &ScriptRunbook,
    release: &Revision,
    way: Way<'_>,
) -> Result<&'s Script, String> {
    let file = runbook.meant(release, way)?;
    let seen = s.watch.database.ways.scripts.as_ref();
    let all = seen.ok_or("nobody has looked yet which scripts there are")?;
    let all =
        all.as_ref().map_err(|why| format!("nobody can tell which scripts there are: {why}"))?;
    let found = all.iter().find(|it| it.file == file);
    let found = found.ok_or_else(|| format!("there is no script {file}"))?;
    match &found.barred {
        Some(why) => Err(format!("the script {file} cannot be run: {why}")),
        None => Ok(found),
    }
}

/// What it changed when it was tried as it is, on the schema that is there.
fn tried<'s>(s: &'s Situation<'_>, run: &ScriptRun) -> Result<&'s Changes, String> {
    let what = run.in_words();
    let trial = s.watch.database.ways.trial.as_deref().filter(|trial| trial.of == *run);
    let trial = trial.ok_or_else(|| {
        format!("{what} was not tried on the schema that is there: `rollbackd dry-run {}` does that, and takes it back", s.state.id)
    })?;
    trial.came.as_ref().map_err(|why| format!("{what} failed when it was tried: {why}"))
}

/// The rollback of this incident that halted.
fn halted<'s>(s: &'s Situation<'_>) -> Option<&'s run::Run> {
    let run = s.state.incident.as_ref().and_then(|incident| incident.run.as_ref());
    run.filter(|run| matches!(run.phase, run::Phase::Halted { .. }))
}

/// Whether the undo of this very way was tried in this incident, and failed without the schema having moved: an edition without undo, or a
/// migration that nobody wrote an undo for. What stopped half-way is for people.
fn took_nothing_back(s: &Situation<'_>, way: Way<'_>) -> bool {
    let Some(run) = halted(s) else { return false };
    // What was stopped may have been given back since.
    let last = run.attempts.iter().rfind(|attempt| !attempt.fallback);
    let last = last.and_then(|attempt| attempt.ended.as_ref());
    let stayed = last.is_some_and(|(_, report)| {
        matches!(report.outcome, run::Outcome::Failed { .. }) && report.before == report.after
    });
    let step = run.plan.steps.get(run.cursor).filter(|_| stayed);
    let is_of_this_way = |action: &Action| {
        let Action::MigrationsUndo { from, to, .. } = action else { return false };
        from.agrees_with(way.from) && to.agrees_with(way.to)
    };
    step.is_some_and(|step| is_of_this_way(&step.action))
}

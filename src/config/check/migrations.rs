//! How a service's schema goes back with its code.

use std::collections::BTreeMap;

use toml::Spanned;

use crate::{
    config::{
        Migrated,
        check::{found::Found, kubernetes, platform::line},
        raw::{self, Stop},
    },
    domain::{
        plan::CommandLine,
        planning::Runbook,
        runbook::{ApplicationRunbook, DatabaseRunbook, ScriptRunbook, StopWrites},
        schema::undo::{UndoBy, UndoJob},
    },
    units::Span,
};

const UNDO: Span = Span::minutes(10);
const KEEP: Span = Span::hours(24);
/// One that is gone before anybody saw how it ended leaves nobody who can tell.
const KEEP_MIN: Span = Span::hours(1);

/// What `[service.NAME.rollback.database]` says.
pub(super) fn back(
    found: &mut Found<'_>,
    said: &Spanned<raw::Undo>,
    (is_looked_at, looked_at): (bool, Option<&Migrated>),
    (script, runbook): (Option<ScriptRunbook>, &Runbook),
) -> Option<DatabaseRunbook> {
    let (at, said) = (said.span(), said.get_ref());
    let timeout = found.positive(&said.timeout, UNDO);
    let run = said.undo.as_ref().and_then(|undo| undone(found, undo, said)).map(UndoBy::Run);
    let job = job(found, said, timeout, runbook).map(UndoBy::Job);
    let undo = run.or(job);
    if said.undo.is_none() && said.cron_job.is_none() && said.script.is_none() {
        let instead =
            "add undo = [\"/path/to/program\", \"{last}\"], or script = \"/path/to/reverse.sql\"";
        found.error(at.clone(), "nothing takes its migrations back", instead);
    }
    let stops = Stops {
        how: said.stop_writes.as_ref(),
        stop: said.stop.as_ref(),
        start: said.start.as_ref(),
        env: &said.env,
        dir: &said.dir,
    };
    let stop_writes = stop_writes(found, &stops, at.clone(), runbook);
    if !is_looked_at {
        let instead = "add [service.NAME.database]";
        found.error(at.clone(), "nobody looks at the history of its migrations", instead);
    }
    let history = looked_at.and_then(Migrated::history);
    if looked_at.is_some() && history.is_none() {
        let what = "how far an undo came is seen in the table of migrations alone";
        found.error(
            at,
            what,
            "write from = \"...\" in [service.NAME.database], instead of actuator or info",
        );
    }
    // What is wrong with that was said there.
    if undo.is_none() && script.is_none() {
        return None;
    }
    Some(DatabaseRunbook {
        schema: history?.at(),
        undo,
        script,
        undo_timeout: timeout,
        stop_writes: stop_writes?,
        automatic: said.automatic.as_ref().is_some_and(|said| *said.get_ref()),
    })
}

/// A Job where the Deployment is.
fn job(
    found: &mut Found<'_>,
    said: &raw::Undo,
    timeout: Span,
    runbook: &Runbook,
) -> Option<UndoJob> {
    let keep = found.positive(&said.keep, KEEP);
    let Some(cron_job) = &said.cron_job else {
        if let Some(keep) = &said.keep {
            let what = "`keep` is of a Job, and there is none";
            found.error(keep.span(), what, "add cron_job = \"undo-migrations\", or leave it out");
        }
        return None;
    };
    if let Some(said) = said.keep.as_ref().filter(|_| keep < KEEP_MIN) {
        let what = format!("a Job that goes after {keep} may be gone before anybody saw its end");
        found.error(said.span(), what, format!("write keep = \"{KEEP_MIN}\" or longer"));
    }
    if said.undo.is_some() {
        let what = "a program and a Job cannot both take its migrations back";
        found.error(cron_job.span(), what, "keep undo or cron_job");
    }
    let ApplicationRunbook::Deployment(deployment) = &runbook.application else {
        let what = "a Job runs where a Deployment is, and here is none";
        found.error(cron_job.span(), what, "write undo = [\"/path/to/program\", \"{last}\"]");
        return None;
    };
    let (cluster, namespace) = (deployment.cluster.clone(), deployment.namespace.clone());
    let is_legal = kubernetes::is_cron_job(found, cron_job);
    let cron_job = cron_job.get_ref().clone();
    let env = BTreeMap::new();
    is_legal.then_some(UndoJob { cluster, namespace, cron_job, timeout, keep, env })
}

fn undone(
    found: &mut Found<'_>,
    undo: &Spanned<Vec<String>>,
    said: &raw::Undo,
) -> Option<CommandLine> {
    let run = line(found, undo, &said.env, &said.dir, &said.timeout);
    let names_it = undo
        .get_ref()
        .iter()
        .any(|text| ["{to}", "{last}", "{count}"].iter().any(|place| text.contains(place)));
    if !names_it {
        let instead = "write {last} where it wants the oldest version that is taken back (-target={last} for Flyway), {to} where it wants the one that stays, or {count}";
        found.error(undo.span(), "nothing tells it how far to go back", instead);
    }
    run.filter(|_| names_it)
}

/// What keeps it from writing, as a table says it.
pub(super) struct Stops<'r> {
    pub(super) how: Option<&'r Spanned<Stop>>,
    pub(super) stop: Option<&'r Spanned<Vec<String>>>,
    pub(super) start: Option<&'r Spanned<Vec<String>>>,
    pub(super) env: &'r BTreeMap<String, raw::EnvValue>,
    pub(super) dir: &'r raw::Placed<String>,
}

/// How that is meant; `at` is where it would be said.
pub(super) fn stop_writes(
    found: &mut Found<'_>,
    said: &Stops<'_>,
    at: std::ops::Range<usize>,
    runbook: &Runbook,
) -> Option<StopWrites> {
    let is_deployment = matches!(runbook.application, ApplicationRunbook::Deployment(_));
    let how = said.how.map(|said| *said.get_ref());
    let place = said.how.map_or(at, Spanned::span);
    let start = said.start.and_then(|start| {
        if said.stop.is_none() {
            let what = "it starts what no program stops";
            found.error(
                start.span(),
                what,
                "add stop = [\"/path/to/program\"], or leave start out",
            );
        }
        line(found, start, said.env, said.dir, &None)
    });
    match (how, said.stop) {
        (Some(Stop::Command) | None, Some(argv)) => {
            let stop = line(found, argv, said.env, said.dir, &None)?;
            Some(StopWrites::Command { stop, start })
        }
        (Some(Stop::Scale) | None, None) if is_deployment => Some(StopWrites::Scale),
        (Some(Stop::No), None) => Some(StopWrites::No),
        (Some(Stop::Scale), None) => {
            let what = "a Deployment is scaled, and here is none";
            found.error(
                place,
                what,
                "write stop = [\"/path/to/program\"], or stop_writes = \"no\"",
            );
            None
        }
        (Some(Stop::Command), None) => {
            let what = "it does not say which program keeps the service from writing";
            found.error(place, what, "add stop = [\"/path/to/program\"]");
            None
        }
        (None, None) => {
            let what = "nothing keeps the service from writing while its schema goes back";
            let instead = "add stop = [\"/path/to/program\"]; or stop_writes = \"no\", where maintenance mode does";
            found.error(place, what, instead);
            None
        }
        (Some(Stop::Scale | Stop::No), Some(_)) => {
            let what = "it names a program that stop_writes does not want";
            found.error(place, what, "write stop_writes = \"command\", or leave stop out");
            None
        }
    }
}

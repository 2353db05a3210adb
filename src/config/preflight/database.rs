//! What there is to take a service's database back with: the programs, the rights, and a server that takes writes.

use std::path::Path;

use crate::{
    config::{HistoryRead, Kept, KeptByRds, Migrated, Reversed},
    databases::writable::{Writer, takes_writes},
    domain::{inventory::Check, planning::Runbook, runbook::StopWrites, schema::undo::UndoBy},
    executors::{
        preflight::program_preflight, rds::rds_preflight, script::script_preflight,
        snapshot::snapshot_preflight,
    },
    units::UnixMs,
};

/// All of it, with its history as it was read a moment ago; programs run in `dir` where nothing else is said.
pub(super) async fn of_database(
    database: Migrated,
    read: Option<HistoryRead>,
    runbook: Option<Runbook>,
    dir: &Path,
) -> Vec<Check> {
    let now = UnixMs(jiff::Timestamp::now().as_millisecond());
    let mut checks = vec![];
    let history = match (database.history(), read) {
        (Some(_), Some(read)) => read,
        (Some(history), None) => history.read().await.map_err(|why| why.to_string()),
        (None, _) => Err("its own table of migrations is not looked at".to_owned()),
    };
    if database.history().is_some() {
        let told = history.as_ref().map(|it| format!("{} is at {}", it.table, it.version()));
        checks.push(Check::of("the history of its migrations is read", told.map_err(Clone::clone)));
    }
    if let Some(runbook) = &runbook {
        checks.extend(programs(runbook, dir).await);
    }
    let undo = runbook.as_ref().and_then(|it| it.database.as_ref()?.undo.as_ref());
    // Of one that cannot be read that is said already.
    if let (Some(own), Some(_), Ok(_)) = (database.history(), undo, &history) {
        let seen = takes_writes(&own.options, Writer::Another).await;
        checks.push(Check::of("its migrations can be taken back on that server", seen));
    }
    if let Some(Reversed { scripted, .. }) = &database.reversed {
        checks.extend(script_preflight(scripted, &history).await);
    }
    if let Some(Kept { keeper, .. }) = &database.snapshots {
        checks.extend(snapshot_preflight(keeper, &history, dir, now).await);
    }
    let by_rds = runbook.as_ref().and_then(|it| it.rds.as_ref());
    if let Some((KeptByRds { place, .. }, runbook)) = database.rds.as_ref().zip(by_rds) {
        checks.extend(Box::pin(rds_preflight(place, runbook.wanted(), now)).await);
    }
    checks
}

/// Those that are run where the daemon is: the undo, what restores, and what keeps the service from writing.
async fn programs(runbook: &Runbook, dir: &Path) -> Vec<Check> {
    let mut checks = vec![];
    let undo = runbook.database.as_ref().and_then(|it| it.undo.as_ref());
    if let Some(UndoBy::Run(line)) = undo {
        checks
            .push(program_preflight("what takes its migrations back can be run", line, dir).await);
    }
    if let Some(restore) = &runbook.restore {
        let what = "what restores a snapshot can be run";
        checks.push(program_preflight(what, &restore.restore, dir).await);
    }
    let stops = [
        runbook.database.as_ref().map(|it| &it.stop_writes),
        runbook.restore.as_ref().map(|it| &it.stop_writes),
        runbook.rds.as_ref().map(|it| &it.stop_writes),
    ];
    let mut seen = vec![];
    for writes in stops.into_iter().flatten() {
        let StopWrites::Command { stop, start } = writes else { continue };
        let stop = ("what keeps it from writing can be run", stop);
        let start = start.as_ref().map(|line| ("what lets it write again can be run", line));
        for (what, line) in std::iter::once(stop).chain(start) {
            if !seen.contains(&line) {
                seen.push(line);
                checks.push(program_preflight(what, line, dir).await);
            }
        }
    }
    checks
}

//! A service's database: what of it is watched, how its schema goes back, and what is not done to it.

use crate::{
    config::{Migrated, Teller},
    domain::{
        integrity::Expects,
        planning::Runbook,
        policy::ServicePolicy,
        runbook::{DatabaseRunbook, StopWrites},
        schema::undo::UndoBy,
        service::Mode,
    },
    units::{Percent, Span},
};

/// What is looked at, and how often; nothing where no database is. `migrated` is how, where that is known.
pub(super) fn watched(policy: &ServicePolicy, migrated: Option<&Migrated>) -> Vec<String> {
    let Some(database) = &policy.database else { return vec![] };
    let every_watched = migrated.map(|it| it.every_watched);
    let told = migrated.map_or_else(String::new, |it| format!(", as {} says", told_by(&it.teller)));
    let mut lines = vec![
        format!(
            "how far {} is migrated{told}, {}",
            database.place,
            how_often(database.every, every_watched)
        ),
        format!(
            "a migration that failed, or that runs for longer than {}, fires migration-failure",
            database.stuck_after
        ),
        match &database.compatible_marker {
            Some(marker) => format!(
                "the earlier code runs on what a migration leaves whose description or script's name holds `{marker}`, or whose change is posted as compatible; on another nobody says that it does"
            ),
            None => {
                "the earlier code runs on what a migration leaves whose change is posted as compatible; on another nobody says that it does (compatible_marker)".to_owned()
            }
        },
    ];
    for (name, check) in &policy.checks {
        let watched = migrated.and_then(|it| it.checks.get(name)).map(|it| it.every_watched);
        lines.push(format!(
            "check {name} of {}: {}, {}",
            check.place,
            expected(check.expects),
            how_often(check.every, watched)
        ));
    }
    let share = migrated.and_then(|it| it.checks.values().next()).map(|it| it.share);
    lines.push(match share {
        Some(share) => format!(
            "one that is violated twice running fires data-corruption; all of them take at most {} of the time",
            Percent(share)
        ),
        None if policy.checks.is_empty() => {
            "nobody looks at its data: there is no [service.NAME.database.check]".to_owned()
        }
        None => "one that is violated twice running fires data-corruption".to_owned(),
    });
    lines.extend(migrated.into_iter().flat_map(kept));
    lines
}

/// What of it could be gone back to.
fn kept(migrated: &Migrated) -> Vec<String> {
    let scripts = migrated.reversed.as_ref().map(|it| {
        let how = how_often(it.every, Some(it.every_watched));
        format!("which scripts there are that take it back: {}, {how}", it.files)
    });
    let snapshots = migrated.snapshots.as_ref().map(|it| {
        let files = &it.keeper.files;
        let (dir, begins, ends) = (files.dir.display(), &files.begins, &files.ends);
        let how = how_often(it.every, Some(it.every_watched));
        format!("which snapshots there are of it: {dir}/{begins}*{ends}, {how}")
    });
    let by_rds = migrated
        .rds
        .as_ref()
        .map(|it| (it.place.at.clone(), how_often(it.every, Some(it.every_watched))))
        .map(|(at, how)| format!("which snapshots there are of {at}, {how}"));
    [scripts, snapshots, by_rds].into_iter().flatten().collect()
}

fn told_by(teller: &Teller) -> String {
    match teller {
        Teller::Table(history) => format!("its table {}", history.name),
        Teller::Actuator(actuator) => {
            format!("the application at {}", crate::sources::http::shown(&actuator.url))
        }
        Teller::Info(info) => format!("`{}`", info.line.argv.join(" ")),
    }
}

pub(super) fn how_often(every: Span, watched: Option<Span>) -> String {
    match watched.filter(|watched| *watched < every) {
        Some(watched) => {
            format!("every {every}, and every {watched} while a change or an incident is watched")
        }
        None => format!("every {every}"),
    }
}

fn expected(expects: Expects) -> String {
    match expects {
        Expects::NoRow => "it must return no row".to_owned(),
        Expects::Within { low, high } => format!("a number from {low} to {high}"),
        Expects::DropsAtMost { share } => {
            format!("a number that falls by at most {} after a change", Percent(share))
        }
        Expects::ForeignKeys => "whatever refers to a row refers to one that is there".to_owned(),
        Expects::LagAtMost { max } => format!("it is at most {max} behind"),
    }
}

/// The ways back, in the order in which they are tried.
pub(super) fn goes_back(policy: &ServicePolicy) -> Vec<String> {
    let Some(runbook) = policy.runbook.as_ref().filter(|_| policy.database.is_some()) else {
        return vec![];
    };
    let Runbook { database, restore, rds, .. } = runbook;
    if database.is_none() && restore.is_none() && rds.is_none() {
        return vec![
            "it does not: where nobody says that the earlier code runs on the schema that is there, the code stays as well, and people are told what lies between"
                .to_owned(),
        ];
    }
    let mut lines = vec![
        "only where nobody says that the earlier code runs on the schema that is there; it goes back first, while nothing writes"
            .to_owned(),
    ];
    if let Some(database) = database {
        lines.extend(by_migrations(policy, database));
    }
    let otherwise = if database.is_some() { "where that is no way: " } else { "" };
    if let Some(restore) = restore {
        lines.push(format!(
            "{otherwise}the whole of {} is put back from the newest snapshot that holds exactly the schema that is wanted, with at most {}; what was written since is lost, and told before: {}",
            restore.database,
            restore.restore.timeout,
            said_by(policy, restore.automatic)
        ));
        lines.push(stopped(&restore.stop_writes));
    }
    if let Some(rds) = rds {
        lines.push(format!(
            "{otherwise}another {} is made of a snapshot of {}, within {}, and {} leads there; what was written since is lost, and told before: {}",
            rds.at.form,
            rds.at,
            rds.restore_timeout,
            rds.secret,
            said_by(policy, rds.automatic)
        ));
        lines.push(stopped(&rds.stop_writes));
    }
    lines
}

fn by_migrations(policy: &ServicePolicy, database: &DatabaseRunbook) -> Vec<String> {
    let timeout = database.undo_timeout;
    let mut lines = vec![];
    if let Some(undo) = &database.undo {
        let by = match undo {
            UndoBy::Run(line) => format!("`{}`", line.argv.join(" ")),
            UndoBy::Job(job) => format!(
                "a Job that is made from the CronJob {}/{} of {}",
                job.namespace, job.cron_job, job.cluster
            ),
        };
        lines.push(format!(
            "its migrations are taken back by {by}, once, within {timeout}, down to the very version: {}",
            said_by(policy, database.automatic)
        ));
    }
    if let Some(script) = &database.script {
        let when = match database.undo {
            Some(_) => "where an undo would take back something else, or took nothing back: ",
            None => "",
        };
        lines.push(format!(
            "{when}the script {} is run in one transaction, within {timeout}: only where `rollbackd dry-run {}` showed what it changes, and a person approves that very script",
            script.file, policy.id
        ));
    }
    lines.push(stopped(&database.stop_writes));
    lines
}

fn said_by(policy: &ServicePolicy, automatic: bool) -> &'static str {
    match (policy.mode, automatic) {
        (Mode::Observe, _) => "the mode is observe, and it is not done",
        (Mode::Approve, _) => "where a person approves the plan",
        (Mode::Auto, false) => "where a person approves the plan; `automatic` is not said",
        (Mode::Auto, true) => "by itself (`automatic`)",
    }
}

fn stopped(stop_writes: &StopWrites) -> String {
    match stop_writes {
        StopWrites::Scale => "  meanwhile its Deployment has no pods".to_owned(),
        StopWrites::Command { stop, start: None } => {
            format!(
                "  before that `{}` keeps it from writing; where it halts, people let it write again (`start`)",
                stop.argv.join(" ")
            )
        }
        StopWrites::Command { stop, start: Some(start) } => {
            format!(
                "  before that `{}` keeps it from writing; `{}` lets it write again",
                stop.argv.join(" "),
                start.argv.join(" ")
            )
        }
        StopWrites::No => {
            "  nothing here keeps it from writing meanwhile: maintenance mode must, or what does it"
                .to_owned()
        }
    }
}

/// What nobody need fear, and nobody must wait for.
pub(super) fn never(policy: &ServicePolicy) -> Vec<String> {
    if policy.database.is_none() {
        return vec![];
    }
    let mut lines = vec![
        "its history is never written, but by the tool or the script that takes it back: there is no repair, and no migration is run forward"
            .to_owned(),
        "no schema goes back, and no code across a migration, while its history cannot be read, while somebody migrates, or where a migration is half applied"
            .to_owned(),
    ];
    let runbook = policy.runbook.as_ref();
    let ways = [
        runbook.and_then(|it| it.database.as_ref()).map(|it| it.automatic && it.undo.is_some()),
        runbook.and_then(|it| it.restore.as_ref()).map(|it| it.automatic),
        runbook.and_then(|it| it.rds.as_ref()).map(|it| it.automatic),
    ];
    let by_itself = policy.mode == Mode::Auto && ways.contains(&Some(true));
    if ways.iter().any(Option::is_some) && !by_itself {
        lines.push("the daemon takes no schema back by itself".to_owned());
    }
    if runbook.is_some_and(|it| it.restore.is_some() || it.rds.is_some()) {
        lines
            .push("what was there before a restore is kept, and deleted by nobody here".to_owned());
    }
    lines
}

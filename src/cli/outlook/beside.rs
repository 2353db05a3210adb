//! What changes beside the application, and how that goes back: its database, and the secrets that it reads.

use crate::{
    config::{Config, Migrated, Teller},
    domain::{planning::Runbook, policy::ServicePolicy, rds::Form, service::ServiceId},
    units::Span,
};

/// What is looked at.
pub(super) fn reads(config: &Config, service: &ServiceId) -> Vec<String> {
    let mut reads: Vec<String> =
        config.databases.get(service).into_iter().flat_map(database).collect();
    let secrets = config.secrets.get(service).into_iter().flatten();
    reads.extend(secrets.map(|it| {
        let how = often(it.every, it.every_watched);
        format!("what it is given: which version of {} is current, {how}", it.at)
    }));
    reads
}

fn database(it: &Migrated) -> Vec<String> {
    let who = match &it.teller {
        Teller::Table(history) => {
            format!("{} of {}", history.at().history_table, history.options.place())
        }
        Teller::Actuator(actuator) => crate::sources::http::shown(&actuator.url),
        Teller::Info(info) => format!("`{}`", info.line.argv.join(" ")),
    };
    let mut reads = vec![format!("migrations: {who}, {}", often(it.every, it.every_watched))];
    if let Some(kept) = &it.snapshots {
        let dir = kept.keeper.files.dir.display();
        reads.push(format!(
            "snapshots of its database: in {dir}, {}",
            often(kept.every, kept.every_watched)
        ));
    }
    if let Some(kept) = &it.rds {
        reads.push(format!(
            "snapshots of its database: {}, {}",
            kept.place.at,
            often(kept.every, kept.every_watched)
        ));
    }
    reads
}

fn often(every: Span, watched: Span) -> String {
    if watched < every {
        format!("every {every}, and every {watched} while it is watched")
    } else {
        format!("every {every}")
    }
}

/// What goes back with the application, before it or instead of it.
pub(super) fn rolls_back(policy: &ServicePolicy, runbook: &Runbook) -> Vec<String> {
    let mut lines: Vec<String> = vec![];
    if let Some(own) = &runbook.database {
        lines.push(format!(
            "where migrations were applied since that are not marked as compatible, they are taken back first: {}",
            approved(own.automatic)
        ));
    }
    if let Some(own) = &runbook.restore {
        lines.push(format!(
            "or all of its database {} goes back to a snapshot, and what was written since is lost: {}",
            own.database,
            approved(own.automatic)
        ));
    }
    if let Some(own) = &runbook.rds {
        let kept = match own.at.form {
            Form::Instance => "another instance",
            Form::Cluster => "another cluster",
        };
        lines.push(format!(
            "where migrations were applied since that are not marked as compatible, {kept} is made of a snapshot of {} (at most {}) and {} leads there: \
             what is there is kept, and what was written since is lost: {}",
            own.at.name,
            own.restore_timeout,
            own.secret,
            approved(own.automatic)
        ));
    }
    let has_way = runbook.database.is_some() || runbook.restore.is_some() || runbook.rds.is_some();
    if policy.database.is_some() && !has_way {
        let what = "where migrations were applied since that are not marked as compatible, people are asked: no schema goes back";
        lines.push(what.to_owned());
    }
    lines.extend(runbook.secrets.iter().map(|it| {
        format!("where {} is what changed, its version of before is made current, and what serves is started anew", it.at)
    }));
    lines
}

fn approved(automatic: bool) -> &'static str {
    if automatic { "by itself, too" } else { "a person approves that" }
}

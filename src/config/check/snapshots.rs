//! How a service's whole database is put back from a snapshot.

use std::{collections::BTreeMap, path::PathBuf};

use jiff::tz::TimeZone;
use toml::Spanned;

use super::{
    database::{Reached, called},
    migrations::{self, Stops},
    platform::reference,
};
use crate::{
    config::{Kept, Migrated, check::found::Found, raw},
    databases::{Kind, Options, Tls, history::History},
    domain::{
        plan::{CommandLine, EnvValue},
        planning::Runbook,
        runbook::RestoreRunbook,
    },
    executors::snapshot::{Files, Keeper},
    units::Span,
};

/// The table in which sqlx keeps its history.
const SQLX: &str = "_sqlx_migrations";
const RESTORE: Span = Span::minutes(30);
const EVERY: Span = Span::minutes(30);
const EVERY_WATCHED: Span = Span::minutes(2);
const FILES_MAX: usize = 20;
/// `pg_restore` trusts nobody by itself.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Everything of the file that has a say.
pub(super) struct Among<'r> {
    pub(super) raw: &'r raw::Raw,
    pub(super) databases: &'r BTreeMap<String, Reached>,
    /// What of the service's database is looked at.
    pub(super) looked_at: Option<&'r Migrated>,
    pub(super) runbook: &'r Runbook,
}

impl Among<'_> {
    fn history(&self) -> Option<&History> {
        self.looked_at.and_then(Migrated::history)
    }
}

/// What `[service.NAME.rollback.snapshot]` says.
pub(super) fn restore(
    found: &mut Found<'_>,
    said: &Spanned<raw::Restored>,
    among: &Among<'_>,
) -> Option<(RestoreRunbook, Kept)> {
    let (at, said) = (said.span(), said.get_ref());
    if among.history().is_none() {
        let what = "which schema a snapshot must hold is known of a database that is looked at";
        found.error(at.clone(), what, "add [service.NAME.database] with from = \"...\"");
    }
    let files = files(found, said);
    let zone = zone(found, said.time_zone.as_ref());
    let through = through(found, said, among);
    let every = found.positive(&said.every, EVERY);
    let every_watched = found.no_slower(&said.every_watched, EVERY_WATCHED, every);
    let timeout = found.positive(&said.timeout, RESTORE);
    let lost = lost(found, &said.lost);
    let stops = Stops {
        how: said.stop_writes.as_ref(),
        stop: said.stop.as_ref(),
        start: said.start.as_ref(),
        env: &said.env,
        dir: &said.dir,
    };
    let stop_writes = migrations::stop_writes(found, &stops, at.clone(), among.runbook);
    let history = among.history()?.clone();
    if history.options.database.kind != Kind::Postgresql {
        let what = "only a PostgreSQL database is restored beside the one that is there";
        found.error(at, what, "leave the table out, and restore by hand");
        return None;
    }
    if history.name.table == SQLX {
        let what = "which schema a snapshot holds is read from Flyway's history, and not yet from that of sqlx";
        found.error(at, what, "leave the table out, and restore by hand");
        return None;
    }
    let (through, env) = through?;
    let program = said.pg_restore.as_ref().map_or("pg_restore", |said| said.get_ref());
    let bare =
        CommandLine { argv: vec![program.to_owned()], env: BTreeMap::new(), dir: None, timeout };
    let with = |arguments: &[&str]| {
        let arguments = arguments.iter().map(|it| (*it).to_owned());
        CommandLine { argv: bare.argv.iter().cloned().chain(arguments).collect(), ..bare.clone() }
    };
    let mut restore = CommandLine { env, ..with(&["--exit-on-error"]) };
    options(found, said);
    restore.argv.extend(said.options.iter().map(|option| option.get_ref().clone()));
    let runbook = RestoreRunbook {
        schema: history.at(),
        database: history.options.database.name.clone(),
        restore,
        read: with(&["--file=/dev/null"]),
        stop_writes: stop_writes?,
        automatic: said.automatic.as_ref().is_some_and(|said| *said.get_ref()),
    };
    let keeps_owners = !said.options.iter().any(|option| option.get_ref() == "--no-owner");
    let keeper =
        Keeper { history, through, files: files?, zone: zone?, program: bare, keeps_owners, lost };
    Some((runbook, Kept { keeper, every, every_watched }))
}

pub(super) fn zone(found: &mut Found<'_>, said: Option<&Spanned<String>>) -> Option<TimeZone> {
    let Some(said) = said else { return Some(TimeZone::UTC) };
    let zone = TimeZone::get(said.get_ref());
    if zone.is_err() {
        let what = format!("this machine knows no time zone `{}`", said.get_ref());
        let instead =
            "write one like \"UTC\" or \"Europe/Berlin\", and see that tzdata is installed";
        found.error(said.span(), what, instead);
    }
    zone.ok()
}

/// Options that neither change what is restored nor where: with some others `pg_restore` would delete the database that is there.
const HARMLESS: [&str; 9] = [
    "--jobs",
    "--no-owner",
    "--role",
    "--no-comments",
    "--no-privileges",
    "--no-tablespaces",
    "--no-publications",
    "--no-subscriptions",
    "--verbose",
];

fn options(found: &mut Found<'_>, said: &raw::Restored) {
    for option in &said.options {
        let name = option.get_ref().split('=').next().unwrap_or_default();
        if HARMLESS.contains(&name) {
            continue;
        }
        let instead = format!("write one of {}, each with = before its value", HARMLESS.join(", "));
        found.error(
            option.span(),
            format!("`{}` may not be asked of pg_restore here", option.get_ref()),
            instead,
        );
    }
}

/// `/var/backups/shop/*.dump`.
fn files(found: &mut Found<'_>, said: &raw::Restored) -> Option<Files> {
    let pattern = said.files.get_ref();
    let max = found.at_least_one(&said.files_max, FILES_MAX);
    let parts =
        pattern.rsplit_once('/').filter(|(dir, _)| dir.starts_with('/') && !dir.contains('*'));
    let named = parts.and_then(|(dir, name)| {
        let (begins, ends) = name.split_once('*')?;
        (!ends.contains('*')).then(|| (PathBuf::from(dir), begins.to_owned(), ends.to_owned()))
    });
    let Some((dir, begins, ends)) = named else {
        let what = format!("`{pattern}` is no pattern for files of one directory");
        let instead =
            "write it from the root, with one * in the file's name: \"/var/backups/shop/*.dump\"";
        found.error(said.files.span(), what, instead);
        return None;
    };
    if !dir.is_dir() {
        let what = format!("the directory `{}` is not there", dir.display());
        found.warn(said.files.span(), what, "see that it is, where the daemon runs");
    }
    Some(Files { dir, begins, ends, max })
}

/// The same server, as somebody who may make databases there; and how `pg_restore` reaches it.
fn through(
    found: &mut Found<'_>,
    said: &raw::Restored,
    among: &Among<'_>,
) -> Option<(Options, BTreeMap<String, EnvValue>)> {
    let (name, at) = (said.through.get_ref(), said.through.span());
    let raw = called(found, among.raw, &said.through, ", as a user who may make databases")?;
    let options = &among.databases.get(name)?.options;
    let server = |options: &Options| {
        let it = &options.database;
        (it.kind, it.host.clone(), it.port)
    };
    let there = &among.history()?.options;
    if server(options) != server(there) {
        let what = format!("`{name}` is on another server than {}", there.database);
        found.error(at, what, "name a [database.NAME] on the same host and port");
        return None;
    }
    if options.database.name == there.database.name {
        let what = format!("whoever is connected to {} cannot rename it", there.database.name);
        let instead = "name a [database.NAME] whose url ends in /postgres";
        found.error(at, what, instead);
        return None;
    }
    Some((options.clone(), environment(options, raw)))
}

/// As its clients read it.
fn environment(options: &Options, raw: &raw::Database) -> BTreeMap<String, EnvValue> {
    let to = &options.database;
    let (mode, authorities) = match options.tls {
        Tls::Verify => ("verify-full", true),
        Tls::Prefer => ("prefer", false),
        Tls::Off => ("disable", false),
    };
    let text = |text: &str| EnvValue::Text(text.to_owned());
    let mut env = BTreeMap::from([
        ("PGHOST".to_owned(), text(&to.host)),
        ("PGPORT".to_owned(), text(&to.port.to_string())),
        ("PGUSER".to_owned(), text(&to.user)),
        ("PGSSLMODE".to_owned(), text(mode)),
        (
            "PGCONNECT_TIMEOUT".to_owned(),
            text(&(options.connect_timeout.ms() / 1000).max(2).to_string()),
        ),
    ]);
    if authorities {
        let file =
            options.ca_file.as_ref().map_or(AUTHORITIES.into(), |file| file.display().to_string());
        env.insert("PGSSLROOTCERT".to_owned(), EnvValue::Text(file));
    }
    if let Some(password) = &raw.password {
        let from = reference(password.get_ref());
        env.insert("PGPASSWORD".to_owned(), from);
    }
    env
}

/// Without the time it would count everything that there is.
pub(super) fn lost(
    found: &mut Found<'_>,
    said: &BTreeMap<String, Spanned<String>>,
) -> Vec<(String, String)> {
    let mut all = vec![];
    for (what, query) in said {
        if query.get_ref().contains("{taken_at}") {
            all.push((what.clone(), query.get_ref().clone()));
            continue;
        }
        let instead = "write {taken_at} where the snapshot's time stands: \"SELECT count(*) FROM orders WHERE created_at > {taken_at}\"";
        found.error(query.span(), "it does not count what was written since", instead);
    }
    all
}

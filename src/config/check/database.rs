//! Databases, and what of them is a service's.

pub(super) mod checks;

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf};

use toml::Spanned;

use crate::{
    aws::Access,
    config::{
        Migrated, Teller,
        check::{address, found::Found, tellers},
        nearest::nearest,
        raw,
    },
    databases::history::{History, Name, ZONE},
    databases::{Database, Options, Tls},
    domain::schema::DatabasePolicy,
    units::Span,
};

const TABLE: &str = "flyway_schema_history";
const ROWS_MAX: usize = 500;
const SHARE: f64 = 0.05;

/// How a database is reached.
#[derive(Debug)]
pub(super) struct Reached {
    /// For its history.
    pub(super) options: Options,
    /// For checks of its data: a replica, where one is named.
    replica: Options,
    /// How far it may be behind, where that is looked at.
    lag_max: Option<Span>,
    /// At most so much of the time goes into checks.
    share: f64,
}
/// A shorter marker is in a name by chance.
const MARKER_MIN: usize = 4;

/// Every `[database.NAME]`.
pub(super) fn databases(
    found: &mut Found<'_>,
    raw: &raw::Raw,
    accounts: &BTreeMap<String, Access>,
) -> BTreeMap<String, Reached> {
    let database = |(name, said): (&Spanned<String>, &raw::Database)| {
        let options = options(found, (raw, accounts), (name.get_ref(), said));
        let (replica, share) = replica(found, said, options.as_ref());
        let lag_max = lag_max(found, said, replica.is_some());
        let reached = Reached { replica: replica?, lag_max, share, options: options? };
        Some((name.get_ref().clone(), reached))
    };
    raw.database.iter().filter_map(database).collect()
}

/// Where checks are asked, and how much of the time they may take.
fn replica(
    found: &mut Found<'_>,
    said: &raw::Database,
    primary: Option<&Options>,
) -> (Option<Options>, f64) {
    let share = said.checks_share.as_ref().map_or(SHARE, |said| said.get_ref().0);
    if let Some(said) = said.checks_share.as_ref().filter(|_| !(0.001..=0.5).contains(&share)) {
        let instead = "write between 0.1% and 50%; the default is 5%";
        found.error(said.span(), "checks cannot take that share of the time", instead);
    }
    let Some(url) = &said.replica_url else { return (primary.cloned(), share) };
    let database = parsed(found, url);
    let kind = database.as_ref().zip(primary).filter(|(it, of)| it.kind != of.database.kind);
    if kind.is_some() {
        let what = "a replica is of the family of what it replicates";
        found.error_without_the_line(url.span(), what, "write it with the scheme of `url`");
    }
    // A replica is where its URL says, wherever the primary went.
    let of = |(database, primary): (Database, &Options)| Options {
        database,
        follows: None,
        ..primary.clone()
    };
    (database.zip(primary).map(of), share)
}

/// Nobody is behind without a replica.
fn lag_max(found: &mut Found<'_>, raw: &raw::Database, is_legal: bool) -> Option<Span> {
    let Some(said) = raw.replica_lag_max.as_ref() else {
        if let Some(url) = raw.replica_url.as_ref().filter(|_| is_legal) {
            let what = "nobody looks how far behind it is, and checks may look at old data";
            found.warn(url.span(), what, "add replica_lag_max = \"1m\"");
        }
        return None;
    };
    if raw.replica_url.is_none() {
        let instead = "add replica_url, where checks of the data are then asked";
        found.error(said.span(), "there is no replica that could be behind", instead);
    }
    Some(found.positive(&raw.replica_lag_max, Span::minutes(1)))
}

/// Whatever it is, a password may stand in it: the line is not shown.
fn parsed(found: &mut Found<'_>, url: &Spanned<String>) -> Option<Database> {
    match Database::parse(url.get_ref()) {
        Ok(database) => Some(database),
        Err(fault) => {
            let (what, instead) = fault.split_once("; ").unwrap_or((&fault, ""));
            found.error_without_the_line(url.span(), what, instead);
            None
        }
    }
}

fn options(
    found: &mut Found<'_>,
    of: (&raw::Raw, &BTreeMap<String, Access>),
    (name, said): (&str, &raw::Database),
) -> Option<Options> {
    let database = parsed(found, &said.url);
    let follows = said.address.as_ref().map(|address| address::address(found, of, address));
    let password = said.password.as_ref().and_then(|from| found.secret(from));
    let ca_file = said.ca_file.as_ref().and_then(|path| {
        found.certificates(path)?;
        Some(PathBuf::from(path.get_ref()))
    });
    let connect_timeout = found.positive(&said.connect_timeout, Options::CONNECT);
    let statement_timeout = found.positive(&said.statement_timeout, Options::STATEMENT);
    let usual = Options::new(name, database?);
    let tls = said.tls.as_ref().map_or(usual.tls, |said| *said.get_ref());
    let follows = match follows {
        Some(follows) => Some(follows?),
        None => None,
    };
    let host = &usual.database.host;
    let is_here = follows.is_none() && host == "localhost"
        || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    if let Some(off) = said.tls.as_ref().filter(|_| tls == Tls::Off && !is_here) {
        let what = format!("whoever is between here and {host} can read along");
        found.warn(off.span(), what, "leave it out, and name the authority in ca_file");
    }
    Some(Options { follows, password, ca_file, tls, connect_timeout, statement_timeout, ..usual })
}

/// What of which is a service's.
pub(super) fn migrated(
    found: &mut Found<'_>,
    raw: &raw::Raw,
    databases: &BTreeMap<String, Reached>,
    said: &Spanned<raw::Migrated>,
) -> Option<(Migrated, DatabasePolicy)> {
    let (place, said) = (said.span(), said.get_ref());
    let every = found.positive(&said.every, Span::seconds(30));
    let every_watched = found.no_slower(&said.every_watched, Span::seconds(5), every);
    let migrated = |teller, checks| Migrated {
        teller,
        every,
        every_watched,
        checks,
        snapshots: None,
        rds: None,
        reversed: None,
    };
    let stuck_after = found.positive(&said.stuck_after, Span::minutes(30));
    let rows_max = found.at_least_one(&said.history_max, ROWS_MAX);
    let name = table(found, said.history_table.as_ref());
    let compatible_marker = marker(found, said.compatible_marker.as_ref());
    if let Some((teller, place)) = tellers::teller(found, said, rows_max)? {
        let policy = DatabasePolicy { place, stuck_after, every, compatible_marker };
        return Some((migrated(teller, BTreeMap::new()), policy));
    }
    let name_of = named(found, raw, said.from.as_ref(), place)?;
    let reached = databases.get(&name_of)?;
    let schema = name.as_ref().and_then(|name| name.schema.as_deref());
    let checks = checks::checks(found, &said.check, reached, schema);
    let options = Options { rows_max: rows_max.max(100), ..reached.options.clone() };
    let place = options.place();
    let policy = DatabasePolicy { place, stuck_after, every, compatible_marker };
    let teller =
        Teller::Table(Box::new(History { options, name: name?, rows_max, zone: ZONE.to_owned() }));
    Some((migrated(teller, checks), policy))
}

/// A marker that stands in every name would make every migration compatible.
fn marker(found: &mut Found<'_>, said: Option<&Spanned<String>>) -> Option<String> {
    let said = said?;
    if said.get_ref().trim().len() < MARKER_MIN {
        let instead = "write a text that stands in no other name, like \"backward compatible\"";
        found.error(said.span(), "every migration could hold it", instead);
        return None;
    }
    Some(said.get_ref().clone())
}

fn table(found: &mut Found<'_>, said: Option<&Spanned<String>>) -> Option<Name> {
    let text = said.map_or(TABLE, |said| said.get_ref());
    match Name::parse(text) {
        Ok(name) => Some(name),
        Err(what) => {
            let instead = "write it like \"flyway_schema_history\", or \"shop.flyway_schema_history\" with its schema";
            found.error(said.map_or(0..0, Spanned::span), what, instead);
            None
        }
    }
}

/// The one of that name; that there is none is told, with whom it should be asked as.
pub(super) fn called<'r>(
    found: &mut Found<'_>,
    raw: &'r raw::Raw,
    name: &Spanned<String>,
    who: &str,
) -> Option<&'r raw::Database> {
    let known = raw.database.iter().find(|(known, _)| known.get_ref() == name.get_ref());
    if known.is_none() && !found.was_cut(&["database", name.get_ref()]) {
        let names = raw.database.keys().map(|name| name.get_ref().as_str());
        let instead = match nearest(name.get_ref(), names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("add a table [database.{name}]{who}"),
        };
        found.error(name.span(), format!("there is no database `{name}`"), instead);
    }
    known.map(|(_, said)| said)
}

/// The database that is named, or the only one; `at` is where one would be named.
fn named(
    found: &mut Found<'_>,
    raw: &raw::Raw,
    from: Option<&Spanned<String>>,
    at: std::ops::Range<usize>,
) -> Option<String> {
    let names = || raw.database.keys().map(|name| name.get_ref().as_str());
    match from {
        Some(from) => called(found, raw, from, "").map(|_| from.get_ref().clone()),
        None if raw.database.len() == 1 => names().next().map(str::to_owned),
        None if found.was_cut(&["database"]) => None,
        None => {
            let known: Vec<&str> = names().collect();
            let instead = match known.as_slice() {
                [] => "add a table [database.main] with its url".to_owned(),
                known => format!("add a line from = \"...\": one of {}", known.join(", ")),
            };
            found.error(at, "nobody knows which database is meant", instead);
            None
        }
    }
}

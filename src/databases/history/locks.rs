//! Flyway's lock: whether somebody migrates, and what that session does.
//!
//! On PostgreSQL a transaction holds an advisory lock and does nothing else; another session of the same program migrates. On
//! MariaDB and MySQL one session holds a named lock, and migrates.

use super::table::Place;
use crate::{
    databases::{Fault, Kind, Row, Session, identifier, literal},
    domain::schema::{Doing, Run},
    units::Span,
};

/// What Flyway adds the hash of the table's name to (`PostgreSQLAdvisoryLockTemplate`).
const MAGIC: i64 = 77_431_708_279_161;
/// A session that answers may rest so long between two statements.
const REST_MS: i64 = 5_000;
/// A pool may have opened the session that migrates so long before the one that holds the lock.
const APART_S: u32 = 15;

/// Whoever migrates by this table's history now.
pub(super) async fn run(session: &mut Session, place: &Place) -> Result<Option<Run>, Fault> {
    match session.kind() {
        Kind::Postgresql => of_postgresql(session, place).await,
        Kind::Mysql => of_mysql(session, place).await,
    }
}

/// As Java hashes the table's name, quoted and with its schema.
fn hash(kind: Kind, place: &Place) -> i32 {
    let name = format!("{}.{}", identifier(kind, &place.schema), identifier(kind, &place.table));
    name.encode_utf16().fold(0, |hash: i32, unit| hash.wrapping_mul(31).wrapping_add(unit.into()))
}

async fn of_postgresql(session: &mut Session, place: &Place) -> Result<Option<Run>, Fault> {
    let key = MAGIC + i64::from(hash(Kind::Postgresql, place));
    let (high, low) = (key >> 32, key & 0xffff_ffff);
    // The holder, and beside it every session that may be of the same run: by user, address and name, which other pods share with it behind
    // one address. Flyway opens both before it locks, and changes nothing before it has locked; who waits for the lock does neither.
    let sql = format!(
        "WITH holder AS (SELECT l.pid, a.usename, a.application_name, a.client_addr, a.backend_start, a.xact_start, a.state FROM pg_catalog.pg_locks l \
           LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid \
           WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.classid = {high} AND l.objid = {low} \
           AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()) LIMIT 1) \
         SELECT h.pid::text, coalesce(h.usename::text, '?'), coalesce(h.application_name, ''), coalesce(host(h.client_addr), ''), \
           (1000 * extract(epoch FROM clock_timestamp() - h.xact_start))::bigint::text, h.state, \
           m.pid::text, m.state, (1000 * extract(epoch FROM clock_timestamp() - m.state_change))::bigint::text, m.wait_event_type, \
           (EXISTS (SELECT 1 FROM pg_catalog.pg_locks t WHERE t.pid = m.pid AND t.locktype = 'transactionid' AND t.granted))::int::text, \
           array_to_string(pg_blocking_pids(m.pid), ',') \
         FROM holder h LEFT JOIN pg_catalog.pg_stat_activity m ON m.pid <> h.pid AND m.datname = current_database() \
           AND m.usename = h.usename AND m.application_name = h.application_name \
           AND m.client_addr IS NOT DISTINCT FROM h.client_addr AND m.pid <> pg_backend_pid() \
           AND m.backend_start BETWEEN h.backend_start - interval '{APART_S} s' AND coalesce(h.xact_start, 'infinity') \
           AND coalesce(m.xact_start >= h.xact_start, true) AND m.query NOT LIKE '%pg_try_advisory%' LIMIT 100"
    );
    let rows = session.rows(&sql).await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let holder = text(first, 0);
    let said = format!(
        "session {holder} of {}{}{}",
        text(first, 1),
        in_words(" by ", text(first, 2)),
        in_words(" from ", text(first, 3))
    );
    let wrote = rows.iter().any(|row| text(row, 10) == "1");
    let doing = if first.get(5).is_none_or(Option::is_none) {
        let why = "GRANT pg_monitor to the user in `url`, so that sessions of others are shown"
            .to_owned();
        Doing::Hidden { why }
    } else {
        doing(&rows, holder)
    };
    let span = text(first, 4).parse().ok().map(Span);
    Ok(Some(Run { session: said, span, wrote, doing }))
}

/// What the sessions beside the holder do: one that works or waits counts more than those that rest.
fn doing(rows: &[Row], holder: &str) -> Doing {
    let active = |row: &&Row| text(row, 7) == "active";
    let blocked = |row: &&Row| active(row) && !text(row, 11).is_empty();
    if let Some(row) = rows.iter().find(blocked) {
        let by: Vec<&str> = text(row, 11).split(',').collect();
        let on_itself = by.contains(&holder);
        let by = if on_itself { holder } else { by.first().copied().unwrap_or("?") };
        return Doing::Waits { what: format!("a lock of session {by}"), on_itself };
    }
    if rows.iter().any(|row| active(&row)) {
        return Doing::Works;
    }
    let rests = rows.iter().filter_map(|row| text(row, 8).parse::<i64>().ok()).min();
    let own = text(&rows[0], 4).parse().unwrap_or_default();
    match rests.unwrap_or(own) {
        short if short < REST_MS => Doing::Works,
        long => Doing::Nothing { span: Span(long) },
    }
}

async fn of_mysql(session: &mut Session, place: &Place) -> Result<Option<Run>, Fault> {
    let kind = Kind::Mysql;
    let name = literal(kind, &format!("Flyway-{}", hash(kind, place)));
    let sql = format!(
        "SELECT CAST(l.id AS CHAR), CAST(p.user AS CHAR), CAST(p.host AS CHAR), CAST(p.command AS CHAR), \
           CAST(p.time AS CHAR), CAST(p.state AS CHAR) \
         FROM (SELECT IS_USED_LOCK({name}) AS id) l LEFT JOIN information_schema.processlist p ON p.id = l.id \
         WHERE l.id IS NOT NULL"
    );
    let rows = session.rows(&sql).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let id = text(row, 0);
    if row.get(1).is_none_or(Option::is_none) {
        let why = "GRANT PROCESS ON *.* to the user in `url`, so that sessions of others are shown"
            .to_owned();
        let (session, doing) = (format!("session {id}"), Doing::Hidden { why });
        return Ok(Some(Run { session, span: None, wrote: false, doing }));
    }
    let said = format!("session {id} of {}{}", text(row, 1), in_words(" from ", text(row, 2)));
    let time_ms = text(row, 4).parse::<i64>().unwrap_or_default().saturating_mul(1000);
    let (command, state) = (text(row, 3), text(row, 5));
    let doing = if command == "Sleep" && time_ms >= REST_MS {
        Doing::Nothing { span: Span(time_ms) }
    } else if state.starts_with("Waiting for") {
        Doing::Waits { what: format!("another session ({state})"), on_itself: false }
    } else {
        Doing::Works
    };
    // Of its own it asks nothing that takes a second.
    let wrote = command != "Sleep" && time_ms >= 1_000;
    Ok(Some(Run { session: said, span: None, wrote, doing }))
}

fn text(row: &Row, at: usize) -> &str {
    row.get(at).and_then(Option::as_deref).unwrap_or_default()
}

fn in_words(before: &str, what: &str) -> String {
    if what.is_empty() { String::new() } else { format!("{before}{what}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seen of Flyway 12.5 on PostgreSQL 15 (classid 18028, objid 4163491309) and MariaDB 10.11.
    #[test]
    fn the_locks_are_flyways_own() {
        let place =
            |schema: &str| Place { schema: schema.into(), table: "flyway_schema_history".into() };
        let key = MAGIC + i64::from(hash(Kind::Postgresql, &place("public")));
        assert_eq!((key >> 32, key & 0xffff_ffff), (18_028, 4_163_491_309));
        assert_eq!(hash(Kind::Mysql, &place("shop")), -1_695_041_341);
    }
}

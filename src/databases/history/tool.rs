//! Which tool's history a table is, told by its columns: whoever names the table need not say it, and cannot say it wrongly.

use std::collections::BTreeSet;

use super::{
    Unreadable,
    table::{COLUMNS, Place, TEXT_MAX},
};
use crate::{
    databases::{Fault, Kind, Session, literal},
    domain::schema::SQLX,
};

/// What keeps the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tool {
    /// Flyway: a row for whatever it did, numbered.
    Flyway,
    /// The sqlx of Rust: a row for each migration that is there, and none for what was reverted.
    Sqlx,
}

const FLYWAY: [&str; 4] = ["installed_rank", "version", "type", "script"];
const SQLX_HAS: [&str; 6] =
    ["version", "description", "installed_on", "success", "checksum", "execution_time"];

/// Whose that table is. One whose columns nobody shows is taken for Flyway's, and whoever reads it is told what is wrong.
pub(super) async fn of(session: &mut Session, place: &Place) -> Result<Tool, Unreadable> {
    let columns = columns(session, place).await?;
    let has = |all: &[&str]| all.iter().all(|name| columns.contains(*name));
    match (has(&FLYWAY), has(&SQLX_HAS)) {
        (true, _) => Ok(Tool::Flyway),
        (false, true) => Ok(Tool::Sqlx),
        (false, false) if columns.is_empty() => Ok(Tool::Flyway),
        (false, false) => {
            let known = columns.into_iter().take(10).collect::<Vec<_>>().join(", ");
            Err(Unreadable::Table(format!(
                "{}.{} is the history of neither Flyway nor sqlx: its columns are {known}. See history_table",
                place.schema, place.table
            )))
        }
    }
}

async fn columns(session: &mut Session, place: &Place) -> Result<BTreeSet<String>, Fault> {
    let kind = session.kind();
    let (schema, table) = (literal(kind, &place.schema), literal(kind, &place.table));
    let sql = match kind {
        // Also those that the user may not read.
        Kind::Postgresql => format!(
            "SELECT a.attname::text FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname = {schema} AND c.relname = {table} AND a.attnum > 0 AND NOT a.attisdropped LIMIT 100"
        ),
        Kind::Mysql => format!(
            "SELECT CAST(column_name AS CHAR) FROM information_schema.columns WHERE table_schema = {schema} AND table_name = {table} LIMIT 100"
        ),
    };
    Ok(session.rows(&sql).await?.into_iter().flatten().flatten().collect())
}

impl Tool {
    /// What is read of a row, in the order in which it is taken apart; and the order of the newest first.
    pub(super) fn columns(self, kind: Kind, zone: &str) -> (Vec<String>, &'static str) {
        match self {
            Self::Flyway => (of_flyway(kind, zone), "h.installed_rank DESC"),
            Self::Sqlx => (of_sqlx(kind), "h.installed_on DESC, h.version DESC"),
        }
    }
}

fn text(kind: Kind, what: &str) -> String {
    match kind {
        Kind::Postgresql => format!("left(({what})::text, {TEXT_MAX})"),
        Kind::Mysql => format!("LEFT(CAST({what} AS CHAR), {TEXT_MAX})"),
    }
}

fn number(kind: Kind, what: &str) -> String {
    match kind {
        Kind::Postgresql => format!("({what})::text"),
        Kind::Mysql => format!("CAST({what} AS CHAR)"),
    }
}

fn success(kind: Kind) -> String {
    match kind {
        Kind::Postgresql => "success::int::text".to_owned(),
        Kind::Mysql => "CAST(success AS CHAR)".to_owned(),
    }
}

/// PostgreSQL's column is of no zone, MariaDB's and MySQL's is a moment.
fn of_flyway(kind: Kind, zone: &str) -> Vec<String> {
    let at = match kind {
        Kind::Postgresql => format!(
            "(extract(epoch FROM installed_on::timestamp AT TIME ZONE {}) * 1000)::bigint",
            literal(kind, zone)
        ),
        Kind::Mysql => "CAST(UNIX_TIMESTAMP(installed_on) * 1000 AS SIGNED)".to_owned(),
    };

    let column = |name: &str| match name {
        "installed_rank" | "checksum" | "execution_time" => number(kind, name),
        "success" => success(kind),
        _ => text(kind, name),
    };
    COLUMNS.into_iter().map(column).chain([number(kind, &at)]).collect()
}

/// The version is no order in which they were applied, and nothing else is numbered: the time is, by the database's own clock. MariaDB and
/// MySQL keep it in seconds, in which there may be several.
fn of_sqlx(kind: Kind) -> Vec<String> {
    let (rank, script, checksum, took_ms, at) = match kind {
        Kind::Postgresql => (
            "(extract(epoch FROM installed_on) * 1000000)::bigint",
            "version::text || '_' || replace(description, ' ', '_')",
            "('x' || encode(substring(checksum FROM 1 FOR 7), 'hex'))::bit(56)::bigint",
            "execution_time / 1000000",
            "(extract(epoch FROM installed_on) * 1000)::bigint",
        ),
        Kind::Mysql => (
            "UNIX_TIMESTAMP(installed_on) * 1000 + ROW_NUMBER() OVER (PARTITION BY installed_on ORDER BY version)",
            "CONCAT(version, '_', REPLACE(description, ' ', '_'))",
            "CONV(HEX(LEFT(checksum, 7)), 16, 10)",
            "execution_time DIV 1000000",
            "CAST(UNIX_TIMESTAMP(installed_on) * 1000 AS SIGNED)",
        ),
    };
    vec![
        number(kind, rank),
        text(kind, "version"),
        text(kind, "description"),
        literal(kind, SQLX),
        text(kind, script),
        number(kind, checksum),
        literal(kind, ""),
        text(kind, "installed_on"),
        number(kind, took_ms),
        success(kind),
        number(kind, at),
    ]
}

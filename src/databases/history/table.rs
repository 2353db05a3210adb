//! The history's table: where it is, and its newest rows.

use super::{Name, Unreadable, tool::Tool};
use crate::{
    databases::{Fault, Kind, Options, Row, Session, identifier, literal},
    domain::schema::{Migration, MigrationState, history},
    units::UnixMs,
};

/// A table that is there.
pub(super) struct Place {
    pub(super) schema: String,
    pub(super) table: String,
}

/// The schema in which it is: the named one, or the only one that has it.
pub(super) async fn schema_of(
    session: &mut Session,
    name: &Name,
    options: &Options,
) -> Result<String, Unreadable> {
    let kind = session.kind();
    let table = literal(kind, &name.table);
    let sql = match (kind, &name.schema) {
        (Kind::Postgresql, schema) => {
            let only = schema.as_ref().map_or_else(
                || "n.nspname NOT IN ('pg_catalog', 'information_schema')".to_owned(),
                |schema| format!("n.nspname = {}", literal(kind, schema)),
            );
            format!(
                "SELECT n.nspname::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                 WHERE c.relkind IN ('r', 'p', 'v', 'f') AND c.relname = {table} AND {only} ORDER BY 1 LIMIT 10"
            )
        }
        (Kind::Mysql, schema) => {
            let schema =
                schema.as_ref().map_or_else(|| "DATABASE()".to_owned(), |it| literal(kind, it));
            format!(
                "SELECT CAST(table_schema AS CHAR) FROM information_schema.tables WHERE table_name = {table} AND table_schema = {schema}"
            )
        }
    };
    let found: Vec<String> = session.rows(&sql).await?.into_iter().flatten().flatten().collect();
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Unreadable::Table(missing(name, options))),
        [first, ..] => Err(Unreadable::Table(format!(
            "there are {} tables `{}` in {}, in the schemas {}: write history_table = \"{first}.{}\", or another of them",
            found.len(),
            name.table,
            options.database,
            found.join(", "),
            name.table
        ))),
    }
}

fn missing(name: &Name, options: &Options) -> String {
    let hidden = match options.database.kind {
        Kind::Postgresql => "",
        // There what may not be read is not even listed.
        Kind::Mysql => ", or the user may not see it (GRANT SELECT ON it)",
    };
    format!(
        "there is no table `{name}` in {}{hidden}: see history_table; Flyway makes it with the first migration",
        options.database
    )
}

/// What a user who is denied needs.
pub(super) fn grant(options: &Options, place: &Place) -> String {
    let kind = options.database.kind;
    let schema = identifier(kind, &place.schema);
    let table = format!("{schema}.{}", identifier(kind, &place.table));
    let user = identifier(kind, &options.database.user);
    let schema = match kind {
        Kind::Postgresql => format!("GRANT USAGE ON SCHEMA {schema} TO {user}; "),
        Kind::Mysql => String::new(),
    };
    format!(
        "{} may not read {table} in {}: {schema}GRANT SELECT ON {table} TO {user}",
        options.database.user, options.database
    )
}

/// The newest rows, and how many there are in all.
pub(super) async fn rows(
    session: &mut Session,
    place: &Place,
    (tool, zone): (Tool, &str),
    rows_max: usize,
) -> Result<(Vec<history::Row>, u64), Fault> {
    let kind = session.kind();
    let table = format!("{}.{}", identifier(kind, &place.schema), identifier(kind, &place.table));
    let (columns, order) = tool.columns(kind, zone);
    // By the column, and not by the text that is made of it, which PostgreSQL would take for what is meant.
    let newest =
        format!("SELECT {} FROM {table} h ORDER BY {order} LIMIT {rows_max}", columns.join(", "));
    let count = match kind {
        Kind::Postgresql => format!("SELECT count(*)::text FROM {table}"),
        Kind::Mysql => format!("SELECT CAST(count(*) AS CHAR) FROM {table}"),
    };
    let rows = session.rows(&newest).await?;
    let all = session.rows(&count).await?;
    let all = all.first().and_then(|row| row.first()?.as_ref()?.parse().ok());
    let read: Vec<history::Row> = rows.into_iter().filter_map(row).collect();
    let all = all.unwrap_or(read.len() as u64);
    Ok((read, all))
}

/// The columns of Flyway's, in the order in which they are read everywhere.
pub const COLUMNS: [&str; 10] = [
    "installed_rank",
    "version",
    "description",
    "type",
    "script",
    "checksum",
    "installed_by",
    "installed_on",
    "execution_time",
    "success",
];
/// More of a text than this is not read.
pub const TEXT_MAX: usize = 300;

/// One row of its ten columns, as texts; `success` is 1 or 0. Behind them may stand when it was installed, in ms since 1970.
pub fn row(mut cells: Row) -> Option<history::Row> {
    let at = if cells.len() > COLUMNS.len() { cells.pop().flatten() } else { None };
    let [rank, version, description, kind, script, checksum, by, on, took, success] =
        <[Option<String>; 10]>::try_from(cells).ok()?;
    Some(history::Row {
        migration: Migration {
            rank: rank?.parse().ok()?,
            version,
            description: description.unwrap_or_default(),
            kind: kind.unwrap_or_default(),
            script: script.unwrap_or_default(),
            checksum: checksum.and_then(|it| it.parse().ok()),
            installed_by: by.unwrap_or_default(),
            installed_on: on.unwrap_or_default(),
            installed_at: at.and_then(|it| it.parse().ok()).map(UnixMs),
            execution_ms: took.and_then(|it| it.parse().ok()).unwrap_or_default(),
            state: MigrationState::Success,
        },
        success: success.as_deref() == Some("1"),
    })
}

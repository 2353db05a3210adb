//! The foreign keys of a schema, as its catalogue has them, and how many rows break each.
//!
//! Both families keep what breaks them from being written, and both can be told not to: PostgreSQL by a constraint that is not
//! validated, or by triggers that are off, as a restored dump has them; MariaDB and MySQL by `foreign_key_checks`. All are asked,
//! one after the other.

use std::time::{Duration, Instant};

use super::{Fault, Kind, Options, Row, Session, checks::unknown, identifier, literal};
use crate::{
    domain::integrity::{Answer, Broken, COUNTED_MAX, ForeignKeys, Found},
    units::Span,
};

/// Columns of one key, more or less, for the limit of rows.
const COLUMNS: usize = 8;

/// For all of them.
const ALL: Duration = Duration::from_secs(300);

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    name: String,
    child: Table,
    parent: Table,
    /// Whether a row that names a part of what it refers to breaks it.
    full: bool,
    /// The child's and the parent's.
    columns: Vec<(String, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Table {
    schema: String,
    name: String,
    /// Whether tables that inherit from it are no part of it.
    only: bool,
}

/// Asks each in turn, at most so many, in that schema or the one that the connection begins in.
pub(super) async fn ask(options: &Options, schema: Option<&str>, most: usize) -> Answer {
    let options = Options {
        rows_max: (most * COLUMNS).max(options.rows_max),
        bytes_max: options.bytes_max.max(most * COLUMNS * 512),
        ..options.clone()
    };
    let mut session = match Session::open(&options).await {
        Ok(session) => session,
        Err(fault) => return unknown(&fault),
    };
    let keys = match session.rows(&catalogue(session.kind(), schema)).await {
        Ok(rows) => keys(rows),
        Err(fault) => return unknown(&fault),
    };
    if keys.is_empty() {
        let why = "no foreign key is seen there: there is none, or the user may not see the tables that have them";
        return Answer::Unknown(why.to_owned());
    }
    if keys.len() > most {
        let why = format!(
            "there are {} foreign keys: raise foreign_keys_max, which is {most}",
            keys.len()
        );
        return Answer::Unknown(why);
    }
    match each(session, &options, &keys).await {
        Ok(found) => Answer::Known(Found::ForeignKeys(found)),
        Err(fault) => unknown(&fault),
    }
}

/// A server that is not there any more is a fault; one that will not answer about one key is asked about the next, until all of them have taken
/// so long that other checks wait.
async fn each(session: Session, options: &Options, keys: &[Key]) -> Result<ForeignKeys, Fault> {
    let mut found = ForeignKeys { count: keys.len() as u64, ..ForeignKeys::default() };
    let mut session = Some(session);
    let begun = Instant::now();
    for (asked, key) in keys.iter().enumerate() {
        if begun.elapsed() > ALL {
            let (left, within) = (keys.len() - asked, Span::from(ALL));
            found.untold.push(format!("{left} keys were not asked within {within}"));
            break;
        }
        let mut asking = match session.take() {
            Some(session) => session,
            None => Session::open(options).await?,
        };
        match asking.rows(&orphans(asking.kind(), key)).await {
            Ok(rows) => {
                session = Some(asking);
                let (key, table) = (plain(&key.name), plain(&key.child.name));
                match number(rows) {
                    Some(0) => {}
                    Some(rows) => found.broken.push(Broken { key, table, rows }),
                    None => found.untold.push(format!("{key} of {table}: no number came")),
                }
            }
            Err(fault) => {
                let (key, table) = (plain(&key.name), plain(&key.child.name));
                found.untold.push(format!("{key} of {table}: {}", fault.in_words()));
            }
        }
    }
    if let Some(session) = session {
        session.close().await;
    }
    Ok(found)
}

fn number(rows: Vec<Row>) -> Option<u64> {
    rows.into_iter().next()?.into_iter().next()??.parse().ok()
}

/// One row for each column of each key: first those that the server itself does not vouch for.
fn catalogue(kind: Kind, schema: Option<&str>) -> String {
    match kind {
        Kind::Postgresql => {
            let ours = schema.map_or_else(
                || "= ANY(pg_catalog.current_schemas(false))".to_owned(),
                |it| format!("= {}", literal(kind, it)),
            );
            format!(
                "SELECT c.conname::text, n.nspname::text, t.relname::text, t.relkind::text, m.nspname::text, \
                 r.relname::text, r.relkind::text, c.confmatchtype::text, a.attname::text, b.attname::text, k.place::text \
                 FROM pg_catalog.pg_constraint c \
                 JOIN pg_catalog.pg_class t ON t.oid = c.conrelid \
                 JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace \
                 JOIN pg_catalog.pg_class r ON r.oid = c.confrelid \
                 JOIN pg_catalog.pg_namespace m ON m.oid = r.relnamespace \
                 CROSS JOIN LATERAL unnest(c.conkey, c.confkey) WITH ORDINALITY AS k(mine, theirs, place) \
                 JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.mine \
                 JOIN pg_catalog.pg_attribute b ON b.attrelid = r.oid AND b.attnum = k.theirs \
                 WHERE c.contype = 'f' AND c.conparentid = 0 AND n.nspname {ours} \
                 ORDER BY c.convalidated, n.nspname, t.relname, c.conname, k.place"
            )
        }
        Kind::Mysql => {
            let ours = schema.map_or_else(|| "DATABASE()".to_owned(), |it| literal(kind, it));
            format!(
                "SELECT CAST(k.CONSTRAINT_NAME AS CHAR), CAST(k.TABLE_SCHEMA AS CHAR), CAST(k.TABLE_NAME AS CHAR), 'r', \
                 CAST(k.REFERENCED_TABLE_SCHEMA AS CHAR), CAST(k.REFERENCED_TABLE_NAME AS CHAR), 'r', 's', \
                 CAST(k.COLUMN_NAME AS CHAR), CAST(k.REFERENCED_COLUMN_NAME AS CHAR), CAST(k.ORDINAL_POSITION AS CHAR) \
                 FROM information_schema.KEY_COLUMN_USAGE k \
                 WHERE k.REFERENCED_TABLE_NAME IS NOT NULL AND k.TABLE_SCHEMA = {ours} \
                 ORDER BY k.TABLE_NAME, k.CONSTRAINT_NAME, k.ORDINAL_POSITION"
            )
        }
    }
}

fn keys(rows: Vec<Row>) -> Vec<Key> {
    let mut all: Vec<Key> = vec![];
    for row in rows {
        let said: Option<Vec<String>> = row.into_iter().collect();
        let said: Option<[String; 11]> = said.and_then(|said| said.try_into().ok());
        let Some(said) = said else { continue };
        let [
            name,
            schema,
            child,
            kind,
            parents,
            parent,
            parents_kind,
            matches,
            mine,
            theirs,
            place,
        ] = said;
        let table = |schema, name, kind: &str| Table { schema, name, only: kind == "r" };
        match all.last_mut().filter(|_| place != "1") {
            Some(key) => key.columns.push((mine, theirs)),
            None => all.push(Key {
                name,
                child: table(schema, child, &kind),
                parent: table(parents, parent, &parents_kind),
                full: matches == "f",
                columns: vec![(mine, theirs)],
            }),
        }
    }
    all
}

/// How many rows refer to what is not there, counted as far as rows are. One that refers to nothing breaks nothing.
fn orphans(kind: Kind, key: &Key) -> String {
    let quoted = |name: &str| identifier(kind, name);
    let table = |table: &Table| {
        let only = if table.only && kind == Kind::Postgresql { "ONLY " } else { "" };
        format!("{only}{}.{}", quoted(&table.schema), quoted(&table.name))
    };
    let each = |of: &dyn Fn(&str, &str) -> String, between: &str| {
        let all: Vec<String> = key.columns.iter().map(|(mine, theirs)| of(mine, theirs)).collect();
        all.join(between)
    };
    let refers = each(
        &|mine, _| format!("c.{} IS NOT NULL", quoted(mine)),
        if key.full { " OR " } else { " AND " },
    );
    let is_there =
        each(&|mine, theirs| format!("p.{} = c.{}", quoted(theirs), quoted(mine)), " AND ");
    format!(
        "SELECT count(*) FROM (SELECT 1 AS broken FROM {} c WHERE ({refers}) \
         AND NOT EXISTS (SELECT 1 FROM {} p WHERE {is_there}) LIMIT {}) found",
        table(&key.child),
        table(&key.parent),
        COUNTED_MAX + 1
    )
}

/// On one line, whatever somebody called it.
fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(place: &str, mine: &str, theirs: &str, matches: &str) -> Row {
        ["fk", "public", "or\"ders", "r", "public", "customers", "p", matches, mine, theirs, place]
            .map(|text| Some(text.to_owned()))
            .to_vec()
    }

    #[test]
    fn a_key_of_two_columns_is_one_key_and_no_name_leaves_its_quotes() {
        let keys =
            keys(vec![row("1", "a", "x", "s"), row("2", "b", "y", "s"), row("1", "c", "z", "f")]);
        let columns: Vec<usize> = keys.iter().map(|key| key.columns.len()).collect();
        assert_eq!(columns, [2, 1]);
        assert_eq!(
            orphans(Kind::Postgresql, &keys[0]),
            "SELECT count(*) FROM (SELECT 1 AS broken FROM ONLY \"public\".\"or\"\"ders\" c \
             WHERE (c.\"a\" IS NOT NULL AND c.\"b\" IS NOT NULL) AND NOT EXISTS (SELECT 1 FROM \"public\".\"customers\" p \
             WHERE p.\"x\" = c.\"a\" AND p.\"y\" = c.\"b\") LIMIT 101) found"
        );
    }

    #[test]
    fn a_row_that_names_a_part_of_what_it_refers_to_breaks_a_full_match() {
        let keys = keys(vec![row("1", "a", "x", "f"), row("2", "b", "y", "f")]);
        let sql = orphans(Kind::Mysql, &keys[0]);
        assert!(sql.contains("(c.`a` IS NOT NULL OR c.`b` IS NOT NULL)"), "{sql}");
        assert!(!sql.contains("ONLY"), "{sql}");
    }
}

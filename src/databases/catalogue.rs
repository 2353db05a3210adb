//! What a PostgreSQL database consists of, a line for each part: two of them tell what a script changed.

use std::collections::BTreeSet;

use super::{Fault, Session};

/// Schemas of the server itself, and of sessions alone.
const OURS: &str = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";

/// Tables, views, columns, indexes, constraints, triggers, functions and enumerations: each by its name and what it is. All of them or
/// none: more than the session reads of an answer is a fault.
///
/// Only inside of a transaction. Names are written with their schema where nothing is looked for by itself: so `search_path` is set, and
/// set back.
pub async fn lines(session: &mut Session) -> Result<BTreeSet<String>, Fault> {
    session.run("SAVEPOINT catalogue; SET LOCAL search_path TO pg_catalog").await?;
    let rows = session.rows(&query()).await?;
    session.run("ROLLBACK TO SAVEPOINT catalogue; RELEASE SAVEPOINT catalogue").await?;
    Ok(rows.into_iter().flatten().flatten().map(|line| one_line(&line)).collect())
}

fn query() -> String {
    let parts = [
        format!(
            "SELECT CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' WHEN 'v' THEN 'view' \
                WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence' ELSE 'foreign table' END \
                || format(' %I.%I', n.nspname, c.relname) \
                || CASE WHEN c.relkind IN ('v', 'm') THEN ': ' || pg_get_viewdef(c.oid) ELSE '' END \
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND {OURS}"
        ),
        format!(
            "SELECT format('column %I.%I.%I ', n.nspname, c.relname, a.attname) || format_type(a.atttypid, a.atttypmod) \
                || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END || a.attidentity::text || a.attgenerated::text \
                || coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '') \
             FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
             LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
             WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'f') AND {OURS}"
        ),
        format!(
            "SELECT format('index %I.%I: ', n.nspname, c.relname) || pg_get_indexdef(c.oid) \
                || CASE WHEN i.indisvalid THEN '' ELSE ' (invalid)' END \
             FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {OURS}"
        ),
        format!(
            "SELECT format('constraint %I on %I.%I: ', o.conname, n.nspname, c.relname) || pg_get_constraintdef(o.oid) \
             FROM pg_constraint o JOIN pg_class c ON c.oid = o.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {OURS}"
        ),
        format!(
            "SELECT format('trigger %I on %I.%I: ', t.tgname, n.nspname, c.relname) || pg_get_triggerdef(t.oid) || t.tgenabled::text \
             FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE NOT t.tgisinternal AND {OURS}"
        ),
        format!(
            "SELECT format('function %I.%I(%s): ', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)) || md5(p.prosrc) \
             FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE {OURS}"
        ),
        format!(
            "SELECT format('enumeration %I.%I: ', n.nspname, t.typname) || string_agg(e.enumlabel::text, ', ' ORDER BY e.enumsortorder) \
             FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid JOIN pg_namespace n ON n.oid = t.typnamespace WHERE {OURS} \
             GROUP BY n.nspname, t.typname"
        ),
    ];
    parts.join(" UNION ALL ")
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

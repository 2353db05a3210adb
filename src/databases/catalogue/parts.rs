//! What there is: tables and what hangs on them, functions, types, extensions.

use super::OURS;

/// One query for each kind, of one column.
pub(super) fn parts() -> Vec<String> {
    relations().into_iter().chain(of_relations()).chain(functions()).chain(types()).collect()
}

fn relations() -> Vec<String> {
    vec![
        format!(
            "SELECT format('schema %I, owner %s', n.nspname, pg_get_userbyid(n.nspowner)) FROM pg_namespace n WHERE {OURS}"
        ),
        format!(
            "SELECT CASE c.relpersistence WHEN 'u' THEN 'unlogged ' ELSE '' END || CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' \
                WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence' WHEN 'c' THEN 'composite type' ELSE 'foreign table' END \
                || format(' %I.%I, owner %s', n.nspname, c.relname, pg_get_userbyid(c.relowner)) \
                || coalesce(', with ' || array_to_string(c.reloptions, ', '), '') || coalesce(', ' || pg_get_expr(c.relpartbound, c.oid), '') \
                || CASE WHEN c.relkind IN ('v', 'm') THEN ': ' || pg_get_viewdef(c.oid) ELSE '' END \
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f', 'c') AND {OURS}"
        ),
        format!(
            "SELECT format('column %I.%I.%I ', n.nspname, c.relname, a.attname) || format_type(a.atttypid, a.atttypmod) \
                || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END || a.attidentity::text || a.attgenerated::text \
                || coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '') \
             FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
             LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
             WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'f', 'c') AND {OURS}"
        ),
    ]
}

fn of_relations() -> Vec<String> {
    vec![
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
        // A view's own is the view.
        format!(
            "SELECT format('rule %I on %I.%I: ', r.rulename, n.nspname, c.relname) || pg_get_ruledef(r.oid) || r.ev_enabled::text \
             FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE r.rulename <> '_RETURN' AND {OURS}"
        ),
    ]
}

/// What an aggregate consists of is shown by no function of the server's, and is rarely one's own.
fn functions() -> Vec<String> {
    vec![format!(
        "SELECT format('function %I.%I(%s), owner %s, %s, security %s: ', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid), \
            pg_get_userbyid(p.proowner), CASE p.provolatile WHEN 'i' THEN 'immutable' WHEN 's' THEN 'stable' ELSE 'volatile' END, \
            CASE WHEN p.prosecdef THEN 'definer' ELSE 'invoker' END) \
            || md5(CASE WHEN EXISTS (SELECT 1 FROM pg_aggregate a WHERE a.aggfnoid = p.oid) THEN p.prosrc ELSE pg_get_functiondef(p.oid) END) \
         FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE {OURS}"
    )]
}

fn types() -> Vec<String> {
    vec![
        format!(
            "SELECT format('enumeration %I.%I, owner %s: ', n.nspname, t.typname, pg_get_userbyid(t.typowner)) \
                || coalesce((SELECT string_agg(e.enumlabel::text, ', ' ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid), '') \
             FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.typtype = 'e' AND {OURS}"
        ),
        format!(
            "SELECT format('domain %I.%I, owner %s: ', n.nspname, t.typname, pg_get_userbyid(t.typowner)) || format_type(t.typbasetype, t.typtypmod) \
                || CASE WHEN t.typnotnull THEN ' not null' ELSE '' END || coalesce(' default ' || t.typdefault, '') \
             FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.typtype = 'd' AND {OURS}"
        ),
        format!(
            "SELECT format('constraint %I on the domain %I.%I: ', o.conname, n.nspname, t.typname) || pg_get_constraintdef(o.oid) \
             FROM pg_constraint o JOIN pg_type t ON t.oid = o.contypid JOIN pg_namespace n ON n.oid = t.typnamespace WHERE {OURS}"
        ),
        "SELECT format('extension %I %s, owner %s, in the schema %I', x.extname, x.extversion, pg_get_userbyid(x.extowner), n.nspname) \
         FROM pg_extension x JOIN pg_namespace n ON n.oid = x.extnamespace"
            .to_owned(),
    ]
}

//! Who may do what, with which rows.

use super::OURS;

/// All that somebody may be granted something on: what it is, what is usual there (which is written down nowhere), and what is granted.
pub(super) fn granted() -> String {
    format!(
        "objects AS ( \
           SELECT 'database ' || quote_ident(d.datname) AS what, acldefault('d', d.datdba) AS usual, d.datacl AS acl \
           FROM pg_database d WHERE d.datname = current_database() \
           UNION ALL SELECT format('schema %I', n.nspname), acldefault('n', n.nspowner), n.nspacl FROM pg_namespace n WHERE {OURS} \
           UNION ALL SELECT format(CASE c.relkind WHEN 'S' THEN 'sequence %I.%I' ELSE 'table %I.%I' END, n.nspname, c.relname), \
             acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::\"char\", c.relowner), c.relacl \
           FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND {OURS} \
           UNION ALL SELECT format('column %I.%I.%I', n.nspname, c.relname, a.attname), acldefault('c', c.relowner), a.attacl \
           FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
           WHERE a.attacl IS NOT NULL AND NOT a.attisdropped AND {OURS} \
           UNION ALL SELECT format('function %I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)), \
             acldefault('f', p.proowner), p.proacl FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE {OURS} \
           UNION ALL SELECT format('type %I.%I', n.nspname, t.typname), acldefault('T', t.typowner), t.typacl \
           FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.typacl IS NOT NULL AND {OURS} \
         )"
    )
}

/// One query for each kind, of one column.
pub(super) fn parts() -> Vec<String> {
    vec![
        differing("granted on %s to %s: ", ("acl", "usual")),
        differing("revoked on %s from %s: ", ("usual", "acl")),
        "SELECT format('granted on what %s makes%s, by itself (%s): ', pg_get_userbyid(d.defaclrole), coalesce(format(' in the schema %I', n.nspname), ''), \
            CASE d.defaclobjtype WHEN 'r' THEN 'tables' WHEN 'S' THEN 'sequences' WHEN 'f' THEN 'functions' WHEN 'T' THEN 'types' ELSE 'schemas' END) \
            || array_to_string(ARRAY(SELECT u.item::text FROM unnest(d.defaclacl) AS u (item) ORDER BY 1), ', ') \
         FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace"
            .to_owned(),
        format!(
            "SELECT format('row security of %I.%I: ', n.nspname, c.relname) || CASE WHEN c.relrowsecurity THEN 'on' ELSE 'off' END \
                || CASE WHEN c.relforcerowsecurity THEN ', for its owner too' ELSE '' END \
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE (c.relrowsecurity OR c.relforcerowsecurity) AND {OURS}"
        ),
        format!(
            "SELECT format('policy %I on %I.%I: ', p.polname, n.nspname, c.relname) || CASE WHEN p.polpermissive THEN 'permissive' ELSE 'restrictive' END \
                || ' for ' || CASE p.polcmd WHEN 'r' THEN 'select' WHEN 'a' THEN 'insert' WHEN 'w' THEN 'update' WHEN 'd' THEN 'delete' ELSE 'all' END \
                || ' to ' || array_to_string(ARRAY(SELECT CASE WHEN u.role = 0 THEN 'public' ELSE pg_get_userbyid(u.role)::text END \
                   FROM unnest(p.polroles) AS u (role) ORDER BY 1), ', ') \
                || coalesce(' using (' || pg_get_expr(p.polqual, p.polrelid) || ')', '') \
                || coalesce(' with check (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')', '') \
             FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {OURS}"
        ),
    ]
}

/// What one list of rights has and the other has not; who granted it is nobody's concern here. What is as usual has no list.
fn differing(says: &str, (has, has_not): (&str, &str)) -> String {
    let of = |list: &str| {
        format!(
            "SELECT o.what, g.grantee, g.privilege_type || CASE WHEN g.is_grantable THEN ' (and may grant it)' ELSE '' END AS may \
             FROM objects o, aclexplode(o.{list}) g WHERE o.acl IS NOT NULL"
        )
    };
    format!(
        "SELECT format('{says}', d.what, CASE WHEN d.grantee = 0 THEN 'public' ELSE pg_get_userbyid(d.grantee)::text END) \
            || string_agg(d.may, ', ' ORDER BY d.may) \
         FROM ({} EXCEPT {}) d GROUP BY d.what, d.grantee",
        of(has),
        of(has_not)
    )
}

//! What of a database is no part of a snapshot of it: who owns it, who may connect, and what is set for all who do.

use crate::databases::{Fault, Session, identifier, literal};

/// Makes an empty database that is like `like` in all of that, and says beside it who made it and what for.
pub(super) async fn make(
    session: &mut Session,
    (name, like): (&str, &str),
    comment: &str,
) -> Result<(), Fault> {
    let kind = session.kind();
    let created = format!("CREATE DATABASE {} TEMPLATE template0", identifier(kind, name));
    // How texts are sorted is said in columns that each release calls otherwise, or has not.
    let sql = format!(
        "SELECT format(' OWNER %I ENCODING %L LC_COLLATE %L LC_CTYPE %L TABLESPACE %I', r.rolname, pg_encoding_to_char(d.encoding), d.datcollate, d.datctype, t.spcname) || \
         CASE to_jsonb(d) ->> 'datlocprovider' \
         WHEN 'i' THEN format(' LOCALE_PROVIDER icu ICU_LOCALE %L', coalesce(to_jsonb(d) ->> 'daticulocale', to_jsonb(d) ->> 'datlocale')) \
         WHEN 'b' THEN format(' LOCALE_PROVIDER builtin BUILTIN_LOCALE %L', to_jsonb(d) ->> 'datlocale') ELSE '' END \
         FROM pg_catalog.pg_database d JOIN pg_catalog.pg_roles r ON r.oid = d.datdba JOIN pg_catalog.pg_tablespace t ON t.oid = d.dattablespace \
         WHERE d.datname = {}",
        literal(kind, like)
    );
    let options = session.rows(&sql).await?.into_iter().flatten().flatten().next();
    session.rows(&(created + &options.unwrap_or_default())).await?;
    say(session, name, comment).await?;
    for sql in statements(session, (name, like)).await? {
        session.rows(&sql).await?;
    }
    Ok(())
}

/// Writes it beside a database.
pub(super) async fn say(session: &mut Session, name: &str, comment: &str) -> Result<(), Fault> {
    let kind = session.kind();
    let sql =
        format!("COMMENT ON DATABASE {} IS {}", identifier(kind, name), literal(kind, comment));
    session.rows(&sql).await.map(drop)
}

/// Who may what there, and what is set; the server writes the statements itself, with every name as it must be.
async fn statements(
    session: &mut Session,
    (name, like): (&str, &str),
) -> Result<Vec<String>, Fault> {
    let kind = session.kind();
    let (name, like) = (literal(kind, name), literal(kind, like));
    let rights = format!(
        "SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', {name}) FROM pg_catalog.pg_database WHERE datname = {like} AND datacl IS NOT NULL \
         UNION ALL SELECT format('GRANT %s ON DATABASE %I TO %s%s', a.privilege_type, {name}, \
         CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END, \
         CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) \
         FROM pg_catalog.pg_database d, aclexplode(d.datacl) a WHERE d.datname = {like}"
    );
    // What is a list is written as it stands; as one text it would be the name of one thing.
    let settings = format!(
        "SELECT format('ALTER DATABASE %I SET %I TO %s', {name}, split_part(c, '=', 1), \
         CASE WHEN split_part(c, '=', 1) IN ('search_path', 'temp_tablespaces', 'local_preload_libraries', 'session_preload_libraries') \
         THEN coalesce(nullif(substr(c, strpos(c, '=') + 1), ''), '''''') ELSE quote_literal(substr(c, strpos(c, '=') + 1)) END) \
         FROM pg_catalog.pg_db_role_setting s JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase, unnest(s.setconfig) c \
         WHERE d.datname = {like} AND s.setrole = 0"
    );
    let mut all = session.rows(&rights).await?;
    all.extend(session.rows(&settings).await?);
    Ok(all.into_iter().flatten().flatten().collect())
}

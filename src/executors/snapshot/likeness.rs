//! What of a database is no part of a snapshot of it: who owns it, who may connect, and what is set for all who do.

use crate::databases::{Fault, Session, identifier, literal};

/// Makes an empty database that is like `like` in all of that, and says beside it who made it and what for. Not all that is
/// set there is everybody's to set: what of it was not, in words.
pub(super) async fn make(
    session: &mut Session,
    (name, like): (&str, &str),
    comment: &str,
) -> Result<Vec<String>, Fault> {
    let kind = session.kind();
    let created = format!("CREATE DATABASE {} TEMPLATE template0", identifier(kind, name));
    // How texts are sorted is said in columns that each release calls otherwise, or has not. The tablespace of every other database is
    // not named: to name it takes a right that to use it does not.
    let sql = format!(
        "SELECT format(' OWNER %I ENCODING %L LC_COLLATE %L LC_CTYPE %L', r.rolname, pg_encoding_to_char(d.encoding), d.datcollate, d.datctype) || \
         CASE WHEN t.spcname = 'pg_default' THEN '' ELSE format(' TABLESPACE %I', t.spcname) END || \
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
    for sql in rights(session, (name, like)).await? {
        session.rows(&sql).await?;
    }
    let mut missing = vec![];
    let all = settings(session, (name, like), Whose::All).await?;
    let one = settings(session, (name, like), Whose::OneRole).await?;
    for sql in all.into_iter().chain(one) {
        match session.rows(&sql).await {
            Ok(_) => {}
            Err(fault) if fault.problem.passes() => return Err(fault),
            Err(fault) => {
                // Without its value, that may be nobody else's to read.
                let what = sql.split(" TO ").next().unwrap_or_default();
                missing.push(format!("`{what} …` is left to do: {}", fault.in_words()));
            }
        }
    }
    Ok(missing)
}

/// Writes it beside a database.
pub(super) async fn say(session: &mut Session, name: &str, comment: &str) -> Result<(), Fault> {
    let kind = session.kind();
    let sql =
        format!("COMMENT ON DATABASE {} IS {}", identifier(kind, name), literal(kind, comment));
    session.rows(&sql).await.map(drop)
}

/// Who may what there; the server writes the statements itself, with every name as it must be.
async fn rights(session: &mut Session, (name, like): (&str, &str)) -> Result<Vec<String>, Fault> {
    let kind = session.kind();
    let (new, old) = (literal(kind, name), literal(kind, like));
    let rights = format!(
        "SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', {new}) FROM pg_catalog.pg_database WHERE datname = {old} AND datacl IS NOT NULL \
         UNION ALL SELECT format('GRANT %s ON DATABASE %I TO %s%s', a.privilege_type, {new}, \
         CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END, \
         CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) \
         FROM pg_catalog.pg_database d, aclexplode(d.datacl) a WHERE d.datname = {old}"
    );
    Ok(rows_of_one(session.rows(&rights).await?))
}

/// For whom something is set in a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    All,
    OneRole,
}

/// What sets the same there.
async fn settings(
    session: &mut Session,
    (name, like): (&str, &str),
    whose: Whose,
) -> Result<Vec<String>, Fault> {
    let kind = session.kind();
    let (name, like) = (literal(kind, name), literal(kind, like));
    let (begin, is_theirs) = match whose {
        Whose::All => (format!("format('ALTER DATABASE %I', {name})"), "s.setrole = 0"),
        Whose::OneRole => (
            format!("format('ALTER ROLE %I IN DATABASE %I', pg_get_userbyid(s.setrole), {name})"),
            "s.setrole <> 0",
        ),
    };
    // What is a list is written as it stands; as one text it would be the name of one thing.
    let sql = format!(
        "SELECT {begin} || format(' SET %I TO %s', split_part(c, '=', 1), \
         CASE WHEN split_part(c, '=', 1) IN ('search_path', 'temp_tablespaces', 'local_preload_libraries', 'session_preload_libraries') \
         THEN coalesce(nullif(substr(c, strpos(c, '=') + 1), ''), '''''') ELSE quote_literal(substr(c, strpos(c, '=') + 1)) END) \
         FROM pg_catalog.pg_db_role_setting s JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase, unnest(s.setconfig) c \
         WHERE d.datname = {like} AND {is_theirs}"
    );
    Ok(rows_of_one(session.rows(&sql).await?))
}

fn rows_of_one(rows: Vec<Vec<Option<String>>>) -> Vec<String> {
    rows.into_iter().flatten().flatten().collect()
}

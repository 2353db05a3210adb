//! Whether a snapshot could be restored, looked at before there is need. Looks only.

use std::path::Path;

use super::{Keeper, Known, snapshots};
use crate::{
    databases::{
        Session, grants, literal,
        writable::{Writer, takes_writes},
    },
    domain::{inventory::Check, schema::Schema},
    executors::preflight::program_preflight,
    units::UnixMs,
};

/// Everything that a restore needs, each with what was seen, where the history was read as `read` says.
pub async fn snapshot_preflight(
    keeper: &Keeper,
    read: &Result<Schema, String>,
    dir: &Path,
    now: UnixMs,
) -> Vec<Check> {
    let newest = newest(keeper, read, dir, now).await;
    vec![
        program_preflight("snapshots can be read", &keeper.program, dir).await,
        Check::of("there is a snapshot of the schema as it is", newest),
        Check::of("a database can be made and renamed", may(keeper).await),
        Check::of("what is restored can be given to whom it belongs", owners(keeper).await),
        Check::of("who is connected can be disconnected", connected(keeper).await),
    ]
}

/// Who is there now and could not be asked to go: nobody but a superuser ends a superuser's session.
async fn connected(keeper: &Keeper) -> Result<String, String> {
    let sql = format!(
        "SELECT DISTINCT a.usename::text FROM pg_catalog.pg_stat_activity a JOIN pg_catalog.pg_roles r ON r.oid = a.usesysid \
         WHERE a.datname = {} AND r.rolsuper AND NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) ORDER BY 1 LIMIT 20",
        literal(keeper.through.database.kind, keeper.database())
    );
    let rows = Session::once(&keeper.through, &sql).await.map_err(|fault| fault.in_words())?;
    let users: Vec<String> = rows.into_iter().flatten().flatten().collect();
    match users.as_slice() {
        [] => Ok("nobody is connected whom only a superuser may disconnect".to_owned()),
        users => Err(format!(
            "{} is connected, and only a superuser may end that: let it connect as somebody else, or as less",
            users.join(", ")
        )),
    }
}

/// Who owns something there that could not be given back.
async fn owners(keeper: &Keeper) -> Result<String, String> {
    if !keeper.keeps_owners {
        return Ok("with --no-owner all of it belongs to who restores it".to_owned());
    }
    let sql = "SELECT DISTINCT pg_get_userbyid(o)::text, current_user::text FROM (SELECT relowner AS o FROM pg_catalog.pg_class c \
               JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
               UNION SELECT nspowner FROM pg_catalog.pg_namespace WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'public') \
               UNION SELECT proowner FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace \
               WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema') all_of_them \
               WHERE NOT pg_has_role(o, 'MEMBER') ORDER BY 1 LIMIT 20";
    let rows = Session::once(&keeper.through(keeper.database()), sql).await;
    let missing: Vec<String> = rows
        .map_err(|fault| fault.in_words())?
        .into_iter()
        .filter_map(|row| {
            let [owner, user] = <[Option<String>; 2]>::try_from(row).ok()?;
            Some(format!("GRANT {} TO {}", owner?, user?))
        })
        .collect();
    match missing.as_slice() {
        [] => Ok("who restores it may act as everybody who owns something there".to_owned()),
        missing => Err(format!("{}; or options = [\"--no-owner\"]", missing.join("; "))),
    }
}

/// The one that would be restored if the next migration were bad.
async fn newest(
    keeper: &Keeper,
    read: &Result<Schema, String>,
    dir: &Path,
    now: UnixMs,
) -> Result<String, String> {
    let schema = read.as_ref().map_err(Clone::clone)?;
    let all = snapshots(keeper, (dir, &mut Known::default()), now).await?;
    let found = all.of(&schema.revision())?;
    let loss = found.loss(now);
    Ok(format!("{} holds {}; {loss}", found.file, schema.revision()))
}

/// What the server says of who would do it.
async fn may(keeper: &Keeper) -> Result<String, String> {
    takes_writes(&keeper.through, Writer::Asks).await?;
    let database = keeper.database();
    let sql = format!(
        "SELECT (r.rolsuper OR r.rolcreatedb)::text, pg_has_role(d.datdba, 'MEMBER')::text, \
         (r.rolsuper OR pg_has_role('pg_signal_backend', 'MEMBER'))::text, \
         (t.spcname = 'pg_default' OR has_tablespace_privilege(t.oid, 'CREATE'))::text, \
         current_user::text, pg_get_userbyid(d.datdba)::text, t.spcname::text \
         FROM pg_catalog.pg_roles r, pg_catalog.pg_database d JOIN pg_catalog.pg_tablespace t ON t.oid = d.dattablespace \
         WHERE r.rolname = current_user AND d.datname = {}",
        literal(keeper.through.database.kind, database)
    );
    let rows = Session::once(&keeper.through, &sql).await.map_err(|fault| fault.in_words())?;
    let row = rows.into_iter().next();
    let cells: Vec<String> = row.into_iter().flatten().flatten().collect();
    let [makes, owns, ends, places, user, owner, tablespace] = cells.as_slice() else {
        return Err(format!("there is no database {database}"));
    };
    grants::missing(
        user,
        &[
            (makes, format!("ALTER ROLE {user} CREATEDB")),
            (owns, format!("GRANT {owner} TO {user}")),
            (ends, format!("GRANT pg_signal_backend TO {user}")),
            (places, format!("GRANT CREATE ON TABLESPACE {tablespace} TO {user}")),
        ],
    )?;
    Ok(format!("{user} may make and rename databases, and end sessions"))
}

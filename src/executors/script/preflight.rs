//! Whether a script could be run, looked at before there is need. Looks only.

use super::Scripted;
use crate::{
    databases::{
        Session, grants, literal,
        writable::{Writer, takes_writes},
    },
    domain::{inventory::Check, schema::Schema},
};

/// What a script needs of the server and of the user that runs it, where the history was read as `read` says.
pub async fn script_preflight(scripted: &Scripted, read: &Result<Schema, String>) -> Vec<Check> {
    vec![Check::of("a script that takes the schema back could be run", may(scripted, read).await)]
}

async fn may(scripted: &Scripted, read: &Result<Schema, String>) -> Result<String, String> {
    let schema = read.as_ref().map_err(Clone::clone)?;
    takes_writes(&scripted.through, Writer::Asks).await?;
    let (through, kind) = (&scripted.through, scripted.through.database.kind);
    // The names as the server would write them.
    let named: Vec<String> = schema.table.split('.').map(|it| literal(kind, it)).collect();
    let [space, table] = named.as_slice() else {
        return Err(format!("{} is no name of a table", schema.table));
    };
    let sql = format!(
        "SELECT has_database_privilege(current_database(), 'TEMPORARY')::text, has_table_privilege(h.oid, 'DELETE')::text, \
         (SELECT count(*) FROM pg_catalog.pg_class c WHERE c.relnamespace = h.relnamespace AND c.relkind IN ('r', 'p') AND NOT pg_has_role(c.relowner, 'USAGE'))::text, \
         current_user::text, current_database()::text \
         FROM pg_catalog.pg_class h JOIN pg_catalog.pg_namespace n ON n.oid = h.relnamespace WHERE n.nspname = {space} AND h.relname = {table}"
    );
    let rows = Session::once(through, &sql).await.map_err(|fault| fault.in_words())?;
    let cells: Vec<String> = rows.into_iter().next().into_iter().flatten().flatten().collect();
    let [temporary, deletes, others, user, database] = cells.as_slice() else {
        return Err(format!("{} sees no {}", through.database, schema.table));
    };
    grants::missing(
        user,
        &[
            (temporary, format!("GRANT TEMPORARY ON DATABASE {database} TO {user}")),
            (deletes, format!("GRANT DELETE ON {} TO {user}", schema.table)),
        ],
    )?;
    Ok(match others.as_str() {
        "0" => format!("{user} may change every table beside {}", schema.table),
        others => format!(
            "{user} may change the history; {others} tables beside it belong to others, and no script of this user can change those"
        ),
    })
}

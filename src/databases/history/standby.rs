//! Whether a history would be read where it only arrives: there it comes late, and nobody sees who holds the lock on the primary.

use crate::databases::{Fault, Kind, Options, Session};

/// Whether this server replays what another one writes. One that merely takes no writes is as good to read as any.
pub(super) async fn is_one(session: &mut Session) -> Result<bool, Fault> {
    match session.kind() {
        Kind::Postgresql => says(session, "SELECT pg_catalog.pg_is_in_recovery()::text").await,
        // Two that replicate each other both replay: the one that takes writes is the primary.
        Kind::Mysql => Ok(says(session, "SHOW GLOBAL STATUS LIKE 'Slave_running'").await?
            && says(session, "SELECT CAST(@@global.read_only AS CHAR)").await?),
    }
}

async fn says(session: &mut Session, sql: &str) -> Result<bool, Fault> {
    let rows = session.rows(sql).await?;
    let last = rows.into_iter().next().and_then(|row| row.into_iter().next_back()).flatten();
    Ok(matches!(last.as_deref(), Some("true" | "ON" | "1")))
}

pub(super) fn in_words(options: &Options) -> String {
    format!(
        "{} is a standby: what is applied on its primary comes later here, and who migrates there is not seen. Name the primary in `url`; a \
         replica is for checks of the data (replica_url)",
        options.database
    )
}

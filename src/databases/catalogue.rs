//! What a PostgreSQL database consists of, a line for each part: two of them tell what a script changed.

mod parts;
mod rights;

use std::collections::BTreeSet;

use super::{Fault, Session};

/// Schemas of the server itself, and of sessions alone.
const OURS: &str = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";

/// Everything that there is, who owns it, and who may do what with which of its rows, a line each.
///
/// All of it or nothing: more than the session reads of an answer is a fault.
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
    let parts: Vec<String> = parts::parts().into_iter().chain(rights::parts()).collect();
    format!("WITH {} {}", rights::granted(), parts.join(" UNION ALL "))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

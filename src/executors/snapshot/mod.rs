//! Snapshots of a PostgreSQL database: which there are and what is in them, one restored beside what is there, and put in its
//! place.
//!
//! A snapshot is a file that `pg_dump` wrote in its custom format. What is in it is read from itself, and what was restored is
//! believed only where its history of migrations is the one that was planned for.

mod archive;
mod likeness;
mod look;
mod preflight;
mod restore;
mod switch;

use std::path::PathBuf;

use jiff::tz::TimeZone;
use tokio::time::timeout;

pub use self::{
    look::{Known, count_lost, snapshots},
    preflight::snapshot_preflight,
};
use self::{
    restore::{Restore, restore},
    switch::{Switch, switch},
};
use super::{Adopted, Attempt, Trouble, database::LOOK, failed};
use crate::{
    databases::{self, Fault, Session, history::History, literal},
    domain::{
        change::Revision,
        plan::{Action, CommandLine, SchemaAt},
        run::Outcome,
    },
    units::Span,
};

/// For making, renaming and deleting a database.
const STATEMENT: Span = Span::minutes(1);

/// Carries out a step of a snapshot, and no other.
pub(super) async fn perform(
    attempt: &mut Attempt<'_>,
    action: &Action,
) -> Result<Outcome, Trouble> {
    if let Action::SnapshotRestore { schema, file, bytes, fingerprint, beside, restored, to, run } =
        action
    {
        let is = (*bytes, fingerprint.as_str());
        return restore(attempt, Restore { schema, file, is, beside, restored, to, run }).await;
    }
    if let Action::DatabaseSwitch { schema, database, restored, replaced, from, to } = action {
        return switch(attempt, Switch { schema, database, restored, replaced, from, to }).await;
    }
    failed(format!("this is nothing that is done with a snapshot: {action:?}"), false)
}

/// Where the snapshots of a database are, and through whom it is restored.
#[derive(Clone, Debug, PartialEq)]
pub struct Keeper {
    /// The history of migrations of what is there now.
    pub history: History,
    /// The same server, as one who may make and rename databases.
    pub through: databases::Options,
    /// Where the files are.
    pub files: Files,
    /// Where the files were written: they hold what the clock on the wall showed there.
    pub zone: TimeZone,
    /// `pg_restore`, without an argument.
    pub program: CommandLine,
    /// Whether what is restored is given to whom it belonged, who must be somebody that the restorer may act as.
    pub keeps_owners: bool,
    /// What is lost with a restore: what it is, and the query that counts it.
    pub lost: Vec<(String, String)>,
}

/// Files of one directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The directory.
    pub dir: PathBuf,
    /// How their names begin.
    pub begins: String,
    /// How their names end.
    pub ends: String,
    /// How many of the newest are looked at.
    pub max: usize,
}

impl Keeper {
    /// Any database of that server, as one who may change it.
    fn through(&self, database: &str) -> databases::Options {
        let mut options = self.through.clone();
        database.clone_into(&mut options.database.name);
        options
    }

    /// A session for what takes longer than a look.
    async fn session(&self) -> Result<Session, Fault> {
        let options = databases::Options { statement_timeout: STATEMENT, ..self.through.clone() };
        Session::open_unshared(&options).await
    }

    /// The history of migrations in another database of that server.
    fn history_in(&self, database: &str) -> History {
        History { options: self.through(database), ..self.history.clone() }
    }

    /// The database that is restored.
    fn database(&self) -> &str {
        &self.history.options.database.name
    }
}

/// Whoever can be asked to restore, by whose schema.
pub type Keepers = Adopted<SchemaAt, Keeper>;

fn keeper(attempt: &Attempt<'_>, of: &SchemaAt) -> Result<Keeper, Trouble> {
    let why = || format!("the configuration names no snapshots of {of} any more");
    let found = attempt.options.keepers.find(of);
    found.ok_or_else(|| Trouble::Failed { why: why(), retry: false })
}

/// Which schema a history tells of; or why that cannot be read, and whether it may be another time.
async fn revision(history: &History) -> Result<Revision, (String, bool)> {
    match timeout(LOOK, history.read()).await {
        Ok(read) => read.map(|seen| seen.revision()).map_err(|why| (why.to_string(), why.passes())),
        Err(_) => Err((format!("no answer within {} s", LOOK.as_secs()), true)),
    }
}

/// A database of a server, and what is written beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct There {
    name: String,
    comment: Option<String>,
}

/// Which of these are there.
async fn there(session: &mut Session, names: &[&str]) -> Result<Vec<There>, Fault> {
    let kind = session.kind();
    let named: Vec<String> = names.iter().map(|name| literal(kind, name)).collect();
    let sql = format!(
        "SELECT datname::text, shobj_description(oid, 'pg_database')::text FROM pg_catalog.pg_database WHERE datname IN ({})",
        named.join(", ")
    );
    let rows = session.rows(&sql).await?;
    let there = rows.into_iter().filter_map(|row| {
        let [name, comment] = <[Option<String>; 2]>::try_from(row).ok()?;
        Some(There { name: name?, comment })
    });
    Ok(there.collect())
}

/// What is written beside a database that was restored, and found good.
fn mark(fingerprint: &str) -> String {
    let short = fingerprint.get(..16).unwrap_or(fingerprint);
    format!("rollbackd restored it from the snapshot {short}")
}

/// What a fault of a server means for an attempt.
fn fault(fault: &Fault, doing: &str) -> Trouble {
    let retry = fault.problem.passes();
    Trouble::Failed { why: format!("{doing}: {}", fault.in_words()), retry }
}

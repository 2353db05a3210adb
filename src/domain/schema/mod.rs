//! What a look at a database's history of migrations showed: which version it has, what failed, and what runs.
//!
//! The history is Flyway's table, or sqlx's. What it does not say (a failed migration of PostgreSQL leaves no row) is told by its lock, by
//! [`crate::domain::schema::trouble`].

pub mod between;
pub mod history;
mod migration_state;
pub mod script;
pub mod snapshot;
pub mod trouble;
pub mod undo;
pub mod version;

use serde::{Deserialize, Serialize};

pub use self::migration_state::MigrationState;
use super::change::Revision;
use crate::units::{Span, UnixMs};

/// The name under which a database that tells nothing stands beside signals that do.
pub const DATABASE: &str = "database";

/// The kind of a migration that sqlx made.
pub const SQLX: &str = "sqlx";

/// What the operator decided about a service's database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabasePolicy {
    /// Which, for people: `shop at db:5432`.
    pub place: String,
    /// A migration that runs longer cannot be completed.
    pub stuck_after: Span,
    /// How often it is looked at.
    pub every: Span,
    /// The earlier application runs on what a migration leaves whose description, or script's name, holds this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compatible_marker: Option<String>,
}

/// What one look gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seen {
    /// The history, and who migrates.
    Known(Box<Schema>),
    /// Nobody can tell; why not, and what to do.
    Unknown(String),
}

/// One row of the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Migration {
    /// In which order it was written down.
    pub rank: i64,
    /// None of a repeatable one.
    pub version: Option<String>,
    /// What it does, in its author's words.
    pub description: String,
    /// Flyway's `SQL`, `JDBC`, `BASELINE`, `UNDO_SQL`, `DELETE`…; or `sqlx`.
    pub kind: String,
    /// Its file.
    pub script: String,
    /// Of its content.
    pub checksum: Option<i64>,
    /// By whom, as the database knows them.
    pub installed_by: String,
    /// When it was written down, as the database shows it: PostgreSQL's has no zone, and nothing is decided by it.
    pub installed_on: String,
    /// The same as a moment, where whoever told it knows that: of Flyway's in PostgreSQL in the zone that the operator names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installed_at: Option<UnixMs>,
    /// How long it took.
    pub execution_ms: i64,
    /// How it stands.
    pub state: MigrationState,
}

impl Migration {
    /// `V3__orders.sql (version 3, "orders")`, on one line whatever its author wrote.
    pub fn called(&self) -> String {
        let plain = |text: &str| -> String {
            text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
        };
        let what = match &self.version {
            Some(version) => format!("version {}", plain(version)),
            None => "repeatable".to_owned(),
        };
        format!("{} ({what}, \"{}\")", plain(&self.script), plain(&self.description))
    }
}

/// What a migration under way does, as the database shows its session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "doing")]
pub enum Doing {
    /// It works.
    Works,
    /// It waits for somebody's lock.
    Waits {
        /// Whose, or which lock, in words.
        what: String,
        /// Whether that is the migration tool's own session, which waits for the migration: neither ever ends.
        on_itself: bool,
    },
    /// Nothing, for so long: whoever began it may be gone.
    Nothing {
        /// For how long.
        span: Span,
    },
    /// The database does not show it; why, and what to do.
    Hidden {
        /// In words.
        why: String,
    },
}

/// A migration under way: somebody holds the migration tool's lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The session that holds the lock, in words.
    pub session: String,
    /// For how long, by the database's own clock, where it shows that.
    pub span: Option<Span>,
    /// Whether it was seen to change something.
    pub wrote: bool,
    /// What it does.
    pub doing: Doing,
}

/// A history that was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    /// Its table, with its schema.
    pub table: String,
    /// The highest version that is applied and not undone.
    pub current: Option<String>,
    /// A hash over the rows that were read.
    pub digest: String,
    /// How many rows there are.
    pub rows: u64,
    /// The newest of them, newest first, bounded.
    pub newest: Vec<Migration>,
    /// What is to be applied and was not yet, where whoever was asked knows of it; bounded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<Migration>,
    /// Whoever migrates at this moment.
    pub run: Option<Run>,
    /// Whether what failed was rolled back by the database itself.
    pub transactional: bool,
}

impl Schema {
    /// What this is as a revision.
    pub fn revision(&self) -> Revision {
        Revision {
            version: self.current.clone().unwrap_or_else(|| "none".to_owned()),
            digest: Some(between::digest(self.last_rank(), &self.digest)),
        }
    }

    /// The number of the newest row.
    fn last_rank(&self) -> i64 {
        self.newest.first().map_or(0, |newest| newest.rank)
    }

    /// What failed and is not mended: the newest first.
    pub fn failed(&self) -> impl Iterator<Item = &Migration> {
        self.newest.iter().filter(|migration| migration.state.is_failed())
    }

    /// The version, for people.
    pub fn version(&self) -> String {
        self.current.as_ref().map_or_else(|| "no version".to_owned(), |it| format!("version {it}"))
    }
}

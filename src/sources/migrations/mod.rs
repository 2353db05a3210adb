//! The history of migrations as others tell it than the database: Spring Boot's actuator, and Flyway's own `info`.
//!
//! Both say how each migration stands by what they know: an application knows its own scripts, and calls later ones `Future`.

mod actuator;
mod info;

use serde::Deserialize;

pub use self::{actuator::Actuator, info::told};
use crate::domain::schema::{Migration, Schema, history};

/// More of a text than this is not kept.
const TEXT_MAX: usize = 300;
/// Migrations that wait, of which so many are named.
const WAITING_MAX: usize = 20;

/// What both say of a migration, by other names.
#[derive(Debug, Default)]
struct Said {
    rank: Option<i64>,
    version: Option<String>,
    description: Option<String>,
    kind: Option<String>,
    script: Option<String>,
    checksum: Option<i64>,
    by: Option<String>,
    on: Option<String>,
    execution_ms: Option<i64>,
    state: String,
}

/// Versions are texts in one of them, and may be numbers in what others make of it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Word {
    Text(String),
    Number(serde_json::Number),
}

impl Word {
    fn text(self) -> Option<String> {
        let text = match self {
            Self::Text(text) => text,
            Self::Number(number) => number.to_string(),
        };
        Some(text).filter(|text| !text.is_empty())
    }
}

fn migration(said: Said) -> Result<(Option<i64>, Migration), String> {
    let cut = |text: Option<String>| -> String {
        text.unwrap_or_default().chars().take(TEXT_MAX).collect()
    };
    let state = said.state.parse()?;
    let migration = Migration {
        rank: said.rank.unwrap_or_default(),
        version: said.version,
        description: cut(said.description),
        kind: cut(said.kind),
        script: cut(said.script),
        checksum: said.checksum,
        installed_by: cut(said.by),
        installed_on: cut(said.on),
        installed_at: None,
        execution_ms: said.execution_ms.unwrap_or_default(),
        state,
    };
    Ok((said.rank, migration))
}

/// All of it together; `table` is who told it, for people.
fn schema(table: String, all: Vec<Said>, rows_max: usize) -> Result<Schema, String> {
    let (mut written, mut waiting) = (vec![], vec![]);
    for said in all {
        let (rank, migration) = migration(said)?;
        match rank {
            Some(_) => written.push(migration),
            None if migration.state.is_waiting() => waiting.push(migration),
            // A script that could be run, or never will be, says nothing of the database.
            None => {}
        }
    }
    let rows = written.len() as u64;
    waiting.truncate(WAITING_MAX);
    // Where one that fails leaves a row, nothing was taken back.
    let told = history::of_states(written, rows_max).schema(table, rows, false);
    Ok(Schema { waiting, ..told })
}

//! Scripts that take a PostgreSQL schema back: which there are, what one would change, and one run for good.
//!
//! Trying one and running one is the same transaction, which is taken back or committed: what was approved is what happens, or nothing.

mod look;
mod preflight;
mod run;
mod transaction;

use std::collections::BTreeMap;

pub(super) use self::run::run;
pub use self::{look::scripts, preflight::script_preflight};
use super::Adopted;
use crate::{
    databases::{self, history::History},
    domain::{
        integrity::Expects,
        plan::SchemaAt,
        schema::script::{Changes, ScriptRun},
    },
};

/// Through whom the scripts of one schema are run.
#[derive(Clone, Debug, PartialEq)]
pub struct Scripted {
    /// The history of its migrations.
    pub history: History,
    /// The same database, as one who may change it.
    pub through: databases::Options,
    /// The service's own checks of its data, by their names: one that passed before a script must not be violated after it.
    pub checks: BTreeMap<String, (String, Expects)>,
}

/// Whose scripts can be run.
pub type Scripts = Adopted<SchemaAt, Scripted>;

impl Scripts {
    fn of(&self, of: &SchemaAt) -> Result<Scripted, String> {
        let found = self.find(of);
        found.ok_or_else(|| format!("the configuration names no script for {of} any more"))
    }

    /// Runs a script and takes all of it back: what it would change, or why it cannot be run. What it locks is locked meanwhile.
    pub async fn try_out(&self, of: &ScriptRun) -> Result<Changes, String> {
        let scripted = self.of(&of.schema)?;
        let text = look::unchanged(of).await?;
        let trial = transaction::begun(&scripted, of, &text);
        let tried = tokio::time::timeout(of.timeout.duration(), trial).await;
        let late = |_| format!("it was not over within {}, and was taken back", of.timeout);
        let (open, changes) = match tried.map_err(late)? {
            Ok(both) => both,
            Err(ended) => return Err(ended.to_string()),
        };
        open.take_back().await;
        Ok(changes)
    }
}

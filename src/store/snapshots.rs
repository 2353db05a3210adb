//! The windows' contents, saved now and then so that a restart does not begin blind. Losing them loses no fact.

use rusqlite::params;

use super::{Store, StoreError, reader::View};
use crate::units::UnixMs;

/// What was saved of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Whose.
    pub key: String,
    /// As of when, by a clock of the writer's choice.
    pub at: UnixMs,
    /// The writer's own encoding.
    pub body: Vec<u8>,
}

impl Store {
    /// Replaces the snapshots of these keys, in one transaction. Save a large fleet in several calls.
    pub fn save_snapshots(&mut self, snapshots: &[Snapshot]) -> Result<(), StoreError> {
        self.write(|tx| {
            let mut put =
                tx.prepare_cached("INSERT OR REPLACE INTO snapshot VALUES (?1, ?2, ?3)")?;
            for snapshot in snapshots {
                put.execute(params![snapshot.key, snapshot.at.0, snapshot.body])?;
            }
            Ok(())
        })
    }
}

impl View<'_> {
    /// What is saved, and as of when.
    pub fn snapshot_times(&self) -> Result<Vec<(String, UnixMs)>, StoreError> {
        self.collect("SELECT key, at_ms FROM snapshot ORDER BY key", [], |row| {
            Ok((row.get(0)?, UnixMs(row.get(1)?)))
        })
    }

    /// What is saved under this key.
    pub fn load_snapshot(&self, key: &str) -> Result<Option<Snapshot>, StoreError> {
        let sql = "SELECT key, at_ms, body FROM snapshot WHERE key = ?1";
        let found = self.collect(sql, [key], |row| {
            Ok(Snapshot { key: row.get(0)?, at: UnixMs(row.get(1)?), body: row.get(2)? })
        });
        Ok(found?.pop())
    }

    /// Everything saved, by key.
    pub fn load_snapshots(&self) -> Result<Vec<Snapshot>, StoreError> {
        self.collect("SELECT key, at_ms, body FROM snapshot ORDER BY key", [], |row| {
            Ok(Snapshot { key: row.get(0)?, at: UnixMs(row.get(1)?), body: row.get(2)? })
        })
    }
}

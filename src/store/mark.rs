//! A note beside the database of how far it had come: SQLite takes a log that is damaged in its middle for one that
//! ends there, and a journal that went back would let an epoch, a quarantine or a rollback be forgotten in silence.
//!
//! It is written after what it says is durable, so that no crash can make it say more than the database holds.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use serde::{Deserialize, Serialize};

use super::{StoreError, reader::View};

/// The note's file in the state directory.
pub(super) const MARK_FILE: &str = "rollbackd.mark";

/// How far the database had come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    pub(super) epoch: u64,
    pub(super) seq: u64,
    pub(super) hash: String,
}

impl Mark {
    /// How far it has come now, under this epoch.
    pub(super) fn of(view: &View<'_>, epoch: u64) -> Result<Self, StoreError> {
        let (seq, hash) = view.tail()?;
        Ok(Self { epoch, seq, hash })
    }

    /// Replaces the note in `dir`; a crash leaves the old one or the new one.
    pub(super) fn write(&self, dir: &Path) -> Result<(), StoreError> {
        let path = dir.join(MARK_FILE);
        let new = path.with_extension("mark.new");
        let save = || {
            let mut options = OpenOptions::new();
            let mut file =
                options.create(true).write(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(&serde_json::to_vec(self)?)?;
            file.sync_data()?;
            fs::rename(&new, &path)
        };
        save().map_err(|source| StoreError::directory(&path, source))
    }

    /// The note in `dir`, where there is one that can be read.
    pub(super) fn read(dir: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(dir.join(MARK_FILE)).ok()?).ok()
    }

    /// Refuses a database that holds less than the note in `dir` says, or something else.
    pub(super) fn check(dir: &Path, view: &View<'_>, epoch: u64) -> Result<(), StoreError> {
        let path = dir.join(MARK_FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(StoreError::directory(&path, error)),
        };
        // A note that is no note says nothing about the database.
        let Ok(mark) = serde_json::from_slice::<Self>(&text) else { return Ok(()) };
        let (seq, _) = view.tail()?;
        let there = view.hash_at(mark.seq)?;
        let differs = mark.seq > 0 && there.is_some_and(|hash| hash != mark.hash);
        if seq >= mark.seq && epoch >= mark.epoch && !differs {
            return Ok(());
        }
        Err(StoreError::WentBack { path, came_to: mark.seq, holds: seq })
    }
}

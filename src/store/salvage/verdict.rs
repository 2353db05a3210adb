//! What is wrong with a journal, record by record, and which parts of it hold together.

use std::{fmt, path::PathBuf};

use serde::Serialize;

use super::files::Found;
use crate::domain::fact::{self, Fact};

/// Faults that are listed one by one; what is beyond is counted.
const LISTED_MAX: usize = 100;

/// Records from one to another, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Run {
    /// The first.
    pub from: u64,
    /// The last.
    pub through: u64,
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.from == self.through {
            return write!(f, "record {}", self.from);
        }
        write!(f, "records {} to {}", self.from, self.through)
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum Wrong {
    /// SQLite cannot read it, or finds that its pages contradict each other.
    #[error("the database is damaged: {detail}")]
    Database {
        /// In SQLite's words.
        detail: String,
    },
    /// It is a later program's.
    #[error(
        "it was written by a newer rollbackd (schema {found}, this one knows {known}), which alone can judge it"
    )]
    NewerSchema {
        /// What it holds.
        found: u32,
        /// What this program knows.
        known: u32,
    },
    /// A record says something that only a later program can read.
    #[error("{records} is of fact version {version} by rollbackd {by}, which is newer")]
    NewerFact {
        /// The first of them.
        records: Run,
        /// Its version.
        version: u32,
        /// Who wrote it.
        by: String,
    },
    /// A record is what was written, and no fact.
    #[error("{records} is whole, and says nothing that is known: {why}")]
    NoFact {
        /// Which.
        records: Run,
        /// Why not.
        why: String,
    },
    /// No trace of them was found.
    #[error("{records}: missing")]
    Missing {
        /// Which.
        records: Run,
    },
    /// It can be read, and is not what was written.
    #[error("{records}: not what was written ({kind}, {stream}, {at})")]
    Altered {
        /// Which.
        records: Run,
        /// What kind it says it is.
        kind: String,
        /// Whose it says it is.
        stream: String,
        /// When it says it was written.
        at: String,
    },
    /// It is what was written, and does not follow the one before it.
    #[error("{records}: the one before it was replaced")]
    Unlinked {
        /// Which.
        records: Run,
    },
    /// The checkpoint stands on another record.
    #[error("{records}: the checkpoint stands on another record of that number")]
    CheckpointDiffers {
        /// Which.
        records: Run,
    },
    /// The note beside the database knows of more, or of another.
    #[error(
        "the journal had come to record {came_to}, and ends at {holds} by what SQLite makes of it: its log is damaged, or an older copy was put in its place"
    )]
    WentBack {
        /// How far it had come.
        came_to: u64,
        /// How far it comes.
        holds: u64,
    },
}

/// A journal that was looked through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The database.
    pub path: PathBuf,
    /// Whether nothing at all is wrong.
    pub whole: bool,
    /// The last record that retention removed; 0 where none was, or where that cannot be read.
    pub pruned: u64,
    /// The last record that is known to have been written.
    pub last: u64,
    /// The record that the checkpoint stands on, where it can be read.
    pub checkpoint: Option<u64>,
    /// Records that can be read, altered ones included.
    pub readable: u64,
    /// Records that are what was written and follow from one another.
    pub sound: Vec<Run>,
    /// What is wrong: the first hundred.
    pub wrong: Vec<Wrong>,
    /// How many more things are wrong.
    pub more: usize,
}

/// Sees the records in order.
#[derive(Debug)]
pub(super) struct Walk {
    pub(super) verdict: Verdict,
    checkpoint: Option<(u64, String)>,
    next: u64,
    hash: Option<String>,
}

impl Walk {
    /// From behind what retention removed, where that is known.
    pub(super) fn new(
        path: PathBuf,
        pruned: Option<(u64, String)>,
        checkpoint: Option<(u64, String)>,
    ) -> Self {
        let (cut, hash) = pruned.map_or((0, None), |(seq, hash)| (seq, Some(hash)));
        let verdict = Verdict {
            path,
            whole: true,
            pruned: cut,
            last: cut,
            checkpoint: checkpoint.as_ref().map(|(seq, _)| *seq),
            readable: 0,
            sound: vec![],
            wrong: vec![],
            more: 0,
        };
        Self { verdict, checkpoint, next: cut + 1, hash }
    }

    pub(super) fn wrong(&mut self, wrong: Wrong) {
        self.verdict.whole = false;
        if self.verdict.wrong.len() < LISTED_MAX {
            self.verdict.wrong.push(wrong);
        } else {
            self.verdict.more += 1;
        }
    }

    /// The next record that can be read; they come in order.
    pub(super) fn see(&mut self, found: &Found) {
        let record = &found.record;
        let records = Run { from: record.seq, through: record.seq };
        self.missing(record.seq - 1);
        self.next = record.seq + 1;
        self.verdict.last = record.seq;
        self.verdict.readable += 1;
        if !found.sound {
            let (kind, stream) = (record.fact.kind.clone(), record.fact.stream.clone());
            self.wrong(Wrong::Altered { records, kind, stream, at: found.at.clone() });
            self.hash = None;
            return;
        }
        let follows = self.hash.as_ref().is_some_and(|hash| *hash == record.prev_hash);
        if !follows && self.hash.is_some() {
            self.wrong(Wrong::Unlinked { records });
        }
        match self.verdict.sound.last_mut().filter(|_| follows) {
            Some(run) => run.through = record.seq,
            None => self.verdict.sound.push(records),
        }
        let differs = |(seq, hash): &(u64, String)| *seq == record.seq && *hash != record.hash;
        if self.checkpoint.as_ref().is_some_and(differs) {
            self.wrong(Wrong::CheckpointDiffers { records });
        }
        self.understand(found, records);
        self.hash = Some(record.hash.clone());
    }

    fn understand(&mut self, found: &Found, records: Run) {
        let written = &found.record.fact;
        if written.fact_version > fact::VERSION {
            let by = found.record.daemon_version.clone();
            self.wrong(Wrong::NewerFact { records, version: written.fact_version, by });
        } else if let Err(why) = serde_json::from_str::<Fact>(&written.body) {
            self.wrong(Wrong::NoFact { records, why: why.to_string() });
        }
    }

    /// Whatever was not seen up to this one is not there.
    pub(super) fn missing(&mut self, through: u64) {
        if self.next <= through {
            self.wrong(Wrong::Missing { records: Run { from: self.next, through } });
            (self.next, self.hash) = (through + 1, None);
            self.verdict.last = through;
        }
    }

    pub(super) fn end(mut self, came_to: u64) -> Verdict {
        let checkpoint = self.verdict.checkpoint.unwrap_or(0);
        self.missing(came_to.max(checkpoint));
        self.verdict
    }
}

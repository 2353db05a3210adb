//! The hash chain over the journal: what is hashed, and where the chain breaks.
//!
//! It shows accidents and edits. Somebody who may write the file can rebuild all of it; against that, send the
//! records elsewhere as well.

use sha2::{Digest, Sha256};

use super::{StoreError, journal::Record, reader::View};
use crate::domain::plan::hex;

/// Whether every record still follows from the one before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chain {
    /// From the first record still kept to the last.
    Whole {
        /// How many records were checked.
        records: u64,
        /// The last one; 0 in an empty journal.
        last: u64,
    },
    /// The first place where it does not.
    Broken {
        /// The record that is missing or wrong.
        seq: u64,
        /// How.
        why: Break,
    },
}

/// How a chain is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Break {
    /// No record has this number.
    #[error("the record is missing")]
    Missing,
    /// The record was changed after it was written.
    #[error("the record is not what was written")]
    Altered,
    /// The record does not follow the one before it: that one was replaced.
    #[error("the record before it was replaced")]
    Unlinked,
    /// The checkpoint stands on a record with another hash.
    #[error("the checkpoint does not stand on it")]
    CheckpointDiffers,
}

/// The hash of everything in a record but the hash itself; `at` is the time as text, as written.
pub(super) fn hash(record: &Record, at: &str) -> String {
    let fact = &record.fact;
    let mut hasher = Sha256::new();
    // Each field with its length before it, so that no two records can look alike.
    let mut field = |bytes: &[u8]| {
        hasher.update((bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    for number in [
        record.seq.cast_signed(),
        record.stream_seq.cast_signed(),
        record.epoch.cast_signed(),
        fact.at.0,
        fact.steady_ms,
        i64::from(fact.fact_version),
    ] {
        field(&number.to_le_bytes());
    }
    field(&[u8::from(fact.incident.is_some())]);
    for text in [
        fact.stream.as_str(),
        fact.incident.as_deref().unwrap_or(""),
        at,
        &fact.kind,
        &fact.cause,
        &record.daemon_version,
        &fact.config_hash,
        &fact.policy_version,
        &fact.body,
        &record.prev_hash,
    ] {
        field(text.as_bytes());
    }
    hex(&hasher.finalize())
}

/// Ends a scan: with a finding, or with a failure to read.
enum Stop {
    Found(u64, Break),
    Failed(StoreError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

impl View<'_> {
    /// Checks every record that is kept, and that the checkpoint stands on one of them.
    pub fn verify_chain(&self) -> Result<Chain, StoreError> {
        let (cut, cut_hash) = self.pruned()?;
        let checkpoint = self.checkpoint_place()?;
        let (mut last, mut last_hash, mut records) = (cut, cut_hash, 0);
        let walked = self.scan(cut, |record, at| {
            if record.seq != last + 1 {
                return Err(Stop::Found(last + 1, Break::Missing));
            }
            if record.prev_hash != last_hash {
                return Err(Stop::Found(record.seq, Break::Unlinked));
            }
            if record.hash != hash(&record, &at) {
                return Err(Stop::Found(record.seq, Break::Altered));
            }
            let differs = |(seq, hash): &(u64, String)| *seq == record.seq && *hash != record.hash;
            if checkpoint.as_ref().is_some_and(differs) {
                return Err(Stop::Found(record.seq, Break::CheckpointDiffers));
            }
            (last, last_hash, records) = (record.seq, record.hash, records + 1);
            Ok(())
        });
        match walked {
            Err(Stop::Failed(error)) => Err(error),
            Err(Stop::Found(seq, why)) => Ok(Chain::Broken { seq, why }),
            Ok(()) if checkpoint.is_some_and(|(seq, _)| seq > last) => {
                Ok(Chain::Broken { seq: last + 1, why: Break::Missing })
            }
            Ok(()) => Ok(Chain::Whole { records, last }),
        }
    }
}

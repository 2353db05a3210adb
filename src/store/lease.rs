//! Who may act now. Everything that changes the world takes a [`Lease`] and asks it first.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Why nothing may be begun.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Withheld {
    /// A person set the kill switch.
    #[error("{} exists: nothing is begun until it is removed", .0.display())]
    Hold(PathBuf),
    /// Another daemon holds the lease.
    #[error("this daemon no longer holds the lease")]
    Lost,
}

/// The right to act, for as long as it is held.
#[derive(Clone, Debug)]
pub struct Lease {
    dir: PathBuf,
    epoch: u64,
    held: Arc<AtomicBool>,
}

impl Lease {
    /// A lease on the state directory `dir`, held while `held` says so.
    pub fn new(dir: &Path, epoch: u64, held: Arc<AtomicBool>) -> Self {
        Self { dir: dir.to_owned(), epoch, held }
    }

    /// The number that lets the store refuse whoever no longer may act.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether the next effect may be begun.
    pub fn permits(&self) -> Result<(), Withheld> {
        let hold = self.dir.join("HOLD");
        if std::fs::symlink_metadata(&hold).is_ok() {
            return Err(Withheld::Hold(hold));
        }
        if self.held.load(Ordering::Acquire) { Ok(()) } else { Err(Withheld::Lost) }
    }
}

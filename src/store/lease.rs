//! Who may act: the lock on the state directory, the epoch, and the kill switch.
//!
//! A [`Lease`] is authority as a value: whatever changes the world takes `&Lease` and asks [`Lease::permits`] first.
//! It never waits and never touches the database, so it can be asked before every step.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    thread,
};

use super::error::StoreError;
use crate::units::Span;

/// The file in the state directory that forbids all acting while it exists; its first line says why.
pub const HOLD_FILE: &str = "HOLD";

const LOCK_FILE: &str = "lock";
const LOCK_POLL: Span = Span(50);

const HELD: u8 = 0;
const CANNOT_WRITE: u8 = 1;
const LOST: u8 = 2;

/// Why nothing may be done now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Withheld {
    /// Somebody pulled the kill switch.
    #[error("{path} forbids it: {reason}", path = .path.display())]
    Hold {
        /// The file to remove when it is over.
        path: PathBuf,
        /// Its first line.
        reason: String,
    },
    /// Another daemon acts on this state directory, or this one is going down.
    #[error("this daemon does not hold the lease any more")]
    LeaseLost,
    /// What would be done could not be journaled.
    #[error("the journal cannot be written")]
    CannotWrite,
    /// Whether a hold is set cannot be seen, so it counts as set.
    #[error("cannot see whether {path} exists: {why}", path = .path.display())]
    CannotTell {
        /// The file that was looked for.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
}

/// The right to act on the world, while it lasts. Cheap to clone; the lock is let go with the last clone.
#[derive(Clone, Debug)]
pub struct Lease(Arc<Held>);

#[derive(Debug)]
struct Held {
    dir: PathBuf,
    lock: File,
    epoch: u64,
    standing: AtomicU8,
}

impl Lease {
    pub(super) fn new(dir: &Path, lock: Lock, epoch: u64) -> Self {
        let standing = AtomicU8::new(HELD);
        Self(Arc::new(Held { dir: dir.to_owned(), lock: lock.0, epoch, standing }))
    }

    /// Counts the openings of this state directory; a higher one always wins.
    pub fn epoch(&self) -> u64 {
        self.0.epoch
    }

    /// Whether something may be done to the world now; ask before every attempt at every step.
    pub fn permits(&self) -> Result<(), Withheld> {
        match self.0.standing.load(Ordering::Acquire) {
            HELD => {}
            CANNOT_WRITE => return Err(Withheld::CannotWrite),
            _ => return Err(Withheld::LeaseLost),
        }
        if !self.0.lock_is_in_place() {
            self.lose();
            return Err(Withheld::LeaseLost);
        }
        hold(&self.0.dir)
    }

    pub(super) fn lose(&self) {
        self.0.standing.store(LOST, Ordering::Release);
    }

    pub(super) fn cannot_write(&self) {
        self.swap(HELD, CANNOT_WRITE);
    }

    pub(super) fn can_write(&self) {
        self.swap(CANNOT_WRITE, HELD);
    }

    // A lost lease stays lost, whatever can be written.
    fn swap(&self, from: u8, to: u8) {
        let _ = self.0.standing.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire);
    }
}

impl Held {
    // Whoever removes the lock file lets a second daemon lock a new one: ours then guards nothing.
    fn lock_is_in_place(&self) -> bool {
        is_at(&self.lock, &self.dir.join(LOCK_FILE))
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    let same = |a: &fs::Metadata, b: &fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    matches!((file.metadata(), fs::metadata(path)), (Ok(a), Ok(b)) if same(&a, &b))
}

fn hold(dir: &Path) -> Result<(), Withheld> {
    let path = dir.join(HOLD_FILE);
    let found = match fs::symlink_metadata(&path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Withheld::CannotTell { path, why: error.to_string() }),
    };
    let mut bytes = Vec::new();
    if found.is_file()
        && let Ok(file) = File::open(&path)
    {
        // Whatever can be read of it explains; that it exists is what holds.
        let _ = file.take(1024).read_to_end(&mut bytes);
    }
    let text = String::from_utf8_lossy(&bytes);
    let first = text.lines().next().unwrap_or("").trim();
    let reason = if first.is_empty() { "no reason given" } else { first }.to_owned();
    Err(Withheld::Hold { path, reason })
}

/// The exclusive lock on a state directory.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Lock {
    /// Tries until `wait` has passed, then says who has it.
    pub(super) fn take(dir: &Path, wait: Span) -> Result<Self, StoreError> {
        let path = dir.join(LOCK_FILE);
        let fault = |source| StoreError::directory(&path, source);
        let open = || {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false).mode(0o600);
            options.open(&path).map_err(fault)
        };
        let mut waited = Span::ZERO;
        loop {
            let mut file = open()?;
            match file.try_lock() {
                // Removed between opening and locking: another daemon may lock the new one.
                Ok(()) if !is_at(&file, &path) => {}
                Ok(()) => {
                    let pid = format!("{}\n", std::process::id());
                    file.set_len(0).and_then(|()| file.write_all(pid.as_bytes())).map_err(fault)?;
                    return Ok(Self(file));
                }
                Err(TryLockError::Error(source)) => return Err(fault(source)),
                Err(TryLockError::WouldBlock) if waited < wait => {
                    thread::sleep(LOCK_POLL.duration());
                    waited = waited + LOCK_POLL;
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(StoreError::LeaseHeld { pid: read_pid(&mut file), path, waited });
                }
            }
        }
    }
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().and_then(|()| file.take(32).read_to_string(&mut text)).ok()?;
    text.trim().parse().ok()
}

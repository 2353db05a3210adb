//! What can go wrong with the state directory, and what to do about it.

use std::{
    io,
    path::{Path, PathBuf},
};

use rusqlite::ErrorCode;

use super::chain::Break;
use crate::units::Span;

/// Why the store did not do what it was asked. Every text says what, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory or a file in it cannot be made or opened.
    #[error("cannot use {path}: {advice}")]
    Directory {
        /// Which directory or file.
        path: PathBuf,
        /// What to do.
        advice: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Others than the daemon's user could change the journal or lift a hold.
    #[error("{path} has mode {mode:03o}, so others could write in it; run `chmod 700 {path}`")]
    Exposed {
        /// The state directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Whoever owns the directory can replace anything in it.
    #[error(
        "{path} belongs to uid {owner}, and rollbackd runs as uid {ours}; run `chown -R {ours} {path}`, or run rollbackd as its owner"
    )]
    NotOurs {
        /// The state directory.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who we are.
        ours: u32,
    },
    /// Another daemon acts on this state directory; `main` exits 75.
    #[error("{} holds {path} and did not let go within {waited}; stop it, or give this one a state directory of its own", holder(.pid))]
    LeaseHeld {
        /// The lock file.
        path: PathBuf,
        /// Who holds it, where it can be read.
        pid: Option<u32>,
        /// How long was waited.
        waited: Span,
    },
    /// A later rollbackd has written here.
    #[error(
        "{path} was written by a newer rollbackd (schema {found}, this one knows {known}); install that version again, or restore the backup from before the upgrade"
    )]
    NewerSchema {
        /// The database.
        path: PathBuf,
        /// What it holds.
        found: u32,
        /// What this program knows.
        known: u32,
    },
    /// There is no journal to read.
    #[error(
        "there is no journal at {path}; check the state directory, and that the daemon has run once"
    )]
    Absent {
        /// The database that was looked for.
        path: PathBuf,
    },
    /// The database is not one, or its pages contradict each other.
    #[error(
        "{path} is damaged ({detail}); `rollbackd journal verify` says what of it can still be read, `rollbackd journal rescue` makes a new one of that; or restore a backup"
    )]
    Corrupt {
        /// The database.
        path: PathBuf,
        /// What SQLite found.
        detail: String,
    },
    /// The database holds less than it once did: its log was damaged, or an older copy was put in its place.
    #[error(
        "the journal beside {path} ends at record {holds}, and had come to {came_to}: its log is damaged, or an older copy was put in its place; what is missing may be a rollback or a quarantine. `rollbackd journal verify` says what can still be read, `rollbackd journal rescue` makes a new one of that. Or restore a whole copy; or, if this one is meant, remove {path} and see by `rollbackd status` what it knows as good"
    )]
    WentBack {
        /// The note of how far it had come.
        path: PathBuf,
        /// How far.
        came_to: u64,
        /// How far it comes now.
        holds: u64,
    },
    /// A record was changed or lost from outside: nothing is done on a record that nobody can trust.
    #[error(
        "the journal {path} is broken at record {seq}: {why}; `rollbackd journal verify` says what of it can still be read, `rollbackd journal rescue` makes a new one of that; or restore a backup"
    )]
    Broken {
        /// The database.
        path: PathBuf,
        /// The first wrong record.
        seq: u64,
        /// How.
        why: Break,
    },
    /// There is neither a first record nor a checkpoint from which a daemon could go on.
    #[error(
        "of {path} neither the first record nor the checkpoint can be read, so that no daemon could go on from the rest; `rollbackd journal export` has it. Restore a backup, or begin with an empty state directory"
    )]
    NoBeginning {
        /// The database.
        path: PathBuf,
    },
    /// Something else is there already.
    #[error("{path} is not empty; name a directory that does not exist yet")]
    NotEmpty {
        /// Which directory.
        path: PathBuf,
    },
    /// Nothing was written; trying later can help, and `probe_write` tells when.
    #[error("cannot write {path}: {advice}")]
    CannotWrite {
        /// The database.
        path: PathBuf,
        /// What to do.
        advice: &'static str,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// Nothing could be read; trying later can help.
    #[error("cannot read {path}: {advice}")]
    CannotRead {
        /// The database.
        path: PathBuf,
        /// What to do.
        advice: &'static str,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// A later daemon has taken over: this one must never act again.
    #[error(
        "the epoch is {current}, ours was {ours}: another rollbackd has taken over; this one has to stop"
    )]
    StaleEpoch {
        /// Under which epoch the write was tried.
        ours: u64,
        /// Which one holds.
        current: u64,
    },
    /// A checkpoint must stand on a record that is in the journal.
    #[error("the journal holds no record {seq} that a checkpoint could stand on")]
    NoSuchRecord {
        /// Which one.
        seq: u64,
    },
    /// A notice that is to be queued has no JSON.
    #[error("the notice {notice} cannot be written as JSON")]
    Unwritable {
        /// Its id.
        notice: String,
        /// Why not.
        source: serde_json::Error,
    },
}

fn holder(pid: &Option<u32>) -> String {
    pid.map_or_else(|| "another rollbackd".into(), |pid| format!("the rollbackd with pid {pid}"))
}

impl StoreError {
    pub(super) fn directory(path: &Path, source: io::Error) -> Self {
        Self::Directory { path: path.to_owned(), advice: io_advice(source.kind()), source }
    }

    pub(super) fn writing(path: &Path, source: rusqlite::Error) -> Self {
        Self::damage(path, &source).unwrap_or_else(|| {
            let advice = sql_advice(&source);
            Self::CannotWrite { path: path.to_owned(), advice, source }
        })
    }

    pub(super) fn reading(path: &Path, source: rusqlite::Error) -> Self {
        Self::damage(path, &source).unwrap_or_else(|| {
            let advice = sql_advice(&source);
            Self::CannotRead { path: path.to_owned(), advice, source }
        })
    }

    fn damage(path: &Path, source: &rusqlite::Error) -> Option<Self> {
        let damaged = matches!(
            source.sqlite_error_code(),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
        );
        damaged.then(|| Self::Corrupt { path: path.to_owned(), detail: source.to_string() })
    }
}

fn io_advice(kind: io::ErrorKind) -> &'static str {
    use io::ErrorKind as Kind;
    if kind == Kind::PermissionDenied {
        "give it to the user that rollbackd runs as, and let that user write in it"
    } else if kind == Kind::ReadOnlyFilesystem {
        "its file system is read-only; mount it writable, or choose another state directory"
    } else if matches!(kind, Kind::StorageFull | Kind::QuotaExceeded | Kind::FileTooLarge) {
        "no space is left for it; free some, or raise the limit"
    } else if matches!(kind, Kind::NotADirectory | Kind::AlreadyExists | Kind::IsADirectory) {
        "something else has that name; move it away, or choose another state directory"
    } else if kind == Kind::NotFound {
        "it cannot be created there; choose another state directory"
    } else {
        "look at the disk and the system's log"
    }
}

fn sql_advice(error: &rusqlite::Error) -> &'static str {
    let Some(code) = error.sqlite_error_code() else {
        return "this is a fault in rollbackd; please report it";
    };
    if code == ErrorCode::DiskFull {
        "no space is left; free some on that file system"
    } else if code == ErrorCode::ReadOnly {
        "it is read-only; check the mount and the owner of the directory"
    } else if matches!(code, ErrorCode::CannotOpen | ErrorCode::PermissionDenied) {
        "it cannot be opened; check the owner and mode of the directory and of the files in it"
    } else if matches!(code, ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) {
        "another program keeps it locked; close it (an open `sqlite3`, a backup)"
    } else if code == ErrorCode::SystemIoFailure {
        "the disk refused; look at free space, quota, limits and the system's log"
    } else {
        "this is a fault in rollbackd; please report it"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_where_and_what_to_do() {
        let error = StoreError::directory(
            Path::new("/var/lib/rollbackd"),
            io::ErrorKind::ReadOnlyFilesystem.into(),
        );
        insta::assert_snapshot!(error, @"cannot use /var/lib/rollbackd: its file system is read-only; mount it writable, or choose another state directory");
        let held = StoreError::LeaseHeld {
            path: "/var/lib/rollbackd/lock".into(),
            pid: Some(41),
            waited: Span::seconds(5),
        };
        insta::assert_snapshot!(held, @"the rollbackd with pid 41 holds /var/lib/rollbackd/lock and did not let go within 5s; stop it, or give this one a state directory of its own");
    }

    #[test]
    fn a_full_disk_and_a_damaged_file_are_told_apart() {
        let path = Path::new("db");
        let sqlite = |code| rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
        let full = StoreError::writing(path, sqlite(rusqlite::ffi::SQLITE_FULL));
        assert_eq!(
            full.to_string(),
            "cannot write db: no space is left; free some on that file system"
        );
        let damaged = StoreError::reading(path, sqlite(rusqlite::ffi::SQLITE_CORRUPT));
        assert!(matches!(damaged, StoreError::Corrupt { .. }), "{damaged:?}");
    }
}

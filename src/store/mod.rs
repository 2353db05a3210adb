//! What survives a crash: the journal of facts, the outbox of notices, and the lease that says who may write.
//!
//! One SQLite database in the state directory, in WAL mode with `synchronous = FULL`: what [`Store::append`] has
//! returned is on the disk. The event loop's thread owns the [`Store`]; everybody else opens a [`reader::Reader`].
//! Nothing here reads a clock or decides anything.

mod answers;
mod chain;
mod enqueue;
mod error;
mod history;
pub mod journal;
pub mod lease;
mod mark;
pub mod outbox;
pub mod queue;
pub mod reader;
mod retention;
pub mod salvage;
mod schema;
mod snapshots;
#[cfg(test)]
mod tests;

use std::{
    fs::{self, DirBuilder, OpenOptions, Permissions},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

pub use self::{
    answers::Answer,
    chain::{Break, Chain},
    enqueue::{Overflow, lane},
    error::StoreError,
    journal::{Appended, Draft, OutboxDraft, Record, Turn},
    lease::{Lease, Withheld},
    outbox::OutboxRow,
    reader::Reader,
    retention::{Checkpoint, Pruned},
    salvage::Salvage,
    snapshots::Snapshot,
};
use self::{lease::Lock, mark::Mark, reader::View};
use crate::units::Span;

const DATABASE: &str = "rollbackd.db";
const PROBE_BYTES: i64 = 64 << 10;
/// Pages kept in memory: a full outbox is looked at again and again, and does not fit into what SQLite keeps by itself.
const CACHE_KIB: i64 = 16 << 10;

/// Where the store lives and what bounds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The state directory; made with mode 0700 when it is not there.
    pub dir: PathBuf,
    /// How long records, and notices that were settled, are kept.
    pub journal_keep: Span,
    /// How long to wait for another daemon to let go of the directory.
    pub lease_wait: Span,
    /// How long to wait for another program that has the database locked.
    pub busy_wait: Span,
    /// Notices that may wait for one channel.
    pub outbox_max: usize,
    /// Notices kept after they were delivered or given up.
    pub settled_max: usize,
    /// How long an answer is kept for a sender that asks the same again.
    pub answer_keep: Span,
    /// Answers kept for one sender.
    pub answers_max: usize,
    /// How often windows are written down: a crash loses at most this much of those that are about to matter.
    pub snapshot_every: Span,
    /// How long the windows of a service that is not saved any more are kept.
    pub snapshot_keep: Span,
}

impl Options {
    /// The defaults, in this directory.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            journal_keep: Span::hours(24 * 90),
            lease_wait: Span::seconds(10),
            busy_wait: Span::seconds(2),
            outbox_max: 1_000,
            settled_max: 10_000,
            answer_keep: Span::hours(24),
            answers_max: 1_000,
            snapshot_every: Span::seconds(10),
            snapshot_keep: Span::hours(24),
        }
    }
}

/// The one writer of a state directory.
#[derive(Debug)]
pub struct Store {
    conn: Connection,
    path: PathBuf,
    options: Options,
    lease: Lease,
}

impl Store {
    /// Makes or opens the state directory, takes the lease, and brings the schema up to date.
    pub fn open(options: Options) -> Result<Self, StoreError> {
        prepare_dir(&options.dir)?;
        let lock = Lock::take(&options.dir, options.lease_wait)?;
        let path = options.dir.join(DATABASE);
        // Whoever moved the database aside meant to begin anew.
        let begins_anew = !path.exists();
        prepare_file(&path)?;
        let mut conn = connect(&path, options.busy_wait)?;
        schema::refuse_newer(&conn, &path)?;
        check_pages(&conn, &path)?;
        schema::migrate(&mut conn, &path)?;
        if !begins_anew {
            let epoch = epoch(&conn).map_err(|e| StoreError::reading(&path, e))?;
            let view = View::new(&conn, &path);
            // Before anything is written: what is damaged is left as it is.
            if let Chain::Broken { seq, why } = view.verify_chain()? {
                return Err(StoreError::Broken { path, seq, why });
            }
            Mark::check(&options.dir, &view, epoch)?;
        }
        let epoch = next_epoch(&conn).map_err(|e| StoreError::writing(&path, e))?;
        let lease = Lease::new(&options.dir, lock, epoch);
        let store = Self { conn, path, options, lease };
        store.mark()?;
        Ok(store)
    }

    /// Notes how far the journal has come, so that a damaged log is noticed at the next start. Costs a small file's
    /// fsync: for now and then, not for every turn.
    pub fn mark(&self) -> Result<(), StoreError> {
        Mark::of(&self.view(), self.lease.epoch())?.write(&self.options.dir)
    }

    /// The right to act, for whoever changes the world.
    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Everything that can be read, seen through the writer's own connection.
    pub fn view(&self) -> View<'_> {
        View::new(&self.conn, &self.path)
    }

    /// Writes something that means nothing, durably: after a failed write, this tells when to go on. It takes as
    /// much room as a large turn would, so that one free page is not taken for space again.
    pub fn probe_write(&mut self) -> Result<(), StoreError> {
        let sql = "INSERT OR REPLACE INTO probe VALUES (1, randomblob(?1))";
        self.write(|tx| tx.execute(sql, [PROBE_BYTES]).map(drop))?;
        self.lease.can_write();
        Ok(())
    }

    /// One transaction under our epoch, all or nothing. A failure leaves the store fit to be tried again, and the
    /// lease withheld until a turn or a probe has been written.
    fn write<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let ours = self.lease.epoch();
        match under_epoch(&mut self.conn, ours, work) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(current)) => {
                self.lease.lose();
                Err(StoreError::StaleEpoch { ours, current })
            }
            Err(source) => {
                self.lease.cannot_write();
                Err(StoreError::writing(&self.path, source))
            }
        }
    }
}

impl Drop for Store {
    // Clones of the lease may outlive the store; without a journal they must not act.
    fn drop(&mut self) {
        self.lease.lose();
    }
}

fn under_epoch<T>(
    conn: &mut Connection,
    ours: u64,
    work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Result<T, u64>> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let current = tx
        .prepare_cached("SELECT epoch FROM lease")?
        .query_row([], |row| row.get::<_, i64>(0))?
        .cast_unsigned();
    if current != ours {
        return Ok(Err(current));
    }
    let value = work(&tx)?;
    tx.commit()?;
    Ok(Ok(value))
}

fn epoch(conn: &Connection) -> rusqlite::Result<u64> {
    conn.query_row("SELECT epoch FROM lease", [], |row| {
        row.get::<_, i64>(0).map(i64::cast_unsigned)
    })
}

fn next_epoch(conn: &Connection) -> rusqlite::Result<u64> {
    conn.query_row("UPDATE lease SET epoch = epoch + 1 RETURNING epoch", [], |row| {
        row.get::<_, i64>(0).map(i64::cast_unsigned)
    })
}

fn prepare_dir(dir: &Path) -> Result<(), StoreError> {
    let fault = |source| StoreError::directory(dir, source);
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(fault)?;
    let found = fs::metadata(dir).map_err(fault)?;
    let (owner, ours) = (found.uid(), rustix::process::geteuid().as_raw());
    if owner != ours {
        return Err(StoreError::NotOurs { path: dir.to_owned(), owner, ours });
    }
    let mode = found.permissions().mode() & 0o777;
    // Not tightened by us: somebody may have named a directory that is shared for a reason, such as /tmp.
    if mode & 0o022 != 0 {
        return Err(StoreError::Exposed { path: dir.to_owned(), mode });
    }
    Ok(())
}

// SQLite gives the files beside the database the database's own mode.
fn prepare_file(path: &Path) -> Result<(), StoreError> {
    let fault = |source| StoreError::directory(path, source);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(path).map_err(fault)?;
    let mode = file.metadata().map_err(fault)?.permissions().mode();
    if mode & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(0o600)).map_err(fault)?;
    }
    Ok(())
}

fn connect(path: &Path, busy_wait: Span) -> Result<Connection, StoreError> {
    let open = || {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(path, flags)?;
        conn.busy_timeout(busy_wait.duration())?;
        conn.pragma_update(None, "journal_mode", "WAL")?;
        conn.pragma_update(None, "synchronous", "FULL")?;
        conn.pragma_update(None, "trusted_schema", false)?;
        conn.pragma_update(None, "journal_size_limit", 64 << 20)?;
        // Negative: in KiB, not in pages.
        conn.pragma_update(None, "cache_size", -CACHE_KIB)?;
        conn.set_prepared_statement_cache_capacity(64);
        Ok(conn)
    };
    open().map_err(|e| StoreError::writing(path, e))
}

fn check_pages(conn: &Connection, path: &Path) -> Result<(), StoreError> {
    let verdict: String = conn
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|e| StoreError::reading(path, e))?;
    if verdict != "ok" {
        return Err(StoreError::Corrupt { path: path.to_owned(), detail: verdict });
    }
    Ok(())
}

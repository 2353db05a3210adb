//! Reading beside the daemon: the command line and the HTTP interface open their own read-only connection.
//!
//! Keep reads short: while one runs, the write-ahead log behind it cannot be reused.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, OptionalExtension, Params, Row};

use super::{DATABASE, StoreError, schema};
use crate::units::Span;

const BUSY_WAIT: Span = Span::seconds(2);

/// A read-only connection to a state directory; takes no lease.
#[derive(Debug)]
pub struct Reader {
    conn: Connection,
    path: PathBuf,
}

impl Reader {
    /// Opens what a daemon has written in this state directory, whether one is running or not.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join(DATABASE);
        if !path.exists() {
            return Err(StoreError::Absent { path });
        }
        let open = || {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let conn = Connection::open_with_flags(&path, flags)?;
            conn.busy_timeout(BUSY_WAIT.duration())?;
            Ok(conn)
        };
        let conn = open().map_err(|e| StoreError::reading(&path, e))?;
        if schema::refuse_newer(&conn, &path)? == 0 {
            return Err(StoreError::Absent { path });
        }
        Ok(Self { conn, path })
    }

    /// Everything that can be read.
    pub fn view(&self) -> View<'_> {
        View::new(&self.conn, &self.path)
    }
}

/// What can be read of a state directory, by its writer or beside it.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    conn: &'a Connection,
    path: &'a Path,
}

impl<'a> View<'a> {
    pub(super) fn new(conn: &'a Connection, path: &'a Path) -> Self {
        Self { conn, path }
    }

    pub(super) fn conn(&self) -> &'a Connection {
        self.conn
    }

    pub(super) fn fault(&self, source: rusqlite::Error) -> StoreError {
        StoreError::reading(self.path, source)
    }

    pub(super) fn collect<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        self.conn
            .prepare_cached(sql)
            .and_then(|mut statement| statement.query_map(params, read)?.collect())
            .map_err(|e| self.fault(e))
    }

    pub(super) fn one<T>(
        &self,
        sql: &str,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        self.conn.query_row(sql, [], read).optional().map_err(|e| self.fault(e))
    }
}

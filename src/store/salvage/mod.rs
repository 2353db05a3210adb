//! A journal that may be damaged, of a newer program, or in use: what is wrong with it, and every fact that can be read.
//!
//! It only reads, and takes no lease. A sound journal is read through SQLite, a little at a time, so that the daemon
//! beside it is not held up; of a damaged one the bytes are read, for SQLite gives up where the facts behind the damage
//! are as good as ever.

mod cell;
mod files;
mod rescue;
mod verdict;

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    thread,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};

use self::{
    files::{Files, Found, Place},
    verdict::Walk,
};
pub use self::{
    rescue::Rescued,
    verdict::{Run, Verdict, Wrong},
};
use super::{DATABASE, Record, StoreError, chain, mark::Mark, reader::View, schema};
use crate::units::Span;

const BUSY_WAIT: Span = Span::seconds(2);
/// Records read at once.
const SOME: usize = 500;
/// How long a daemon may take from writing a turn to its being seen.
const SEEN_WITHIN: Span = Span(500);
const SEEN_POLL: Span = Span(50);

/// A journal, and how it can be read.
#[derive(Debug)]
pub struct Salvage {
    dir: PathBuf,
    path: PathBuf,
    /// None where SQLite cannot open it.
    conn: Option<Connection>,
    /// Where each record lies; none while SQLite can be asked.
    bytes: Option<(Files, BTreeMap<u64, Place>)>,
    verdict: Verdict,
}

/// A record that can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readable {
    /// The record.
    pub record: Record,
    /// Whether it is what was written.
    pub sound: bool,
}

/// What SQLite makes of the file.
struct Asked {
    verdict: Verdict,
    /// It is not as it should be: what it says is not all there is.
    damaged: bool,
}

impl Salvage {
    /// Looks through the journal in this state directory, whole.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join(DATABASE);
        if !path.exists() {
            return Err(StoreError::Absent { path });
        }
        // Before the journal is looked at: it says at most what is in there.
        let mark = Mark::read(dir);
        let files = || files(dir).map_err(|fault| StoreError::directory(&path, fault));
        let conn = match connect(&path) {
            Ok(conn) => Some(conn),
            Err(fault) if is_damage(&fault) => None,
            Err(fault) => return Err(StoreError::reading(&path, fault)),
        };
        let mut asked = ask(conn.as_ref(), &path, mark.as_ref())?;
        let cut = |conn| View::new(conn, &path).pruned().map_or(0, |(seq, _)| seq);
        if asked.damaged && conn.as_ref().map_or(0, cut) > asked.verdict.pruned {
            // Retention went by: what it took is not missing.
            asked = ask(conn.as_ref(), &path, mark.as_ref())?;
        }
        let mut salvage = Self {
            dir: dir.to_owned(),
            path: path.clone(),
            conn,
            bytes: None,
            verdict: asked.verdict,
        };
        let damaged = asked.damaged || salvage.hides_some(&files()?)?;
        if damaged {
            salvage.read_bytes(files()?, mark.as_ref())?;
        }
        Ok(salvage)
    }

    /// What is wrong with it, and what is not.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// Hands over every record that can be read, in order.
    pub fn each<E: From<StoreError>>(
        &self,
        mut each: impl FnMut(Readable) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some((files, places)) = &self.bytes else {
            let Some(conn) = &self.conn else { return Ok(()) };
            return walk(&View::new(conn, &self.path), 0, |found| {
                each(Readable { record: found.record, sound: found.sound })
            });
        };
        for place in places.values() {
            let found = files.at(*place).map_err(|e| StoreError::directory(&self.path, e))?;
            if let Some(Found { record, sound, .. }) = found {
                each(Readable { record, sound })?;
            }
        }
        Ok(())
    }

    /// Whether the log holds records that SQLite does not get to see, because something before them is damaged.
    fn hides_some(&self, files: &Files) -> Result<bool, StoreError> {
        let Some(conn) = &self.conn else { return Ok(true) };
        let mut newest = 0;
        let each = &mut |_, found: Found| {
            if found.sound {
                newest = newest.max(found.record.seq);
            }
        };
        files.scan_log(each).map_err(|fault| StoreError::directory(&self.path, fault))?;
        let mut waited = Span::ZERO;
        loop {
            if View::new(conn, &self.path).last_seq().is_ok_and(|last| last >= newest) {
                return Ok(false);
            }
            if waited >= SEEN_WITHIN {
                return Ok(true);
            }
            // A daemon may be in the middle of writing it.
            thread::sleep(SEEN_POLL.duration());
            waited = waited + SEEN_POLL;
        }
    }

    fn read_bytes(&mut self, files: Files, mark: Option<&Mark>) -> Result<(), StoreError> {
        let fault = |fault| StoreError::directory(&self.path, fault);
        let pruned = self.ask(|view| view.pruned());
        let checkpoint = self.ask(|view| view.checkpoint_place()).flatten();
        let cut = pruned.as_ref().map_or(0, |(seq, _)| *seq);
        let mut places: BTreeMap<u64, (Place, bool)> = BTreeMap::new();
        files
            .scan(&mut |place, Found { record, sound, .. }| {
                let better = places.get(&record.seq).is_none_or(|(_, known)| sound || !known);
                if record.seq > cut && better {
                    places.insert(record.seq, (place, sound));
                }
            })
            .map_err(fault)?;
        let newest = places.iter().rev().find(|(_, (_, sound))| *sound).map_or(0, |(seq, _)| *seq);
        let known = [newest, mark.map_or(0, |m| m.seq), checkpoint.as_ref().map_or(0, |c| c.0)];
        // What is not sound may have the number damaged, too: at most one is newer than all that is known.
        let plausible = known.into_iter().max().unwrap_or(0) + 1;
        places.retain(|seq, (_, sound)| *sound || *seq <= plausible);

        let mut walk = Walk::new(self.path.clone(), pruned, checkpoint);
        for wrong in self.verdict.wrong.drain(..) {
            // What SQLite says of single records is said anew.
            if matches!(
                wrong,
                Wrong::Database { .. } | Wrong::NewerSchema { .. } | Wrong::WentBack { .. }
            ) {
                walk.wrong(wrong);
            }
        }
        for (place, _) in places.values() {
            if let Some(found) = files.at(*place).map_err(fault)? {
                walk.see(&found);
            }
        }
        let came_to = mark.map_or(0, |mark| mark.seq).max(walk.verdict.last);
        let holds = self.ask(|view| view.last_seq()).unwrap_or(0);
        if walk.verdict.whole && holds < came_to {
            walk.wrong(Wrong::WentBack { came_to, holds });
        }
        self.verdict = walk.end(came_to);
        let places = places.into_iter().map(|(seq, (place, _))| (seq, place)).collect();
        self.bytes = Some((files, places));
        Ok(())
    }

    /// What SQLite can still say, where it can.
    fn ask<T>(&self, question: impl FnOnce(&View<'_>) -> Result<T, StoreError>) -> Option<T> {
        question(&View::new(self.conn.as_ref()?, &self.path)).ok()
    }
}

/// Opened as it lies there; where nothing may be written beside it and no log is, as what will not change.
fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = |conn: rusqlite::Result<Connection>| {
        let conn = conn?;
        conn.busy_timeout(BUSY_WAIT.duration())?;
        schema::found(&conn).map(|_| conn)
    };
    let opened = open(Connection::open_with_flags(path, flags));
    let Err(fault) = &opened else { return opened };
    let refused =
        matches!(fault.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly))
            || has_no_room(fault);
    let logged = std::fs::metadata(log_of(path)).is_ok_and(|log| log.len() > 0);
    if !refused || logged {
        return opened;
    }
    let mut uri = "file:".to_owned();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => {
                uri.push(char::from(*byte));
            }
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri.push_str("?immutable=1");
    open(Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI))
}

fn log_of(path: &Path) -> PathBuf {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    log.into()
}

fn files(dir: &Path) -> io::Result<Files> {
    let path = dir.join(DATABASE);
    Files::open(&path, &log_of(&path))
}

/// SQLite keeps an index of the log beside the database, and on a full disk there is no room for it.
fn has_no_room(fault: &rusqlite::Error) -> bool {
    let code = fault.sqlite_error().map(|error| error.extended_code);
    matches!(
        code,
        Some(ffi::SQLITE_IOERR_SHMOPEN | ffi::SQLITE_IOERR_SHMSIZE | ffi::SQLITE_IOERR_SHMMAP)
    )
}

/// As against a lock, a permission, a full disk or a fault of ours, which say nothing about the file.
fn is_damage(fault: &rusqlite::Error) -> bool {
    use rusqlite::Error as E;
    if has_no_room(fault) {
        return false;
    }
    match fault.sqlite_error_code() {
        Some(code) => matches!(
            code,
            ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
                | ErrorCode::SystemIoFailure
                | ErrorCode::Unknown
        ),
        None => matches!(
            fault,
            E::FromSqlConversionFailure(..)
                | E::InvalidColumnType(..)
                | E::Utf8Error(..)
                | E::IntegralValueOutOfRange(..)
                | E::QueryReturnedNoRows
        ),
    }
}

fn ask(conn: Option<&Connection>, path: &Path, mark: Option<&Mark>) -> Result<Asked, StoreError> {
    let Some(conn) = conn else {
        let mut walk = Walk::new(path.to_owned(), None, None);
        walk.wrong(Wrong::Database { detail: "SQLite does not take it for a database".to_owned() });
        return Ok(Asked { verdict: walk.verdict, damaged: true });
    };
    let view = View::new(conn, path);
    let found = schema::found(conn).map_err(|e| StoreError::reading(path, e))?;
    let mut walk = Walk::new(path.to_owned(), None, None);
    let read = read(&view, &mut walk, found);
    let mut damaged = match read {
        Ok(()) => !walk.verdict.wrong.iter().all(is_of_another_version),
        Err(fault) => {
            let Some(detail) = damage_of(&fault) else { return Err(fault) };
            walk.wrong(Wrong::Database { detail });
            true
        }
    };
    if found == 0 && walk.verdict.last == 0 && !damaged {
        return Err(StoreError::Absent { path: path.to_owned() });
    }
    let holds = walk.verdict.last;
    if let Some(mark) = mark.filter(|_| !damaged) {
        let there = view.hash_at(mark.seq)?;
        let differs = mark.seq > 0 && there.is_some_and(|hash| hash != mark.hash);
        if holds < mark.seq || differs {
            walk.wrong(Wrong::WentBack { came_to: mark.seq, holds });
            damaged = true;
        }
    }
    let checkpoint = walk.verdict.checkpoint.unwrap_or(0);
    damaged |= checkpoint > holds;
    Ok(Asked { verdict: walk.end(0), damaged })
}

fn is_of_another_version(wrong: &Wrong) -> bool {
    matches!(wrong, Wrong::NewerSchema { .. } | Wrong::NewerFact { .. } | Wrong::NoFact { .. })
}

fn damage_of(fault: &StoreError) -> Option<String> {
    if let StoreError::Corrupt { detail, .. } = fault {
        return Some(detail.clone());
    }
    let StoreError::CannotRead { source, .. } = fault else { return None };
    is_damage(source).then(|| source.to_string())
}

fn read(view: &View<'_>, walk_over: &mut Walk, found: u32) -> Result<(), StoreError> {
    let (pruned, checkpoint) = (view.pruned(), view.checkpoint_place());
    let newer = found > schema::SCHEMA;
    let (pruned, checkpoint) = if found == 0 { (None, None) } else { (Some(pruned?), checkpoint?) };
    *walk_over = Walk::new(walk_over.verdict.path.clone(), pruned, checkpoint);
    if newer {
        walk_over.wrong(Wrong::NewerSchema { found, known: schema::SCHEMA });
    }
    if found == 0 {
        return Ok(());
    }
    let said: Option<String> = view.one("PRAGMA quick_check(1)", |row| row.get(0))?;
    if let Some(detail) = said.filter(|said| said != "ok") {
        walk_over.wrong(Wrong::Database { detail });
    }
    let after = walk_over.verdict.pruned;
    walk(view, after, |found| {
        walk_over.see(&found);
        Ok::<(), StoreError>(())
    })
}

/// Every record after a place, by SQLite.
fn walk<E: From<StoreError>>(
    view: &View<'_>,
    mut after: u64,
    mut each: impl FnMut(Found) -> Result<(), E>,
) -> Result<(), E> {
    loop {
        let some = view.some(after, SOME)?;
        let Some((last, _)) = some.last() else { return Ok(()) };
        after = last.seq;
        for (record, at) in some {
            let sound = record.hash == chain::hash(&record, &at);
            each(Found { record, at, sound })?;
        }
    }
}

//! The bytes of the database and of its log, page by page. Only reads, takes no lock, and asks SQLite nothing.
//!
//! Of the log it takes whole transactions of its newest generation, also such as lie behind a damaged one, which SQLite
//! takes for the log's end. What was never committed was never true, and is left out.

use std::{collections::BTreeMap, fs::File, io, os::unix::fs::FileExt, path::Path};

use super::cell::{self, Cell};
use crate::store::{chain, journal::Record};

const LOG_HEADER: u64 = 32;
const FRAME_HEADER: u64 = 24;
const PAGE_DEFAULT: u64 = 4096;

/// Where a page lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Database(u64),
    Log(u64),
}

/// Where a row begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    page: At,
    cell: usize,
}

/// A record as its bytes say it.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) record: Record,
    /// The time as it was written, which is what is hashed.
    pub(super) at: String,
    /// Whether it is what was written: its own hash says so.
    pub(super) sound: bool,
}

/// Both files, and which of the log's pages hold.
#[derive(Debug)]
pub(super) struct Files {
    database: File,
    log: Option<File>,
    page_bytes: u64,
    /// Pages of the database.
    pages: u64,
    /// Where the log holds the newest copy of a page.
    newest: BTreeMap<u32, u64>,
    /// Every page that the log holds, in order.
    logged: Vec<u64>,
}

impl Files {
    pub(super) fn open(database: &Path, log: &Path) -> io::Result<Self> {
        let database = File::open(database)?;
        let log = match File::open(log) {
            Ok(log) => Some(log),
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => None,
            Err(fault) => return Err(fault),
        };
        let page_bytes = page_bytes(&database)?;
        // A page that was torn off counts: what is left of it may hold a row.
        let pages = database.metadata()?.len().div_ceil(page_bytes);
        let mut files =
            Self { database, log, page_bytes, pages, newest: BTreeMap::new(), logged: vec![] };
        files.read_log()?;
        Ok(files)
    }

    /// Notes the pages of whole transactions.
    fn read_log(&mut self) -> io::Result<()> {
        let Some(log) = &self.log else { return Ok(()) };
        let length = log.metadata()?.len();
        let mut generation = None;
        let mut open = vec![];
        let mut at = LOG_HEADER;
        while at + FRAME_HEADER + self.page_bytes <= length {
            let head = read(log, at, FRAME_HEADER)?;
            let salts = head.get(8..16).map(<[u8]>::to_vec);
            let [Some(page), Some(commits)] = [cell::long(&head, 0), cell::long(&head, 4)] else {
                break;
            };
            // Behind the newest generation lie older ones, whose pages have long been in the database.
            if *generation.get_or_insert_with(|| salts.clone()) == salts {
                open.push((page, at + FRAME_HEADER));
                if commits != 0 {
                    self.newest.extend(open.iter().copied());
                    self.logged.extend(open.drain(..).map(|(_, at)| at));
                }
            }
            at += FRAME_HEADER + self.page_bytes;
        }
        Ok(())
    }

    /// Every row that could be a record, wherever it lies.
    pub(super) fn scan(&self, each: &mut impl FnMut(Place, Found)) -> io::Result<()> {
        // The first page holds the table of tables.
        for page in (1..self.pages).map(|n| At::Database(n * self.page_bytes)) {
            self.scan_page(page, each)?;
        }
        self.scan_log(each)
    }

    /// The same, of the log alone.
    pub(super) fn scan_log(&self, each: &mut impl FnMut(Place, Found)) -> io::Result<()> {
        self.logged.iter().try_for_each(|at| self.scan_page(At::Log(*at), each))
    }

    fn scan_page(&self, page: At, each: &mut impl FnMut(Place, Found)) -> io::Result<()> {
        for (cell, row) in cell::cells(&self.page(page)?).into_iter().enumerate() {
            if let Some(found) = self.whole(&row)? {
                each(Place { page, cell }, found);
            }
        }
        Ok(())
    }

    /// What lies there.
    pub(super) fn at(&self, place: Place) -> io::Result<Option<Found>> {
        match cell::cells(&self.page(place.page)?).get(place.cell) {
            Some(row) => self.whole(row),
            None => Ok(None),
        }
    }

    /// The row with what is of it on other pages. Of those the log's copy is the newer one, and the database's the one
    /// that belongs to it where the page was put to another use since.
    fn whole(&self, row: &Cell) -> io::Result<Option<Found>> {
        let newest = self.assembled(row, true)?;
        if newest.as_ref().is_none_or(|found| !found.sound) && row.next.is_some() {
            let older = self.assembled(row, false)?;
            if older.as_ref().is_some_and(|found| found.sound) || newest.is_none() {
                return Ok(older);
            }
        }
        Ok(newest)
    }

    fn assembled(&self, row: &Cell, from_log: bool) -> io::Result<Option<Found>> {
        let mut bytes = row.here.clone();
        let mut next = row.next;
        while let Some(number) = next.filter(|n| *n > 0 && bytes.len() < row.length) {
            let logged = self.newest.get(&number).filter(|_| from_log);
            let database = At::Database((u64::from(number) - 1) * self.page_bytes);
            let page = self.page(logged.map_or(database, |at| At::Log(*at)))?;
            let Some(more) = page.get(4..) else { return Ok(None) };
            bytes.extend_from_slice(&more[..more.len().min(row.length - bytes.len())]);
            next = cell::long(&page, 0);
        }
        if bytes.len() < row.length {
            return Ok(None);
        }
        Ok(cell::record(row.rowid, &bytes).map(|(record, at)| {
            let sound = record.hash == chain::hash(&record, &at);
            Found { record, at, sound }
        }))
    }

    fn page(&self, at: At) -> io::Result<Vec<u8>> {
        match (at, &self.log) {
            (At::Database(at), _) => read(&self.database, at, self.page_bytes),
            (At::Log(at), Some(log)) => read(log, at, self.page_bytes),
            (At::Log(_), None) => Ok(vec![]),
        }
    }
}

/// As the database says it, or what ours always have.
fn page_bytes(database: &File) -> io::Result<u64> {
    let head = read(database, 0, 100)?;
    let said = head.get(16..18).map_or(0, |b| u64::from(b[0]) << 8 | u64::from(b[1]));
    let sane = head.starts_with(b"SQLite format 3\0") && said.is_power_of_two() && said >= 512;
    Ok(if sane { said } else { PAGE_DEFAULT })
}

/// As much of it as there is, and zeros where a disk does not give it back.
fn read(file: &File, at: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], at + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {}
            // A bad sector: the rest of the file may be well.
            Err(fault) if fault.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => {
                break;
            }
            Err(fault) => return Err(fault),
        }
    }
    Ok(bytes)
}

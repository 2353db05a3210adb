//! A fresh state directory from a damaged one, which is left as it is.
//!
//! The daemon recovers from a checkpoint and what follows it without a gap, so that is what the new journal is made of,
//! every record as it was written, with its hash; what lies before the checkpoint comes along as far as it hangs
//! together. Where the end is not reached, what is true now is not known: the new directory is held until a person has
//! looked. Every fact that can be read, in the new journal or not, is the exporter's.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder, OpenOptions},
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rusqlite::{Connection, Transaction, TransactionBehavior, params, types::Value};
use serde::Serialize;

use super::{Run, Salvage, Wrong};
use crate::store::{
    Chain, DATABASE, Reader, StoreError, connect, journal, lease::HOLD_FILE, mark::Mark,
    prepare_file, reader::View, schema,
};
use crate::units::Span;

/// What else is worth having, and how much of it; each row by itself, for some of it may be damaged too.
const BESIDE: [&str; 3] = ["outbox", "snapshot", "answer"];

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rescued {
    /// The new state directory.
    pub into: PathBuf,
    /// The records in the new journal; none where it stands on the checkpoint alone.
    pub records: Option<Run>,
    /// The record of the checkpoint that it stands on.
    pub checkpoint: Option<u64>,
    /// What is true is known to the end: nothing was lost that the daemon needs.
    pub complete: bool,
    /// What the new journal does not know, where it is not complete.
    pub unknown: Option<Run>,
    /// The HOLD file that was written, where it is not complete.
    pub hold: Option<PathBuf>,
}

/// What the new journal is made of.
struct Choice {
    /// The records.
    run: Option<Run>,
    /// The last record before them, and its hash.
    cut: (u64, String),
    /// Whether the checkpoint comes along.
    checkpoint: Option<u64>,
    /// Where it ends.
    ends: u64,
}

impl Salvage {
    /// Makes a new state directory. Refuses a journal of a newer program, and a directory that is not empty.
    pub fn rescue(&self, into: &Path) -> Result<Rescued, StoreError> {
        for wrong in &self.verdict.wrong {
            if let Wrong::NewerSchema { found, known } = wrong {
                let (path, found, known) = (self.path.clone(), *found, *known);
                return Err(StoreError::NewerSchema { path, found, known });
            }
        }
        let choice = self.choose()?;
        empty_dir(into)?;
        let path = into.join(DATABASE);
        prepare_file(&path)?;
        let mut conn = connect(&path, Span::seconds(2))?;
        schema::migrate(&mut conn, &path)?;
        self.fill(&mut conn, &path, &choice)?;
        conn.close().map_err(|(_, e)| StoreError::writing(&path, e))?;
        let chain = Reader::open(into)?.view().verify_chain()?;
        if !matches!(chain, Chain::Whole { last, .. } if last == choice.ends) {
            return Err(StoreError::Corrupt { path, detail: format!("{chain:?}") });
        }
        let complete = choice.ends >= self.verdict.last;
        let unknown = Run { from: choice.ends + 1, through: self.verdict.last };
        let hold = if complete { None } else { Some(hold(into, unknown)?) };
        Ok(Rescued {
            into: into.to_owned(),
            records: choice.run,
            checkpoint: choice.checkpoint,
            complete,
            unknown: (!complete).then_some(unknown),
            hold,
        })
    }

    /// From the checkpoint, or from the first record, as far as the chain goes.
    fn choose(&self) -> Result<Choice, StoreError> {
        let kept = self.ask(|view| view.load_checkpoint()).flatten();
        let kept =
            kept.filter(|kept| serde_json::from_str::<serde_json::Value>(&kept.body).is_ok());
        let differs = |w: &Wrong| matches!(w, Wrong::CheckpointDiffers { .. });
        let place = self.ask(|view| view.checkpoint_place()).flatten();
        let place = place.filter(|_| kept.is_some() && !self.verdict.wrong.iter().any(differs));
        let base = place.as_ref().map_or(0, |(seq, _)| *seq);
        let runs = &self.verdict.sound;
        // The run in which the base lies, or which follows it.
        let run = runs.iter().rev().find(|run| run.from <= base + 1 && run.through >= base);
        if let Some(run) = run.copied() {
            let before = self.hash_before(run.from)?;
            let ends = run.through.max(base);
            let cut = (run.from - 1, before);
            return Ok(Choice { run: Some(run), cut, checkpoint: place.map(|(seq, _)| seq), ends });
        }
        match place {
            Some((seq, hash)) => {
                Ok(Choice { run: None, cut: (seq, hash), checkpoint: Some(seq), ends: seq })
            }
            None => Err(StoreError::NoBeginning { path: self.path.clone() }),
        }
    }

    /// What the record before this one had as its hash.
    fn hash_before(&self, seq: u64) -> Result<String, StoreError> {
        let mut before = None;
        self.each(|readable| {
            if readable.record.seq == seq {
                before = Some(readable.record.prev_hash);
            }
            Ok::<(), StoreError>(())
        })?;
        before.ok_or_else(|| StoreError::NoBeginning { path: self.path.clone() })
    }

    fn fill(&self, conn: &mut Connection, path: &Path, choice: &Choice) -> Result<(), StoreError> {
        let writing = |e| StoreError::writing(path, e);
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(writing)?;
        begin_after(&tx, &choice.cut).map_err(writing)?;
        let mut streams: BTreeMap<String, u64> = BTreeMap::new();
        let mut epoch = Mark::read(&self.dir).map_or(0, |mark| mark.epoch);
        let within = |seq| choice.run.is_some_and(|run| run.from <= seq && seq <= run.through);
        self.each(|readable| {
            let record = &readable.record;
            if readable.sound {
                epoch = epoch.max(record.epoch);
            }
            if readable.sound && record.seq <= choice.cut.0 {
                let last = streams.entry(record.fact.stream.clone()).or_default();
                *last = record.stream_seq.max(*last);
            }
            if within(record.seq) {
                journal::put(&tx, record).map_err(writing)?;
            }
            Ok::<(), StoreError>(())
        })?;
        epoch = epoch.max(self.ask(lease_epoch).unwrap_or(0));
        tx.execute("UPDATE lease SET epoch = ?1", [epoch.cast_signed()]).map_err(writing)?;
        self.beside(&tx, choice, &mut streams).map_err(writing)?;
        for (stream, last) in streams {
            let sql = "INSERT OR REPLACE INTO pruned_stream VALUES (?1, ?2)";
            tx.execute(sql, params![stream, last.cast_signed()]).map_err(writing)?;
        }
        tx.commit().map_err(writing)
    }

    /// The checkpoint, the queued notices, the windows, the answers: as much of them as SQLite gives out.
    fn beside(
        &self,
        tx: &Transaction<'_>,
        choice: &Choice,
        streams: &mut BTreeMap<String, u64>,
    ) -> rusqlite::Result<()> {
        let Some(conn) = &self.conn else { return Ok(()) };
        if choice.checkpoint.is_some() {
            // The daemon cannot do without it.
            copy(conn, tx, "checkpoint")?;
        }
        for table in BESIDE {
            let copied = copy(conn, tx, table);
            if let Err(fault) = copied {
                tracing::warn!("of {table} not all could be had: {fault}");
            }
        }
        let mut read = conn.prepare("SELECT stream, stream_seq FROM pruned_stream")?;
        let rows = read.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)))?;
        for (stream, last) in rows.flatten() {
            let known: &mut u64 = streams.entry(stream).or_default();
            *known = last.cast_unsigned().max(*known);
        }
        Ok(())
    }
}

/// Row by row, by name of the column: a damaged one ends it, and what came before is kept.
fn copy(from: &Connection, to: &Transaction<'_>, table: &str) -> rusqlite::Result<()> {
    let mut read = from.prepare(&format!("SELECT * FROM {table}"))?;
    let names = read.column_names().collect::<Vec<_>>().join(", ");
    let width = read.column_count();
    let places = vec!["?"; width].join(", ");
    let mut write =
        to.prepare(&format!("INSERT OR IGNORE INTO {table} ({names}) VALUES ({places})"))?;
    let mut rows = read.query([])?;
    while let Some(row) = rows.next()? {
        let values: Vec<Value> = (0..width).map(|n| row.get(n)).collect::<Result<_, _>>()?;
        write.execute(rusqlite::params_from_iter(values))?;
    }
    Ok(())
}

fn lease_epoch(view: &View<'_>) -> Result<u64, StoreError> {
    let epoch = view.one("SELECT epoch FROM lease", |row| row.get::<_, i64>(0))?;
    Ok(epoch.unwrap_or(0).cast_unsigned())
}

/// Retention's own rule, that it goes from record to record, does not hold for a journal that begins later.
fn begin_after(tx: &Transaction<'_>, cut: &(u64, String)) -> rusqlite::Result<()> {
    let named = "SELECT sql FROM sqlite_master WHERE name = 'pruned_moves_on'";
    let rule: String = tx.query_row(named, [], |row| row.get(0))?;
    tx.execute_batch("DROP TRIGGER pruned_moves_on")?;
    tx.execute("UPDATE pruned SET seq = ?1, hash = ?2", params![cut.0.cast_signed(), cut.1])?;
    tx.execute_batch(&rule)
}

fn empty_dir(dir: &Path) -> Result<(), StoreError> {
    let fault = |source| StoreError::directory(dir, source);
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(fault)?;
    if fs::read_dir(dir).map_err(fault)?.next().is_some() {
        return Err(StoreError::NotEmpty { path: dir.to_owned() });
    }
    Ok(())
}

fn hold(dir: &Path, unknown: Run) -> Result<PathBuf, StoreError> {
    let path = dir.join(HOLD_FILE);
    let text = format!(
        "the journal was rescued without {unknown}: compare `rollbackd status` with what is deployed, then remove this file\n"
    );
    let mut options = OpenOptions::new();
    let file = options.create_new(true).write(true).mode(0o600).open(&path);
    file.and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .map_err(|source| StoreError::directory(&path, source))?;
    Ok(path)
}

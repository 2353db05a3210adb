//! Checkpoints, and what may be forgotten once there is one.
//!
//! Recovery is the checkpoint, then the fold of every later record. Nothing that recovery needs is ever pruned.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension, Transaction, params};

use super::{Options, Store, StoreError, journal::bound, reader::View};
use crate::units::UnixMs;

/// Records looked at by one call of [`Store::prune`], so that no turn becomes long.
const PRUNE_MAX: usize = 2_000;

/// The state after a record, so that what came before need not be folded again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The last record folded in.
    pub seq: u64,
    /// When it was taken.
    pub at: UnixMs,
    /// The versions of what is in the body, by kind: a program that does not know one folds the journal instead.
    pub versions: BTreeMap<String, u32>,
    /// The state, as JSON.
    pub body: String,
}

/// What [`Store::prune`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Records removed by this call.
    pub records: usize,
    /// The last record ever removed.
    pub through: u64,
    /// Whether another call would find more.
    pub more: bool,
}

impl Store {
    /// Replaces the checkpoint. It must stand on a record that is in the journal.
    pub fn save_checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        let seq = checkpoint.seq;
        let hash = self.view().hash_at(seq)?.ok_or(StoreError::NoSuchRecord { seq })?;
        let versions = serde_json::json!(checkpoint.versions).to_string();
        let sql = "INSERT OR REPLACE INTO checkpoint VALUES (1, ?1, ?2, ?3, ?4, ?5)";
        self.write(|tx| {
            tx.prepare_cached(sql)?.execute(params![
                seq.cast_signed(),
                hash,
                checkpoint.at.0,
                versions,
                checkpoint.body
            ])?;
            Ok(())
        })
    }

    /// Forgets what is older than the options say: records before `floor` that the checkpoint covers, settled
    /// notices, answers and snapshots. Call it now and then, and again while it says `more`.
    pub fn prune(&mut self, now: UnixMs, floor: u64) -> Result<Pruned, StoreError> {
        let options = self.options.clone();
        let covered = self.view().checkpoint_place()?.map_or(0, |(seq, _)| seq);
        let end = floor.min(covered.saturating_add(1));
        self.write(|tx| {
            prune_rest(tx, &options, now)?;
            prune_journal(tx, end, now - options.journal_keep)
        })
    }
}

// A prefix only, so that one hash is enough to go on verifying from.
fn prune_journal(tx: &Transaction<'_>, end: u64, before: UnixMs) -> rusqlite::Result<Pruned> {
    let (mut through, mut hash): (i64, String) =
        tx.query_row("SELECT seq, hash FROM pruned", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut pruned = Pruned::default();
    let sql = "SELECT seq, hash, at_ms FROM journal WHERE seq < ?1 ORDER BY seq LIMIT ?2";
    let mut statement = tx.prepare_cached(sql)?;
    let mut rows = statement.query(params![end.cast_signed(), bound(PRUNE_MAX)])?;
    while let Some(row) = rows.next()? {
        if row.get::<_, i64>(2)? >= before.0 {
            break;
        }
        (through, hash) = (row.get(0)?, row.get(1)?);
        pruned.records += 1;
    }
    drop(rows);
    pruned.through = through.cast_unsigned();
    pruned.more = pruned.records == PRUNE_MAX;
    if pruned.records > 0 {
        tx.execute("UPDATE pruned SET seq = ?1, hash = ?2", params![through, hash])?;
        tx.execute(
            "INSERT OR REPLACE INTO pruned_stream SELECT stream, max(stream_seq) FROM journal WHERE seq <= ?1 GROUP BY stream",
            [through],
        )?;
        tx.execute("DELETE FROM journal WHERE seq <= ?1", [through])?;
    }
    Ok(pruned)
}

fn prune_rest(tx: &Transaction<'_>, options: &Options, now: UnixMs) -> rusqlite::Result<()> {
    let old = "DELETE FROM outbox WHERE state <> 'queued' AND created_ms < ?1";
    tx.execute(old, [(now - options.journal_keep).0])?;
    let many = "DELETE FROM outbox WHERE state <> 'queued' AND id <= (SELECT id FROM outbox WHERE state <> 'queued' ORDER BY id DESC LIMIT 1 OFFSET ?1)";
    tx.execute(many, [bound(options.settled_max)])?;
    tx.execute("DELETE FROM answer WHERE at_ms < ?1", [(now - options.answer_keep).0])?;
    // What begins with a slash belongs to no service, and is renewed only when somebody answers.
    tx.execute(
        "DELETE FROM snapshot WHERE at_ms < ?1 AND key NOT LIKE '/%'",
        [(now - options.snapshot_keep).0],
    )?;
    Ok(())
}

impl View<'_> {
    /// The checkpoint to recover from, if one was ever saved.
    pub fn load_checkpoint(&self) -> Result<Option<Checkpoint>, StoreError> {
        self.one("SELECT seq, at_ms, versions, body FROM checkpoint", |row| {
            let versions: String = row.get(2)?;
            Ok(Checkpoint {
                seq: row.get::<_, i64>(0)?.cast_unsigned(),
                at: UnixMs(row.get(1)?),
                versions: serde_json::from_str(&versions).unwrap_or_default(),
                body: row.get(3)?,
            })
        })
    }

    /// The last record that retention removed, and its hash; 0 when none was.
    pub(super) fn pruned(&self) -> Result<(u64, String), StoreError> {
        let cut = self.one("SELECT seq, hash FROM pruned", place)?;
        cut.ok_or_else(|| self.fault(rusqlite::Error::QueryReturnedNoRows))
    }

    /// The first record that is still kept; none in a journal that is empty.
    pub fn first_seq(&self) -> Result<Option<u64>, StoreError> {
        let first = |row: &rusqlite::Row<'_>| row.get::<_, Option<i64>>(0);
        let seq = self.one("SELECT min(seq) FROM journal", first)?;
        Ok(seq.flatten().map(i64::cast_unsigned))
    }

    pub(super) fn checkpoint_place(&self) -> Result<Option<(u64, String)>, StoreError> {
        self.one("SELECT seq, hash FROM checkpoint", place)
    }

    pub(super) fn hash_at(&self, seq: u64) -> Result<Option<String>, StoreError> {
        let sql = "SELECT hash FROM journal WHERE seq = ?1 UNION ALL SELECT hash FROM pruned WHERE seq = ?1";
        self.conn()
            .query_row(sql, [seq.cast_signed()], |row| row.get(0))
            .optional()
            .map_err(|e| self.fault(e))
    }
}

fn place(row: &rusqlite::Row<'_>) -> rusqlite::Result<(u64, String)> {
    Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get(1)?))
}

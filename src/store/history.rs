//! Reading the journal: all of it in order for recovery, or the part that a person asked for.

use rusqlite::{Row, params};

use super::{
    StoreError,
    journal::{Draft, Record, bound, tail},
    reader::View,
};
use crate::units::UnixMs;

const COLUMNS: &str = concat!(
    "seq, stream, stream_seq, epoch, incident, at_ms, steady_ms, kind, fact_version, cause,",
    " daemon_version, config_hash, policy_version, body, prev_hash, hash, at"
);

fn record(row: &Row<'_>) -> rusqlite::Result<Record> {
    Ok(Record {
        seq: row.get::<_, i64>(0)?.cast_unsigned(),
        stream_seq: row.get::<_, i64>(2)?.cast_unsigned(),
        epoch: row.get::<_, i64>(3)?.cast_unsigned(),
        daemon_version: row.get(10)?,
        fact: Draft {
            stream: row.get(1)?,
            incident: row.get(4)?,
            at: UnixMs(row.get(5)?),
            steady_ms: row.get(6)?,
            kind: row.get(7)?,
            fact_version: row.get(8)?,
            cause: row.get(9)?,
            config_hash: row.get(11)?,
            policy_version: row.get(12)?,
            body: row.get(13)?,
        },
        prev_hash: row.get(14)?,
        hash: row.get(15)?,
    })
}

impl View<'_> {
    /// Hands over every record after `after`, in order, one at a time: recovery, from a checkpoint or from 0.
    pub fn replay<E: From<StoreError>>(
        &self,
        after: u64,
        mut each: impl FnMut(Record) -> Result<(), E>,
    ) -> Result<(), E> {
        self.scan(after, |record, _| each(record))
    }

    /// Like `replay`, with the time as it was written beside the record.
    pub(super) fn scan<E: From<StoreError>>(
        &self,
        after: u64,
        mut each: impl FnMut(Record, String) -> Result<(), E>,
    ) -> Result<(), E> {
        let fault = |e| E::from(self.fault(e));
        let sql = format!("SELECT {COLUMNS} FROM journal WHERE seq > ?1 ORDER BY seq");
        let mut statement = self.conn().prepare_cached(&sql).map_err(fault)?;
        let mut rows = statement.query([after.cast_signed()]).map_err(fault)?;
        while let Some(row) = rows.next().map_err(fault)? {
            let written = row.get(16).map_err(fault)?;
            each(record(row).map_err(fault)?, written)?;
        }
        Ok(())
    }

    /// The next records after a place, each with its time as it was written: for whoever reads long and must not keep
    /// the log from being reused meanwhile.
    pub(super) fn some(
        &self,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(Record, String)>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM journal WHERE seq > ?1 ORDER BY seq LIMIT ?2");
        self.collect(&sql, params![after.cast_signed(), bound(limit)], |row| {
            Ok((record(row)?, row.get(16)?))
        })
    }

    /// The last record's place; 0 in an empty journal.
    pub fn last_seq(&self) -> Result<u64, StoreError> {
        tail(self.conn()).map(|(seq, _)| seq).map_err(|e| self.fault(e))
    }

    /// The newest record's number and hash.
    pub(super) fn tail(&self) -> Result<(u64, String), StoreError> {
        tail(self.conn()).map_err(|e| self.fault(e))
    }

    /// The newest records, the oldest of them first.
    pub fn last(&self, limit: usize) -> Result<Vec<Record>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM journal ORDER BY seq DESC LIMIT ?1");
        let mut records = self.collect(&sql, params![bound(limit)], record)?;
        records.reverse();
        Ok(records)
    }

    /// Records of one stream after a place in the journal, in order.
    pub fn stream(
        &self,
        stream: &str,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM journal WHERE stream = ?1 AND stream_seq > coalesce((SELECT max(stream_seq) FROM journal WHERE stream = ?1 AND seq <= ?2), 0) ORDER BY stream_seq LIMIT ?3"
        );
        self.collect(&sql, params![stream, after.cast_signed(), bound(limit)], record)
    }

    /// Records of one incident after a place in the journal, in order.
    pub fn incident(
        &self,
        incident: &str,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM journal WHERE incident = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3"
        );
        self.collect(&sql, params![incident, after.cast_signed(), bound(limit)], record)
    }
}

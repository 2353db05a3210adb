//! The append-only record of facts: one transaction a turn, gap-free, hash-chained.
//!
//! A body, once written, is never rewritten: [`Draft::fact_version`] tells later programs how to read it.

use rusqlite::{OptionalExtension, Row, Transaction, params};
use serde::Serialize;

use super::{
    Store, StoreError,
    answers::{self, Answer},
    chain,
    enqueue::{self, Overflow},
    reader::View,
};
use crate::{domain::notice::Notice, units::UnixMs};

/// One fact, as the event loop hands it over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Draft {
    /// Whose history it belongs to: `checkout/production`, or `fleet`.
    pub stream: String,
    /// The incident it belongs to, if any; records can be found by it.
    pub incident: Option<String>,
    /// When, by the wall clock.
    pub at: UnixMs,
    /// When, by the clock that never jumps, in milliseconds since the daemon started.
    pub steady_ms: i64,
    /// What kind of fact, for people and for the reader of the body.
    pub kind: String,
    /// How the body is to be read.
    pub fact_version: u32,
    /// The event that led to it.
    pub cause: String,
    /// The configuration in force.
    pub config_hash: String,
    /// The decision rules in force.
    pub policy_version: String,
    /// The fact itself, as JSON.
    pub body: String,
}

/// One fact, as the journal holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Record {
    /// Its place in the journal: from 1, without gaps.
    pub seq: u64,
    /// Its place in its stream: from 1, without gaps.
    pub stream_seq: u64,
    /// Under which lease it was written.
    pub epoch: u64,
    /// Which program wrote it.
    pub daemon_version: String,
    /// What was written.
    #[serde(flatten)]
    pub fact: Draft,
    /// The hash of the record before it.
    pub prev_hash: String,
    /// SHA-256 over all of the above, in hexadecimal.
    pub hash: String,
}

/// A notice for one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxDraft {
    /// Which channel delivers it.
    pub channel: String,
    /// What to tell.
    pub notice: Notice,
}

/// All that one turn of the event loop makes durable: together, or not at all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Turn<'a> {
    /// What is now true.
    pub facts: &'a [Draft],
    /// Whom to tell.
    pub notices: &'a [OutboxDraft],
    /// What was answered to senders that may ask again.
    pub answers: &'a [Answer],
}

/// What became of a turn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Appended {
    /// The facts, in order.
    pub records: Vec<Record>,
    /// Notices that a full queue pushed out. A page among them must be told some other way.
    pub overflow: Vec<Overflow>,
}

impl Store {
    /// Makes a turn durable. When this returns `Ok` it is on the disk; when it returns `Err` none of it is in the
    /// journal, and the same turn may be tried again.
    pub fn append(&mut self, turn: &Turn<'_>) -> Result<Appended, StoreError> {
        if turn.facts.is_empty() && turn.notices.is_empty() && turn.answers.is_empty() {
            return Ok(Appended::default());
        }
        let notices = enqueue::encode(turn.notices)?;
        let epoch = self.lease.epoch();
        let options = self.options.clone();
        let appended = self.write(|tx| {
            let records = insert(tx, epoch, turn.facts)?;
            let overflow = enqueue::enqueue(tx, &notices, options.outbox_max)?;
            answers::insert(tx, turn.answers, &options)?;
            Ok(Appended { records, overflow })
        })?;
        self.lease.can_write();
        Ok(appended)
    }
}

fn insert(tx: &Transaction<'_>, epoch: u64, facts: &[Draft]) -> rusqlite::Result<Vec<Record>> {
    let (mut seq, mut prev_hash) = tail(tx)?;
    let mut records = Vec::with_capacity(facts.len());
    for fact in facts {
        seq += 1;
        let mut record = Record {
            seq,
            stream_seq: last_in_stream(tx, &fact.stream)? + 1,
            epoch,
            daemon_version: env!("CARGO_PKG_VERSION").to_owned(),
            fact: fact.clone(),
            prev_hash,
            hash: String::new(),
        };
        record.hash = chain::hash(&record, &fact.at.to_string());
        put(tx, &record)?;
        prev_hash = record.hash.clone();
        records.push(record);
    }
    Ok(records)
}

fn put(tx: &Transaction<'_>, record: &Record) -> rusqlite::Result<()> {
    let sql = concat!(
        "INSERT INTO journal (seq, stream, stream_seq, epoch, incident, at, at_ms, steady_ms, kind, fact_version,",
        " cause, daemon_version, config_hash, policy_version, body, prev_hash, hash)",
        " VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17)"
    );
    let fact = &record.fact;
    tx.prepare_cached(sql)?.execute(params![
        record.seq.cast_signed(),
        fact.stream,
        record.stream_seq.cast_signed(),
        record.epoch.cast_signed(),
        fact.incident,
        fact.at.to_string(),
        fact.at.0,
        fact.steady_ms,
        fact.kind,
        fact.fact_version,
        fact.cause,
        record.daemon_version,
        fact.config_hash,
        fact.policy_version,
        fact.body,
        record.prev_hash,
        record.hash,
    ])?;
    Ok(())
}

/// The last record's place and hash, or where retention has cut when none is left.
pub(super) fn tail(conn: &rusqlite::Connection) -> rusqlite::Result<(u64, String)> {
    let place = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get(1)?));
    let last = conn
        .prepare_cached("SELECT seq, hash FROM journal ORDER BY seq DESC LIMIT 1")?
        .query_row([], place)
        .optional()?;
    match last {
        Some(last) => Ok(last),
        None => conn.prepare_cached("SELECT seq, hash FROM pruned")?.query_row([], place),
    }
}

fn last_in_stream(tx: &Transaction<'_>, stream: &str) -> rusqlite::Result<u64> {
    let sql = concat!(
        "SELECT max(coalesce((SELECT max(stream_seq) FROM journal WHERE stream = ?1), 0),",
        " coalesce((SELECT stream_seq FROM pruned_stream WHERE stream = ?1), 0))"
    );
    tx.prepare_cached(sql)?.query_row([stream], |row| row.get::<_, i64>(0)).map(i64::cast_unsigned)
}

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

    /// The last record's place; 0 in an empty journal.
    pub fn last_seq(&self) -> Result<u64, StoreError> {
        tail(self.conn()).map(|(seq, _)| seq).map_err(|e| self.fault(e))
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

/// A limit as SQLite takes it.
pub(super) fn bound(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

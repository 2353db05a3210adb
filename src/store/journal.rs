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
    /// When, by the clock that never jumps and continues across restarts, in milliseconds.
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

impl Record {
    /// What follows the record before it, whose place and hash are `after`, as the `stream_seq`-th of its stream.
    pub fn following(after: &(u64, String), stream_seq: u64, epoch: u64, fact: &Draft) -> Self {
        let mut record = Self {
            seq: after.0 + 1,
            stream_seq,
            epoch,
            daemon_version: env!("CARGO_PKG_VERSION").to_owned(),
            fact: fact.clone(),
            prev_hash: after.1.clone(),
            hash: String::new(),
        };
        record.hash = chain::hash(&record, &fact.at.to_string());
        record
    }
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
    let mut last = tail(tx)?;
    let mut records = Vec::with_capacity(facts.len());
    for fact in facts {
        let stream_seq = last_in_stream(tx, &fact.stream)? + 1;
        let record = Record::following(&last, stream_seq, epoch, fact);
        put(tx, &record)?;
        last = (record.seq, record.hash.clone());
        records.push(record);
    }
    Ok(records)
}

/// Writes a record as it is.
pub(super) fn put(tx: &Transaction<'_>, record: &Record) -> rusqlite::Result<()> {
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

/// A limit as SQLite takes it.
pub(super) fn bound(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

//! The durable queue of notices in front of every channel. A row leaves it delivered or dead, and never silently.
//!
//! Delivery is at least once: a crash between sending and [`Store::delivered`] sends again, with the same notice id.

use rusqlite::{OptionalExtension, Row, Transaction, params};
use serde::Serialize;

use super::{
    Store, StoreError,
    enqueue::urgency,
    journal::bound,
    queue::{self, Pick, Waiting},
    reader::View,
};
use crate::{
    domain::notice::{Audience, Kind, Notice, Urgency},
    units::{Span, UnixMs},
};

const ERROR_MAX: usize = 500;
/// Notices that are loaded at once: whoever sends them looks again soon, and a thousand may wait.
const DUE_AT_ONCE: usize = 16;

/// A notice to send now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxRow {
    /// Its place in the queue.
    pub id: i64,
    /// Which channel delivers it.
    pub channel: String,
    /// What it must stay in order with. While a row of a lane is being sent, send no other of that lane.
    pub lane: String,
    /// Failed attempts so far.
    pub attempts: u32,
    /// What to tell, with a line about the earlier notices that it stands for.
    pub notice: Notice,
    /// Earlier notices that it stands for; they share its fate.
    pub covers: Vec<i64>,
}

/// Where a queued notice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waiting for its turn or its next attempt.
    Queued,
    /// The channel took it, or a later notice that stood for it.
    Delivered,
    /// Given up: refused for good, or pushed out of a full queue.
    Dead,
}

/// One notice in one channel's queue, for people to look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Its place in the queue.
    pub id: i64,
    /// The notice.
    pub notice_id: String,
    /// Which channel delivers it.
    pub channel: String,
    /// The incident it is about.
    pub incident: Option<String>,
    /// Whether it must be acknowledged.
    pub urgency: Urgency,
    /// When it was queued.
    pub created_at: UnixMs,
    /// When it may be tried.
    pub next_try_at: UnixMs,
    /// Failed attempts so far.
    pub attempts: u32,
    /// Where it is.
    pub state: State,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// The later notice that stood for it.
    pub coalesced_into: Option<i64>,
}

/// How many notices of a channel are where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Depth {
    /// Which channel.
    pub channel: String,
    /// Where they are.
    pub state: State,
    /// How many.
    pub count: u64,
}

impl Store {
    /// What a channel should send now: the heads of some lanes whose time has come, pages first. The others come next.
    /// With it, when the first of all that wait may be sent; `None` while nothing waits.
    pub fn due(
        &self,
        channel: &str,
        now: UnixMs,
    ) -> Result<(Vec<OutboxRow>, Option<UnixMs>), StoreError> {
        let view = self.view();
        let waiting = view.waiting(channel)?;
        let heads = queue::heads(&waiting);
        let next = heads.iter().map(|pick| pick.due_at(now)).min();
        let ready = heads.into_iter().filter(|pick| pick.due_at(now) <= now).take(DUE_AT_ONCE);
        let rows = ready.filter_map(|pick| view.load(channel, pick).transpose());
        Ok((rows.collect::<Result<_, _>>()?, next))
    }

    /// The channel took it.
    pub fn delivered(&mut self, row: &OutboxRow) -> Result<(), StoreError> {
        let sql = "UPDATE outbox SET state = 'delivered', last_error = NULL, coalesced_into = nullif(?2, id) WHERE id = ?1";
        self.settle(row, |tx, id| tx.prepare_cached(sql)?.execute(params![id, row.id]))
    }

    /// The channel did not take it; it stays the head of its lane and is due again at `retry_at`.
    pub fn failed(
        &mut self,
        row: &OutboxRow,
        error: &str,
        retry_at: UnixMs,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE outbox SET attempts = attempts + 1, last_error = ?2, next_try_ms = ?3 WHERE id = ?1 AND state = 'queued'";
        let error = bounded(error);
        self.settle(row, |tx, id| tx.prepare_cached(sql)?.execute(params![id, error, retry_at.0]))
    }

    /// The channel will never take it. The caller escalates a page.
    pub fn dead(&mut self, row: &OutboxRow, error: &str) -> Result<(), StoreError> {
        let sql = "UPDATE outbox SET state = 'dead', attempts = attempts + 1, last_error = ?2, coalesced_into = nullif(?3, id) WHERE id = ?1";
        let error = bounded(error);
        self.settle(row, |tx, id| tx.prepare_cached(sql)?.execute(params![id, error, row.id]))
    }

    /// The wall clock was set back by so much: no pause is as much longer. Done twice it makes a pause shorter, and so
    /// does a clock set forward, which does no harm.
    pub fn clock_set_back(&mut self, by: Span) -> Result<(), StoreError> {
        let sql = "UPDATE outbox SET next_try_ms = next_try_ms - ?1 WHERE state = 'queued'";
        self.write(|tx| tx.prepare_cached(sql)?.execute([by.ms()]).map(drop))
    }

    fn settle(
        &mut self,
        row: &OutboxRow,
        each: impl Fn(&Transaction<'_>, i64) -> rusqlite::Result<usize>,
    ) -> Result<(), StoreError> {
        self.write(|tx| {
            for id in row.covers.iter().chain([&row.id]) {
                each(tx, *id)?;
            }
            Ok(())
        })
    }
}

fn bounded(error: &str) -> String {
    error.chars().take(ERROR_MAX).collect()
}

fn state(word: &str) -> State {
    match word {
        "delivered" => State::Delivered,
        "dead" => State::Dead,
        _ => State::Queued,
    }
}

impl View<'_> {
    fn waiting(&self, channel: &str) -> Result<Vec<Waiting>, StoreError> {
        let sql = "SELECT id, lane, audience, urgency, next_try_ms, attempts FROM outbox WHERE state = 'queued' AND channel = ?1 ORDER BY id";
        self.collect(sql, [channel], |row| {
            Ok(Waiting {
                id: row.get(0)?,
                lane: row.get(1)?,
                audience: row.get(2)?,
                urgency: urgency(&row.get::<_, String>(3)?),
                next_try_at: UnixMs(row.get(4)?),
                attempts: row.get(5)?,
            })
        })
    }

    fn load(&self, channel: &str, pick: Pick) -> Result<Option<OutboxRow>, StoreError> {
        let sql =
            "SELECT lane, notice_id, body, created_ms, incident, urgency FROM outbox WHERE id = ?1";
        let read = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, notice(row)?));
        let found = self
            .conn()
            .prepare_cached(sql)
            .and_then(|mut statement| statement.query_row([pick.id], read).optional())
            .map_err(|e| self.fault(e))?;
        Ok(found.map(|(lane, notice)| OutboxRow {
            id: pick.id,
            channel: channel.to_owned(),
            lane,
            attempts: pick.attempts,
            notice: queue::coalesce(notice, pick.covers.len()),
            covers: pick.covers,
        }))
    }

    /// Notices of every channel, the newest first.
    pub fn outbox(&self, limit: usize) -> Result<Vec<Listed>, StoreError> {
        let sql = "SELECT id, notice_id, channel, incident, urgency, created_ms, next_try_ms, attempts, state, last_error, coalesced_into FROM outbox ORDER BY id DESC LIMIT ?1";
        self.collect(sql, params![bound(limit)], |row| {
            Ok(Listed {
                id: row.get(0)?,
                notice_id: row.get(1)?,
                channel: row.get(2)?,
                incident: row.get(3)?,
                urgency: urgency(&row.get::<_, String>(4)?),
                created_at: UnixMs(row.get(5)?),
                next_try_at: UnixMs(row.get(6)?),
                attempts: row.get(7)?,
                state: state(&row.get::<_, String>(8)?),
                last_error: row.get(9)?,
                coalesced_into: row.get(10)?,
            })
        })
    }

    /// How many notices are where, by channel.
    pub fn depth(&self) -> Result<Vec<Depth>, StoreError> {
        let sql = "SELECT channel, state, count(*) FROM outbox GROUP BY state, channel";
        self.collect(sql, [], |row| {
            Ok(Depth {
                channel: row.get(0)?,
                state: state(&row.get::<_, String>(1)?),
                count: row.get::<_, i64>(2)?.cast_unsigned(),
            })
        })
    }
}

// A body that another version wrote and this one cannot read is still told, as it stands.
fn notice(row: &Row<'_>) -> rusqlite::Result<Notice> {
    let body: String = row.get(2)?;
    if let Ok(notice) = serde_json::from_str(&body) {
        return Ok(notice);
    }
    Ok(Notice {
        id: row.get(1)?,
        service: None,
        incident: row.get(4)?,
        severity: None,
        audience: Audience::OnCall,
        urgency: urgency(&row.get::<_, String>(5)?),
        kind: Kind::Health,
        subject: "a notice that this version of rollbackd cannot read".into(),
        fields: vec![],
        lines: vec![body],
        choices: vec![],
        at: UnixMs(row.get(3)?),
    })
}

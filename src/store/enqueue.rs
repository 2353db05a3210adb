//! Putting notices into the outbox, within the transaction of the facts that caused them, and keeping it bounded.

use rusqlite::{Transaction, params};
use serde::Serialize;

use super::{
    StoreError,
    journal::{OutboxDraft, bound},
};
use crate::domain::notice::{Notice, Urgency};

/// A notice that a full queue pushed out: the oldest info, and a page only where nothing but pages wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overflow {
    /// Which channel was full.
    pub channel: String,
    /// The notice.
    pub notice_id: String,
    /// The incident it was about.
    pub incident: Option<String>,
    /// Whether it had to be acknowledged.
    pub urgency: Urgency,
}

/// A notice with its JSON, made before the transaction begins.
pub(super) struct Encoded<'a> {
    channel: &'a str,
    notice: &'a Notice,
    body: String,
}

pub(super) fn encode(drafts: &[OutboxDraft]) -> Result<Vec<Encoded<'_>>, StoreError> {
    let encode = |draft: &'_ OutboxDraft| serde_json::to_string(&draft.notice);
    drafts
        .iter()
        .map(|draft| match encode(draft) {
            Ok(body) => Ok(Encoded { channel: &draft.channel, notice: &draft.notice, body }),
            Err(source) => Err(StoreError::Unwritable { notice: draft.notice.id.clone(), source }),
        })
        .collect()
}

pub(super) fn enqueue(
    tx: &Transaction<'_>,
    notices: &[Encoded<'_>],
    max: usize,
) -> rusqlite::Result<Vec<Overflow>> {
    for Encoded { channel, notice, body } in notices {
        let lane = lane(notice);
        // The id is unique in the journal: the same notice for the same channel is the same row.
        let put = concat!(
            "INSERT INTO outbox (notice_id, channel, lane, incident, audience, urgency, body, created_ms, next_try_ms)",
            " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8) ON CONFLICT (notice_id, channel) DO NOTHING"
        );
        tx.prepare_cached(put)?.execute(params![
            notice.id,
            channel,
            lane,
            notice.incident,
            word(&notice.audience),
            word(&notice.urgency),
            body,
            notice.at.0
        ])?;
        if notice.urgency == Urgency::Page {
            // A page waits behind earlier notices of its incident, so their pauses end here.
            let hurry = "UPDATE outbox SET next_try_ms = min(next_try_ms, ?1) WHERE state = 'queued' AND channel = ?2 AND lane = ?3";
            tx.prepare_cached(hurry)?.execute(params![notice.at.0, channel, lane])?;
        }
    }
    let mut channels: Vec<&str> = notices.iter().map(|n| n.channel).collect();
    channels.sort_unstable();
    channels.dedup();
    let mut overflow = vec![];
    for channel in channels {
        push_out(tx, channel, max, &mut overflow)?;
    }
    Ok(overflow)
}

fn push_out(
    tx: &Transaction<'_>,
    channel: &str,
    max: usize,
    overflow: &mut Vec<Overflow>,
) -> rusqlite::Result<()> {
    let count = "SELECT count(*) FROM outbox WHERE state = 'queued' AND channel = ?1";
    let queued: i64 = tx.prepare_cached(count)?.query_row([channel], |row| row.get(0))?;
    let excess = queued - bound(max);
    if excess <= 0 {
        return Ok(());
    }
    let sql = concat!(
        "UPDATE outbox SET state = 'dead', last_error = 'the queue was full' WHERE id IN",
        " (SELECT id FROM outbox WHERE state = 'queued' AND channel = ?1 ORDER BY urgency = 'page', id LIMIT ?2)",
        " RETURNING channel, notice_id, incident, urgency"
    );
    let mut statement = tx.prepare_cached(sql)?;
    let pushed = statement.query_map(params![channel, excess], |row| {
        Ok(Overflow {
            channel: row.get(0)?,
            notice_id: row.get(1)?,
            incident: row.get(2)?,
            urgency: urgency(&row.get::<_, String>(3)?),
        })
    })?;
    for each in pushed {
        overflow.push(each?);
    }
    Ok(())
}

/// What a notice must stay in order with: its incident; without one, what is told of one service stays in order, and so
/// does what is told of the daemon.
pub fn lane(notice: &Notice) -> String {
    match (&notice.incident, &notice.service) {
        (Some(incident), _) => format!("incident {incident}"),
        (None, Some(service)) => format!("service {service}"),
        (None, None) => "daemon".into(),
    }
}

fn word(value: &impl Serialize) -> String {
    serde_json::to_value(value)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}

pub(super) fn urgency(word: &str) -> Urgency {
    if word == "info" { Urgency::Info } else { Urgency::Page }
}

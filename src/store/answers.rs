//! What was answered to whom, so that a sender that repeats a request gets the same answer and causes nothing twice.

use rusqlite::{OptionalExtension, Transaction, params};

use super::{
    Options, Store, StoreError,
    journal::{Turn, bound},
    reader::View,
};
use crate::units::UnixMs;

/// One answered request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Who asked: the name of the credential.
    pub sender: String,
    /// The sender's idempotency key.
    pub key: String,
    /// The hash of the request's body: the same key with another body is a fault of the sender.
    pub body_hash: String,
    /// What was answered.
    pub response: String,
    /// When.
    pub at: UnixMs,
}

impl Store {
    /// Keeps an answer by itself; an answer that goes with facts belongs into their [`Turn`].
    pub fn remember(&mut self, answer: &Answer) -> Result<(), StoreError> {
        let answers = std::slice::from_ref(answer);
        self.append(&Turn { answers, ..Turn::default() }).map(drop)
    }

    /// What was answered to this sender under this key, unless that has expired.
    pub fn recall(
        &self,
        sender: &str,
        key: &str,
        now: UnixMs,
    ) -> Result<Option<Answer>, StoreError> {
        let oldest = now - self.options.answer_keep;
        self.view().answer(sender, key, oldest)
    }
}

impl View<'_> {
    fn answer(
        &self,
        sender: &str,
        key: &str,
        oldest: UnixMs,
    ) -> Result<Option<Answer>, StoreError> {
        let sql = "SELECT sender, key, body_hash, response, at_ms FROM answer WHERE sender = ?1 AND key = ?2 AND at_ms >= ?3";
        let read = |row: &rusqlite::Row<'_>| {
            Ok(Answer {
                sender: row.get(0)?,
                key: row.get(1)?,
                body_hash: row.get(2)?,
                response: row.get(3)?,
                at: UnixMs(row.get(4)?),
            })
        };
        self.conn()
            .prepare_cached(sql)
            .and_then(|mut found| found.query_row(params![sender, key, oldest.0], read).optional())
            .map_err(|e| self.fault(e))
    }
}

/// Keeps answers, and forgets the oldest of a sender that has too many: one sender cannot push out another's.
pub(super) fn insert(
    tx: &Transaction<'_>,
    answers: &[Answer],
    options: &Options,
) -> rusqlite::Result<()> {
    let put = "INSERT OR REPLACE INTO answer (sender, key, body_hash, response, at_ms) VALUES (?1, ?2, ?3, ?4, ?5)";
    let cut = "DELETE FROM answer WHERE sender = ?1 AND id <= (SELECT id FROM answer WHERE sender = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)";
    for a in answers {
        tx.prepare_cached(put)?.execute(params![
            a.sender,
            a.key,
            a.body_hash,
            a.response,
            a.at.0
        ])?;
        tx.prepare_cached(cut)?.execute(params![a.sender, bound(options.answers_max)])?;
    }
    Ok(())
}

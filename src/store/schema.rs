//! The tables, and how an older database becomes a newer one.
//!
//! A migration is never edited after a release: it is followed by another.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::error::StoreError;

const MIGRATIONS: [&str; 1] = [r#"
CREATE TABLE lease (
    one     INTEGER PRIMARY KEY CHECK (one = 1),
    epoch   INTEGER NOT NULL
) STRICT;
INSERT INTO lease VALUES (1, 0);

CREATE TABLE probe (one INTEGER PRIMARY KEY CHECK (one = 1), body BLOB NOT NULL) STRICT;

CREATE TABLE journal (
    seq             INTEGER PRIMARY KEY,
    stream          TEXT    NOT NULL,
    stream_seq      INTEGER NOT NULL,
    epoch           INTEGER NOT NULL,
    incident        TEXT,
    at              TEXT    NOT NULL,
    at_ms           INTEGER NOT NULL,
    steady_ms       INTEGER NOT NULL,
    kind            TEXT    NOT NULL,
    fact_version    INTEGER NOT NULL,
    cause           TEXT    NOT NULL,
    daemon_version  TEXT    NOT NULL,
    config_hash     TEXT    NOT NULL,
    policy_version  TEXT    NOT NULL,
    body            TEXT    NOT NULL,
    prev_hash       TEXT    NOT NULL,
    hash            TEXT    NOT NULL,
    UNIQUE (stream, stream_seq)
) STRICT;
CREATE INDEX journal_by_incident ON journal (incident, seq) WHERE incident IS NOT NULL;

-- Up to where retention has cut, and the hash that the first record still here must follow.
CREATE TABLE pruned (
    one   INTEGER PRIMARY KEY CHECK (one = 1),
    seq   INTEGER NOT NULL,
    hash  TEXT    NOT NULL
) STRICT;
INSERT INTO pruned VALUES (1, 0, '0000000000000000000000000000000000000000000000000000000000000000');

CREATE TABLE pruned_stream (stream TEXT PRIMARY KEY, stream_seq INTEGER NOT NULL) STRICT;

CREATE TRIGGER journal_is_gap_free BEFORE INSERT ON journal
WHEN NEW.seq IS NOT 1 + max((SELECT seq FROM pruned), coalesce((SELECT max(seq) FROM journal), 0))
BEGIN SELECT RAISE(ABORT, 'the journal takes records in order only'); END;
CREATE TRIGGER journal_is_final BEFORE UPDATE ON journal
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER journal_is_kept BEFORE DELETE ON journal WHEN OLD.seq > (SELECT seq FROM pruned)
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER pruned_moves_on BEFORE UPDATE ON pruned
WHEN NEW.seq < OLD.seq OR NEW.hash IS NOT (SELECT hash FROM journal WHERE seq = NEW.seq)
BEGIN SELECT RAISE(ABORT, 'retention goes forward, from record to record'); END;
CREATE TRIGGER pruned_is_kept BEFORE DELETE ON pruned
BEGIN SELECT RAISE(ABORT, 'the journal must know where it begins'); END;

CREATE TABLE checkpoint (
    one       INTEGER PRIMARY KEY CHECK (one = 1),
    seq       INTEGER NOT NULL,
    hash      TEXT    NOT NULL,
    at_ms     INTEGER NOT NULL,
    versions  TEXT    NOT NULL,
    body      TEXT    NOT NULL
) STRICT;

CREATE TABLE outbox (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    notice_id       TEXT    NOT NULL,
    channel         TEXT    NOT NULL,
    lane            TEXT    NOT NULL,
    incident        TEXT,
    audience        TEXT    NOT NULL,
    urgency         TEXT    NOT NULL CHECK (urgency IN ('page', 'info')),
    body            TEXT    NOT NULL,
    created_ms      INTEGER NOT NULL,
    next_try_ms     INTEGER NOT NULL,
    attempts        INTEGER NOT NULL DEFAULT 0,
    state           TEXT    NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'delivered', 'dead')),
    last_error      TEXT,
    coalesced_into  INTEGER,
    UNIQUE (notice_id, channel)
) STRICT;
CREATE INDEX outbox_by_state ON outbox (state, channel, id);

CREATE TABLE snapshot (key TEXT PRIMARY KEY, at_ms INTEGER NOT NULL, body BLOB NOT NULL) STRICT;

CREATE TABLE answer (
    id         INTEGER PRIMARY KEY,
    sender     TEXT    NOT NULL,
    key        TEXT    NOT NULL,
    body_hash  TEXT    NOT NULL,
    response   TEXT    NOT NULL,
    at_ms      INTEGER NOT NULL,
    UNIQUE (sender, key)
) STRICT;
"#];

/// What this program writes.
pub(super) const SCHEMA: u32 = MIGRATIONS.len() as u32;

/// What the database holds; 0 for an empty one.
pub(super) fn found(conn: &Connection) -> rusqlite::Result<u32> {
    conn.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Refuses a database of a later program, for everybody who opens one.
pub(super) fn refuse_newer(conn: &Connection, path: &Path) -> Result<u32, StoreError> {
    let found = found(conn).map_err(|e| StoreError::reading(path, e))?;
    if found > SCHEMA {
        return Err(StoreError::NewerSchema { path: path.to_owned(), found, known: SCHEMA });
    }
    Ok(found)
}

/// Brings an older or empty database to this program's schema, one transaction a step.
pub(super) fn migrate(conn: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let found = refuse_newer(conn, path)?;
    for (done, sql) in (0u32..).zip(MIGRATIONS).skip(found as usize) {
        step(conn, sql, done + 1).map_err(|e| StoreError::writing(path, e))?;
    }
    Ok(())
}

fn step(conn: &mut Connection, sql: &str, version: u32) -> rusqlite::Result<()> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute_batch(sql)?;
    tx.pragma_update(None, "user_version", version)?;
    tx.commit()
}

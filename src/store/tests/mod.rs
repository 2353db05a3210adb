//! The store as the daemon uses it, on a real file system.

mod crash;
mod faults;
mod journal;
mod lease;
mod outbox;

use std::path::Path;

use super::{Draft, Options, OutboxDraft, Store, StoreError, Turn};
use crate::{
    domain::notice::{Audience, Kind, Notice, Urgency},
    units::{Span, UnixMs},
};

const T0: UnixMs = UnixMs(1_795_383_600_000);

/// What another test starts at this moment has every file open until it is another program.
const STARTS: Span = Span::seconds(2);

fn options(dir: &Path) -> Options {
    Options { lease_wait: STARTS, ..Options::new(dir.join("state")) }
}

fn open(dir: &Path) -> Store {
    Store::open(options(dir)).unwrap()
}

fn fact(stream: &str, body: &str) -> Draft {
    Draft {
        stream: stream.into(),
        incident: Some(format!("{stream}#1")),
        at: T0,
        steady_ms: 5,
        kind: "incident.opened".into(),
        fact_version: 1,
        cause: "sample 17".into(),
        config_hash: "c0ffee".into(),
        policy_version: "1".into(),
        body: body.into(),
    }
}

fn notice(id: &str, incident: &str, urgency: Urgency) -> Notice {
    Notice {
        id: id.into(),
        service: None,
        incident: Some(incident.into()),
        severity: None,
        audience: Audience::OnCall,
        urgency,
        kind: Kind::Incident,
        subject: format!("notice {id}"),
        fields: vec![],
        lines: vec![],
        choices: vec![],
        at: T0,
    }
}

fn to(channel: &str, notice: Notice) -> OutboxDraft {
    OutboxDraft { channel: channel.into(), notice }
}

fn write(store: &mut Store, facts: &[Draft]) -> Result<(), StoreError> {
    store.append(&Turn { facts, ..Turn::default() }).map(drop)
}

/// What somebody does who opens the database behind the daemon's back.
fn behind_its_back(dir: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(dir.join("state/rollbackd.db")).unwrap()
}

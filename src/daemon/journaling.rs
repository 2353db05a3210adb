//! From facts to journal records, and from notices to the channels that take them.

use crate::{
    domain::{
        event::{Event, Now},
        fact::{self, Fact},
        fleet::Batch,
        incident,
        notice::{Audience, Kind, Notice, Urgency},
    },
    handle::Routing,
    store::{Appended, Draft, OutboxDraft, Overflow, Store, StoreError, Turn},
    units::UnixMs,
};

use super::recovery::FLEET_STREAM;

/// The version of the decision rules; rises when the same events would lead to other decisions.
pub(super) const POLICY_VERSION: &str = "1";

/// What to write for one batch.
pub(super) fn drafts(
    (service, facts): &Batch,
    event: &Event,
    now: Now,
    config_hash: &str,
    routing: &Routing,
) -> (Vec<Draft>, Vec<OutboxDraft>) {
    let stream = service.as_ref().map_or_else(|| FLEET_STREAM.to_owned(), ToString::to_string);
    let mut notices = vec![];
    let mut drafts = vec![];
    for fact in facts {
        if let Fact::Told(notice) = fact {
            notices.extend(route(notice, routing));
        }
        drafts.push(Draft {
            stream: stream.clone(),
            incident: incident_of(fact),
            at: now.wall,
            steady_ms: now.steady.0,
            kind: fact.kind().to_owned(),
            fact_version: fact::VERSION,
            cause: event.id.clone(),
            config_hash: config_hash.to_owned(),
            policy_version: POLICY_VERSION.to_owned(),
            body: serde_json::to_string(fact).unwrap_or_default(),
        });
    }
    (drafts, notices)
}

fn incident_of(fact: &Fact) -> Option<String> {
    match fact {
        Fact::Told(notice) => notice.incident.clone(),
        Fact::Incident(incident::Fact::Opened { id, .. }) => Some(id.clone()),
        Fact::Incident(_)
        | Fact::Service(_)
        | Fact::Ledger(_)
        | Fact::Trigger(_)
        | Fact::Run(_)
        | Fact::Fleet(_) => None,
    }
}

fn route(notice: &Notice, routing: &Routing) -> Vec<OutboxDraft> {
    let takes = routing.iter().filter(|(_, audiences)| audiences.contains(&notice.audience));
    takes
        .map(|(channel, _)| OutboxDraft { channel: channel.clone(), notice: notice.clone() })
        .collect()
}

/// Makes them durable together, or not at all.
pub(super) fn append(
    store: &mut Store,
    facts: &[Draft],
    notices: &[OutboxDraft],
) -> Result<Appended, StoreError> {
    store.append(&Turn { facts, notices, answers: &[] })
}

/// The page, sent without being written down first, that nothing can be written down.
pub(super) fn unwritable_notice(why: &str, at: UnixMs) -> Notice {
    let advice =
        "Nothing is rolled back until it can write again. Mend that, or roll back by hand.";
    page("unwritable", "cannot write its journal and does nothing", why, advice, at)
}

/// The page that the daemon does not come up at all.
pub(super) fn cannot_start_notice(why: &str, at: UnixMs) -> Notice {
    let advice =
        "Nothing is watched or rolled back until it runs. Mend this, or roll back by hand.";
    page("cannot-start", "cannot start and protects nothing", why, advice, at)
}

/// The page that another daemon acts, or may act, on the same state directory.
pub(super) fn lease_lost_notice(why: &str, at: UnixMs) -> Notice {
    let advice = "It stops, so that it can be started anew. See that one rollbackd runs, and that nobody removes its lock file.";
    page("lease-lost", "has lost its state directory and stops", why, advice, at)
}

/// The page that another page was pushed out of a full outbox.
pub(super) fn pushed_out_notice(lost: &Overflow, at: UnixMs) -> Notice {
    let incident = lost.incident.as_deref().unwrap_or("no incident");
    let why = format!(
        "the outbox of {} is full of pages; `{}` ({incident}) was pushed out",
        lost.channel, lost.notice_id
    );
    let advice =
        "See why that channel takes nothing, and look at what waits with the command line.";
    page("pushed-out", "could not keep a page that was never delivered", &why, advice, at)
}

fn page(id: &str, subject: &str, why: &str, advice: &str, at: UnixMs) -> Notice {
    Notice {
        id: format!("{id}-{}", at.0),
        service: None,
        incident: None,
        audience: Audience::OnCall,
        urgency: Urgency::Page,
        kind: Kind::Health,
        subject: format!("P1 rollbackd {subject}"),
        fields: vec![("Why".into(), why.to_owned())],
        lines: vec![advice.into()],
        choices: vec![],
        at,
    }
}

//! From facts to journal records, and from notices to the channels that take them.

use std::collections::BTreeSet;

use crate::{
    domain::{
        event::{Event, Now},
        fact::{self, Fact},
        fleet::Batch,
        incident,
        notice::{Audience, Kind, Notice, Urgency},
    },
    store::{Appended, Draft, OutboxDraft, Store, StoreError, Turn},
    units::UnixMs,
};

use super::recovery::FLEET_STREAM;

/// The version of the decision rules; rises when the same events would lead to other decisions.
pub(super) const POLICY_VERSION: &str = "1";

/// Which channels take notices for whom.
pub(super) type Routing = Vec<(String, BTreeSet<Audience>)>;

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

/// The one page that is sent without being written down first.
pub(super) fn unwritable_notice(why: &str, at: UnixMs) -> Notice {
    Notice {
        id: format!("unwritable-{}", at.0),
        service: None,
        incident: None,
        audience: Audience::OnCall,
        urgency: Urgency::Page,
        kind: Kind::Health,
        subject: "P1 rollbackd cannot write its journal and does nothing".into(),
        fields: vec![("Why".into(), why.to_owned())],
        lines: vec![
            "Nothing is rolled back until it can write again. Make room, or roll back by hand."
                .into(),
        ],
        choices: vec![],
        at,
    }
}

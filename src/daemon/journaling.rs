//! From facts to journal records, and from notices to the channels that take them.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::{
    domain::{
        event::{Event, Now},
        fact::{self, Fact},
        fleet::{Batch, Fleet},
        incident::{self, Phase},
        notice::{Audience, Kind, Notice, Urgency},
        service::ServiceId,
    },
    handle::Routing,
    store::{Appended, Draft, OutboxDraft, Overflow, Store, StoreError, Turn},
    telemetry,
    units::UnixMs,
};

use super::recovery::FLEET_STREAM;

/// The version of the decision rules; rises when the same events would lead to other decisions.
pub(super) const POLICY_VERSION: &str = "1";

/// The open incident of each service that this event can be about.
pub type Open = BTreeMap<ServiceId, String>;

/// What is open before the turn.
pub fn open_incidents(fleet: &Fleet, event: &Event) -> Open {
    let of =
        |id: &ServiceId| Some((id.clone(), fleet.states.get(id)?.incident.as_ref()?.id.clone()));
    match event.what.service() {
        // While a whole fleet burns, no reading looks at every incident.
        Some(id) => of(id).into_iter().collect(),
        None => fleet.open().filter_map(|(id, _)| of(id)).collect(),
    }
}

/// What to write for one batch. Each fact is written under the incident in which it happened; `open` follows.
pub fn drafts(
    (service, facts): &Batch,
    open: &mut Open,
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
            incident: service.as_ref().and_then(|id| incident_of(id, fact, open)),
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

fn incident_of(service: &ServiceId, fact: &Fact, open: &mut Open) -> Option<String> {
    match fact {
        // A notice knows what it is about: one about a blind signal is of no incident.
        Fact::Told(notice) => notice.incident.clone(),
        Fact::Incident(incident::Fact::Opened { id, .. }) => {
            open.insert(service.clone(), id.clone());
            Some(id.clone())
        }
        Fact::Incident(incident::Fact::Entered(Phase::Closed { .. })) => open.remove(service),
        Fact::Incident(_)
        | Fact::Service(_)
        | Fact::Ledger(_)
        | Fact::Trigger(_)
        | Fact::Run(_)
        | Fact::Maintenance(_)
        | Fact::Fleet(_) => open.get(service).cloned(),
    }
}

fn route(notice: &Notice, routing: &Routing) -> Vec<OutboxDraft> {
    let takes = routing.iter().filter(|(_, audiences)| audiences.contains(&notice.audience));
    takes
        .map(|(channel, _)| OutboxDraft { channel: channel.clone(), notice: notice.clone() })
        .collect()
}

/// A write that takes longer is said: the disk is slow, or another program has the database locked.
const SLOW_WRITE: Duration = Duration::from_secs(1);

/// Makes them durable together, or not at all.
pub(super) fn append(
    store: &mut Store,
    facts: &[Draft],
    notices: &[OutboxDraft],
) -> Result<Appended, StoreError> {
    let begun = Instant::now();
    let appended = store.append(&Turn { facts, notices, answers: &[] });
    let took = begun.elapsed();
    telemetry::journal_took(took);
    if took >= SLOW_WRITE {
        tracing::warn!("the journal took {:.1} s to write one turn", took.as_secs_f64());
    }
    appended
}

/// The page, sent without being written down first, that nothing can be written down.
pub(super) fn unwritable_notice(why: &str, at: UnixMs) -> Notice {
    let advice =
        "Nothing is rolled back until it can write again. Mend that, or roll back by hand.";
    page("unwritable", "cannot write its journal and does nothing", why, advice, at)
}

/// The page that the event loop stands still, sent without being written down first.
pub(super) fn standstill_notice(why: &str, at: UnixMs) -> Notice {
    let advice = "Nothing is decided or rolled back until it answers. Mend that, or roll back by hand; systemd starts it anew after a while.";
    page("standstill", "stands still and does nothing", why, advice, at)
}

/// The page that the daemon does not come up at all.
pub(super) fn cannot_start_notice(why: &str, at: UnixMs) -> Notice {
    let advice =
        "Nothing is watched or rolled back until it runs. Mend this, or roll back by hand.";
    page("cannot-start", "cannot start and protects nothing", why, advice, at)
}

/// The page that maintenance mode is on, and nobody is left who would switch it off.
pub(super) fn stopped_in_maintenance_notice(why: &str, at: UnixMs) -> Notice {
    let advice = "Start it again: it goes on, and switches it off. Or type what stands here.";
    page("stopped-in-maintenance", "was stopped while maintenance mode is on", why, advice, at)
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
        severity: None,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{event::What, incident::Closing, ledger, severity::Severity};

    #[test]
    fn every_fact_is_written_under_the_incident_in_which_it_happened() {
        let service: ServiceId = "shop/production".parse().unwrap();
        let lifted = Fact::Ledger(ledger::Fact::Lifted {
            component: crate::domain::change::Component::Application,
            version: "v1".into(),
            by: "ada".into(),
        });
        let opened = |id: &str| {
            Fact::Incident(incident::Fact::Opened {
                id: id.into(),
                severity: Severity::P1,
                trigger: "errors".into(),
                onset: UnixMs(0),
                change: None,
            })
        };
        let outcome = Closing::Recovered;
        let closed = Fact::Incident(incident::Fact::Entered(Phase::Closed { outcome }));
        let event = Event { id: "e".into(), what: What::Tick };
        let now = Now { wall: UnixMs(0), steady: UnixMs(0) };
        let mut open = Open::from([(service.clone(), "shop-1".to_owned())]);
        let mut under = |service: Option<&ServiceId>, facts: &[&Fact]| {
            let batch = (service.cloned(), facts.iter().map(|&fact| fact.clone()).collect());
            let (drafts, _) = drafts(&batch, &mut open, &event, now, "", &vec![]);
            drafts.into_iter().map(|draft| draft.incident).collect::<Vec<_>>()
        };
        let id = |id: &str| Some(id.to_owned());
        let facts = [&lifted, &closed, &lifted, &opened("shop-2"), &lifted];
        let wanted = [id("shop-1"), id("shop-1"), None, id("shop-2"), id("shop-2")];
        assert_eq!(under(Some(&service), &facts), wanted);
        assert_eq!(under(Some(&service), &[&lifted]), [id("shop-2")], "in the next batch too");
        assert_eq!(under(None, &[&lifted]), [None]);
        let other: ServiceId = "cart/production".parse().unwrap();
        assert_eq!(under(Some(&other), &[&lifted]), [None]);
    }
}

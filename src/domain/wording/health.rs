//! Notices that belong to no incident: sources that tell nothing, channels that do not deliver, the daemon itself.

use super::{Draft, trouble};
use crate::domain::{
    delivery::UNDELIVERED,
    event::Now,
    fact::{Fact, Fleet},
    firing, fleet,
    incident::Incident,
    inventory::PLATFORM,
    maintenance::{Maintained, On},
    notice::{self, Audience, Kind, Notice, Urgency},
    schema::DATABASE,
    service::ServiceId,
    severity::Severity,
    situation::Situation,
    state::Blindness,
    timeline,
};

/// What is said of a service that was taken out of the configuration with an open incident. Nobody goes on with it, and
/// nobody can be asked about it, until it is put back.
pub fn dropped(id: &ServiceId, incident: &Incident) -> String {
    format!(
        "{id}: {} is {}. Put {id} back and end it (`rollbackd dismiss {id} --reason '…'`, or wait until it is over); \
         then take {id} out. What its rollback held is free meanwhile",
        incident.id,
        incident.phase.name()
    )
}

/// The same of one that left with maintenance mode on: nobody switches it off.
pub fn left_on(id: &ServiceId, maintained: &Maintained) -> Vec<String> {
    let of = |on: &On| {
        let first = format!(
            "{id}: maintenance mode is still on ({}). Put {id} back, or switch it off yourself:",
            on.mode
        );
        std::iter::once(first).chain(on.to_type())
    };
    maintained.iter().flat_map(of).collect()
}

/// What is on, and how to switch it off, when the daemon stops.
pub fn left_at_stop(fleet: &fleet::Fleet) -> Option<String> {
    let of = |(id, maintained): (&ServiceId, &Maintained)| {
        let typed: Vec<String> = maintained.iter().flat_map(On::to_type).collect();
        format!("{id} is in maintenance mode, or may be: {}", typed.join("; "))
    };
    let all: Vec<String> = fleet.maintained().map(of).collect();
    (!all.is_empty()).then(|| all.join(". "))
}

const DROPPED: &str =
    "services with an open incident, or in maintenance mode, were taken out of the configuration";

/// What people are told of a fact that belongs to no service; `concerned` are the services that it stops, or that are
/// gone.
pub fn fleet_notice(fact: &Fact, concerned: &[String], cause: &str, now: Now) -> Option<Notice> {
    let Fact::Fleet(fact) = fact else { return None };
    let mut lines = vec![];
    let mut id = id_of(fact, cause);
    let stopped = concerned.join(", ");
    let clock = WINDOWS_BEGIN_ANEW.to_owned();
    let (urgency, subject, fields) = match fact {
        Fleet::KillSwitch { reason: Some(reason) } if concerned.is_empty() => (
            Urgency::Info,
            "rollbackd is on hold: the HOLD file is set".to_owned(),
            vec![("Why", reason)],
        ),
        // A service that is left between two steps may be between two versions.
        Fleet::KillSwitch { reason: Some(reason) } => (
            Urgency::Page,
            "rollbackd is on hold, and rollbacks stop before their next step".to_owned(),
            vec![("Why", reason), ("Stopped", &stopped)],
        ),
        Fleet::KillSwitch { reason: None } => {
            (Urgency::Info, "rollbackd acts again: the HOLD file is gone".to_owned(), vec![])
        }
        Fleet::Undelivered { subject, channel, why, again } => (
            Urgency::Page,
            format!("{channel} does not deliver"),
            vec![
                ("Channel", channel),
                (if *again { "Not delivered yet, tried again" } else { "Not delivered" }, subject),
                ("Why", why),
            ],
        ),
        Fleet::ClockSet { from, to } => (
            Urgency::Info,
            format!("the clock of rollbackd's machine was set {}", timeline::set_by(*from, *to)),
            vec![("What follows", &clock)],
        ),
        Fleet::Configured { changes } => {
            lines.clone_from(changes);
            (Urgency::Info, "rollbackd follows another configuration".to_owned(), vec![])
        }
        Fleet::Discovered { of, changes, odd } => {
            lines.extend(odd.iter().flatten().chain(changes).cloned());
            let (urgency, subject) = discovered(of, odd.as_deref());
            (urgency, subject, vec![])
        }
        Fleet::ConfigRefused { why } => {
            lines.clone_from(why);
            let subject = "rollbackd refused a configuration; the one before goes on";
            (Urgency::Page, subject.to_owned(), vec![])
        }
        Fleet::Left { .. } | Fleet::Forgotten { .. } => return None,
        Fleet::Started { .. } if concerned.is_empty() => return None,
        Fleet::Started { .. } => {
            // Every start is called the same.
            id = format!("{id}@{}", now.wall.0);
            lines.extend_from_slice(concerned);
            (Urgency::Page, DROPPED.to_owned(), vec![])
        }
    };
    let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value.clone())).collect();
    Some(Notice {
        id,
        service: None,
        incident: None,
        severity: None,
        audience: Audience::OnCall,
        urgency,
        kind: Kind::Health,
        subject,
        fields,
        lines,
        choices: vec![],
        at: now.wall,
    })
}

/// After the clock was set.
const WINDOWS_BEGIN_ANEW: &str = "every window begins anew: what was about to fire must hold from now on; deadlines are not moved";

/// What says that a channel does not deliver is called so, whatever the event is called.
fn id_of(fact: &Fleet, cause: &str) -> String {
    if matches!(fact, Fleet::Undelivered { .. }) {
        format!("{UNDELIVERED}{}", cause.trim_start_matches("undelivered:"))
    } else {
        format!("fleet#{cause}")
    }
}

fn discovered(of: &str, odd: Option<&[String]>) -> (Urgency, String) {
    match odd {
        Some([]) => (Urgency::Info, format!("discover.{of}: what is found is not odd any more")),
        Some(_) => (Urgency::Page, format!("discover.{of}: what was found is odd")),
        None => (Urgency::Info, format!("discover.{of}: other services are watched")),
    }
}

const NO_DATA: &str = "Nothing is rolled back on missing data, and nothing is called healthy.";
const NO_SCHEMA: &str =
    "A migration that fails now is seen by nobody. Nothing is concluded from what is not seen.";
const NO_PLAN: &str = "Until this is mended no rollback can be planned, by the daemon or by you.";

pub(super) fn of_trigger(fact: &firing::Fact, s: &Situation<'_>) -> Option<Draft> {
    match fact {
        firing::Fact::Blind { signal, source, why, since, watched } => {
            let others = |(name, blind): (&String, &Blindness)| {
                name != signal
                    && blind.source == *source
                    && s.state.knows_blind(name, *watched, s.now.wall)
            };
            if s.state.blind.iter().any(others) {
                return None;
            }
            let severity = if *watched { Severity::P2 } else { Severity::P3 };
            let (what, follows) = if signal == PLATFORM {
                ("cannot be rolled back, nobody can tell what is deployed".to_owned(), NO_PLAN)
            } else if signal == DATABASE {
                ("blind, nobody can tell how far the database is migrated".to_owned(), NO_SCHEMA)
            } else {
                (format!("blind, {signal} tells nothing"), NO_DATA)
            };
            // Who is paged for a few services that share a source looks at the source.
            let paged = s.fleet.blind_paged.get(source).copied().unwrap_or(0);
            let one_of_many = paged >= s.fleet_policy.storm_services;
            let (urgency, what) = match one_of_many {
                true => (Urgency::Info, format!("{what}: one of many")),
                false => (Urgency::Page, what),
            };
            let subject = format!("{severity} {}: {what}", s.state.id);
            let mut draft = Draft::new(Kind::Health, urgency, subject)
                .field("Source", source.clone())
                .field("Why", why.clone())
                .field("Since", since.to_string())
                .lines([follows.into()]);
            if !one_of_many {
                draft.choices = vec![notice::Choice {
                    label: "acknowledge".into(),
                    command: format!("rollbackd ack {}", s.state.id),
                }];
            }
            Some(draft)
        }
        firing::Fact::Sighted { signal } if s.state.blind.is_empty() => {
            let what = match signal.as_str() {
                PLATFORM => "what is deployed is known",
                DATABASE => "how far the database is migrated is known",
                _ => "every signal tells",
            };
            let subject = format!("{}: {what} again", s.state.id);
            Some(Draft::new(Kind::Health, Urgency::Info, subject))
        }
        firing::Fact::Fired(firing) => trouble::more_corrupt(firing, s),
        firing::Fact::Sighted { .. } | firing::Fact::Cleared { .. } => None,
    }
}

pub(super) fn reminder(s: &Situation<'_>) -> Draft {
    if s.state.maintained.is_told() {
        return super::maintenance::reminder(s);
    }
    let blind: Vec<String> =
        s.state.blind.iter().map(|(name, b)| format!("{name} ({})", b.source)).collect();
    let subject = match &s.state.set_again {
        Some(again) => {
            format!(
                "{}: {} is still set again, nobody has acknowledged",
                s.state.id, again.revision
            )
        }
        None => {
            format!("{}: still blind, nobody has acknowledged: {}", s.state.id, blind.join(", "))
        }
    };
    let mut draft = Draft::new(Kind::Reminder, Urgency::Page, subject);
    draft.choices = vec![notice::Choice {
        label: "acknowledge".into(),
        command: format!("rollbackd ack {}", s.state.id),
    }];
    draft
}

pub(super) fn follow_up(s: &Situation<'_>, incident: &str) -> Draft {
    let subject = format!("{}: the root cause analysis of {incident} is due", s.state.id);
    Draft::new(Kind::Followup, Urgency::Info, subject)
        .field("Report", format!("rollbackd report {incident}"))
}

//! One sentence for each fact: the incident's timeline, the log line and the report show the same words.

use super::{
    event::Said,
    fact::{Fact, Fleet, Service},
    firing, incident,
    inventory::PLATFORM,
    ledger, maintenance,
    roster::listed,
    run,
    schema::DATABASE,
    situation::whole_seconds,
};
use crate::units::UnixMs;

/// The sentence of a fact; `None` where it says nothing new to a person.
pub fn line(fact: &Fact) -> Option<String> {
    match fact {
        Fact::Service(fact) => service(fact),
        Fact::Ledger(fact) => Some(ledger(fact)),
        Fact::Trigger(fact) => Some(trigger(fact)),
        Fact::Incident(fact) => incident(fact),
        Fact::Run(fact) => Some(run(fact)),
        Fact::Maintenance(fact) => Some(maintenance(fact)),
        Fact::Fleet(fact) => Some(fleet(fact)),
        Fact::Told(notice) => {
            Some(format!("told {}: {}", super::wording::audience(notice.audience), notice.subject))
        }
    }
}

fn service(fact: &Service) -> Option<String> {
    Some(match fact {
        Service::Changed(change) => {
            let from = change.from.as_ref().map_or_else(|| "?".to_owned(), ToString::to_string);
            let kind = if change.is_rollback { "rolled back" } else { "changed" };
            let told = change.told.as_ref().map(|told| format!(": {told}")).unwrap_or_default();
            format!("{} {kind} from {from} to {}{told}", change.component, change.to)
        }
        Service::Held { by, reason } => format!("{by} holds the service: {reason}"),
        Service::Unheld { by } => format!("{by} lifts the hold"),
        Service::Acknowledged { by } => format!("{by} has seen the page"),
        Service::SetAgain(again) => again.to_string(),
        Service::Reminded => return None,
        Service::FollowedUp { incident } => {
            format!("reminded of the root cause analysis of {incident}")
        }
    })
}

fn ledger(fact: &ledger::Fact) -> String {
    match fact {
        ledger::Fact::Serving { component, revision, .. } => {
            format!("{component} is set to {revision}")
        }
        ledger::Fact::KnownGood { component, revision, .. } => {
            format!("{component} {revision} is known good")
        }
        ledger::Fact::Quarantined { component, revision, .. } => {
            format!("{component} {revision} is quarantined")
        }
        ledger::Fact::Lifted { component, version, by } => {
            format!("{by} lifts the quarantine of {component} {version}")
        }
    }
}

fn trigger(fact: &firing::Fact) -> String {
    match fact {
        firing::Fact::Fired(firing) => {
            format!("{} fires ({}): {}", firing.trigger, firing.severity, firing.says)
        }
        firing::Fact::Cleared { trigger, why } => format!("{trigger} clears: {why}"),
        firing::Fact::Blind { signal, source, why, .. } if signal == PLATFORM => {
            format!("nobody can tell what is deployed ({source}): {why}")
        }
        firing::Fact::Sighted { signal } if signal == PLATFORM => {
            "what is deployed can be told again".to_owned()
        }
        firing::Fact::Blind { signal, source, why, .. } if signal == DATABASE => {
            format!("nobody can tell how far the database is migrated ({source}): {why}")
        }
        firing::Fact::Sighted { signal } if signal == DATABASE => {
            "how far the database is migrated can be told again".to_owned()
        }
        firing::Fact::Blind { signal, source, why, .. } => {
            format!("{signal} tells nothing ({source}): {why}")
        }
        firing::Fact::Sighted { signal } => format!("{signal} tells again"),
    }
}

fn incident(fact: &incident::Fact) -> Option<String> {
    Some(match fact {
        incident::Fact::Opened { id, severity, trigger, .. } => {
            format!("incident {id} opened as {severity} by {trigger}")
        }
        incident::Fact::Joined { trigger, severity } => format!("{trigger} joins as {severity}"),
        incident::Fact::Raised { to, because, .. } => format!("raised to {to}: {because}"),
        incident::Fact::Decided(decision) => {
            let refused: Vec<String> = decision
                .guards
                .iter()
                .filter_map(|v| v.refusal().map(|why| format!("{}: {why}", v.guard)))
                .collect();
            if refused.is_empty() {
                format!("decided: {}", decision.verdict)
            } else {
                format!("decided: {}; guards that refuse: {}", decision.verdict, refused.join("; "))
            }
        }
        // What follows from the checklist says it.
        incident::Fact::Checked { .. } => return None,
        incident::Fact::Offered { plan } => {
            format!("plan {} offered: {}", plan.hash(), plan.summary())
        }
        incident::Fact::Entered(phase) => match phase {
            incident::Phase::Escalated { why, by: None } => format!("escalated to people: {why}"),
            incident::Phase::Escalated { why, by: Some(_) } => format!("left to people: {why}"),
            incident::Phase::Closed { outcome } => format!("closed: {outcome}"),
            incident::Phase::Verifying { .. } => "verifying that the rollback worked".into(),
            incident::Phase::Watching { .. } => "verified; watching for a relapse".into(),
            // The decision that led there has said it.
            incident::Phase::Assessing
            | incident::Phase::Gathering { .. }
            | incident::Phase::Monitoring { .. }
            | incident::Phase::Deciding
            | incident::Phase::Scheduled
            | incident::Phase::RollingBack => return None,
        },
        incident::Fact::Planned { run, plan, by } => {
            let by = by.as_deref().unwrap_or("rollbackd");
            format!("{by} begins rollback {run}, plan {}: {}", plan.hash(), plan.summary())
        }
        incident::Fact::GoesOn { step, said } => match said.as_str() {
            "" => format!("step {} goes on", step + 1),
            said => format!("step {} goes on: {said}", step + 1),
        },
        incident::Fact::Said { by, said } => format!("{by}: {}", said_line(said)),
        incident::Fact::Late(incident::Clock::Acted) => {
            "the deadline for acting passed without an action".into()
        }
        incident::Fact::Late(incident::Clock::Helped) => {
            "it still fires although the earlier revision serves".into()
        }
        incident::Fact::Late(incident::Clock::Verified) => {
            "the deadline for a verified rollback passed".into()
        }
        incident::Fact::Unseen { why } => format!("the watch is over and cannot end: {why}"),
        incident::Fact::Relapsed { trigger } => format!("{trigger} fires while people own it"),
        incident::Fact::Reminded => return None,
    })
}

fn said_line(said: &Said) -> String {
    match said {
        Said::Acknowledge => "acknowledged".into(),
        Said::Approve { plan } => format!("approved plan {plan}"),
        Said::Reject { reason } => format!("rejected the rollback: {reason}"),
        Said::Dismiss { reason } => format!("dismissed: {reason}"),
        Said::Hold { reason } => format!("hold: {reason}"),
        Said::Unhold => "unhold".into(),
        Said::RollBack { to_previous: true, reason, .. } => {
            format!(
                "asked for a rollback to the previous version that its annotation names: {reason}"
            )
        }
        Said::RollBack { to, reason, .. } => match to {
            Some(to) => format!("asked for a rollback to {to}: {reason}"),
            None => format!("asked for a rollback: {reason}"),
        },
        Said::Lift { version } => format!("lifted the quarantine of {version}"),
    }
}

fn run(fact: &run::Fact) -> String {
    match fact {
        run::Fact::Begun { step, attempt, fallback, .. } => {
            let which = if *fallback { "the fallback of step" } else { "step" };
            format!("{which} {} begins, attempt {attempt}", step + 1)
        }
        run::Fact::Ended { step, report, .. } => {
            let how = match &report.outcome {
                run::Outcome::AlreadyDone => "was in effect already".to_owned(),
                run::Outcome::Done => "is in effect".to_owned(),
                run::Outcome::Failed { why, .. } => format!("failed: {why}"),
                run::Outcome::Unknown { why } => format!("has an unknown outcome: {why}"),
                run::Outcome::Withheld { why } => format!("was withheld: {why}"),
            };
            format!("step {} {how} ({} ms)", step + 1, report.took_ms)
        }
        run::Fact::Halted { why } => format!("the rollback halts: {why}"),
        run::Fact::Finished => "every step has ended".into(),
    }
}

fn maintenance(fact: &maintenance::Fact) -> String {
    match fact {
        maintenance::Fact::Begun { attempt, .. } => {
            format!("maintenance mode is being switched off, attempt {attempt}")
        }
        maintenance::Fact::Ended { report, .. } => match &report.outcome {
            run::Outcome::AlreadyDone | run::Outcome::Done if report.after.is_empty() => {
                "maintenance mode is off".to_owned()
            }
            run::Outcome::AlreadyDone | run::Outcome::Done => {
                format!("maintenance mode is off: {}", report.after)
            }
            run::Outcome::Failed { why, .. } => format!("maintenance mode is not off: {why}"),
            run::Outcome::Unknown { why } => {
                format!("nobody can tell whether maintenance mode is off: {why}")
            }
            run::Outcome::Withheld { why } => {
                format!("switching maintenance mode off was withheld: {why}")
            }
        },
        maintenance::Fact::Stays { why, .. } => format!("maintenance mode is still on: {why}"),
    }
}

/// For people: `1m 30s back`.
pub(super) fn set_by(from: UnixMs, to: UnixMs) -> String {
    let (span, way) =
        if to < from { (from.since(to), "back") } else { (to.since(from), "forward") };
    format!("{} {way}", whole_seconds(span))
}

fn fleet(fact: &Fleet) -> String {
    match fact {
        Fleet::KillSwitch { reason: Some(reason) } => format!("the HOLD file is set: {reason}"),
        Fleet::KillSwitch { reason: None } => "the HOLD file is gone".into(),
        Fleet::Undelivered { subject, channel, why, again: true } => {
            format!("`{subject}` does not arrive on {channel}, and is tried again: {why}")
        }
        Fleet::Undelivered { subject, channel, why, again: false } => {
            format!("`{subject}` will not arrive on {channel}: {why}")
        }
        Fleet::ClockSet { from, to } => format!(
            "the clock was set {}, from {} to {}: the windows begin anew",
            set_by(*from, *to),
            from.clock(),
            to.clock()
        ),
        Fleet::Configured { changes } => {
            format!("another configuration is followed: {}", changes.join("; "))
        }
        Fleet::Discovered { of, changes, odd } => {
            let odd = odd.as_deref().unwrap_or_default();
            let said: Vec<&str> = odd.iter().chain(changes).map(String::as_str).collect();
            let said = if said.is_empty() {
                "nothing is odd any more".to_owned()
            } else {
                said.join("; ")
            };
            format!("discover.{of}: {said}")
        }
        Fleet::ConfigRefused { why } => {
            format!("a configuration was refused, the one before goes on: {}", why.join("; "))
        }
        Fleet::Left { services } => {
            format!("nobody asks for these any more: {}", listed(services))
        }
        Fleet::Forgotten { services } => {
            format!("they left long ago, nothing of them is kept: {}", listed(services))
        }
        Fleet::Started { epoch, version } => {
            format!("rollbackd {version} began to act, epoch {epoch}")
        }
    }
}

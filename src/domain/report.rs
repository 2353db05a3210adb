//! The incident report, in Markdown: a pure rendering of what the journal knows.
//!
//! It says what happened, on which numbers, what every guard said, what was done and seen, and what is left to do.
//! Nothing is added that was not known; what is not known is called so.

mod action;
mod decision;

use super::{
    change::{Change, Origin},
    incident::{Clock, Incident, Phase},
    situation::{Situation, whole_seconds},
    wording,
};
use crate::units::UnixMs;

/// The report in Markdown.
pub fn markdown(s: &Situation<'_>, incident: &Incident) -> String {
    let parts = [
        head(s, incident),
        clocks(s, incident),
        timeline(incident),
        decision::evidence(s, incident),
        decision::decision(incident),
        action::plan(s, incident),
        action::verification(s, incident),
        people(incident),
        action::estimates(incident),
        follow_up(s, incident),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("\n")
}

/// A section with its heading; nothing where there is nothing to say.
fn section(title: &str, body: &str) -> Option<String> {
    (!body.is_empty()).then(|| format!("## {title}\n\n{body}"))
}

/// A text from outside, made safe for one cell of a table or one line of a list.
fn inline(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '|' => safe.push_str("\\|"),
            '<' => safe.push_str("&lt;"),
            c if c.is_control() => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}

/// A table of named values.
fn named(rows: &[(&str, String)]) -> String {
    let mut text = "| | |\n|---|---|\n".to_owned();
    for (name, value) in rows {
        text.push_str(&format!("| {name} | {} |\n", inline(value)));
    }
    text
}

fn head(s: &Situation<'_>, incident: &Incident) -> Option<String> {
    let state = match &incident.phase {
        Phase::Closed { outcome } => outcome.to_string(),
        Phase::Escalated { why, .. } => format!("owned by people: {why}"),
        Phase::Assessing
        | Phase::Gathering { .. }
        | Phase::Monitoring { .. }
        | Phase::Deciding
        | Phase::Scheduled
        | Phase::RollingBack
        | Phase::Verifying { .. }
        | Phase::Watching { .. } => format!("still {}", incident.phase.name()),
    };
    let triggers: Vec<String> =
        incident.triggers.iter().map(|(name, severity)| format!("{name} ({severity})")).collect();
    let fired = incident.fired.wall;
    let mut rows = vec![
        ("Service", s.state.id.to_string()),
        ("Severity", format!("{}: {}", incident.severity, wording::impact(incident.severity))),
        ("State", state),
        ("Triggers", triggers.join(", ")),
        ("Change", incident.change.as_ref().map_or_else(|| "none is known".into(), change)),
        ("Onset", format!("{}, by the source's time", incident.onset)),
        ("Fired", format!("{fired}, {} after the onset", after(fired, incident.onset))),
    ];
    let run = incident.run.as_ref();
    if let Some(at) = run.and_then(|run| run.started_at()).map(|at| s.wall_of(at)) {
        rows.push(("Acted", format!("{at}, {} after it fired", after(at, fired))));
    }
    if let Some(at) = incident.verified_at.map(|at| s.wall_of(at)) {
        rows.push(("Verified", format!("{at}, {} after it fired", after(at, fired))));
    }
    if let Some(closed) = incident.closed_at {
        let at = closed.wall;
        rows.push(("Closed", format!("{at}, {} after it fired", after(at, fired))));
    }
    let title = format!("# Incident {}\n\n", incident.id);
    Some(title + &named(&rows))
}

fn change(change: &Change) -> String {
    let from = change.from.as_ref().map_or_else(|| "?".to_owned(), ToString::to_string);
    let told = match &change.origin {
        Origin::Observed => "seen on the platform".to_owned(),
        Origin::Posted { by } => format!("told by {by}"),
    };
    let ended = match change.ended_at {
        Some(at) => format!("complete at {}", at.clock()),
        None => "its end was not told".to_owned(),
    };
    let (component, to, began) = (change.component, &change.to, change.started_at);
    format!("{component} {from} -> {to}, begun at {began}, {ended}, {told}")
}

fn after(later: UnixMs, earlier: UnixMs) -> String {
    whole_seconds(later.since(earlier)).to_string()
}

fn clocks(s: &Situation<'_>, incident: &Incident) -> Option<String> {
    let fired = incident.fired.steady;
    let row = s.policy.matrix.row(incident.severity);
    let acted = incident.run.as_ref().and_then(|run| run.started_at());
    let line = |name: &str, within: Option<_>, done: Option<UnixMs>, clock: Clock| {
        let within: Option<crate::units::Span> = within;
        let took = done.map(|at| whole_seconds(at.since(fired)));
        let met = match (within, took) {
            (Some(within), Some(took)) if took <= within => "met",
            (Some(_), Some(_)) => "missed",
            (Some(_), None) if incident.late.contains(&clock) => "missed",
            (Some(_), None) if incident.closed_at.is_some() => "not needed",
            (Some(_), None) => "running",
            (None, _) => "none",
        };
        let within = within.map_or_else(|| "next deployment".to_owned(), |w| w.to_string());
        let took = took.map_or_else(|| "-".to_owned(), |took| took.to_string());
        format!("| {name} | {within} | {took} | {met} |\n")
    };
    let mut text = "| from the firing until | deadline | took | |\n|---|---|---|---|\n".to_owned();
    text.push_str(&line("the action began", row.act_within, acted, Clock::Acted));
    if incident.run.is_some() || incident.verified_at.is_some() {
        let within = Some(row.verify_within);
        text.push_str(&line("it was verified", within, incident.verified_at, Clock::Verified));
    }
    section("Clocks", &text)
}

fn timeline(incident: &Incident) -> Option<String> {
    let line = |(at, what): &(UnixMs, String)| format!("- {} {}\n", at.clock(), inline(what));
    let mut text: String = incident.timeline.iter().map(line).collect();
    if incident.timeline.len() >= super::incident::TIMELINE_MAX {
        text.push_str("- the rest is in the journal\n");
    }
    let day = incident.timeline.first().map_or_else(String::new, |(at, _)| at.to_string());
    let day = day.get(..10).unwrap_or_default();
    section(&format!("Timeline ({day}, UTC)"), &text)
}

fn people(incident: &Incident) -> Option<String> {
    let mut rows = vec![];
    let escalation = &incident.escalation;
    let seen = match (&escalation.acknowledged_by, escalation.pages) {
        (Some(by), _) => by.clone(),
        (None, 0) => "nobody was paged".to_owned(),
        (None, _) if escalation.is_open() => "nobody yet".to_owned(),
        (None, _) => "nobody before it was over".to_owned(),
    };
    rows.push(("Acknowledged by", seen));
    if escalation.pages > 0 {
        rows.push(("Pages sent", escalation.pages.to_string()));
    }
    if incident.run.is_some() {
        let by = incident.started_by.clone().unwrap_or_else(|| "rollbackd itself".to_owned());
        rows.push(("Rollback begun by", by));
    }
    section("People", &named(&rows))
}

/// The runbook's actions after a rollback.
fn follow_up(s: &Situation<'_>, incident: &Incident) -> Option<String> {
    let due = match incident.closed_at {
        Some(closed) => format!("by {}", closed.wall + s.policy.people.root_cause_within),
        None => format!("within {} of the closing", s.policy.people.root_cause_within),
    };
    let mut text = String::new();
    for target in incident.run.iter().flat_map(|run| &run.plan.targets) {
        let left = s.state.ledger.entry(target.component, &target.from);
        if left.is_some_and(|entry| entry.quarantine.is_some()) {
            let (version, service) = (inline(&target.from.version), &s.state.id);
            text.push_str(&format!(
                "- [ ] {version} is quarantined: fix it and deploy a new version, or `rollbackd lift {service} {version}`\n"
            ));
        }
    }
    let kept = incident.run.as_ref().and_then(wording::copied::kept);
    for left in wording::to_take_back(incident).into_iter().chain(kept) {
        text.push_str(&format!("- [ ] {}\n", inline(&left)));
    }
    for action in [
        format!("Root cause analysis, {due}"),
        "Keep logs, metrics and error messages of that time".to_owned(),
        "Fix the cause in development".to_owned(),
        "Add a test that would have found it".to_owned(),
        "Improve the deployment and rollback procedures".to_owned(),
        "Hold the team's retrospective".to_owned(),
    ] {
        text.push_str(&format!("- [ ] {action}\n"));
    }
    section("Follow-up", &text)
}

#[cfg(test)]
mod tests;

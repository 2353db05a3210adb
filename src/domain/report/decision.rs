//! What it stood on, and what was decided.

use super::{inline, section};
use crate::domain::{guard::Says, incident::Incident, shown, situation::Situation, watch::says};

/// The numbers of what fires, with a line of the newest values where a window has them.
pub(super) fn evidence(s: &Situation<'_>, incident: &Incident) -> Option<String> {
    let mut text = String::new();
    for name in incident.triggers.keys() {
        let firing = s.state.firing.get(name);
        let said = incident.account.fired.get(name);
        let said = said.map_or_else(|| name.clone(), |said| format!("{name} {said}"));
        text.push_str(&format!("- {}\n", inline(&said)));
        if let Some(evidence) = firing.and_then(|f| f.evidence.as_ref()) {
            text.push_str(&format!("  - when it fired: {}\n", says::evidence(evidence)));
        }
        let own = s.watch.triggers().find(|(key, ..)| key == name).map(|(.., trigger)| trigger);
        let Some(trigger) = own.filter(|_| incident.closed_at.is_none()) else { continue };
        let values: Vec<Option<f32>> = trigger.drawn().collect();
        if values.iter().any(Option::is_some) {
            let seen = trigger.evidence();
            let line = shown::sparkline(&values, seen.threshold);
            text.push_str(&format!("  - newest values: `{line}` {}\n", says::evidence(&seen)));
        }
    }
    section("Evidence", &text)
}

/// Every decision, the newest with every guard's verdict.
pub(super) fn decision(incident: &Incident) -> Option<String> {
    let decision = incident.decision.as_ref()?;
    let mut text = String::new();
    for (at, before) in incident.account.decided.iter().rev().skip(1).rev() {
        text.push_str(&format!("- {} {}\n", at.clock(), inline(before)));
    }
    if !text.is_empty() {
        text.push_str("\nThe last decision:\n\n");
    }
    text.push_str(&format!("**{}** as {}.\n\n", decision.verdict, decision.severity));
    for because in &decision.because {
        text.push_str(&format!("- {}\n", inline(because)));
    }
    if !decision.guards.is_empty() {
        text.push_str("\n| guard | says | why |\n|---|---|---|\n");
    }
    for verdict in &decision.guards {
        let (says, why) = match &verdict.says {
            Says::Pass { note } => ("passes", note),
            Says::Refuse { reason, .. } => ("**refuses**", reason),
            Says::NotApplicable { why } => ("does not apply", why),
        };
        text.push_str(&format!("| {} | {says} | {} |\n", verdict.guard, inline(why)));
    }
    section("Decision", &text)
}

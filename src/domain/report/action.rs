//! What was done, what was seen, and how long it took against the runbook's estimates.

use super::{after, inline, section};
use crate::{
    domain::{
        change::Component,
        incident::{Incident, Phase},
        plan::Plan,
        run::{Attempt, Outcome, Phase as RunPhase},
        situation::{Situation, whole_seconds},
        verification::{self, Standing},
        wording::copied,
    },
    units::Span,
};

/// The lines of a program's output that the report shows.
const TAIL_LINES: usize = 20;

/// The plan, and of every attempt what was seen before and after.
pub(super) fn plan(s: &Situation<'_>, incident: &Incident) -> Option<String> {
    let Some(run) = &incident.run else {
        let offered = incident.offered.as_ref()?;
        let text =
            format!("Offered, not carried out: `{}` {}.\n", offered.hash(), offered.summary());
        return section("Plan", &text);
    };
    let mut text = format!("`{}` {}: ", run.plan.hash(), run.plan.summary());
    text.push_str(&match &run.phase {
        RunPhase::Ready | RunPhase::Begun { .. } => "under way.\n\n".to_owned(),
        RunPhase::Halted { why } => format!("halted: {}.\n\n", inline(why)),
        RunPhase::Finished { at } => {
            let skipped = (0..run.plan.steps.len()).filter(|step| run.was_skipped(*step)).count();
            let but = if skipped == 0 { String::new() } else { format!(" but {skipped}") };
            format!("every step{but} in effect at {}.\n\n", s.wall_of(*at))
        }
    });
    for (index, step) in run.plan.steps.iter().enumerate() {
        text.push_str(&format!("{}. {}\n", index + 1, inline(&step.title)));
        let mine = run.attempts.iter().filter(|attempt| attempt.step == index);
        let mut none = true;
        for attempt in mine {
            none = false;
            text.push_str(&one_attempt(s, attempt));
        }
        if none {
            text.push_str("   - not begun\n");
        }
    }
    for told in copied::told(run) {
        text.push_str(&format!("\n{}.\n", inline(&told)));
    }
    for (_, from, until) in &incident.account.maintenance {
        let until = until.map_or_else(
            || "; it was still on when this was written".to_owned(),
            |at| format!(" until {}, {}", at.clock(), after(at, *from)),
        );
        text.push_str(&format!("\nMaintenance mode was on from {}{until}.\n", from.clock()));
    }
    section("Plan", &text)
}

fn one_attempt(s: &Situation<'_>, attempt: &Attempt) -> String {
    let kind = if attempt.fallback { "fallback, attempt" } else { "attempt" };
    let began = s.wall_of(attempt.begun_at).clock();
    let mut text = format!("   - {kind} {}, begun at {began}: ", attempt.attempt);
    let Some((_, report)) = &attempt.ended else { return text + "under way\n" };
    let how = match &report.outcome {
        Outcome::AlreadyDone => "was in effect already".to_owned(),
        Outcome::Done => "in effect".to_owned(),
        Outcome::Failed { why, .. } => format!("failed: {why}"),
        Outcome::Unknown { why } => format!("unknown: {why}"),
        Outcome::Withheld { why } => format!("withheld: {why}"),
    };
    text.push_str(&format!("{}, {}\n", inline(&how), Span(report.took_ms)));
    for (when, seen) in [("before", &report.before), ("after", &report.after)] {
        if !seen.is_empty() {
            text.push_str(&format!("     - seen {when}: {}\n", inline(seen)));
        }
    }
    let lines: Vec<&str> = report.output.lines().collect();
    if !lines.is_empty() {
        text.push_str("     - output:\n\n");
    }
    for line in &lines[lines.len().saturating_sub(TAIL_LINES)..] {
        let printable: String = line.chars().filter(|c| !c.is_control()).collect();
        text.push_str(&format!("           {printable}\n"));
    }
    if !lines.is_empty() {
        text.push('\n');
    }
    text
}

/// The checklist, as far as the incident came to it.
pub(super) fn verification(s: &Situation<'_>, incident: &Incident) -> Option<String> {
    let verified = incident.verified_at.map(|at| {
        let (at, hold) = (s.wall_of(at), s.policy.verification.hold);
        format!("Every check held for {hold} at {at}.\n")
    });
    let is_checked = matches!(incident.phase, Phase::Verifying { .. } | Phase::Watching { .. });
    let mut text = verified.unwrap_or_default();
    let checks = match is_checked {
        true => verification::verify(s, incident).checks,
        false => incident.account.checks.clone(),
    };
    if !checks.is_empty() {
        if incident.verified_at.is_none() && !is_checked {
            text.push_str("The rollback was not verified.\n");
        }
        text.push('\n');
        for check in checks {
            let (mark, how) = match check.standing {
                Standing::Passed => ("x", ""),
                Standing::Failed => (" ", "**failed**: "),
                Standing::Thin => (" ", "too little traffic: "),
                Standing::Unknown => (" ", "unknown: "),
            };
            text.push_str(&format!("- [{mark}] {}: {how}{}\n", check.name, inline(&check.note)));
        }
    } else if text.is_empty() && incident.run.is_some() {
        text.push_str("The rollback was not verified.\n");
    }
    section("Verification", text.trim_start_matches('\n'))
}

/// The runbook's table of estimates, against what it took.
pub(super) fn estimates(incident: &Incident) -> Option<String> {
    let run = incident.run.as_ref()?;
    let started = run.started_at()?;
    let (name, rollback, checking, total) = row(&run.plan);
    let served = match run.phase {
        RunPhase::Finished { at } => Some(at),
        RunPhase::Ready | RunPhase::Begun { .. } | RunPhase::Halted { .. } => None,
    };
    let took = |from, to: Option<_>| match to {
        Some(to) => after(to, from),
        None => "-".to_owned(),
    };
    let verified = incident.verified_at;
    let checked = served.map_or_else(|| "-".to_owned(), |served| took(served, verified));
    let estimate = whole_seconds(run.plan.estimate);
    let text = format!(
        "{name}; the plan's own estimate was {estimate}.\n\n\
         | | estimate | took |\n|---|---|---|\n\
         | rollback | {rollback} | {} |\n\
         | verification | {checking} | {checked} |\n\
         | total | {total} | {} |\n",
        took(started, served),
        took(started, verified)
    );
    section("Times against the runbook's estimates", &text)
}

fn row(plan: &Plan) -> (&'static str, &'static str, &'static str, &'static str) {
    let moves = |component| plan.targets.iter().any(|target| target.component == component);
    match (moves(Component::Database), moves(Component::Configuration)) {
        (true, true) => ("Full system", "15 to 45 min", "20 to 40 min", "35 to 85 min"),
        (true, false) => {
            ("Application and database", "10 to 30 min", "15 to 30 min", "25 to 60 min")
        }
        (false, true) => {
            ("Application and configuration", "5 to 10 min", "10 to 15 min", "15 to 25 min")
        }
        (false, false) => ("Application only", "2 to 5 min", "5 to 10 min", "7 to 15 min"),
    }
}

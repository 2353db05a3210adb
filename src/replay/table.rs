//! Stories and scores for people, in plain columns.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{
    compare::Difference,
    fleet::Replayed,
    picture::Picture,
    score::Score,
    story::{Decided, Incident, Story},
};
use crate::units::{Span, UnixMs};

/// Series that are named one by one.
const NAMED_MAX: usize = 20;

/// How well a policy judged labelled series.
pub fn score_table(score: &Score) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| _ = writeln!(text, "{name:<44} {value}");
    let found = format!("{} of {} ({} missed)", score.detected, score.faults, score.missed);
    line("faults found", found);
    line("acted upon in vain", format!("{} of {} other series", score.falsely, score.others));
    let seconds = |value: Option<i64>| {
        value.map_or_else(|| "-".to_owned(), |s| format!("{:+.1} min", s as f64 / 60.0))
    };
    line("delay beyond the rule's minimum, median", seconds(score.median_delay_s));
    line("delay beyond the rule's minimum, p90", seconds(score.p90_delay_s));
    line("rated too bad / not bad enough", format!("{} / {}", score.over_rated, score.under_rated));
    let weekly = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |v| format!("{v:.2}"));
    line("healthy service-weeks", format!("{:.2}", score.service_weeks));
    line("false a week, well-behaved services", weekly(score.false_per_week));
    line("false a week, services that always fail", weekly(score.pathological_per_week));
    line("rolled back in vain a week, with the guards", weekly(score.false_per_week_guarded));
    let odd: Vec<_> =
        score.series.iter().filter(|s| matches!(s.outcome, "missed" | "false")).collect();
    for series in odd.iter().take(NAMED_MAX) {
        let fired = series.fired.as_ref().map_or_else(String::new, |fired| {
            format!(": {} ({}), {}", fired.trigger, fired.severity, fired.says)
        });
        _ = writeln!(text, "  {:<7} {}{fired}", series.outcome, series.id);
    }
    if !score.unlabelled.is_empty() {
        let names = score.unlabelled.join(", ");
        _ = writeln!(text, "not scored, for their labels say nothing: {names}");
    }
    if odd.len() > NAMED_MAX {
        _ = writeln!(text, "  and {} more; --json names all", odd.len() - NAMED_MAX);
    }
    text
}

/// What would have happened, service by service, and how often a week.
pub fn stories_table(replayed: &Replayed) -> String {
    let mut text = String::new();
    let stories = &replayed.stories;
    for (index, story) in stories.iter().enumerate().filter(|(_, s)| !s.incidents.is_empty()) {
        _ = writeln!(text, "{}", story.service);
        for (incident, Picture { blocks, .. }) in
            story.incidents.iter().zip(&replayed.pictures[index])
        {
            incident_lines(&mut text, incident, blocks);
        }
    }
    let quiet = stories.iter().filter(|story| story.incidents.is_empty()).count();
    if quiet > 0 {
        _ = writeln!(text, "{quiet} of {} services: nothing would have happened", stories.len());
    }
    for story in stories.iter().filter(|s| !s.dropped.is_empty() || !s.blind.is_empty()) {
        let dropped: Vec<String> =
            story.dropped.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        if !dropped.is_empty() {
            _ = writeln!(
                text,
                "{}: readings dropped or mended: {}",
                story.service,
                dropped.join(", ")
            );
        }
        if let Some((at, what)) = story.blind.first() {
            let times = story.blind.len();
            _ = writeln!(
                text,
                "{}: blind {times} times, first at {}: {what}",
                story.service,
                date(*at)
            );
        }
    }
    text.push('\n');
    text + &totals(stories)
}

fn incident_lines(text: &mut String, incident: &Incident, blocks: &str) {
    let worst = incident.worst().map_or_else(String::new, |worst| format!("{worst} "));
    let late = incident.opened.since(incident.onset).to_read();
    _ = writeln!(
        text,
        "  {} {worst}{} began {}, told {late} later  {blocks}",
        date(incident.opened),
        incident.trigger,
        incident.onset.clock(),
    );
    for decided in &incident.decisions {
        _ = writeln!(text, "    {} {}", decided.at.clock(), decision_words(decided));
    }
    match &incident.closed {
        Some((at, how)) => {
            let lasted = at.since(incident.opened).to_read();
            _ = writeln!(text, "    {} closed after {lasted}: {how}", at.clock());
        }
        None => _ = writeln!(text, "    still open where the recording ends"),
    }
}

pub(super) fn decision_words(decided: &Decided) -> String {
    if let Some(rollback) = &decided.rollback {
        return format!("would be rolled back: {rollback}");
    }
    let refused: Vec<String> =
        decided.refused.iter().map(|(guard, why)| format!("{guard}: {why}")).collect();
    if refused.is_empty() {
        decided.verdict.clone()
    } else {
        format!("{}; refused by {}", decided.verdict, refused.join("; "))
    }
}

/// How much would have happened a week, and which trigger pages most, where.
pub fn totals(stories: &[Story]) -> String {
    let mut text = String::new();
    let total: Span = stories.iter().fold(Span::ZERO, |sum, story| sum + story.span());
    let weeks = total.as_seconds() / (7.0 * 86_400.0);
    let mut pages: BTreeMap<&str, Vec<(usize, String)>> = BTreeMap::new();
    let (mut paged, mut rolled_back) = (0, 0);
    for story in stories {
        let mut mine: BTreeMap<&str, usize> = BTreeMap::new();
        for incident in &story.incidents {
            rolled_back += usize::from(incident.rollback().is_some());
            if incident.paged.is_some() {
                paged += 1;
                *mine.entry(incident.trigger.as_str()).or_default() += 1;
            }
        }
        for (trigger, count) in mine {
            pages.entry(trigger).or_default().push((count, story.service.to_string()));
        }
    }
    let per = |weeks: f64, count: usize| if weeks > 0.0 { count as f64 / weeks } else { 0.0 };
    let each = |count: usize| per(weeks, count);
    // What one who is on call for all of them lives through.
    let (from, until) =
        (stories.iter().map(|s| s.from).min(), stories.iter().map(|s| s.until).max());
    let recorded = from.zip(until).map_or(Span::ZERO, |(from, until)| until.since(from));
    let a_week = |count: usize| {
        let weeks = recorded.as_seconds() / (7.0 * 86_400.0);
        // Of hours nobody can tell what a week would be like.
        match recorded >= Span::hours(24) {
            true => format!(", {:.1} a week", per(weeks, count)),
            false => String::new(),
        }
    };
    _ = writeln!(
        text,
        "{weeks:.1} service-weeks: {paged} incidents page ({:.2} a service and week), {rolled_back} would be rolled back ({:.2})",
        each(paged),
        each(rolled_back),
    );
    for (trigger, mut worst) in pages {
        worst.sort_by(|a, b| b.cmp(a));
        let count: usize = worst.iter().map(|(count, _)| count).sum();
        let names: Vec<String> =
            worst.iter().take(3).map(|(count, name)| format!("{name} {count}")).collect();
        _ = writeln!(
            text,
            "  {trigger} alone pages {count} times{}; worst: {}",
            a_week(count),
            names.join(", ")
        );
    }
    text
}

/// What another configuration makes different.
pub fn differences_table(differences: &[Difference]) -> String {
    let mut text = String::new();
    for one in differences {
        let what = one.what.join("; ");
        _ = writeln!(
            text,
            "{:<8} {} {}: {}: {what}",
            one.kind,
            date(one.at),
            one.service,
            one.trigger
        );
    }
    let count = |kind: &str| differences.iter().filter(|one| one.kind == kind).count();
    let (new, gone, changed) = (count("new"), count("gone"), count("changed"));
    _ = writeln!(text, "with the other configuration: {new} new, {gone} gone, {changed} changed");
    text
}

pub(super) fn date(at: UnixMs) -> String {
    let stamp = jiff::Timestamp::from_millisecond(at.0).unwrap_or_default();
    stamp.strftime("%m-%d %H:%M:%S").to_string()
}

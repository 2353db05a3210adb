//! One self-contained page: a chart for each incident, in which the eye finds window, threshold, what is usual, and decisions.

use std::fmt::Write as _;

use super::{
    compare::Difference,
    fleet::Replayed,
    picture::{Picture, shown as span_of},
    story::{Fired, Incident, Story},
    table::{date, decision_words, totals},
};
use crate::{
    domain::{
        policy::{LooksAt, TriggerPolicy},
        trigger::{Gauge, Kind, Limit},
    },
    units::UnixMs,
};

/// Charts of one page; the worst incidents come first, and the rest is in the table.
const CHARTS_MAX: usize = 200;
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 160.0;

const STYLE: &str = "\
:root{color-scheme:light dark;--line:#2563eb;--limit:#dc2626;--usual:#6b7280;--window:#f59e0b33;--text:#111827;--dim:#6b7280;--back:#fff;--edge:#d1d5db}
@media(prefers-color-scheme:dark){:root{--line:#60a5fa;--limit:#f87171;--usual:#9ca3af;--window:#f59e0b2e;--text:#e5e7eb;--dim:#9ca3af;--back:#0b1220;--edge:#374151}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--text);background:var(--back);max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.4rem}h2{font-size:1.1rem;margin:2rem 0 .3rem}table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.25rem .6rem .25rem 0;border-bottom:1px solid var(--edge);vertical-align:top}
.dim{color:var(--dim)}svg{width:100%;height:auto;display:block;margin:.4rem 0}svg text{font:11px system-ui,sans-serif;fill:var(--dim)}pre{white-space:pre-wrap}ul{margin:.3rem 0 0;padding-left:1.2rem}";

/// The page.
pub fn page(replayed: &Replayed, differences: Option<&[Difference]>) -> String {
    let mut body = String::new();
    let totals = escaped(&totals(&replayed.stories));
    _ = write!(body, "<h1>What rollbackd would have done</h1><pre>{totals}</pre>");
    if let Some(differences) = differences {
        compared(&mut body, differences);
    }
    let mut all: Vec<(&Story, &Incident, &Picture)> = vec![];
    for (story, pictures) in replayed.stories.iter().zip(&replayed.pictures) {
        all.extend(story.incidents.iter().zip(pictures).map(|(i, picture)| (story, i, picture)));
    }
    all.sort_by_key(|(_, incident, _)| (incident.worst(), incident.opened));
    for (story, incident, picture) in all.iter().take(CHARTS_MAX) {
        shown(&mut body, story, incident, picture);
    }
    if all.len() > CHARTS_MAX {
        let rest = all.len() - CHARTS_MAX;
        _ = write!(body, "<p class=dim>{rest} milder incidents are not drawn; --json has all.</p>");
    }
    if all.is_empty() {
        body.push_str("<p>Nothing would have happened.</p>");
    }
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>rollbackd replay</title><style>{STYLE}</style>{body}</html>\n"
    )
}

fn compared(body: &mut String, differences: &[Difference]) {
    body.push_str(
        "<h2>With the other configuration</h2><table><tr><th>when<th>service<th>trigger<th>what",
    );
    for difference in differences {
        _ = write!(
            body,
            "<tr><td>{}<td>{}<td>{}<td>{}: {}",
            date(difference.at),
            escaped(&difference.service.to_string()),
            escaped(&difference.trigger),
            difference.kind,
            escaped(&difference.what.join("; ")),
        );
    }
    body.push_str("</table>");
}

fn shown(body: &mut String, story: &Story, incident: &Incident, picture: &Picture) {
    let worst = incident.worst().map_or_else(String::new, |worst| worst.to_string());
    let service = escaped(&story.service.to_string());
    let trigger = escaped(&incident.trigger);
    _ = write!(body, "<h2>{worst} {service}: {trigger}</h2>");
    _ = write!(body, "<div class=dim>{}</div>", date(incident.opened));
    let fired =
        story.fired.iter().find(|f| f.trigger == incident.trigger && f.at == incident.opened);
    if let Some((trigger, values)) = &picture.chart {
        chart(body, (story, incident, fired), values, trigger);
    }
    body.push_str("<ul>");
    if let Some(fired) = fired {
        _ = write!(body, "<li>{} {}", fired.at.clock(), escaped(&fired.says));
    }
    for decided in &incident.decisions {
        let words = decision_words(decided);
        _ = write!(body, "<li>{} {}", decided.at.clock(), escaped(&words));
    }
    match &incident.closed {
        Some((at, how)) => _ = write!(body, "<li>{} closed: {}", at.clock(), escaped(how)),
        None => body.push_str("<li>still open where the recording ends"),
    }
    body.push_str("</ul>");
}

fn chart(
    body: &mut String,
    (story, incident, fired): (&Story, &Incident, Option<&Fired>),
    values: &[Option<f64>],
    trigger: &TriggerPolicy,
) {
    let (from, until) = span_of(story, incident);
    let long = until.since(from).ms().max(1) as f64;
    let threshold = fired.and_then(|fired| fired.threshold);
    let top = values.iter().flatten().copied().chain(threshold).fold(0.0, f64::max).max(1e-9) * 1.1;
    let x = |at: UnixMs| (at.since(from).ms() as f64 / long * WIDTH).clamp(0.0, WIDTH);
    let y = |value: f64| HEIGHT - (value / top * HEIGHT).clamp(0.0, HEIGHT);
    _ = write!(body, "<svg viewBox=\"0 -14 {WIDTH} {}\" role=img>", HEIGHT + 30.0);
    let (onset, opened) = (x(incident.onset), x(incident.opened));
    _ = write!(
        body,
        "<rect x=\"{onset:.1}\" y=\"0\" width=\"{:.1}\" height=\"{HEIGHT}\" fill=\"var(--window)\"><title>the window that fired</title></rect>",
        (opened - onset).max(1.0),
    );
    let levels = [
        (threshold, "var(--limit)", "limit"),
        (threshold.and_then(|t| usual(trigger, t)), "var(--usual)", "usual"),
    ];
    for (level, colour, name) in levels {
        let Some(level) = level else { continue };
        let at = y(level);
        _ = write!(
            body,
            "<line x1=\"0\" x2=\"{WIDTH}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"{colour}\" stroke-dasharray=\"4 3\"/>\
             <text x=\"2\" y=\"{:.1}\">{name} {}</text>",
            at - 3.0,
            escaped(&number(level, trigger.looks_at)),
        );
    }
    _ = write!(
        body,
        "<path d=\"{}\" fill=\"none\" stroke=\"var(--line)\" stroke-width=\"1.5\"/>",
        path(values, &y)
    );
    for decided in &incident.decisions {
        let at = x(decided.at);
        let word = if decided.rollback.is_some() { "roll back" } else { "decided" };
        _ = write!(
            body,
            "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"0\" y2=\"{HEIGHT}\" stroke=\"var(--usual)\"/><text x=\"{at:.1}\" y=\"-3\">{word}</text>",
        );
    }
    _ = write!(
        body,
        "<text x=\"0\" y=\"{0}\">{1}</text><text x=\"{WIDTH}\" y=\"{0}\" text-anchor=\"end\">{2}</text></svg>",
        HEIGHT + 13.0,
        date(from),
        date(until),
    );
}

/// What is usual, where the limit is a multiple or a share of it.
fn usual(trigger: &TriggerPolicy, threshold: f64) -> Option<f64> {
    match &trigger.rule.kind {
        Kind::Gauge(Gauge { above: Limit::Baseline(times), .. }) => Some(threshold / times.0),
        Kind::Traffic(traffic) => Some(threshold / traffic.below.0),
        Kind::Gauge(_)
        | Kind::Ratio(_)
        | Kind::Comparison(_)
        | Kind::Boolean
        | Kind::Event { .. } => None,
    }
}

/// Where nothing was known the line is broken.
fn path(values: &[Option<f64>], y: &dyn Fn(f64) -> f64) -> String {
    let step = WIDTH / values.len().max(1) as f64;
    let mut text = String::new();
    let mut broken = true;
    for (index, value) in values.iter().enumerate() {
        let Some(value) = value else {
            broken = true;
            continue;
        };
        let word = if std::mem::take(&mut broken) { 'M' } else { 'L' };
        _ = write!(text, "{word}{:.1} {:.1}", (index as f64 + 0.5) * step, y(*value));
    }
    text
}

fn number(value: f64, looks_at: LooksAt) -> String {
    match looks_at {
        LooksAt::ErrorRate | LooksAt::NewAgainstOld | LooksAt::SlowShare(_) => {
            format!("{:.1} %", value * 100.0)
        }
        LooksAt::LatencyP95 => format!("{value:.2} s"),
        LooksAt::Traffic => format!("{value:.0} a minute"),
        LooksAt::Health | LooksAt::Availability | LooksAt::Event => format!("{value}"),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

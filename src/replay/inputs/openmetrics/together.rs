//! The scrapes of one service's targets, put together to the polls that they were made of.

use std::collections::{BTreeMap, BTreeSet};

use super::times;
use crate::{
    replay::inputs::steady::GAP_MAX,
    sources::exposition::Format,
    units::{Span, UnixMs},
};

/// The step is rounded to this, for scrapes come a little sooner or later than they should.
const ROUNDED_TO: Span = Span(100);
/// By no more than this share of it.
const ROUNDED_BY_MAX: f64 = 0.005;
/// The share of scrapes that have no series of the one before from which they cannot be one target's.
const STRANGE_MAX: f64 = 0.01;

/// A line, and whether its value is NaN.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'t> {
    /// As it stands there.
    pub text: &'t str,
    /// The value is NaN.
    pub is_nan: bool,
}

/// The lines of each scrape of one target.
#[derive(Debug, Default)]
pub(super) struct Target<'t> {
    /// By when they were scraped.
    pub scrapes: BTreeMap<UnixMs, Vec<Line<'t>>>,
    /// Whether any signal is read from them. A target that only says when it was started is not one of the service.
    pub is_read: bool,
}

/// The targets by their name.
pub(super) type Targets<'t> = BTreeMap<String, Target<'t>>;

/// One scrape of each target, with its time.
pub(super) type Bodies<'s> = BTreeMap<&'s str, (UnixMs, String)>;

/// What was polled.
#[derive(Debug, Default)]
pub(super) struct Polled<'s> {
    /// The step between polls, where there is more than one.
    pub step: Option<Span>,
    /// What the targets answered at each.
    pub polls: Vec<(UnixMs, Bodies<'s>)>,
    /// Lines that were there again.
    pub again: usize,
    /// Scrapes that another one of the same target and poll took the place of.
    pub other_steps: usize,
}

/// The scrapes of all targets that belong together, at the step that most of them keep. Which one it is of its target is counted
/// from that target's first.
pub(super) fn together<'s>(targets: &'s Targets<'_>, format: Format) -> Polled<'s> {
    let step = step(targets);
    let mut polled = Polled { step, ..Polled::default() };
    let width = step.unwrap_or(Span::minutes(1));
    let begins = targets.values().filter_map(|one| one.scrapes.keys().next().copied()).min();
    let Some(begins) = begins else { return polled };
    let nearest =
        |at: UnixMs, from: UnixMs| (at.since(from).ms() as f64 / width.ms() as f64).round() as i64;
    let mut ticks: BTreeMap<i64, (UnixMs, Bodies<'s>)> = BTreeMap::new();
    for (target, Target { scrapes, .. }) in targets {
        let first = scrapes.keys().next().copied().unwrap_or(begins);
        let mut nan = BTreeSet::new();
        for (at, lines) in scrapes {
            let number = nearest(first, begins) + nearest(*at, first);
            let tick = ticks.entry(number).or_insert_with(|| (*at, Bodies::new()));
            let lines = without_gone(lines, &mut nan);
            if lines.is_empty() {
                continue;
            }
            tick.0 = tick.0.max(*at);
            let body = body(lines, format, &mut polled.again);
            let before = tick.1.insert(target, (*at, body));
            polled.other_steps += usize::from(before.is_some());
        }
    }
    let mut before = None;
    for (number, (at, bodies)) in ticks {
        let missed = before.map_or(0, |before: i64| (number - before - 1).min(GAP_MAX));
        if let Some(last) = polled.polls.last().map(|(at, _)| *at) {
            let made_up = (1..=missed).map(|n| (last + width * n, BTreeMap::new()));
            polled.polls.extend(made_up.filter(|(t, _)| *t < at));
        }
        polled.polls.push((at, bodies));
        before = Some(number);
    }
    polled
}

/// The step in the middle of all: one that is there as often as not, whatever is missing between.
fn step(targets: &Targets<'_>) -> Option<Span> {
    let times = |one: &Target<'_>| one.scrapes.keys().copied().collect::<Vec<_>>();
    let steps = targets.values().map(times).flat_map(|times| {
        times.windows(2).map(|pair| pair[1].since(pair[0]).ms()).collect::<Vec<_>>()
    });
    let mut steps: Vec<i64> = steps.collect();
    steps.sort_unstable();
    let middle = *steps.get(steps.len().saturating_sub(1) / 2)?;
    let unit = ROUNDED_TO.ms() as f64;
    let rounded = (middle as f64 / unit).round() * unit;
    let is_near = (rounded - middle as f64).abs() <= middle as f64 * ROUNDED_BY_MAX;
    Some(Span(if is_near { rounded as i64 } else { middle }))
}

/// A series that is gone has NaN once, where a Prometheus marks that: it is as if it were not there. One that has NaN after
/// NaN says so itself.
fn without_gone<'t>(lines: &[Line<'t>], nan: &mut BTreeSet<&'t str>) -> Vec<&'t str> {
    let (mut there, mut gone) = (vec![], vec![]);
    for line in lines {
        // Nearly always there is none, and nothing to look up.
        let series = || times::parts(line.text).0;
        if line.is_nan && !nan.contains(series()) {
            gone.push(series());
            continue;
        }
        if !line.is_nan && !nan.is_empty() {
            nan.remove(series());
        }
        there.push(line.text);
    }
    nan.extend(gone);
    there
}

/// What a target answered. What stands there twice was written twice.
fn body(lines: Vec<&str>, format: Format, again: &mut usize) -> String {
    let mut lines: Vec<&str> = lines.into_iter().map(str::trim_end).collect();
    let count = lines.len();
    lines.sort_unstable();
    lines.dedup();
    *again += count - lines.len();
    let end = if format == Format::OpenMetrics { "\n# EOF\n" } else { "\n" };
    lines.join("\n") + end
}

/// Whether lines that name no target are of several: one target exposes all its series at once, several take turns.
pub(super) fn are_several(target: &Target<'_>) -> bool {
    let mut strange = 0_usize;
    let mut before: Option<BTreeSet<&str>> = None;
    for lines in target.scrapes.values() {
        let now: BTreeSet<&str> = lines.iter().map(|line| times::parts(line.text).0).collect();
        strange += usize::from(before.is_some_and(|before| before.is_disjoint(&now)));
        before = Some(now);
    }
    strange as f64 > target.scrapes.len() as f64 * STRANGE_MAX
}

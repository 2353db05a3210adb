//! What is read of the logs of a Deployment's pods.

use toml::Spanned;

use crate::{
    config::{check::found::Found, raw},
    domain::policy::SignalKind,
    sources::kubernetes::{Lines, Logs},
    units::Span,
};

/// More are a list that nobody reads.
const PATTERNS_MAX: usize = 50;
/// So many lines, and two hundred bytes for each.
const LINES: u32 = 5_000;
const BYTES_MAX: u32 = 1 << 20;

/// Which lines are read, and what must not stand in them.
pub(super) fn lines(
    found: &mut Found<'_>,
    pods: &Spanned<raw::Pods>,
    rolled_back: Option<&Spanned<String>>,
) -> Option<Lines> {
    let raw = pods.get_ref();
    let Some(patterns) = &raw.patterns else {
        let what = "nobody knows which lines say that something is wrong";
        found.error(pods.span(), what, "add patterns = [\"panic\", \"^FATAL\"]");
        return None;
    };
    let count = patterns.get_ref().len();
    if count == 0 || count > PATTERNS_MAX {
        let what = format!("{count} patterns");
        found.error(patterns.span(), what, format!("write 1 to {PATTERNS_MAX}"));
    }
    if let Err(why) = Logs::of(patterns.get_ref()) {
        let instead = "write a regular expression, or a plain word; put \\\\ before ( [ . * + ?";
        found.error(patterns.span(), why, instead);
        return None;
    }
    let container = raw.container.as_ref().or(rolled_back);
    Some(Lines {
        patterns: patterns.get_ref().clone(),
        lines: found.at_least_one(&raw.lines, LINES),
        within: found.positive(&raw.within, Span::minutes(1)),
        bytes_max: found.at_least_one(&raw.bytes_max, BYTES_MAX),
        pods_max: usize::try_from(found.at_least_one(&raw.pods_max, 5)).unwrap_or(usize::MAX),
        container: container.map(|container| container.get_ref().clone()),
    })
}

/// Lines that are older than `within` at the next poll are read by nobody.
pub(super) fn reaches(found: &mut Found<'_>, raw: &raw::Signal, lines: &Lines, every: Span) {
    if lines.within >= every {
        return;
    }
    let within = raw.kubernetes.as_ref().and_then(|pods| pods.get_ref().within.as_ref());
    let at = within.map(Spanned::span).or(raw.every.as_ref().map(Spanned::span));
    let what = format!(
        "of every {every} only the last {} are read: what is older is seen by nobody",
        lines.within
    );
    found.error(at.unwrap_or(0..0), what, format!("write within = \"{every}\" or more"));
}

/// How a Deployment stands, and what its pods use, is not read of their logs.
pub(super) fn none_of_it(found: &mut Found<'_>, raw: &raw::Pods, kind: SignalKind) {
    let is_of_pods = matches!(kind, SignalKind::Cpu | SignalKind::Memory);
    let pods_max = raw.pods_max.as_ref().filter(|_| !is_of_pods);
    let said = [
        raw.patterns.as_ref().map(Spanned::span),
        raw.lines.as_ref().map(Spanned::span),
        raw.within.as_ref().map(Spanned::span),
        raw.bytes_max.as_ref().map(Spanned::span),
        pods_max.map(Spanned::span),
        raw.container.as_ref().map(Spanned::span),
    ];
    for at in said.into_iter().flatten() {
        let what = "this is not read of logs";
        found.error(at, what, "leave it out, or call the signal `logs`");
    }
}

//! Triggers that can never hold, and keys that mean nothing to them.

use std::ops::Range;

use crate::{
    config::check::{found::Found, kinds, signal::Signal, trigger::Said},
    domain::{
        policy::{LooksAt, TriggerPolicy},
        trigger::{Kind, Limit, Ratio, Rule},
    },
    units::{Percent, Span},
};

/// What makes a trigger unable to fire.
pub(super) fn check(
    found: &mut Found<'_>,
    name: &str,
    policy: &TriggerPolicy,
    said: &Said,
    signals: &[Signal],
) {
    let rule = &policy.rule;
    let hold = &rule.hold;
    let raw = &said.raw;
    if matches!(rule.kind, Kind::Event { .. }) {
        return;
    }
    if matches!(rule.kind, Kind::Comparison(_)) {
        if let (false, Some(at)) = (signals.iter().any(|signal| signal.revisions), &said.at) {
            let what = format!("`{name}` compares revisions, and no signal tells them apart");
            let instead =
                "add version_label to a signal with `bad` and `total`, or version to the scrape";
            found.warn(at.clone(), what, instead);
        }
        return;
    }
    if let Some(holds_for) = &raw.holds_for
        && hold.lasts <= Span::ZERO
    {
        let instead = "write how long it must last, like \"5m\"";
        found.error(holds_for.span(), "one sample alone would fire it", instead);
        return;
    }
    if hold.grace >= hold.lasts
        && let Some(grace) = &raw.grace
    {
        let what =
            format!("`{name}` holds for {}: it would never end a shorter breach", hold.lasts);
        let instead = format!("write less, \"{}\" is usual", Span(hold.lasts.ms() / 5));
        found.error(grace.span(), what, instead);
    }
    if let Kind::Ratio(ratio) = &rule.kind {
        check_ratio(found, ratio, said);
    }
    if let (Kind::Traffic(traffic), Some(below)) = (&rule.kind, &raw.below)
        && traffic.below <= Percent(0.0)
    {
        let what = "there cannot be fewer requests than none: this can never hold";
        found.error(below.span(), what, "write it like \"10%\" of what is normal");
    }
    if let (Kind::Gauge(gauge), Some(above)) = (&rule.kind, &raw.above)
        && gauge.above == Limit::Absolute(0.0)
    {
        found.error(above.span(), "everything takes longer than this", "write it like \"2s\"");
    }
    let kind = kinds::signal_of(policy.looks_at);
    for signal in signals.iter().filter(|signal| Some(signal.policy.kind) == kind) {
        check_polls(found, name, rule, said, signal);
    }
}

/// The samples that a hold needs must fit into it.
fn check_polls(found: &mut Found<'_>, name: &str, rule: &Rule, said: &Said, signal: &Signal) {
    let every = signal.policy.poll_every;
    let hold = &rule.hold;
    let polls = i64::from(hold.samples.max(2));
    let holds_for = said.raw.holds_for.as_ref().map(toml::Spanned::span);
    let at = |placed: Option<Range<usize>>| placed.unwrap_or_else(|| signal.at.clone());
    if hold.lasts < every * 2 {
        let what = format!(
            "`{name}` must hold for {}, and `{}` is read every {every}: this can never hold",
            hold.lasts, signal.name
        );
        let instead = format!(
            "let it hold for \"{}\" at least, or poll every \"{}\" at most",
            every * polls,
            shortened(Span(hold.lasts.ms() / polls))
        );
        found.error(at(holds_for), what, instead);
    } else if hold.silence < every * 2 {
        let what = format!(
            "`{name}` forgets a breach after {} of silence, and `{}` is read every {every}",
            hold.silence, signal.name
        );
        let silence = said.raw.silence.as_ref().map(toml::Spanned::span);
        found.error(at(silence), what, format!("write silence = \"{}\" at least", every * 3));
    }
}

/// For people: seconds where they are whole ones.
fn shortened(span: Span) -> Span {
    if span.ms() >= 1000 { Span(span.ms() / 1000 * 1000) } else { span }
}

fn check_ratio(found: &mut Found<'_>, ratio: &Ratio, said: &Said) {
    let raw = &said.raw;
    if let Some(buckets) = &raw.buckets {
        let ascending = ratio.buckets.windows(2).all(|pair| pair[0] < pair[1]);
        let many = buckets.get_ref().len() == ratio.buckets.len();
        if !ascending || !many || ratio.buckets[0] <= Span::ZERO {
            let what =
                format!("there are {} buckets, each wider than the last", ratio.buckets.len());
            let instead = "write [\"1m\", \"2m\", \"3m\", \"4m\", \"5m\"], or leave it out";
            found.error(buckets.span(), what, instead);
        }
    }
    if let Some(z) = &raw.confidence
        && !(z.get_ref().is_finite() && *z.get_ref() >= 0.0)
    {
        found.error(z.span(), "this is no z of a confidence bound", "write 2.33 for 99%");
    }
    if let (Some(escalation), Some(above)) = (&ratio.escalation, &raw.escalation.above)
        && escalation.above.0 >= 1.0
    {
        let what = "no lower bound ever reaches all requests: this can never hold";
        found.error(above.span(), what, "write less, like \"90%\"");
    }
    if let (Some(recurrent), Some(breached)) = (&ratio.recurrent, &raw.recurrent.breached)
        && recurrent.breached > recurrent.horizon
    {
        let what = format!("there are no {} within {}", recurrent.breached, recurrent.horizon);
        found.error(breached.span(), what, "let `breached` be shorter than `horizon`");
    }
}

/// Keys that mean nothing to this kind of trigger.
pub(super) fn check_keys(
    found: &mut Found<'_>,
    name: &str,
    rule: &Rule,
    looks_at: LooksAt,
    said: &Said,
) {
    let raw = &said.raw;
    let span = |placed: Option<Range<usize>>| placed.or(said.at.clone());
    let ratio = matches!(rule.kind, Kind::Ratio(_));
    let gauge = matches!(rule.kind, Kind::Gauge(_));
    let traffic = matches!(rule.kind, Kind::Traffic(_));
    let event = matches!(rule.kind, Kind::Event { .. });
    let compares = matches!(rule.kind, Kind::Comparison(_));
    let slow = matches!(looks_at, LooksAt::SlowShare(_)) || gauge;
    // What is said for services with a histogram is not wrong where one has none.
    let either = name == "performance-degradation";
    let above = raw.above.as_ref().map(toml::Spanned::span);
    let below = raw.below.as_ref().map(toml::Spanned::span);
    let slower_than = raw.slower_than.as_ref().map(toml::Spanned::span);
    let buckets = raw.buckets.as_ref().map(toml::Spanned::span);
    let confidence = raw.confidence.as_ref().map(toml::Spanned::span);
    let margin = raw.margin.as_ref().map(toml::Spanned::span);
    let alpha = raw.alpha.as_ref().map(toml::Spanned::span);
    let holds_for = raw.holds_for.as_ref().map(toml::Spanned::span);
    let keys = [
        ("above", raw.above.is_some(), ratio || gauge || compares, above),
        ("below", raw.below.is_some(), traffic, below),
        ("slower_than", raw.slower_than.is_some(), slow, slower_than),
        ("holds_for", raw.holds_for.is_some(), !event && !compares, holds_for),
        ("buckets", raw.buckets.is_some(), ratio || either, buckets),
        ("confidence", raw.confidence.is_some(), ratio || either, confidence),
        ("errors", raw.errors.is_some(), ratio || either, None),
        ("span_share", raw.span_share.is_some(), ratio || either, None),
        ("requests", raw.requests.is_some(), ratio || gauge, None),
        ("least_per_minute", raw.least_per_minute.is_some(), traffic, None),
        ("latched", raw.latched.is_some(), event, None),
        ("margin", raw.margin.is_some(), compares, margin),
        ("alpha", raw.alpha.is_some(), compares, alpha),
        ("ignore_first", raw.ignore_first.is_some(), compares, None),
    ];
    for (key, said, means_something, at) in keys {
        if let (true, false, Some(at)) = (said, means_something, span(at)) {
            let what = format!("`{key}` means nothing to `{name}`");
            found.error(at, what, "leave it out, or say it of another trigger");
        }
    }
}

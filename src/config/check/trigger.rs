//! The triggers of a service: the runbook's and its own, with what was said for all and for it.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use toml::Spanned;

use crate::{
    config::{
        check::{
            found::Found,
            holds,
            kinds::{self, Base},
            signal::Signal,
        },
        nearest::nearest,
        raw::{self, Above, Over},
    },
    domain::{
        policy::{LooksAt, SignalKind, TriggerPolicy},
        trigger::{Comparison, Hold, Kind, Limit, Ratio, Rule},
    },
    units::{Multiple, Percent, Span},
};

/// Between these a chance of false alarms makes sense: beyond them it proves nothing, or is not reached in an hour.
const ALPHA_LEAST: f64 = 1e-9;
const ALPHA_MOST: f64 = 0.05;

/// Names that mean nothing, in what is said for all.
pub(super) fn check_names(found: &mut Found<'_>, all: &raw::Table<raw::Trigger>) {
    let runbook = kinds::runbook(true);
    for (name, raw) in all {
        check_name(found, name, raw, &runbook, None);
    }
}

fn check_name(
    found: &mut Found<'_>,
    name: &Spanned<String>,
    raw: &raw::Trigger,
    runbook: &[Base],
    all: Option<&raw::Table<raw::Trigger>>,
) {
    let known = runbook.iter().find(|base| base.name == *name.get_ref());
    let word = |base: &Base| kinds::word(base.looks_at);
    match (known, &raw.looks_at) {
        (Some(base), Some(looks)) if word(base) != *looks.get_ref() => {
            let what = format!("`{name}` is the runbook's, and looks at something else");
            found.error(looks.span(), what, "leave this out, or choose another name");
        }
        (Some(_), _) | (None, Some(_)) => {}
        (None, None) if all.is_some_and(|all| all.contains_key(name.get_ref().as_str())) => {}
        (None, None) if found.was_cut(&["trigger", name.get_ref()]) => {}
        (None, None) => {
            let names = runbook.iter().map(|base| base.name.as_str());
            let instead = match nearest(name.get_ref(), names) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "for a trigger of your own add looks_at = \"error_rate\", \"slow_share\", \
                         \"latency\", \"traffic\", \"health\", \"new_against_old\" or \"event\""
                    .to_owned(),
            };
            found.error(name.span(), format!("there is no trigger `{name}`"), instead);
        }
    }
}

/// What was said about a trigger, and where to complain.
pub(super) struct Said {
    pub(super) raw: raw::Trigger,
    pub(super) at: Option<Range<usize>>,
}

/// The triggers of a service.
pub(super) fn triggers(
    found: &mut Found<'_>,
    all: &raw::Table<raw::Trigger>,
    own: &raw::Table<raw::Trigger>,
    signals: &[Signal],
) -> BTreeMap<String, TriggerPolicy> {
    let has = |kind: SignalKind| signals.iter().any(|signal| signal.policy.kind == kind);
    let mut bases = kinds::runbook(signals.iter().any(|signal| signal.histogram));
    for (name, raw) in own {
        check_name(found, name, raw, &bases, Some(all));
    }
    for (name, raw) in all.iter().chain(own) {
        if let Some(looks) = &raw.looks_at
            && !bases.iter().any(|base| base.name == *name.get_ref())
        {
            bases.push(kinds::own(name.get_ref(), *looks.get_ref()));
        }
    }
    let mut triggers = BTreeMap::new();
    for base in bases {
        let said = said(&base.name, all, own);
        if !said.raw.enabled.unwrap_or(base.enabled) {
            continue;
        }
        if kinds::signal_of(base.looks_at).is_some_and(|kind| !has(kind)) {
            if let Some((name, _)) = own.get_key_value(base.name.as_str()) {
                let what = format!("the service has no signal that `{name}` could look at");
                found.warn(name.span(), what, "add the signal, or leave the trigger out");
            }
            continue;
        }
        let name = base.name.clone();
        let policy = trigger(found, base, &said);
        holds::check(found, &name, &policy, &said, signals);
        triggers.insert(name, policy);
    }
    one_slow(found, &triggers, |name| said(name, all, own).raw);
    triggers
}

/// What is slow is counted once for a service, above one bound.
fn one_slow(
    found: &mut Found<'_>,
    triggers: &BTreeMap<String, TriggerPolicy>,
    said: impl Fn(&str) -> raw::Trigger,
) {
    let slow = |(name, trigger): (&String, &TriggerPolicy)| {
        let LooksAt::SlowShare(times) = trigger.looks_at else { return None };
        Some((name.clone(), times))
    };
    let all: Vec<(String, Multiple)> = triggers.iter().filter_map(slow).collect();
    let Some((first, times)) = all.first() else { return };
    for (name, other) in all.iter().filter(|(_, other)| other != times) {
        let places = [name, first].map(|name| said(name).slower_than.map(|at| at.span()));
        let what = format!(
            "for one service `{first}` takes {times} the baseline for slow, and `{name}` {other}"
        );
        let instead =
            "give both the same slower_than, and tell them apart by `above` and `holds_for`";
        found.error(places.into_iter().flatten().next().unwrap_or_default(), what, instead);
    }
}

fn said(name: &str, all: &raw::Table<raw::Trigger>, own: &raw::Table<raw::Trigger>) -> Said {
    let at = own.get_key_value(name).or_else(|| all.get_key_value(name));
    let at = at.map(|(name, _)| name.span());
    let raw = match (own.get(name), all.get(name)) {
        (Some(own), Some(all)) => own.over(all),
        (Some(one), None) | (None, Some(one)) => one.clone(),
        (None, None) => raw::Trigger::default(),
    };
    Said { raw, at }
}

fn trigger(found: &mut Found<'_>, base: Base, said: &Said) -> TriggerPolicy {
    let Base { name, mut looks_at, mut rule, may_act, .. } = base;
    let raw = &said.raw;
    if let Some(severity) = &raw.severity {
        rule.severity = severity.0;
    }
    hold(&mut rule, raw);
    let lasts = rule.hold.lasts;
    match &mut rule.kind {
        Kind::Ratio(ratio) => {
            ratio.above = share_above(found, raw).unwrap_or(ratio.above);
            of_ratio(ratio, raw, lasts);
        }
        Kind::Gauge(gauge) => {
            if let Some(limit) = limit(found, &name, raw) {
                gauge.above = limit;
            }
            gauge.requests = raw.requests.unwrap_or(gauge.requests);
        }
        Kind::Traffic(traffic) => {
            traffic.below = raw.below.as_ref().map_or(traffic.below, |below| *below.get_ref());
            traffic.least_per_minute = raw.least_per_minute.unwrap_or(traffic.least_per_minute);
        }
        Kind::Event { latched } => *latched = raw.latched.unwrap_or(*latched),
        Kind::Comparison(comparison) => of_comparison(found, comparison, raw),
        Kind::Boolean => {}
    }
    if let (LooksAt::SlowShare(times), Some(slower)) = (&mut looks_at, &raw.slower_than) {
        *times = *slower.get_ref();
    }
    holds::check_keys(found, &name, &rule, looks_at, said);
    TriggerPolicy { looks_at, rule: Arc::new(rule), may_act: raw.may_act.unwrap_or(may_act) }
}

/// A shorter hold has a finer tolerance, so that one key shortens all of it.
fn hold(rule: &mut Rule, raw: &raw::Trigger) {
    let hold = &mut rule.hold;
    if let Some(lasts) = &raw.holds_for {
        let lasts = *lasts.get_ref();
        let follows = hold.recovery == hold.lasts;
        hold.recovery = if follows { lasts } else { hold.recovery.min(lasts) };
        hold.grace = hold.grace.min(part(lasts, 5));
        hold.lasts = lasts;
    }
    *hold = Hold {
        lasts: hold.lasts,
        share: raw.share.unwrap_or(hold.share),
        grace: raw.grace.as_ref().map_or(hold.grace, |grace| *grace.get_ref()),
        samples: raw.samples.as_ref().map_or(hold.samples, |samples| *samples.get_ref()),
        silence: raw.silence.as_ref().map_or(hold.silence, |silence| *silence.get_ref()),
        recovery: raw.recovers_after.unwrap_or(hold.recovery),
    };
}

fn part(span: Span, parts: i64) -> Span {
    Span(span.ms() / parts)
}

fn share_above(found: &mut Found<'_>, raw: &raw::Trigger) -> Option<Percent> {
    let above = raw.above.as_ref()?;
    match above.get_ref().0 {
        Above::Share(Percent(share)) if share >= 1.0 => {
            let what = "more than all requests cannot fail: this can never hold";
            found.error(above.span(), what, "write less, like \"95%\"");
            None
        }
        Above::Share(share) => Some(share),
        Above::Times(_) | Above::Time(_) => {
            let what = "requests are compared as a share of all";
            found.error(above.span(), what, "write it like \"5%\"");
            None
        }
    }
}

fn of_ratio(ratio: &mut Ratio, raw: &raw::Trigger, lasts: Span) {
    let usual_bucket = ratio.buckets[0].min(part(lasts, 5));
    for (times, bucket) in (1..).zip(&mut ratio.buckets) {
        *bucket = usual_bucket * times;
    }
    if let Some(buckets) = &raw.buckets {
        for (bucket, said) in ratio.buckets.iter_mut().zip(buckets.get_ref()) {
            *bucket = *said;
        }
    }
    ratio.z = raw.confidence.as_ref().map_or(ratio.z, |z| *z.get_ref());
    ratio.errors = raw.errors.unwrap_or(ratio.errors);
    ratio.span_share = raw.span_share.unwrap_or(ratio.span_share);
    ratio.requests = raw.requests.unwrap_or(ratio.requests);
    let recurrent = &raw.recurrent;
    let asked = recurrent.enabled.or(recurrent.horizon.as_ref().map(|_| true));
    if asked.unwrap_or(ratio.recurrent.is_some()) {
        let mut usual = ratio.recurrent.unwrap_or_default();
        usual.horizon = usual.horizon.min(lasts * 6);
        usual.breached = usual.breached.min(lasts * 2);
        usual.within = usual.within.min(lasts);
        usual.horizon = recurrent.horizon.as_ref().map_or(usual.horizon, |span| *span.get_ref());
        usual.breached = recurrent.breached.as_ref().map_or(usual.breached, |span| *span.get_ref());
        usual.episodes = recurrent.episodes.unwrap_or(usual.episodes);
        usual.within = recurrent.within.unwrap_or(usual.within);
        ratio.recurrent = Some(usual);
    } else {
        ratio.recurrent = None;
    }
    let escalation = &raw.escalation;
    let asked = escalation.enabled.or(escalation.above.as_ref().map(|_| true));
    if asked.unwrap_or(ratio.escalation.is_some()) {
        let mut usual = ratio.escalation.unwrap_or_default();
        usual.lasts = usual.lasts.min(part(lasts * 2, 5));
        usual.above = escalation.above.as_ref().map_or(usual.above, |above| *above.get_ref());
        usual.lasts = escalation.holds_for.as_ref().map_or(usual.lasts, |span| *span.get_ref());
        usual.severity = escalation.severity.as_ref().map_or(usual.severity, |s| s.0);
        ratio.escalation = Some(usual);
    } else {
        ratio.escalation = None;
    }
}

fn of_comparison(found: &mut Found<'_>, comparison: &mut Comparison, raw: &raw::Trigger) {
    comparison.above = share_above(found, raw).unwrap_or(comparison.above);
    if let Some(margin) = &raw.margin {
        comparison.margin = *margin.get_ref();
        if comparison.margin < Multiple(1.0) {
            let what = "a revision would be worse than another that fails more often";
            found.error(margin.span(), what, "write \"1x\" at least, \"2x\" is usual");
        }
    }
    if let Some(alpha) = &raw.alpha {
        comparison.alpha = *alpha.get_ref();
        // Also what is no number.
        if !(comparison.alpha >= ALPHA_LEAST && comparison.alpha <= ALPHA_MOST) {
            let what = "this is no chance of a false alarm that can be lived with, or be reached";
            let instead = format!("write {ALPHA_LEAST} to {ALPHA_MOST}, 0.001 is one in 1,000");
            found.error(alpha.span(), what, instead);
        }
    }
    comparison.ignore_first = raw.ignore_first.unwrap_or(comparison.ignore_first);
}

fn limit(found: &mut Found<'_>, name: &str, raw: &raw::Trigger) -> Option<Limit> {
    if let Some(slower) = &raw.slower_than {
        return Some(Limit::Baseline(*slower.get_ref()));
    }
    let above = raw.above.as_ref()?;
    match above.get_ref().0 {
        Above::Times(times) => Some(Limit::Baseline(times)),
        Above::Time(time) => Some(Limit::Absolute(time.as_seconds())),
        // The share of slow requests, said for services whose histogram tells it.
        Above::Share(_) if name == "performance-degradation" => None,
        Above::Share(_) => {
            let what = "a response time is compared with a time, or with what is normal";
            found.error(above.span(), what, "write it like \"2s\" or \"3x\"");
            None
        }
    }
}

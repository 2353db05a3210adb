//! Signals that are read from CloudWatch.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use toml::Spanned;

use super::wanted::{Wanted, wanted};
use crate::{
    config::{
        Read,
        check::{aws, found::Found, service::Common},
        raw,
    },
    domain::policy::SignalKind,
    sources::cloudwatch::{self, Metric, Options, Spec, Term, Wants},
    units::Span,
};

/// So many metrics an expression may stand on.
const NAMED_MAX: usize = 50;
/// As CloudWatch takes them.
const DIMENSIONS_MAX: usize = 30;
const PERIOD_MAX: Span = Span::hours(1);

/// What is asked, and of which account.
pub(super) fn measured(
    found: &mut Found<'_>,
    common: &Common<'_>,
    kind: SignalKind,
    signal: &raw::Signal,
    raw: &Spanned<raw::CloudWatch>,
) -> Option<Read> {
    let (at, raw) = (raw.span(), raw.get_ref());
    for pace in [&signal.every, &signal.every_watched].into_iter().flatten() {
        let what = "CloudWatch is asked once for each period, also while it matters";
        found.error(pace.span(), what, "take the line out; `period` says how long a period is");
    }
    let access = aws::named(found, common.raw, common.accounts, raw.from.as_ref(), at.clone());
    let period = period(found, &raw.period);
    let lag = signal.lag.unwrap_or(Options::LAG);
    let named = named(found, raw);
    let mut used = BTreeSet::new();
    let mut read = |said: &raw::Placed<raw::Measured>, counts: bool| {
        let said = said.as_ref()?;
        Some(term(found, said, counts, &raw.metric, &mut used))
    };
    let said = [
        read(&raw.bad, true),
        read(&raw.total, true),
        None,
        read(&raw.value, false),
        read(&raw.requests, true),
    ];
    for (name, _) in raw.metric.iter().filter(|(name, _)| !used.contains(name.get_ref())) {
        let what = format!("no expression speaks of `{name}`, and it costs as much as the others");
        found.error(name.span(), what, "take it out, or name it in an expression");
    }
    let wants = match wanted(found, kind, at, said)? {
        Wanted::Ratio { bad, total } => Wants::Ratio { bad: bad?, total: total? },
        Wanted::Gauge { value, requests: Some(requests) } => {
            Wants::Gauge { value: value?, requests: Some(requests?) }
        }
        Wanted::Gauge { value, requests: None } => Wants::Gauge { value: value?, requests: None },
        Wanted::Histogram(_) => return None,
    };
    let options = Options { access: access?, period, lag };
    Some(Read::CloudWatch(Box::new(options), Box::new(Spec { named: named?, wants })))
}

/// CloudWatch keeps whole minutes, and shorter ones of what is published so.
fn period(found: &mut Found<'_>, said: &raw::Placed<Span>) -> Span {
    let period = found.positive(said, Options::PERIOD);
    let short = [10, 20, 30].map(Span::seconds).contains(&period);
    let whole = period.ms() % Span::minutes(1).ms() == 0 && period <= PERIOD_MAX;
    if let Some(at) = said.as_ref().filter(|_| !short && !whole) {
        let what = format!("CloudWatch has no periods of {period}");
        let instead = "write whole minutes, like \"1m\", at most \"1h\"; or \"10s\", \"20s\" or \"30s\" of metrics that are published so";
        found.error(at.span(), what, instead);
        return Options::PERIOD;
    }
    period
}

fn named(found: &mut Found<'_>, raw: &raw::CloudWatch) -> Option<BTreeMap<String, Metric>> {
    if let Some((name, _)) = raw.metric.iter().nth(NAMED_MAX) {
        let what = format!("{} metrics for one signal", raw.metric.len());
        found.error(name.span(), what, format!("write at most {NAMED_MAX}"));
    }
    let all: Vec<Option<(String, Metric)>> = raw
        .metric
        .iter()
        .map(|(name, said)| {
            let text = name.get_ref();
            let is_id = text.starts_with(|c: char| c.is_ascii_lowercase())
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            if !is_id {
                let what = format!("`{text}` cannot stand in an expression");
                let instead = "begin with a small letter, and use letters, digits and _";
                found.error(name.span(), what, instead);
            }
            let said = Said {
                namespace: Some(&said.namespace),
                metric: Some(&said.metric),
                dimensions: &said.dimensions,
                stat: said.stat.as_ref(),
            };
            Some((text.clone(), metric(found, &said, &name.span(), None)?))
        })
        .collect();
    all.into_iter().collect()
}

/// A metric, or an expression of which every name is known.
fn term(
    found: &mut Found<'_>,
    said: &Spanned<raw::Measured>,
    counts: bool,
    known: &raw::Table<raw::Metric>,
    used: &mut BTreeSet<String>,
) -> Option<Term> {
    let (at, raw) = (said.span(), said.get_ref());
    let Some(expression) = &raw.expression else {
        let said = Said {
            namespace: raw.namespace.as_ref(),
            metric: raw.metric.as_ref(),
            dimensions: &raw.dimensions,
            stat: raw.stat.as_ref(),
        };
        return metric(found, &said, &at, Some(counts)).map(Term::Metric);
    };
    let is_both = raw.namespace.is_some() || raw.metric.is_some() || raw.stat.is_some();
    if is_both || !raw.dimensions.is_empty() {
        let what = "this is an expression and a metric";
        let instead =
            "write { expression = \"...\" } alone, and the metric in a table metric.NAME beside it";
        found.error(at, what, instead);
        return None;
    }
    let text = expression.get_ref();
    if text.trim().is_empty() {
        let instead = "write metric maths, like \"100 * a / b\"";
        found.error(expression.span(), "this asks nothing", instead);
        return None;
    }
    let mut is_known = true;
    for (from, name) in cloudwatch::names(text) {
        used.insert(name.to_owned());
        if !known.contains_key(name) {
            let place = found.within(expression, from..from + name.len());
            let instead = format!(
                "add a table metric.{name} beside it, with namespace, metric and dimensions"
            );
            found.error(place, format!("there is no metric `{name}` here"), instead);
            is_known = false;
        }
    }
    is_known.then(|| Term::Expression(text.clone()))
}

struct Said<'r> {
    namespace: Option<&'r Spanned<String>>,
    metric: Option<&'r Spanned<String>>,
    dimensions: &'r BTreeMap<String, String>,
    stat: Option<&'r Spanned<String>>,
}

/// `counts`: whether it must count something; what an expression makes of it nobody knows.
fn metric(
    found: &mut Found<'_>,
    said: &Said<'_>,
    at: &Range<usize>,
    counts: Option<bool>,
) -> Option<Metric> {
    let (Some(namespace), Some(name)) = (said.namespace, said.metric) else {
        let instead = "write { namespace = \"AWS/ApplicationELB\", metric = \"RequestCount\", dimensions = { LoadBalancer = \"app/...\" } }";
        found.error(at.clone(), "a metric has a namespace and a name", instead);
        return None;
    };
    for text in [namespace, name].into_iter().filter(|text| text.get_ref().trim().is_empty()) {
        found.error(text.span(), "this names nothing", "write it as CloudWatch shows it");
    }
    if said.dimensions.len() > DIMENSIONS_MAX {
        let what = format!("{} dimensions", said.dimensions.len());
        found.error(at.clone(), what, format!("CloudWatch knows at most {DIMENSIONS_MAX}"));
    }
    let stat = stat(found, said.stat, at, counts)?;
    Some(Metric {
        namespace: namespace.get_ref().clone(),
        name: name.get_ref().clone(),
        dimensions: said.dimensions.clone(),
        stat,
    })
}

fn stat(
    found: &mut Found<'_>,
    said: Option<&Spanned<String>>,
    at: &Range<usize>,
    counts: Option<bool>,
) -> Option<String> {
    let Some(said) = said else {
        if counts != Some(false) {
            return Some("Sum".to_owned());
        }
        let instead = "add stat = \"p95\", \"Average\" or another";
        found.error(at.clone(), "nobody knows which statistic is meant", instead);
        return None;
    };
    let stat = said.get_ref();
    if !is_stat(stat) {
        let instead = "write \"Sum\", \"Average\", \"Maximum\", \"p95\" or the like";
        found.error(said.span(), format!("`{stat}` is not a statistic of CloudWatch"), instead);
    } else if counts == Some(true) && !matches!(stat.as_str(), "Sum" | "SampleCount") {
        let instead = "write \"Sum\" or \"SampleCount\"";
        found.error(said.span(), format!("`{stat}` does not count anything"), instead);
    }
    Some(stat.clone())
}

fn is_stat(stat: &str) -> bool {
    const WORDS: [&str; 6] = ["Sum", "SampleCount", "Average", "Minimum", "Maximum", "IQM"];
    const SHARES: [&str; 5] = ["p", "tm", "wm", "tc", "ts"];
    const RANGES: [&str; 5] = ["PR(", "TM(", "WM(", "TC(", "TS("];
    let share = |word: &&str| stat.strip_prefix(*word)?.parse::<f64>().ok();
    let is_share = |share: f64| (0.0..=100.0).contains(&share);
    WORDS.contains(&stat)
        || SHARES.iter().filter_map(share).any(is_share)
        || RANGES.iter().any(|word| stat.starts_with(word)) && stat.ends_with(')')
}

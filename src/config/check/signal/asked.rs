//! Signals that Prometheus is asked for.

use std::ops::Range;

use toml::Spanned;

use crate::{
    config::{
        Ask, Read, Rows,
        check::{
            found::Found,
            service::Common,
            signal::{
                Of,
                wanted::{Wanted, fold, wanted},
            },
        },
        nearest::nearest,
        raw,
    },
    domain::policy::SignalKind,
    sources::prometheus::overlap::overlap,
};

/// What is asked, and of which server.
pub(super) fn asked(
    found: &mut Found<'_>,
    common: &Common<'_>,
    of: &Of<'_>,
    kind: SignalKind,
    raw: &Spanned<raw::Ask>,
) -> Option<Read> {
    let (at, raw) = (raw.span(), raw.get_ref());
    let server = server(found, &common.raw.prometheus, raw.from.as_ref(), &at);
    let said = [&raw.bad, &raw.total, &raw.histogram, &raw.value, &raw.requests];
    let ask = wanted(found, kind, at, said.map(|q| q.as_ref().map(|q| q.get_ref().clone())));
    for query in [&raw.bad, &raw.total, &raw.histogram].into_iter().flatten() {
        if let Some(problem) = overlap(query.get_ref()) {
            let place = found.within(query, problem.span.clone());
            let fault = problem.to_string();
            let (what, instead) = fault.split_once("; ").unwrap_or((&fault, ""));
            found.error(place, what, instead);
        }
    }
    for query in said.into_iter().flatten() {
        if query.get_ref().trim().is_empty() {
            found.error(query.span(), "this asks nothing", "write a query in PromQL");
        }
    }
    if let (None, Some(value)) = (&raw.label, &raw.label_value) {
        let what = "nobody knows which label must have this value";
        found.error(value.span(), what, "add label = \"service\"");
    }
    let rows = raw.label.as_ref().map(|label| Rows {
        label: label.get_ref().clone(),
        value: raw
            .label_value
            .as_ref()
            .map_or_else(|| of.id.name().to_owned(), |value| value.get_ref().clone()),
    });
    let ask = ask?;
    if let (Some(label), Wanted::Histogram(_) | Wanted::Gauge { .. }) = (&raw.version_label, &ask) {
        let what = "only rows with `bad` and `total` are told apart by version";
        found.error(label.span(), what, "take the line out");
    }
    let fold = fold(found, &ask, &raw.fold);
    let ask = match ask {
        Wanted::Ratio { bad, total } => {
            let version_label = raw.version_label.as_ref().map(|label| label.get_ref().clone());
            Ask::Ratio { bad, total, version_label }
        }
        Wanted::Histogram(buckets) => Ask::Histogram { buckets },
        Wanted::Gauge { value, requests } => Ask::Gauge { value, requests, fold },
    };
    Some(Read::Prometheus { server: server?, ask, rows })
}

/// The server that is named, or the only one; `at` is where one would be named.
pub(in crate::config::check) fn server(
    found: &mut Found<'_>,
    servers: &raw::Table<raw::Server>,
    from: Option<&Spanned<String>>,
    at: &Range<usize>,
) -> Option<String> {
    let names = || servers.keys().map(|name| name.get_ref().as_str());
    match from {
        Some(from) if servers.contains_key(from.get_ref().as_str()) => Some(from.get_ref().clone()),
        Some(from) if found.was_cut(&["prometheus", from.get_ref()]) => None,
        Some(from) => {
            let what = format!("there is no Prometheus server `{}`", from.get_ref());
            let instead = match nearest(from.get_ref(), names()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("add a table [prometheus.{}] with its url", from.get_ref()),
            };
            found.error(from.span(), what, instead);
            None
        }
        None if servers.len() == 1 => names().next().map(str::to_owned),
        None if found.was_cut(&["prometheus"]) => None,
        None => {
            let known: Vec<&str> = names().collect();
            let instead = if known.is_empty() {
                "add a table [prometheus.main] with its url".to_owned()
            } else {
                format!("add a line from = \"...\": one of {}", known.join(", "))
            };
            found.error(at.clone(), "nobody knows which Prometheus server is asked", instead);
            None
        }
    }
}

//! Which questions a signal needs, by what it measures.

use std::ops::Range;

use crate::{
    config::{
        check::{found::Found, signal::KINDS},
        raw,
    },
    domain::policy::SignalKind,
    sources::reading::Fold,
};

/// What has to be asked, by what is measured; the keys that are said and those that are meant.
pub(super) enum Wanted<T> {
    Ratio { bad: T, total: T },
    Histogram(T),
    Gauge { value: T, requests: Option<T> },
}

/// `said` is `bad`, `total`, `histogram`, `value`, `requests`.
pub(super) fn wanted<T>(
    found: &mut Found<'_>,
    kind: SignalKind,
    at: Range<usize>,
    said: [Option<T>; 5],
) -> Option<Wanted<T>> {
    use SignalKind::{Cpu, ErrorRate, Health, Latency, Logs, Memory};
    let instead = match (kind, said) {
        (ErrorRate, [Some(bad), Some(total), None, None, None]) => {
            return Some(Wanted::Ratio { bad, total });
        }
        (Latency, [None, None, Some(buckets), None, None]) => {
            return Some(Wanted::Histogram(buckets));
        }
        (Latency | Cpu | Memory | Logs, [None, None, None, Some(value), requests]) => {
            return Some(Wanted::Gauge { value, requests });
        }
        (ErrorRate, _) => "write `bad` and `total`, and nothing else",
        (Latency, _) => "write `histogram`, or `value` for a percentile, and nothing else",
        (Cpu | Memory, _) => "write `value`, a share from 0 to 1, and nothing else",
        (Logs, _) => "write `value`, how many lines say that something is wrong, and nothing else",
        (Health, _) => "write [service.NAME.signal.health.http] with a url",
    };
    found.error(at, format!("this is not what {} is read from", word(kind)), instead);
    None
}

/// How several values become one.
pub(super) fn fold<T>(
    found: &mut Found<'_>,
    wanted: &Wanted<T>,
    said: &raw::Placed<raw::Fold>,
) -> Fold {
    let Some(said) = said else { return Fold::default() };
    if !matches!(wanted, Wanted::Gauge { .. }) {
        let what = "`fold` says how several values become one, and here is no `value`";
        found.error(said.span(), what, "take the line out");
    }
    match said.get_ref() {
        raw::Fold::Max => Fold::Max,
        raw::Fold::Min => Fold::Min,
        raw::Fold::Sum => Fold::Sum,
    }
}

fn word(kind: SignalKind) -> &'static str {
    KINDS.iter().find(|(_, other)| *other == kind).map_or("", |(word, _)| word)
}

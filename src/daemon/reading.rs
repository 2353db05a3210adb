//! From what an adapter hands over to what the domain takes: the same numbers, and an unknown where there are none.

use crate::{
    domain::{signal::Unknown, watch::Raw},
    sources::{
        health::Health,
        reading::{Class, Fault, Poll, Reading},
    },
    units::UnixMs,
};

/// A service that a shared answer did not mention.
pub(super) fn absent(value: &str) -> Poll {
    Poll { faults: vec![Fault::Absent { wanted: value.to_owned() }], ..Poll::default() }
}

/// Two targets' polls of the same signals as one: what one of them could not say does not hide what the other said.
pub(super) fn joined(before: Vec<Poll>, more: Vec<Poll>) -> Vec<Poll> {
    if before.is_empty() {
        return more;
    }
    let join = |(mut one, other): (Poll, Poll)| {
        let nothing_partial = |p: &Poll| p.partial && !p.faults.iter().any(failed);
        // Half of a body is not the whole of it; a target that did not answer is one series less.
        one.partial = nothing_partial(&one) || nothing_partial(&other);
        one.readings.extend(other.readings);
        one.faults.extend(other.faults);
        one.revision = one.revision.or(other.revision);
        one.took += other.took;
        one
    };
    before.into_iter().zip(more).map(join).collect()
}

fn failed(fault: &Fault) -> bool {
    matches!(fault, Fault::Failed { .. })
}

/// How a poll ended, for the metric.
pub(super) fn result(poll: &Poll) -> &'static str {
    match (poll.readings.is_empty(), poll.partial) {
        (false, false) => "ok",
        (_, true) if !poll.faults.iter().any(failed) => "partial",
        (_, _) => "failed",
    }
}

/// The readings of a poll, or why there are none.
pub(super) fn raw(poll: Poll, now: UnixMs) -> (Vec<Raw>, Option<String>) {
    if poll.partial || poll.readings.is_empty() {
        let why = poll.faults.first().map_or(Unknown::Absent, unknown);
        let told: Vec<String> = poll.faults.iter().take(3).map(ToString::to_string).collect();
        let told = if told.is_empty() { "the answer was empty".into() } else { told.join("; ") };
        return (vec![Raw::Unknown { at: now, why }], Some(told));
    }
    let revision = poll.revision.unwrap_or_default();
    (poll.readings.into_iter().map(|reading| one(reading, &revision)).collect(), None)
}

fn one(reading: Reading, revision: &str) -> Raw {
    match reading {
        Reading::Counter { series, at, bad, total, born } => Raw::Counter {
            series,
            revision: revision.to_owned(),
            at,
            bad: Some(bad),
            total: Some(total),
            started: born,
        },
        Reading::Histogram { series, at, buckets, born } => {
            Raw::Histogram { series, at, buckets, started: born }
        }
        Reading::Gauge { at, value, n, .. } => {
            Raw::Gauge { at, value, n: n.map(|n| n.max(0.0).round() as u64) }
        }
    }
}

fn unknown(fault: &Fault) -> Unknown {
    match fault {
        Fault::Failed { class: Class::Unknown, .. } => Unknown::ClientError,
        Fault::Failed { class: Class::Down, .. } => Unknown::Failed,
        Fault::Stale { .. } | Fault::Future { .. } => Unknown::Stale,
        Fault::NotANumber { .. } => Unknown::Invalid,
        Fault::Absent { .. } | Fault::NoTotal { .. } => Unknown::Absent,
        Fault::BadLine(_)
        | Fault::BadLines { .. }
        | Fault::Duplicate { .. }
        | Fault::Cut
        | Fault::Over(_)
        | Fault::Buckets { .. }
        | Fault::NativeHistogram { .. }
        | Fault::Warned(_)
        | Fault::NoLabel { .. }
        | Fault::Revisions(_) => Unknown::Partial,
    }
}

/// What a probe found.
pub(super) fn health(health: Health, at: UnixMs) -> (Raw, Option<String>, &'static str) {
    match health {
        Health::Up => (Raw::Up { at }, None, "ok"),
        Health::Down { why, answered } => (Raw::Down { at, answered }, Some(why), "ok"),
        Health::Unknown { why } => {
            (Raw::Unknown { at, why: Unknown::ClientError }, Some(why), "failed")
        }
    }
}

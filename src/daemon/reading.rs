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
    // Half of a body is not the whole of it; a target that did not answer is one series less. Told apart before
    // they are joined: afterwards the one that failed would hide that another was cut off.
    let alone = |mut poll: Poll| {
        poll.partial &= !poll.faults.iter().any(failed);
        poll
    };
    let more = more.into_iter().map(alone);
    if before.is_empty() {
        return more.collect();
    }
    let join = |(mut one, other): (Poll, Poll)| {
        one.partial |= other.partial;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_that_failed_does_not_hide_that_another_was_cut_off() {
        let failed = || {
            let (class, why) = (Class::Down, "refused".to_owned());
            vec![Poll::failed(Fault::Failed { class, why })]
        };
        let cut = || vec![Poll { partial: true, faults: vec![Fault::Cut], ..Poll::default() }];
        let ok = || {
            let (series, at) = ("a".to_owned(), UnixMs(1));
            let reading = Reading::Counter { series, at, bad: 0.0, total: 9.0, born: None };
            vec![Poll { readings: vec![reading], ..Poll::default() }]
        };
        let all = |polls: Vec<Vec<Poll>>| polls.into_iter().fold(vec![], joined).remove(0);
        assert!(all(vec![failed(), cut(), ok()]).partial);
        assert!(all(vec![cut(), failed(), ok()]).partial);
        assert!(all(vec![ok(), failed(), cut()]).partial);
        let whole = all(vec![failed(), ok()]);
        assert_eq!((whole.partial, result(&whole)), (false, "ok"));
        let nothing = all(vec![failed()]);
        assert_eq!((result(&nothing), raw(nothing, UnixMs(1)).1.is_some()), ("failed", true));
    }
}

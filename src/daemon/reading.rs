//! From what an adapter hands over to what the domain takes: the same numbers, and an unknown where there are none.

use crate::{
    domain::{signal::Unknown, watch::Raw},
    sources::{
        health::Health,
        kubernetes::{Answer, Standing},
        reading::{Class, Fault, Fold, Poll, Reading},
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
        (false, false) if poll.faults.is_empty() => "ok",
        (false, false) => "degraded",
        (_, true) if !poll.faults.iter().any(failed) => "partial",
        (_, _) => "failed",
    }
}

/// The readings of a poll, or why there are none; and what was wrong, whether or not any reading is left.
pub(super) fn raw(poll: Poll, fold: Fold, now: UnixMs) -> (Vec<Raw>, Option<String>) {
    let told: Vec<String> = poll.faults.iter().take(3).map(ToString::to_string).collect();
    let told = (!told.is_empty()).then(|| told.join("; "));
    if poll.partial || poll.readings.is_empty() {
        let why = poll.faults.first().map_or(Unknown::Absent, unknown);
        let told = told.unwrap_or_else(|| "the answer was empty".into());
        return (vec![Raw::Unknown { at: now, why }], Some(told));
    }
    let mut all: Vec<Raw> = vec![];
    for reading in poll.readings.into_iter().map(one) {
        match (reading, all.last_mut()) {
            (Raw::Gauge { at, value, n }, Some(Raw::Gauge { at: a, value: v, n: m })) => {
                // One for each instance, or each target: the trigger judges the service.
                *a = at.max(*a);
                *v = fold.of(*v, value);
                *m = match (*m, n) {
                    (Some(one), Some(other)) => Some(one.saturating_add(other)),
                    (one, other) => one.or(other),
                };
            }
            (reading, _) => all.push(reading),
        }
    }
    (all, told)
}

fn one(reading: Reading) -> Raw {
    match reading {
        Reading::Counter { series, revision, at, bad, total, born } => Raw::Counter {
            series,
            revision: revision.unwrap_or_default(),
            at,
            bad,
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
        Fault::Failed { class: Class::Unknown, .. } | Fault::Unlisted(_) => Unknown::ClientError,
        Fault::Failed { class: Class::Down, .. } => Unknown::Failed,
        Fault::Stale { .. } | Fault::Future { .. } => Unknown::Stale,
        Fault::NotANumber { .. } => Unknown::Invalid,
        Fault::Absent { .. }
        | Fault::NoTotal { .. }
        | Fault::Uncounted { .. }
        | Fault::NoTargets => Unknown::Absent,
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

/// How a Deployment stands. Pods that are there and are not well are an answer of their own: no network lies between.
pub(super) fn standing(standing: Standing, at: UnixMs) -> (Raw, Option<String>, &'static str) {
    match standing {
        Standing::Well => (Raw::Up { at }, None, "ok"),
        Standing::Unwell(why) => (Raw::Down { at, answered: true }, Some(why), "ok"),
        Standing::Gone(why) => (Raw::Down { at, answered: false }, Some(why), "ok"),
        Standing::Unknown(why) => (Raw::Unknown { at, why: Unknown::Failed }, Some(why), "failed"),
    }
}

/// What was asked of a cluster.
pub(super) fn answer(answer: Answer, at: UnixMs) -> (Raw, Option<String>, &'static str) {
    match answer.value {
        Some(value) => (Raw::Gauge { at, value, n: None }, answer.note, "ok"),
        None => (Raw::Unknown { at, why: Unknown::Failed }, answer.note, "failed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::counter::{Chain, Cumulative, Delta, Drops, Field};
    use crate::units::Span;

    fn counter(at: i64, bad: Option<f64>, total: f64, revision: Option<&str>) -> Reading {
        let revision = revision.map(str::to_owned);
        Reading::Counter { series: "a".into(), revision, at: UnixMs(at), bad, total, born: None }
    }

    fn poll(readings: Vec<Reading>) -> Poll {
        Poll { readings, ..Poll::default() }
    }

    #[test]
    fn a_target_that_failed_does_not_hide_that_another_was_cut_off() {
        let failed = || {
            let (class, why) = (Class::Down, "refused".to_owned());
            vec![Poll::failed(Fault::Failed { class, why })]
        };
        let cut = || vec![Poll { partial: true, faults: vec![Fault::Cut], ..Poll::default() }];
        let ok = || vec![poll(vec![counter(1, None, 9.0, None)])];
        let all = |polls: Vec<Vec<Poll>>| polls.into_iter().fold(vec![], joined).remove(0);
        assert!(all(vec![failed(), cut(), ok()]).partial);
        assert!(all(vec![cut(), failed(), ok()]).partial);
        assert!(all(vec![ok(), failed(), cut()]).partial);
        let whole = all(vec![failed(), ok()]);
        assert_eq!((whole.partial, result(&whole)), (false, "degraded"));
        let (readings, note) = raw(whole, Fold::Max, UnixMs(1));
        assert_eq!((readings.len(), note.as_deref()), (1, Some("refused")), "and it is told");
        let nothing = all(vec![failed()]);
        assert_eq!(
            (result(&nothing), raw(nothing, Fold::Max, UnixMs(1)).1.is_some()),
            ("failed", true)
        );
    }

    /// The first target's version stood on all: a second that restarts again and again was counted twice.
    #[test]
    fn each_target_keeps_its_own_version() {
        let one = vec![poll(vec![counter(1, None, 9.0, Some("v1"))])];
        let other = vec![poll(vec![counter(1, None, 9.0, Some("v2"))])];
        let both = joined(joined(vec![], one), other).remove(0);
        let told = |raw: &Raw| match raw {
            Raw::Counter { revision, .. } => revision.clone(),
            Raw::Histogram { .. }
            | Raw::Gauge { .. }
            | Raw::Up { .. }
            | Raw::Down { .. }
            | Raw::Unknown { .. } => panic!("{raw:?}"),
        };
        let (readings, _) = raw(both, Fold::Max, UnixMs(1));
        assert_eq!(readings.iter().map(told).collect::<Vec<_>>(), ["v1", "v2"]);
    }

    /// Every error ever counted was new again.
    #[test]
    fn an_error_series_that_vanishes_for_a_poll_is_not_counted_again() {
        let (mut chain, mut drops) = (Chain::default(), Drops::default());
        let mut take = |at: i64, bad: Option<f64>, total: f64| {
            let (readings, _) =
                raw(poll(vec![counter(at, bad, total, None)]), Fold::Max, UnixMs(at));
            let Raw::Counter { bad, total, .. } = &readings[0] else { panic!("{readings:?}") };
            let field = |value: &Option<f64>| value.map_or(Field::Absent, Field::Value);
            let reading = Cumulative { at: UnixMs(at), bad: field(bad), total: field(total) };
            chain.take(&reading, None, None, Span::minutes(3), &mut drops)
        };
        assert_eq!(take(0, Some(700.0), 1000.0), None);
        let width = Span::seconds(15);
        assert_eq!(take(15_000, None, 1010.0), Some(Delta { bad: 0, total: 10, width }));
        assert_eq!(take(30_000, Some(701.0), 1020.0), Some(Delta { bad: 1, total: 10, width }));
    }

    /// `histogram_quantile` by instance gives a row for each: the first by name was judged.
    #[test]
    fn of_several_gauges_the_worst_counts() {
        let gauge = |series: &str, value: f64, n: Option<f64>| Reading::Gauge {
            series: series.into(),
            at: UnixMs(1),
            value,
            n,
        };
        let folded = |fold| {
            let rows = vec![gauge("a", 0.1, Some(50.0)), gauge("b", 9.0, None)];
            let target = vec![poll(vec![gauge("c", 0.4, Some(7.0))])];
            let both = joined(joined(vec![], vec![poll(rows)]), target).remove(0);
            raw(both, fold, UnixMs(1)).0
        };
        let one = |value| vec![Raw::Gauge { at: UnixMs(1), value, n: Some(57) }];
        assert_eq!(folded(Fold::Max), one(9.0));
        assert_eq!(folded(Fold::Min), one(0.1));
        assert_eq!(folded(Fold::Sum), one(9.5));
    }
}

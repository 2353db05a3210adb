//! What one signal has counted so far, and what an answer adds to it.

use std::collections::BTreeMap;

use super::{Series, Whole, Window};
use crate::{
    sources::reading::{Class, Fault, Poll, Reading},
    units::UnixMs,
};

/// So many periods back one that arrives late is still counted.
pub(super) const LATE_PERIODS: i64 = 5;

/// Of one signal.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    /// Since when is counted, once something was answered.
    since: Option<UnixMs>,
    bad: f64,
    total: f64,
    /// What was counted of each period, by its start, as far back as any is asked for.
    counted: BTreeMap<i64, (f64, f64)>,
}

impl Kept {
    /// Counts, added to those from before.
    pub(super) fn ratio(&mut self, window: Window, bad: &Series, total: &Series) -> Poll {
        let faults: Vec<Fault> = [("bad", bad), ("total", total)]
            .into_iter()
            .filter_map(|(key, of)| fault(key, of))
            .collect();
        if !faults.is_empty() {
            return Poll { faults, partial: true, ..Poll::default() };
        }
        let begins = self.since.is_none();
        let since = *self.since.get_or_insert(window.until);
        let mut faults = vec![];
        for (start, all) in within(window, total) {
            let wrong = bad.points.get(&start).copied().unwrap_or(0.0);
            if let Some((name, value)) =
                [("bad", wrong), ("total", all)].into_iter().find(|(_, it)| !is_count(*it))
            {
                faults.push(Fault::NotANumber { series: name.to_owned(), value });
                continue;
            }
            // What was there before we looked is nothing new. Errors may come later than the requests they are of, and both still grow.
            let (bad, total) = self.counted.entry(start).or_default();
            if start >= since.0 {
                self.bad += (wrong - *bad).max(0.0);
                self.total += (all - *total).max(0.0);
            }
            (*bad, *total) = (bad.max(wrong), total.max(all));
        }
        let oldest = window.from.0;
        self.counted.retain(|start, _| *start >= oldest);
        let newest = window.last().0;
        let has_newest = self.counted.contains_key(&newest);
        // Where nothing is known of the newest period one that came before it says why; where something is, it is about that.
        let uncounted = uncounted(window, bad, total, if has_newest { newest } else { oldest });
        if !has_newest && !begins {
            let wanted = "total, in the newest period".to_owned();
            faults.push(uncounted.unwrap_or(Fault::Absent { wanted }));
            return Poll { faults, ..Poll::default() };
        }
        faults.extend(uncounted);
        let reading = Reading::Counter {
            // Another daemon counted from somewhere else: its counts are not to be compared with these.
            series: format!("cloudwatch since {}", since.0),
            revision: None,
            at: window.until,
            bad: Some(self.bad),
            total: self.total,
            born: None,
        };
        Poll { readings: vec![reading], faults, ..Poll::default() }
    }
}

/// The value of the newest period.
pub(super) fn gauge(window: Window, value: &Series, requests: Option<&Series>) -> Poll {
    let terms = [("value", Some(value)), ("requests", requests)];
    let faults: Vec<Fault> = terms.into_iter().filter_map(|(key, of)| fault(key, of?)).collect();
    if !faults.is_empty() {
        return Poll { faults, partial: true, ..Poll::default() };
    }
    let last = window.last().0;
    let absent = |wanted: &str| {
        let wanted = format!("{wanted}, in the newest period");
        Poll { faults: vec![Fault::Absent { wanted }], ..Poll::default() }
    };
    let Some(found) = value.points.get(&last).copied() else { return absent("value") };
    let n = match requests {
        Some(requests) => match requests.points.get(&last).copied() {
            Some(n) => Some(n),
            None => return absent("requests"),
        },
        None => None,
    };
    let odd = [("value", Some(found)), ("requests", n)];
    if let Some((series, value)) =
        odd.into_iter().find_map(|(key, it)| it.filter(|it| !it.is_finite()).map(|it| (key, it)))
    {
        let fault = Fault::NotANumber { series: series.to_owned(), value };
        return Poll { faults: vec![fault], ..Poll::default() };
    }
    let reading = Reading::Gauge { series: "cloudwatch".into(), at: window.until, value: found, n };
    Poll { readings: vec![reading], ..Poll::default() }
}

fn within(window: Window, series: &Series) -> impl Iterator<Item = (i64, f64)> {
    series.points.range(window.from.0..window.until.0).map(|(start, value)| (*start, *value))
}

/// The newest period, from this one on, that has more errors than requests. A balancer without a target refuses everybody, and counts
/// none of them as a request: a bare "no data" would say nothing of that.
fn uncounted(window: Window, bad: &Series, total: &Series, from: i64) -> Option<Fault> {
    let found =
        within(window, bad).filter(|(start, _)| *start >= from).filter_map(|(start, errors)| {
            let requests = total.points.get(&start).copied();
            let is_more = is_count(errors) && errors > requests.unwrap_or(0.0);
            is_more.then_some(Fault::Uncounted { errors, requests })
        });
    found.last()
}

fn is_count(value: f64) -> bool {
    value.is_finite() && value >= 0.0
}

/// What is not complete says nothing, neither good nor bad.
fn fault(key: &str, series: &Series) -> Option<Fault> {
    let failed = |class, why: String| Some(Fault::Failed { class, why });
    let said = |what: &str, said: &str| match said {
        "" => format!("CloudWatch says of `{key}`: {what}"),
        said => format!("CloudWatch says of `{key}`: {what}: {said}"),
    };
    match &series.whole {
        Whole::Complete => None,
        Whole::Partial(text) => Some(Fault::Warned(said("partial data", text))),
        Whole::Failed(text) => failed(Class::Down, said("internal error", text)),
        Whole::Forbidden(text) => failed(Class::Unknown, said("forbidden", text)),
        Whole::Unanswered => Some(Fault::Warned(said("nothing at all", ""))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Span;

    const PERIOD: Span = Span::minutes(1);

    /// Whole minutes from 0: the newest is the one that ends with this.
    fn until(minute: i64) -> Window {
        let end = UnixMs(minute * 60_000);
        Window { from: UnixMs((minute - LATE_PERIODS) * 60_000), until: end, period: PERIOD }
    }

    fn series(points: &[(i64, f64)]) -> Series {
        let points = points.iter().map(|(minute, value)| (minute * 60_000, *value)).collect();
        Series { whole: Whole::Complete, points }
    }

    fn counted(poll: &Poll) -> Option<(f64, f64)> {
        match poll.readings.as_slice() {
            [Reading::Counter { bad: Some(bad), total, .. }] => Some((*bad, *total)),
            _ => None,
        }
    }

    #[test]
    fn periods_are_counted_once_whenever_they_arrive_and_errors_that_are_absent_are_none() {
        let mut kept = Kept::default();
        let before = kept.ratio(until(10), &series(&[]), &series(&[(8, 50.0), (9, 70.0)]));
        assert_eq!(counted(&before), Some((0.0, 0.0)), "what was before is nothing new");
        let poll = kept.ratio(until(11), &series(&[(10, 3.0)]), &series(&[(9, 70.0), (10, 100.0)]));
        assert_eq!(counted(&poll), Some((3.0, 100.0)));
        let poll = kept.ratio(until(12), &series(&[]), &series(&[(10, 100.0)]));
        assert_eq!(counted(&poll), None, "no total is not no requests");
        assert!(matches!(poll.faults[..], [Fault::Absent { .. }]) && !poll.partial);
        let late = series(&[(10, 100.0), (11, 40.0), (12, 60.0)]);
        let poll = kept.ratio(until(13), &series(&[(11, 1.0)]), &late);
        assert_eq!(counted(&poll), Some((4.0, 200.0)), "minute 11 came late, and counts once");
        let poll =
            kept.ratio(until(14), &series(&[]), &series(&[(11, 40.0), (12, 60.0), (13, 1.0)]));
        assert_eq!(counted(&poll), Some((4.0, 201.0)));
    }

    /// A metric of errors that is published apart from the requests is not there yet when those are.
    #[test]
    fn errors_that_come_later_than_their_requests_are_counted_then_and_once() {
        let mut kept = Kept::default();
        kept.ratio(until(10), &series(&[]), &series(&[]));
        let poll = kept.ratio(until(11), &series(&[]), &series(&[(10, 90.0)]));
        assert_eq!(counted(&poll), Some((0.0, 90.0)));
        let both = series(&[(10, 100.0), (11, 100.0)]);
        for _ in 0..2 {
            let poll = kept.ratio(until(12), &series(&[(10, 60.0), (11, 5.0)]), &both);
            assert_eq!(counted(&poll), Some((65.0, 200.0)));
        }
    }

    #[test]
    fn the_first_errors_after_a_quiet_night_are_counted() {
        let mut kept = Kept::default();
        assert_eq!(counted(&kept.ratio(until(10), &series(&[]), &series(&[]))), Some((0.0, 0.0)));
        assert_eq!(counted(&kept.ratio(until(11), &series(&[]), &series(&[]))), None);
        let poll = kept.ratio(until(12), &series(&[(11, 9.0)]), &series(&[(11, 10.0)]));
        assert_eq!(counted(&poll), Some((9.0, 10.0)));
    }

    /// An outage of everything behind a balancer was a bare "no data": what it refuses itself is no request to it.
    #[test]
    fn errors_in_a_period_without_requests_are_told_and_the_total_stays_unknown() {
        let told = |poll: &Poll| poll.faults.iter().map(ToString::to_string).collect::<Vec<_>>();
        let mut kept = Kept::default();
        kept.ratio(until(10), &series(&[]), &series(&[(9, 50.0)]));
        let poll = kept.ratio(until(11), &series(&[(10, 12.0)]), &series(&[(9, 50.0)]));
        assert_eq!(counted(&poll), None, "no total is not no requests");
        let without = "12 errors in a period without requests: `total` does not count what failed";
        assert_eq!(told(&poll), [without]);
        let poll = kept.ratio(until(12), &series(&[(10, 12.0)]), &series(&[(9, 50.0)]));
        assert_eq!(told(&poll), [without], "also while the newest period is not there yet");
        let fewer = [(11, 30.0), (12, 4.0)];
        let poll = kept.ratio(until(13), &series(&[(10, 12.0), (12, 9.0)]), &series(&fewer));
        assert_eq!(counted(&poll), Some((9.0, 34.0)));
        assert_eq!(told(&poll).len(), 1);
        assert!(told(&poll)[0].starts_with("9 errors in a period with 4 requests"), "{poll:?}");
        let poll = kept.ratio(until(14), &series(&[(12, 9.0)]), &series(&[(12, 4.0), (13, 80.0)]));
        assert!(poll.faults.is_empty(), "it is over: {poll:?}");
    }

    #[test]
    fn what_is_not_complete_says_nothing_and_its_periods_count_later() {
        let mut kept = Kept::default();
        kept.ratio(until(10), &series(&[]), &series(&[]));
        let good = series(&[(10, 100.0)]);
        for whole in [
            Whole::Partial("try again".into()),
            Whole::Failed(String::new()),
            Whole::Forbidden(String::new()),
            Whole::Unanswered,
        ] {
            let bad = Series { whole: whole.clone(), ..series(&[]) };
            let poll = kept.ratio(until(11), &bad, &good);
            assert!(poll.partial && poll.readings.is_empty(), "{whole:?}");
            let poll = gauge(until(11), &good, Some(&bad));
            assert!(poll.partial && poll.readings.is_empty(), "{whole:?}");
        }
        let both = series(&[(10, 100.0), (11, 100.0)]);
        let poll = kept.ratio(until(12), &series(&[(10, 7.0)]), &both);
        assert_eq!(counted(&poll), Some((7.0, 200.0)));
    }

    #[test]
    fn a_value_is_the_newest_periods_or_not_known() {
        let (value, n) = (series(&[(9, 1.0), (10, 0.4)]), series(&[(10, 33.0)]));
        let poll = gauge(until(11), &value, Some(&n));
        let at = UnixMs(11 * 60_000);
        let reading = Reading::Gauge { series: "cloudwatch".into(), at, value: 0.4, n: Some(33.0) };
        assert_eq!(poll.readings, [reading]);
        let older = gauge(until(12), &value, None);
        assert!(matches!(older.faults[..], [Fault::Absent { .. }]), "{older:?}");
        let without = gauge(until(11), &value, Some(&series(&[])));
        assert!(without.readings.is_empty(), "a percentile over nobody knows how many");
        let odd = gauge(until(11), &series(&[(10, f64::NAN)]), None);
        assert!(matches!(odd.faults[..], [Fault::NotANumber { .. }]));
    }
}

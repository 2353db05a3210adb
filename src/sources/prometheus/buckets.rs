//! From rows with `le` to histograms, for many services at once.

use std::{cmp::Ordering, collections::BTreeMap};

use super::{
    envelope::{Row, Rows, key_of},
    labels::Labels,
};
use crate::{
    sources::reading::{Fault, Poll, Reading},
    units::UnixMs,
};

/// A series of buckets: the labels of any of its rows, but for the bound and the service.
#[derive(Clone, Copy)]
struct Series<'a> {
    labels: &'a Labels,
    service: &'a str,
}

impl<'a> Series<'a> {
    fn own(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.labels.iter().filter(move |(name, _)| *name != "le" && *name != self.service)
    }
}

impl Ord for Series<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.own().cmp(other.own())
    }
}

impl PartialOrd for Series<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Series<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Series<'_> {}

/// The time of the newest row, and bounds with their counts as they came.
type Found = (UnixMs, Vec<(f64, f64)>);

/// Cumulative buckets as histogram readings of each service. A series without a bucket up to +Inf is told, and has
/// no reading.
pub fn histograms(rows: &Rows, service: Option<&str>) -> BTreeMap<String, Poll> {
    let mut faults = rows.faults.clone();
    let mut found: BTreeMap<&str, BTreeMap<Series<'_>, Found>> = BTreeMap::new();
    let mut nameless = 0;
    for Row { labels, value, at } in &rows.rows {
        let name = match service.map(|label| labels.get(label)) {
            None => "",
            Some(Some(name)) => name,
            Some(None) => {
                nameless += 1;
                continue;
            }
        };
        let series = Series { labels, service: service.unwrap_or_default() };
        let bound = labels.get("le").and_then(|le| le.parse::<f64>().ok());
        let Some(bound) = bound.filter(|bound| !bound.is_nan()) else {
            let series = key_of(series.own());
            faults.push(Fault::Buckets { series, why: "a bound is not a number" });
            continue;
        };
        let entry = found.entry(name).or_default().entry(series);
        let (newest, buckets) = entry.or_insert_with(|| (*at, Vec::with_capacity(16)));
        *newest = (*newest).max(*at);
        buckets.push((bound.max(0.0), *value));
    }
    if let (Some(label), 1..) = (service, nameless) {
        faults.push(Fault::NoLabel { label: label.to_owned(), rows: nameless });
    }
    let mut polls: BTreeMap<String, Poll> = BTreeMap::new();
    for (name, of_service) in found {
        let poll = polls.entry(name.to_owned()).or_default();
        for (series, (at, buckets)) in of_service {
            let series = key_of(series.own());
            match whole(buckets) {
                Ok(buckets) => {
                    poll.readings.push(Reading::Histogram { series, at, buckets, born: None });
                }
                Err(why) => poll.faults.push(Fault::Buckets { series, why }),
            }
        }
    }
    if service.is_none() {
        polls.entry(String::new()).or_default();
    }
    for poll in polls.values_mut() {
        poll.faults.extend(faults.iter().cloned());
        poll.took = rows.took;
        poll.partial = rows.partial;
        if rows.partial {
            poll.readings.clear();
        }
    }
    polls
}

fn whole(mut buckets: Vec<(f64, f64)>) -> Result<Vec<(f64, f64)>, &'static str> {
    // Of two rows with one bound the later one counts.
    buckets.reverse();
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    buckets.dedup_by(|next, kept| next.0 == kept.0);
    if buckets.windows(2).any(|pair| pair[0].1 > pair[1].1) {
        return Err("the counts are not cumulative");
    }
    match buckets.last() {
        Some((bound, _)) if *bound == f64::INFINITY => Ok(buckets),
        Some(_) | None => Err("there is no bucket up to +Inf"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::prometheus::Row;

    fn rows(all: &[(&str, &str, &str, f64)]) -> Rows {
        let row = |(service, pod, le, value): &(&str, &str, &str, f64)| Row {
            labels: [("service", *service), ("pod", *pod), ("le", *le)]
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            value: *value,
            at: UnixMs(1000),
        };
        Rows { rows: all.iter().map(row).collect(), ..Rows::default() }
    }

    #[test]
    fn one_answer_holds_the_histograms_of_many_services() {
        let rows = rows(&[
            ("cart", "a", "+Inf", 10.0),
            ("cart", "a", "0.5", 8.0),
            ("shop", "b", "0.5", 3.0),
            ("shop", "b", "+Inf", 3.0),
        ]);
        let polls = histograms(&rows, Some("service"));
        let Reading::Histogram { series, buckets, .. } = &polls["cart"].readings[0] else {
            panic!("not a histogram: {polls:?}");
        };
        assert_eq!(series, "{pod=\"a\"}");
        assert_eq!(buckets, &[(0.5, 8.0), (f64::INFINITY, 10.0)]);
        assert_eq!(polls["shop"].readings.len(), 1);
    }

    #[test]
    fn half_a_histogram_is_told_and_not_read() {
        let polls = histograms(&rows(&[("cart", "a", "0.5", 8.0)]), Some("service"));
        assert!(polls["cart"].readings.is_empty());
        assert!(matches!(polls["cart"].faults[0], Fault::Buckets { .. }));
        let falling = rows(&[("cart", "a", "0.5", 8.0), ("cart", "a", "+Inf", 7.0)]);
        assert!(histograms(&falling, Some("service"))["cart"].readings.is_empty());
    }
}

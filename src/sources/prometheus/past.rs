//! History as the answers that a poll would have had at each time.

use std::collections::{BTreeMap, BTreeSet};

use super::envelope::{Row, Rows, Track};
use crate::{
    sources::reading::Fault,
    units::{Span, UnixMs},
};

/// The answer to each of several queries at each time at which one of them has any. What was no number then is as
/// little free of errors as it is in an instant answer.
pub fn at_each_time(queries: Vec<Vec<Track>>) -> BTreeMap<UnixMs, Vec<Rows>> {
    let count = queries.len();
    let mut times: BTreeMap<UnixMs, Vec<Rows>> = BTreeMap::new();
    for (place, tracks) in queries.into_iter().enumerate() {
        let mut own = BTreeSet::new();
        let mut native = vec![];
        for track in tracks {
            own.extend(track.points.iter().map(|(at, _)| *at));
            own.extend(&track.lost);
            for (at, value) in track.points {
                let row = Row { labels: track.labels.clone(), value, at };
                if let Some(rows) = of(&mut times, count, at, place) {
                    rows.rows.push(row);
                }
            }
            for at in track.lost {
                if let Some(rows) = of(&mut times, count, at, place) {
                    let fault = |series| Fault::NotANumber { series, value: f64::NAN };
                    rows.lose(track.labels.clone(), fault);
                }
            }
            if track.native {
                native.push(track.labels);
            }
        }
        for at in own {
            let Some(rows) = of(&mut times, count, at, place) else { continue };
            for labels in &native {
                rows.lose(labels.clone(), |series| Fault::NativeHistogram { series });
            }
        }
    }
    times
}

fn of(
    times: &mut BTreeMap<UnixMs, Vec<Rows>>,
    queries: usize,
    at: UnixMs,
    place: usize,
) -> Option<&mut Rows> {
    times.entry(at).or_insert_with(|| vec![Rows::default(); queries]).get_mut(place)
}

/// Tells answers in which something moves from one that only stands still.
///
/// For five minutes after its newest sample Prometheus goes on saying what it said last. A target that fails is marked
/// and vanishes at once; only where Prometheus itself did not scrape does everything stand still together.
#[derive(Debug, Default)]
pub struct Still {
    before: Vec<u64>,
    moved_at: Option<UnixMs>,
}

impl Still {
    /// Whether nothing of an answer has moved for longer than `patience`.
    pub fn lasts(&mut self, at: UnixMs, answer: &[Rows], patience: Span) -> bool {
        let values = |rows: &Rows| {
            let values: Vec<u64> = rows.rows.iter().map(|row| row.value.to_bits()).collect();
            [values.len() as u64].into_iter().chain(values).collect::<Vec<_>>()
        };
        let now: Vec<u64> = answer.iter().flat_map(values).collect();
        if now != self.before || self.moved_at.is_none() {
            self.before = now;
            self.moved_at = Some(at);
        }
        self.moved_at.is_some_and(|moved| at.since(moved) > patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::{
        prometheus::{Labels, counters, envelope::tracks, histograms},
        reading::{Poll, Reading},
    };

    fn asked(series: &[&str]) -> Vec<Track> {
        let data = format!(r#"{{"resultType":"matrix","result":[{}]}}"#, series.join(","));
        tracks(200, format!(r#"{{"status":"success","data":{data}}}"#).as_bytes()).unwrap()
    }

    fn row(service: &str, value: f64, at: i64) -> Row {
        let labels = format!(r#"{{"service":"{service}"}}"#);
        let labels: Labels = serde_json::from_str(&labels).unwrap();
        Row { labels, value, at: UnixMs(at) }
    }

    /// What a poll would have read, one after the other.
    fn read(bad: &[&str], total: &[&str]) -> Vec<(i64, BTreeMap<String, Poll>)> {
        let times = at_each_time(vec![asked(bad), asked(total)]);
        let polls = |answer: &[Rows]| counters(&answer[0], &answer[1], Some("service"), None);
        times.iter().map(|(at, answer)| (at.0, polls(answer))).collect()
    }

    #[test]
    fn the_history_of_counters_is_what_each_poll_would_have_read() {
        let bad = [r#"{"metric":{"service":"shop"},"values":[[30,"2"]]}"#];
        let total = [
            r#"{"metric":{"service":"shop"},"values":[[15,"10"],[30,"20"]]}"#,
            r#"{"metric":{"service":"cart"},"values":[[30,"7"]]}"#,
        ];
        let all = read(&bad, &total);
        let live = counters(
            &Rows { rows: vec![row("shop", 2.0, 30_000)], ..Rows::default() },
            &Rows {
                rows: vec![row("shop", 20.0, 30_000), row("cart", 7.0, 30_000)],
                ..Rows::default()
            },
            Some("service"),
            None,
        );
        assert_eq!(all.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [15_000, 30_000]);
        assert_eq!(all[1].1, live);
        let first = &all[0].1["shop"].readings;
        assert!(
            matches!(first[..], [Reading::Counter { bad: None, total: 10.0, .. }]),
            "{first:?}"
        );
    }

    #[test]
    fn errors_that_were_no_number_are_unknown_and_not_zero() {
        let bad = [r#"{"metric":{"service":"shop"},"values":[[15,"NaN"],[30,"2"]]}"#];
        let total = [r#"{"metric":{"service":"shop"},"values":[[15,"10"],[30,"20"]]}"#];
        let all = read(&bad, &total);
        assert!(all[0].1["shop"].readings.is_empty(), "{all:?}");
        assert_eq!(all[1].1["shop"].readings.len(), 1);
    }

    #[test]
    fn the_history_of_buckets_is_a_histogram_at_each_time() {
        let buckets = [
            r#"{"metric":{"le":"0.5"},"values":[[15,"1"],[30,"2"]]}"#,
            r#"{"metric":{"le":"+Inf"},"values":[[15,"3"],[30,"5"]]}"#,
        ];
        let times = at_each_time(vec![asked(&buckets)]);
        let totals =
            times.values().map(|answer| match &histograms(&answer[0], None)[""].readings[..] {
                [Reading::Histogram { buckets, .. }] => buckets[1].1,
                other => panic!("{other:?}"),
            });
        assert_eq!(totals.collect::<Vec<_>>(), [3.0, 5.0]);
    }

    /// Prometheus was down with us: its last word, said again for five minutes, is nobody's traffic and nobody's calm.
    #[test]
    fn an_answer_that_stands_still_is_not_known_for_long() {
        let mut still = Still::default();
        let mut known = |at: i64, shop: f64, cart: f64| {
            let rows = vec![row("shop", shop, at * 1000), row("cart", cart, at * 1000)];
            let answer = [Rows { rows, ..Rows::default() }];
            !still.lasts(UnixMs(at * 1000), &answer, Span::minutes(1))
        };
        assert!(known(0, 5.0, 1.0));
        assert!(known(30, 5.0, 1.0) && known(60, 5.0, 1.0), "scraped once a minute");
        assert!(!known(90, 5.0, 1.0) && !known(300, 5.0, 1.0));
        assert!(known(330, 5.0, 2.0), "one service that moves shows that Prometheus scrapes");
    }
}

//! A history written down: all of it now and then, and its newest slots with every snapshot between.

use serde::{Deserialize, Serialize};

use super::{History, Hour, slots::Slot};
use crate::{
    domain::packed::{Packed, Pen},
    units::UnixMs,
};

/// Slots and hours as text: each number as its difference from the one before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Kept {
    slot_ms: i64,
    /// The end of the first slot in it.
    begins: i64,
    /// Of each slot all requests and, where those are known, the failed ones; -1 where nothing was counted.
    #[serde(skip_serializing_if = "String::is_empty")]
    counts: String,
    /// Microseconds; -1 where there was none.
    #[serde(skip_serializing_if = "String::is_empty")]
    p95s: String,
    /// Of each hour its beginning in seconds, its median in microseconds, and how many that stands on.
    #[serde(skip_serializing_if = "String::is_empty")]
    hours: String,
    /// By how much the clock of these times had been set, all in all, in milliseconds.
    #[serde(skip_serializing_if = "is_zero")]
    set_ms: i64,
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// Hours between two whole copies are those of a few slots.
const NEWEST_HOURS: usize = 2;
/// Slots that a wider one is spread over: an hour of the narrowest.
const PARTS_MAX: u64 = 3_600;

impl History {
    /// All of it.
    pub fn keep(&self) -> Kept {
        self.kept(0, self.hours.len())
    }

    /// What was recorded since `at`, and what may have changed: the slot before, and the newest hours.
    pub fn keep_since(&self, at: UnixMs) -> Kept {
        let from = at.0.div_euclid(self.slot_ms) - 1 - self.first;
        self.kept(usize::try_from(from).unwrap_or(0), NEWEST_HOURS)
    }

    fn kept(&self, from: usize, hours: usize) -> Kept {
        let (mut counts, mut p95s, mut past) = (Pen::default(), Pen::default(), Pen::default());
        let (mut total, mut p95) = (0, 0);
        let (mut any_counts, mut any_p95s) = (false, false);
        for index in from..self.slots.len() {
            let slot = self.slots.slot(index);
            let now = slot.counts.map_or(-1, |(_, total)| total as i64);
            counts.put(now - total);
            total = now;
            if let Some((bad, _)) = slot.counts {
                counts.put(bad as i64);
                any_counts = true;
            }
            let now = slot.p95.map_or(-1, micros);
            p95s.put(now - p95);
            p95 = now;
            any_p95s |= slot.p95.is_some();
        }
        let newest = self.hours.len().saturating_sub(hours);
        let mut start = 0;
        for hour in self.hours.range(newest..) {
            past.put(i64::from(hour.start) - start);
            past.put(super::seconds(hour.p95).map_or(-1, micros));
            past.put(i64::from(hour.valid));
            start = i64::from(hour.start);
        }
        Kept {
            slot_ms: self.slot_ms,
            begins: self.end_of(from).0,
            counts: if any_counts { counts.text() } else { String::new() },
            p95s: if any_p95s { p95s.text() } else { String::new() },
            hours: past.text(),
            set_ms: self.set_ms,
        }
    }

    /// Goes on with slots of the width and number of another history, which holds nothing yet.
    pub fn follow(&mut self, other: Self) {
        if (self.slot_ms, self.capacity) != (other.slot_ms, other.capacity) {
            let kept = self.keep();
            *self = other;
            self.refill(&kept);
        }
    }

    /// Lays what was written down over what is there. Narrower slots are added up into these, wider ones spread over them.
    pub fn refill(&mut self, kept: &Kept) {
        if kept.set_ms != self.set_ms {
            // What is there was written by the clock of before.
            self.clock_set(kept.set_ms.saturating_sub(self.set_ms));
        }
        let mut hours = Packed::new(&kept.hours);
        let mut start = 0;
        while let (Some(more), Some(p95), Some(valid)) = (hours.next(), hours.next(), hours.next())
        {
            start += more;
            if let (Ok(start), Ok(valid)) = (u32::try_from(start), u16::try_from(valid)) {
                let p95 = super::code_of_seconds(p95 as f64 / 1e6);
                self.keep_hour(Hour { start, p95, valid });
            }
        }
        for (number, slot) in (0..).zip(kept.slots()) {
            let at = UnixMs(kept.begins.saturating_add(kept.slot_ms.saturating_mul(number)));
            let Some(index) = self.index_of(at) else { continue };
            match slot.counts {
                Some((bad, total)) if self.slot_ms == kept.slot_ms => {
                    self.slots.set_counts(index, bad, total);
                }
                Some((bad, total)) => self.spread(at, kept.slot_ms, (bad, total)),
                None => {}
            }
            if let Some(p95) = slot.p95 {
                self.slots.set_p95(index, p95);
            }
        }
        // The newest slot goes on from what its code says.
        self.open = None;
    }

    /// Adds counts of an interval that ends at `at`, evenly where it is of several slots.
    fn spread(&mut self, at: UnixMs, width_ms: i64, (bad, total): (u64, u64)) {
        let parts = u64::try_from(width_ms / self.slot_ms).unwrap_or(1).max(1);
        // Wider than anything that is asked for: what came into which slot nobody knows, and the text may be damaged.
        if parts > PARTS_MAX {
            return;
        }
        let share = |all: u64, part: u64| all / parts + u64::from(part < all % parts);
        let mut end = at;
        for part in 0..parts {
            self.record_counts(end, share(bad, part), share(total, part));
            end = UnixMs(end.0 - self.slot_ms);
        }
    }
}

impl Kept {
    fn slots(&self) -> impl Iterator<Item = Slot> + '_ {
        let (mut counts, mut p95s) = (Packed::new(&self.counts), Packed::new(&self.p95s));
        let (mut total, mut p95) = (0, 0);
        std::iter::from_fn(move || {
            let (more, further) = (counts.next(), p95s.next());
            if more.is_none() && further.is_none() {
                return None;
            }
            total += more.unwrap_or_default();
            let known = u64::try_from(total).ok().filter(|_| more.is_some());
            let counts = known.and_then(|total| {
                let bad = u64::try_from(counts.next()?).ok()?;
                Some((bad.min(total), total))
            });
            p95 += further.unwrap_or_default();
            let known = (further.is_some() && p95 >= 0).then_some(p95 as f64 / 1e6);
            Some(Slot { counts, p95: known })
        })
    }
}

fn micros(seconds: f64) -> i64 {
    (seconds * 1e6).round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Span;

    fn recorded(minutes: std::ops::Range<i64>, history: &mut History) {
        for minute in minutes.filter(|minute| minute % 7 != 0) {
            let at = UnixMs(minute * 60_000);
            history.record_counts(at, minute as u64 % 5, 900 * (minute as u64 % 11));
            if minute % 3 == 0 {
                history.record_p95(at, 0.1 + minute as f64 / 10_000.0, 100);
            }
        }
    }

    fn text(kept: &Kept) -> String {
        serde_json::to_string(kept).unwrap()
    }

    #[test]
    fn what_was_written_down_is_the_same_history_again() {
        let mut history = History::new(Span::minutes(1));
        recorded(1..5_000, &mut history);
        let kept = text(&history.keep());
        assert!(kept.len() < 16_000, "{} bytes", kept.len());
        let mut again = History::new(Span::minutes(1));
        again.refill(&serde_json::from_str(&kept).unwrap());
        history.open = None;
        assert_eq!(again, history);
    }

    #[test]
    fn the_newest_slots_over_an_older_copy_are_the_whole() {
        let mut history = History::new(Span::minutes(1));
        recorded(1..3_000, &mut history);
        let (copy, at) = (history.keep(), UnixMs(2_999 * 60_000));
        recorded(3_000..3_031, &mut history);
        let newest = history.keep_since(at);
        assert!(text(&newest).len() < 500, "{}", text(&newest));
        let mut again = History::new(Span::minutes(1));
        again.refill(&copy);
        again.refill(&newest);
        history.open = None;
        assert_eq!(again, history);
    }

    #[test]
    fn an_older_copy_moves_with_the_clock_that_was_set_since() {
        for by_ms in [7_200_000, -7_200_000] {
            let mut history = History::new(Span::minutes(1));
            recorded(1..3_000, &mut history);
            let copy = history.keep();
            history.clock_set(by_ms);
            let at = UnixMs(2_999 * 60_000 + by_ms);
            let minutes = by_ms / 60_000;
            recorded(3_000 + minutes..3_031 + minutes, &mut history);
            let newest = history.keep_since(at);
            let mut again = History::new(Span::minutes(1));
            again.refill(&copy);
            again.refill(&newest);
            history.open = None;
            assert_eq!(again, history);
        }
    }

    #[test]
    fn a_history_in_other_slots_keeps_its_sums() {
        let mut fine = History::new(Span::minutes(1));
        (1..=120).for_each(|minute| fine.record_counts(UnixMs(minute * 60_000), 1, 10));
        let mut coarse = History::new(Span::minutes(5));
        coarse.refill(&fine.keep());
        let all = coarse.counts(UnixMs(0), UnixMs(120 * 60_000));
        assert_eq!(all, Some((120, 1200)));
    }

    /// A rate that was five times too high would make what comes look like a collapse.
    #[test]
    fn a_history_in_wider_slots_keeps_its_rate() {
        let mut coarse = History::new(Span::minutes(5));
        (1..=100).for_each(|slot| coarse.record_counts(UnixMs(slot * 300_000), 13, 502));
        let mut fine = coarse.clone();
        fine.follow(History::new(Span::minutes(1)));
        for minutes in [1, 7, 60] {
            let (from, to) = (UnixMs(9_000_000), UnixMs(9_000_000 + minutes * 60_000));
            let (bad, total) = fine.counts(from, to).unwrap();
            assert!((100 * minutes as u64..=101 * minutes as u64).contains(&total), "{total}");
            assert!((2 * minutes as u64..=3 * minutes as u64).contains(&bad), "{bad}");
        }
        let absurd = Kept { slot_ms: i64::MAX, ..coarse.keep() };
        let mut nothing = History::new(Span::minutes(1));
        nothing.refill(&absurd);
        assert_eq!(nothing.counts(UnixMs(0), UnixMs(36_000_000)), None);
        let mut same = coarse.clone();
        same.follow(History::new(Span::minutes(5)));
        assert_eq!(same, coarse);
    }

    #[test]
    fn a_damaged_text_is_no_more_than_a_shorter_history() {
        let mut history = History::new(Span::minutes(1));
        recorded(1..100, &mut history);
        let mut kept = history.keep();
        kept.counts.truncate(60);
        kept.p95s.insert(10, '?');
        kept.hours = "zzzz".into();
        let mut again = History::new(Span::minutes(1));
        again.refill(&kept);
        let (from, to) = (UnixMs(0), UnixMs(100 * 60_000));
        assert!(again.counts(from, to).unwrap().1 < history.counts(from, to).unwrap().1);
    }

    /// A copy in wider slots than those that are kept now.
    #[test]
    fn what_was_counted_over_several_slots_is_laid_into_those_before() {
        let mut history = History::new(Span::minutes(1));
        history.record_counts(UnixMs(60_000), 0, 5);
        history.spread(UnixMs(600_000), 180_000, (3, 31));
        let of = |minute: i64| {
            let (from, to) = (UnixMs((minute - 1) * 60_000), UnixMs(minute * 60_000));
            history.counts(from, to)
        };
        assert_eq!(
            [of(7), of(8), of(9), of(10)],
            [None, Some((1, 10)), Some((1, 10)), Some((1, 11))]
        );
    }
}

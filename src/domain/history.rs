//! What a service was like before a change: a bounded history of slots (minutes by default), with hours behind it.
//!
//! It answers what stands before every automatic step: was it failing already, would the rule have fired
//! anyway, how slow and how busy is normal. A slot that was never written is unknown, not empty.

mod kept;
mod slots;

use std::{collections::VecDeque, ops::Range, sync::Arc};

pub use self::kept::Kept;
use self::slots::{Slots, code_of_seconds, seconds};
use super::{
    baseline,
    signal::{Reading, Sample, Unknown},
    trigger::{Kind, Rule, State, Trigger},
};
use crate::units::{Span, UnixMs};

/// A period that belongs to an incident, and says nothing about what is normal.
pub type Excluded = Range<UnixMs>;

/// Shorter slots are kept as this long.
const SLOT_MIN_MS: i64 = 1_000;
const HOUR_MS: i64 = 3_600_000;

/// One hour, after it has passed: the median of its valid p95 and how many there were.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Hour {
    /// In seconds since the epoch.
    start: u32,
    /// As a slot has it.
    p95: u16,
    valid: u16,
}

/// The counts of one slot as they are, while they grow: rounding each sum anew would collect what is rounded off.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Open {
    number: i64,
    bad: u64,
    total: u64,
}

/// The history of one service's requests and latency. A count of 4,096 or more, and a latency, is as it was to 0.025 %.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    slot_ms: i64,
    capacity: usize,
    hours_capacity: usize,
    /// The number of the oldest slot; slot `k` is `(k * slot, (k + 1) * slot]`.
    first: i64,
    slots: Slots,
    open: Option<Open>,
    hours: VecDeque<Hour>,
    /// By how much the wall clock was set since the beginning, in milliseconds, all in all.
    set_ms: i64,
}

/// The shortest time before a change of which something is known wherever the two begin.
///
/// A slot of `step` lies whole in it that a sample fell into, where one comes every `every`: a shorter one can hold nothing.
pub fn window_min(step: Span, every: Span) -> Span {
    let slot_ms = step.ms().max(SLOT_MIN_MS);
    let slots = every.ms().max(1).div_euclid(slot_ms) + i64::from(every.ms() % slot_ms > 0);
    Span((slots.max(1) + 1) * slot_ms)
}

impl History {
    /// A history of a day in minutes (or in steps, where those are longer) and a week in hours: 10 kB when full, or
    /// 6 kB of counts alone.
    pub fn new(step: Span) -> Self {
        Self::with_limits(step.max(Span::minutes(1)), Span::hours(24), Span::hours(7 * 24))
    }

    /// A history in slots of `step` (at least a second), remembering them for `fine`, and hours for `coarse`.
    pub fn with_limits(step: Span, fine: Span, coarse: Span) -> Self {
        let slot_ms = step.ms().max(SLOT_MIN_MS);
        // One hour more than asked for: the window before a change ends up to an hour before its last slot.
        let capacity = (fine + Span::hours(1)).ms() / slot_ms + 1;
        Self {
            slot_ms,
            capacity: usize::try_from(capacity).unwrap_or(1).clamp(2, 100_000),
            hours_capacity: usize::try_from(coarse.ms() / HOUR_MS).unwrap_or(1).clamp(1, 10_000),
            first: 0,
            slots: Slots::default(),
            open: None,
            hours: VecDeque::new(),
            set_ms: 0,
        }
    }

    /// Adds the counts of a sample to the slot its end falls into.
    pub fn record_counts(&mut self, at: UnixMs, bad: u64, total: u64) {
        let Some(index) = self.index_of(at) else { return };
        let number = self.first + index as i64;
        let before = match self.open.filter(|open| open.number == number) {
            Some(open) => Some((open.bad, open.total)),
            None => self.slots.counts(index),
        };
        let (known_bad, known) = before.unwrap_or_default();
        let total = known.saturating_add(total);
        let bad = known_bad.saturating_add(bad).min(total);
        self.slots.set_counts(index, bad, total);
        // One that comes late leaves the newest slot open.
        if self.open.is_none_or(|open| open.number <= number) {
            self.open = Some(Open { number, bad, total });
        }
    }

    /// Sets the p95 (in seconds, over `requests` requests) of a slot; the last one in a slot stays. One over
    /// fewer than 20 requests is no material for a baseline and is left out.
    pub fn record_p95(&mut self, at: UnixMs, p95: f64, requests: u64) {
        let valid = p95.is_finite() && p95 >= 0.0 && requests >= baseline::REQUESTS;
        if let Some(index) = self.index_of(at)
            && valid
        {
            self.slots.set_p95(index, p95);
        }
    }

    /// Takes whatever of a sample belongs here.
    pub fn record(&mut self, sample: &Sample) {
        match sample.reading {
            Reading::Counts { bad, total } => self.record_counts(sample.at, bad, total),
            Reading::Gauge { value, n } => {
                self.record_p95(sample.at, value, n.unwrap_or(baseline::REQUESTS));
            }
            Reading::Up | Reading::Down | Reading::Unknown { .. } => {}
        }
    }

    /// Failed and all requests in the slots that lie within `(from, to]`; `None` when no slot there has counts.
    pub fn counts(&self, from: UnixMs, to: UnixMs) -> Option<(u64, u64)> {
        let known = self.within(from, to, &[]).filter_map(|index| self.slots.counts(index));
        known.reduce(|sum, counts| (sum.0 + counts.0, sum.1 + counts.1))
    }

    /// The valid p95 in seconds of the slots within `(from, to]`, without what is excluded.
    pub fn p95s(&self, from: UnixMs, to: UnixMs, excluded: &[Excluded]) -> Vec<f64> {
        self.within(from, to, excluded).filter_map(|index| self.slots.p95(index)).collect()
    }

    /// The median of the hourly medians before `to`, each weighted by its valid slots, and how many slots that were.
    pub fn hourly_p95(&self, to: UnixMs, excluded: &[Excluded]) -> Option<(f64, u32)> {
        let clear = |hour: &&Hour| {
            let start = hour.start();
            let end = start + Span::hours(1);
            end <= to && hour.valid > 0 && !overlaps(excluded, start, end)
        };
        // Codes are ordered as what they stand for.
        let mut hours: Vec<(u16, u32)> =
            self.hours.iter().filter(clear).map(|hour| (hour.p95, u32::from(hour.valid))).collect();
        hours.sort_unstable();
        let valid: u32 = hours.iter().map(|hour| hour.1).sum();
        let mut below = 0;
        let middle = hours.iter().find(|hour| {
            below += hour.1;
            below * 2 >= valid
        })?;
        Some((seconds(middle.0)?, valid))
    }

    /// The median number of requests a minute within `(from, to]`; `None` under 20 known slots.
    pub fn requests_per_minute(
        &self,
        from: UnixMs,
        to: UnixMs,
        excluded: &[Excluded],
    ) -> Option<f64> {
        let mut rates: Vec<f64> = self
            .within(from, to, excluded)
            .filter_map(|index| self.slots.counts(index))
            .map(|(_, total)| total as f64 * 60_000.0 / self.slot_ms as f64)
            .collect();
        (rates.len() >= baseline::SAMPLES).then(|| baseline::median(&mut rates))?
    }

    /// How often `rule` would have fired within `(from, to]`, outside what is excluded: onset by onset, as the
    /// live trigger would, with `baseline` as what is normal. A slot in which most probes failed is down.
    pub fn fired(
        &self,
        rule: &Arc<Rule>,
        baseline: Option<f64>,
        from: UnixMs,
        to: UnixMs,
        excluded: &[Excluded],
    ) -> u32 {
        let mut trigger = Trigger::new(Arc::clone(rule), Span(self.slot_ms));
        trigger.set_baseline(baseline);
        let mut fired = 0;
        for index in self.within(from, to, &[]) {
            let (end, slot) = (self.end_of(index), self.slots.slot(index));
            let reading = match (&rule.kind, slot.counts, slot.p95) {
                (Kind::Gauge(_), _, Some(value)) => Reading::Gauge { value, n: None },
                (Kind::Boolean, Some((bad, total)), _) if bad >= total - bad => Reading::Down,
                (Kind::Boolean, Some(_), _) => Reading::Up,
                (Kind::Ratio(_) | Kind::Traffic(_), Some((bad, total)), _) => {
                    Reading::Counts { bad, total }
                }
                (
                    Kind::Ratio(_)
                    | Kind::Traffic(_)
                    | Kind::Gauge(_)
                    | Kind::Boolean
                    | Kind::Event { .. }
                    // It compares what serves at once, of which no history tells.
                    | Kind::Comparison(_),
                    ..,
                ) => Reading::Unknown { why: Unknown::Missed },
            };
            let sample = Sample { at: end, width: Span(self.slot_ms), reading };
            let begins = trigger
                .observe(&sample)
                .is_some_and(|step| step.to == State::Firing && step.from < State::Firing);
            if begins && !overlaps(excluded, sample.start(), end) {
                fired += 1;
            }
        }
        fired
    }

    /// The wall clock was set: what was seen happened as long ago as before, to a slot's width.
    pub fn clock_set(&mut self, by_ms: i64) {
        self.set_ms = self.set_ms.saturating_add(by_ms);
        let slots = (by_ms as f64 / self.slot_ms as f64).round() as i64;
        self.first = self.first.saturating_add(slots);
        self.open = None;
        let by_s = by_ms / 1000;
        let set = |hour: &mut Hour| {
            let start = i64::from(hour.start).saturating_add(by_s);
            hour.start = u32::try_from(start.max(0)).unwrap_or(u32::MAX);
        };
        self.hours.iter_mut().for_each(set);
    }

    /// Bytes it takes now.
    pub fn memory(&self) -> usize {
        size_of::<Self>() + self.slots.memory() + self.hours.capacity() * size_of::<Hour>()
    }

    /// The places of the slots that lie within `(from, to]`, without what is excluded.
    fn within(
        &self,
        from: UnixMs,
        to: UnixMs,
        excluded: &[Excluded],
    ) -> impl Iterator<Item = usize> {
        // The first slot that starts at or after `from`, and the first that ends after `to`.
        let begin = (-(-from.0).div_euclid(self.slot_ms) - self.first).max(0);
        let end = (to.0.div_euclid(self.slot_ms) - self.first).max(begin);
        let count = self.slots.len();
        let clip = |index: i64| usize::try_from(index).unwrap_or(usize::MAX).min(count);
        (clip(begin)..clip(end)).filter(move |index| {
            let end = self.end_of(*index);
            !overlaps(excluded, end - Span(self.slot_ms), end)
        })
    }

    fn end_of(&self, index: usize) -> UnixMs {
        UnixMs((self.first + index as i64 + 1) * self.slot_ms)
    }

    fn index_of(&mut self, at: UnixMs) -> Option<usize> {
        let number = (at.0 - 1).div_euclid(self.slot_ms);
        if self.slots.len() == 0 {
            self.first = number;
        }
        let mut index = usize::try_from(number - self.first).ok()?;
        if index >= self.slots.len() + self.capacity {
            self.close_hour();
            self.slots.clear();
            self.first = number;
            index = 0;
        }
        while self.slots.len() <= index {
            let next = self.first + self.slots.len() as i64;
            if next * self.slot_ms % HOUR_MS < self.slot_ms {
                self.close_hour();
            }
            if self.slots.len() == self.capacity {
                self.first += 1;
                index -= 1;
            }
            self.slots.push(self.capacity);
        }
        Some(index)
    }

    /// Keeps the median of the hour that the newest slot belongs to.
    fn close_hour(&mut self) {
        let Some(newest) = self.slots.len().checked_sub(1) else { return };
        let last = (self.first + newest as i64) * self.slot_ms;
        let start = last - last.rem_euclid(HOUR_MS);
        let mut p95s = self.p95s(UnixMs(start), UnixMs(last + self.slot_ms), &[]);
        let valid = u16::try_from(p95s.len()).unwrap_or(u16::MAX);
        let (Some(median), Ok(start)) = (baseline::median(&mut p95s), u32::try_from(start / 1000))
        else {
            return;
        };
        self.keep_hour(Hour { start, p95: code_of_seconds(median), valid });
    }

    /// What is laid out again from what was written down has its hours already.
    fn keep_hour(&mut self, hour: Hour) {
        if self.hours.back().is_some_and(|newest| newest.start >= hour.start) {
            return;
        }
        if self.hours.len() == self.hours_capacity {
            self.hours.pop_front();
        }
        slots::grow(&mut self.hours, self.hours_capacity);
        self.hours.push_back(hour);
    }
}

impl Hour {
    fn start(self) -> UnixMs {
        UnixMs(i64::from(self.start) * 1000)
    }
}

fn overlaps(excluded: &[Excluded], start: UnixMs, end: UnixMs) -> bool {
    excluded.iter().any(|period| period.start < end && start < period.end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{
            severity::Severity,
            trigger::{Escalation, Limit, Unit},
        },
        units::{Multiple, Percent},
    };

    fn minutes(range: Range<i64>, bad: u64, total: u64, history: &mut History) {
        for minute in range {
            history.record_counts(UnixMs(minute * 60_000), bad, total);
        }
    }

    #[test]
    fn a_slot_never_written_is_unknown() {
        let mut history = History::new(Span::seconds(60));
        minutes(1..11, 0, 100, &mut history);
        minutes(20..31, 5, 100, &mut history);
        let at = |minute: i64| UnixMs(minute * 60_000);
        assert_eq!(history.counts(at(0), at(30)), Some((55, 2100)));
        assert_eq!(history.counts(at(10), at(19)), None);
        assert_eq!(history.counts(at(29), at(30)), Some((5, 100)));
    }

    #[test]
    fn it_is_bounded_and_keeps_the_newest() {
        let mut history = History::new(Span::seconds(60));
        for minute in 1..20_000 {
            history.record_counts(UnixMs(minute * 60_000), 0, 10);
            history.record_p95(UnixMs(minute * 60_000), 0.2, 100);
        }
        assert!(history.slots.len() <= 1501 && history.hours.len() <= 168);
        assert!((10_000..11_000).contains(&history.memory()), "{} bytes", history.memory());
        let now = UnixMs(19_999 * 60_000);
        assert_eq!(history.counts(now - Span::minutes(30), now), Some((0, 300)));
        let (week, valid) = history.hourly_p95(now, &[]).unwrap();
        assert!((week - 0.2).abs() < 0.2 / 4096.0 && valid > 9_000);
        history.record_counts(UnixMs(i64::MAX / 2), 1, 1);
        assert_eq!(history.slots.len(), 1, "a jump of years costs nothing");
    }

    #[test]
    fn probes_and_quantiles_are_replayed_alike() {
        let mut probes = History::new(Span::seconds(60));
        minutes(1..60, 0, 4, &mut probes);
        minutes(60..64, 4, 4, &mut probes);
        minutes(64..90, 1, 4, &mut probes);
        let rule = Rule::boolean(Severity::P0, Span::minutes(2), Span::seconds(15));
        let at = |minute: i64| UnixMs(minute * 60_000);
        assert_eq!(probes.fired(&Arc::new(rule), None, at(0), at(90), &[]), 1);
        let mut slow = History::new(Span::seconds(60));
        for minute in 1..60 {
            let p95 = if (20..40).contains(&minute) { 0.9 } else { 0.1 };
            slow.record_p95(at(minute), p95, 100);
        }
        let limit = Limit::Baseline(Multiple(3.0));
        let rule = Rule::gauge(Severity::P1, limit, Unit::Seconds, Span::minutes(10));
        assert_eq!(slow.fired(&Arc::new(rule), Some(0.1), at(0), at(60), &[]), 1);
    }

    #[test]
    fn what_would_have_fired_before_the_change_is_counted_once_each() {
        let mut history = History::new(Span::seconds(60));
        minutes(1..60, 0, 100, &mut history);
        minutes(60..70, 20, 100, &mut history);
        minutes(70..100, 0, 100, &mut history);
        minutes(100..110, 20, 100, &mut history);
        minutes(110..200, 0, 100, &mut history);
        let rule = Arc::new(Rule::ratio(Severity::P1, Percent(0.05), Span::minutes(5)));
        let at = |minute: i64| UnixMs(minute * 60_000);
        let fired = |to, excluded: &[Excluded]| history.fired(&rule, None, at(0), at(to), excluded);
        assert_eq!(fired(200, &[]), 2);
        let acknowledged = at(95)..at(120);
        assert_eq!(fired(200, &[acknowledged]), 1);
        assert_eq!(fired(50, &[]), 0);
    }

    #[test]
    fn hours_that_belong_to_an_incident_or_come_later_are_not_what_is_normal() {
        let mut history = History::new(Span::minutes(1));
        let at = |minute: i64| UnixMs(minute * 60_000);
        let start = 24 * 60;
        for minute in start + 1..=start + 180 {
            let slow = if (start + 60..=start + 120).contains(&minute) { 0.9 } else { 0.1 };
            history.record_p95(at(minute), slow, 100);
        }
        history.record_p95(at(start + 181), 0.1, 100);
        let of = |to, excluded: &[Excluded]| history.hourly_p95(at(to), excluded).map(|h| h.1);
        assert_eq!(of(start + 180, &[]), Some(180));
        assert_eq!(of(start + 179, &[]), Some(120), "an hour that was not over");
        assert_eq!(of(start + 59, &[]), None);
        let incident = at(start + 70)..at(start + 100);
        assert_eq!(of(start + 180, &[incident]), Some(120));
        let long_ago = at(0)..at(start);
        assert_eq!(of(start + 180, &[long_ago]), Some(180));
    }

    #[test]
    fn a_breach_that_only_got_worse_would_have_fired_once() {
        let mut history = History::new(Span::seconds(60));
        minutes(1..60, 0, 100, &mut history);
        minutes(60..70, 20, 100, &mut history);
        minutes(70..80, 90, 100, &mut history);
        let rule = Rule::ratio(Severity::P1, Percent(0.05), Span::minutes(5));
        let rule = Arc::new(rule.with_escalation(Escalation::default()));
        let (from, to) = (UnixMs(0), UnixMs(80 * 60_000));
        assert_eq!(history.fired(&rule, None, from, to, &[]), 1);
    }

    #[test]
    fn what_was_seen_is_as_long_ago_as_before_when_the_clock_is_set() {
        let by = Span::hours(2);
        let now = UnixMs(30 * 3_600_000);
        for by_ms in [by.ms(), -by.ms()] {
            let mut history = History::new(Span::minutes(1));
            for minute in 1_501..1_801 {
                minutes(minute..minute + 1, 1, 100, &mut history);
                history.record_p95(UnixMs(minute * 60_000), 0.1, 100);
            }
            let seen = |h: &History, at: UnixMs| {
                let minutes = h.counts(at - Span::minutes(10), at);
                (minutes, h.hourly_p95(at, &[]).map(|(_, valid)| valid))
            };
            let before = seen(&history, now);
            assert_eq!(before, (Some((10, 1_000)), Some(240)));
            history.clock_set(by_ms);
            assert_eq!(seen(&history, now.set_by(by_ms)), before);
        }
    }

    #[test]
    fn the_shortest_window_holds_a_sample_wherever_it_begins_and_a_shorter_one_may_not() {
        for (step, every) in [(60, 15), (60, 60), (60, 150), (1, 1), (5, 12)] {
            let step = Span::seconds(step);
            let mut history = History::with_limits(step, Span::hours(1), Span::hours(24));
            let samples = (1..).map(|n| n * every * 1_000 + 400).take_while(|at| *at < 1_900_000);
            samples.for_each(|at| history.record_counts(UnixMs(at), 0, 1));
            let least = window_min(step, Span::seconds(every));
            let known = |window: Span| {
                let changes = (900_000..1_500_000).step_by(250).map(UnixMs);
                changes.filter(|to| history.counts(*to - window, *to).is_none()).count()
            };
            assert_eq!(known(least), 0, "{step} {every}");
            assert_ne!(known(least - step), 0, "{step} {every}");
        }
    }

    /// The half an hour before a change that ends an hour ago is still there.
    #[test]
    fn an_hour_more_is_remembered_than_was_asked_for() {
        let mut history = History::with_limits(Span::minutes(1), Span::hours(2), Span::hours(24));
        (1..=175).for_each(|minute| history.record_counts(UnixMs(minute * 60_000), 0, 1));
        assert_eq!(history.counts(UnixMs(0), UnixMs(600_000)), Some((0, 10)));
    }
}

//! What a service was like before a change: a bounded history of slots (minutes by default), with hours behind it.
//!
//! It answers what stands before every automatic step: was it failing already, would the rule have fired
//! anyway, how slow and how busy is normal. A slot that was never written is unknown, not empty.

use std::{collections::VecDeque, ops::Range, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    baseline,
    signal::{Reading, Sample, Unknown},
    trigger::{Kind, Rule, State, Trigger},
};
use crate::units::{Span, UnixMs};

/// A period that belongs to an incident, and says nothing about what is normal.
pub type Excluded = Range<UnixMs>;

const ABSENT: u32 = u32::MAX;

/// One slot: 12 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Slot {
    bad: u32,
    /// [`ABSENT`] when no counts were read.
    total: u32,
    /// Seconds; negative when there was none, or over too few requests.
    p95: f32,
}

const EMPTY: Slot = Slot { bad: 0, total: ABSENT, p95: -1.0 };

/// One hour, after it has passed: the median of its valid p95 and how many there were.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Hour {
    start: i64,
    p95: f32,
    valid: u16,
}

/// The history of one service's requests and latency.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct History {
    slot_ms: i64,
    capacity: usize,
    hours_capacity: usize,
    /// The number of the oldest slot; slot `k` is `(k * slot, (k + 1) * slot]`.
    first: i64,
    slots: VecDeque<Slot>,
    hours: VecDeque<Hour>,
}

impl History {
    /// A history of a day in minutes (or in steps, where those are longer) and a week in hours: 20 kB when full.
    pub fn new(step: Span) -> Self {
        Self::with_limits(step.max(Span::minutes(1)), Span::hours(24), Span::hours(7 * 24))
    }

    /// A history in slots of `step` (at least a second), remembering them for `fine`, and hours for `coarse`.
    pub fn with_limits(step: Span, fine: Span, coarse: Span) -> Self {
        let slot_ms = step.ms().max(1_000);
        // One hour more than asked for: the window before a change ends up to an hour before its last slot.
        let capacity = (fine + Span::hours(1)).ms() / slot_ms + 1;
        Self {
            slot_ms,
            capacity: usize::try_from(capacity).unwrap_or(1).clamp(2, 100_000),
            hours_capacity: usize::try_from(coarse.ms() / 3_600_000).unwrap_or(1).clamp(1, 10_000),
            first: 0,
            slots: VecDeque::new(),
            hours: VecDeque::new(),
        }
    }

    /// Adds the counts of a sample to the slot its end falls into.
    pub fn record_counts(&mut self, at: UnixMs, bad: u64, total: u64) {
        if let Some(slot) = self.slot_at(at) {
            let before = if slot.total == ABSENT { 0 } else { slot.total };
            let total = u32::try_from(total).unwrap_or(ABSENT);
            slot.total = before.saturating_add(total).min(ABSENT - 1);
            slot.bad =
                slot.bad.saturating_add(u32::try_from(bad).unwrap_or(ABSENT)).min(slot.total);
        }
    }

    /// Sets the p95 (in seconds, over `requests` requests) of a slot; the last one in a slot stays. One over
    /// fewer than 20 requests is no material for a baseline and is left out.
    pub fn record_p95(&mut self, at: UnixMs, p95: f64, requests: u64) {
        let valid = p95.is_finite() && p95 >= 0.0 && requests >= baseline::REQUESTS;
        if let Some(slot) = self.slot_at(at)
            && valid
        {
            slot.p95 = p95 as f32;
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
        let known = |(_, slot): (UnixMs, Slot)| (slot.total != ABSENT).then_some(slot);
        self.within(from, to, &[]).filter_map(known).fold(None, |sum, slot| {
            let (bad, total) = sum.unwrap_or((0, 0));
            Some((bad + u64::from(slot.bad), total + u64::from(slot.total)))
        })
    }

    /// The lower bound of the error ratio over the 30 min before `change`; `None` without requests there.
    pub fn bound_before(&self, change: UnixMs, z: f64) -> Option<f64> {
        let (bad, total) = self.counts(change - Span::minutes(30), change)?;
        (total > 0).then(|| super::wilson::lower_bound(bad, total, z))
    }

    /// The valid p95 in seconds of the slots within `(from, to]`, without what is excluded.
    pub fn p95s(&self, from: UnixMs, to: UnixMs, excluded: &[Excluded]) -> Vec<f64> {
        self.within(from, to, excluded)
            .filter(|(_, slot)| slot.p95 >= 0.0)
            .map(|(_, slot)| f64::from(slot.p95))
            .collect()
    }

    /// The median of the hourly medians before `to`, each weighted by its valid slots, and how many slots that were.
    pub fn hourly_p95(&self, to: UnixMs, excluded: &[Excluded]) -> Option<(f64, u32)> {
        let clear = |hour: &&Hour| {
            let (start, end) = (UnixMs(hour.start), UnixMs(hour.start) + Span::hours(1));
            end <= to && hour.valid > 0 && !overlaps(excluded, start, end)
        };
        let mut hours: Vec<(f32, u32)> =
            self.hours.iter().filter(clear).map(|hour| (hour.p95, u32::from(hour.valid))).collect();
        hours.sort_by(|a, b| a.0.total_cmp(&b.0));
        let valid: u32 = hours.iter().map(|hour| hour.1).sum();
        let mut below = 0;
        let middle = hours.iter().find(|hour| {
            below += hour.1;
            below * 2 >= valid
        })?;
        Some((f64::from(middle.0), valid))
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
            .filter(|(_, slot)| slot.total != ABSENT)
            .map(|(_, slot)| f64::from(slot.total) * 60_000.0 / self.slot_ms as f64)
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
        for (end, slot) in self.within(from, to, &[]) {
            let counted = slot.total != ABSENT;
            let reading = match &rule.kind {
                Kind::Gauge(_) if slot.p95 >= 0.0 => {
                    Reading::Gauge { value: f64::from(slot.p95), n: None }
                }
                Kind::Boolean if counted && slot.bad >= slot.total - slot.bad => Reading::Down,
                Kind::Boolean if counted => Reading::Up,
                Kind::Ratio(_) | Kind::Traffic(_) if counted => {
                    Reading::Counts { bad: u64::from(slot.bad), total: u64::from(slot.total) }
                }
                Kind::Ratio(_)
                | Kind::Traffic(_)
                | Kind::Gauge(_)
                | Kind::Boolean
                | Kind::Event { .. } => Reading::Unknown { why: Unknown::Missed },
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
        let slots = (by_ms as f64 / self.slot_ms as f64).round() as i64;
        self.first = self.first.saturating_add(slots);
        self.hours.iter_mut().for_each(|hour| hour.start = hour.start.saturating_add(by_ms));
    }

    /// Bytes it takes now.
    pub fn memory(&self) -> usize {
        size_of::<Self>()
            + self.slots.capacity() * size_of::<Slot>()
            + self.hours.capacity() * size_of::<Hour>()
    }

    fn within(
        &self,
        from: UnixMs,
        to: UnixMs,
        excluded: &[Excluded],
    ) -> impl Iterator<Item = (UnixMs, Slot)> {
        // The first slot that starts at or after `from`, and the first that ends after `to`.
        let begin = (-(-from.0).div_euclid(self.slot_ms) - self.first).max(0);
        let end = (to.0.div_euclid(self.slot_ms) - self.first).max(begin);
        let count = self.slots.len();
        let clip = |index: i64| usize::try_from(index).unwrap_or(usize::MAX).min(count);
        self.slots
            .range(clip(begin)..clip(end))
            .zip(self.first + begin..)
            .map(|(slot, number)| (UnixMs((number + 1) * self.slot_ms), *slot))
            .filter(move |(end, _)| !overlaps(excluded, *end - Span(self.slot_ms), *end))
    }

    fn slot_at(&mut self, at: UnixMs) -> Option<&mut Slot> {
        let number = (at.0 - 1).div_euclid(self.slot_ms);
        if self.slots.is_empty() {
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
            let next = self.first + i64::try_from(self.slots.len()).unwrap_or(0);
            if next * self.slot_ms % 3_600_000 < self.slot_ms {
                self.close_hour();
            }
            if self.slots.len() == self.capacity {
                self.slots.pop_front();
                self.first += 1;
                index -= 1;
            }
            self.slots.push_back(EMPTY);
        }
        self.slots.get_mut(index)
    }

    /// Keeps the median of the hour that the newest slot belongs to.
    fn close_hour(&mut self) {
        let Some(newest) = i64::try_from(self.slots.len()).ok().filter(|count| *count > 0) else {
            return;
        };
        let last = (self.first + newest - 1) * self.slot_ms;
        let start = last - last.rem_euclid(3_600_000);
        let mut p95s = self.p95s(UnixMs(start), UnixMs(last + self.slot_ms), &[]);
        let valid = u16::try_from(p95s.len()).unwrap_or(u16::MAX);
        let Some(median) = baseline::median(&mut p95s) else { return };
        if self.hours.len() == self.hours_capacity {
            self.hours.pop_front();
        }
        self.hours.push_back(Hour { start, p95: median as f32, valid });
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
            trigger::{Limit, Unit},
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
        assert!(history.memory() < 40_000, "{} bytes", history.memory());
        let now = UnixMs(19_999 * 60_000);
        assert_eq!(history.counts(now - Span::minutes(30), now), Some((0, 300)));
        let (week, valid) = history.hourly_p95(now, &[]).unwrap();
        assert!((week - 0.2).abs() < 1e-6 && valid > 9_000);
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
}

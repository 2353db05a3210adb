//! The slots themselves, two bytes a number, each kind of number in a column of its own that takes nothing before it is
//! used.
//!
//! A number below 4,096 is exact; beyond, it is rounded to twelve significant bits: by less than 0.025 %, and a ratio of
//! two by less than 0.05 %. Rounding keeps order, so that what failed never exceeds all there was.

use std::collections::VecDeque;

/// A number that is not known.
const ABSENT: u16 = u16::MAX;
/// The largest number that has a code: more than a million million.
const LARGEST: u16 = 30 << 11 | 2047;
/// A column grows by no less than so many slots.
const GROWTH: usize = 60;

/// A number as its code: eleven bits, and how often they are doubled.
pub(super) fn code(number: u64) -> u16 {
    let Some(doubled) = (u64::BITS - number.leading_zeros()).checked_sub(12) else {
        return number as u16;
    };
    // Half of what is cut off is added, and may carry into one bit more.
    let rounded = number.saturating_add(1 << doubled >> 1) >> doubled;
    let (doubled, rounded) = if rounded == 4096 { (doubled + 1, 2048) } else { (doubled, rounded) };
    if doubled > 29 {
        return LARGEST;
    }
    (doubled as u16 + 1) << 11 | (rounded - 2048) as u16
}

/// The number of a code; none of the one that is not known.
pub(super) fn number(code: u16) -> Option<u64> {
    let low = u64::from(code & 2047);
    match code >> 11 {
        31 => None,
        0 => Some(low),
        doubled => Some((2048 + low) << (doubled - 1)),
    }
}

/// Seconds as the code of their microseconds.
pub(super) fn code_of_seconds(seconds: f64) -> u16 {
    code((seconds * 1e6).round() as u64)
}

/// Seconds of a code.
pub(super) fn seconds(code: u16) -> Option<f64> {
    number(code).map(|micros| micros as f64 / 1e6)
}

/// One slot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Slot {
    /// Failed requests and all of them, where any were counted.
    pub(super) counts: Option<(u64, u64)>,
    /// In seconds.
    pub(super) p95: Option<f64>,
}

/// Slots, oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Slots {
    len: usize,
    counts: VecDeque<[u16; 2]>,
    p95s: VecDeque<u16>,
}

impl Slots {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds one of which nothing is known; the oldest goes where there are `most` already.
    pub(super) fn push(&mut self, most: usize) {
        if self.len == most {
            self.counts.pop_front();
            self.p95s.pop_front();
        } else {
            self.len += 1;
        }
        if self.counts.capacity() > 0 {
            grow(&mut self.counts, most);
            self.counts.push_back([ABSENT; 2]);
        }
        if self.p95s.capacity() > 0 {
            grow(&mut self.p95s, most);
            self.p95s.push_back(ABSENT);
        }
    }

    /// Forgets all, and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.len = 0;
        self.counts.clear();
        self.p95s.clear();
    }

    /// One of them.
    pub(super) fn slot(&self, index: usize) -> Slot {
        Slot { counts: self.counts(index), p95: self.p95(index) }
    }

    pub(super) fn counts(&self, index: usize) -> Option<(u64, u64)> {
        let [bad, total] = *self.counts.get(index)?;
        Some((number(bad)?, number(total)?))
    }

    pub(super) fn p95(&self, index: usize) -> Option<f64> {
        self.p95s.get(index).copied().and_then(seconds)
    }

    pub(super) fn set_counts(&mut self, index: usize, bad: u64, total: u64) {
        fill(&mut self.counts, self.len, [ABSENT; 2]);
        if let Some(slot) = self.counts.get_mut(index) {
            *slot = [code(bad), code(total)];
        }
    }

    pub(super) fn set_p95(&mut self, index: usize, p95: f64) {
        fill(&mut self.p95s, self.len, ABSENT);
        if let Some(slot) = self.p95s.get_mut(index) {
            *slot = code_of_seconds(p95);
        }
    }

    /// Bytes held beside the struct itself.
    pub(super) fn memory(&self) -> usize {
        self.counts.capacity() * size_of::<[u16; 2]>() + self.p95s.capacity() * size_of::<u16>()
    }
}

/// The first number of its kind: of the slots before it nothing is known.
fn fill<T: Copy>(column: &mut VecDeque<T>, len: usize, absent: T) {
    if column.len() < len {
        column.reserve_exact(len - column.len());
        column.resize(len, absent);
    }
}

/// Room for one more, by halves and never beyond what it can hold: doubling would leave a third unused for ever.
pub(super) fn grow<T>(column: &mut VecDeque<T>, most: usize) {
    if column.len() == column.capacity() {
        let more = (column.len() / 2).max(GROWTH).min(most.saturating_sub(column.len()));
        column.reserve_exact(more.max(1));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_number_below_4096_is_exact_and_what_is_beyond_all_is_the_largest() {
        assert!((0..4096).all(|count| number(code(count)) == Some(count)));
        assert_eq!(number(ABSENT), None);
        assert_eq!(code(u64::MAX), LARGEST);
        assert_eq!(number(LARGEST), Some(4095 << 29));
    }

    #[test]
    fn a_column_takes_nothing_before_it_is_used() {
        let mut slots = Slots::default();
        (0..100).for_each(|_| slots.push(80));
        assert_eq!((slots.len(), slots.memory()), (80, 0));
        slots.set_p95(79, 0.2);
        slots.push(80);
        assert_eq!(slots.slot(78), Slot { counts: None, p95: Some(0.2) });
        assert_eq!(slots.slot(79), Slot { counts: None, p95: None });
        assert_eq!(slots.memory(), 160);
    }

    #[test]
    fn a_column_grows_by_half_of_what_it_holds_and_never_beyond_the_most() {
        let grown = |len: usize, most: usize| {
            let mut column = VecDeque::with_capacity(len);
            column.resize(len, 0_u8);
            grow(&mut column, most);
            column.capacity()
        };
        assert_eq!(grown(1_000, 10_000), 1_500);
        assert_eq!(grown(10, 10_000), 10 + GROWTH, "not one by one in the beginning");
        assert_eq!(grown(1_000, 1_200), 1_200);
    }

    proptest! {
        #[test]
        fn rounding_is_small_and_keeps_order(one in 0_u64..1 << 41, other in 0_u64..1 << 41) {
            let near = |count: u64| number(code(count)).unwrap_or(0) as f64;
            prop_assert!((near(one) - one as f64).abs() <= one as f64 / 4096.0);
            let (low, high) = (one.min(other), one.max(other));
            prop_assert!(near(low) <= near(high));
            let (ratio, rounded) = (low as f64 / high as f64, near(low) / near(high));
            prop_assert!(high == 0 || (rounded - ratio).abs() <= ratio * 0.0005);
        }
    }

    #[test]
    fn what_comes_first_has_room_for_all_that_was_unknown_before_and_no_more() {
        let mut column = VecDeque::from([7_u8]);
        column.shrink_to_fit();
        fill(&mut column, 1_000, 0);
        assert_eq!((column.len(), column.iter().sum::<u8>()), (1_000, 7));
        assert!(column.capacity() < 1_100, "{}", column.capacity());
    }
}

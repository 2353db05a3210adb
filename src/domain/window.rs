//! The sliding window of counts that a ratio trigger looks at: trailing sums of fixed widths, kept as they slide.
//!
//! A push costs a few additions, whatever the widths; nothing is allocated after construction, and nothing
//! is ever rescanned. Sums are integers, so that no rounding can collect over days.

pub mod as_text;

use serde::{Deserialize, Serialize};

use crate::units::{Span, UnixMs};

/// How many trailing widths are kept beside the horizon.
pub const BUCKETS: usize = 5;

/// Counts over one trailing width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// How far it reaches back.
    pub width: Span,
    /// Failed requests in it.
    pub bad: u64,
    /// All requests in it; never zero.
    pub total: u64,
}

impl Bucket {
    /// `bad / total`, in 0..=1.
    #[inline]
    pub fn ratio(&self) -> f64 {
        self.bad as f64 / self.total as f64
    }
}

/// What the whole horizon (30 min by default) holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Horizon {
    /// Failed requests.
    pub bad: u64,
    /// All requests.
    pub total: u64,
    /// Time judged to be in breach.
    pub breached: Span,
    /// Runs of breach that ended, or still last, within the horizon; only clean time separates two.
    pub episodes: u32,
    /// The end of the newest breaching interval ever seen.
    pub last_breach: Option<UnixMs>,
}

/// One interval as it is kept; the instant is the low half of its milliseconds, for only differences of less
/// than a horizon are ever taken.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    at: u32,
    bad: u32,
    total: u32,
    /// Milliseconds of known time, shifted over the two bits of its judgement.
    known: u32,
}

const UNJUDGED: u32 = 0;
const CLEAN: u32 = 1;
const BREACH: u32 = 2;
/// In breach, and the newest of its episode: an episode is in the horizon as long as its last entry is.
const BREACH_LAST: u32 = 3;
const MARKS: u32 = 3;

/// One trailing sum: everything from `from` to the newest entry.
#[derive(Clone, Copy, Debug, Default)]
struct Tail {
    width: u32,
    from: u32,
    bad: u64,
    total: u64,
}

/// An entry of a window written down, to survive a restart: end in milliseconds, known milliseconds, bad, total,
/// judged to be in breach.
pub type Kept = (i64, u32, u32, u32, Option<bool>);

/// Intervals of counts over the horizon, and their trailing sums.
#[derive(Clone, Debug)]
pub struct Window {
    entries: Box<[Entry]>,
    /// The number of entries ever pushed, wrapping; entry `i` lives at `i & (capacity - 1)`.
    next: u32,
    newest: i64,
    tails: [Tail; BUCKETS],
    all: Tail,
    breached: u64,
    episodes: u32,
    in_episode: bool,
    last_breach: Option<(u32, i64)>,
}

impl Window {
    /// A window for intervals of about `step` that remembers `horizon`, with trailing sums over `buckets`
    /// (ascending). Holds at most 4,096 intervals; beyond that the oldest are given up early.
    pub fn new(step: Span, horizon: Span, buckets: [Span; BUCKETS]) -> Self {
        let reach = horizon.max(buckets[BUCKETS - 1]).ms().clamp(1, i64::from(u32::MAX / 8));
        let slots = (reach / step.ms().max(1) + 2).clamp(2, 4096);
        let capacity = usize::try_from(slots).unwrap_or(4096).next_power_of_two();
        let tail = |span: Span| Tail {
            width: u32::try_from(span.ms().clamp(1, reach)).unwrap_or(u32::MAX),
            ..Tail::default()
        };
        Self {
            entries: vec![Entry::default(); capacity].into_boxed_slice(),
            next: 0,
            newest: i64::MIN,
            tails: buckets.map(tail),
            all: tail(Span(reach)),
            breached: 0,
            episodes: 0,
            in_episode: false,
            last_breach: None,
        }
    }

    /// Adds the interval that ends at `at`, of which `known` is known time. Must be newer than the one before;
    /// counts beyond 4,294,967,295 in one interval are cut to that.
    #[inline]
    pub fn push(&mut self, at: UnixMs, known: Span, bad: u64, total: u64) {
        if self.newest != i64::MIN && at.0.saturating_sub(self.newest) > i64::from(self.all.width) {
            self.clear();
        }
        if self.next.wrapping_sub(self.all.from) as usize == self.entries.len() {
            self.give_up_oldest();
        }
        let total = u32::try_from(total).unwrap_or(u32::MAX);
        let bad = u32::try_from(bad).unwrap_or(u32::MAX).min(total);
        let known = u32::try_from(known.ms().max(0)).unwrap_or(u32::MAX).min(u32::MAX >> 2);
        let slot = self.slot(self.next);
        self.entries[slot] = Entry { at: at.0 as u32, bad, total, known: known << 2 | UNJUDGED };
        self.next = self.next.wrapping_add(1);
        for tail in self.tails.iter_mut().chain([&mut self.all]) {
            tail.bad += u64::from(bad);
            tail.total += u64::from(total);
        }
        self.newest = at.0;
        self.slide(at.0 as u32);
    }

    /// Lets time pass without an interval, so that old ones leave.
    pub fn advance(&mut self, at: UnixMs) {
        if self.newest == i64::MIN || at.0 <= self.newest {
            return;
        }
        if at.0.saturating_sub(self.newest) > i64::from(self.all.width) {
            self.clear();
        } else {
            self.slide(at.0 as u32);
        }
    }

    /// Judges the newest interval. Call at most once for each push.
    #[inline]
    pub fn mark(&mut self, breach: bool) {
        let index = self.next.wrapping_sub(1);
        let slot = self.slot(index);
        if !breach {
            self.entries[slot].known |= CLEAN;
            self.in_episode = false;
            return;
        }
        match self.last_breach {
            Some((last, _)) if self.in_episode && self.holds(last) => {
                let last = self.slot(last);
                self.entries[last].known = self.entries[last].known & !MARKS | BREACH;
            }
            Some(_) | None => self.episodes += 1,
        }
        self.entries[slot].known |= BREACH_LAST;
        self.breached += u64::from(self.entries[slot].known >> 2);
        self.in_episode = true;
        self.last_breach = Some((index, self.newest));
    }

    /// The smallest trailing width with at least `enough` requests, else the widest with any; `None` without.
    #[inline]
    pub fn bucket(&self, enough: u64) -> Option<Bucket> {
        let widest = &self.tails[BUCKETS - 1];
        let tail = self.tails.iter().find(|tail| tail.total >= enough).unwrap_or(widest);
        (tail.total > 0).then_some(Bucket {
            width: Span(i64::from(tail.width)),
            bad: tail.bad,
            total: tail.total,
        })
    }

    /// What the horizon holds.
    #[inline]
    pub fn horizon(&self) -> Horizon {
        Horizon {
            bad: self.all.bad,
            total: self.all.total,
            breached: Span(i64::try_from(self.breached).unwrap_or(i64::MAX)),
            episodes: self.episodes,
            last_breach: self.last_breach.map(|(_, at)| UnixMs(at)),
        }
    }

    /// The start (as far as known) of the oldest interval within the horizon that was judged to be in breach.
    pub fn first_breach(&self) -> Option<UnixMs> {
        let breach = |kept: &Kept| kept.4 == Some(true);
        self.keep().into_iter().find(breach).map(|(at, known, ..)| UnixMs(at - i64::from(known)))
    }

    /// Forgets everything, keeping the memory.
    pub fn clear(&mut self) {
        for tail in self.tails.iter_mut().chain([&mut self.all]) {
            *tail = Tail { width: tail.width, from: self.next, bad: 0, total: 0 };
        }
        self.newest = i64::MIN;
        self.breached = 0;
        self.episodes = 0;
        self.in_episode = false;
        self.last_breach = None;
    }

    /// What to write down to build the same window again with [`Window::refill`].
    pub fn keep(&self) -> Vec<Kept> {
        let count = self.next.wrapping_sub(self.all.from);
        (0..count)
            .map(|offset| {
                let entry = self.entries[self.slot(self.all.from.wrapping_add(offset))];
                let age = (self.newest as u32).wrapping_sub(entry.at);
                let judged = match entry.known & MARKS {
                    UNJUDGED => None,
                    CLEAN => Some(false),
                    _ => Some(true),
                };
                (self.newest - i64::from(age), entry.known >> 2, entry.bad, entry.total, judged)
            })
            .collect()
    }

    /// Fills an empty window with what was kept; sums are taken anew, so damaged numbers cannot disagree.
    pub fn refill(&mut self, kept: &[Kept]) {
        for &(at, known, bad, total, judged) in kept {
            if at <= self.newest {
                continue;
            }
            self.push(UnixMs(at), Span(i64::from(known)), u64::from(bad), u64::from(total));
            if let Some(breach) = judged {
                self.mark(breach);
            }
        }
    }

    /// Bytes this window takes, with what it points to.
    pub fn memory(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.entries)
    }

    #[inline]
    fn slot(&self, index: u32) -> usize {
        index as usize & (self.entries.len() - 1)
    }

    fn holds(&self, index: u32) -> bool {
        index.wrapping_sub(self.all.from) < self.next.wrapping_sub(self.all.from)
    }

    #[inline]
    fn slide(&mut self, now: u32) {
        let mask = self.entries.len() - 1;
        for tail in &mut self.tails {
            while tail.from != self.next {
                let entry = &self.entries[tail.from as usize & mask];
                if now.wrapping_sub(entry.at) < tail.width {
                    break;
                }
                tail.bad -= u64::from(entry.bad);
                tail.total -= u64::from(entry.total);
                tail.from = tail.from.wrapping_add(1);
            }
        }
        while self.all.from != self.next {
            let entry = self.entries[self.all.from as usize & mask];
            if now.wrapping_sub(entry.at) < self.all.width {
                break;
            }
            self.leave(entry);
        }
    }

    fn leave(&mut self, entry: Entry) {
        self.all.bad -= u64::from(entry.bad);
        self.all.total -= u64::from(entry.total);
        self.all.from = self.all.from.wrapping_add(1);
        if entry.known & BREACH != 0 {
            self.breached -= u64::from(entry.known >> 2);
            self.episodes -= u32::from(entry.known & MARKS == BREACH_LAST);
        }
    }

    fn give_up_oldest(&mut self) {
        let index = self.all.from;
        let entry = self.entries[self.slot(index)];
        for tail in self.tails.iter_mut().filter(|tail| tail.from == index) {
            tail.bad -= u64::from(entry.bad);
            tail.total -= u64::from(entry.total);
            tail.from = tail.from.wrapping_add(1);
        }
        self.leave(entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Span = Span::seconds(15);

    fn window() -> Window {
        Window::new(STEP, Span::minutes(30), [1, 2, 3, 5, 10].map(Span::minutes))
    }

    #[test]
    fn a_window_written_down_is_the_same_again_with_what_was_not_judged() {
        let (mut window, start) = (window(), UnixMs(1_772_452_800_000));
        for n in 1..=30 {
            window.push(start + STEP * n, STEP, n as u64 % 3, 100);
            if n % 5 != 0 {
                window.mark(n % 7 == 0);
            }
        }
        let kept = window.keep();
        assert_eq!(kept[4], ((start + STEP * 5).0, 15_000, 2, 100, None));
        assert_eq!((kept[5].4, kept[6].4), (Some(false), Some(true)));
        let mut again = self::window();
        again.refill(&kept);
        assert_eq!((again.keep(), again.horizon()), (kept, window.horizon()));
        assert_eq!(again.first_breach(), Some(start + STEP * 6));
    }

    #[test]
    fn time_that_has_passed_does_not_pass_again() {
        let (mut window, start) = (window(), UnixMs(1_772_452_800_000));
        window.push(start + STEP, STEP, 1, 100);
        window.push(start + STEP * 2, STEP, 1, 100);
        let before = window.horizon();
        // A tick that comes late, as after a clock that was set back.
        window.advance(start);
        assert_eq!((window.horizon(), before.total), (before, 200));
        assert_eq!(window.bucket(1).map(|bucket| bucket.total), Some(200));
    }

    #[test]
    fn intervals_that_come_faster_than_promised_give_up_the_oldest_and_nothing_else() {
        let (mut window, start) = (window(), UnixMs(1_772_452_800_000));
        let room = u64::try_from(window.entries.len()).unwrap();
        for n in 1..=1_800 {
            window.push(start + Span::seconds(n), Span::seconds(1), 1, 2);
        }
        let counted = |enough| window.bucket(enough).map(|bucket| (bucket.bad, bucket.total));
        assert_eq!((counted(1), counted(u64::MAX)), (Some((60, 120)), Some((room, room * 2))));
        assert_eq!((window.horizon().bad, window.horizon().total), (room, room * 2));
    }
}

//! How the steady clock continues across a restart, and how it is noticed that the wall clock was set.

use super::event::Now;
use crate::units::UnixMs;

/// A clock that is slewed, read a moment late, or steps by a leap second was not set; nothing here is compared more
/// closely than that.
const SET_MIN_MS: i64 = 2_000;

/// That the wall clock was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Set {
    /// What it would have said.
    pub from: UnixMs,
    /// What it says.
    pub to: UnixMs,
}

impl Set {
    /// By how much, whichever way.
    pub fn by_ms(&self) -> i64 {
        (self.to.0 - self.from.0).abs()
    }

    /// Whether it is more than two clocks that were read one after the other differ by.
    pub fn is_real(&self) -> bool {
        self.by_ms() >= SET_MIN_MS
    }
}

/// By how much the wall clock was ahead of the steady one when they were last compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ahead {
    ms: i64,
}

impl Ahead {
    /// Where the steady clock starts, continuing from the journal's last reading, if there is one.
    ///
    /// While the daemon was down the wall clock is all there is: what it moved forward counts, a step back counts as
    /// nothing. So what remained of a deadline is never extended.
    pub fn starting(last: Option<Now>, wall: UnixMs) -> (UnixMs, Self) {
        match last {
            Some(last) if wall < last.wall => {
                (last.steady, Self { ms: last.wall.0 - last.steady.0 })
            }
            Some(last) => {
                let steady = last.steady + wall.since(last.wall);
                (steady, Self { ms: last.wall.0 - last.steady.0 })
            }
            None => (wall, Self { ms: 0 }),
        }
    }

    /// What the wall clock would say had nobody set it, and what it says.
    pub fn compare(&self, now: Now) -> Set {
        Set { from: now.steady.set_by(self.ms), to: now.wall }
    }

    /// From here on the wall clock is right as it is.
    pub fn agree(&mut self, set: Set) {
        self.ms = self.ms.saturating_add(set.to.0 - set.from.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAST: Now = Now { wall: UnixMs(100_000), steady: UnixMs(5_000) };

    #[test]
    fn the_steady_clock_goes_on_with_what_the_wall_clock_moved_forward_and_never_back() {
        let (steady, ahead) = Ahead::starting(Some(LAST), UnixMs(110_000));
        assert_eq!(steady, UnixMs(15_000));
        assert!(!ahead.compare(Now { wall: UnixMs(110_000), steady }).is_real());
        let (steady, ahead) = Ahead::starting(Some(LAST), UnixMs(40_000));
        assert_eq!(steady, UnixMs(5_000), "set back while it was down");
        let set = ahead.compare(Now { wall: UnixMs(40_000), steady });
        assert_eq!((set.by_ms(), set.is_real()), (60_000, true));
    }

    #[test]
    fn a_step_is_seen_until_it_is_agreed_to() {
        let (_, mut ahead) = Ahead::starting(Some(LAST), LAST.wall);
        let now = Now { wall: LAST.wall + crate::units::Span::hours(1), steady: LAST.steady };
        assert!(ahead.compare(now).is_real() && ahead.compare(now).is_real());
        ahead.agree(ahead.compare(now));
        assert!(!ahead.compare(now).is_real());
    }
}

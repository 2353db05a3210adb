//! The two times of a turn, and how the steady one continues across a restart.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::{
    domain::{
        event::Now,
        steady::{Ahead, Set},
    },
    units::{Span, UnixMs},
};

/// The daemon's one source of time.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    steady_at_start: UnixMs,
    started: Instant,
    ahead: Ahead,
}

impl Clock {
    /// Starts now, continuing from the journal's last reading, if there is one.
    pub fn starting(last: Option<Now>) -> Self {
        // Before the other one is read: whoever is interrupted in between has a little less time, and never more.
        let started = Instant::now();
        let (steady_at_start, ahead) = Ahead::starting(last, wall());
        Self { steady_at_start, started, ahead }
    }

    /// Whether the wall clock was set since this was last asked, or, told of, [`Self::agree`]d to. A clock that was
    /// set back while the daemon was down is noticed; one that was set forward then is taken for a longer time down.
    pub fn was_set(&mut self) -> Option<Set> {
        // Twice: whoever is interrupted between reading one clock and the other must not see a step.
        let looks = [self.ahead.compare(self.now()), self.ahead.compare(self.now())];
        let nearest = looks.into_iter().min_by_key(Set::by_ms)?;
        if nearest.is_real() {
            return Some(nearest);
        }
        self.agree(nearest);
        None
    }

    /// From here on the wall clock is right as it is.
    pub fn agree(&mut self, set: Set) {
        self.ahead.agree(set);
    }

    /// The time now.
    pub fn now(&self) -> Now {
        Now { wall: wall(), steady: self.steady_at_start + Span::from(self.started.elapsed()) }
    }

    /// The instant of a moment on the steady clock, for timers.
    pub fn instant(&self, steady: UnixMs) -> Instant {
        self.started + steady.since(self.steady_at_start).duration()
    }
}

/// The wall clock.
pub fn wall() -> UnixMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMs(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_is_noticed_until_it_is_agreed_to() {
        let mut clock = Clock::starting(None);
        assert_eq!(clock.was_set(), None);
        for by in [-90_000, 3_600_000] {
            // As if the wall clock had been set: it is as far ahead as it is, and was not when last compared.
            clock.agree(Set { from: UnixMs(0), to: UnixMs(-by) });
            let set = clock.was_set().unwrap();
            let seen = set.to.0 - set.from.0;
            assert!((by - 1000..by + 1000).contains(&seen), "{seen}");
            assert!(clock.was_set().is_some(), "it was not written down");
            clock.agree(set);
            assert_eq!(clock.was_set(), None);
        }
        let now = wall();
        let before = |ms| Some(Now { wall: UnixMs(now.0 - ms), steady: UnixMs(5_000) });
        assert!(Clock::starting(before(-60_000)).was_set().is_some(), "set back while down");
        assert_eq!(Clock::starting(before(60_000)).was_set(), None, "down for a minute");
    }

    #[test]
    fn a_restart_never_extends_what_remained() {
        let now = wall();
        let down_for = |wall_at_crash: i64| {
            let last = Now { wall: UnixMs(wall_at_crash), steady: UnixMs(5_000) };
            Clock::starting(Some(last)).steady_at_start
        };
        let ten_seconds = down_for(now.0 - 10_000);
        assert!((UnixMs(14_900)..UnixMs(16_000)).contains(&ten_seconds), "{ten_seconds:?}");
        assert_eq!(down_for(now.0 + 3_600_000), UnixMs(5_000), "the wall clock was set back");
    }
}

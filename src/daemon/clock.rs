//! The two times of a turn, and how the steady one continues across a restart.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::{
    domain::event::Now,
    units::{Span, UnixMs},
};

/// The daemon's one source of time.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    steady_at_start: UnixMs,
    started: Instant,
}

impl Clock {
    /// Starts now, continuing from the journal's last reading, if there is one.
    ///
    /// While the daemon was down the wall clock is all there is: what it moved forward counts, a step back counts as
    /// nothing. So what remained of a deadline is never extended.
    pub fn starting(last: Option<Now>) -> Self {
        let wall = wall();
        let steady_at_start = match last {
            Some(last) => last.steady + wall.since(last.wall),
            None => wall,
        };
        Self { steady_at_start, started: Instant::now() }
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

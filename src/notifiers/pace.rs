//! When a channel may be sent to next. Pure: the monotonic instant is an argument, so no clock step stalls a page.

use std::time::{Duration, Instant};

use crate::{domain::notice::Urgency, units::Span};

/// How fast a channel may be sent to, over time and at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// One message each so often, over time.
    pub every: Span,
    /// So many at once after a rest, at least two: the last is kept for a page.
    pub burst: u32,
}

impl Rate {
    /// One message a second and channel, short bursts: more risks the app being disabled for good.
    pub const SLACK: Self = Self { every: Span::seconds(1), burst: 4 };

    /// What a modest receiver bears.
    pub const WEBHOOK: Self = Self { every: Span(100), burst: 20 };
}

/// The state of one channel's pacing; the queue in front of it asks [`Pace::ready_at`] and reports back.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    rate: Rate,
    /// When all that was sent will have been paid for, at the rate.
    paid_at: Option<Instant>,
    /// The receiver asked for silence until then.
    closed_until: Option<Instant>,
}

impl Pace {
    /// A channel to which nothing was sent yet.
    pub const fn new(rate: Rate) -> Self {
        Self { rate, paid_at: None, closed_until: None }
    }

    /// The earliest instant, not before `now`, at which a message of this urgency may be sent.
    ///
    /// A page may use the whole burst, an info one less: a page never queues behind news.
    pub fn ready_at(&self, urgency: Urgency, now: Instant) -> Instant {
        let kept = match urgency {
            Urgency::Page => 1,
            Urgency::Info => 2,
        };
        let credit = self.every() * self.rate.burst.max(2).saturating_sub(kept);
        let paced = self.paid_at.and_then(|at| at.checked_sub(credit)).unwrap_or(now);
        paced.max(self.closed_until.unwrap_or(now)).max(now)
    }

    /// One message was sent, whatever became of it.
    pub fn sent(&mut self, now: Instant) {
        self.paid_at = Some(self.paid_at.unwrap_or(now).max(now) + self.every());
    }

    /// The receiver asked for silence: nothing is sent before it ends, whatever its urgency.
    ///
    /// A second request never shortens the first.
    pub fn close(&mut self, after: Span, now: Instant) {
        let until = now + after.min(super::http::RETRY_AFTER_MAX).duration();
        self.closed_until = Some(self.closed_until.unwrap_or(until).max(until));
    }

    fn every(&self) -> Duration {
        self.rate.every.duration()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RATE: Rate = Rate { every: Span::seconds(1), burst: 3 };

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_burst_goes_at_once_and_the_rest_at_the_rate() {
        let start = Instant::now();
        let mut pace = Pace::new(RATE);
        let mut waits = vec![];
        let mut now = start;
        for _ in 0..5 {
            now = pace.ready_at(Urgency::Page, now);
            waits.push((now - start).as_secs());
            pace.sent(now);
        }
        assert_eq!(waits, [0, 0, 0, 1, 2]);
    }

    #[test]
    fn a_page_does_not_queue_behind_news() {
        let now = Instant::now();
        let mut pace = Pace::new(RATE);
        pace.sent(now);
        pace.sent(now);
        assert_eq!(pace.ready_at(Urgency::Info, now), now + ms(1000));
        assert_eq!(pace.ready_at(Urgency::Page, now), now);
    }

    #[test]
    fn silence_asked_for_holds_for_the_whole_channel_and_is_bounded() {
        let now = Instant::now();
        let mut pace = Pace::new(RATE);
        pace.close(Span::seconds(30), now);
        pace.close(Span::seconds(5), now);
        assert_eq!(pace.ready_at(Urgency::Page, now), now + ms(30_000));
        assert_eq!(pace.ready_at(Urgency::Page, now + ms(30_001)), now + ms(30_001));
        pace.close(Span(i64::MAX), now);
        assert_eq!(pace.ready_at(Urgency::Page, now), now + ms(900_000));
    }

    proptest! {
        #[test]
        fn no_stretch_of_time_holds_more_than_the_burst_and_the_rate(
            steps in prop::collection::vec((0u64..3000, any::<bool>()), 1..60),
        ) {
            let start = Instant::now();
            let mut pace = Pace::new(RATE);
            let (mut now, mut sent) = (start, vec![]);
            for (wait, page) in steps {
                now += ms(wait);
                let urgency = if page { Urgency::Page } else { Urgency::Info };
                now = pace.ready_at(urgency, now);
                pace.sent(now);
                sent.push(now);
            }
            for (i, from) in sent.iter().enumerate() {
                for (more, to) in sent[i..].iter().enumerate() {
                    let allowed = 3 + (*to - *from).as_secs() as usize;
                    prop_assert!(more < allowed, "{} in {:?}", more + 1, *to - *from);
                }
            }
        }
    }
}

//! Notifiers, and what people really received.

use rollbackd::{domain::delivery::Went, units::Span};

/// What a channel answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Takes,
    /// 429: not before so many seconds.
    TooMany(i64),
    /// 5xx, or no answer at all.
    Fails,
    /// 200 with an error in the body that no second try mends.
    SaysNo,
    /// It takes the notice and its answer is lost.
    TakesInSilence,
}

#[derive(Clone, Debug)]
pub(crate) struct Channel {
    pub(crate) name: &'static str,
    pub(crate) answer: Answer,
    pub(crate) until: i64,
    /// Not sent to before.
    pub(crate) closed_until: i64,
}

impl Channel {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, answer: Answer::Takes, until: i64::MIN, closed_until: i64::MIN }
    }

    /// What is known of a notice that is sent now, and whether people have it.
    pub(crate) fn send(&mut self, at: i64) -> (Went, bool) {
        let answer = if at < self.until { self.answer } else { Answer::Takes };
        match answer {
            Answer::Takes => (Went::Arrived, true),
            Answer::TooMany(seconds) => {
                self.closed_until = at + seconds * 1_000;
                (Went::Later { after: Some(Span::seconds(seconds)) }, false)
            }
            Answer::Fails => (Went::Later { after: None }, false),
            Answer::SaysNo => (Went::Refused, false),
            Answer::TakesInSilence => (Went::Later { after: None }, true),
        }
    }

    pub(crate) fn heal(&mut self) {
        self.until = i64::MIN;
        self.closed_until = i64::MIN;
    }
}

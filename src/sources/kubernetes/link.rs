//! Whether what is known of one kind of object is still so: what a watch tells of itself, and how long it was silent.

use std::time::Duration;

use tokio::time::Instant;

/// What is said of a list that nothing is wrong with: its first answer is on its way.
pub const NOT_LISTED_YET: &str = "it was not listed yet";

/// One list that is followed.
#[derive(Clone, Debug)]
pub(super) struct Link {
    /// Whether a whole list was had, ever.
    is_whole: bool,
    /// When the API server last answered.
    heard_at: Instant,
    /// Since when it does not, and why.
    fault: Option<(Instant, String)>,
}

/// How long silence is no news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Patience {
    /// Without an answer for longer, nothing is known.
    pub(super) stale_after: Duration,
    /// A watch is opened anew this often, so that a connection that is dead is noticed.
    pub(super) reopened_every: Duration,
}

impl Link {
    pub(super) fn new(now: Instant) -> Self {
        let why = NOT_LISTED_YET.to_owned();
        Self { is_whole: false, heard_at: now, fault: Some((now, why)) }
    }

    /// A list is whole, a watch was opened, or something came over it.
    pub(super) fn heard(&mut self, is_list: bool, now: Instant) {
        self.is_whole |= is_list;
        self.heard_at = now;
        if self.is_whole {
            self.fault = None;
        }
    }

    /// It could not be listed or watched. The reason is the newest one, the time that of the first.
    pub(super) fn failed(&mut self, why: String, now: Instant) {
        let since = self.fault.as_ref().map_or(now, |(since, _)| *since);
        self.fault = Some((since, why));
    }

    /// Why nothing is known; `None` where what is known may be believed.
    pub(super) fn unknown(&self, patience: Patience, now: Instant) -> Option<String> {
        let silent = now.saturating_duration_since(self.heard_at);
        match &self.fault {
            Some((_, why)) if !self.is_whole => Some(why.clone()),
            Some((since, why)) if now.saturating_duration_since(*since) >= patience.stale_after => {
                Some(why.clone())
            }
            _ if silent >= patience.reopened_every + patience.stale_after => {
                Some(format!("nothing was heard for {} s", silent.as_secs()))
            }
            Some(_) | None => None,
        }
    }

    /// What is wrong with it at this moment, whether or not what is known may still be believed.
    pub(super) fn fault(&self) -> Option<&str> {
        self.fault.as_ref().map(|(_, why)| why.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_believed_for_a_while_and_what_was_never_listed_never() {
        let second = Duration::from_secs(1);
        let patience = Patience { stale_after: 30 * second, reopened_every: 30 * second };
        let begun = Instant::now();
        let mut link = Link::new(begun);
        link.heard(false, begun);
        assert!(link.unknown(patience, begun).is_some(), "a watch without a list tells nothing");
        link.heard(true, begun + second);
        assert_eq!(link.unknown(patience, begun + 60 * second), None);
        let silent = link.unknown(patience, begun + 61 * second).unwrap();
        assert_eq!(
            silent, "nothing was heard for 60 s",
            "a connection may be dead and say nothing"
        );
        link.heard(false, begun + 61 * second);
        link.failed("refused".into(), begun + 62 * second);
        assert_eq!(link.fault(), Some("refused"));
        link.failed("timed out".into(), begun + 90 * second);
        assert_eq!(link.unknown(patience, begun + 91 * second), None);
        assert_eq!(link.unknown(patience, begun + 92 * second).as_deref(), Some("timed out"));
        link.heard(false, begun + 93 * second);
        assert_eq!(link.unknown(patience, begun + 93 * second), None);
    }
}

//! What follows from one attempt to deliver a notice: it leaves the queue delivered or given up, and never silently.

use super::{
    backoff::backoff,
    event::What,
    notice::{Notice, Urgency},
};
use crate::units::Span;

/// With this begins the id of a notice that says of another one that a channel did not take it.
pub(super) const UNDELIVERED: &str = "fleet#undelivered:";

/// After so many failed attempts the other channels are told that a page does not arrive.
const ATTEMPTS_BEFORE_TELLING: u32 = 3;

/// The longest pause before another attempt, whatever a receiver asks for.
pub const PAUSE_MAX: Span = Span::minutes(15);

/// How an attempt went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Went {
    /// The channel took it.
    Arrived,
    /// It did not, and may later: after so long, where it said.
    Later {
        /// What the receiver asked for.
        after: Option<Span>,
    },
    /// It never will.
    Refused,
}

/// What to write of it, and whom to tell.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// It is done.
    Delivered,
    /// Tried again after so long; first, what happened is told.
    Again {
        /// The pause.
        wait: Span,
        /// That a page does not arrive.
        tell: Option<Box<What>>,
    },
    /// Given up; first, what happened is told.
    GivenUp {
        /// That it does not arrive.
        tell: Option<Box<What>>,
    },
}

/// What follows from an attempt at a notice that failed `attempts` times before.
pub fn next(went: Went, channel: &str, notice: &Notice, attempts: u32, why: &str) -> Next {
    match went {
        Went::Arrived => Next::Delivered,
        Went::Later { after } => {
            let wait = after.unwrap_or_else(|| backoff(attempts + 1, &notice.id)).min(PAUSE_MAX);
            let first = attempts + 1 == ATTEMPTS_BEFORE_TELLING;
            let tell = (first && notice.urgency == Urgency::Page)
                .then(|| undelivered(channel, notice, why, true));
            Next::Again { wait, tell: tell.flatten() }
        }
        Went::Refused => Next::GivenUp { tell: undelivered(channel, notice, why, false) },
    }
}

/// So that the failure is visible on every other channel. A notice about a channel that does not deliver is not told
/// about in its turn.
fn undelivered(channel: &str, notice: &Notice, why: &str, again: bool) -> Option<Box<What>> {
    let about_itself = notice.id.starts_with(UNDELIVERED);
    (!about_itself).then(|| {
        Box::new(What::Undelivered {
            service: notice.service.clone(),
            subject: notice.subject.clone(),
            channel: channel.to_owned(),
            why: why.to_owned(),
            again,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{
            event::Now,
            fact::{Fact, Fleet},
            notice::{Audience, Kind},
            wording::fleet_notice,
        },
        units::UnixMs,
    };

    fn notice(urgency: Urgency, kind: Kind) -> Notice {
        Notice {
            id: "n".into(),
            service: (kind != Kind::Health).then(|| "shop/production".parse().unwrap()),
            incident: None,
            severity: None,
            audience: Audience::OnCall,
            urgency,
            kind,
            subject: "errors".into(),
            fields: vec![],
            lines: vec![],
            choices: vec![],
            at: UnixMs(0),
        }
    }

    fn told(went: Went, urgency: Urgency, kind: Kind, attempts: u32) -> bool {
        match next(went, "slack", &notice(urgency, kind), attempts, "no answer") {
            Next::Delivered => false,
            Next::Again { tell, .. } | Next::GivenUp { tell } => tell.is_some(),
        }
    }

    #[test]
    fn a_page_that_does_not_arrive_is_told_once_while_it_is_tried_and_once_when_given_up() {
        let later = Went::Later { after: None };
        let tellings = (0..9).filter(|n| told(later, Urgency::Page, Kind::Incident, *n)).count();
        assert_eq!(tellings, 1);
        assert!(told(later, Urgency::Page, Kind::Incident, ATTEMPTS_BEFORE_TELLING - 1));
        assert!(told(Went::Refused, Urgency::Page, Kind::Incident, 9));
        assert!(told(Went::Refused, Urgency::Info, Kind::Incident, 0), "what is given up is told");
        assert!(!told(later, Urgency::Info, Kind::Incident, 2), "news may be late");
        assert!(told(Went::Refused, Urgency::Page, Kind::Health, 0), "also of the whole fleet");
    }

    #[test]
    fn that_a_channel_does_not_deliver_is_not_told_about_in_its_turn() {
        let page = notice(Urgency::Page, Kind::Health);
        let fact = Fact::Fleet(Fleet::Undelivered {
            subject: page.subject.clone(),
            channel: "slack".into(),
            why: "404".into(),
            again: false,
        });
        let now = Now { wall: UnixMs(0), steady: UnixMs(0) };
        let about_itself = fleet_notice(&fact, &[], "e7", now).unwrap();
        let tell = |notice: &Notice| match next(Went::Refused, "slack", notice, 0, "404") {
            Next::GivenUp { tell } => tell.is_some(),
            Next::Delivered | Next::Again { .. } => false,
        };
        assert!(tell(&page) && !tell(&about_itself));
    }

    #[test]
    fn a_receiver_that_says_when_is_asked_then() {
        let asked = Went::Later { after: Some(Span::seconds(77)) };
        let page = notice(Urgency::Page, Kind::Ask);
        let expected = Next::Again { wait: Span::seconds(77), tell: None };
        assert_eq!(next(asked, "slack", &page, 0, "429"), expected);
        assert_eq!(next(Went::Arrived, "slack", &page, 5, ""), Next::Delivered);
    }

    #[test]
    fn a_receiver_that_does_not_say_when_is_waited_for_longer_each_time() {
        let info = notice(Urgency::Info, Kind::Incident);
        for failed in 0..5 {
            let wait = backoff(failed + 1, &info.id);
            let expected = Next::Again { wait, tell: None };
            assert_eq!(next(Went::Later { after: None }, "slack", &info, failed, "503"), expected);
        }
        assert_ne!(backoff(1, &info.id), backoff(2, &info.id));
    }
}

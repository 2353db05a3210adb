//! Which notices of a channel's queue go out now, and what several become when they waited too long.
//!
//! Pure: the outbox reads the queue, asks here, and writes the outcome.

use std::collections::BTreeMap;

use crate::{
    domain::{
        delivery::PAUSE_MAX,
        notice::{Notice, Urgency},
    },
    units::UnixMs,
};

/// A waiting notice, without its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its place in the queue.
    pub id: i64,
    /// What it must stay in order with.
    pub lane: String,
    /// Who is told.
    pub audience: String,
    /// Whether it must be acknowledged.
    pub urgency: Urgency,
    /// When it may be tried.
    pub next_try_at: UnixMs,
    /// Failed attempts so far.
    pub attempts: u32,
}

/// A notice to send now, and the earlier ones that it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pick {
    /// Its place in the queue.
    pub id: i64,
    /// The earlier ones.
    pub covers: Vec<i64>,
    /// Failed attempts so far.
    pub attempts: u32,
    /// Whether it must be acknowledged.
    pub urgency: Urgency,
    /// When it may be sent.
    pub ready_at: UnixMs,
}

/// The head of every lane, pages first. `queue` is in the order in which the notices were queued.
///
/// Only a lane's head may go, so that nothing overtakes; lanes do not wait for one another.
pub fn heads(queue: &[Waiting]) -> Vec<Pick> {
    let mut lanes: BTreeMap<&str, Vec<&Waiting>> = BTreeMap::new();
    for waiting in queue {
        lanes.entry(&waiting.lane).or_default().push(waiting);
    }
    let mut picks: Vec<Pick> = lanes.values().filter_map(|lane| head(lane)).collect();
    picks.sort_by_key(|pick| (pick.urgency != Urgency::Page, pick.id));
    picks
}

// A page stands alone; a run of infos for the same readers becomes the newest of them.
fn head(lane: &[&Waiting]) -> Option<Pick> {
    let first = *lane.first()?;
    let together = |w: &&&Waiting| w.urgency == Urgency::Info && w.audience == first.audience;
    let run: Vec<&Waiting> = match first.urgency {
        Urgency::Page => vec![first],
        Urgency::Info => lane.iter().take_while(together).copied().collect(),
    };
    let (newest, earlier) = run.split_last()?;
    Some(Pick {
        id: newest.id,
        covers: earlier.iter().map(|w| w.id).collect(),
        attempts: run.iter().map(|w| w.attempts).max().unwrap_or(0),
        urgency: newest.urgency,
        ready_at: first.next_try_at,
    })
}

impl Pick {
    /// When its time comes. What waits for longer than anybody is ever let wait was stamped by a clock that was set back
    /// since: its time has come.
    pub fn due_at(&self, now: UnixMs) -> UnixMs {
        if self.ready_at > now + PAUSE_MAX { now } else { self.ready_at }
    }
}

/// The newest notice, saying that it stands for earlier ones.
pub fn coalesce(mut newest: Notice, earlier: usize) -> Notice {
    match earlier {
        0 => {}
        1 => newest.lines.push("1 earlier notice coalesced".into()),
        n => newest.lines.push(format!("{n} earlier notices coalesced")),
    }
    newest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(text: &str) -> Vec<Waiting> {
        let parse = |(id, word): (i64, &str)| {
            let (lane, rest) = word.split_once(':').unwrap();
            let (urgency, at) = rest.split_once('@').unwrap_or((rest, "0"));
            Waiting {
                id,
                lane: lane.into(),
                audience: "on_call".into(),
                urgency: if urgency == "page" { Urgency::Page } else { Urgency::Info },
                next_try_at: UnixMs(at.parse().unwrap()),
                attempts: 0,
            }
        };
        (1..).zip(text.split_whitespace()).map(parse).collect()
    }

    fn check(queue: &str, expected: &str) {
        let show = |pick: &Pick| {
            let covers: Vec<String> = pick.covers.iter().map(ToString::to_string).collect();
            format!("{}[{}]@{}", pick.id, covers.join(","), pick.ready_at.0)
        };
        let picks: Vec<String> = heads(&waiting(queue)).iter().map(show).collect();
        assert_eq!(picks.join(" "), expected, "for {queue}");
    }

    #[test]
    fn pages_go_before_infos_of_other_incidents() {
        check("a:info b:page c:info d:page", "2[]@0 4[]@0 1[]@0 3[]@0");
    }

    #[test]
    fn nothing_overtakes_within_an_incident() {
        check("a:info@9 a:page@0", "1[]@9");
        check("a:page@9 a:page@0 b:info@0", "1[]@9 3[]@0");
    }

    #[test]
    fn waiting_infos_become_the_newest_and_pages_stay() {
        check("a:info@5 a:info@0 a:info@0", "3[1,2]@5");
        check("a:info a:info a:page a:info", "2[1]@0");
        check("a:page a:info a:info", "1[]@0");
    }

    #[test]
    fn infos_for_different_readers_stay_apart() {
        let mut queue = waiting("a:info a:info");
        queue[1].audience = "stakeholders".into();
        assert_eq!(heads(&queue)[0].id, 1);
        assert!(heads(&queue)[0].covers.is_empty());
    }
}

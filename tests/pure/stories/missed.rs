//! The daemon was down and its source remembers: a breach is as old as it is, and nothing is decided by what was missed.

use std::collections::BTreeMap;

use rollbackd::{
    domain::{
        change::{Component, Revision},
        event::What,
        watch::Raw,
    },
    units::{Span, UnixMs},
};

use super::{
    place::{HEALTHY, errors},
    policy::{POLL, id, shop},
    story,
    town::{Town, Windows},
};

type Missed = BTreeMap<&'static str, Vec<(UnixMs, Vec<Raw>)>>;

/// The daemon is down for so long, and this is what its polls would have read.
fn down_for(town: &mut Town, span: &str) -> Missed {
    let (span, mut missed) = (span.parse::<Span>().unwrap(), Missed::new());
    let until = town.wall() + span;
    while town.wall() < until {
        let wall = town.wall();
        for (signal, readings, _) in town.place().poll(wall) {
            // Nobody remembers how a probe would have been answered.
            if signal != "health" {
                missed.entry(signal).or_default().push((wall, readings));
            }
        }
        town.sleeps_through(POLL);
    }
    missed
}

/// Nothing becomes true by it.
fn told(town: &mut Town, missed: &Missed) {
    let before = town.transcript();
    for (signal, polls) in missed {
        let (service, signal, polls) = (id("shop"), (*signal).to_owned(), polls.clone());
        town.turn(What::Backfilled { service, signal, polls });
    }
    assert_eq!(town.transcript(), before, "backfill alone decided something");
}

fn fired(told: &str) -> Vec<&str> {
    told.lines().filter(|line| line.contains(" fires (") || line.contains("decided:")).collect()
}

fn calm() -> String {
    story(shop(), |town| {
        town.deploy("v2", errors(0.10));
        town.run("16m");
    })
}

/// Three and a half minutes are more than a window bridges by itself: the breach would begin anew after them.
#[test]
fn a_breach_with_a_gap_in_the_middle_fires_as_if_there_had_been_none() {
    let calm = calm();
    let with_gap = |backfilled: bool| {
        story(shop(), |town| {
            town.deploy("v2", errors(0.10));
            town.run("1m");
            let missed = down_for(town, "3m 30s");
            town.crash(Windows::Kept, false);
            if backfilled {
                told(town, &missed);
            }
            town.run("11m 30s");
        })
    };
    assert_eq!(fired(&calm).len(), 5, "{calm}");
    assert_eq!(fired(&with_gap(true)), fired(&calm));
    assert_ne!(
        fired(&with_gap(false)),
        fired(&calm),
        "without what was missed it is another breach"
    );
}

/// The time before the change is filled in too: a breach that is new can be told from one that is not.
#[test]
fn windows_that_were_lost_are_filled_in_whole() {
    let lost = story(shop(), |town| {
        let mut missed = down_for(town, "40m");
        town.deploy("v2", errors(0.10));
        for (signal, polls) in down_for(town, "4m 30s") {
            missed.entry(signal).or_default().extend(polls);
        }
        town.crash(Windows::Lost, false);
        told(town, &missed);
        town.run("2m");
    });
    let lines = fired(&lost);
    let critical = lines.iter().find(|line| line.contains("critical-errors")).expect("it fires");
    assert!(critical.starts_with("12:45:15 ") && critical.contains("since 12:40:15"), "{lost}");
    assert_eq!(lines.last(), Some(&"12:45:15 decided: monitor until 12:55:15"), "{lost}");
}

#[test]
fn what_was_missed_opens_nothing_before_the_next_answer_whatever_else_is_told() {
    let told = story(shop(), |town| {
        town.deploy("v2", errors(0.10));
        let missed = down_for(town, "6m");
        town.crash(Windows::Kept, false);
        told(town, &missed);
        // It is told again, older and newer mixed: no window runs backwards.
        told(town, &missed);
        let before = town.transcript();
        town.turn(What::Tick);
        town.turn(What::Started);
        assert!(!town.transcript()[before.len()..].contains("fires"), "{}", town.transcript());
        town.run("1s");
    });
    let critical =
        told.lines().find(|line| line.contains("critical-errors fires")).expect("it does");
    assert!(
        critical.starts_with("12:06:00 critical-errors fires (P1): 230 of 2300 "),
        "{critical}"
    );
    assert!(critical.contains(" since 12:00:"), "the breach is as old as it is: {critical}");
}

/// What was over when somebody looked again is no incident, but it is no health either.
#[test]
fn what_was_missed_earns_no_revision_known_good() {
    for bad in [false, true] {
        let mut town = Town::healthy(shop());
        town.deploy("v2", HEALTHY);
        town.run("2m");
        if bad {
            town.behaves(errors(0.5));
        }
        let mut missed = down_for(&mut town, "30m");
        town.behaves(HEALTHY);
        for (signal, polls) in down_for(&mut town, "30m") {
            missed.entry(signal).or_default().extend(polls);
        }
        town.crash(Windows::Kept, false);
        told(&mut town, &missed);
        let known_good = |town: &Town| {
            let v2 = Revision::named("v2");
            let entry = town.shop().ledger.entry(Component::Application, &v2).unwrap();
            entry.known_good_at.is_some()
        };
        town.run("29m");
        assert!(!known_good(&town), "an hour nobody saw counted");
        town.run("3m");
        assert!(known_good(&town), "the bake begins anew");
        assert!(town.shop().incident.is_none());
    }
}

/// One source goes on, the other does not: each is asked for all of its own silence.
#[test]
fn what_was_missed_of_a_signal_begins_where_that_signal_ended() {
    let mut town = Town::healthy(shop());
    let last = town.wall();
    for _ in 0..8 {
        town.sleeps_through(POLL);
        let wall = town.wall();
        for (signal, readings, fault) in town.place().poll(wall) {
            if signal == "latency" {
                let (service, signal) = (id("shop"), signal.to_owned());
                town.turn(What::Polled { service, signal, readings, fault });
            }
        }
    }
    let until = |signal| town.fleet.watches[&id("shop")].known_until(signal).unwrap();
    assert_eq!(until("latency"), town.wall());
    assert!(until("errors") <= last, "{} is after {last}", until("errors"));
}

/// A source whose clock is ahead of ours.
#[test]
fn what_was_missed_is_never_later_than_now() {
    let mut town = Town::healthy(shop());
    let ahead = town.wall() + Span::minutes(1);
    let of = |(signal, readings, _)| (signal, vec![(ahead, readings)]);
    let missed: Missed = town.place().poll(ahead).into_iter().map(of).collect();
    told(&mut town, &missed);
    let until = town.fleet.watches[&id("shop")].known_until("errors").unwrap();
    assert!(until <= town.wall(), "{until} is after {}", town.wall());
}

//! The daemon dies and starts again: exactly one rollback, no deadline extended, no page lost.

use insta::assert_snapshot;
use rollbackd::{
    domain::{
        change::{Component, Revision},
        event::Said,
        service::Mode,
        signal::Unknown,
    },
    units::Span,
};

use super::{
    brief,
    place::{Behaviour, HEALTHY, OUTAGE, errors},
    policy::{services_mut, shop, shop_with},
    story,
    town::{Town, Windows},
};

/// A bad release and all that follows, with a crash after every so many turns.
fn crashing(every: u64, windows: Windows, applied: bool) -> Town {
    let mut town = Town::healthy(shop());
    town.deploy("v2", errors(0.10));
    // Every turn costs a whole recovery: not during the hour in which nothing happens.
    town.run("4m");
    town.crashes = Some((every, windows, applied));
    town.run(if every == 1 { "13m" } else { "30m" });
    town.crashes = None;
    town.run("80m");
    town.check_everything();
    town
}

#[test]
fn a_crash_between_any_two_turns_leaves_one_rollback_and_extends_no_deadline() {
    let calm = story(shop(), |town| {
        town.deploy("v2", errors(0.10));
        town.run("110m");
    });
    let decisions = |told: &str| {
        let matters = |l: &&str| {
            ["decided", "begins rollback", "verified", "closed:"].iter().any(|p| l.contains(p))
        };
        told.lines().filter(matters).map(str::to_owned).collect::<Vec<_>>()
    };
    for (every, applied) in [(1, false), (1, true), (7, true), (31, false)] {
        let town = crashing(every, Windows::Kept, applied);
        assert_eq!(town.rollbacks(), 1, "a crash every {every} turns");
        assert_eq!(town.place_of("shop").done, ["switch to v1", "restart on v1"]);
        assert_eq!(decisions(&town.transcript()), decisions(&calm), "a crash every {every} turns");
    }
}

/// They say that all is well, for they know of no breach. Found by seed 425 of the simulator.
#[test]
fn windows_from_before_a_breach_do_not_end_it() {
    let told = brief(shop(), |town| {
        town.deploy("v2", errors(0.10));
        town.run("7m");
        town.crash(Windows::Old, false);
        town.run("1m");
    });
    assert!(!told.contains(" clears") && !told.contains("closed:"), "{told}");
}

/// The first clean answer after a start ended what had lasted longer than a recovery takes.
#[test]
fn windows_from_before_a_breach_end_it_only_by_a_whole_recovery() {
    let mut town = Town::healthy(shop_with(|shop| shop.mode = Mode::Observe));
    town.deploy("v2", Behaviour { up: false, ..HEALTHY });
    town.run("130s");
    town.crash(Windows::Old, false);
    town.behaves(HEALTHY);
    town.run("45s");
    assert!(town.shop().incident.is_some(), "{}", town.transcript());
    town.run("45s");
    assert!(town.shop().incident.is_none(), "{}", town.transcript());
}

/// The windows still fire, and what they fired for is over. Found by seed 272 of the simulator.
#[test]
fn windows_from_before_a_recovery_do_not_fire_again() {
    let mut town = Town::healthy(shop());
    town.deploy("v2", errors(0.10));
    town.run("7m");
    town.writes_windows();
    town.deploy("v3", HEALTHY);
    town.run("20m");
    assert!(town.shop().incident.is_none(), "{}", town.transcript());
    town.crash(Windows::Old, false);
    town.place().monitoring_down = Some(Unknown::Failed);
    town.run("2m");
    assert!(town.shop().incident.is_none(), "{}", town.transcript());
}

/// Written down an hour ahead of what the clock says now, they fired for the hour to come. Found by seed 106366 of the
/// simulator.
#[test]
fn windows_from_before_the_clock_was_set_begin_anew() {
    let told = brief(shop(), |town| {
        town.deploy("v2", OUTAGE);
        town.run("1m");
        town.writes_windows();
        town.behaves(HEALTHY);
        town.step_clock(-3_600_000);
        town.crash(Windows::Old, false);
        town.run("20m");
    });
    assert!(!told.contains("decided") && !told.contains("PAGE"), "{told}");
}

#[test]
fn a_crash_that_loses_the_windows_in_the_middle_of_monitoring_still_knows_what_was_judged() {
    let told = brief(shop(), |town| {
        town.deploy("v2", errors(0.10));
        town.run("9m");
        town.crash(Windows::Lost, false);
        town.run("10m");
        assert_eq!(town.rollbacks(), 1);
    });
    assert_snapshot!(told, @r"
    12:05:15 raised to P1: critical-errors fires
    12:05:15 decided: monitor until 12:15:15
    12:05:15   -> PAGE: P1 shop/production: critical-errors
    12:15:15 decided: roll back now
    12:15:15 rollbackd begins rollback shop-20260302120445-r1, plan d1ec833b4bf9894e: application v2 -> v1
    12:15:15   -> PAGE: URGENT - Rollback in Progress - production
    12:15:15   -> stakeholders: URGENT - Rollback in Progress - production
    ");
}

#[test]
fn what_the_windows_held_before_a_crash_decides_nothing_before_the_next_poll() {
    let told = brief(shop(), |town| {
        town.deploy("v2", errors(0.10));
        town.run("14m 50s");
        // Down over the end of monitoring, yet the newest sample is still fresh when it starts.
        town.sleeps_through(Span::seconds(40));
        town.behaves(HEALTHY);
        town.crash(Windows::Kept, false);
        assert_eq!(town.rollbacks(), 0, "nothing was asked since the start");
        town.run("30m");
        assert_eq!(town.rollbacks(), 0);
    });
    assert_snapshot!(told, @r"
    12:05:15 raised to P1: critical-errors fires
    12:05:15 decided: monitor until 12:15:15
    12:05:15   -> PAGE: P1 shop/production: critical-errors
    12:20:15 decided: ask a person
    12:20:15   -> PAGE: P1 shop/production: critical-errors - not rolled back: a person must decide
    12:20:15 critical-errors clears: clean for 5m
    12:20:30 elevated-errors clears: clean for 5m
    12:20:30 minor clears: clean for 5m
    12:20:30 closed: recovered by itself
    12:20:30   -> on-call: P1 shop/production: recovered by itself
    ");
}

#[test]
fn a_deadline_that_passed_while_the_daemon_was_down_is_told_and_the_breach_still_acted_upon() {
    let told = brief(shop(), |town| {
        town.deploy("v2", errors(0.10));
        town.run("9m");
        town.sleeps_through(Span::minutes(30));
        town.crash(Windows::Kept, false);
        town.run("20m");
        let late = town.notices("late: no action yet").remove(0);
        let down =
            "It passed at 12:20:15 UTC while rollbackd was down; it is up since 12:39:00 UTC.";
        assert!(late.lines.iter().any(|line| line == down), "{late:?}");
    });
    assert_snapshot!(told, @r"
    12:05:15 raised to P1: critical-errors fires
    12:05:15 decided: monitor until 12:15:15
    12:05:15   -> PAGE: P1 shop/production: critical-errors
    12:39:00   -> PAGE: P1 shop/production: critical-errors - late: no action yet
    12:39:15 decided: roll back now
    12:39:15 rollbackd begins rollback shop-20260302120445-r1, plan d1ec833b4bf9894e: application v2 -> v1
    12:39:15   -> PAGE: URGENT - Rollback in Progress - production
    12:39:15   -> stakeholders: URGENT - Rollback in Progress - production
    12:44:15 critical-errors clears: clean for 5m
    12:45:00 elevated-errors clears: clean for 5m
    12:45:00 minor clears: clean for 5m
    12:55:15 verified; watching for a relapse
    12:55:15   -> on-call: Rollback Complete - production
    12:55:15   -> stakeholders: Rollback Complete - production
    ");
}

#[test]
fn a_crash_that_loses_the_windows_closes_nothing_that_was_not_seen_to_be_clean() {
    let told = story(shop(), |town| {
        town.deploy("v2", errors(0.10));
        town.run("9m");
        town.says("ada", Said::Acknowledge).unwrap();
        town.behaves(HEALTHY);
        town.crash(Windows::Lost, false);
        town.run("12m");
    });
    assert_snapshot!(told, @r"
    12:00:00 application changed from v1 to v2
    12:00:00 application is set to v2
    12:04:45 elevated-errors fires (P2): 200 of 2000 requests, 10% (at least 8.54%) since 11:59:45, limit 1%
    12:04:45 minor fires (P3): 200 of 2000 requests, 10% (at least 8.54%) since 11:59:45, limit 0.5%
    12:04:45 incident shop-20260302120445 opened as P2 by elevated-errors
    12:04:45 minor joins as P3
    12:05:15 critical-errors fires (P1): 200 of 2000 requests, 10% (at least 8.54%) since 12:00:15, limit 5%
    12:05:15 critical-errors joins as P1
    12:05:15 raised to P1: critical-errors fires
    12:05:15 decided: monitor until 12:15:15
    12:05:15   -> PAGE: P1 shop/production: critical-errors
    12:09:00 ada: acknowledged
    12:09:00 rollbackd 0.1.0 began to act, epoch 2
    12:14:15 critical-errors clears: clean for 5m
    12:14:15 elevated-errors clears: clean for 5m
    12:14:15 minor clears: clean for 5m
    12:14:15 closed: recovered by itself
    12:14:15   -> on-call: P1 shop/production: recovered by itself
    ");
}

#[test]
fn a_crash_in_every_step_applies_each_step_once() {
    for applied in [false, true] {
        let told = brief(shop(), |town| {
            town.deploy("v2", OUTAGE);
            town.run("1m 46s");
            for _ in 0..3 {
                town.crash(Windows::Lost, applied);
                town.run("4s");
            }
            town.run("2m");
            assert_eq!(town.place().done, ["switch to v1", "restart on v1"]);
            assert_eq!(town.rollbacks(), 1);
        });
        assert!(told.contains("begins rollback"), "{told}");
    }
}

#[test]
fn a_crash_while_verifying_starts_the_hold_anew_and_not_the_deadline() {
    let told = brief(shop(), |town| {
        town.deploy("v2", OUTAGE);
        town.run("12m");
        town.crash(Windows::Lost, false);
        town.run("25m");
    });
    assert_snapshot!(told, @r"
    12:01:45 decided: roll back now
    12:01:45 rollbackd begins rollback shop-20260302120145-r1, plan d1ec833b4bf9894e: application v2 -> v1
    12:01:45   -> PAGE: URGENT - Rollback in Progress - production
    12:01:45   -> stakeholders: URGENT - Rollback in Progress - production
    12:02:45 service-outage clears: clean for 1m
    12:26:45 the deadline for a verified rollback passed
    12:26:45   -> PAGE: P0 shop/production: its triggers cleared - late: not verified yet
    12:27:15 verified; watching for a relapse
    12:27:15   -> on-call: Rollback Complete - production
    12:27:15   -> stakeholders: Rollback Complete - production
    ");
}

/// Known good is served *and watched*: what happened while the daemon was down is nobody's evidence.
#[test]
fn time_in_which_the_daemon_was_down_earns_no_revision_known_good() {
    let mut town = Town::healthy(shop());
    town.deploy("v2", HEALTHY);
    town.run("2m");
    town.sleeps_through(Span::hours(1));
    town.crash(Windows::Kept, false);
    let known_good = |town: &Town| {
        let v2 = Revision::named("v2");
        let entry = town.shop().ledger.entry(Component::Application, &v2).unwrap();
        entry.known_good_at.is_some()
    };
    assert!(!known_good(&town), "an hour nobody saw counted");
    town.run("29m");
    assert!(!known_good(&town), "the bake begins anew");
    town.run("3m");
    assert!(known_good(&town));
}

/// Another configuration has nothing to do with what is seen.
#[test]
fn a_reload_in_the_middle_of_a_breach_begins_nothing_anew() {
    let fires = |reloads: bool| {
        let told = brief(shop(), |town| {
            town.deploy("v2", errors(0.10));
            town.run("4m");
            if reloads {
                town.adopts(|policy| {
                    services_mut(policy).for_each(|service| service.bake = Span::minutes(40));
                });
            }
            town.run("2m");
        });
        told.lines().find(|line| line.contains("decided: monitor")).map(str::to_owned)
    };
    assert!(fires(false).is_some());
    assert_eq!(fires(true), fires(false));
}

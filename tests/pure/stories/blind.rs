//! No data: never fires, never clears, never rolls back; and after a while people are told.

use insta::assert_snapshot;
use rollbackd::{
    domain::{
        change::{Change, Component, Revision},
        event::{Said, What},
        signal::Unknown,
    },
    units::Span,
};

use super::{
    brief,
    place::{Behaviour, HEALTHY, IDLE, errors},
    policy::{id, services_mut, shop},
    quiet, story,
    town::{Town, Windows},
};

#[test]
fn monitoring_that_fails_in_the_middle_rolls_nothing_back_and_the_incident_goes_on_when_it_returns()
{
    let told = story(shop(), |town| {
        town.deploy("v2", errors(0.10));
        town.run("7m");
        town.place().monitoring_down = Some(Unknown::Failed);
        town.run("7m");
        town.place().monitoring_down = None;
        town.run("5m");
        assert_eq!(town.serving(), "v1");
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
    12:10:15   -> PAGE: P1 shop/production: critical-errors - nobody has acknowledged this
    12:12:00 errors tells nothing (scrape): connection refused
    12:12:00   -> PAGE: P2 shop/production: blind, errors tells nothing
    12:12:00 health tells nothing (probe): connection refused
    12:12:00   -> PAGE: P2 shop/production: blind, health tells nothing
    12:12:00 latency tells nothing (scrape): connection refused
    12:14:00 health tells again
    12:14:15 errors tells again
    12:14:15 latency tells again
    12:14:15   -> on-call: shop/production: every signal tells again
    12:15:15 decided: roll back now
    12:15:15 application v2 is quarantined
    12:15:15 rollbackd begins rollback shop-20260302120445-r1, plan d1ec833b4bf9894e: application v2 -> v1
    12:15:15   -> PAGE: URGENT - Rollback in Progress - production
    12:15:15   -> stakeholders: URGENT - Rollback in Progress - production
    12:15:15 step 1 begins, attempt 1
    12:15:20 application rolled back from v2 to v1
    12:15:20 application is set to v1
    12:15:20 step 1 is in effect (5000 ms)
    12:15:20 step 2 begins, attempt 1
    12:15:25 step 2 is in effect (5000 ms)
    12:15:25 every step has ended
    12:15:25 verifying that the rollback worked
    ");
}

#[test]
fn a_monitoring_period_that_ends_without_data_pages() {
    let told = brief(shop(), |town| {
        town.deploy("v2", errors(0.10));
        town.run("7m");
        town.place().monitoring_down = Some(Unknown::Failed);
        town.run("40m");
        assert_eq!(town.rollbacks(), 0);
    });
    assert_snapshot!(told, @r"
    12:05:15 raised to P1: critical-errors fires
    12:05:15 decided: monitor until 12:15:15
    12:05:15   -> PAGE: P1 shop/production: critical-errors
    12:12:00   -> PAGE: P2 shop/production: blind, errors tells nothing
    12:12:00   -> PAGE: P2 shop/production: blind, health tells nothing
    12:15:15 decided: ask a person; guards that refuse: blind: its newest sample is 8m 30s old, more than 1m
    12:15:15   -> PAGE: P1 shop/production: critical-errors - not rolled back: a person must decide
    12:20:15   -> PAGE: P1 shop/production: critical-errors - late: no action yet
    ");
}

#[test]
fn a_source_that_fails_without_a_change_pages_late_and_mildly() {
    let told = story(shop(), |town| {
        town.place().monitoring_down = Some(Unknown::ClientError);
        town.run("31m");
        town.place().monitoring_down = None;
        town.run("1m");
    });
    assert_snapshot!(told, @r"
    12:30:00 errors tells nothing (scrape): connection refused
    12:30:00   -> PAGE: P3 shop/production: blind, errors tells nothing
    12:30:00 health tells nothing (probe): connection refused
    12:30:00   -> PAGE: P3 shop/production: blind, health tells nothing
    12:30:00 latency tells nothing (scrape): connection refused
    12:31:00 health tells again
    12:31:15 errors tells again
    12:31:15 latency tells again
    12:31:15   -> on-call: shop/production: every signal tells again
    ");
}

#[test]
fn a_night_without_requests_pages_nobody_and_a_release_earns_known_good_in_the_morning() {
    let told = quiet(4.0, shop(), |town| {
        town.behaves(IDLE);
        town.run("3h");
        town.deploy("v2", IDLE);
        town.run("4m");
        town.behaves(Behaviour { requests: 4.0, ..HEALTHY });
        town.run("40m");
    });
    assert_snapshot!(told, @r"
    15:00:00 application changed from v1 to v2
    15:00:00 application is set to v2
    15:30:00 application v2 is known good
    ");
}

#[test]
fn recovering_at_the_end_of_monitoring_waits_and_closes() {
    let told = brief(shop(), |town| {
        town.deploy("v2", errors(0.10));
        town.run("14m");
        town.behaves(HEALTHY);
        town.run("20m");
        assert_eq!(town.rollbacks(), 0);
    });
    assert_snapshot!(told, @r"
    12:05:15 raised to P1: critical-errors fires
    12:05:15 decided: monitor until 12:15:15
    12:05:15   -> PAGE: P1 shop/production: critical-errors
    12:19:00 critical-errors clears: clean for 5m
    12:19:30 elevated-errors clears: clean for 5m
    12:19:30 minor clears: clean for 5m
    12:19:30 closed: recovered by itself
    12:19:30   -> on-call: P1 shop/production: recovered by itself
    ");
}

#[test]
fn recovering_never_waits_beyond_the_deadline() {
    let told = brief(shop(), |town| {
        town.deploy("v2", errors(0.10));
        town.run("14m");
        for _ in 0..3 {
            town.behaves(HEALTHY);
            town.run("4m");
            town.behaves(errors(0.10));
            town.run("15s");
        }
        town.behaves(HEALTHY);
        town.run("10m");
    });
    assert_snapshot!(told, @r"
    12:05:15 raised to P1: critical-errors fires
    12:05:15 decided: monitor until 12:15:15
    12:05:15   -> PAGE: P1 shop/production: critical-errors
    12:19:00 critical-errors clears: clean for 5m
    12:20:15 decided: ask a person
    12:20:15   -> PAGE: P1 shop/production: elevated-errors - not rolled back: a person must decide
    12:32:15 elevated-errors clears: clean for 5m
    12:32:15 minor clears: clean for 5m
    12:32:15 closed: recovered by itself
    12:32:15   -> on-call: P1 shop/production: recovered by itself
    ");
}

#[test]
fn a_platform_that_cannot_be_read_is_paged_before_it_is_needed() {
    let told = brief(shop(), |town| {
        town.place().faults = vec!["current of /srv/shop is a directory, not a symlink".into()];
        town.run("40m");
        town.place().faults.clear();
        town.run("1m");
    });
    assert_snapshot!(told, @r"
    12:30:00   -> PAGE: P3 shop/production: cannot be rolled back, nobody can tell what is deployed
    12:40:00   -> on-call: shop/production: what is deployed is known again
    ");
}

#[test]
fn a_clock_set_back_neither_blinds_nor_excuses() {
    let told = brief(shop(), |town| {
        town.deploy("v2", errors(0.10));
        town.run("7m");
        town.step_clock(-3_600_000);
        town.run("12m");
    });
    assert_snapshot!(told, @r"
    12:05:15 raised to P1: critical-errors fires
    12:05:15 decided: monitor until 12:15:15
    12:05:15   -> PAGE: P1 shop/production: critical-errors
    11:07:00   -> on-call: the clock of rollbackd's machine was set 1h back
    11:15:15 decided: roll back now
    11:15:15 rollbackd begins rollback shop-20260302120445-r1, plan d1ec833b4bf9894e: application v2 -> v1
    11:15:15   -> PAGE: URGENT - Rollback in Progress - production
    11:15:15   -> stakeholders: URGENT - Rollback in Progress - production
    ");
}

#[test]
fn clocks_that_are_set_about_move_no_change_away_from_its_breach() {
    for ms in [-7_200_000, -90_000, -2_500, 2_500, 90_000, 7_200_000] {
        let told = brief(shop(), |town| {
            town.deploy("v2", errors(0.10));
            town.run("1m");
            town.step_clock(ms);
            town.run("20m");
            assert_eq!(town.rollbacks(), 1, "set by {ms} ms");
        });
        assert!(told.contains("the clock of rollbackd's machine was set"), "{told}");
    }
}

#[test]
fn a_clock_set_forward_earns_nothing() {
    story(shop(), |town| {
        town.deploy("v2", HEALTHY);
        town.run("10m");
        town.step_clock(7_200_000);
        town.run("10m");
        let good = |town: &Town| {
            let revision = Revision::named("v2");
            town.shop().ledger.entry(Component::Application, &revision).unwrap().known_good_at
        };
        assert_eq!(good(town), None);
        town.run("60m");
        assert!(good(town).is_some());
    });
}

#[test]
fn a_clock_set_back_takes_nothing_from_a_revision_that_earns_known_good() {
    story(shop(), |town| {
        town.deploy("v2", HEALTHY);
        town.run("20s");
        town.step_clock(-3_600_000);
        town.run("40m");
        let revision = Revision::named("v2");
        let entry = town.shop().ledger.entry(Component::Application, &revision).unwrap();
        assert!(entry.known_good_at.is_some(), "what it answered since counts");
    });
}

#[test]
fn a_clock_set_forward_shortens_no_deadline() {
    let told = brief(shop(), |town| {
        town.deploy("v2", errors(0.10));
        town.run("7m");
        town.step_clock(1_800_000);
        town.run("12m");
    });
    assert_snapshot!(told, @r"
    12:05:15 raised to P1: critical-errors fires
    12:05:15 decided: monitor until 12:15:15
    12:05:15   -> PAGE: P1 shop/production: critical-errors
    12:37:00   -> on-call: the clock of rollbackd's machine was set 30m forward
    12:45:15 decided: roll back now
    12:45:15 rollbackd begins rollback shop-20260302120445-r1, plan d1ec833b4bf9894e: application v2 -> v1
    12:45:15   -> PAGE: URGENT - Rollback in Progress - production
    12:45:15   -> stakeholders: URGENT - Rollback in Progress - production
    ");
}

/// A page of the night, for a service that nobody watched, is not what the morning's deployment needs.
#[test]
fn a_signal_that_is_blind_already_pages_again_when_a_change_is_to_be_watched() {
    let told = brief(shop(), |town| {
        town.place().monitoring_down = Some(Unknown::Failed);
        town.run("40m");
        town.says("ada", Said::Acknowledge).unwrap();
        town.run("2h");
        town.deploy("v2", HEALTHY);
        town.run("4m");
        town.says("ada", Said::Acknowledge).unwrap();
        town.run("20m");
        town.deploy("v3", HEALTHY);
        town.run("4m");
    });
    assert_snapshot!(told, @r"
    12:30:00   -> PAGE: P3 shop/production: blind, errors tells nothing
    12:30:00   -> PAGE: P3 shop/production: blind, health tells nothing
    14:40:00   -> PAGE: P2 shop/production: blind, errors tells nothing
    14:40:00   -> PAGE: P2 shop/production: blind, health tells nothing
    15:04:00   -> PAGE: P2 shop/production: blind, errors tells nothing
    15:04:00   -> PAGE: P2 shop/production: blind, health tells nothing
    ");
}

/// Each turn paged as often as it may while the change lay ahead. Found by seed 7314 of the simulator.
#[test]
fn a_change_that_lies_ahead_pages_a_blind_signal_once() {
    let mut town = Town::healthy(shop());
    town.deploy("v2", HEALTHY);
    town.place().monitoring_down = Some(Unknown::Failed);
    town.run("10m");
    let ahead = town.wall() + Span::minutes(4);
    let change = town.shop().changes.last().unwrap();
    let change = Change {
        id: "build-9".into(),
        to: Revision::named("v9"),
        started_at: ahead,
        ended_at: Some(ahead),
        ..change.clone()
    };
    town.turn(What::ChangePosted { service: id("shop"), change });
    town.run("3m");
    assert_eq!(town.notices("blind, errors tells nothing").len(), 1, "{}", town.transcript());
    town.run("2m");
    assert_eq!(town.notices("blind, errors tells nothing").len(), 2, "{}", town.transcript());
}

#[test]
fn one_acknowledgement_answers_for_the_incident_and_for_what_is_blind_beside_it() {
    let told = story(shop(), |town| {
        town.deploy("v2", errors(0.10));
        town.run("7m");
        town.place().monitoring_down = Some(Unknown::Failed);
        town.run("6m");
        town.says("ada", Said::Acknowledge).unwrap();
        assert!(!town.shop().page.is_open());
        town.run("90s");
    });
    assert!(!told.contains("still blind"), "{told}");
}

/// Not only under another name.
#[test]
fn a_longer_lag_is_followed_by_a_reload_and_by_windows_of_before_it() {
    story(shop(), |town| {
        let blind = |town: &Town| town.shop().blind.contains_key("errors");
        town.place().behind = Span::minutes(4);
        town.run("40m");
        assert!(blind(town));
        town.adopts(|policy| {
            for service in services_mut(policy) {
                let mut signals = (*service.signals).clone();
                signals.values_mut().for_each(|signal| signal.lag = Span::minutes(5));
                service.signals = signals.into();
            }
        });
        town.run("5m");
        assert!(!blind(town), "it is read as the operator says");
        town.crash(Windows::Old, false);
        town.run("40m");
        assert!(!blind(town), "what was written down before is too");
    });
}

/// A signal that is asked less often counts over longer, and that is no gap.
#[test]
fn a_signal_that_is_asked_less_often_is_not_full_of_gaps() {
    story(shop(), |town| {
        town.adopts(|policy| {
            for service in services_mut(policy) {
                let mut signals = (*service.signals).clone();
                signals.values_mut().for_each(|signal| signal.poll_every = Span::minutes(5));
                service.signals = signals.into();
            }
        });
        town.sleeps_through(Span::minutes(5));
        for _ in 0..12 {
            town.run("1s");
            town.sleeps_through(Span::seconds(299));
        }
        assert!(town.shop().blind.is_empty());
    });
}

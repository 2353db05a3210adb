//! A bad release, from its first error to the last notice.

use insta::assert_snapshot;

use rollbackd::domain::{event::Said, incident::Phase, severity::Severity};

use super::{
    brief,
    place::{Behaviour, HEALTHY, IDLE, OUTAGE, errors},
    policy::shop,
    quiet, roll_back, story,
    town::{Town, failed},
};

#[test]
fn a_bad_release_is_monitored_rolled_back_verified_watched_and_resolved() {
    let told = story(shop(), |town| {
        town.run("1m");
        town.deploy("v2", errors(0.10));
        town.run("2h");
    });
    assert_snapshot!(told, @r"
    12:01:00 application changed from v1 to v2
    12:01:00 application is set to v2
    12:05:45 elevated-errors fires (P2): 200 of 2000 requests, 10% (at least 8.54%) since 12:00:45, limit 1%
    12:05:45 minor fires (P3): 200 of 2000 requests, 10% (at least 8.54%) since 12:00:45, limit 0.5%
    12:05:45 incident shop-20260302120545 opened as P2 by elevated-errors
    12:05:45 minor joins as P3
    12:06:15 critical-errors fires (P1): 200 of 2000 requests, 10% (at least 8.54%) since 12:01:15, limit 5%
    12:06:15 critical-errors joins as P1
    12:06:15 raised to P1: critical-errors fires
    12:06:15 decided: monitor until 12:16:15
    12:06:15   -> PAGE: P1 shop/production: critical-errors
    12:11:15   -> PAGE: P1 shop/production: critical-errors - nobody has acknowledged this
    12:16:15 decided: roll back now
    12:16:15 application v2 is quarantined
    12:16:15 rollbackd begins rollback shop-20260302120545-r1, plan d1ec833b4bf9894e: application v2 -> v1
    12:16:15   -> PAGE: URGENT - Rollback in Progress - production
    12:16:15   -> stakeholders: URGENT - Rollback in Progress - production
    12:16:15 step 1 begins, attempt 1
    12:16:20 application rolled back from v2 to v1
    12:16:20 application is set to v1
    12:16:20 step 1 is in effect (5000 ms)
    12:16:20 step 2 begins, attempt 1
    12:16:25 step 2 is in effect (5000 ms)
    12:16:25 every step has ended
    12:16:25 verifying that the rollback worked
    12:21:15   -> PAGE: P1 shop/production: critical-errors - nobody has acknowledged this
    12:21:30 critical-errors clears: clean for 5m
    12:22:00 elevated-errors clears: clean for 5m
    12:22:00 minor clears: clean for 5m
    12:26:15   -> PAGE: P1 shop/production: its triggers cleared - nobody has acknowledged this
    12:31:15   -> PAGE: P1 shop/production: its triggers cleared - nobody has acknowledged this
    12:32:15 verified; watching for a relapse
    12:32:15   -> on-call: Rollback Complete - production
    12:32:15   -> stakeholders: Rollback Complete - production
    13:32:15 closed: rolled back and verified
    13:32:15   -> on-call: P1 shop/production: rolled back and verified
    13:32:15   -> stakeholders: Closed - shop - production
    ");
}

#[test]
fn a_service_that_always_had_some_errors_can_be_restored_too() {
    let told = brief(shop(), |town| {
        town.behaves(errors(0.015));
        town.run("40m");
        town.says("ada", Said::Dismiss { reason: "always so".into() }).unwrap();
        town.deploy("v2", errors(0.15));
        town.run("90m");
    });
    assert_snapshot!(told, @r"
    12:05:45 raised to P2: elevated-errors fires
    12:05:45 decided: ask a person; guards that refuse: no-change: no change of this service is known; nowhere-safe: no earlier revision has served healthily for the bake time
    12:05:45   -> PAGE: P2 shop/production: elevated-errors - please decide
    12:35:45   -> PAGE: P2 shop/production: elevated-errors - late: no action yet
    12:40:00 closed: dismissed by ada: always so
    12:40:00   -> on-call: P2 shop/production: dismissed by ada: always so
    12:45:00 decided: monitor until 12:55:00
    12:45:00   -> PAGE: P1 shop/production: critical-errors
    12:55:00 decided: roll back now
    12:55:00 rollbackd begins rollback shop-20260302124500-r1, plan d1ec833b4bf9894e: application v2 -> v1
    12:55:00   -> PAGE: URGENT - Rollback in Progress - production
    12:55:00   -> stakeholders: URGENT - Rollback in Progress - production
    13:00:30 critical-errors clears: clean for 5m
    13:10:45 verified; watching for a relapse
    13:10:45   -> on-call: Rollback Complete - production
    13:10:45   -> stakeholders: Rollback Complete - production
    ");
}

#[test]
fn too_little_traffic_is_said_and_not_held_against_the_rollback() {
    let mut checks = String::new();
    let told = quiet(4.0, shop(), |town| {
        town.deploy("v2", Behaviour { requests: 4.0, ..OUTAGE });
        town.run("1m 50s");
        town.place().versions.insert("v1".into(), IDLE);
        town.run("20m");
        checks = town.notices("Complete")[0].lines.join("\n");
    });
    assert_snapshot!(checks, @r"
    • the target revision serves: Passed, v1 serves
    • errors: Thin, no requests since the rollback
    • health: Passed, 60 good probes in a row, 0 bad in all
    • latency: Thin, too few requests for a p95
    • no trigger fires: Passed, all clear
    ");
    let told: Vec<&str> = told.lines().filter(|l| l.contains("->")).collect();
    assert_snapshot!(told.join("\n"), @r"
    12:01:45 rollbackd begins rollback shop-20260302120145-r1, plan d1ec833b4bf9894e: application v2 -> v1
    12:01:45   -> PAGE: URGENT - Rollback in Progress - production
    12:01:45   -> stakeholders: URGENT - Rollback in Progress - production
    12:06:45   -> PAGE: P0 shop/production: its triggers cleared - nobody has acknowledged this
    12:11:45   -> PAGE: P0 shop/production: its triggers cleared - nobody has acknowledged this
    12:16:45   -> PAGE: P0 shop/production: its triggers cleared - nobody has acknowledged this
    12:17:15   -> on-call: Rollback Complete - production
    12:17:15   -> stakeholders: Rollback Complete - production
    ");
}

#[test]
fn a_failure_in_the_last_minute_of_the_hold_starts_it_anew() {
    let told = brief(shop(), |town| {
        town.deploy("v2", OUTAGE);
        town.run("16m");
        town.behaves(Behaviour { up: false, ..HEALTHY });
        town.run("15s");
        town.behaves(HEALTHY);
        town.run("20m");
    });
    assert_snapshot!(told, @r"
    12:01:45 decided: roll back now
    12:01:45 rollbackd begins rollback shop-20260302120145-r1, plan d1ec833b4bf9894e: application v2 -> v1
    12:01:45   -> PAGE: URGENT - Rollback in Progress - production
    12:01:45   -> stakeholders: URGENT - Rollback in Progress - production
    12:02:45 service-outage clears: clean for 1m
    12:26:45 the deadline for a verified rollback passed
    12:26:45   -> PAGE: P0 shop/production: its triggers cleared - late: not verified yet
    12:31:15 verified; watching for a relapse
    12:31:15   -> on-call: Rollback Complete - production
    12:31:15   -> stakeholders: Rollback Complete - production
    ");
}

#[test]
fn a_trigger_that_cannot_clear_because_nobody_comes_is_not_held_against_the_rollback() {
    let told = quiet(4.0, shop(), |town| {
        town.deploy("v2", Behaviour { requests: 4.0, ..errors(0.5) });
        town.run("12m 50s");
        town.place().versions.insert("v1".into(), IDLE);
        town.run("110m");
        town.place().versions.insert("v1".into(), Behaviour { requests: 4.0, ..HEALTHY });
        town.run("8m");
    });
    let told: Vec<&str> = told.lines().filter(|l| !l.contains("nobody has")).collect();
    assert_snapshot!(told.join("\n"), @r"
    12:00:00 application changed from v1 to v2
    12:00:00 application is set to v2
    12:04:45 critical-errors fires (P1): 40 of 80 requests, 50% (at least 37.4%) since 11:59:45, limit 5%
    12:04:45 elevated-errors fires (P2): 40 of 80 requests, 50% (at least 37.4%) since 11:59:45, limit 1%
    12:04:45 minor fires (P3): 40 of 80 requests, 50% (at least 37.4%) since 11:59:45, limit 0.5%
    12:04:45 incident shop-20260302120445 opened as P1 by critical-errors
    12:04:45 elevated-errors joins as P2
    12:04:45 minor joins as P3
    12:04:45 decided: monitor until 12:14:45
    12:04:45   -> PAGE: P1 shop/production: critical-errors
    12:14:45 decided: roll back now
    12:14:45 application v2 is quarantined
    12:14:45 rollbackd begins rollback shop-20260302120445-r1, plan d1ec833b4bf9894e: application v2 -> v1
    12:14:45   -> PAGE: URGENT - Rollback in Progress - production
    12:14:45   -> stakeholders: URGENT - Rollback in Progress - production
    12:14:45 step 1 begins, attempt 1
    12:14:50 application rolled back from v2 to v1
    12:14:50 application is set to v1
    12:14:50 step 1 is in effect (5000 ms)
    12:14:50 step 2 begins, attempt 1
    12:14:55 step 2 is in effect (5000 ms)
    12:14:55 every step has ended
    12:14:55 verifying that the rollback worked
    12:31:00 verified; watching for a relapse
    12:31:00   -> on-call: Rollback Complete - production
    12:31:00   -> stakeholders: Rollback Complete - production
    13:31:00 closed: rolled back and verified
    13:31:00   -> on-call: P1 shop/production: rolled back and verified
    13:31:00   -> stakeholders: Closed - shop - production
    14:07:45 critical-errors clears: clean for 5m
    14:07:45 elevated-errors clears: clean for 5m
    14:07:45 minor clears: clean for 5m
    ");
}

/// What fired before the change is not the change's doing, and a rollback need not mend it.
#[test]
fn a_rollback_is_verified_beside_a_breach_that_is_older_than_the_change() {
    brief(shop(), |town| {
        let before = errors(0.015);
        town.behaves(before);
        town.run("30m");
        assert_eq!(town.incident().severity, Severity::P2);
        town.deploy("v2", OUTAGE);
        town.run("20m");
        assert_eq!(town.serving(), "v1");
        assert!(town.shop().firing.contains_key("elevated-errors"), "{}", town.transcript());
        assert!(matches!(town.incident().phase, Phase::Watching { .. }), "{}", town.transcript());
    });
}

/// What nobody saw fire has not cleared.
#[test]
fn a_rollback_that_a_person_asked_for_is_called_so_where_it_halts() {
    let mut town = Town::healthy(shop());
    town.deploy("v2", HEALTHY);
    town.run("1m");
    town.place().outcomes.push_back(failed("a right is missing", false));
    town.says("ada", roll_back(None, "blank page")).unwrap();
    town.run("1m");
    let page = town.notices("yours now").pop().unwrap();
    assert_eq!(page.subject, "P1 shop/production: ada asked: blank page - yours now");
}

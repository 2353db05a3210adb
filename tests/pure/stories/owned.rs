//! What people own is not forgotten, and does not make the daemon deaf.

use insta::assert_snapshot;
use rollbackd::{
    domain::{
        event::{Alert, Said, What},
        severity::Severity,
    },
    units::Span,
};

use super::{
    brief,
    place::{HEALTHY, OUTAGE, errors},
    policy::{shop, shop_with},
    story,
    town::{Town, failed},
};

/// v2 fails, its rollback fails too, and Ada has seen it.
fn escalated(town: &mut Town) {
    town.place().outcomes.push_back(failed("the disk is full", false));
    town.deploy("v2", errors(0.30));
    town.run("20m");
    town.says("ada", Said::Acknowledge).unwrap();
}

#[test]
fn a_release_after_an_escalated_incident_is_judged_as_any_other() {
    let told = brief(shop(), |town| {
        escalated(town);
        town.deploy("v3", HEALTHY);
        town.run("50m");
        town.deploy("v4", errors(0.30));
        town.run("20m");
        assert_eq!((town.rollbacks(), town.serving()), (2, "v1".into()));
    });
    assert_snapshot!(told, @r"
    12:04:45 decided: monitor until 12:14:45
    12:04:45   -> PAGE: P1 shop/production: critical-errors
    12:14:45 decided: roll back now
    12:14:45 rollbackd begins rollback shop-20260302120445-r1, plan d1ec833b4bf9894e: application v2 -> v1
    12:14:45   -> PAGE: URGENT - Rollback in Progress - production
    12:14:45   -> stakeholders: URGENT - Rollback in Progress - production
    12:14:50 escalated to people: the rollback halted: `switch current of /srv/shop from v2 to v1` failed: the disk is full
    12:14:50   -> PAGE: P1 shop/production: critical-errors - yours now
    12:25:30 critical-errors clears: clean for 5m
    12:25:30 elevated-errors clears: clean for 5m
    12:25:30 minor clears: clean for 5m
    13:14:45 closed: overtaken by the deployment of v4
    13:14:45   -> on-call: P1 shop/production: overtaken by the deployment of v4
    13:14:45   -> stakeholders: Closed - shop - production
    13:14:45 decided: monitor until 13:24:45
    13:14:45   -> PAGE: P1 shop/production: critical-errors
    13:24:45 decided: roll back now
    13:24:45 rollbackd begins rollback shop-20260302131445-r2, plan 6f742d4c88877716: application v4 -> v1
    13:24:45   -> PAGE: URGENT - Rollback in Progress - production
    13:24:45   -> stakeholders: URGENT - Rollback in Progress - production
    ");
}

/// By the clock of whoever deploys, which is half an hour ahead, the deployment and what it brought come after everything that
/// was done here: they are of the incident all the same.
#[test]
fn an_incident_is_not_overtaken_by_the_deployment_that_it_is_of() {
    let told = story(shop(), |town| {
        town.deploy("v2", HEALTHY);
        let ahead = town.wall() + Span::minutes(30);
        let service = town.shop().id.clone();
        let mut change = town.shop().changes.last().unwrap().clone();
        (change.id, change.started_at) = ("ahead".into(), ahead);
        change.ended_at = None;
        change.to.version = "v3".into();
        town.turn(What::ChangePosted { service: service.clone(), change });
        let alert = Alert {
            fingerprint: "8f2a".into(),
            starts_at: ahead + Span::minutes(1),
            firing: true,
            name: "CheckoutErrors".into(),
            trigger: None,
            severity: Severity::P1,
            summary: "checkout fails".into(),
            labels: [].into(),
        };
        town.turn(What::Alerted { service, alert });
        town.run("25m");
    });
    assert_eq!(told.matches(" opened as P1 ").count(), 1, "{told}");
    assert!(told.contains("a person must decide") && !told.contains("overtaken"), "{told}");
}

#[test]
fn what_people_mended_closes_once_it_has_been_quiet_for_long_enough() {
    let told = brief(shop(), |town| {
        escalated(town);
        town.deploy("v3", HEALTHY);
        town.run("70m");
        assert_eq!(town.shop().incident, None);
    });
    assert_snapshot!(told, @r"
    12:04:45 decided: monitor until 12:14:45
    12:04:45   -> PAGE: P1 shop/production: critical-errors
    12:14:45 decided: roll back now
    12:14:45 rollbackd begins rollback shop-20260302120445-r1, plan d1ec833b4bf9894e: application v2 -> v1
    12:14:45   -> PAGE: URGENT - Rollback in Progress - production
    12:14:45   -> stakeholders: URGENT - Rollback in Progress - production
    12:14:50 escalated to people: the rollback halted: `switch current of /srv/shop from v2 to v1` failed: the disk is full
    12:14:50   -> PAGE: P1 shop/production: critical-errors - yours now
    12:25:30 critical-errors clears: clean for 5m
    12:25:30 elevated-errors clears: clean for 5m
    12:25:30 minor clears: clean for 5m
    13:25:30 closed: mended by people, and quiet since
    13:25:30   -> on-call: P1 shop/production: mended by people, and quiet since
    13:25:30   -> stakeholders: Closed - shop - production
    ");
}

#[test]
fn what_is_set_and_does_not_serve_is_not_mended() {
    brief(shop(), |town| {
        escalated(town);
        town.behaves(HEALTHY);
        let now = town.wall();
        town.place().switch("v3", now);
        town.run("2h");
        assert!(town.shop().incident.is_some(), "v2 serves: {}", town.transcript());
    });
}

#[test]
fn what_nobody_can_see_is_not_mended() {
    brief(shop(), |town| {
        escalated(town);
        town.deploy("v3", HEALTHY);
        town.run("10m");
        town.place().monitoring_down = Some(rollbackd::domain::signal::Unknown::Failed);
        town.run("3h");
        assert!(town.shop().incident.is_some());
    });
}

#[test]
fn what_fires_anew_while_people_own_it_pages() {
    let told = brief(shop(), |town| {
        escalated(town);
        town.behaves(HEALTHY);
        town.run("20m");
        town.behaves(errors(0.30));
        town.run("10m");
    });
    assert_snapshot!(told, @r"
    12:04:45 decided: monitor until 12:14:45
    12:04:45   -> PAGE: P1 shop/production: critical-errors
    12:14:45 decided: roll back now
    12:14:45 rollbackd begins rollback shop-20260302120445-r1, plan d1ec833b4bf9894e: application v2 -> v1
    12:14:45   -> PAGE: URGENT - Rollback in Progress - production
    12:14:45   -> stakeholders: URGENT - Rollback in Progress - production
    12:14:50 escalated to people: the rollback halted: `switch current of /srv/shop from v2 to v1` failed: the disk is full
    12:14:50   -> PAGE: P1 shop/production: critical-errors - yours now
    12:25:30 critical-errors clears: clean for 5m
    12:25:30 elevated-errors clears: clean for 5m
    12:25:30 minor clears: clean for 5m
    12:40:00   -> PAGE: P1 shop/production: critical-errors fires, and the incident is yours
    ");
}

#[test]
fn what_stays_open_is_told_again_once_a_day() {
    let told = brief(shop(), |town| {
        escalated(town);
        town.run("49h");
    });
    let reminded: Vec<&str> = told.lines().filter(|line| line.contains("still open")).collect();
    assert_snapshot!(reminded.join("\n"), @r"
    12:19:50   -> on-call: P1 shop/production: critical-errors - still open, and yours
    12:19:50   -> on-call: P1 shop/production: critical-errors - still open, and yours
    ");
}

#[test]
fn what_gets_worse_while_it_is_verified_pages_and_buys_no_time() {
    let told = brief(shop(), |town| {
        town.deploy("v2", errors(0.10));
        town.run("16m");
        town.says("ada", Said::Acknowledge).unwrap();
        town.run("6m");
        town.behaves(OUTAGE);
        town.run("30m");
    });
    assert_snapshot!(told, @r"
    12:05:15 raised to P1: critical-errors fires
    12:05:15 decided: monitor until 12:15:15
    12:05:15   -> PAGE: P1 shop/production: critical-errors
    12:15:15 decided: roll back now
    12:15:15 rollbackd begins rollback shop-20260302120445-r1, plan d1ec833b4bf9894e: application v2 -> v1
    12:15:15   -> PAGE: URGENT - Rollback in Progress - production
    12:15:15   -> stakeholders: URGENT - Rollback in Progress - production
    12:20:30 critical-errors clears: clean for 5m
    12:21:00 elevated-errors clears: clean for 5m
    12:21:00 minor clears: clean for 5m
    12:23:45 raised to P0: service-outage fires
    12:23:45   -> PAGE: P0 shop/production: service-outage - it got worse
    12:35:15 the deadline for a verified rollback passed
    12:35:15   -> PAGE: P0 shop/production: critical-errors - late: not verified yet
    12:45:25 escalated to people: the rollback could not be verified: errors: 9400 of 11900 requests failed, 78.99% (limit 1.00%); health: 0 good probes in a row, 94 bad in all; no trigger fires: critical-errors, elevated-errors, failed-health-checks, service-outage fires
    12:45:25   -> PAGE: P0 shop/production: critical-errors - yours now
    ");
}

#[test]
fn a_fix_that_fails_while_a_rollback_is_verified_is_an_incident_of_its_own() {
    let told = brief(shop_with(|p| p.guards.cooldown = Span::ZERO), |town| {
        town.deploy("v2", errors(0.10));
        town.run("20m");
        town.deploy("v3", HEALTHY);
        town.run("5m");
        town.behaves(OUTAGE);
        town.run("4m");
    });
    assert_snapshot!(told, @r"
    12:05:15 raised to P1: critical-errors fires
    12:05:15 decided: monitor until 12:15:15
    12:05:15   -> PAGE: P1 shop/production: critical-errors
    12:15:15 decided: roll back now
    12:15:15 rollbackd begins rollback shop-20260302120445-r1, plan d1ec833b4bf9894e: application v2 -> v1
    12:15:15   -> PAGE: URGENT - Rollback in Progress - production
    12:15:15   -> stakeholders: URGENT - Rollback in Progress - production
    12:20:30 critical-errors clears: clean for 5m
    12:21:00 elevated-errors clears: clean for 5m
    12:21:00 minor clears: clean for 5m
    12:26:45 closed: overtaken by the deployment of v3
    12:26:45   -> on-call: P1 shop/production: overtaken by the deployment of v3
    12:26:45   -> stakeholders: Closed - shop - production
    12:26:45 decided: roll back now
    12:26:45 rollbackd begins rollback shop-20260302122645-r2, plan 343f94ec244f1988: application v3 -> v1
    12:26:45   -> PAGE: URGENT - Rollback in Progress - production
    12:26:45   -> stakeholders: URGENT - Rollback in Progress - production
    ");
}

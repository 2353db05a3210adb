//! What is acted upon is the breach that is bad now, not the mild one that has gone on since yesterday.

use insta::assert_snapshot;
use rollbackd::domain::change::{Component, Revision};

use super::{brief, place::errors, policy::shop};

#[test]
fn a_mild_incident_that_is_open_for_long_does_not_hide_a_bad_release() {
    let told = brief(shop(), |town| {
        town.behaves(errors(0.008));
        town.run("3h");
        town.deploy("v2", errors(0.30));
        town.run("20m");
        assert_eq!(town.serving(), "v1");
    });
    assert_snapshot!(told, @r"
    12:08:15 decided: only tell: fix forward, or roll back with the next deployment; guards that refuse: no-change: no change of this service is known; nowhere-safe: no earlier revision has served healthily for the bake time
    12:08:15   -> on-call: P3 shop/production: minor
    15:04:45 raised to P1: critical-errors fires
    15:04:45 decided: monitor until 15:14:45
    15:04:45   -> PAGE: P1 shop/production: critical-errors
    15:14:45 decided: roll back now
    15:14:45 rollbackd begins rollback shop-20260302120815-r1, plan d1ec833b4bf9894e: application v2 -> v1
    15:14:45   -> PAGE: URGENT - Rollback in Progress - production
    15:14:45   -> stakeholders: URGENT - Rollback in Progress - production
    ");
}

#[test]
fn a_breach_hours_after_a_change_is_not_its_doing_although_a_mild_one_began_with_it() {
    let told = brief(shop(), |town| {
        town.deploy("v2", errors(0.008));
        town.run("3h");
        town.behaves(errors(0.30));
        town.run("20m");
        assert_eq!((town.rollbacks(), town.serving()), (0, "v2".into()));
        assert_eq!(town.incident().change, None, "v2 is not behind what is bad now");
    });
    assert_snapshot!(told, @r"
    12:08:15 decided: only tell: fix forward, or roll back with the next deployment
    12:08:15   -> on-call: P3 shop/production: minor
    15:04:45 raised to P1: critical-errors fires
    15:04:45 decided: monitor until 15:14:45; guards that refuse: no-change: it began 2h 59m 45s after the last change, to v2: too late to be its doing
    15:04:45   -> PAGE: P1 shop/production: critical-errors
    15:14:45 decided: ask a person; guards that refuse: no-change: it began 2h 59m 45s after the last change, to v2: too late to be its doing
    15:14:45   -> PAGE: P1 shop/production: critical-errors - not rolled back: a person must decide
    15:19:45   -> PAGE: P1 shop/production: critical-errors - late: no action yet
    ");
}

#[test]
fn a_rollback_by_hand_of_hours_ago_verifies_no_incident_of_now() {
    let told = brief(shop(), |town| {
        town.behaves(errors(0.008));
        town.run("20m");
        town.deploy("v2", errors(0.008));
        town.run("20m");
        town.deploy("v1", errors(0.008));
        town.run("2h");
        town.behaves(errors(0.30));
        town.run("20m");
    });
    assert_snapshot!(told, @r"
    12:08:15 decided: only tell: fix forward, or roll back with the next deployment; guards that refuse: no-change: no change of this service is known; nowhere-safe: no earlier revision has served healthily for the bake time
    12:08:15   -> on-call: P3 shop/production: minor
    14:44:45 raised to P1: critical-errors fires
    14:44:45 decided: monitor until 14:54:45; guards that refuse: no-change: the last change, to v1, was itself a rollback; nowhere-safe: no earlier revision has served healthily for the bake time; the platform offers v2 to a person's choice
    14:44:45   -> PAGE: P1 shop/production: critical-errors
    14:54:45 decided: ask a person; guards that refuse: no-change: the last change, to v1, was itself a rollback; nowhere-safe: no earlier revision has served healthily for the bake time; the platform offers v2 to a person's choice
    14:54:45   -> PAGE: P1 shop/production: critical-errors - not rolled back: a person must decide
    14:59:45   -> PAGE: P1 shop/production: critical-errors - late: no action yet
    ");
}

#[test]
fn a_cosmetic_incident_keeps_no_release_from_being_known_good() {
    let told = brief(shop(), |town| {
        town.behaves(errors(0.008));
        town.run("20m");
        town.deploy("v2", errors(0.008));
        town.run("35m");
        let v2 = Revision::named("v2");
        let entry = town.shop().ledger.entry(Component::Application, &v2).unwrap();
        assert!(entry.known_good_at.is_some());
        town.deploy("v3", errors(0.30));
        town.run("17m");
        assert_eq!(town.serving(), "v2");
    });
    assert!(told.contains("application v3 -> v2"), "{told}");
}

//! Who confirms an outage that a probe sees, and who does not.

use insta::assert_snapshot;
use rollbackd::{
    domain::{
        event::{Alert, What},
        severity::Severity,
    },
    units::Span,
};

use super::{
    brief,
    place::{Behaviour, HEALTHY, errors},
    policy::{id, shop},
    town::Town,
};

fn alert(town: &Town, trigger: Option<&str>, fingerprint: &str) -> What {
    let alert = Alert {
        fingerprint: fingerprint.into(),
        starts_at: town.wall(),
        firing: true,
        name: "SomethingElse".into(),
        trigger: trigger.map(str::to_owned),
        severity: Severity::P3,
        summary: "somebody saw something".into(),
        labels: [].into(),
    };
    What::Alerted { service: id("shop"), alert }
}

/// Requests that are answered, all but a few, contradict an outage.
#[test]
fn a_few_errors_confirm_no_outage() {
    let told = brief(shop(), |town| {
        town.deploy("v2", errors(0.008));
        town.run("10m");
        town.behaves(Behaviour { up: false, ..errors(0.008) });
        town.run("4m");
        assert_eq!(town.rollbacks(), 0);
    });
    assert_snapshot!(told, @r"
    12:08:15 decided: only tell: fix forward, or roll back with the next deployment
    12:08:15   -> on-call: P3 shop/production: minor
    12:11:45 raised to P0: service-outage fires
    12:11:45 decided: ask a person; guards that refuse: one-witness: service-outage is seen by probes alone, which could be our own network
    12:11:45   -> PAGE: P0 shop/production: service-outage - not rolled back: a person must decide
    ");
}

#[test]
fn an_alert_about_something_else_or_of_an_hour_ago_confirms_no_outage() {
    let told = brief(shop(), |town| {
        let old = alert(town, Some("failed-health-checks"), "0a");
        town.turn(old);
        town.run("55m");
        town.deploy("v2", HEALTHY);
        town.run("1m");
        let other = alert(town, None, "0b");
        town.turn(other);
        town.behaves(Behaviour { up: false, ..HEALTHY });
        town.run("4m");
        assert_eq!(town.rollbacks(), 0);
    });
    assert!(told.contains("one-witness: service-outage is seen by probes alone"), "{told}");
}

#[test]
fn another_s_probes_confirm_an_outage() {
    let told = brief(shop(), |town| {
        town.deploy("v2", HEALTHY);
        town.run("5m");
        town.behaves(Behaviour { up: false, ..HEALTHY });
        town.run_for(Span::seconds(90));
        let theirs = alert(town, Some("failed-health-checks"), "0c");
        town.turn(theirs);
        town.run("1m");
        assert_eq!(town.rollbacks(), 1);
    });
    assert_snapshot!(told, @r"
    12:06:30 decided: monitor until 12:16:30
    12:06:30   -> PAGE: P1 shop/production: alert:failed-health-checks
    12:06:45 raised to P0: service-outage fires
    12:06:45 decided: roll back now
    12:06:45 rollbackd begins rollback shop-20260302120630-r1, plan d1ec833b4bf9894e: application v2 -> v1
    12:06:45   -> PAGE: URGENT - Rollback in Progress - production
    12:06:45   -> stakeholders: URGENT - Rollback in Progress - production
    ");
}

/// Responses that come late still come.
#[test]
fn slow_responses_confirm_no_outage() {
    let told = brief(shop(), |town| {
        town.deploy("v2", HEALTHY);
        town.run("5m");
        town.behaves(Behaviour { up: false, slow: 0.9, ..HEALTHY });
        town.run("4m");
        assert_eq!(town.rollbacks(), 0);
    });
    assert!(told.contains("one-witness: service-outage is seen by probes alone"), "{told}");
}

#[test]
fn requests_that_have_stopped_coming_confirm_an_outage() {
    let told = brief(shop(), |town| {
        town.deploy("v2", HEALTHY);
        town.run("5m");
        town.behaves(Behaviour { up: false, requests: 0.0, ..HEALTHY });
        town.run("7m");
        assert_eq!(town.rollbacks(), 1);
    });
    assert_snapshot!(told, @r"
    12:06:45 decided: ask a person; guards that refuse: one-witness: service-outage is seen by probes alone, which could be our own network
    12:06:45   -> PAGE: P0 shop/production: service-outage - not rolled back: a person must decide
    12:09:45 decided: roll back now
    12:09:45 rollbackd begins rollback shop-20260302120645-r1, plan d1ec833b4bf9894e: application v2 -> v1
    12:09:45   -> PAGE: URGENT - Rollback in Progress - production
    12:09:45   -> stakeholders: URGENT - Rollback in Progress - production
    ");
}

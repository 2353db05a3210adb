//! What nobody used, nobody saw, or nobody asks for any more, is neither good nor bad.

use insta::assert_snapshot;
use rollbackd::domain::{
    change::{Component, Revision},
    policy::LooksAt,
    service::Mode,
    signal::Unknown,
};

use super::{
    brief,
    place::{Behaviour, HEALTHY, IDLE, OUTAGE, errors},
    policy::{id, services_mut, shop, shop_with},
    quiet,
    town::Town,
};

fn is_known_good(town: &Town, version: &str) -> bool {
    let entry = town.shop().ledger.entry(Component::Application, &Revision::named(version));
    entry.unwrap().known_good_at.is_some()
}

/// Its health check was answered all night, and no user came.
#[test]
fn a_revision_that_nobody_used_is_not_known_good() {
    quiet(4.0, shop(), |town| {
        town.behaves(IDLE);
        town.run("30m");
        town.deploy("v2", IDLE);
        town.run("40m");
        assert!(!is_known_good(town, "v2"));
        town.deploy("v3", IDLE);
        town.run("10m");
        town.behaves(Behaviour { requests: 4.0, ..errors(0.30) });
        town.run("12m");
        let offered = town.incident().offered.as_ref().unwrap();
        assert_eq!(offered.summary(), "application v3 -> v1");
    });
}

#[test]
fn a_revision_earns_known_good_once_enough_requests_came() {
    quiet(4.0, shop(), |town| {
        town.deploy("v2", IDLE);
        town.run("40m");
        assert!(!is_known_good(town, "v2"));
        town.behaves(Behaviour { requests: 4.0, ..HEALTHY });
        town.run("3m");
        assert!(is_known_good(town, "v2"));
    });
}

/// Operators took it out of the load balancer: whether it still fails, nobody can tell.
#[test]
fn a_breach_that_nobody_asks_for_any_more_is_not_acted_upon() {
    let told = brief(shop(), |town| {
        town.deploy("v2", errors(0.10));
        town.run("13m");
        town.behaves(IDLE);
        town.run("4m");
        assert_eq!(town.rollbacks(), 0);
    });
    assert_snapshot!(told, @r"
    12:05:15 raised to P1: critical-errors fires
    12:05:15 decided: monitor until 12:15:15
    12:05:15   -> PAGE: P1 shop/production: critical-errors
    12:15:15 decided: ask a person; guards that refuse: blind: its newest sample is 2m 30s old, more than 1m
    12:15:15   -> PAGE: P1 shop/production: critical-errors - not rolled back: a person must decide
    ");
}

#[test]
fn a_watch_does_not_end_while_nobody_sees() {
    let told = brief(shop(), |town| {
        town.deploy("v2", OUTAGE);
        town.run("60m");
        town.place().monitoring_down = Some(Unknown::Failed);
        town.run("60m");
        assert!(town.shop().incident.is_some());
        town.place().monitoring_down = None;
        town.run("1m");
    });
    assert_snapshot!(told, @r"
    12:01:45 decided: roll back now
    12:01:45 rollbackd begins rollback shop-20260302120145-r1, plan d1ec833b4bf9894e: application v2 -> v1
    12:01:45   -> PAGE: URGENT - Rollback in Progress - production
    12:01:45   -> stakeholders: URGENT - Rollback in Progress - production
    12:02:45 service-outage clears: clean for 1m
    12:17:15 verified; watching for a relapse
    12:17:15   -> on-call: Rollback Complete - production
    12:17:15   -> stakeholders: Rollback Complete - production
    13:05:00   -> PAGE: P2 shop/production: blind, errors tells nothing
    13:05:00   -> PAGE: P2 shop/production: blind, health tells nothing
    13:17:15   -> on-call: P0 shop/production: its watch cannot end unseen
    14:00:15   -> on-call: shop/production: every signal tells again
    14:00:15 closed: rolled back and verified
    14:00:15   -> on-call: P0 shop/production: rolled back and verified
    14:00:15   -> stakeholders: Closed - shop - production
    ");
}

#[test]
fn a_watch_over_a_quiet_hour_ends() {
    let told = quiet(4.0, shop(), |town| {
        town.deploy("v2", Behaviour { requests: 4.0, ..OUTAGE });
        town.place().versions.insert("v1".into(), Behaviour { requests: 4.0, ..HEALTHY });
        town.run("40m");
        town.behaves(IDLE);
        town.run("40m");
    });
    assert!(told.contains("closed: rolled back and verified"), "{told}");
}

/// What is normal is not learned from before a change of hours ago because an incident opens now.
#[test]
fn an_incident_alone_changes_nothing_of_what_is_normal() {
    brief(shop(), |town| {
        town.deploy("v2", HEALTHY);
        town.run("3h");
        town.behaves(Behaviour { slow: 0.04, ..HEALTHY });
        town.run("2h");
        let limit = |town: &Town| {
            let watch = &town.fleet.watches[&id("shop")];
            watch.evidence("minor-than-before").and_then(|e| e.threshold)
        };
        let before = limit(town);
        assert!(before.is_some());
        town.behaves(errors(0.10));
        town.run("10m");
        assert!(town.shop().incident.is_some());
        assert_eq!(limit(town), before);
    });
}

/// It answers again, and half of what it answers fails: "recovered by itself" was told between two pages.
#[test]
fn an_outage_is_not_over_while_something_else_is_about_to_fire() {
    let told = brief(shop_with(|shop| shop.mode = Mode::Observe), |town| {
        town.deploy("v2", OUTAGE);
        town.run("4m");
        town.behaves(errors(0.3));
        town.run("10m");
        town.behaves(HEALTHY);
        town.run("20m");
    });
    assert_eq!(
        told.matches("recovered by itself").count(),
        2,
        "once, and one notice of it: {told}"
    );
    assert!(told.contains("raised") || told.contains("critical-errors"), "{told}");
}

/// "Recovered by itself", and it still was down.
#[test]
fn an_incident_whose_trigger_is_taken_out_of_the_configuration_does_not_say_that_it_recovered() {
    let told = brief(shop_with(|shop| shop.mode = Mode::Observe), |town| {
        town.deploy("v2", Behaviour { up: false, ..HEALTHY });
        town.run("4m");
        town.adopts(|policy| {
            services_mut(policy).for_each(|shop| {
                std::sync::Arc::make_mut(&mut shop.triggers).retain(|_, trigger| {
                    !matches!(trigger.looks_at, LooksAt::Health | LooksAt::Availability)
                });
            });
        });
        town.run("3m");
    });
    assert!(
        told.contains(
            "closed: failed-health-checks is not configured any more, and nothing else fires"
        ),
        "{told}"
    );
    assert!(!told.contains("recovered by itself"), "{told}");
}

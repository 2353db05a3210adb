//! P0: at once, and by what.

use insta::assert_snapshot;
use rollbackd::{
    domain::{
        change::{Change, Component, Migrations, Origin, Revision},
        event::{Said, What},
        incident::Phase,
        policy::Freeze,
        watch::says,
    },
    units::Span,
};

use super::{
    brief,
    place::{Behaviour, HEALTHY, OUTAGE, errors},
    policy::{id, services_mut, shop, shop_with},
    story,
    town::{NOON, failed},
};

#[test]
fn a_total_outage_is_rolled_back_at_once() {
    let told = story(shop(), |town| {
        town.deploy("v2", OUTAGE);
        town.run("4m");
        assert_eq!(town.serving(), "v1");
    });
    assert_snapshot!(told, @r"
    12:00:00 application changed from v1 to v2
    12:00:00 application is set to v2
    12:01:45 service-outage fires (P0): down since 11:59:45
    12:01:45 incident shop-20260302120145 opened as P0 by service-outage
    12:01:45 decided: roll back now
    12:01:45 application v2 is quarantined
    12:01:45 rollbackd begins rollback shop-20260302120145-r1, plan d1ec833b4bf9894e: application v2 -> v1
    12:01:45   -> PAGE: URGENT - Rollback in Progress - production
    12:01:45   -> stakeholders: URGENT - Rollback in Progress - production
    12:01:45 step 1 begins, attempt 1
    12:01:50 application rolled back from v2 to v1
    12:01:50 application is set to v1
    12:01:50 step 1 is in effect (5000 ms)
    12:01:50 step 2 begins, attempt 1
    12:01:55 step 2 is in effect (5000 ms)
    12:01:55 every step has ended
    12:01:55 verifying that the rollback worked
    12:02:45 service-outage clears: clean for 1m
    ");
}

#[test]
fn most_requests_failing_is_an_outage_although_probes_are_answered() {
    let told = brief(shop(), |town| {
        town.deploy("v2", errors(0.7));
        town.run("5m");
    });
    assert_snapshot!(told, @r"
    12:02:15 decided: roll back now
    12:02:15 rollbackd begins rollback shop-20260302120215-r1, plan d1ec833b4bf9894e: application v2 -> v1
    12:02:15   -> PAGE: URGENT - Rollback in Progress - production
    12:02:15   -> stakeholders: URGENT - Rollback in Progress - production
    ");
}

#[test]
fn a_p1_that_becomes_a_p0_under_monitoring_is_rolled_back_at_once() {
    let told = brief(shop(), |town| {
        town.deploy("v2", errors(0.10));
        town.run("8m");
        town.behaves(errors(0.9));
        town.run("6m");
    });
    assert_snapshot!(told, @r"
    12:05:15 raised to P1: critical-errors fires
    12:05:15 decided: monitor until 12:15:15
    12:05:15   -> PAGE: P1 shop/production: critical-errors
    12:10:15 raised to P0: critical-errors fires
    12:10:15 decided: roll back now
    12:10:15 rollbackd begins rollback shop-20260302120445-r1, plan d1ec833b4bf9894e: application v2 -> v1
    12:10:15   -> PAGE: URGENT - Rollback in Progress - production
    12:10:15   -> stakeholders: URGENT - Rollback in Progress - production
    ");
}

#[test]
fn probes_alone_could_be_our_own_network() {
    let told = brief(shop(), |town| {
        town.deploy("v2", Behaviour { up: false, ..HEALTHY });
        town.run("9m");
    });
    assert_snapshot!(told, @r"
    12:01:45 decided: ask a person; guards that refuse: one-witness: service-outage is seen by probes alone, which could be our own network
    12:01:45   -> PAGE: P0 shop/production: service-outage - not rolled back: a person must decide
    12:06:45   -> PAGE: P0 shop/production: service-outage - late: no action yet
    ");
}

#[test]
fn the_platform_is_a_second_witness() {
    let told = brief(shop(), |town| {
        town.deploy("v2", HEALTHY);
        town.run("2m");
        let place = town.place();
        place.running = None;
        place.versions.insert("v2".into(), Behaviour { requests: 0.0, ..OUTAGE });
        town.run("4m");
    });
    assert_snapshot!(told, @r"
    12:03:45 decided: roll back now
    12:03:45 rollbackd begins rollback shop-20260302120345-r1, plan d1ec833b4bf9894e: application v2 -> v1
    12:03:45   -> PAGE: URGENT - Rollback in Progress - production
    12:03:45   -> stakeholders: URGENT - Rollback in Progress - production
    12:04:45 service-outage clears: clean for 1m
    ");
}

#[test]
fn responses_three_times_as_slow_as_before_the_change() {
    let mut normal = [const { String::new() }; 3];
    let told = story(shop(), |town| {
        town.deploy("v2", Behaviour { slow: 0.2, ..HEALTHY });
        town.run("25m");
        assert_eq!(town.serving(), "v1");
        let watch = town.fleet.watches.values().next().unwrap();
        normal = ["performance-degradation", "slow-responses-than-before", "critical-errors"].map(
            |trigger| {
                let normal = watch.normal(trigger);
                normal.map_or_else(String::new, |(n, at, slow)| says::normal(&n, at, slow))
            },
        );
    });
    // The rollback is the newest change, and the incident before it is no ground to learn from.
    assert_eq!(
        normal,
        [
            "normal is a p95 of 95 ms (39 values of the hour before 12:20:05); slow is above 285 ms",
            "normal is a p95 of 95 ms (39 values of the hour before 12:20:05)",
            ""
        ]
    );
    assert_snapshot!(told, @r"
    12:00:00 application changed from v1 to v2
    12:00:00 application is set to v2
    12:10:00 minor-than-before fires (P3): 875 ms since 12:00:00, limit 114 ms
    12:10:00 performance-degradation fires (P1): 800 of 4000 requests, 20% (at least 18.57%) since 12:00:00, limit 5%
    12:10:00 slow-responses-than-before fires (P2): 875 ms since 12:00:00, limit 143 ms
    12:10:00 incident shop-20260302121000 opened as P1 by performance-degradation
    12:10:00 minor-than-before joins as P3
    12:10:00 slow-responses-than-before joins as P2
    12:10:00 decided: monitor until 12:20:00
    12:10:00   -> PAGE: P1 shop/production: performance-degradation
    12:15:00   -> PAGE: P1 shop/production: performance-degradation - nobody has acknowledged this
    12:20:00 decided: roll back now
    12:20:00 application v2 is quarantined
    12:20:00 rollbackd begins rollback shop-20260302121000-r1, plan d1ec833b4bf9894e: application v2 -> v1
    12:20:00   -> PAGE: URGENT - Rollback in Progress - production
    12:20:00   -> stakeholders: URGENT - Rollback in Progress - production
    12:20:00 step 1 begins, attempt 1
    12:20:05 application rolled back from v2 to v1
    12:20:05 application is set to v1
    12:20:05 step 1 is in effect (5000 ms)
    12:20:05 step 2 begins, attempt 1
    12:20:10 step 2 is in effect (5000 ms)
    12:20:10 every step has ended
    12:20:10 verifying that the rollback worked
    12:25:00   -> PAGE: P1 shop/production: performance-degradation - nobody has acknowledged this
    ");
}

#[test]
fn an_outage_that_ends_while_a_p0_waits_for_company_is_not_acted_upon() {
    let mut policy = super::policy::fleet(&["shop", "cart"]);
    services_mut(&mut policy).for_each(|p| p.guards.company_wait = Span::seconds(20));
    let told = brief(policy, |town| {
        town.deploy("v2", Behaviour { requests: 0.0, ..OUTAGE });
        town.place().running = None;
        town.run("1m 50s");
        let place = town.place();
        place.running = Some("v2".into());
        place.versions.insert("v2".into(), HEALTHY);
        town.run("10m");
        assert_eq!(town.rollbacks(), 0);
    });
    assert_snapshot!(told, @r"
    12:01:45 shop decided: wait until 12:02:05 to see whether others suffer too
    12:01:45 shop   -> on-call: P0 shop/production: service-outage
    12:02:45 shop service-outage clears: clean for 1m
    12:02:45 shop closed: recovered by itself
    12:02:45 shop   -> on-call: P0 shop/production: recovered by itself
    ");
}

fn corrupt(by: &str) -> What {
    posted("data-corruption", by, "17 orders without a customer", false)
}

fn posted(trigger: &str, by: &str, note: &str, partial: bool) -> What {
    let (trigger, by, note) = (trigger.into(), by.into(), note.into());
    What::EvidencePosted { service: id("shop"), trigger, by, note, partial }
}

#[test]
fn corrupt_data_pages_and_waits_for_a_person() {
    let told = story(shop(), |town| {
        town.deploy("v2", HEALTHY);
        town.run("3m");
        town.turn(corrupt("nightly-check"));
        town.turn(corrupt("nightly-check"));
        town.run("12m");
    });
    assert_snapshot!(told, @r"
    12:00:00 application changed from v1 to v2
    12:00:00 application is set to v2
    12:03:00 data-corruption fires (P0): nightly-check: 17 orders without a customer
    12:03:00 incident shop-20260302120300 opened as P0 by data-corruption
    12:03:00 decided: ask a person; guards that refuse: mode: this service did not opt in to act on data-corruption
    12:03:00   -> PAGE: P0 shop/production: data-corruption - not rolled back: a person must decide
    12:08:00 the deadline for acting passed without an action
    12:08:00   -> PAGE: P0 shop/production: data-corruption - late: no action yet
    12:13:00   -> PAGE: P0 shop/production: data-corruption - nobody has acknowledged this
    ");
}

#[test]
fn corrupt_data_is_acted_upon_where_the_service_opted_in() {
    let opted_in = shop_with(|p| {
        p.acts_on_evidence.insert("data-corruption".into());
        p.verification.hold = Span::minutes(5);
    });
    let told = brief(opted_in, |town| {
        town.deploy("v2", HEALTHY);
        town.run("3m");
        town.turn(corrupt("nightly-check"));
        town.run("70m");
    });
    assert_snapshot!(told, @r"
    12:03:00 decided: roll back now
    12:03:00 rollbackd begins rollback shop-20260302120300-r1, plan d1ec833b4bf9894e: application v2 -> v1
    12:03:00   -> PAGE: URGENT - Rollback in Progress - production
    12:03:00   -> stakeholders: URGENT - Rollback in Progress - production
    12:08:30 verified; watching for a relapse
    12:08:30   -> on-call: Rollback Complete - production
    12:08:30   -> stakeholders: Rollback Complete - production
    13:08:30 closed: rolled back and verified
    13:08:30   -> on-call: P0 shop/production: rolled back and verified
    13:08:30   -> stakeholders: Closed - shop - production
    ");
}

#[test]
fn a_migration_that_failed_is_p1_and_p0_when_half_of_it_is_there() {
    for (partial, severity) in [(false, "P1"), (true, "P0")] {
        let told = brief(shop(), |town| {
            town.deploy("v2", HEALTHY);
            town.run("1m");
            let told = town.turn(posted("migration-failure", "ci", "V7 failed", partial));
            assert_eq!(
                told.unwrap().unwrap(),
                format!("migration-failure of shop/production fires as {severity}")
            );
            let unknown = town.turn(posted("bad-weather", "ci", "rain", false));
            let known = "data-corruption, migration-failure, security-breach";
            let why = format!("`bad-weather` is not a kind of evidence; use one of {known}");
            assert_eq!(unknown.unwrap().unwrap_err(), why);
        });
        assert!(told.contains(&format!("PAGE: {severity} shop/production: migration-failure")));
        assert_eq!(told.contains("schema-moved: a migration was half applied"), partial, "{told}");
    }
}

#[test]
fn a_failed_migration_is_acted_upon_by_the_matrix() {
    let told = brief(shop(), |town| {
        town.deploy("v2", HEALTHY);
        town.run("1m");
        town.turn(posted("migration-failure", "ci", "V7 failed", false));
        town.run("12m");
        assert_eq!(town.serving(), "v1");
    });
    assert_snapshot!(told, @r"
    12:01:00 decided: monitor until 12:11:00
    12:01:00   -> PAGE: P1 shop/production: migration-failure
    12:11:00 decided: roll back now
    12:11:00 rollbackd begins rollback shop-20260302120100-r1, plan d1ec833b4bf9894e: application v2 -> v1
    12:11:00   -> PAGE: URGENT - Rollback in Progress - production
    12:11:00   -> stakeholders: URGENT - Rollback in Progress - production
    ");
}

#[test]
fn what_fires_after_a_migration_marks_the_database_as_suspect() {
    brief(shop(), |town| {
        let change = Change {
            id: "build-7".into(),
            component: Component::Application,
            from: None,
            to: Revision::named("v2"),
            started_at: town.wall(),
            ended_at: None,
            origin: Origin::Posted { by: "ci".into() },
            migrations: Migrations::Compatible,
            checks_passed: None,
            is_rollback: false,
            told: None,
        };
        town.turn(What::ChangePosted { service: id("shop"), change });
        town.deploy("v2", errors(0.10));
        town.run("7m");
        let suspect = "the database: the change to v2 carried a migration".to_owned();
        let page = town.notices("critical-errors").remove(0);
        assert!(page.fields.contains(&("Suspect".into(), suspect.clone())), "{page:?}");
        let decision = town.incident().decision.as_ref().unwrap();
        assert!(decision.because.contains(&format!("suspect is {suspect}")), "{decision:?}");
    });
}

/// What is told may open an incident and be acted upon in one turn: also then somebody's no is heard.
#[test]
fn evidence_that_may_act_at_once_waits_for_the_end_of_a_freeze() {
    let mut policy = shop_with(|p| {
        p.acts_on_evidence.insert("data-corruption".into());
    });
    policy.freezes.push(Freeze {
        from: NOON,
        until: NOON + Span::hours(1),
        reason: "the quarter closes".into(),
    });
    let told = brief(policy, |town| {
        town.deploy("v2", HEALTHY);
        town.run("3m");
        town.turn(corrupt("nightly-check"));
        assert_eq!(town.rollbacks(), 0);
    });
    assert!(told.contains("guards that refuse: hold: a freeze: the quarter closes"), "{told}");
}

/// A hotfix of the application mends no database.
#[test]
fn a_migration_of_which_half_is_there_outlives_the_next_deployment() {
    let told = brief(shop(), |town| {
        town.deploy("v2", HEALTHY);
        town.run("1m");
        town.turn(posted("migration-failure", "ci", "V7 failed", true));
        town.place().outcomes.push_back(failed("no", false));
        town.says(
            "ada",
            Said::RollBack {
                to: None,
                to_previous: false,
                plan: None,
                reason: "half a schema".into(),
            },
        )
        .unwrap();
        town.run("1m");
        assert!(matches!(town.incident().phase, Phase::Escalated { .. }));
        town.deploy("v3", OUTAGE);
        town.run("4m");
        assert_eq!(town.rollbacks(), 1);
    });
    let (_, after) = told.split_once("closed: ").unwrap();
    assert!(after.contains("schema-moved: a migration was half applied"), "{told}");
}

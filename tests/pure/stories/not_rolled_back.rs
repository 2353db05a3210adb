//! What must visibly not be rolled back, and why not.

use insta::assert_snapshot;
use rollbackd::{
    domain::{
        change::{Change, Component, Migrations, Origin, Revision},
        event::{Said, What},
        signal::Unknown,
    },
    units::Span,
};

use super::{
    brief,
    place::{Behaviour, HEALTHY, OUTAGE, errors},
    policy::{id, shop, shop_with},
    quiet, story,
    town::Town,
};

fn migrating(town: &Town, migrations: Migrations) -> What {
    let change = Change {
        id: "build-7".into(),
        component: Component::Application,
        from: Some(Revision::named("v1")),
        to: Revision::named("v2"),
        started_at: town.wall(),
        ended_at: None,
        origin: Origin::Posted { by: "ci".into() },
        migrations,
        checks_passed: Some(true),
        is_rollback: false,
        told: None,
    };
    What::ChangePosted { service: id("shop"), change }
}

#[test]
fn blips_after_a_release_are_no_incident() {
    let told = story(shop(), |town| {
        town.deploy("v2", HEALTHY);
        for _ in 0..4 {
            town.run("10m");
            town.behaves(errors(0.5));
            town.run("1m");
            town.behaves(HEALTHY);
        }
        town.run("20m");
    });
    assert_snapshot!(told, @r"
    12:00:00 application changed from v1 to v2
    12:00:00 application is set to v2
    12:30:00 application v2 is known good
    ");
}

#[test]
fn what_was_burning_before_the_change_is_not_its_doing() {
    let told = brief(shop(), |town| {
        town.behaves(errors(0.10));
        town.run("4m");
        town.deploy("v2", errors(0.10));
        town.run("30m");
    });
    assert_snapshot!(told, @r"
    12:05:15 raised to P1: critical-errors fires
    12:05:15 decided: monitor until 12:15:15; guards that refuse: no-change: it began 3m 45s before the last change, to v2
    12:05:15   -> PAGE: P1 shop/production: critical-errors
    12:15:15 decided: ask a person; guards that refuse: no-change: it began 3m 45s before the last change, to v2
    12:15:15   -> PAGE: P1 shop/production: critical-errors - not rolled back: a person must decide
    12:20:15   -> PAGE: P1 shop/production: critical-errors - late: no action yet
    ");
}

#[test]
fn a_breach_that_was_answered_before_the_change_still_counts_against_it() {
    let told = brief(shop(), |town| {
        town.behaves(errors(0.10));
        town.run("20m");
        town.says("ada", Said::Acknowledge).unwrap();
        town.deploy("v2", errors(0.10));
        town.run("30m");
    });
    assert_snapshot!(told, @r"
    12:05:15 raised to P1: critical-errors fires
    12:05:15 decided: monitor until 12:15:15; guards that refuse: no-change: no change of this service is known; nowhere-safe: no earlier revision has served healthily for the bake time
    12:05:15   -> PAGE: P1 shop/production: critical-errors
    12:15:15 decided: ask a person; guards that refuse: no-change: no change of this service is known; nowhere-safe: no earlier revision has served healthily for the bake time
    12:15:15   -> PAGE: P1 shop/production: critical-errors - not rolled back: a person must decide
    12:20:15   -> PAGE: P1 shop/production: critical-errors - late: no action yet
    ");
}

#[test]
fn a_service_that_fires_every_hour_anyway_is_noisy() {
    let told = brief(shop(), |town| {
        for _ in 0..2 {
            town.behaves(errors(0.10));
            town.run("9m");
            town.behaves(HEALTHY);
            town.run("51m");
        }
        town.deploy("v2", errors(0.10));
        town.run("25m");
    });
    assert_snapshot!(told, @r"
    12:05:15 raised to P1: critical-errors fires
    12:05:15 decided: monitor until 12:15:15; guards that refuse: no-change: no change of this service is known; nowhere-safe: no earlier revision has served healthily for the bake time
    12:05:15   -> PAGE: P1 shop/production: critical-errors
    12:14:00 critical-errors clears: clean for 5m
    12:14:30 elevated-errors clears: clean for 5m
    12:14:30 minor clears: clean for 5m
    12:14:30 closed: recovered by itself
    12:14:30   -> on-call: P1 shop/production: recovered by itself
    13:05:15 raised to P1: critical-errors fires
    13:05:15 decided: monitor until 13:15:15; guards that refuse: no-change: no change of this service is known; nowhere-safe: no earlier revision has served healthily for the bake time
    13:05:15   -> PAGE: P1 shop/production: critical-errors
    13:14:00 critical-errors clears: clean for 5m
    13:14:30 elevated-errors clears: clean for 5m
    13:14:30 minor clears: clean for 5m
    13:14:30 closed: recovered by itself
    13:14:30   -> on-call: P1 shop/production: recovered by itself
    14:05:15 raised to P1: critical-errors fires
    14:05:15 decided: monitor until 14:15:15; guards that refuse: noisy: it fired 2 times in the 1d before the change
    14:05:15   -> PAGE: P1 shop/production: critical-errors
    14:15:15 decided: ask a person; guards that refuse: noisy: it fired 2 times in the 1d before the change
    14:15:15   -> PAGE: P1 shop/production: critical-errors - not rolled back: a person must decide
    14:20:15   -> PAGE: P1 shop/production: critical-errors - late: no action yet
    ");
}

#[test]
fn probes_that_failed_every_hour_anyway_are_noisy() {
    let told = brief(shop(), |town| {
        for _ in 0..2 {
            town.behaves(OUTAGE);
            town.run("4m");
            town.behaves(HEALTHY);
            town.run("56m");
        }
        town.deploy("v2", Behaviour { up: false, ..HEALTHY });
        town.run("25m");
    });
    assert_snapshot!(told, @r"
    12:01:45 decided: ask a person; guards that refuse: no-change: no change of this service is known; nowhere-safe: no earlier revision has served healthily for the bake time
    12:01:45   -> PAGE: P0 shop/production: service-outage - not rolled back: a person must decide
    12:04:45 failed-health-checks clears: clean for 1m
    12:04:45 service-outage clears: clean for 1m
    12:06:45   -> PAGE: P0 shop/production: critical-errors - late: no action yet
    12:09:30 critical-errors clears: clean for 5m
    12:09:30 closed: recovered by itself
    12:09:30   -> on-call: P0 shop/production: recovered by itself
    13:01:45 decided: ask a person; guards that refuse: no-change: no change of this service is known; nowhere-safe: no earlier revision has served healthily for the bake time
    13:01:45   -> PAGE: P0 shop/production: service-outage - not rolled back: a person must decide
    13:04:45 failed-health-checks clears: clean for 1m
    13:04:45 service-outage clears: clean for 1m
    13:06:45   -> PAGE: P0 shop/production: critical-errors - late: no action yet
    13:09:30 critical-errors clears: clean for 5m
    13:09:30 closed: recovered by itself
    13:09:30   -> on-call: P0 shop/production: recovered by itself
    14:01:45 decided: ask a person; guards that refuse: noisy: it fired 2 times in the 1d before the change; one-witness: service-outage is seen by probes alone, which could be our own network
    14:01:45   -> PAGE: P0 shop/production: service-outage - not rolled back: a person must decide
    14:06:45   -> PAGE: P0 shop/production: service-outage - late: no action yet
    ");
}

#[test]
fn without_a_known_change_there_is_nothing_to_undo() {
    let told = brief(shop(), |town| {
        town.behaves(errors(0.10));
        town.run("30m");
    });
    assert_snapshot!(told, @r"
    12:05:15 raised to P1: critical-errors fires
    12:05:15 decided: monitor until 12:15:15; guards that refuse: no-change: no change of this service is known; nowhere-safe: no earlier revision has served healthily for the bake time
    12:05:15   -> PAGE: P1 shop/production: critical-errors
    12:15:15 decided: ask a person; guards that refuse: no-change: no change of this service is known; nowhere-safe: no earlier revision has served healthily for the bake time
    12:15:15   -> PAGE: P1 shop/production: critical-errors - not rolled back: a person must decide
    12:20:15   -> PAGE: P1 shop/production: critical-errors - late: no action yet
    ");
}

#[test]
fn a_breach_long_after_the_change_is_rarely_its_doing() {
    let told = brief(shop(), |town| {
        town.deploy("v2", HEALTHY);
        town.run("65m");
        town.behaves(errors(0.10));
        town.run("30m");
    });
    assert_snapshot!(told, @r"
    13:10:15 raised to P1: critical-errors fires
    13:10:15 decided: monitor until 13:20:15; guards that refuse: no-change: it began 1h 5m 15s after the last change, to v2: too late to be its doing
    13:10:15   -> PAGE: P1 shop/production: critical-errors
    13:20:15 decided: ask a person; guards that refuse: no-change: it began 1h 5m 15s after the last change, to v2: too late to be its doing
    13:20:15   -> PAGE: P1 shop/production: critical-errors - not rolled back: a person must decide
    13:25:15   -> PAGE: P1 shop/production: critical-errors - late: no action yet
    ");
}

#[test]
fn the_runbook_s_letter_rolls_back_whatever_the_age_of_the_change() {
    let told = brief(shop_with(|p| p.guards.max_change_age = None), |town| {
        town.deploy("v2", HEALTHY);
        town.run("65m");
        town.behaves(errors(0.10));
        town.run("20m");
    });
    assert_snapshot!(told, @r"
    13:10:15 raised to P1: critical-errors fires
    13:10:15 decided: monitor until 13:20:15
    13:10:15   -> PAGE: P1 shop/production: critical-errors
    13:20:15 decided: roll back now
    13:20:15 rollbackd begins rollback shop-20260302130945-r1, plan d1ec833b4bf9894e: application v2 -> v1
    13:20:15   -> PAGE: URGENT - Rollback in Progress - production
    13:20:15   -> stakeholders: URGENT - Rollback in Progress - production
    ");
}

#[test]
fn a_schema_that_moved_is_not_left_behind() {
    let told = brief(shop(), |town| {
        let post = migrating(town, Migrations::Incompatible);
        town.turn(post);
        town.run("30s");
        town.deploy("v2", errors(0.10));
        town.run("25m");
    });
    assert_snapshot!(told, @r"
    12:05:45 raised to P1: critical-errors fires
    12:05:45 decided: monitor until 12:15:45; guards that refuse: schema-moved: the change to v2 carried a migration that the earlier application cannot run on
    12:05:45   -> PAGE: P1 shop/production: critical-errors
    12:15:45 decided: ask a person; guards that refuse: schema-moved: the change to v2 carried a migration that the earlier application cannot run on
    12:15:45   -> PAGE: P1 shop/production: critical-errors - not rolled back: a person must decide
    12:20:45   -> PAGE: P1 shop/production: critical-errors - late: no action yet
    ");
}

/// A migration from before the revision that would serve again is one that it runs on.
#[test]
fn a_schema_that_moved_before_what_is_known_good_is_nobody_s_hindrance() {
    story(shop(), |town| {
        let post = migrating(town, Migrations::Incompatible);
        town.turn(post);
        town.run("30s");
        town.deploy("v2", HEALTHY);
        town.run("70m");
        town.deploy("v3", errors(0.10));
        town.run("20m");
        assert_eq!((town.rollbacks(), town.serving()), (1, "v2".into()));
    });
}

/// Fifty requests are enough by default; whoever asks for more is heard.
#[test]
fn evidence_is_thin_below_what_the_operator_asks_for() {
    let told = brief(shop_with(|p| p.guards.thin_requests = 1_000_000), |town| {
        town.deploy("v2", errors(0.10));
        town.run("20m");
        assert_eq!(town.rollbacks(), 0);
    });
    assert!(told.contains("guards that refuse: thin-evidence"), "{told}");
}

#[test]
fn compatible_migrations_do_not_stand_in_the_way() {
    let told = brief(shop(), |town| {
        town.deploy("v2", errors(0.10));
        town.run("3m");
        let post = migrating(town, Migrations::Compatible);
        town.turn(post);
        town.run("17m");
        assert_eq!(town.serving(), "v1");
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
fn a_version_rolled_away_from_and_deployed_again_is_for_people() {
    let told = brief(shop(), |town| {
        town.deploy("v2", errors(0.10));
        town.run("100m");
        town.deploy("v2", errors(0.10));
        town.run("25m");
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
    12:20:30 critical-errors clears: clean for 5m
    12:21:00 elevated-errors clears: clean for 5m
    12:21:00 minor clears: clean for 5m
    12:31:15 verified; watching for a relapse
    12:31:15   -> on-call: Rollback Complete - production
    12:31:15   -> stakeholders: Rollback Complete - production
    13:31:15 closed: rolled back and verified
    13:31:15   -> on-call: P1 shop/production: rolled back and verified
    13:31:15   -> stakeholders: Closed - shop - production
    13:40:00   -> PAGE: shop/production: v2 is set again, and was rolled away from
    13:45:15 raised to P1: critical-errors fires
    13:45:15 decided: monitor until 13:55:15; guards that refuse: loop: v2 was already rolled back once
    13:45:15   -> PAGE: P1 shop/production: critical-errors
    13:55:15 decided: ask a person; guards that refuse: loop: v2 was already rolled back once
    13:55:15   -> PAGE: P1 shop/production: critical-errors - not rolled back: a person must decide
    14:00:15   -> PAGE: P1 shop/production: critical-errors - late: no action yet
    ");
}

#[test]
fn without_a_known_good_revision_there_is_nowhere_to_go() {
    let told = brief(shop_with(|p| p.bake = Span::hours(3)), |town| {
        town.deploy("v2", errors(0.10));
        town.run("20m");
    });
    assert_snapshot!(told, @r"
    12:05:15 raised to P1: critical-errors fires
    12:05:15 decided: monitor until 12:15:15; guards that refuse: nowhere-safe: no earlier revision has served healthily for the bake time; the platform offers v1 to a person's choice
    12:05:15   -> PAGE: P1 shop/production: critical-errors
    12:15:15 decided: ask a person; guards that refuse: nowhere-safe: no earlier revision has served healthily for the bake time; the platform offers v1 to a person's choice
    12:15:15   -> PAGE: P1 shop/production: critical-errors - not rolled back: a person must decide
    ");
}

#[test]
fn few_requests_are_thin_evidence_until_there_are_enough() {
    let told = quiet(1.5, shop(), |town| {
        town.deploy("v2", Behaviour { requests: 1.5, ..errors(0.34) });
        town.run("25m");
    });
    assert_snapshot!(told, @r"
    12:00:00 application changed from v1 to v2
    12:00:00 application is set to v2
    12:05:00 elevated-errors fires (P2): 10 of 30 requests, 33.33% (at least 17.26%) since 12:00:00, limit 1%
    12:05:00 minor fires (P3): 10 of 30 requests, 33.33% (at least 17.26%) since 12:00:00, limit 0.5%
    12:05:00 incident shop-20260302120500 opened as P2 by elevated-errors
    12:05:00 minor joins as P3
    12:05:30 critical-errors fires (P1): 10 of 30 requests, 33.33% (at least 17.26%) since 12:00:30, limit 5%
    12:05:30 critical-errors joins as P1
    12:05:30 raised to P1: critical-errors fires
    12:05:30 decided: monitor until 12:15:30; guards that refuse: thin-evidence: 10 of 30 requests since onset, at least 17.3%: fewer than 50 requests
    12:05:30   -> PAGE: P1 shop/production: critical-errors
    12:10:30   -> PAGE: P1 shop/production: critical-errors - nobody has acknowledged this
    12:15:30 decided: roll back now
    12:15:30 application v2 is quarantined
    12:15:30 rollbackd begins rollback shop-20260302120500-r1, plan d1ec833b4bf9894e: application v2 -> v1
    12:15:30   -> PAGE: URGENT - Rollback in Progress - production
    12:15:30   -> stakeholders: URGENT - Rollback in Progress - production
    12:15:30 step 1 begins, attempt 1
    12:15:35 application rolled back from v2 to v1
    12:15:35 application is set to v1
    12:15:35 step 1 is in effect (5000 ms)
    12:15:35 step 2 begins, attempt 1
    12:15:40 step 2 is in effect (5000 ms)
    12:15:40 every step has ended
    12:15:40 verifying that the rollback worked
    12:20:30   -> PAGE: P1 shop/production: critical-errors - nobody has acknowledged this
    12:23:45 critical-errors clears: clean for 5m
    12:24:15 elevated-errors clears: clean for 5m
    12:24:15 minor clears: clean for 5m
    ");
}

#[test]
fn the_page_also_says_what_is_in_the_way_that_is_no_guard() {
    let says = |policy, happens: fn(&mut Town)| {
        let mut lines = String::new();
        brief(policy, |town| {
            town.deploy("v2", errors(0.10));
            happens(town);
            lines =
                town.notices("must decide").last().map(|n| n.lines.join("\n")).unwrap_or_default();
        });
        lines
    };
    let nowhere = says(shop_with(|p| p.bake = Span::hours(3)), |town| town.run("20m"));
    assert_snapshot!(nowhere, @r"
    Guards that refuse:
    • nowhere-safe: no earlier revision has served healthily for the bake time; the platform offers v1 to a person's choice
    no plan can be offered: no earlier revision has served healthily for the bake time
    ");
    let unseen = says(shop(), |town| {
        town.run("10m");
        town.place().monitoring_down = Some(Unknown::Failed);
        town.run("10m");
    });
    assert!(unseen.contains("not by itself: the time to wait ended without data: "), "{unseen}");
}

#[test]
fn the_database_is_suspect_where_somebody_said_that_a_migration_came_along() {
    let cases = [
        (Migrations::Unknown, false),
        (Migrations::None, false),
        (Migrations::Compatible, true),
        (Migrations::Incompatible, true),
    ];
    for (migrations, suspect) in cases {
        brief(shop(), |town| {
            let post = migrating(town, migrations);
            town.turn(post);
            town.deploy("v2", errors(0.10));
            town.run("6m");
            let page = town.notices("P1 shop/production: critical-errors").remove(0);
            let said = page.fields.iter().any(|(name, _)| name == "Suspect");
            assert_eq!(said, suspect, "{migrations:?}: {page:?}");
        });
    }
}

//! Several services: storms, locks, budgets, and company.

use insta::assert_snapshot;
use rollbackd::{
    domain::{
        incident::judge::judge_hypothetical, notice::Urgency, policy::Policy, signal::Unknown,
    },
    units::Span,
};

use super::{
    brief,
    place::{Behaviour, HEALTHY, OUTAGE, errors},
    policy::{fleet, id, runbook, services_mut},
    town::{Town, Windows, failed},
};

const FIVE: [&str; 5] = ["cart", "mail", "pay", "search", "shop"];

fn everywhere(town: &mut Town, behaviour: Behaviour) {
    for place in town.places.values_mut() {
        place.versions.values_mut().for_each(|b| *b = behaviour);
    }
}

#[test]
fn a_storm_is_nobody_s_own_change() {
    let told = brief(fleet(&FIVE), |town| {
        town.deploy("v2", HEALTHY);
        town.run("20m");
        everywhere(town, OUTAGE);
        town.run("4m");
        assert_eq!(town.rollbacks(), 0);
    });
    assert_snapshot!(told, @r"
    12:21:45 cart decided: wait until 12:22:00 to see whether others suffer too; guards that refuse: no-change: no change of this service is known; nowhere-safe: no earlier revision has served healthily for the bake time; storm: 5 of 5 services firing or pending within 5m: a shared cause
    12:21:45 cart   -> on-call: P0 cart/production: service-outage
    12:21:45 mail decided: wait until 12:22:00 to see whether others suffer too; guards that refuse: no-change: no change of this service is known; nowhere-safe: no earlier revision has served healthily for the bake time; storm: 5 of 5 services firing or pending within 5m: a shared cause
    12:21:45 mail   -> on-call: P0 mail/production: service-outage
    12:21:45 pay decided: wait until 12:22:00 to see whether others suffer too; guards that refuse: no-change: no change of this service is known; nowhere-safe: no earlier revision has served healthily for the bake time; storm: 5 of 5 services firing or pending within 5m: a shared cause
    12:21:45 pay   -> on-call: P0 pay/production: service-outage
    12:21:45 search decided: wait until 12:22:00 to see whether others suffer too; guards that refuse: no-change: no change of this service is known; nowhere-safe: no earlier revision has served healthily for the bake time; storm: 5 of 5 services firing or pending within 5m: a shared cause
    12:21:45 search   -> on-call: P0 search/production: service-outage
    12:21:45 shop decided: wait until 12:22:00 to see whether others suffer too; guards that refuse: storm: 5 of 5 services firing or pending within 5m: a shared cause
    12:21:45 shop   -> on-call: P0 shop/production: service-outage
    12:22:00 cart decided: ask a person; guards that refuse: no-change: no change of this service is known; nowhere-safe: no earlier revision has served healthily for the bake time; storm: 5 of 5 services firing or pending within 5m: a shared cause
    12:22:00 cart   -> PAGE: P0 cart/production: service-outage - not rolled back: a person must decide
    12:22:00 mail decided: ask a person; guards that refuse: no-change: no change of this service is known; nowhere-safe: no earlier revision has served healthily for the bake time; storm: 5 of 5 services firing or pending within 5m: a shared cause
    12:22:00 mail   -> on-call: P0 mail/production: service-outage - not rolled back: one of many
    12:22:00 pay decided: ask a person; guards that refuse: no-change: no change of this service is known; nowhere-safe: no earlier revision has served healthily for the bake time; storm: 5 of 5 services firing or pending within 5m: a shared cause
    12:22:00 pay   -> on-call: P0 pay/production: service-outage - not rolled back: one of many
    12:22:00 search decided: ask a person; guards that refuse: no-change: no change of this service is known; nowhere-safe: no earlier revision has served healthily for the bake time; storm: 5 of 5 services firing or pending within 5m: a shared cause
    12:22:00 search   -> on-call: P0 search/production: service-outage - not rolled back: one of many
    12:22:00 shop decided: ask a person; guards that refuse: storm: 5 of 5 services firing or pending within 5m: a shared cause
    12:22:00 shop   -> on-call: P0 shop/production: service-outage - not rolled back: one of many
    ");
}

#[test]
fn a_storm_that_is_the_only_objection_pages_once() {
    let told = brief(fleet(&FIVE), |town| {
        for name in FIVE {
            town.deploy_to(name, "v2", HEALTHY);
        }
        town.run("20m");
        everywhere(town, OUTAGE);
        town.run("3m");
        assert_eq!(town.rollbacks(), 0);
    });
    assert_eq!(told.matches("PAGE: P0").count(), 1, "{told}");
    assert_eq!(told.matches("not rolled back: one of many").count(), 4, "{told}");
}

#[test]
fn in_a_storm_the_service_whose_own_change_fits_is_rolled_back() {
    let told = brief(fleet(&FIVE), |town| {
        town.deploy("v2", OUTAGE);
        town.run("15s");
        everywhere(town, OUTAGE);
        town.places.get_mut(&id("shop")).unwrap().versions.insert("v1".into(), HEALTHY);
        town.run("3m");
        assert_eq!(town.serving(), "v1");
    });
    assert_snapshot!(told, @r"
    12:01:45 shop decided: wait until 12:02:00 to see whether others suffer too
    12:01:45 shop   -> on-call: P0 shop/production: service-outage
    12:02:00 cart decided: wait until 12:02:15 to see whether others suffer too; guards that refuse: no-change: no change of this service is known; nowhere-safe: no earlier revision has served healthily for the bake time; storm: 5 of 5 services firing or pending within 5m: a shared cause
    12:02:00 cart   -> on-call: P0 cart/production: service-outage
    12:02:00 mail decided: wait until 12:02:15 to see whether others suffer too; guards that refuse: no-change: no change of this service is known; nowhere-safe: no earlier revision has served healthily for the bake time; storm: 5 of 5 services firing or pending within 5m: a shared cause
    12:02:00 mail   -> on-call: P0 mail/production: service-outage
    12:02:00 pay decided: wait until 12:02:15 to see whether others suffer too; guards that refuse: no-change: no change of this service is known; nowhere-safe: no earlier revision has served healthily for the bake time; storm: 5 of 5 services firing or pending within 5m: a shared cause
    12:02:00 pay   -> on-call: P0 pay/production: service-outage
    12:02:00 search decided: wait until 12:02:15 to see whether others suffer too; guards that refuse: no-change: no change of this service is known; nowhere-safe: no earlier revision has served healthily for the bake time; storm: 5 of 5 services firing or pending within 5m: a shared cause
    12:02:00 search   -> on-call: P0 search/production: service-outage
    12:02:00 shop decided: roll back now
    12:02:00 shop rollbackd begins rollback shop-20260302120145-r1, plan d1ec833b4bf9894e: application v2 -> v1
    12:02:00 shop   -> PAGE: URGENT - Rollback in Progress - production
    12:02:00 shop   -> stakeholders: URGENT - Rollback in Progress - production
    12:02:15 cart decided: ask a person; guards that refuse: no-change: no change of this service is known; nowhere-safe: no earlier revision has served healthily for the bake time; storm: 5 of 5 services firing or pending within 5m: a shared cause
    12:02:15 cart   -> PAGE: P0 cart/production: service-outage - not rolled back: a person must decide
    12:02:15 mail decided: ask a person; guards that refuse: no-change: no change of this service is known; nowhere-safe: no earlier revision has served healthily for the bake time; storm: 5 of 5 services firing or pending within 5m: a shared cause
    12:02:15 mail   -> on-call: P0 mail/production: service-outage - not rolled back: one of many
    12:02:15 pay decided: ask a person; guards that refuse: no-change: no change of this service is known; nowhere-safe: no earlier revision has served healthily for the bake time; storm: 5 of 5 services firing or pending within 5m: a shared cause
    12:02:15 pay   -> on-call: P0 pay/production: service-outage - not rolled back: one of many
    12:02:15 search decided: ask a person; guards that refuse: no-change: no change of this service is known; nowhere-safe: no earlier revision has served healthily for the bake time; storm: 5 of 5 services firing or pending within 5m: a shared cause
    12:02:15 search   -> on-call: P0 search/production: service-outage - not rolled back: one of many
    12:03:00 shop service-outage clears: clean for 1m
    ");
}

/// More than three and more than a third of them are a storm.
#[test]
fn three_of_five_services_that_fail_at_once_are_no_storm() {
    let told = brief(fleet(&FIVE), |town| {
        for name in &FIVE[..3] {
            town.deploy_to(name, "v2", HEALTHY);
        }
        town.run("20m");
        for name in &FIVE[..3] {
            town.places.get_mut(&id(name)).unwrap().versions.insert("v2".into(), OUTAGE);
        }
        town.run("3m");
    });
    assert!(told.contains("PAGE") && !told.contains("storm:"), "{told}");
}

#[test]
fn a_service_is_watched_closely_after_a_change_for_as_long_as_a_breach_can_be_its_doing() {
    brief(fleet(&["cart", "shop"]), |town| {
        let closely = |town: &Town| town.fleet.is_watched(&id("shop"), town.now());
        assert!(!closely(town));
        town.deploy("v2", HEALTHY);
        assert!(closely(town));
        town.run("59m");
        assert!(closely(town));
        town.run("2m");
        assert!(!closely(town));
    });
}

#[test]
fn of_two_services_one_that_fails_alone_waits_a_moment_for_company() {
    let told = brief(fleet(&["cart", "shop"]), |town| {
        town.deploy("v2", OUTAGE);
        town.run("3m");
        assert_eq!(town.serving(), "v1");
    });
    assert_snapshot!(told, @r"
    12:01:45 shop decided: wait until 12:02:00 to see whether others suffer too
    12:01:45 shop   -> on-call: P0 shop/production: service-outage
    12:02:00 shop decided: roll back now
    12:02:00 shop rollbackd begins rollback shop-20260302120145-r1, plan d1ec833b4bf9894e: application v2 -> v1
    12:02:00 shop   -> PAGE: URGENT - Rollback in Progress - production
    12:02:00 shop   -> stakeholders: URGENT - Rollback in Progress - production
    ");
}

#[test]
fn both_of_two_services_are_a_storm() {
    let told = brief(fleet(&["cart", "shop"]), |town| {
        town.deploy("v2", HEALTHY);
        town.run("20m");
        everywhere(town, OUTAGE);
        town.run("3m");
        assert_eq!(town.rollbacks(), 0);
    });
    assert_snapshot!(told, @r"
    12:21:45 cart decided: wait until 12:22:00 to see whether others suffer too; guards that refuse: no-change: no change of this service is known; nowhere-safe: no earlier revision has served healthily for the bake time; storm: 2 of 2 services firing or pending within 5m: a shared cause
    12:21:45 cart   -> on-call: P0 cart/production: service-outage
    12:21:45 shop decided: wait until 12:22:00 to see whether others suffer too; guards that refuse: storm: 2 of 2 services firing or pending within 5m: a shared cause
    12:21:45 shop   -> on-call: P0 shop/production: service-outage
    12:22:00 cart decided: ask a person; guards that refuse: no-change: no change of this service is known; nowhere-safe: no earlier revision has served healthily for the bake time; storm: 2 of 2 services firing or pending within 5m: a shared cause
    12:22:00 cart   -> PAGE: P0 cart/production: service-outage - not rolled back: a person must decide
    12:22:00 shop decided: ask a person; guards that refuse: storm: 2 of 2 services firing or pending within 5m: a shared cause
    12:22:00 shop   -> on-call: P0 shop/production: service-outage - not rolled back: one of many
    ");
}

#[test]
fn one_resource_is_held_by_one_plan() {
    let mut policy = fleet(&["cart", "mail", "pay", "search", "shop"]);
    for service in services_mut(&mut policy) {
        service.runbook = Some(runbook("monolith"));
    }
    let told = brief(policy, |town| {
        town.deploy_to("cart", "v2", OUTAGE);
        town.run("1m");
        town.deploy_to("shop", "v2", OUTAGE);
        town.run("4m");
        assert_eq!(town.rollbacks(), 1);
    });
    assert_snapshot!(told, @r"
    12:01:45 cart decided: wait until 12:02:00 to see whether others suffer too
    12:01:45 cart   -> on-call: P0 cart/production: service-outage
    12:02:00 cart decided: roll back now
    12:02:00 cart rollbackd begins rollback cart-20260302120145-r1, plan 04a2bfc85bd3f367: application v2 -> v1
    12:02:00 cart   -> PAGE: URGENT - Rollback in Progress - production
    12:02:00 cart   -> stakeholders: URGENT - Rollback in Progress - production
    12:02:45 shop decided: wait until 12:03:00 to see whether others suffer too; guards that refuse: locked: release:/srv/monolith is held by the rollback of cart/production
    12:02:45 shop   -> on-call: P0 shop/production: service-outage
    12:03:00 cart service-outage clears: clean for 1m
    12:03:00 shop decided: ask a person; guards that refuse: locked: release:/srv/monolith is held by the rollback of cart/production
    12:03:00 shop   -> PAGE: P0 shop/production: service-outage - not rolled back: a person must decide
    ");
}

#[test]
fn a_rollback_that_is_verified_lets_go_of_what_it_held() {
    let mut policy = fleet(&FIVE);
    for service in services_mut(&mut policy) {
        service.runbook = Some(runbook("monolith"));
    }
    brief(policy, |town| {
        town.deploy_to("cart", "v2", OUTAGE);
        town.run("20m");
        town.deploy_to("shop", "v2", OUTAGE);
        town.run("4m");
        assert_eq!(town.rollbacks(), 2, "while cart is watched: {}", town.transcript());
    });
}

fn tight() -> Policy {
    let mut policy = fleet(&FIVE);
    policy.fleet.budget_per_hour = 1;
    policy
}

#[test]
fn the_fleet_s_budget_is_spent_once() {
    let told = brief(tight(), |town| {
        town.deploy_to("cart", "v2", OUTAGE);
        town.run("20m");
        town.deploy_to("shop", "v2", OUTAGE);
        town.run("4m");
        assert_eq!(town.rollbacks(), 1);
    });
    assert_snapshot!(told, @r"
    12:01:45 cart decided: wait until 12:02:00 to see whether others suffer too
    12:01:45 cart   -> on-call: P0 cart/production: service-outage
    12:02:00 cart decided: roll back now
    12:02:00 cart rollbackd begins rollback cart-20260302120145-r1, plan e138f7ac8727efd5: application v2 -> v1
    12:02:00 cart   -> PAGE: URGENT - Rollback in Progress - production
    12:02:00 cart   -> stakeholders: URGENT - Rollback in Progress - production
    12:03:00 cart service-outage clears: clean for 1m
    12:07:45 cart critical-errors clears: clean for 5m
    12:18:00 cart verified; watching for a relapse
    12:18:00 cart   -> on-call: Rollback Complete - production
    12:18:00 cart   -> stakeholders: Rollback Complete - production
    12:21:45 shop decided: wait until 12:22:00 to see whether others suffer too; guards that refuse: loop: 1 automatic rollback in the last hour spent the fleet's budget of 1
    12:21:45 shop   -> on-call: P0 shop/production: service-outage
    12:22:00 shop decided: ask a person; guards that refuse: loop: 1 automatic rollback in the last hour spent the fleet's budget of 1
    12:22:00 shop   -> PAGE: P0 shop/production: service-outage - not rolled back: a person must decide
    ");
}

#[test]
fn a_second_rollback_of_a_service_waits_for_the_cooldown() {
    let mut policy = fleet(&["shop"]);
    services_mut(&mut policy).for_each(|p| {
        p.verification.hold = Span::minutes(2);
        p.watch_after = Span::minutes(5);
    });
    let told = brief(policy, |town| {
        town.deploy("v2", OUTAGE);
        town.run("15m");
        town.deploy("v3", OUTAGE);
        town.run("4m");
        town.behaves(errors(0.0));
        town.run("4m");
        assert_eq!(town.rollbacks(), 1);
    });
    assert_snapshot!(told, @r"
    12:01:45 decided: roll back now
    12:01:45 rollbackd begins rollback shop-20260302120145-r1, plan d1ec833b4bf9894e: application v2 -> v1
    12:01:45   -> PAGE: URGENT - Rollback in Progress - production
    12:01:45   -> stakeholders: URGENT - Rollback in Progress - production
    12:02:45 service-outage clears: clean for 1m
    12:04:15 verified; watching for a relapse
    12:04:15   -> on-call: Rollback Complete - production
    12:04:15   -> stakeholders: Rollback Complete - production
    12:09:15 closed: rolled back and verified
    12:09:15   -> on-call: P0 shop/production: rolled back and verified
    12:09:15   -> stakeholders: Closed - shop - production
    12:16:45 decided: ask a person; guards that refuse: loop: the last automatic rollback was 15m ago, less than 30m
    12:16:45   -> PAGE: P0 shop/production: service-outage - not rolled back: a person must decide
    12:19:45 failed-health-checks clears: clean for 1m
    12:19:45 service-outage clears: clean for 1m
    12:21:45   -> PAGE: P0 shop/production: critical-errors - late: no action yet
    ");
}

#[test]
fn a_freeze_turns_rollbacks_into_questions() {
    let mut policy = fleet(&["shop"]);
    policy.freezes.push(rollbackd::domain::policy::Freeze {
        from: super::town::NOON,
        until: super::town::NOON + Span::hours(1),
        reason: "the quarter closes".into(),
    });
    let told = brief(policy, |town| {
        town.deploy("v2", OUTAGE);
        town.run("3m");
    });
    assert_snapshot!(told, @r"
    12:01:45 decided: ask a person; guards that refuse: hold: a freeze: the quarter closes until 2026-03-02T13:00:00.000Z
    12:01:45   -> PAGE: P0 shop/production: service-outage - not rolled back: a person must decide
    ");
}

#[test]
fn a_service_that_was_taken_out_holds_nothing_and_is_not_silent() {
    let mut policy = fleet(&["cart", "mail", "pay", "search", "shop"]);
    for service in services_mut(&mut policy) {
        service.runbook = Some(runbook("monolith"));
    }
    let told = brief(policy, |town| {
        town.deploy_to("cart", "v2", OUTAGE);
        let cart = id("cart");
        town.places.get_mut(&cart).unwrap().outcomes.push_back(failed("no", false));
        town.run("3m");
        town.adopts(|policy| {
            policy.services.remove(&cart);
        });
        assert!(town.fleet.open().any(|(of, _)| *of == cart), "what is true of it stays");
        town.crash(Windows::Kept, false);
        let page = town.notices("taken out of the configuration").remove(0);
        assert!(page.lines[0].starts_with("cart/production: cart-20260302120145 is escalated"));
        assert!(page.lines[0].contains("rollbackd dismiss cart/production"), "{page:?}");
        // A deadline of what nobody decides about would never pass.
        town.run("20m");
        town.deploy_to("shop", "v2", OUTAGE);
        town.run("3m");
        assert_eq!(town.serving(), "v1", "the directory is free");
    });
    assert_eq!(told.matches("PAGE: services with an open incident").count(), 1, "{told}");
}

/// Whoever asks before anything fires is told of what would refuse then.
#[test]
fn what_a_calm_service_is_shown_counts_freezes_and_budgets_too() {
    let mut policy = fleet(&["cart", "shop"]);
    policy.fleet.budget_per_hour = 1;
    policy.freezes.push(rollbackd::domain::policy::Freeze {
        from: super::town::NOON + Span::minutes(10),
        until: super::town::NOON + Span::hours(1),
        reason: "the quarter closes".into(),
    });
    brief(policy, |town| {
        town.deploy_to("cart", "v2", OUTAGE);
        town.run("3m");
        town.deploy("v2", HEALTHY);
        town.run("10m");
        let now = town.now();
        let judged = town.fleet.look(&id("shop"), now, |s, _| judge_hypothetical(s).1.refused());
        let refused = judged.unwrap().join("; ");
        assert!(refused.contains("loop: 1 automatic rollback in the last hour"), "{refused}");
        assert!(refused.contains("hold: a freeze: the quarter closes"), "{refused}");
    });
}

/// Of an outage, which only probes would have seen; not that nothing fires.
#[test]
fn a_calm_service_is_shown_what_would_be_said_if_it_fired() {
    brief(fleet(&["cart", "shop"]), |town| {
        town.deploy("v2", HEALTHY);
        town.run("10m");
        let refused = |town: &Town| {
            let now = town.now();
            town.fleet.look(&id("shop"), now, |s, _| judge_hypothetical(s).1.refused()).unwrap()
        };
        let witness =
            "one-witness: service-outage is seen by probes alone, which could be our own network";
        assert_eq!(refused(town), [witness]);
        // The disk is full: that is why nothing is done, and since when.
        town.fleet.unwritable = Some((town.wall(), "no space left".into()));
        let now = town.now();
        let why = town.fleet.look(&id("shop"), now, |s, _| s.forbidden()).unwrap();
        let expected = "nothing can be written down: no space left (since 12:10:00 UTC)";
        assert_eq!(why.as_deref(), Some(expected));
    });
}

/// Of five services that are monitored for one cause, one pages; the others are read.
#[test]
fn a_storm_of_p1_pages_once() {
    let told = brief(fleet(&FIVE), |town| {
        everywhere(town, errors(0.10));
        town.run("12m");
    });
    let pages = told.lines().filter(|l| l.contains("PAGE: P1") && !l.contains("please decide"));
    assert_snapshot!(pages.collect::<Vec<_>>().join("\n"), @"12:05:15 cart   -> PAGE: P1 cart/production: critical-errors");
}

/// A Prometheus that dies blinds every service at the same moment: three pages wake as well as ten thousand.
#[test]
fn many_services_that_one_source_leaves_blind_page_a_few_times() {
    let told = brief(fleet(&["cart", "chat", "mail", "pay", "search", "shop"]), |town| {
        for place in town.places.values_mut() {
            place.monitoring_down = Some(Unknown::Failed);
        }
        town.run("32m");
        let pages = |town: &Town| {
            let all = town.notices("blind, errors tells nothing");
            all.iter().filter(|notice| notice.urgency == Urgency::Page).count()
        };
        assert_eq!((pages(town), town.notices("blind, errors tells nothing").len()), (3, 6));
        town.run("1h");
        assert_eq!(pages(town), 3, "only what was paged is paged again");
    });
    assert!(
        told.contains("P3 shop/production: blind, errors tells nothing: one of many"),
        "{told}"
    );
}

/// The windows of the others count as they were until they were asked again.
#[test]
fn in_a_storm_whoever_answers_first_after_a_restart_is_not_alone() {
    brief(fleet(&FIVE), |town| {
        for name in FIVE {
            town.deploy_to(name, "v2", HEALTHY);
        }
        town.run("20m");
        everywhere(town, OUTAGE);
        town.run("3m");
        town.crash(Windows::Kept, false);
        town.run("2m");
        assert_eq!(town.rollbacks(), 0);
    });
}

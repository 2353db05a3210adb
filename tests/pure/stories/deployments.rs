//! What is deployed while an incident is open.

use insta::assert_snapshot;
use rollbackd::domain::{
    change::{Component, Revision},
    event::Said,
    owner::OwnerRule,
    service::Mode,
    severity::Severity,
    warning::Warning,
};
use rollbackd::units::{Span, UnixMs};

use super::{
    brief,
    owners::deployment,
    place::{HEALTHY, OUTAGE, errors},
    policy::{fleet, shop, shop_with},
    story,
    town::Town,
};

#[test]
fn a_rollback_by_hand_in_the_middle_of_monitoring_is_verified_like_our_own() {
    let told = brief(shop(), |town| {
        town.deploy("v2", errors(0.10));
        town.run("8m");
        town.deploy("v1", HEALTHY);
        town.run("80m");
        assert_eq!(town.rollbacks(), 0);
    });
    assert_snapshot!(told, @r"
    12:05:15 raised to P1: critical-errors fires
    12:05:15 decided: monitor until 12:15:15
    12:05:15   -> PAGE: P1 shop/production: critical-errors
    12:08:00   -> on-call: P1 shop/production: critical-errors - v1 was restored by hand
    12:13:00 critical-errors clears: clean for 5m
    12:13:30 elevated-errors clears: clean for 5m
    12:13:30 minor clears: clean for 5m
    12:23:45 verified; watching for a relapse
    12:23:45   -> on-call: Rollback Complete - production
    12:23:45   -> stakeholders: Rollback Complete - production
    13:23:45 closed: rolled back and verified
    13:23:45   -> on-call: P1 shop/production: rolled back and verified
    ");
}

#[test]
fn a_deployment_in_the_middle_of_monitoring_that_mends_it_is_left_alone() {
    let told = brief(shop(), |town| {
        town.deploy("v2", errors(0.10));
        town.run("14m");
        town.deploy("v3", HEALTHY);
        town.run("15m");
        assert_eq!((town.rollbacks(), town.serving()), (0, "v3".into()));
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

/// Where the platform's clock is a little ahead, the breach begins before the change that caused it.
#[test]
fn the_change_behind_a_breach_is_given_no_time_to_mend_it() {
    let told = brief(fleet(&["shop", "cart"]), |town| {
        town.behaves(OUTAGE);
        town.run("40s");
        town.deploy("v2", OUTAGE);
        town.place().versions.insert("v1".into(), HEALTHY);
        town.run("3m");
    });
    assert_snapshot!(told, @r"
    12:01:45 shop decided: wait until 12:02:00 to see whether others suffer too
    12:01:45 shop   -> on-call: P0 shop/production: service-outage
    12:02:00 shop decided: roll back now
    12:02:00 shop rollbackd begins rollback shop-20260302120145-r1, plan d1ec833b4bf9894e: application v2 -> v1
    12:02:00 shop   -> PAGE: URGENT - Rollback in Progress - production
    12:02:00 shop   -> stakeholders: URGENT - Rollback in Progress - production
    12:03:00 shop service-outage clears: clean for 1m
    ");
}

#[test]
fn two_changes_in_one_bake_time_go_back_across_both() {
    let told = brief(shop(), |town| {
        town.deploy("v2", errors(0.10));
        town.run("14m");
        town.deploy("v3", errors(0.10));
        town.run("4m");
        assert_eq!(town.serving(), "v1");
    });
    assert_snapshot!(told, @r"
    12:05:15 raised to P1: critical-errors fires
    12:05:15 decided: monitor until 12:15:15
    12:05:15   -> PAGE: P1 shop/production: critical-errors
    12:16:00 decided: roll back now
    12:16:00 rollbackd begins rollback shop-20260302120445-r1, plan 343f94ec244f1988: application v3 -> v1
    12:16:00   -> PAGE: URGENT - Rollback in Progress - production
    12:16:00   -> stakeholders: URGENT - Rollback in Progress - production
    ");
}

#[test]
fn a_bad_deployment_during_the_watch_is_an_incident_of_its_own() {
    let told = brief(shop(), |town| {
        town.deploy("v2", OUTAGE);
        town.run("40m");
        town.deploy("v3", OUTAGE);
        town.run("20m");
        assert_eq!((town.rollbacks(), town.serving()), (2, "v1".into()));
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
    12:41:45 closed: rolled back and verified
    12:41:45   -> on-call: P0 shop/production: rolled back and verified
    12:41:45   -> stakeholders: Closed - shop - production
    12:41:45 decided: roll back now
    12:41:45 rollbackd begins rollback shop-20260302124145-r2, plan 343f94ec244f1988: application v3 -> v1
    12:41:45   -> PAGE: URGENT - Rollback in Progress - production
    12:41:45   -> stakeholders: URGENT - Rollback in Progress - production
    12:42:45 service-outage clears: clean for 1m
    12:57:15 verified; watching for a relapse
    12:57:15   -> on-call: Rollback Complete - production
    12:57:15   -> stakeholders: Rollback Complete - production
    ");
}

/// A plan is made for what served; what was deployed since is not its to undo.
#[test]
fn a_deployment_between_two_steps_of_a_rollback_ends_it_with_a_page() {
    let told = brief(shop(), |town| {
        town.deploy("v2", OUTAGE);
        town.run("1m 47s");
        town.says("ada", Said::Hold { reason: "bob mends it".into() }).unwrap();
        town.run("1m");
        town.deploy("v3", HEALTHY);
        town.run("15s");
        town.says("ada", Said::Unhold).unwrap();
        town.run("2m");
        assert_eq!(
            (town.serving(), town.place().done.join(", ")),
            ("v3".into(), "switch to v1".into())
        );
    });
    assert_snapshot!(told, @r"
    12:01:45 decided: roll back now
    12:01:45 rollbackd begins rollback shop-20260302120145-r1, plan d1ec833b4bf9894e: application v2 -> v1
    12:01:45   -> PAGE: URGENT - Rollback in Progress - production
    12:01:45   -> stakeholders: URGENT - Rollback in Progress - production
    12:01:47   -> PAGE: P0 shop/production: the rollback pauses after the step under way
    12:03:02 escalated to people: the rollback halted: somebody deployed v3 in between
    12:03:02   -> PAGE: P0 shop/production: critical-errors - yours now
    12:03:45 failed-health-checks clears: clean for 1m
    12:03:45 service-outage clears: clean for 1m
    ");
}

/// Found by seed 736710 of the simulator.
#[test]
fn what_another_deployment_brings_was_not_dismissed_with_the_one_before() {
    let told = brief(shop_with(|shop| shop.mode = Mode::Observe), |town| {
        town.deploy("v2", errors(0.10));
        town.run("8m");
        town.says("ada", Said::Dismiss { reason: "known".into() }).unwrap();
        // The windows begin anew, and never see it end.
        town.step_clock(3_600_000);
        town.behaves(HEALTHY);
        town.run("3m");
        town.deploy("v3", errors(0.10));
        town.run("12m");
    });
    let pages = told.matches("-> PAGE: P1 shop/production: critical-errors").count();
    assert!(pages >= 2, "{told}");
}

/// A platform may tell when it had that version first, as Kubernetes does of a ReplicaSet that is used again.
#[test]
fn what_is_set_back_by_hand_was_not_set_before_what_it_replaces() {
    let mut town = Town::healthy(shop());
    let first = town.wall() - Span::minutes(30);
    town.deploy("v2", HEALTHY);
    town.run("5m");
    town.place().switch("v1", first);
    town.run("1m");
    let change = town.shop().changes.last().unwrap();
    assert_eq!((change.to.version.as_str(), change.is_rollback), ("v1", true));
    assert!(change.started_at > first + Span::minutes(30), "{change:?}");
}

/// What was announced does not come: that is said, and so is that it does not get better.
#[test]
fn a_rollback_by_hand_that_does_not_help_is_told_and_then_pages() {
    let told = brief(shop(), |town| {
        town.deploy("v2", errors(0.10));
        town.run("8m");
        town.says("ada", Said::Acknowledge).unwrap();
        town.deploy("v1", errors(0.10));
        town.run("20m");
        assert_eq!(town.rollbacks(), 0);
    });
    assert_snapshot!(told, @r"
    12:05:15 raised to P1: critical-errors fires
    12:05:15 decided: monitor until 12:15:15
    12:05:15   -> PAGE: P1 shop/production: critical-errors
    12:08:00   -> on-call: P1 shop/production: critical-errors - v1 was restored by hand
    12:13:00   -> PAGE: P1 shop/production: critical-errors - late: not better yet
    ");
}

/// Nor does a rollback of our own go on in silence where the release was not the cause.
#[test]
fn a_rollback_that_does_not_help_pages_long_before_it_is_given_up() {
    let told = brief(shop(), |town| {
        town.deploy("v2", OUTAGE);
        town.run("1m");
        town.behaves(OUTAGE);
        town.run("2m");
        town.says("ada", Said::Acknowledge).unwrap();
        town.run("9m");
        assert_eq!(town.serving(), "v1");
    });
    assert_snapshot!(told, @r"
    12:01:45 decided: roll back now
    12:01:45 rollbackd begins rollback shop-20260302120145-r1, plan d1ec833b4bf9894e: application v2 -> v1
    12:01:45   -> PAGE: URGENT - Rollback in Progress - production
    12:01:45   -> stakeholders: URGENT - Rollback in Progress - production
    12:07:00   -> PAGE: P0 shop/production: critical-errors - late: not better yet
    ");
}

/// A cosmetic incident may stay open for weeks, and blue and green change places under it.
#[test]
fn what_is_switched_back_under_a_cosmetic_incident_stays_known_good() {
    story(shop(), |town| {
        town.deploy("v2", HEALTHY);
        town.run("40m");
        town.behaves(errors(0.008));
        town.run("10m");
        assert_eq!(town.incident().severity, Severity::P3);
        town.deploy("v1", errors(0.008));
        let entry = |town: &Town| {
            let shelf = &town.shop().ledger;
            shelf.entry(Component::Application, &Revision::named("v2")).unwrap().clone()
        };
        assert!(entry(town).known_good_at.is_some() && entry(town).quarantine.is_none());
    });
}

#[test]
fn a_page_says_what_the_cluster_warns_of() {
    let warning = |at: i64, says: &str| Warning {
        at: UnixMs(at),
        about: "Pod shop-a".into(),
        reason: "FailedScheduling".into(),
        says: says.into(),
        times: 4,
    };
    brief(deployment(OwnerRule::Page), |town| {
        town.place().owners = Some(vec![]);
        town.place().warnings = vec![warning(0, "no node has room")];
        town.deploy("v2", errors(0.10));
        town.run("6m");
        let told = town.notices("critical-errors");
        let lines = told[0].lines.join("\n");
        assert!(lines.contains("Its cluster warns:"), "{lines}");
        assert!(lines.contains("Pod shop-a: FailedScheduling, 4 times: no node"), "{lines}");
    });
}

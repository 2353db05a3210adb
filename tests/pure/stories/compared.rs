//! The new revision against the old, while both serve: `worse-than-old`.

use std::sync::Arc;

use insta::assert_snapshot;
use rollbackd::{
    domain::{
        event::Said,
        policy::{LooksAt, Policy, TriggerPolicy},
        severity::Severity,
        trigger::{Comparison, Rule},
    },
    units::Percent,
};

use super::{
    brief,
    place::{HEALTHY, errors},
    policy::{shop, shop_with},
    town::{Town, Windows},
};

/// The shop, with the trigger that is off by default.
fn comparing() -> Policy {
    comparing_above(Percent(0.05))
}

fn comparing_above(above: Percent) -> Policy {
    shop_with(move |shop| {
        let rule = Rule::comparison(Severity::P1, Comparison { above, ..Comparison::default() });
        let (looks_at, rule) = (LooksAt::NewAgainstOld, Arc::new(rule));
        Arc::make_mut(&mut shop.triggers)
            .insert("worse-than-old".into(), TriggerPolicy { looks_at, rule, may_act: true });
    })
}

/// v2 serves a share of the requests, v1 the rest.
fn rolling(town: &mut Town, share: f64, failing: f64) {
    town.place().keeps_serving(1.0 - share);
    town.run("1m");
    town.deploy("v2", errors(failing));
}

#[test]
fn a_worse_revision_is_known_minutes_before_its_errors_have_held() {
    let told = brief(comparing(), |town| {
        rolling(town, 0.5, 0.3);
        town.run("4m");
        assert!(!town.shop().firing.contains_key("critical-errors"));
        let says = &town.shop().firing["worse-than-old"].says;
        let expected = "v2 fails more than twice as often as v1, and surely above 5%: 30 of 100 (at least 20.58%) \
                        against 0 of 100; by chance at most once in 29,000";
        assert_eq!(says, expected);
        town.run("1m 30s");
        assert!(town.shop().firing.contains_key("critical-errors"), "four minutes later");
        town.run("35m");
        assert_eq!((town.rollbacks(), town.serving()), (1, "v1".into()));
    });
    assert_snapshot!(told, @r"
    12:02:30 decided: monitor until 12:12:30
    12:02:30   -> PAGE: P1 shop/production: worse-than-old
    12:12:30 decided: roll back now
    12:12:30 rollbackd begins rollback shop-20260302120230-r1, plan d1ec833b4bf9894e: application v2 -> v1
    12:12:30   -> PAGE: URGENT - Rollback in Progress - production
    12:12:30   -> stakeholders: URGENT - Rollback in Progress - production
    12:17:30 worse-than-old clears: clean for 5m
    12:18:00 critical-errors clears: clean for 5m
    12:18:15 elevated-errors clears: clean for 5m
    12:18:15 minor clears: clean for 5m
    12:28:30 verified; watching for a relapse
    12:28:30   -> on-call: Rollback Complete - production
    12:28:30   -> stakeholders: Rollback Complete - production
    ");
}

/// Of all requests 3 % fail: critical-errors never fires.
#[test]
fn a_canary_is_judged_by_its_own_requests() {
    let told = brief(comparing(), |town| {
        rolling(town, 0.1, 0.3);
        town.run("14m");
        assert_eq!(town.serving(), "v1");
    });
    assert!(told.contains("PAGE: P1 shop/production: worse-than-old"), "{told}");
    assert!(!told.contains("critical-errors"), "{told}");
}

/// Of its requests 3 % fail, where none did: that deserves a page, and has one.
#[test]
fn a_canary_that_is_worse_and_not_bad_is_nothing_to_roll_back() {
    let told = brief(comparing(), |town| {
        rolling(town, 0.5, 0.03);
        town.run("55m");
        assert_eq!(town.rollbacks(), 0);
    });
    assert!(!told.contains("worse-than-old"), "{told}");
    assert!(told.contains("PAGE: P2 shop/production: elevated-errors"), "{told}");
}

/// However long both were well beside each other before: most of what was counted of the old one is from then.
#[test]
fn what_befalls_both_revisions_is_neither_worse_than_old_nor_rolled_back() {
    for (well, failing) in [("5m", 0.3), ("30m", 0.1), ("50m", 0.3)] {
        let told = brief(comparing(), |town| {
            rolling(town, 0.5, 0.0);
            town.run(well);
            town.behaves(errors(failing));
            town.run("25m");
            assert_eq!(town.rollbacks(), 0, "after {well}");
        });
        assert!(!told.contains("worse-than-old"), "{told}");
        let refused = "old-revision-equally-bad: the old revision suffers alike";
        assert!(told.contains(refused), "after {well}: {told}");
    }
}

/// What befell both is over, and has spoken against the new one being worse for long: what it alone does now is judged by now.
#[test]
fn a_revision_that_gets_bad_after_both_were_is_rolled_back() {
    let told = brief(comparing(), |town| {
        rolling(town, 0.5, 0.0);
        town.run("5m");
        town.behaves(errors(0.3));
        town.run("3m");
        town.behaves(HEALTHY);
        town.run("12m");
        town.place().versions.insert("v2".into(), errors(0.3));
        town.run("25m");
        assert_eq!((town.rollbacks(), town.serving()), (1, "v1".into()));
    });
    assert!(!told.contains("old-revision-equally-bad"), "{told}");
}

/// A person dismissed what v2 does; v3 takes its place, and is no better.
#[test]
fn another_revision_that_is_as_bad_is_another_firing() {
    let told = brief(comparing(), |town| {
        rolling(town, 0.5, 0.3);
        town.run("4m");
        town.says("ada", Said::Dismiss { reason: "a test".into() }).unwrap();
        town.deploy("v3", errors(0.3));
        town.place().versions.insert("v1".into(), HEALTHY);
        town.run("4m");
        let evidence = town.shop().firing["worse-than-old"].evidence.as_ref().unwrap();
        assert_eq!(evidence.compared.as_ref().unwrap().new, "v3");
        let says = "12:06:30 worse-than-old fires (P1): v3 fails more than twice as often as v1";
        assert!(town.transcript().contains(says), "{}", town.transcript());
    });
    assert!(told.contains("12:06:00   -> PAGE: P1 shop/production: critical-errors"), "{told}");
}

#[test]
fn where_it_is_off_nothing_is_compared() {
    let told = brief(shop(), |town| {
        rolling(town, 0.1, 0.3);
        town.run("30m");
        assert_eq!(town.rollbacks(), 0);
    });
    assert!(!told.contains("worse-than-old"), "{told}");
    assert!(told.contains("PAGE: P2 shop/production: elevated-errors"), "{told}");
}

#[test]
fn it_goes_on_through_a_restart_with_its_windows_or_without_them() {
    for windows in [Windows::Kept, Windows::Lost] {
        let kept = matches!(windows, Windows::Kept);
        brief(comparing(), |town| {
            rolling(town, 0.5, 0.3);
            town.run("4m");
            town.crash(windows, false);
            town.run("14m");
            assert_eq!(town.rollbacks(), 1, "windows kept: {kept}");
        });
    }
}

/// The old revision leaves in the minutes of monitoring: what was proven stays proven, and what fails still fails.
#[test]
fn it_stands_by_what_it_fired_on_when_the_old_revision_has_left() {
    let told = brief(comparing_above(Percent(0.01)), |town| {
        rolling(town, 0.5, 0.04);
        town.run("6m");
        assert!(town.shop().firing.contains_key("worse-than-old"));
        town.place().rolled_out();
        town.run("12m");
        assert_eq!(town.rollbacks(), 1, "{}", town.transcript());
    });
    assert!(!told.contains("critical-errors"), "{told}");
}

#[test]
fn a_revision_that_gets_well_is_not_rolled_back() {
    let told = brief(comparing(), |town| {
        rolling(town, 0.5, 0.3);
        town.run("3m");
        town.behaves(HEALTHY);
        town.run("20m");
        assert_eq!(town.rollbacks(), 0);
        assert!(town.shop().firing.is_empty() && town.shop().incident.is_none());
    });
    assert!(told.contains("worse-than-old"), "{told}");
}

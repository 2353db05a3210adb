//! Alertmanager's alerts: evidence, and a reason to act only where something of ours agrees.

use std::collections::BTreeSet;

use insta::assert_snapshot;
use rollbackd::{
    domain::{
        event::{Alert, What},
        severity::Severity,
        signal::Unknown,
    },
    units::{Span, UnixMs},
};

use super::{
    brief,
    place::{HEALTHY, errors},
    policy::{id, shop},
    story,
    town::Town,
};

fn alert(town: &Town, trigger: Option<&str>, starts_at: UnixMs, firing: bool) -> What {
    let alert = Alert {
        fingerprint: "8f2a".into(),
        starts_at,
        firing,
        name: "CheckoutErrors".into(),
        trigger: trigger.map(str::to_owned),
        severity: Severity::P1,
        summary: "checkout fails for 12 % of users".into(),
        labels: [("service".to_owned(), town.shop().id.name().to_owned())].into(),
    };
    What::Alerted { service: id("shop"), alert }
}

fn active(fingerprints: &[&str]) -> What {
    let fingerprints: BTreeSet<String> = fingerprints.iter().map(ToString::to_string).collect();
    What::AlertsActive { service: id("shop"), suppressed: [].into(), fingerprints }
}

#[test]
fn an_alert_for_no_trigger_pages_and_is_no_reason_to_act() {
    let told = brief(shop(), |town| {
        town.deploy("v2", HEALTHY);
        town.run("5m");
        let firing = alert(town, None, town.wall(), true);
        town.turn(firing.clone());
        town.turn(firing);
        for _ in 0..12 {
            town.run("1m");
            town.turn(active(&["8f2a"]));
        }
        assert_eq!(town.rollbacks(), 0);
    });
    assert_snapshot!(told, @r"
    12:05:00 decided: monitor until 12:15:00; guards that refuse: mode: an alert without the label rollbackd_trigger pages, and is not a reason to act; already-burning: nothing is known from before the change: no signal of ours covers it; blind: neither our own windows nor Alertmanager, asked, confirm the alert
    12:05:00   -> PAGE: P1 shop/production: alert:CheckoutErrors
    12:15:00 decided: ask a person; guards that refuse: mode: an alert without the label rollbackd_trigger pages, and is not a reason to act; already-burning: nothing is known from before the change: no signal of ours covers it
    12:15:00   -> PAGE: P1 shop/production: alert:CheckoutErrors - not rolled back: a person must decide
    ");
}

#[test]
fn an_alert_that_our_windows_confirm_is_rolled_back_once() {
    let told = brief(shop(), |town| {
        town.deploy("v2", errors(0.10));
        town.run("2m");
        let firing = alert(town, Some("critical-errors"), town.wall(), true);
        town.turn(firing.clone());
        town.run("5m");
        town.turn(firing);
        town.run("8m");
        assert_eq!(town.rollbacks(), 1);
    });
    assert_snapshot!(told, @r"
    12:02:00 decided: monitor until 12:12:00
    12:02:00   -> PAGE: P1 shop/production: alert:critical-errors
    12:12:00 decided: roll back now
    12:12:00 rollbackd begins rollback shop-20260302120200-r1, plan d1ec833b4bf9894e: application v2 -> v1
    12:12:00   -> PAGE: URGENT - Rollback in Progress - production
    12:12:00   -> stakeholders: URGENT - Rollback in Progress - production
    ");
}

#[test]
fn an_alert_alone_never_ends_monitoring_in_a_rollback() {
    let told = brief(shop(), |town| {
        town.deploy("v2", HEALTHY);
        town.run("2m");
        let firing = alert(town, Some("critical-errors"), town.wall(), true);
        town.turn(firing);
        town.run("20m");
        assert_eq!(town.rollbacks(), 0);
    });
    assert_snapshot!(told, @r"
    12:02:00 decided: monitor until 12:12:00; guards that refuse: blind: neither our own windows nor Alertmanager, asked, confirm the alert
    12:02:00   -> PAGE: P1 shop/production: alert:critical-errors
    12:12:00 decided: ask a person; guards that refuse: blind: neither our own windows nor Alertmanager, asked, confirm the alert
    12:12:00   -> PAGE: P1 shop/production: alert:critical-errors - not rolled back: a person must decide
    12:17:00   -> PAGE: P1 shop/production: alert:critical-errors - late: no action yet
    ");
}

#[test]
fn an_alert_that_alertmanager_asked_still_has_active_is_confirmed() {
    let told = brief(shop(), |town| {
        town.deploy("v2", HEALTHY);
        town.run("2m");
        let firing = alert(town, Some("critical-errors"), town.wall(), true);
        town.turn(firing);
        for _ in 0..12 {
            town.run("1m");
            town.turn(active(&["8f2a"]));
        }
        assert_eq!(town.rollbacks(), 1);
    });
    assert_snapshot!(told, @r"
    12:02:00 decided: monitor until 12:12:00; guards that refuse: blind: neither our own windows nor Alertmanager, asked, confirm the alert
    12:02:00   -> PAGE: P1 shop/production: alert:critical-errors
    12:12:00 decided: roll back now
    12:12:00 rollbackd begins rollback shop-20260302120200-r1, plan d1ec833b4bf9894e: application v2 -> v1
    12:12:00   -> PAGE: URGENT - Rollback in Progress - production
    12:12:00   -> stakeholders: URGENT - Rollback in Progress - production
    ");
}

/// A silence says "do not tell me": neither that it is over nor that it is as it was.
#[test]
fn an_alert_that_was_silenced_neither_ends_the_incident_nor_rolls_back() {
    let told = brief(shop(), |town| {
        town.deploy("v2", HEALTHY);
        town.run("2m");
        let firing = alert(town, Some("critical-errors"), town.wall(), true);
        town.turn(firing);
        for _ in 0..14 {
            town.run("1m");
            let suppressed = ["8f2a".to_owned()].into();
            let (service, fingerprints) = (id("shop"), [].into());
            town.turn(What::AlertsActive { service, fingerprints, suppressed });
        }
        assert_eq!(town.rollbacks(), 0);
        assert!(town.shop().incident.is_some());
    });
    assert!(told.contains("a person must decide") && !told.contains("closed:"), "{told}");
}

#[test]
fn a_resolve_that_got_lost_is_found_by_asking() {
    let told = brief(shop(), |town| {
        town.deploy("v2", HEALTHY);
        town.run("2m");
        let firing = alert(town, Some("critical-errors"), town.wall(), true);
        town.turn(firing);
        town.turn(active(&[]));
        town.run("3m");
        town.turn(active(&[]));
        town.run("20m");
    });
    assert_snapshot!(told, @r"
    12:02:00 decided: monitor until 12:12:00; guards that refuse: blind: neither our own windows nor Alertmanager, asked, confirm the alert
    12:02:00   -> PAGE: P1 shop/production: alert:critical-errors
    12:05:00 alert:critical-errors clears: Alertmanager, asked, has it no longer
    12:05:00 closed: recovered by itself
    12:05:00   -> on-call: P1 shop/production: recovered by itself
    ");
}

#[test]
fn late_and_repeated_words_of_alertmanager_change_nothing() {
    let told = story(shop(), |town| {
        town.run("10m");
        let (old, new) = (town.wall() - Span::minutes(9), town.wall());
        town.turn(alert(town, None, new, true));
        town.turn(alert(town, None, old, true));
        town.turn(alert(town, None, old, false));
        town.run("1m");
        town.turn(alert(town, None, new, false));
        town.turn(alert(town, None, new, false));
        town.run("1m");
    });
    assert_snapshot!(told, @r"
    12:10:00 alert:CheckoutErrors fires (P1): Alertmanager: CheckoutErrors - checkout fails for 12 % of users
    12:10:00 incident shop-20260302121000 opened as P1 by alert:CheckoutErrors
    12:10:00 decided: monitor until 12:20:00; guards that refuse: mode: an alert without the label rollbackd_trigger pages, and is not a reason to act; no-change: no change of this service is known; nowhere-safe: no earlier revision has served healthily for the bake time; blind: neither our own windows nor Alertmanager, asked, confirm the alert
    12:10:00   -> PAGE: P1 shop/production: alert:CheckoutErrors
    12:11:00 alert:CheckoutErrors clears: Alertmanager resolved it
    12:11:00 closed: recovered by itself
    12:11:00   -> on-call: P1 shop/production: recovered by itself
    ");
}

/// Whoever may only send alerts could have a service rolled back at once that never agreed to it.
#[test]
fn an_alert_that_names_evidence_asks_for_the_same_opt_in_as_a_post() {
    let told = brief(shop(), |town| {
        town.deploy("v2", HEALTHY);
        town.run("3m");
        let firing = alert(town, Some("data-corruption"), town.now().wall, true);
        town.turn(firing);
        town.run("1m");
        assert_eq!(town.serving(), "v2");
    });
    assert!(told.contains("this service did not opt in to act on data-corruption"), "{told}");
}

/// Each of a service's alerts that fires is looked at in every turn: there is room for twenty.
#[test]
fn of_too_many_alerts_the_least_severe_makes_room_and_never_a_worse_one() {
    let one_more = |severity| {
        let mut fires = vec![];
        brief(shop(), |town| {
            let send = |town: &mut Town, name: String, severity| {
                let What::Alerted { service, mut alert } = alert(town, None, town.wall(), true)
                else {
                    unreachable!()
                };
                (alert.fingerprint, alert.name, alert.severity) = (name.clone(), name, severity);
                town.turn(What::Alerted { service, alert });
            };
            for n in 0..20 {
                let severity = if n == 7 { Severity::P2 } else { Severity::P1 };
                send(town, format!("n{n:02}"), severity);
            }
            send(town, "new".into(), severity);
            fires.extend(town.shop().firing.keys().cloned());
        });
        assert_eq!(fires.len(), 20, "{fires:?}");
        let is_there = |name: &str| fires.iter().any(|key| key == name);
        (is_there("alert:n07"), is_there("alert:new"))
    };
    assert_eq!(one_more(Severity::P1), (false, true), "the P2 made room");
    assert_eq!(one_more(Severity::P3), (true, false), "news of less is no news");
}

/// Alertmanager resolves an alert also when Prometheus, which sent it, is gone.
#[test]
fn a_resolve_ends_nothing_while_our_own_windows_see_nothing() {
    story(shop(), |town| {
        town.deploy("v2", HEALTHY);
        town.run("5m");
        let began = town.wall();
        let firing = alert(town, Some("critical-errors"), began, true);
        town.turn(firing);
        town.place().monitoring_down = Some(Unknown::Failed);
        town.run("2m");
        let resolved = alert(town, Some("critical-errors"), began, false);
        town.turn(resolved);
        town.run("1m");
        assert!(town.shop().incident.is_some(), "nobody sees that it is over");
        town.place().monitoring_down = None;
        town.run("2m");
        assert_eq!(town.shop().incident, None, "{}", town.transcript());
    });
}

/// Whoever has CloudWatch only was told that Alertmanager, asked, did not confirm it.
#[test]
fn an_alarm_of_cloudwatch_alone_pages_and_says_that_windows_of_our_own_are_missing() {
    let told = brief(shop(), |town| {
        town.deploy("v2", HEALTHY);
        town.run("2m");
        let What::Alerted { service, alert: it } =
            alert(town, Some("critical-errors"), town.wall(), true)
        else {
            panic!("it is an alert")
        };
        let fingerprint = format!("{}8f2a", Alert::CLOUDWATCH);
        town.turn(What::Alerted { service, alert: Alert { fingerprint, ..it } });
        town.run("20m");
        assert_eq!(town.rollbacks(), 0);
    });
    let blind = "blind: no window of our own confirms the alarm, and CloudWatch is not asked whether it lasts";
    assert!(told.contains(blind) && told.contains("a person must decide"), "{told}");
    assert!(!told.contains("Alertmanager"), "{told}");
}

/// Its end says when it ended, and not when it began; and Alertmanager, asked, has never heard of it.
#[test]
fn an_alarm_of_cloudwatch_ends_when_cloudwatch_says_so_and_not_because_alertmanager_does_not_know_it()
 {
    brief(shop(), |town| {
        town.deploy("v2", HEALTHY);
        town.run("2m");
        let began = town.wall();
        let alarm = |at: UnixMs, firing: bool| {
            let What::Alerted { service, alert: it } = alert(town, None, at, firing) else {
                panic!("it is an alert")
            };
            let fingerprint = format!("{}8f2a", Alert::CLOUDWATCH);
            What::Alerted { service, alert: Alert { fingerprint, ..it } }
        };
        let (fires, late, ends) = (
            alarm(began, true),
            alarm(began - Span::minutes(1), false),
            alarm(began + Span::minutes(6), false),
        );
        let (again, overtaken, anew) = (
            alarm(began + Span::minutes(9), false),
            alarm(began + Span::minutes(7), true),
            alarm(began + Span::minutes(10), true),
        );
        town.turn(fires);
        town.run("5m");
        town.turn(active(&[]));
        town.turn(late);
        assert_eq!(town.shop().firing.len(), 1, "it still burns");
        town.run("1m");
        town.turn(ends);
        assert_eq!(town.shop().firing.len(), 0);
        // A topic keeps no order.
        town.turn(again);
        town.turn(overtaken);
        assert_eq!(town.shop().firing.len(), 0, "it had ended before it came");
        town.turn(anew);
        assert_eq!(town.shop().firing.len(), 1);
    });
}

//! A database's data is checked: what is violated twice running pages, and what nobody can tell is neither well nor broken.

use insta::assert_snapshot;
use rollbackd::{
    domain::{
        event::What,
        integrity::{Answer, CheckPolicy, Expects, Found},
        notice::Urgency,
        policy::Policy,
    },
    http::views::Explain,
    units::Span,
};

use super::{
    brief,
    place::{HEALTHY, OUTAGE},
    policy::{id, services_mut, shop_with},
    story,
    town::Town,
};

fn with_checks() -> Policy {
    shop_with(|p| {
        let check = |expects| CheckPolicy {
            expects,
            asks: String::new(),
            place: "shop at replica:5432".into(),
            every: Span::minutes(1),
            shows_after: Span::ZERO,
        };
        p.checks.insert("orders".into(), check(Expects::Within { low: 1.0, high: 9.0 }));
        p.checks.insert("orphans".into(), check(Expects::NoRow));
    })
}

fn asked(town: &mut Town, check: &str, answer: Answer) {
    let took = Span::seconds(1);
    town.turn(What::IntegritySeen { service: id("shop"), check: check.into(), answer, took });
}

fn rows(town: &mut Town, rows: u64) {
    asked(town, "orphans", Answer::Known(Found::Rows(rows)));
    town.run("1m");
}

#[test]
fn corrupt_data_pages_when_it_is_seen_twice_running_and_is_over_when_the_check_passes() {
    let told = brief(with_checks(), |town| {
        asked(town, "orders", Answer::Known(Found::Number(5.0)));
        for seen in [0, 3, 0, 3] {
            rows(town, seen);
        }
        assert!(town.shop().firing.is_empty(), "a transaction seen between its halves");
        rows(town, 4);
        assert!(town.shop().firing["data-corruption"].says.contains("4 rows returned"));
        asked(town, "orphans", Answer::Unknown("nobody answers there".into()));
        town.run("1m");
        assert!(town.shop().firing.contains_key("data-corruption"), "nobody saw it end");
        rows(town, 0);
    });
    assert_snapshot!(told, @r"
    12:04:00 decided: ask a person; guards that refuse: mode: this service did not opt in to act on data-corruption; no-change: no change of this service is known; nowhere-safe: no earlier revision has served healthily for the bake time
    12:04:00   -> PAGE: P0 shop/production: data-corruption - not rolled back: a person must decide
    12:06:00 data-corruption clears: every check of the data that failed passes
    12:06:00 closed: recovered by itself
    12:06:00   -> on-call: P0 shop/production: recovered by itself
    ");
}

#[test]
fn a_violation_seen_on_both_sides_of_a_look_that_told_nothing_is_not_seen_twice_running() {
    let mut town = Town::healthy(with_checks());
    let dark = || Answer::Unknown("nobody answers there".into());
    for _ in 0..3 {
        rows(&mut town, 3);
        asked(&mut town, "orphans", dark());
        town.run("1m");
        assert!(town.shop().firing.is_empty());
    }
    rows(&mut town, 3);
    rows(&mut town, 3);
    assert!(town.shop().firing.contains_key("data-corruption"));
    // What was believed is not doubted because nobody looks.
    asked(&mut town, "orphans", dark());
    rows(&mut town, 3);
    assert!(town.shop().firing.contains_key("data-corruption"));
}

fn pages(town: &Town, about: &str) -> usize {
    town.notices(about).iter().filter(|notice| notice.urgency == Urgency::Page).count()
}

#[test]
fn a_second_check_that_is_violated_while_the_first_fires_pages_once_more() {
    let mut town = Town::healthy(with_checks());
    let low = || Answer::Known(Found::Number(0.0));
    rows(&mut town, 3);
    rows(&mut town, 3);
    asked(&mut town, "orders", low());
    town.run("1m");
    assert_eq!(pages(&town, "more of its data is corrupt"), 0, "seen once");
    for _ in 0..3 {
        asked(&mut town, "orders", low());
        rows(&mut town, 3);
    }
    assert_eq!(pages(&town, "more of its data is corrupt"), 1, "{}", town.transcript());
    let says = &town.shop().firing["data-corruption"].says;
    assert!(says.contains("the check orders") && says.contains("the check orphans"), "{says}");
}

fn customers(town: &mut Town, number: f64) {
    asked(town, "customers", Answer::Known(Found::Number(number)));
    town.run("1m");
}

fn with_customers() -> Policy {
    shop_with(|p| {
        let check = CheckPolicy {
            expects: Expects::DropsAtMost { share: 0.1 },
            asks: String::new(),
            place: "shop at db:5432".into(),
            every: Span::minutes(1),
            shows_after: Span::ZERO,
        };
        p.checks.insert("customers".into(), check);
    })
}

#[test]
fn a_number_that_falls_by_itself_is_nothing_and_one_that_falls_after_a_change_is_corruption() {
    let mut town = Town::healthy(with_customers());
    for number in [100.0, 80.0, 64.0] {
        customers(&mut town, number);
    }
    assert!(town.shop().firing.is_empty(), "no change is watched");
    town.deploy("v2", HEALTHY);
    customers(&mut town, 60.0);
    customers(&mut town, 50.0);
    assert!(town.shop().firing.is_empty(), "seen once");
    customers(&mut town, 50.0);
    let says = &town.shop().firing["data-corruption"].says;
    assert!(says.contains("50, which was 64 at"), "{says}");
    customers(&mut town, 64.0);
    assert!(town.shop().firing.is_empty());
}

/// After a reload it told that it had not been asked before the change, for its name was another.
#[test]
fn a_number_from_before_a_change_is_known_after_another_configuration_where_the_query_is_the_same()
{
    let named = |name: &str, asks: &str| {
        let mut policy = with_customers();
        for service in services_mut(&mut policy) {
            let check = service.checks.remove("customers").unwrap();
            service.checks.insert(name.into(), CheckPolicy { asks: asks.into(), ..check });
        }
        policy
    };
    for (name, asks, is_known) in [
        ("customers", "count customers", true),
        ("people", "count customers", true),
        ("customers", "count orders", false),
    ] {
        let mut town = Town::healthy(named("customers", "count customers"));
        customers(&mut town, 64.0);
        town.deploy("v2", HEALTHY);
        customers(&mut town, 64.0);
        town.adopts(|policy| *policy = named(name, asks));
        for _ in 0..2 {
            asked(&mut town, name, Answer::Known(Found::Number(50.0)));
            town.run("1m");
        }
        let fires = town.shop().firing.get("data-corruption");
        let says = fires.map_or("", |it| it.says.as_str());
        assert_eq!(says.contains("50, which was 64 at"), is_known, "{name}: {asks}: {says}");
    }
}

#[test]
fn a_number_that_was_not_asked_before_the_change_tells_nothing_and_pages_nobody() {
    let mut town = Town::healthy(with_customers());
    town.deploy("v2", HEALTHY);
    for _ in 0..40 {
        customers(&mut town, 1.0);
    }
    assert!(town.shop().firing.is_empty() && town.shop().blind.is_empty());
}

#[test]
fn a_check_that_cannot_be_asked_is_neither_well_nor_broken_and_pages_as_blind() {
    let told = story(with_checks(), |town| {
        asked(town, "orders", Answer::Known(Found::Number(5.0)));
        for _ in 0..40 {
            asked(town, "orphans", Answer::Unknown("the user may not do that".into()));
            town.run("1m");
        }
        assert!(town.shop().firing.is_empty() && town.shop().blind.contains_key("check orphans"));
        rows(town, 0);
        assert!(town.shop().blind.is_empty());
    });
    let words = "check orphans tells nothing (shop at replica:5432): the user may not do that";
    assert!(told.contains(words), "{told}");
}

/// A release that fails and is rolled back, with that answer of the check every minute from then on; whether that was verified.
fn rolled_back(answer: Option<Answer>) -> (Town, bool) {
    let mut town = Town::healthy(with_checks());
    let fine = || Answer::Known(Found::Number(5.0));
    asked(&mut town, "orders", fine());
    rows(&mut town, 0);
    town.deploy("v2", OUTAGE);
    town.run("1m 50s");
    for _ in 0..40 {
        asked(&mut town, "orders", fine());
        if let Some(answer) = &answer {
            asked(&mut town, "orphans", answer.clone());
        }
        town.run("1m");
    }
    assert_eq!((town.serving(), town.rollbacks()), ("v1".to_owned(), 1));
    let verified = town.transcript().contains("verified; watching");
    (town, verified)
}

#[test]
fn a_rollback_is_verified_by_checks_that_were_asked_after_it() {
    let (town, verified) = rolled_back(Some(Answer::Known(Found::Rows(0))));
    assert!(verified, "{}", town.transcript());
    let told = town.notices("Complete")[0].lines.join("\n");
    assert!(told.contains("check orphans: Passed"), "{told}");
    let (town, verified) = rolled_back(None);
    assert!(!verified, "what passed before the rollback says nothing of it");
    let why = "could not be verified: check orphans: it was not asked since the rollback";
    assert!(town.transcript().contains(why), "{}", town.transcript());
}

/// `explain` named no reason while a rollback was being verified.
#[test]
fn what_a_rollback_waits_for_that_is_being_verified_is_said() {
    let mut town = Town::healthy(with_checks());
    let waits = |town: &Town| town.seen(|s| Explain::of(s).verification);
    asked(&mut town, "orders", Answer::Known(Found::Number(5.0)));
    rows(&mut town, 0);
    assert!(waits(&town).is_empty());
    town.deploy("v2", OUTAGE);
    while town.rollbacks() == 0 {
        town.run("10s");
    }
    town.run("3m");
    let open = waits(&town);
    let not_asked = "check orphans is unknown: it was not asked since the rollback";
    assert!(open.iter().any(|it| it == not_asked), "{open:?}");
    assert!(open.iter().any(|it| it.starts_with("people are paged at ")), "{open:?}");
    for _ in 0..3 {
        asked(&mut town, "orders", Answer::Known(Found::Number(5.0)));
        rows(&mut town, 0);
    }
    let open = waits(&town);
    assert!(open[0].starts_with("all of it holds since "), "{open:?}");
}

#[test]
fn a_rollback_is_not_verified_while_the_data_is_corrupt_or_nobody_can_tell() {
    for (answer, why) in [
        (Answer::Known(Found::Rows(3)), "check orphans: 3 rows returned, where there must be none"),
        (Answer::Unknown("nobody answers there".into()), "check orphans: nobody answers there"),
    ] {
        let (town, verified) = rolled_back(Some(answer));
        assert!(!verified);
        assert!(town.transcript().contains(why), "{}", town.transcript());
    }
}

#[test]
fn a_replica_that_is_behind_keeps_a_rollback_from_being_verified_and_is_no_corruption() {
    let behind = CheckPolicy {
        expects: Expects::LagAtMost { max: Span::seconds(30) },
        asks: String::new(),
        place: "shop at replica:5432".into(),
        every: Span::minutes(1),
        shows_after: Span::ZERO,
    };
    for (seconds, verified) in [(30, true), (31, false)] {
        let policy = shop_with(|p| {
            p.checks.insert("replica-lag".into(), behind.clone());
        });
        let mut town = Town::healthy(policy);
        town.deploy("v2", OUTAGE);
        town.run("1m 50s");
        for _ in 0..40 {
            asked(&mut town, "replica-lag", Answer::Known(Found::Lag(Span::seconds(seconds))));
            town.run("1m");
            assert!(!town.shop().firing.contains_key("data-corruption"));
        }
        let told = town.transcript();
        assert_eq!(told.contains("verified; watching"), verified, "{told}");
        let why = "check replica-lag: it is 31s behind, more than 30s";
        assert_eq!(told.contains(why), !verified, "{told}");
    }
}

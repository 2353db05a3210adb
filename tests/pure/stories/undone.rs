//! A rollback undoes the change that it is justified by, or it is no rollback.

use insta::assert_snapshot;
use rollbackd::domain::{
    change::{Change, Component, Migrations, Origin, Revision},
    event::{Said, What},
};

use super::{
    brief,
    place::{HEALTHY, OUTAGE, errors},
    policy::{id, shop, shop_with},
    town::Town,
};

/// A pipeline says that it begins, and does not say that it ended.
fn begins(town: &Town, component: Component, to: &str) -> What {
    let change = Change {
        id: format!("build-{to}"),
        component,
        from: None,
        to: Revision::named(to),
        started_at: town.wall(),
        ended_at: None,
        origin: Origin::Posted { by: "ci".into() },
        migrations: Migrations::Unknown,
        checks_passed: None,
        is_rollback: false,
        told: None,
    };
    What::ChangePosted { service: id("shop"), change }
}

/// Its migration locks the tables under what serves well.
#[test]
fn a_good_release_is_not_rolled_back_because_the_next_one_s_migration_runs() {
    let told = brief(shop(), |town| {
        town.deploy("v2", HEALTHY);
        town.run("3h");
        let post = begins(town, Component::Application, "v3");
        town.turn(post);
        town.behaves(OUTAGE);
        town.run("3m");
        assert_eq!((town.rollbacks(), town.serving()), (0, "v2".into()));
    });
    assert_snapshot!(told, @r"
    15:01:45 decided: ask a person; guards that refuse: no-change: the last change, to v3, was not seen to serve: v2 -> v1 would not undo it
    15:01:45   -> PAGE: P0 shop/production: service-outage - not rolled back: a person must decide
    ");
}

#[test]
fn a_change_of_something_else_is_not_undone_by_the_application_before() {
    for component in [Component::Configuration, Component::Frontend, Component::Database] {
        let told = brief(shop(), |town| {
            town.deploy("v2", HEALTHY);
            town.run("35m");
            let post = begins(town, component, "settings-7");
            town.turn(post);
            town.behaves(errors(0.30));
            town.run("20m");
            assert_eq!(town.rollbacks(), 0);
        });
        let why = format!(
            "no-change: the last change is of the {component}; a rollback of the application would not undo it"
        );
        assert!(told.contains(&why), "{told}");
    }
}

/// What the posted version really is was seen, although it was replaced before it was judged.
#[test]
fn a_posted_change_that_another_followed_at_once_is_undone_with_it() {
    brief(shop(), |town| {
        let post = begins(town, Component::Application, "v2");
        town.turn(post);
        town.deploy("v2", errors(0.30));
        town.run("10m");
        town.deploy("v3", errors(0.30));
        town.run("7m");
        assert_eq!((town.rollbacks(), town.serving()), (1, "v1".into()));
    });
}

/// Somebody tried the version before and could not start it. What is set is gone on with only if it is known good.
#[test]
fn what_is_set_and_does_not_serve_is_no_target_unless_it_is_known_good() {
    for (bake, target) in [("10m", "v1"), ("40m", "v2")] {
        brief(shop(), |town| {
            town.deploy("v2", HEALTHY);
            town.run(bake);
            town.deploy("v3", OUTAGE);
            let now = town.wall();
            town.place().switch("v2", now);
            town.run("1m");
            let reason = "nothing works".to_owned();
            town.says("ada", Said::RollBack { to: None, to_previous: false, plan: None, reason })
                .unwrap();
            town.run("1m");
            assert_eq!(
                town.place_of("shop").running.as_deref(),
                Some(target),
                "{}",
                town.transcript()
            );
        });
    }
}

/// A second change in its place would have an age and a limit of its own.
#[test]
fn a_late_post_of_what_was_seen_is_no_second_change_whatever_came_before_and_beside_it() {
    brief(shop(), |town| {
        town.deploy("v2", HEALTHY);
        town.run("40m");
        town.deploy("v3", HEALTHY);
        town.run("1m");
        for (component, to) in
            [(Component::Configuration, "settings-7"), (Component::Application, "v3")]
        {
            let post = begins(town, component, to);
            town.turn(post);
            town.run("1m");
        }
        let known: Vec<&str> = town.shop().changes.iter().map(|c| c.to.version.as_str()).collect();
        assert_eq!(known, ["v2", "v3", "settings-7"]);
    });
}

#[test]
fn a_good_release_is_not_rolled_back_because_an_earlier_one_is_being_deployed_again() {
    let told = brief(shop(), |town| {
        town.deploy("v2", HEALTHY);
        town.run("10m");
        town.deploy("v3", HEALTHY);
        town.run("3h");
        let post = begins(town, Component::Application, "v2");
        town.turn(post);
        town.behaves(OUTAGE);
        town.run("3m");
        assert_eq!((town.rollbacks(), town.serving()), (0, "v3".into()));
    });
    assert!(told.contains("no-change: the last change, to v2, was not seen to serve"), "{told}");
}

#[test]
fn a_post_that_comes_after_the_breach_says_more_of_the_change_that_is_blamed() {
    brief(shop(), |town| {
        town.deploy("v2", errors(0.10));
        town.run("6m");
        let observed = town.incident().change.clone().unwrap();
        assert_eq!(observed.origin, Origin::Observed);
        let post = begins(town, Component::Application, "v2");
        town.turn(post);
        let known = town.incident().change.clone().unwrap();
        assert_eq!((known.id.as_str(), known.started_at), ("build-v2", observed.started_at));
    });
    brief(shop(), |town| {
        let late = begins(town, Component::Configuration, "settings-7");
        town.behaves(errors(0.10));
        town.run("6m");
        assert_eq!(town.incident().change, None);
        town.turn(late);
        let known = town.incident().change.as_ref().map(|change| change.to.version.as_str());
        assert_eq!(known, Some("settings-7"), "nobody had seen it");
    });
}

#[test]
fn what_was_rolled_back_and_is_deployed_again_is_a_change_of_its_own() {
    brief(shop(), |town| {
        for version in ["v2", "v1", "v2"] {
            town.deploy(version, HEALTHY);
            town.run("5m");
        }
        let known: Vec<&str> = town.shop().changes.iter().map(|c| c.to.version.as_str()).collect();
        assert_eq!(known, ["v2", "v1", "v2"]);
    });
}

#[test]
fn only_what_was_rolled_away_from_can_be_let_serve_again() {
    brief(shop(), |town| {
        town.deploy("v2", OUTAGE);
        town.run("3m");
        assert_eq!(town.serving(), "v1");
        let mut lift = |version: &str| town.says("ada", Said::Lift { version: version.into() });
        assert_eq!(lift("v1"), Err("v1 of shop/production is not quarantined".into()));
        assert_eq!(lift("v9"), Err("v9 of shop/production is not quarantined".into()));
        assert_eq!(lift("v2"), Ok("v2 may serve shop/production again".into()));
        assert!(lift("v2").is_err(), "it is not quarantined any more");
    });
}

/// Nothing is made up where nobody can tell: what is missing is named.
#[test]
fn a_rollback_that_no_signal_can_verify_says_so() {
    let policy = shop_with(|p| {
        p.signals = std::collections::BTreeMap::new().into();
        p.triggers = std::collections::BTreeMap::new().into();
    });
    brief(policy, |town| {
        town.deploy("v2", HEALTHY);
        town.run("1m");
        town.says(
            "ada",
            Said::RollBack {
                to: Some("v1".into()),
                to_previous: false,
                plan: None,
                reason: "slow".into(),
            },
        )
        .unwrap();
        town.run("90m");
        let page = town.notices("yours now").remove(0);
        let why = &page.fields.iter().find(|(name, _)| name == "Why").unwrap().1;
        assert!(
            why.contains("no signal is configured that could tell whether it is well"),
            "{why}"
        );
    });
}

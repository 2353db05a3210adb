//! A rollback undoes the change that it is justified by, or it is no rollback.

use insta::assert_snapshot;
use rollbackd::domain::{
    change::{Change, Component, Migrations, Origin, Revision},
    event::{Said, What},
};

use super::{
    brief,
    place::{HEALTHY, OUTAGE, errors},
    policy::{id, shop},
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
            town.says("ada", Said::RollBack { to: None, reason }).unwrap();
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

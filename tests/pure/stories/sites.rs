//! A site of static files: what is copied is not served yet, and what is called its frontend is all that it has.

use rollbackd::{
    domain::{
        change::{Change, Component, Migrations, Origin, Revision},
        event::What,
        frontend::{Marker, SiteAt},
        policy::Policy,
        runbook::{ApplicationRunbook, FrontendRunbook},
    },
    units::Span,
};

use super::{
    brief,
    place::{HEALTHY, OUTAGE, errors},
    policy::{id, shop_with},
    town::{Town, Windows, failed},
};

fn site() -> Policy {
    shop_with(|shop| {
        let runbook = shop.runbook.as_mut().unwrap();
        runbook.application = ApplicationRunbook::Frontend(FrontendRunbook {
            at: SiteAt { account: "main".into(), bucket: "shop".into(), prefix: String::new() },
            url: "https://shop.example/".into(),
            marker: Marker { name: "version.json".into(), pointer: None },
            distribution: Some("E2".into()),
            also_invalidate: vec![],
            paths_max: 3_000,
            at_once: 16,
            pages_max: 10,
            copy_timeout: Span::minutes(15),
            invalidate_timeout: Span::minutes(15),
            verify_timeout: Span::minutes(5),
            attempts: 2,
        });
    })
}

fn breaks(town: &mut Town) {
    town.deploy("v2", OUTAGE);
    town.run("3m");
}

#[test]
fn a_bad_version_of_a_site_is_copied_over_forgotten_by_its_edges_and_seen_to_be_gone() {
    brief(site(), |town| {
        breaks(town);
        assert_eq!((town.rollbacks(), town.serving()), (1, "v1".into()));
        assert_eq!(town.place_of("shop").done, ["copy v1", "invalidate E2", "see v1"]);
    });
}

#[test]
fn a_copy_that_stops_half_way_halts_and_says_what_people_are_served() {
    brief(site(), |town| {
        let denied = || failed("it stopped at pages: s3:PutObject was denied", false);
        town.place().outcomes.extend([denied()]);
        breaks(town);
        assert_eq!(town.serving(), "v2");
        let page = town.notices("yours now").last().map(|it| it.plain()).unwrap_or_default();
        assert!(page.contains("it stopped at pages: s3:PutObject was denied"), "{page}");
        assert!(page.contains("not done: invalidate what changed in E2"), "{page}");
    });
}

/// The copy is in effect, and nobody heard of it.
#[test]
fn a_crash_in_each_step_of_it_goes_on_and_does_each_once() {
    for applied in [true, false] {
        for pause in ["1m 45s", "1m 55s", "2m"] {
            brief(site(), |town| {
                town.deploy("v2", OUTAGE);
                town.run(pause);
                town.crash(Windows::Kept, applied);
                town.run("2m");
                assert_eq!((town.rollbacks(), town.serving()), (1, "v1".into()), "{pause}");
                let done = &town.place_of("shop").done;
                assert_eq!(done.iter().filter(|it| *it == "copy v1").count(), 1, "{done:?}");
            });
        }
    }
}

/// Its pipeline calls it what it is.
#[test]
fn a_change_of_its_frontend_is_undone_by_what_is_rolled_back() {
    brief(site(), |town| {
        let change = Change {
            id: "build-v2".into(),
            component: Component::Frontend,
            from: None,
            to: Revision::named("v2"),
            started_at: town.wall(),
            ended_at: None,
            origin: Origin::Posted { by: "ci".into() },
            migrations: Migrations::Unknown,
            checks_passed: None,
            is_rollback: false,
            told: None,
        };
        town.turn(What::ChangePosted { service: id("shop"), change });
        town.deploy("v2", errors(0.30));
        town.run("17m");
        assert_eq!((town.rollbacks(), town.serving()), (1, "v1".into()));
        let changes = &town.shop().changes;
        assert!(changes.iter().all(|it| it.component == Component::Application), "{changes:?}");
        town.place().versions.insert("v1".into(), HEALTHY);
    });
}

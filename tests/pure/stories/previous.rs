//! A Deployment that says itself what its version before was: for a person who has nothing better.

use rollbackd::domain::{
    change::Revision,
    event::Said,
    owner::OwnerRule,
    previous::{Names, NewImage, Previous},
};

use super::{
    brief,
    owners::deployment,
    place::{HEALTHY, OUTAGE},
    policy::shop,
    town::Town,
};

fn names(version: &str) -> Option<Previous> {
    let (container, image) = ("app".to_owned(), format!("registry.example/shop:{version}"));
    let image = NewImage { container, image, revision: Revision::named(version) };
    says(Names::Image(Box::new(image)))
}

fn says(names: Names) -> Option<Previous> {
    Some(Previous { annotation: "previous-version".into(), names })
}

fn back(reason: &str) -> Said {
    Said::RollBack { to: None, to_previous: true, plan: None, reason: reason.into() }
}

/// A bad version comes, and the cluster has forgotten the good one.
fn breaks(town: &mut Town, previous: Option<Previous>) {
    let place = town.place();
    place.owners = Some(vec![]);
    place.previous = previous;
    place.gone = ["v0".to_owned(), "v1".to_owned()].into();
    place.versions.insert("v0".into(), HEALTHY);
    town.deploy("v2", OUTAGE);
    town.run("3m");
}

#[test]
fn what_an_annotation_names_is_offered_where_nothing_else_is_left_and_only_a_person_goes_there() {
    let told = brief(deployment(OwnerRule::Page), |town| {
        breaks(town, names("v0"));
        town.run("10m");
        assert_eq!((town.rollbacks(), town.serving()), (0, "v2".into()));
        let said = town.says("ada", back("it worked on Monday")).unwrap();
        assert!(said.contains("application v2 -> v0"), "{said}");
        town.run("1m");
        assert_eq!((town.rollbacks(), town.serving()), (1, "v0".into()));
        let done = &town.place().done;
        assert_eq!(*done, ["set registry.example/shop:v0", "rollout of v0"]);
    });
    let why = "guards that refuse: nowhere-safe: v1, the last known good, is not there any more; it says itself that registry.example/shop:v0 was before, which was not seen to serve well: `rollbackd rollback shop/production --to-previous-version --reason '…'`";
    assert!(told.contains(why), "{told}");
}

#[test]
fn why_an_annotation_is_no_way_back_is_said_and_it_is_not_offered() {
    let malformed = says(Names::Nothing("it says \"a b\", which is no tag of an image".into()));
    for (previous, why) in [
        (None, "its Deployment has no annotation previous-version"),
        (malformed, "its annotation previous-version cannot be used: it says \"a b\""),
        (
            names("v2"),
            "registry.example/shop:v2, which its annotation previous-version names, is what is set already (v2)",
        ),
    ] {
        let told = brief(deployment(OwnerRule::Page), |town| {
            breaks(town, previous.clone());
            let refused = town.says("ada", back("please")).unwrap_err();
            assert!(refused.starts_with(why), "{refused}");
            town.run("1m");
            assert_eq!((town.rollbacks(), town.serving()), (0, "v2".into()));
        });
        assert!(!told.contains("--to-previous-version"), "{told}");
    }
    brief(shop(), |town| {
        town.deploy("v2", OUTAGE);
        let refused = town.says("ada", back("please")).unwrap_err();
        assert!(refused.contains("that takes a Deployment"), "{refused}");
        town.run("3m");
    });
}

#[test]
fn what_was_rolled_away_from_is_not_gone_back_to_by_its_annotation_either() {
    brief(deployment(OwnerRule::Page), |town| {
        town.place().owners = Some(vec![]);
        town.deploy("v2", OUTAGE);
        town.run("3m");
        assert_eq!((town.rollbacks(), town.serving()), (1, "v1".into()));
        town.run("30m");
        breaks(town, None);
        town.deploy("v3", OUTAGE);
        town.run("3m");
        town.place().previous = names("v2");
        town.run("1m");
        let refused = town.says("ada", back("please")).unwrap_err();
        assert_eq!(refused, "v2 was itself rolled away from; `rollbackd lift` it first");
        // The same image in the template that is set now has another hash.
        town.place().previous = names("v2+0123");
        town.run("1m");
        let refused = town.says("ada", back("please")).unwrap_err();
        assert!(refused.starts_with("v2, which has the same tag, was itself"), "{refused}");
    });
}

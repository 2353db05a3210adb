//! A version whose images a registry has no more.

use rollbackd::{
    domain::{
        event::Said as Word,
        image::{Image, Said},
        owner::OwnerRule,
    },
    units::UnixMs,
};

use super::{brief, owners::deployment, place::OUTAGE, town::Town};

fn image(said: Said) -> Image {
    let (name, registry) = ("registry.example/shop:v1".into(), "registry.example".into());
    Image { name, registry, said, asked_at: UnixMs(1), since: Some(UnixMs(0)) }
}

/// A bad version comes, and of the image of the good one this is said.
fn breaks(town: &mut Town, said: Said) {
    town.place().owners = Some(vec![]);
    town.place().versions.insert("v0".into(), OUTAGE);
    town.place().images.insert("v1".into(), vec![image(said)]);
    town.deploy("v2", OUTAGE);
    town.run("3m");
}

#[test]
fn what_a_registry_has_no_more_is_gone_back_to_by_nobody_but_a_person() {
    let told = brief(deployment(OwnerRule::Page), |town| {
        breaks(town, Said::Gone);
        assert_eq!((town.rollbacks(), town.serving()), (0, "v2".into()));
        let reason = "all nodes hold it".to_owned();
        town.says("ada", Word::RollBack { to: None, to_previous: false, plan: None, reason })
            .unwrap();
        town.run("1m");
        assert_eq!((town.rollbacks(), town.serving()), (1, "v1".into()));
    });
    let why = "guards that refuse: nowhere-safe: registry.example has no registry.example/shop:v1 any more";
    assert!(told.contains(why), "{told}");
    assert!(told.contains("the platform offers v0 to a person's choice"), "{told}");
}

#[test]
fn a_tag_that_stands_for_another_image_than_when_it_served_well_is_a_persons_choice() {
    let told = brief(deployment(OwnerRule::Page), |town| {
        let at = |digest: &str| image(Said::There { digest: Some(digest.to_owned()) });
        town.place().owners = Some(vec![]);
        town.place().images.insert("v1".into(), vec![at("sha256:good")]);
        town.run("5m");
        breaks(town, Said::There { digest: Some("sha256:pushed-again".into()) });
        assert_eq!((town.rollbacks(), town.serving()), (0, "v2".into()));
    });
    let why = "nowhere-safe: registry.example/shop:v1 stands for another image than when v1 was known good (sha256:good then, sha256:pushed-again now)";
    assert!(told.contains(why), "{told}");
}

#[test]
fn who_cannot_be_asked_keeps_nothing_from_being_rolled_back() {
    for said in [Said::There { digest: None }, Said::Unknown("no answer within 5s".into())] {
        brief(deployment(OwnerRule::Page), |town| {
            breaks(town, said.clone());
            assert_eq!((town.rollbacks(), town.serving()), (1, "v1".into()), "{said:?}");
        });
    }
}

#[test]
fn what_is_there_again_is_gone_back_to_without_a_person() {
    let told = brief(deployment(OwnerRule::Page), |town| {
        breaks(town, Said::Gone);
        assert_eq!((town.rollbacks(), town.serving()), (0, "v2".into()));
        town.place().images.insert("v1".into(), vec![image(Said::There { digest: None })]);
        town.run("1m");
        assert_eq!((town.rollbacks(), town.serving()), (1, "v1".into()));
    });
    assert!(told.contains("nowhere-safe: registry.example has no"), "{told}");
}

#[test]
fn what_was_said_once_keeps_nothing_from_being_rolled_back() {
    brief(deployment(OwnerRule::Page), |town| {
        let once = Image { since: None, ..image(Said::Gone) };
        town.place().owners = Some(vec![]);
        town.place().versions.insert("v0".into(), OUTAGE);
        town.place().images.insert("v1".into(), vec![once]);
        town.deploy("v2", OUTAGE);
        town.run("3m");
        assert_eq!((town.rollbacks(), town.serving()), (1, "v1".into()));
    });
}

/// An init container that was built anew by whoever makes it.
#[test]
fn what_the_version_that_is_set_uses_too_keeps_nothing_from_being_rolled_back() {
    let beside = |said: Said| Image { name: "busybox:1.36".into(), ..image(said) };
    let at = |digest: &str| Said::There { digest: Some(digest.to_owned()) };
    for said in [at("sha256:rebuilt"), Said::Gone] {
        brief(deployment(OwnerRule::Page), |town| {
            town.place().owners = Some(vec![]);
            town.place().images.insert("v1".into(), vec![beside(at("sha256:good"))]);
            town.run("5m");
            town.place().images.insert("v1".into(), vec![beside(said.clone())]);
            town.place().images.insert("v2".into(), vec![beside(said.clone())]);
            town.deploy("v2", OUTAGE);
            town.run("3m");
            assert_eq!((town.rollbacks(), town.serving()), (1, "v1".into()), "{said:?}");
        });
    }
}

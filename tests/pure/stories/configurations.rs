//! What pods read beside their image: it changes with the application, without it, and goes back as it came.

use rollbackd::domain::{
    change::{Component, Revision},
    event::Said,
    owner::OwnerRule,
    policy::Policy,
};

use super::{
    brief,
    owners::deployment,
    place::{HEALTHY, OUTAGE},
    story,
    town::Town,
};

fn policy() -> Policy {
    deployment(OwnerRule::Page)
}

/// A shop whose pods read `settings`, and have done so well for long enough.
fn reads_well(town: &mut Town) {
    town.place().with.insert("bad".into(), OUTAGE);
    town.edit("settings", "good", true);
    town.run("40m");
}

fn configuration(town: &Town) -> Revision {
    town.shop().ledger.serving(Component::Configuration).unwrap().clone()
}

fn is_known_good(town: &Town) -> bool {
    let serving = configuration(town);
    let entry = town.shop().ledger.entry(Component::Configuration, &serving).unwrap();
    entry.known_good_at.is_some()
}

#[test]
fn what_pods_read_at_the_first_look_is_no_change_and_earns_known_good_like_a_version() {
    story(policy(), |town| {
        reads_well(town);
        assert!(town.shop().changes.last().is_none(), "{:?}", town.shop().changes);
        assert!(is_known_good(town));
    });
}

#[test]
fn a_map_that_is_edited_and_hurts_goes_back_alone_and_the_pods_are_started_anew() {
    let told = brief(policy(), |town| {
        reads_well(town);
        let good = configuration(town);
        town.edit("settings", "bad", true);
        let change = town.shop().changes.last().unwrap().clone();
        assert_eq!(change.component, Component::Configuration);
        assert_eq!(change.from.as_ref(), Some(&good));
        let called = change.told.as_ref().and_then(|told| told.called.clone());
        assert_eq!(called.as_deref(), Some("ConfigMap settings"));
        town.run("5m");
        assert_eq!(
            town.place().done,
            ["restore settings to good", "restart at v1", "rollout of v1"]
        );
        assert_eq!(configuration(town), good);
        let steps = town.notices("Rollback in Progress")[0].lines.join("; ");
        let why = "only the configuration goes back, and the pods are started anew: ";
        assert!(steps.contains(why) && steps.contains("came when v1 had served well"), "{steps}");
        town.run("2h");
        assert_eq!(town.rollbacks(), 1);
        assert!(town.shop().changes.last().is_some_and(|change| change.is_rollback));
    });
    assert!(told.contains("closed: rolled back and verified"), "{told}");
}

#[test]
fn what_changed_together_goes_back_together_the_configuration_first_in_one_rollout() {
    story(policy(), |town| {
        reads_well(town);
        let wall = town.wall();
        town.place().edit("settings", "new", wall);
        town.deploy("v2", OUTAGE);
        town.run("5m");
        assert_eq!(town.place().done, ["restore settings to good", "undo to v1", "rollout of v1"]);
    });
}

#[test]
fn an_application_that_comes_to_a_configuration_that_had_served_well_goes_back_alone() {
    story(policy(), |town| {
        reads_well(town);
        town.edit("settings", "better", true);
        town.run("40m");
        assert!(is_known_good(town));
        town.deploy("v2", OUTAGE);
        town.run("5m");
        assert_eq!(town.place().done, ["undo to v1", "rollout of v1"]);
        let steps = town.notices("Rollback in Progress")[0].lines.join("; ");
        assert!(steps.contains("was known good before v2 came"), "{steps}");
    });
}

/// That something was deleted stands nowhere with a time: the last deployment is not when, and an hour of health before is no merit of what is
/// left.
#[test]
fn what_lost_a_part_has_done_so_now_and_earns_known_good_from_now_on() {
    story(policy(), |town| {
        let wall = town.wall();
        town.place().edit("extra", "more", wall);
        reads_well(town);
        town.deploy("v2", HEALTHY);
        town.run("40m");
        let good = configuration(town);
        town.place().maps.remove("extra");
        let wall = town.wall();
        town.run("1m");
        let change = town.shop().changes.last().unwrap().clone();
        assert_eq!((change.component, &change.from), (Component::Configuration, &Some(good)));
        assert!(change.started_at >= wall, "{change:?}");
        assert!(!is_known_good(town));
        town.run("40m");
        assert!(is_known_good(town));
    });
}

/// Nobody restarted anything, and the next deployment's pods are the first that read it.
#[test]
fn what_no_pod_has_read_is_not_known_good_and_goes_back_with_what_read_it_first() {
    story(policy(), |town| {
        reads_well(town);
        town.edit("settings", "bad", false);
        town.run("2h");
        assert!(!is_known_good(town), "all is well, and nobody has read it");
        town.deploy("v2", HEALTHY);
        town.run("5m");
        assert_eq!(town.place().done, ["restore settings to good", "undo to v1", "rollout of v1"]);
    });
}

#[test]
fn what_nobody_can_tell_is_no_change_and_keeps_no_application_from_going_back() {
    story(policy(), |town| {
        reads_well(town);
        town.place().maps_unknown = Some("forbidden".into());
        town.run("10m");
        assert!(town.shop().changes.last().is_none());
        town.deploy("v2", OUTAGE);
        town.run("5m");
        assert_eq!(town.place().done, ["undo to v1", "rollout of v1"]);
        let steps = town.notices("Rollback in Progress")[0].lines.join("; ");
        let told = "only the application goes back: what its pods read is unknown (forbidden)";
        assert!(steps.contains(told), "{steps}");
    });
}

#[test]
fn a_secret_that_changed_is_told_and_left_to_people_for_nobody_keeps_what_it_held() {
    let told = brief(policy(), |town| {
        town.place().secret = Some("settings".into());
        reads_well(town);
        town.edit("settings", "bad", true);
        town.run("10m");
        assert_eq!(town.rollbacks(), 0);
        assert!(town.place().done.is_empty());
    });
    let why = "Secret settings is not what it was when config-";
    assert!(told.contains(why) && told.contains("its content is nowhere kept"), "{told}");
}

#[test]
fn whoever_sets_back_by_hand_what_hurt_is_not_overruled_and_it_is_verified() {
    story(policy(), |town| {
        reads_well(town);
        town.place().with.insert("bad".into(), super::place::errors(0.06));
        town.edit("settings", "bad", true);
        town.run("7m");
        assert!(town.shop().incident.is_some());
        town.edit("settings", "good", true);
        town.run("2h");
        assert_eq!(town.rollbacks(), 0);
    });
}

#[test]
fn what_was_rolled_away_from_and_is_set_again_is_a_page() {
    story(policy(), |town| {
        reads_well(town);
        town.edit("settings", "bad", true);
        town.run("3h");
        town.edit("settings", "bad", false);
        let pages = town.notices("is set again");
        assert_eq!(pages.len(), 1);
        assert!(pages[0].subject.contains("config-"), "{}", pages[0].subject);
    });
}

#[test]
fn a_person_names_a_configuration_or_a_version_as_it_is_called() {
    story(policy(), |town| {
        reads_well(town);
        let good = configuration(town);
        town.edit("settings", "other", true);
        town.run("1m");
        let to = |version: &str| Said::RollBack {
            to: Some(version.to_owned()),
            to_previous: false,
            plan: None,
            reason: "asked".into(),
        };
        let reply = town.says("ada", to(&good.version)).unwrap();
        assert!(reply.contains(&format!("-> {good}: plan")), "{reply}");
        town.run("1m");
        assert_eq!(
            town.place().done,
            ["restore settings to good", "restart at v1", "rollout of v1"]
        );
        let again = town.says("ada", to(&good.version));
        assert!(again.is_err(), "it is what pods are given already, or under way: {again:?}");
    });
}

/// A node that is drained makes all pods anew: what they read has served well for days.
#[test]
fn pods_that_are_made_again_make_no_old_configuration_new() {
    story(policy(), |town| {
        reads_well(town);
        town.edit("settings", "better", true);
        town.run("2h");
        assert!(is_known_good(town));
        let before = town.shop().changes.last().cloned();
        let wall = town.wall();
        town.place().restart(wall);
        town.run("10m");
        assert_eq!(town.shop().changes.last().cloned(), before, "it changed two hours ago");
        town.behaves(OUTAGE);
        town.run("20m");
        assert!(town.place().done.is_empty(), "{:?}", town.place().done);
    });
}

/// A map that programs write again and again never serves for long enough: a bad release is not to stay for that.
#[test]
fn a_configuration_that_was_never_known_good_keeps_no_bad_release_where_it_is() {
    story(policy(), |town| {
        town.edit("settings", "a", true);
        town.run("10m");
        town.edit("settings", "b", true);
        town.run("10m");
        town.deploy("v2", OUTAGE);
        town.run("5m");
        assert_eq!(town.place().done, ["undo to v1", "rollout of v1"]);
        let steps = town.notices("Rollback in Progress")[0].lines.join("; ");
        assert!(steps.contains("only the application goes back: what its pods read"), "{steps}");
    });
}

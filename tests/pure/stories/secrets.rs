//! A secret of AWS that a service reads: another version of it is a change, and goes back to an exact one.

use rollbackd::{
    domain::{
        change::{Component, Revision},
        owner::OwnerRule,
        policy::Policy,
        runbook::SecretRunbook,
        secret::SecretAt,
        service::Mode,
    },
    units::Span,
};

use super::{
    brief,
    owners::deployment,
    place::{HEALTHY, OUTAGE},
    policy::shop_with,
    story,
    town::Town,
};

fn reads() -> Vec<SecretRunbook> {
    vec![SecretRunbook {
        name: "db".into(),
        at: SecretAt { account: "main".into(), secret: "production/shop/db".into() },
        timeout: Span::minutes(1),
        attempts: 2,
    }]
}

fn on_a_machine() -> Policy {
    shop_with(|shop| shop.runbook.as_mut().unwrap().secrets = reads())
}

fn in_a_cluster() -> Policy {
    let mut policy = deployment(OwnerRule::Page);
    let (_, shop) = policy.services.iter_mut().next().unwrap();
    std::sync::Arc::make_mut(shop).runbook.as_mut().unwrap().secrets = reads();
    policy
}

/// A shop that reads version `good`, and has done so well for long enough.
fn reads_well(town: &mut Town) {
    town.place().aws = Some("db".into());
    town.place().with.insert("bad".into(), OUTAGE);
    town.edit("db", "good", true);
    town.run("40m");
}

fn in_pods(town: &mut Town) {
    town.place().owners = Some(vec![]);
    reads_well(town);
}

fn configuration(town: &Town) -> Revision {
    town.shop().ledger.serving(Component::Configuration).unwrap().clone()
}

fn is_known_good(town: &Town) -> bool {
    let serving = configuration(town);
    let entry = town.shop().ledger.entry(Component::Configuration, &serving).unwrap();
    entry.known_good_at.is_some() && entry.quarantine.is_none()
}

#[test]
fn a_version_that_hurts_goes_back_to_exactly_the_one_that_served_well_and_pods_start_anew() {
    let told = brief(in_a_cluster(), |town| {
        in_pods(town);
        let good = configuration(town);
        assert!(is_known_good(town) && town.shop().changes.last().is_none());
        // What was current before the bad one is no more than that.
        town.edit("db", "between", true);
        town.run("2m");
        town.edit("db", "bad", true);
        let change = town.shop().changes.last().unwrap().clone();
        assert_eq!(change.component, Component::Configuration);
        let called = change.told.as_ref().and_then(|told| told.called.clone());
        assert_eq!(called.as_deref(), Some("AWS secret db"));
        town.run("5m");
        assert_eq!(town.place().done, ["move db to good", "restart at v1", "rollout of v1"]);
        assert_eq!(configuration(town), good);
        town.run("2h");
        assert_eq!(town.rollbacks(), 1);
    });
    assert!(told.contains("closed: rolled back and verified"), "{told}");
}

#[test]
fn on_a_machine_it_is_restarted_although_its_version_serves() {
    let told = brief(on_a_machine(), |town| {
        reads_well(town);
        town.edit("db", "bad", true);
        town.run("5m");
        assert_eq!(town.place().done, ["move db to good", "restart on v1"]);
        let steps = town.notices("Rollback in Progress")[0].lines.join("; ");
        assert!(steps.contains("only the configuration goes back, and it is restarted"), "{steps}");
        town.run("2h");
        assert!(is_known_good(town));
    });
    assert!(told.contains("closed: rolled back and verified"), "{told}");
}

#[test]
fn what_changed_together_goes_back_together_the_secret_first() {
    story(in_a_cluster(), |town| {
        in_pods(town);
        let wall = town.wall();
        town.place().edit("db", "new", wall);
        town.deploy("v2", OUTAGE);
        town.run("5m");
        assert_eq!(town.place().done, ["move db to good", "undo to v1", "rollout of v1"]);
    });
    story(on_a_machine(), |town| {
        reads_well(town);
        let wall = town.wall();
        town.place().edit("db", "new", wall);
        town.deploy("v2", OUTAGE);
        town.run("5m");
        assert_eq!(town.place().done, ["move db to good", "switch to v1", "restart on v1"]);
    });
}

#[test]
fn a_version_that_nobody_has_read_is_not_known_good_however_long_all_is_well() {
    story(in_a_cluster(), |town| {
        in_pods(town);
        town.edit("db", "bad", false);
        town.run("2h");
        assert!(!is_known_good(town));
        town.deploy("v2", HEALTHY);
        town.run("5m");
        assert_eq!(town.place().done, ["move db to good", "undo to v1", "rollout of v1"]);
    });
}

#[test]
fn a_version_that_aws_has_deleted_is_left_to_people() {
    let told = brief(in_a_cluster(), |town| {
        in_pods(town);
        town.edit("db", "bad", true);
        town.place().deleted.insert("good".into());
        town.run("10m");
        assert_eq!((town.rollbacks(), town.place().done.len()), (0, 0));
    });
    assert!(told.contains("version good is not there any more"), "{told}");
}

#[test]
fn what_aws_rotates_is_left_to_people_unless_they_said_otherwise() {
    let told = brief(in_a_cluster(), |town| {
        in_pods(town);
        town.place().bars = Some("AWS rotates it".into());
        town.edit("db", "bad", true);
        town.run("10m");
        assert!(town.place().done.is_empty());
    });
    assert!(told.contains("AWS secret db does not go back to config-"), "{told}");
    assert!(told.contains("AWS rotates it"), "{told}");
}

#[test]
fn an_aws_that_does_not_answer_keeps_no_bad_release_where_it_is() {
    story(on_a_machine(), |town| {
        reads_well(town);
        town.place().maps_unknown = Some("secretsmanager:DescribeSecret was throttled".into());
        town.run("10m");
        assert!(town.shop().changes.last().is_none(), "what nobody can tell is no change");
        town.deploy("v2", OUTAGE);
        town.run("5m");
        assert_eq!(town.place().done, ["switch to v1", "restart on v1"]);
        let steps = town.notices("Rollback in Progress")[0].lines.join("; ");
        assert!(steps.contains("is unknown (secretsmanager:DescribeSecret"), "{steps}");
    });
}

#[test]
fn who_is_only_observed_is_told_and_nothing_is_moved() {
    let mut policy = in_a_cluster();
    let (_, shop) = policy.services.iter_mut().next().unwrap();
    std::sync::Arc::make_mut(shop).mode = Mode::Observe;
    story(policy, |town| {
        in_pods(town);
        town.edit("db", "bad", true);
        town.run("10m");
        assert!(town.place().done.is_empty());
    });
}

#[test]
fn what_was_rolled_away_from_and_is_current_again_is_a_page() {
    story(in_a_cluster(), |town| {
        in_pods(town);
        town.edit("db", "bad", true);
        town.run("3h");
        town.edit("db", "bad", false);
        assert_eq!(town.notices("is set again").len(), 1);
    });
}

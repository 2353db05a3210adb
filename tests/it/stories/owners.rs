//! A Deployment that something else sets, too.

use rollbackd::domain::{
    event::Said,
    owner::{Owner, OwnerRule},
    policy::Policy,
    runbook::{ApplicationRunbook, DeploymentRunbook},
};
use rollbackd::units::Span;

use super::{brief, place::OUTAGE, policy::shop_with, story, town::Town};

/// A shop that is a Deployment.
fn deployment(owner: OwnerRule) -> Policy {
    shop_with(|shop| {
        let runbook = shop.runbook.as_mut().unwrap();
        runbook.application = ApplicationRunbook::Deployment(DeploymentRunbook {
            cluster: "main".into(),
            namespace: "shop".into(),
            name: "checkout".into(),
            undo_timeout: Span::seconds(30),
            rollout_timeout: Span::minutes(10),
            attempts: 2,
            owner,
        });
    })
}

fn argo_cd() -> Owner {
    Owner::ArgoCd { application: "web".into(), namespace: None }
}

fn operator() -> Owner {
    Owner::Operator { kind: "Shop".into(), name: "eu".into() }
}

fn helm() -> Owner {
    Owner::Helm { release: Some("web".into()), namespace: Some("shop".into()) }
}

/// A bad version comes to a Deployment with these owners.
fn breaks(town: &mut Town, owners: &[Owner]) {
    town.place().owners = Some(owners.to_vec());
    town.deploy("v2", OUTAGE);
    town.run("3m");
}

#[test]
fn what_would_be_put_back_is_rolled_back_by_nobody_but_a_person() {
    for owner in [argo_cd(), operator()] {
        let told = brief(deployment(OwnerRule::Page), |town| {
            breaks(town, &[helm(), owner.clone()]);
            assert_eq!((town.rollbacks(), town.serving()), (0, "v2".into()));
            let reason = "it is suspended".to_owned();
            town.says("ada", Said::RollBack { to: None, reason }).unwrap();
            town.run("1m");
            assert_eq!((town.rollbacks(), town.serving()), (1, "v1".into()));
            let told = town.notices("Rollback in Progress");
            assert!(told[0].lines.contains(&owner.outlook(OwnerRule::Page)), "{:?}", told[0].lines);
        });
        let why = format!("guards that refuse: owner: {owner} would put v2 back: ");
        assert!(told.contains(&why), "{told}");
    }
}

#[test]
fn a_deployment_of_nobody_else_or_of_a_helm_release_is_rolled_back_as_ever() {
    for owners in [vec![], vec![helm()]] {
        story(deployment(OwnerRule::Page), |town| {
            breaks(town, &owners);
            assert_eq!((town.rollbacks(), town.serving()), (1, "v1".into()));
            let told = town.notices("Rollback in Progress");
            let told = told[0].lines.join("; ");
            assert_eq!(told.contains("the next `helm upgrade` does"), !owners.is_empty(), "{told}");
        });
    }
}

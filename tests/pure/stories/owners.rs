//! A Deployment that something else sets, too.

use rollbackd::domain::{
    event::Said,
    owner::{Owner, OwnerRule},
    policy::Policy,
    runbook::{ApplicationRunbook, DeploymentRunbook},
};
use rollbackd::units::Span;

use super::{
    brief,
    place::{Behaviour, HEALTHY, OUTAGE},
    policy::shop_with,
    story,
    town::Town,
};

/// A shop that is a Deployment.
pub(super) fn deployment(owner: OwnerRule) -> Policy {
    shop_with(|shop| {
        let runbook = shop.runbook.as_mut().unwrap();
        runbook.application = ApplicationRunbook::Deployment(DeploymentRunbook {
            cluster: "main".into(),
            namespace: "shop".into(),
            name: "checkout".into(),
            undo_timeout: Span::seconds(30),
            rollout_timeout: Span::minutes(10),
            stuck_after: Span::minutes(1),
            attempts: 2,
            owner,
            argocd_namespace: "argocd".into(),
            previous: Some("previous-version".into()),
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
pub(super) fn breaks(town: &mut Town, owners: &[Owner]) {
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
            town.says("ada", Said::RollBack { to: None, to_previous: false, plan: None, reason })
                .unwrap();
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

/// A reconciler sets it back to v2.
fn fights_back(town: &mut Town, behaviour: Behaviour) {
    town.place().set_by = Some("argocd-controller".into());
    town.deploy("v2", behaviour);
}

#[test]
fn what_is_put_back_while_it_is_verified_or_watched_is_a_page_at_once() {
    for passes in ["10m", "40m"] {
        let told = brief(deployment(OwnerRule::Page), |town| {
            breaks(town, &[]);
            town.run(passes);
            town.place().owners = Some(vec![argo_cd()]);
            fights_back(town, HEALTHY);
            let pages = town.notices("yours now");
            assert_eq!((pages.len(), pages[0].at), (1, town.wall()));
            town.run("1m");
            assert_eq!(town.rollbacks(), 1);
        });
        let why = "v2 is set again, which shop-20260302120145 rolled away from, by argocd-controller; it is put back by Argo CD's application web";
        assert!(told.contains(&format!("escalated to people: {why}")), "{told}");
    }
}

#[test]
fn what_is_put_back_in_the_middle_of_a_rollback_is_told_before_the_rollback_halts() {
    let told = brief(deployment(OwnerRule::Page), |town| {
        town.place().owners = Some(vec![]);
        town.deploy("v2", OUTAGE);
        town.run("1m 51s");
        assert_eq!(town.place().done, ["undo to v1"]);
        fights_back(town, OUTAGE);
        assert_eq!(town.notices("is set again").len(), 1);
        town.run("1m");
        assert_eq!(town.serving(), "v2");
    });
    let halts = told.find("escalated to people: the rollback halted").unwrap();
    assert!(told.find("-> PAGE: shop/production: v2 is set again").unwrap() < halts, "{told}");
}

#[test]
fn what_is_put_back_after_all_is_over_is_paged_until_somebody_knows_or_it_is_gone() {
    story(deployment(OwnerRule::Page), |town| {
        breaks(town, &[]);
        town.run("2h");
        assert!(town.shop().incident.is_none());
        fights_back(town, HEALTHY);
        let again = |town: &Town| town.notices("set again").len();
        let reminded = |town: &Town| town.notices("still set again, nobody has acknowledged").len();
        assert_eq!((again(town), reminded(town)), (1, 0));
        town.run("11m");
        assert_eq!(reminded(town), 2);
        town.says("ada", Said::Acknowledge).unwrap();
        town.run("11m");
        assert_eq!(reminded(town), 2, "somebody knows");
        // Back, and put back once more: that is news.
        town.deploy("v1", HEALTHY);
        fights_back(town, HEALTHY);
        assert_eq!(again(town) - reminded(town), 2);
        town.says("ada", Said::Lift { version: "v2".into() }).unwrap();
        town.run("11m");
        assert_eq!(reminded(town), 2, "it is meant");
        assert!(town.shop().set_again.is_none() && !town.shop().page.is_open());
    });
}

#[test]
fn a_take_over_suspends_before_it_undoes_and_tells_how_to_resume_and_what_git_still_wants() {
    story(deployment(OwnerRule::TakeOver), |town| {
        breaks(town, &[argo_cd()]);
        assert_eq!(
            town.place().done,
            ["suspend Application argocd/web", "undo to v1", "rollout of v1"]
        );
        town.run("3h");
        for told in
            [&town.notices("Rollback Complete")[0], &town.notices("rolled back and verified")[0]]
        {
            let said = told.lines.join("; ");
            assert!(said.ends_with("take v2 back in git first; it stays suspended"), "{said}");
        }
        assert_eq!(town.place().done.len(), 3, "nobody but people resumes it");
    });
}

#[test]
fn a_take_over_of_what_cannot_be_suspended_is_a_page() {
    let told = brief(deployment(OwnerRule::TakeOver), |town| {
        breaks(town, &[argo_cd(), operator()]);
        assert_eq!((town.rollbacks(), town.place().done.len()), (0, 0));
    });
    assert!(told.contains("owner: the operator of Shop eu would put v2 back: "), "{told}");
}

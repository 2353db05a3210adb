//! The pods of a Deployment after a rollback: watched until it is verified, and not only until they came up.

use rollbackd::domain::{inventory::Pods, owner::OwnerRule, policy::Policy};

use super::{
    owners::{breaks, deployment},
    story,
    town::Town,
};

fn shop() -> Policy {
    deployment(OwnerRule::Page)
}

fn is_verified(town: &Town) -> bool {
    !town.notices("Rollback Complete").is_empty()
}

/// Rolled back, and looked at for ten minutes of the fifteen.
fn rolled_back(town: &mut Town) {
    breaks(town, &[]);
    assert_eq!((town.rollbacks(), town.serving()), (1, "v1".into()));
    town.run("10m");
}

#[test]
fn a_pod_that_restarts_begins_the_time_anew_for_which_all_must_be_well() {
    story(shop(), |town| {
        rolled_back(town);
        town.run("10m");
        assert!(is_verified(town), "none was restarted");
    });
    story(shop(), |town| {
        rolled_back(town);
        town.place().pods = Some(Pods { there: 3, ready: 3, restarts: 1, restarted_at: None });
        town.run("15m");
        assert!(!is_verified(town));
        town.run("2m");
        assert!(is_verified(town), "fifteen minutes after the minute in which it was restarted");
    });
}

#[test]
fn pods_that_are_not_ready_or_not_seen_keep_a_rollback_from_being_verified_and_people_read_why() {
    let one_missing = Some(Pods { there: 3, ready: 2, ..Pods::default() });
    for (pods, why) in [
        (one_missing, "its pods are ready: 2 of 3 pods of v1 are ready"),
        (None, "its pods are ready: nobody can tell what its pods do"),
    ] {
        let told = story(shop(), |town| {
            rolled_back(town);
            town.place().pods = pods;
            town.run("60m");
            assert!(!is_verified(town));
        });
        assert!(told.contains("could not be verified") && told.contains(why), "{told}");
    }
}

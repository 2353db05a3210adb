//! The pods of a Deployment while its rollback is verified: since when enough of them are ready, and when one of them was
//! last seen to have been started again.

use serde::{Deserialize, Serialize};

use super::ServiceWatch;
use crate::{
    domain::{
        change::Revision,
        event::Now,
        inventory::{Inventory, Pods},
        policy::{ServicePolicy, VerificationPolicy},
        state::ServiceState,
    },
    units::UnixMs,
};

/// What was seen of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PodsSeen {
    /// Of which version they are.
    pub of: Revision,
    /// How many are wanted.
    pub wanted: u32,
    /// As they were seen last.
    pub pods: Pods,
    /// Since when enough of them are ready, on the steady clock.
    pub ready_since: Option<UnixMs>,
    /// When one was last seen to have been started again, on the steady clock.
    pub restarted_at: Option<UnixMs>,
    /// Whether nothing was told of them in the newest look.
    pub unknown_now: bool,
}

impl PodsSeen {
    /// After another look. What was seen before an hour of silence is no less true: a restart in it shows in the counts.
    pub(super) fn after(
        before: Option<Self>,
        seen: &Inventory,
        policy: &VerificationPolicy,
        now: UnixMs,
    ) -> Option<Self> {
        let deployed = seen.deployed.as_ref();
        let pods = deployed.and_then(|deployed| Some((deployed.wanted, deployed.pods?)));
        let (Some(of), Some((wanted, pods))) = (&seen.linked, pods) else {
            return before.map(|before| Self { ready_since: None, unknown_now: true, ..before });
        };
        // Those of another version are other pods.
        let before = before.filter(|before| before.of == *of);
        let is_again = before.as_ref().is_some_and(|before| pods.were_restarted_since(before.pods));
        let restarted_at = before.as_ref().and_then(|before| before.restarted_at);
        let ready_since = before.as_ref().and_then(|before| before.ready_since).unwrap_or(now);
        let enough = is_enough(pods.ready, wanted, policy.min_ready);
        Some(Self {
            of: of.clone(),
            wanted,
            pods,
            ready_since: enough.then_some(ready_since),
            restarted_at: if is_again { Some(now) } else { restarted_at },
            unknown_now: false,
        })
    }
}

impl ServiceWatch {
    /// What was seen of a Deployment's pods since the rollback.
    pub fn pods_seen(&self) -> Option<&PodsSeen> {
        self.tallies.as_ref()?.pods.as_ref()
    }

    pub(super) fn see_pods(
        &mut self,
        seen: &Inventory,
        policy: &ServicePolicy,
        state: &ServiceState,
        now: Now,
    ) {
        self.follow_verification(state);
        if let Some(tallies) = &mut self.tallies {
            let before = tallies.pods.take();
            tallies.pods = PodsSeen::after(before, seen, &policy.verification, now.steady);
        }
    }
}

/// Whether so many ready pods are enough; none never are.
fn is_enough(ready: u32, wanted: u32, share: f64) -> bool {
    ready > 0 && f64::from(ready) >= share * f64::from(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        change::Component,
        inventory::{Deployed, Serving},
    };

    fn look(version: &str, pods: Option<Pods>) -> Inventory {
        Inventory {
            component: Component::Application,
            linked: Some(Revision::named(version)),
            running: Serving::Version(version.into()),
            switched_at: None,
            available: vec![],
            faults: vec![],
            told: None,
            read: None,
            deployed: pods.map(|pods| {
                Box::new(Deployed {
                    ran: vec![],
                    warnings: vec![],
                    previous: None,
                    uid: "u-1".into(),
                    wanted: 10,
                    stopped: None,
                    paused: false,
                    owners: vec![],
                    configuration: None,
                    pods: Some(pods),
                })
            }),
        }
    }

    fn pods(ready: u32, restarts: u32) -> Option<Pods> {
        Some(Pods { there: 10, ready, restarts, restarted_at: None })
    }

    fn after(before: Option<PodsSeen>, seen: &Inventory, at: i64) -> Option<PodsSeen> {
        PodsSeen::after(before, seen, &VerificationPolicy::default(), UnixMs(at))
    }

    #[test]
    fn enough_of_them_are_ready_since_the_first_of_the_looks_that_all_saw_it() {
        let seen = after(None, &look("v1", pods(8, 0)), 1);
        assert_eq!(seen.as_ref().unwrap().ready_since, None, "eight of ten");
        let seen = after(seen, &look("v1", pods(9, 0)), 2);
        let seen = after(seen, &look("v1", pods(10, 0)), 3);
        assert_eq!(seen.as_ref().unwrap().ready_since, Some(UnixMs(2)));
        let dark = after(seen.clone(), &look("v1", None), 4).unwrap();
        assert!(dark.unknown_now && dark.ready_since.is_none(), "nobody saw them");
        let again = after(Some(dark), &look("v1", pods(10, 0)), 5).unwrap();
        assert_eq!((again.ready_since, again.unknown_now), (Some(UnixMs(5)), false));
        let other = after(seen, &look("v2", pods(10, 0)), 6).unwrap();
        assert_eq!(other.ready_since, Some(UnixMs(6)), "those of another version");
        assert_eq!(after(None, &look("v1", None), 7), None);
    }

    #[test]
    fn a_restart_is_one_more_in_their_counts_or_a_later_end_of_a_container() {
        let restarts = |seen: &Option<PodsSeen>| seen.as_ref().unwrap().restarted_at;
        let seen = after(None, &look("v1", pods(10, 4)), 1);
        assert_eq!(restarts(&seen), None, "before anybody looked");
        let seen = after(seen, &look("v1", pods(10, 1)), 2);
        assert_eq!(restarts(&seen), None, "a pod is gone, and its restarts with it");
        let seen = after(after(seen, &look("v1", None), 3), &look("v1", pods(10, 2)), 4);
        assert_eq!(restarts(&seen), Some(UnixMs(4)), "while nobody could look");
        let seen = after(seen, &look("v1", pods(10, 2)), 5);
        assert_eq!(restarts(&seen), Some(UnixMs(4)), "it does not grow");
        let ended = |at| Pods { restarted_at: Some(UnixMs(at)), ..pods(10, 2).unwrap() };
        let seen = after(seen, &look("v1", Some(ended(70))), 6);
        assert_eq!(restarts(&seen), Some(UnixMs(6)), "one is gone, and another was restarted");
        let seen = after(seen, &look("v1", Some(ended(60))), 7);
        assert_eq!(restarts(&seen), Some(UnixMs(6)), "the newest of those that are left");
    }
}

//! Whether the pods of the restored version came up and stay up: looked at all the time, not only while the rollout was
//! waited for.

use super::{Check, Standing, check};
use crate::{
    domain::{
        change::Revision, runbook::ApplicationRunbook, situation::Situation, watch::PodsSeen,
    },
    units::UnixMs,
};

const READY: &str = "its pods are ready";
const RESTARTS: &str = "its pods are not restarted";

/// The checks of a Deployment's pods; none of what is no Deployment.
pub(super) fn checks(s: &Situation<'_>, target: Option<&Revision>) -> Vec<Check> {
    let application = s.policy.runbook.as_ref().map(|runbook| &runbook.application);
    let Some(ApplicationRunbook::Deployment(_)) = application else { return vec![] };
    let unknown = |why: &str| {
        [READY, RESTARTS].map(|name| check(name, Standing::Unknown, why)).into_iter().collect()
    };
    match (s.watch.pods_seen(), target) {
        (Some(seen), _) if seen.unknown_now => unknown("nobody can tell what its pods do"),
        (Some(seen), Some(target)) => {
            vec![ready(s, seen, target), restarts(s, seen)]
        }
        (None, _) | (_, None) => unknown("its pods were not looked at since the rollback"),
    }
}

fn ready(s: &Situation<'_>, seen: &PodsSeen, target: &Revision) -> Check {
    let PodsSeen { of, wanted, pods, ready_since, .. } = seen;
    if !of.agrees_with(target) {
        return check(READY, Standing::Failed, format!("they are to be of {of}, not of {target}"));
    }
    let share = format!("{} of {wanted} pods of {of} are ready", pods.ready);
    let Some(since) = ready_since else { return check(READY, Standing::Failed, share) };
    let (ready_for, least) = (s.now.steady.since(*since), s.policy.verification.ready_for);
    match ready_for >= least {
        true => check(READY, Standing::Passed, format!("{share}, for {ready_for}")),
        false => {
            let note = format!("{share}, for {ready_for}; at least {least} are asked for");
            check(READY, Standing::Failed, note)
        }
    }
}

fn restarts(s: &Situation<'_>, seen: &PodsSeen) -> Check {
    let in_all = seen.pods.restarts;
    let ago = |at: UnixMs| s.now.steady.since(at);
    match seen.restarted_at {
        Some(at) if ago(at) < s.policy.verification.ready_for => {
            let note = format!("one was started again {} ago, {in_all} times in all", ago(at));
            check(RESTARTS, Standing::Failed, note)
        }
        Some(at) => {
            let note = format!("none for {}, {in_all} times in all", ago(at));
            check(RESTARTS, Standing::Passed, note)
        }
        None => check(RESTARTS, Standing::Passed, "none since it is looked at"),
    }
}

//! Waiting until all of a Deployment's pods are of one version and available, as `kubectl rollout status` waits.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::{Live, api::Api, pods, refusal::Refusal};
use crate::{
    domain::{change::Revision, plan::DeploymentAt, run::Outcome},
    executors::{Attempt, Trouble},
    kubernetes::{status::Condition, trouble},
    units::Span,
};

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(1);
/// Of so many looks one is at the pods, too.
const LOOKS_OF_PODS: u32 = 3;

/// What a [`crate::domain::plan::Action::DeploymentRollout`] says.
pub(in crate::executors) struct Rollout<'a> {
    /// Which one.
    pub at: &'a DeploymentAt,
    /// What must serve.
    pub to: &'a Revision,
    /// After so long in which its pods say that they cannot start, they will not.
    pub stuck_after: Span,
}

/// Carries one out.
pub(in crate::executors) async fn rollout(
    attempt: &mut Attempt<'_>,
    rollout: Rollout<'_>,
) -> Result<Outcome, Trouble> {
    let Rollout { at, to, stuck_after } = rollout;
    let mut api: Option<Api> = None;
    let mut first = true;
    let mut stuck: Option<(String, Instant)> = None;
    let mut look = 0_u32;
    loop {
        // Whatever keeps it from being seen says nothing of the rollout: it is looked at again.
        let seen = look_at(&mut api, attempt, at).await;
        let is_seen = seen.is_ok();
        let (why, pause) = match seen {
            Ok(live) if !live.is_set_to(to) => {
                let now = live.in_words();
                let why = format!("somebody deployed in between, it is {now}, and not to {to}");
                return Err(Trouble::Failed { why, retry: false });
            }
            Ok(live) => match missing(&live) {
                None => {
                    attempt.after = "every pod is of it, and available".to_owned();
                    let was_there = first && !attempt.touched;
                    return Ok(if was_there { Outcome::AlreadyDone } else { Outcome::Done });
                }
                Some(why) if live.is_paused() => {
                    let why = format!(
                        "its rollout is paused, and stays so until somebody resumes it: {why}"
                    );
                    return Err(Trouble::Failed { why, retry: false });
                }
                Some(why) => {
                    let Some(api) = &api else { continue };
                    if look.is_multiple_of(LOOKS_OF_PODS) {
                        let before = stuck.take();
                        stuck = pods::hindrance(api, &live, to).await.map(|why| match before {
                            Some((same, since)) if same == why => (why, since),
                            Some(_) | None => (why, Instant::now()),
                        });
                    }
                    (why, PAUSE)
                }
            },
            Err(refusal @ Refusal::Gone(_)) => {
                return Err(refusal.trouble("looking at the Deployment", false));
            }
            Err(Refusal::Busy { why, pause }) => (why, pause),
            Err(Refusal::Refused { why, .. } | Refusal::Silent(why) | Refusal::Moved(why)) => {
                // Whatever proves who the daemon is, is read anew.
                api = None;
                (why, PAUSE)
            }
        };
        if attempt.before.is_empty() {
            attempt.before.clone_from(&why);
        }
        first = false;
        let why = match &stuck {
            Some((stuck, since)) if since.elapsed() >= stuck_after.duration() => {
                let why = format!("{to} does not come to serve: {stuck}");
                return Err(Trouble::Failed { why, retry: false });
            }
            Some((stuck, _)) => format!("{why}; {stuck}"),
            None => why,
        };
        attempt.after.clone_from(&why);
        if Instant::now() + pause >= attempt.until {
            return Err(too_late(to, &why, is_seen));
        }
        look = look.wrapping_add(1);
        sleep(pause).await;
    }
}

/// What could not be seen at the end is unknown: nothing may follow from it.
fn too_late(to: &Revision, why: &str, is_seen: bool) -> Trouble {
    match is_seen {
        true => {
            let why = format!("{to} did not come to serve in time: {why}");
            Trouble::Failed { why, retry: false }
        }
        false => Trouble::Unknown(format!("whether {to} serves could not be seen: {why}")),
    }
}

async fn look_at(
    api: &mut Option<Api>,
    attempt: &Attempt<'_>,
    at: &DeploymentAt,
) -> Result<Live, Refusal> {
    let opened = match api.take() {
        Some(api) => api,
        None => {
            let opened = Api::open(&attempt.options.clusters, at, attempt.until).await;
            opened.map_err(|trouble| Refusal::Silent(trouble.to_string()))?
        }
    };
    api.insert(opened).look().await
}

/// What is still missing until a rollout is complete. That it made no progress for long is said, and waited for: the
/// condition may be that of the rollout before.
pub(super) fn missing(live: &Live) -> Option<String> {
    let number = |at: &str| live.object.pointer(at).and_then(Value::as_i64).unwrap_or(0);
    if number("/status/observedGeneration") < live.generation() {
        return Some("its controller has not seen its newest state".to_owned());
    }
    let wanted = live.wanted();
    if wanted == 0 {
        return Some("it is scaled to 0 pods".to_owned());
    }
    let updated = number("/status/updatedReplicas");
    let all = number("/status/replicas");
    let available = number("/status/availableReplicas");
    let why = if updated < wanted {
        format!("{updated} of {wanted} pods are of it")
    } else if all > updated {
        format!("{} pods of another version are not gone yet", all - updated)
    } else if available < updated {
        format!("{available} of {updated} pods are available")
    } else {
        return None;
    };
    Some(format!("{why}{}", hindrance(live)))
}

/// What its controller complains of.
fn hindrance(live: &Live) -> String {
    let conditions = live.object.pointer("/status/conditions").cloned().unwrap_or_default();
    let conditions: Vec<Condition> = serde_json::from_value(conditions).unwrap_or_default();
    let mut said = trouble::of_controller(&conditions);
    if live.is_paused() {
        said.push("its rollout is paused".to_owned());
    }
    said.iter().map(|why| format!("; {why}")).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn missing_of(status: Value) -> Option<String> {
        missing(&Live::new(json!({
            "metadata": { "generation": 3 }, "spec": { "replicas": 3, "template": {} }, "status": status,
        })))
    }

    #[test]
    fn a_rollout_is_complete_when_all_pods_are_new_and_available_and_no_other_is_left() {
        let status = |seen: i64, updated: i64, all: i64, available: i64| json!({ "observedGeneration": seen, "updatedReplicas": updated, "replicas": all, "availableReplicas": available });
        assert_eq!(missing_of(status(3, 3, 3, 3)), None);
        let says = |status: Value| missing_of(status).unwrap_or_default();
        assert!(
            says(status(2, 3, 3, 3)).contains("not seen"),
            "what is told is of the specification before"
        );
        assert_eq!(says(status(3, 2, 4, 4)), "2 of 3 pods are of it");
        assert_eq!(says(status(3, 3, 4, 4)), "1 pods of another version are not gone yet");
        assert_eq!(says(status(3, 3, 3, 1)), "1 of 3 pods are available");
        assert_eq!(says(json!({ "observedGeneration": 3 })), "0 of 3 pods are of it");
    }

    #[test]
    fn what_hinders_it_is_said() {
        let said = missing_of(json!({ "observedGeneration": 3, "conditions": [
            { "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota" },
            { "type": "Available", "status": "False", "reason": "MinimumReplicasUnavailable", "message": "" },
        ] }));
        assert_eq!(
            said.unwrap(),
            "0 of 3 pods are of it; pods cannot be made (FailedCreate): exceeded quota"
        );
    }
}

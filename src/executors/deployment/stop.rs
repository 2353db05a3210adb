//! A Deployment without pods while its database is changed, and its pods back afterwards.
//!
//! How many it had is written beside it in the same patch that takes them away: whoever finds it at 0 reads there what it is to
//! have, and by which run. An autoscaler leaves a Deployment of 0 pods alone, and goes on when it has some again.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{
    Live,
    api::Api,
    patch,
    refusal::Refusal,
    undo::{LOOKS_MAX, looked, pause},
};
use crate::{
    domain::{plan::DeploymentAt, run::Outcome},
    executors::{Attempt, Trouble, failed},
    kubernetes::stopped,
};

/// Between two looks at the pods that are ending.
const PAUSE: Duration = Duration::from_secs(1);
/// So many of its pods are looked at.
const LISTED_MAX: u32 = 500;

/// Carries out a [`crate::domain::plan::Action::DeploymentStop`].
pub(in crate::executors) async fn stop(
    attempt: &mut Attempt<'_>,
    at: &DeploymentAt,
) -> Result<Outcome, Trouble> {
    let api = Api::open(&attempt.options.clusters, at, attempt.until).await?;
    let was_there = scale(attempt, &api, &To::Nothing).await?;
    loop {
        let (why, wait) = match left(&api).await {
            Ok(Left { wanted: 0, pods: 0 }) => {
                attempt.after = "it has no pod".to_owned();
                return Ok(if was_there { Outcome::AlreadyDone } else { Outcome::Done });
            }
            Ok(Left { wanted, .. }) if wanted > 0 => {
                let why = format!(
                    "somebody gave it {wanted} pods again while it was being stopped: nothing may write now"
                );
                return failed(why, false);
            }
            Ok(Left { pods, .. }) => (format!("{pods} of its pods are not gone yet"), PAUSE),
            Err(refusal @ (Refusal::Gone(_) | Refusal::Refused { .. })) => {
                return Err(refusal.trouble("waiting for its pods to end", true));
            }
            Err(Refusal::Busy { why, pause }) => (why, pause),
            Err(Refusal::Silent(why) | Refusal::Moved(why)) => (why, PAUSE),
        };
        attempt.after.clone_from(&why);
        if Instant::now() + wait >= attempt.until {
            return failed(format!("it was not stopped in time: {why}"), true);
        }
        sleep(wait).await;
    }
}

/// What a Deployment still has.
struct Left {
    /// How many pods it is to have.
    wanted: i64,
    /// How many are there or still ending; what has ended writes nothing.
    pods: usize,
}

async fn left(api: &Api) -> Result<Left, Refusal> {
    let live = api.look().await?;
    let unread = |why: String| Refusal::Refused { why, retry: false };
    let selector = live.selector().map_err(unread)?;
    let pods = api.list("api/v1", "pods", &selector, LISTED_MAX).await?;
    let is_there =
        |pod: &&Value| !matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    Ok(Left { wanted: live.wanted(), pods: pods.iter().filter(is_there).count() })
}

/// Carries out a [`crate::domain::plan::Action::DeploymentStart`]. That they serve is waited for by another step.
pub(in crate::executors) async fn start(
    attempt: &mut Attempt<'_>,
    at: &DeploymentAt,
    pods: u32,
) -> Result<Outcome, Trouble> {
    let api = Api::open(&attempt.options.clusters, at, attempt.until).await?;
    let was_there = scale(attempt, &api, &To::Had { otherwise: pods }).await?;
    Ok(if was_there { Outcome::AlreadyDone } else { Outcome::Done })
}

enum To {
    Nothing,
    /// What is written down beside it.
    Had {
        otherwise: u32,
    },
}

impl To {
    fn is_reached(&self, live: &Live, run: &str) -> bool {
        match self {
            // What an earlier run took away which then halted, this one is to give back.
            Self::Nothing => {
                live.wanted() == 0 && (had(live).is_none() || is_stopped_by(live, run))
            }
            Self::Had { .. } => live.wanted() > 0,
        }
    }

    fn doing(&self) -> &'static str {
        match self {
            Self::Nothing => "taking its pods away",
            Self::Had { .. } => "giving its pods back",
        }
    }

    /// They fail together when somebody scaled it since it was seen, or made another in its place.
    fn operations(&self, live: &Live, run: &str) -> Vec<Value> {
        let (meta, now) = (&live.object["metadata"], live.wanted());
        let (wanted, note) = match self {
            Self::Nothing => {
                let had = if now == 0 { had(live).unwrap_or(now) } else { now };
                (0, Some(stopped::note(had, run)))
            }
            Self::Had { otherwise } => (had(live).unwrap_or_else(|| i64::from(*otherwise)), None),
        };
        let mut all = vec![
            json!({ "op": "test", "path": "/metadata/uid", "value": meta["uid"] }),
            json!({ "op": "test", "path": "/spec/replicas", "value": now }),
            json!({ "op": "replace", "path": "/spec/replicas", "value": wanted }),
        ];
        all.extend(patch::annotations(meta, &[(stopped::ANNOTATION, note.as_deref())]));
        all
    }
}

/// Whether it was so before anything was done.
async fn scale(attempt: &mut Attempt<'_>, api: &Api, to: &To) -> Result<bool, Trouble> {
    let mut last = Refusal::Silent("it was not looked at".to_owned());
    for look in 0..LOOKS_MAX {
        let Some(live) = looked(attempt, api, look, &mut last).await? else { continue };
        attempt.after = in_words(&live);
        if look == 0 {
            attempt.before.clone_from(&attempt.after);
        }
        let run = &attempt.order.run;
        if to.is_reached(&live, run) {
            return Ok(look == 0 && !attempt.touched);
        }
        attempt.permits()?;
        attempt.touched = true;
        match api.patch(&to.operations(&live, &attempt.order.run)).await {
            Ok(live) if to.is_reached(&live, &attempt.order.run) => {
                attempt.after = in_words(&live);
                return Ok(false);
            }
            Ok(live) => {
                let now = in_words(&live);
                let why = format!(
                    "the API server made something else of it, {now}: an admission webhook changes it"
                );
                return failed(why, false);
            }
            // Whether it was done is seen by looking again.
            Err(refusal) => last = pause(attempt, refusal, to.doing(), look).await?,
        }
    }
    Err(last.trouble(to.doing(), attempt.touched))
}

fn note(live: &Live) -> Option<&str> {
    live.object["metadata"]["annotations"][stopped::ANNOTATION].as_str()
}

/// Whether this very run took its pods away: then it may have none.
pub(super) fn is_stopped_by(live: &Live, run: &str) -> bool {
    note(live).is_some_and(|note| stopped::is_by(note, run))
}

fn had(live: &Live) -> Option<i64> {
    note(live).and_then(stopped::had).map(i64::from)
}

fn in_words(live: &Live) -> String {
    match note(live) {
        Some(note) => format!("it is to have {} pods (stopped {note})", live.wanted()),
        None => format!("it is to have {} pods", live.wanted()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(pods: i64, note: Option<&str>) -> Live {
        let annotations =
            note.map_or_else(|| json!({}), |note| json!({ stopped::ANNOTATION: note }));
        Live::new(json!({
            "metadata": { "uid": "u", "annotations": annotations }, "spec": { "replicas": pods, "template": {} },
        }))
    }

    #[test]
    fn what_it_had_is_written_down_where_it_is_taken_away_and_read_when_it_is_given_back() {
        let asked = To::Nothing.operations(&live(5, None), "run-7");
        assert_eq!(asked[1]["value"], 5, "an autoscaler that comes between is seen");
        assert_eq!(asked[2]["value"], 0);
        let note = asked.last().unwrap()["value"].as_str().unwrap();
        let stopped = live(0, Some(note));
        assert!(is_stopped_by(&stopped, "run-7") && !is_stopped_by(&stopped, "run-8"));
        assert_eq!(in_words(&stopped), "it is to have 0 pods (stopped from 5 pods by run run-7)");
        let back = To::Had { otherwise: 3 };
        let asked = back.operations(&stopped, "run-7");
        assert_eq!((&asked[1]["value"], &asked[2]["value"]), (&json!(0), &json!(5)));
        assert_eq!(asked.last().unwrap()["op"], "remove");
        for odd in [
            None,
            Some("gone"),
            Some("from 0 pods by run run-7"),
            Some("from 99999999999 pods by x"),
        ] {
            assert_eq!(back.operations(&live(0, odd), "run-7")[2]["value"], 3, "{odd:?}");
        }
    }
}

//! What keeps the pods of a version from serving, asked while a rollout is waited for: so that people know why, and not
//! only after all the time it may take.

use serde_json::Value;

use super::{Live, api::Api, refusal::Refusal};
use crate::{
    domain::change::Revision,
    kubernetes::{
        status::PodStatus,
        template::{HASH_LABEL, Template},
        trouble,
    },
    units::UnixMs,
};

/// So many of a version's pods say what is wrong with all of them.
const LISTED_MAX: u32 = 100;

/// So many are looked through for one that was made since.
const COUNTED_MAX: u32 = 1_000;

/// Why none of its pods that are not ready will be, as far as they say so; nothing where one may still come, where they are
/// few, or where nobody could be asked: then it is waited for.
pub(super) async fn hindrance(api: &Api, live: &Live, version: &Revision) -> Option<String> {
    let selector = live.selector().ok()?;
    let sets = api.list("apis/apps/v1", "replicasets", &selector, LISTED_MAX).await.ok()?;
    let hash = sets.iter().find_map(|set| hash_of(set, live, version))?;
    let of_hash = format!("{selector},{HASH_LABEL}={hash}");
    let pods = api.list("api/v1", "pods", &of_hash, LISTED_MAX).await.ok()?;
    of_pods(&pods)
}

/// How many pods of a version that are not being ended were made since then.
pub(super) async fn made_since(
    api: &Api,
    live: &Live,
    version: &Revision,
    since: UnixMs,
) -> Result<usize, Refusal> {
    let unread = |why: String| Refusal::Refused { why, retry: false };
    let selector = live.selector().map_err(unread)?;
    let sets = api.list("apis/apps/v1", "replicasets", &selector, LISTED_MAX).await?;
    let hashes: Vec<String> = sets.iter().filter_map(|set| hash_of(set, live, version)).collect();
    if hashes.is_empty() {
        return Ok(0);
    }
    let of_hashes = format!("{selector},{HASH_LABEL} in ({})", hashes.join(","));
    let pods = api.list("api/v1", "pods", &of_hashes, COUNTED_MAX).await?;
    Ok(pods.iter().filter(|pod| is_made_since(&pod["metadata"], since)).count())
}

/// One of which nobody can tell counts, too. The API server tells whole seconds.
fn is_made_since(meta: &Value, since: UnixMs) -> bool {
    let made = meta["creationTimestamp"].as_str().and_then(|at| at.parse::<jiff::Timestamp>().ok());
    let second = since.0.div_euclid(1_000);
    meta["deletionTimestamp"].is_null() && made.is_none_or(|made| made.as_second() >= second)
}

fn of_pods(pods: &[Value]) -> Option<String> {
    let mut said: Option<String> = None;
    let (mut all, mut stuck) = (0, 0);
    for pod in pods.iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null()) {
        all += 1;
        let status: PodStatus = serde_json::from_value(pod["status"].clone()).unwrap_or_default();
        if !status.is_ready() {
            // One that crashed and runs again may yet come to be ready.
            let trouble =
                trouble::of_pod(&status).filter(|trouble| trouble.runs_since.is_none())?;
            said = Some(trouble.to_string());
            stuck += 1;
        }
    }
    said.filter(|_| trouble::is_of_version(stuck, all))
}

fn hash_of(set: &Value, live: &Live, version: &Revision) -> Option<String> {
    let digest = Template::of(&set["spec"]["template"]).revision(None).digest;
    let is_it = live.owns(set) && digest == version.digest;
    set["metadata"]["labels"][HASH_LABEL].as_str().filter(|_| is_it).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(ready: bool, waiting: Option<&str>) -> Value {
        let state = waiting.map(|reason| json!({ "waiting": { "reason": reason } }));
        let container = json!({ "name": "app", "state": state.unwrap_or(json!({})) });
        let condition = json!({ "type": "Ready", "status": if ready { "True" } else { "False" } });
        json!({ "metadata": {}, "status": { "conditions": [condition], "containerStatuses": [container] } })
    }

    #[test]
    fn a_pod_counts_from_the_second_on_in_which_something_else_was_given_unless_it_ends() {
        let since = UnixMs(1_772_452_800_900);
        let made = |at: Value| json!({ "creationTimestamp": at });
        assert!(is_made_since(&made("2026-03-02T12:00:00Z".into()), since));
        assert!(!is_made_since(&made("2026-03-02T11:59:59Z".into()), since));
        assert!(is_made_since(&made(Value::Null), since), "nobody can tell");
        let mut ends = made("2026-03-02T12:00:01Z".into());
        ends["deletionTimestamp"] = json!("2026-03-02T12:00:02Z");
        assert!(!is_made_since(&ends, since));
    }

    #[test]
    fn a_version_is_stuck_when_every_pod_that_is_not_ready_says_why() {
        let (well, coming) = (pod(true, None), pod(false, Some("ContainerCreating")));
        let stuck = pod(false, Some("ImagePullBackOff"));
        let says = of_pods(&[well.clone(), stuck.clone()]).unwrap();
        assert_eq!(says, "the image of `app` cannot be pulled (ImagePullBackOff)");
        assert_eq!(of_pods(&[stuck.clone(), coming]), None, "one may still come");
        let mut again = pod(false, None);
        again["status"]["containerStatuses"][0] = json!({
            "name": "app", "restartCount": 3, "state": { "running": { "startedAt": "2026-11-27T12:00:00Z" } },
            "lastState": { "terminated": { "exitCode": 1, "reason": "Error" } },
        });
        assert_eq!(of_pods(&[stuck.clone(), again]), None, "it crashed, and runs again");
        assert_eq!(of_pods(std::slice::from_ref(&well)), None);
        let many = [vec![well; 9], vec![stuck.clone()]].concat();
        assert_eq!(of_pods(&many), None, "one of ten is a node's trouble");
        let mut going = stuck;
        going["metadata"]["deletionTimestamp"] = json!("2026-11-27T12:00:00Z");
        assert_eq!(of_pods(&[going]), None);
    }
}

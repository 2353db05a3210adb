//! A smoke test as a Job of the cluster, made from a CronJob as `kubectl create job --from` makes one: what it runs, and as
//! whom, is written down in the cluster and not here.
//!
//! It is called by the attempt, so that an attempt that was begun before finds its Job and makes no second.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep};

use super::{
    api::Api,
    refusal::Refusal,
    undo::{LOOKS_MAX, pause},
};
use crate::{
    domain::{
        plan::{DeploymentAt, hex},
        run::{Order, Outcome},
    },
    executors::{Attempt, Trouble, failed},
    kubernetes::{status::Condition, trouble},
    units::Span,
};

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(1);
/// Of the CronJob's name so much is in the Job's: a label holds 63.
const NAME_MAX: usize = 40;
/// What of a Job's specification can make more than one pod of it, beside how many it wants.
const MORE_PODS: [&str; 5] = [
    "podFailurePolicy",
    "backoffLimitPerIndex",
    "maxFailedIndexes",
    "completionMode",
    "successPolicy",
];
/// Tells whoever looks at the Job what made it.
const RUN: &str = "rollbackd.dev/run";

/// What a [`crate::domain::plan::Action::CheckJob`] says.
pub(in crate::executors) struct Job<'a> {
    /// The cluster's name in the configuration, where it runs, and the CronJob that it is made from.
    pub from: (&'a str, &'a str, &'a str),
    /// It is ended after so long.
    pub timeout: Span,
    /// It stays for so long after its end, for whoever wants to see its logs.
    pub keep: Span,
    /// Variables of all its containers, which are then run once and no more, however they end.
    pub once_with: Option<&'a BTreeMap<String, String>>,
}

impl Job<'_> {
    fn at(&self) -> DeploymentAt {
        let (cluster, namespace, name) = self.from;
        let [cluster, namespace, name] = [cluster, namespace, name].map(str::to_owned);
        DeploymentAt { cluster, namespace, name, uid: None }
    }

    fn path(&self) -> String {
        format!("/apis/batch/v1/namespaces/{}/jobs", self.from.1)
    }

    /// What it is that the end of one was not seen which may be there: one that must not run twice may go on.
    fn unseen(&self, trouble: Trouble) -> Trouble {
        match self.once_with {
            Some(_) => Trouble::Unknown(trouble.to_string()),
            None => trouble,
        }
    }
}

/// The end of one that this very attempt has made already; nothing where there is none. It makes none.
pub(in crate::executors) async fn begun(
    attempt: &mut Attempt<'_>,
    job: &Job<'_>,
) -> Result<Option<Outcome>, Trouble> {
    let path = format!("{}/{}", job.path(), name(job.from.2, attempt.order));
    match is_there(attempt, job, &path).await {
        Ok(true) => end(attempt, job).await.map(Some),
        Ok(false) => Ok(None),
        Err(trouble) => Err(job.unseen(trouble)),
    }
}

async fn is_there(attempt: &mut Attempt<'_>, job: &Job<'_>, path: &str) -> Result<bool, Trouble> {
    let api = Api::open(&attempt.options.clusters, &job.at(), attempt.until).await?;
    let mut last = Refusal::Silent("it was not looked for".to_owned());
    for look in 0..LOOKS_MAX {
        match api.get(path).await {
            Ok(_) => return Ok(true),
            Err(Refusal::Gone(_)) => return Ok(false),
            Err(refusal) => last = pause(attempt, refusal, "looking for the Job", look).await?,
        }
    }
    Err(last.trouble("looking for the Job", true))
}

/// Carries one out.
pub(in crate::executors) async fn job(
    attempt: &mut Attempt<'_>,
    job: Job<'_>,
) -> Result<Outcome, Trouble> {
    let api = Api::open(&attempt.options.clusters, &job.at(), attempt.until).await?;
    let mut may_be_there = false;
    made(&api, attempt, &job, &mut may_be_there)
        .await
        .map_err(|trouble| if may_be_there { job.unseen(trouble) } else { trouble })?;
    end(attempt, &job).await
}

/// Waits until one that is there has ended.
async fn end(attempt: &mut Attempt<'_>, job: &Job<'_>) -> Result<Outcome, Trouble> {
    let (at, path) = (job.at(), job.path());
    let (_, namespace, cron_job) = job.from;
    let name = name(cron_job, attempt.order);
    let clusters = attempt.options.clusters.clone();
    let open = async |until| Api::open(&clusters, &at, until).await.map_err(|it| job.unseen(it));
    let unseen = |why: String| Err(job.unseen(Trouble::Failed { why, retry: true }));
    let mut api = open(attempt.until).await?;
    loop {
        let (why, pause) = match api.get(&format!("{path}/{name}")).await {
            Ok(seen) => match ended(&seen) {
                Some(Ok(())) => {
                    attempt.after = format!("the Job {name} has succeeded");
                    return Ok(Outcome::Done);
                }
                Some(Err(why)) => {
                    let logs = format!("kubectl logs -n {namespace} job/{name}");
                    return failed(format!("the Job {name} has failed: {why}; see `{logs}`"), true);
                }
                None => ("it has not ended".to_owned(), PAUSE),
            },
            Err(Refusal::Gone(why)) => return unseen(format!("the Job is gone: {why}")),
            Err(Refusal::Busy { why, pause }) => (why, pause),
            Err(Refusal::Refused { why, .. } | Refusal::Silent(why) | Refusal::Moved(why)) => {
                // Whatever proves who the daemon is, is read anew.
                api = open(attempt.until).await?;
                (why, PAUSE)
            }
        };
        attempt.after = format!("the Job {name}: {why}");
        if Instant::now() + pause >= attempt.until {
            return unseen(format!("the Job {name} did not succeed in time: {why}"));
        }
        sleep(pause).await;
    }
}

/// Sees to it that it is there; where that was not seen, `may_be_there` says whether it may be all the same.
async fn made(
    api: &Api,
    attempt: &mut Attempt<'_>,
    job: &Job<'_>,
    may_be_there: &mut bool,
) -> Result<(), Trouble> {
    let (_, namespace, cron_job_name) = job.from;
    let (path, name) = (job.path(), name(cron_job_name, attempt.order));
    let from = format!("/apis/batch/v1/namespaces/{namespace}/cronjobs/{cron_job_name}");
    let mut last = Refusal::Silent("it was not looked for".to_owned());
    for look in 0..LOOKS_MAX {
        match api.get(&format!("{path}/{name}")).await {
            Ok(_) => return Ok(()),
            Err(Refusal::Gone(_)) => {}
            Err(refusal) => {
                last = pause(attempt, refusal, "looking for the Job", look).await?;
                continue;
            }
        }
        let cron_job = match api.get(&from).await {
            Ok(cron_job) => cron_job,
            Err(refusal) => {
                last = pause(attempt, refusal, "reading the CronJob", look).await?;
                continue;
            }
        };
        attempt.permits()?;
        attempt.before = format!("made from the CronJob {cron_job_name}");
        match api.post(&path, &manifest(&cron_job, job, &name, &attempt.order.run)).await {
            Ok(_) => return Ok(()),
            // Whether it was made is seen by looking again.
            Err(refusal) => {
                *may_be_there |= matches!(refusal, Refusal::Silent(_) | Refusal::Moved(_));
                last = pause(attempt, refusal, "making the Job", look).await?;
            }
        }
    }
    Err(last.trouble("making the Job", false))
}

/// The same for the same attempt, and no other's.
fn name(cron_job: &str, order: &Order) -> String {
    let Order { run, step, attempt, fallback, .. } = order;
    let digest = Sha256::digest(format!("{run}/{step}/{attempt}/{fallback}"));
    let begins = trouble::cut(cron_job, NAME_MAX).trim_end_matches(['-', '.']);
    format!("{begins}-{}", hex(&digest[..8]))
}

/// As the CronJob says, but for how long it may take, and how long it stays.
fn manifest(cron_job: &Value, job: &Job<'_>, name: &str, run: &str) -> Value {
    let template = &cron_job["spec"]["jobTemplate"];
    let seconds = |span: Span| (span.ms() / 1000).max(1);
    let mut spec = template["spec"].as_object().cloned().unwrap_or_default();
    let usual = spec.get("activeDeadlineSeconds").and_then(Value::as_i64).unwrap_or(i64::MAX);
    spec.insert("activeDeadlineSeconds".into(), usual.min(seconds(job.timeout)).into());
    spec.insert("ttlSecondsAfterFinished".into(), seconds(job.keep).into());
    spec.remove("suspend");
    if let Some(env) = job.once_with {
        run_once(&mut spec, env);
    }
    let texts = |key: &str| template["metadata"][key].as_object().cloned().unwrap_or_default();
    let mut annotations: Map<String, Value> = texts("annotations");
    annotations.insert(RUN.into(), run.into());
    annotations.insert("cronjob.kubernetes.io/instantiate".into(), "manual".into());
    json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": { "name": name, "labels": texts("labels"), "annotations": annotations },
        "spec": spec,
    })
}

/// What fails half-way is not begun again from there; each container is told the same.
fn run_once(spec: &mut Map<String, Value>, env: &BTreeMap<String, String>) {
    spec.insert("backoffLimit".into(), 0.into());
    // By these a Job makes another pod in spite of that: for a drained node, or for each of several that it wants.
    for more in MORE_PODS {
        spec.remove(more);
    }
    for one in ["completions", "parallelism"] {
        spec.insert(one.into(), 1.into());
    }
    let Some(pod) = spec.get_mut("template").and_then(|it| it.get_mut("spec")) else { return };
    pod["restartPolicy"] = "Never".into();
    for kind in ["containers", "initContainers"] {
        for container in pod.get_mut(kind).and_then(Value::as_array_mut).into_iter().flatten() {
            let said = container["env"].as_array().cloned().unwrap_or_default();
            let is_ours = |it: &Value| it["name"].as_str().is_some_and(|it| env.contains_key(it));
            // First, for a variable may refer only to what stands before it.
            let ours = env.iter().map(|(name, value)| json!({ "name": name, "value": value }));
            let theirs = said.into_iter().filter(|it| !is_ours(it));
            container["env"] = ours.chain(theirs).collect();
        }
    }
}

/// How it ended, if it has.
fn ended(job: &Value) -> Option<Result<(), String>> {
    let said = job.pointer("/status/conditions").cloned().unwrap_or_default();
    let said: Vec<Condition> = serde_json::from_value(said).unwrap_or_default();
    said.into_iter().filter(|c| c.status == "True").find_map(|c| match c.kind.as_str() {
        "Complete" => Some(Ok(())),
        "Failed" => Some(Err(format!("{} ({})", c.message, c.reason))),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::plan::{Action, CommandLine, Step};

    fn order(attempt: u32) -> Order {
        let argv = vec!["true".into()];
        let run = CommandLine { argv, env: [].into(), dir: None, timeout: Span::minutes(1) };
        let what = Step {
            title: "smoke".into(),
            action: Action::Check { run },
            needs: vec![],
            timeout: Span::minutes(1),
            attempts: 3,
            fallback: None,
        };
        Order { run: "shop-1-r1".into(), step: 2, attempt, fallback: false, resumed: false, what }
    }

    fn job() -> Job<'static> {
        let (timeout, keep) = (Span::minutes(5), Span::hours(1));
        Job { from: ("main", "shop", "smoke"), timeout, keep, once_with: None }
    }

    #[test]
    fn an_attempt_has_one_name_and_the_next_another_and_a_long_one_fits() {
        assert_eq!(name("smoke", &order(1)), name("smoke", &order(1)));
        assert_ne!(name("smoke", &order(1)), name("smoke", &order(2)));
        let long = name(&format!("{}-x", "a".repeat(39)), &order(1));
        assert!(long.len() <= 63 && !long.contains("--"), "{long}");
    }

    #[test]
    fn it_is_as_the_cron_job_says_but_ends_and_goes_in_time() {
        let spec = json!({ "backoffLimit": 0, "suspend": true, "activeDeadlineSeconds": 60, "template": { "spec": {} } });
        let meta = json!({ "labels": { "team": "shop" } });
        let cron_job = json!({ "spec": { "suspend": true, "schedule": "0 0 1 1 *", "jobTemplate": { "metadata": meta, "spec": spec } } });
        let made = manifest(&cron_job, &job(), "smoke-1", "shop-1-r1");
        assert_eq!(made["metadata"]["labels"], json!({ "team": "shop" }));
        assert_eq!(made["metadata"]["annotations"][RUN], "shop-1-r1");
        let wanted = json!({ "backoffLimit": 0, "activeDeadlineSeconds": 60, "ttlSecondsAfterFinished": 3600, "template": { "spec": {} } });
        assert_eq!(made["spec"], wanted);
        let made = manifest(&json!({}), &job(), "smoke-1", "shop-1-r1");
        assert_eq!(made["spec"]["activeDeadlineSeconds"], 300);
    }

    #[test]
    fn one_that_runs_once_is_told_so_and_what_else_its_containers_know_stays() {
        let told = [("TO".to_owned(), "6".to_owned())].into();
        let container = json!({ "name": "undo", "env": [{ "name": "TO", "value": "1" }, { "name": "URL", "value": "x" }] });
        let pod = json!({ "restartPolicy": "OnFailure", "containers": [container], "initContainers": [{ "name": "wait" }] });
        let spec = json!({ "backoffLimit": 6, "template": { "spec": pod } });
        let cron_job = json!({ "spec": { "jobTemplate": { "spec": spec } } });
        let made = manifest(&cron_job, &Job { once_with: Some(&told), ..job() }, "undo-1", "r");
        let pod = &made["spec"]["template"]["spec"];
        assert_eq!(pod["restartPolicy"], "Never");
        let (url, to) =
            (json!({ "name": "URL", "value": "x" }), json!({ "name": "TO", "value": "6" }));
        assert_eq!(pod["containers"][0]["env"], json!([to, url]), "it may say $(TO)");
        assert_eq!(pod["initContainers"][0]["env"], json!([to]));
    }

    /// One whose policy does not count a drained node's pod was run again from where the first had been.
    #[test]
    fn one_that_runs_once_has_one_pod_whatever_the_cron_job_says_of_failures_and_of_how_many() {
        let told = [].into();
        let spec = json!({
            "backoffLimit": 6, "completions": 3, "parallelism": 2, "completionMode": "Indexed",
            "backoffLimitPerIndex": 1, "maxFailedIndexes": 2, "successPolicy": { "rules": [{ "succeededCount": 1 }] },
            "podFailurePolicy": { "rules": [{ "action": "Ignore", "onPodConditions": [{ "type": "DisruptionTarget" }] }] },
            "template": { "spec": { "containers": [] } },
        });
        let cron_job = json!({ "spec": { "jobTemplate": { "spec": spec } } });
        let made = manifest(&cron_job, &Job { once_with: Some(&told), ..job() }, "undo-1", "r");
        let wanted = json!({
            "backoffLimit": 0, "completions": 1, "parallelism": 1, "activeDeadlineSeconds": 300,
            "ttlSecondsAfterFinished": 3600, "template": { "spec": { "containers": [], "restartPolicy": "Never" } },
        });
        assert_eq!(made["spec"], wanted);
    }

    #[test]
    fn it_has_ended_where_a_condition_says_so() {
        let with = |kind: &str, status: &str| {
            ended(
                &json!({ "status": { "conditions": [{ "type": kind, "status": status, "reason": "DeadlineExceeded", "message": "too long" }] } }),
            )
        };
        assert_eq!(with("Complete", "True"), Some(Ok(())));
        assert_eq!(with("Failed", "True"), Some(Err("too long (DeadlineExceeded)".into())));
        assert_eq!((with("Failed", "False"), with("FailureTarget", "True")), (None, None));
        assert_eq!(ended(&json!({ "status": { "active": 1 } })), None);
    }
}

//! Whether a rollback of a Deployment would find what it needs, asked of the API server before there is need.
//! Nothing is changed.

use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    Clusters, Live,
    api::Api,
    owned::owned,
    refusal::Refusal,
    rights::{Asking, told},
};
use crate::{
    domain::{
        inventory::Check, maintenance::MaintenanceMode, plan::DeploymentAt,
        runbook::DeploymentRunbook,
    },
    kubernetes::{
        access::Options, maps::Maps, pulls::Pulls, seal::Key, shelf::Shelf, template::Template,
    },
};

/// For all of it.
const PATIENCE: Duration = Duration::from_secs(20);
/// A Deployment keeps ten ReplicaSets unless it says otherwise.
const SETS_MAX: u32 = 500;
/// The controller's number for a ReplicaSet.
const REVISION: &str = "deployment.kubernetes.io/revision";

/// What else is asked of the cluster, where it is configured.
#[derive(Clone, Debug, Default)]
pub struct Also {
    /// Whether a signal is read of its pods' logs.
    pub logs: bool,
    /// Whether one is read of what they use.
    pub usage: bool,
    /// What smoke tests are made from.
    pub cron_jobs: Vec<String>,
    /// What maintenance mode makes.
    pub maintenance: Option<(MaintenanceMode, Arc<[Value]>)>,
}

/// What was looked at, and what pods of the versions that were seen need of registries: of the one that is set, and of the
/// newest other one.
#[derive(Clone, Debug, Default)]
pub struct Looked {
    /// A line each.
    pub checks: Vec<Check>,
    /// By what people call the version.
    pub pulls: Vec<(String, Pulls)>,
}

/// Everything a rollback of a Deployment needs, each with what was seen.
///
/// The watches are those of `cluster`: of its namespace, or of all of them. What the daemon keeps is in its state directory.
pub async fn preflight(
    runbook: &DeploymentRunbook,
    cluster: &Options,
    state_dir: &Path,
    also: Also,
) -> Looked {
    let clusters = Clusters::default();
    clusters.adopt([(runbook.cluster.clone(), cluster.clone())].into());
    let at = runbook.at(None);
    let opened = Api::open(&clusters, &at, Instant::now() + PATIENCE).await;
    let known = match opened {
        Ok(api) => who(&api).await.map(|who| (api, who)).map_err(told),
        Err(trouble) => Err(trouble.to_string()),
    };
    let (api, who) = match known {
        Ok(known) => known,
        Err(why) => {
            let checks = vec![Check::of("the API server knows the daemon", Err(why))];
            return Looked { checks, ..Looked::default() };
        }
    };
    let asking = Asking { api: &api, at: &at, who: &who };
    let mut checks = vec![
        Check::of("it may be watched", asking.watching(cluster.namespace.as_deref()).await),
        Check::of("it may be set back", asking.setting_back().await),
        Check::of("what its pods read may be watched", asking.watching_maps(cluster).await),
    ];
    if let Some(key) = cluster.secrets.key() {
        let seen = opens(&Maps::of(state_dir, &at), key);
        checks.push(Check::of("what is kept of its Secrets can be read", seen));
    }
    if cluster.events_max > 0 {
        checks.push(Check::of(
            "what the cluster warns of may be told",
            asking.reading_events().await,
        ));
    }
    if also.logs {
        checks.push(Check::of("its logs may be read", asking.reading_logs().await));
    }
    if also.usage {
        checks.push(Check::of("what its pods use may be read", asking.reading_usage().await));
    }
    for cron_job in &also.cron_jobs {
        checks.push(Check::of("its smoke test may be run", asking.running(cron_job).await));
    }
    if let Some((mode, objects)) = &also.maintenance {
        let seen = asking.maintaining(mode, objects).await;
        checks.push(Check::of("its maintenance mode may be switched on and off", seen));
    }
    let (kept, mut pulls) = (kept(state_dir, &at), vec![]);
    match api.look().await {
        Ok(live) => {
            let sets = sets(&api, &live).await;
            pulls = pulled(&live, sets.as_deref().unwrap_or_default());
            checks.extend([
                Check::of("the Deployment is there", Ok(live.in_words())),
                Check::of("a change of it comes into effect", takes_effect(&live)),
                Check::of("its history is kept", keeps_history(&live, &kept)),
                Check::of("an earlier version is there", earlier(sets, &live, &kept)),
                Check::of("nothing puts it back", owned(&asking, &live, runbook).await),
                Check::of(
                    "what its pods read may be set back",
                    asking.setting_maps_back(cluster, &live).await,
                ),
            ]);
        }
        Err(refusal) => checks.push(Check::of("the Deployment is there", Err(told(refusal)))),
    }
    Looked { checks, pulls }
}

/// Whether the key that the configuration names is the one by which Secrets are kept.
fn opens(maps: &Maps, key: &Key) -> Result<String, String> {
    let read = maps.opened(key);
    let (all, closed) =
        read.map_err(|fault| format!("what the daemon keeps cannot be read: {fault}"))?;
    if !closed.is_empty() {
        return Err(format!(
            "secrets_key does not open {}: another key, or a damaged file; it counts as not kept until it serves well again, or give the key by which it was kept",
            closed.join(", ")
        ));
    }
    let sealed = all.iter().flat_map(|kept| &kept.items).filter(|item| item.sealed).count();
    Ok(match sealed {
        0 => "nothing is kept of them yet".to_owned(),
        _ => "secrets_key opens all of it".to_owned(),
    })
}

/// As whom the API server knows whoever asks.
async fn who(api: &Api) -> Result<String, Refusal> {
    let review = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview" });
    let said = api.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", &review).await?;
    let name = said.pointer("/status/userInfo/username").and_then(Value::as_str);
    Ok(name.unwrap_or("somebody without a name").to_owned())
}

fn takes_effect(live: &Live) -> Result<String, String> {
    let wanted = live.object.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1);
    if live.is_paused() {
        let name = live.object["metadata"]["name"].as_str().unwrap_or_default();
        return Err(format!("its rollout is paused: `kubectl rollout resume deployment/{name}`"));
    }
    if wanted == 0 {
        return Err("it is scaled to 0 pods: another version would serve no more".to_owned());
    }
    Ok(format!("{wanted} pods are wanted, and its rollout is not paused"))
}

/// What the daemon keeps, each by its hash and its name, or why nobody can tell.
type Kept = Result<Vec<(Option<String>, String)>, String>;

fn kept(state_dir: &Path, at: &DeploymentAt) -> Kept {
    let all = Shelf::of(state_dir, at).all();
    let all = all.map_err(|fault| format!("what the daemon keeps cannot be read: {fault}"))?;
    Ok(all.into_iter().map(|kept| (kept.revision.digest, kept.revision.version)).collect())
}

fn keeps_history(live: &Live, kept: &Kept) -> Result<String, String> {
    let limit = live.object.pointer("/spec/revisionHistoryLimit").and_then(Value::as_i64);
    match (limit, kept) {
        (Some(0), Ok(kept)) if !kept.is_empty() => {
            Ok("by the daemon alone, of what is known good: spec.revisionHistoryLimit is 0"
                .to_owned())
        }
        (Some(0), _) => {
            let why = "spec.revisionHistoryLimit is 0, and the daemon keeps nothing yet; set it to 2 or more, or leave it out";
            Err(why.to_owned())
        }
        (Some(limit), _) => Ok(format!("up to {limit} earlier ReplicaSets")),
        (None, _) => Ok("as many ReplicaSets as is usual".to_owned()),
    }
}

/// Its own ReplicaSets.
async fn sets(api: &Api, live: &Live) -> Result<Vec<Value>, String> {
    let selector = live.selector()?;
    let sets = api.list("apis/apps/v1", "replicasets", &selector, SETS_MAX).await;
    let mut sets = sets.map_err(told)?;
    sets.retain(|set| live.owns(set));
    Ok(sets)
}

fn pulled(live: &Live, sets: &[Value]) -> Vec<(String, Pulls)> {
    let number = |set: &&Value| {
        let number = set["metadata"]["annotations"][REVISION].as_str();
        number.and_then(|number| number.parse::<u64>().ok())
    };
    let set_to = live.template.revision(None);
    let others = sets.iter().filter(|set| {
        Template::of(&set["spec"]["template"]).revision(None).digest != set_to.digest
    });
    let newest = others.max_by_key(number).map(|set| Template::of(&set["spec"]["template"]));
    let named = |it: &Template| (it.revision(None).version, it.pulls().clone());
    std::iter::once(&live.template).chain(newest.as_ref()).map(named).collect()
}

/// Another template than the one that is set, in a ReplicaSet of its own or kept by the daemon.
fn earlier(sets: Result<Vec<Value>, String>, live: &Live, kept: &Kept) -> Result<String, String> {
    let sets = sets?;
    let set = live.template.revision(None).digest;
    let held = sets.iter().map(|set| {
        let revision = Template::of(&set["spec"]["template"]).revision(None);
        (revision.digest, revision.version)
    });
    let all = held.chain(kept.iter().flatten().cloned());
    let others: BTreeSet<String> =
        all.filter(|(digest, _)| *digest != set).map(|(_, version)| version).collect();
    if others.is_empty() {
        let unread = kept.as_ref().err().map(|why| format!("; {why}")).unwrap_or_default();
        return Err(format!(
            "no other template than the one that is set is in a ReplicaSet or kept by the daemon; there is one \
             after the next deployment{unread}"
        ));
    }
    let others: Vec<String> = others.into_iter().collect();
    Ok(format!("kept besides what is set: {}", others.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(spec: Value) -> Live {
        Live::new(json!({ "metadata": { "name": "shop" }, "spec": spec }))
    }

    #[test]
    fn what_would_keep_a_rollback_from_serving_is_named_with_what_to_do() {
        let effect = |spec: Value| takes_effect(&live(spec));
        assert!(effect(json!({ "replicas": 3 })).unwrap().starts_with("3 pods"));
        assert!(
            effect(json!({ "paused": true }))
                .unwrap_err()
                .contains("rollout resume deployment/shop")
        );
        assert!(effect(json!({ "replicas": 0 })).unwrap_err().contains("scaled to 0"));
        let kept = |limit: Value, by_us: Kept| {
            keeps_history(&live(json!({ "revisionHistoryLimit": limit })), &by_us)
        };
        let one = || Ok(vec![(Some("sha256:1".to_owned()), "1.4.1+1".to_owned())]);
        assert!(kept(json!(10), Ok(vec![])).is_ok() && kept(Value::Null, Ok(vec![])).is_ok());
        assert!(kept(json!(0), Ok(vec![])).unwrap_err().contains("is 0"));
        assert!(kept(json!(0), Err("not readable".to_owned())).is_err());
        assert!(kept(json!(0), one()).is_ok(), "what is known good is kept by the daemon");
    }
}

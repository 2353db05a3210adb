//! Whether a rollback of a Deployment would find what it needs, asked of the API server before there is need.
//! Nothing is changed.

use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Clusters, Live, api::Api, maintenance, owned::owned, refusal::Refusal};
use crate::{
    domain::{
        configuration::Kind, inventory::Check, maintenance::MaintenanceMode, plan::DeploymentAt,
        runbook::DeploymentRunbook,
    },
    kubernetes::{access::Options, content, shelf::Shelf, template::Template},
};

/// For all of it.
const PATIENCE: Duration = Duration::from_secs(20);
/// A Deployment keeps ten ReplicaSets unless it says otherwise.
const SETS_MAX: u32 = 500;
/// Where the rights are written down.
pub(super) const RIGHTS: &str = "deploy/kubernetes/rights";

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

/// Everything a rollback of a Deployment needs, each with what was seen.
///
/// The watches are those of `cluster`: of its namespace, or of all of them. What the daemon keeps is in its state directory.
pub async fn preflight(
    runbook: &DeploymentRunbook,
    cluster: &Options,
    state_dir: &Path,
    also: Also,
) -> Vec<Check> {
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
        Err(why) => return vec![check("the API server knows the daemon", Err(why))],
    };
    let asking = Asking { api: &api, at: &at, who: &who };
    let mut checks = vec![
        check("it may be watched", asking.watching(cluster.namespace.as_deref()).await),
        check("it may be set back", asking.setting_back().await),
        check("what its pods read may be watched", asking.watching_maps(cluster).await),
    ];
    if also.logs {
        checks.push(check("its logs may be read", asking.reading_logs().await));
    }
    if also.usage {
        checks.push(check("what its pods use may be read", asking.reading_usage().await));
    }
    for cron_job in &also.cron_jobs {
        checks.push(check("its smoke test may be run", asking.running(cron_job).await));
    }
    if let Some((mode, objects)) = &also.maintenance {
        let seen = asking.maintaining(mode, objects).await;
        checks.push(check("its maintenance mode may be switched on and off", seen));
    }
    let kept = kept(state_dir, &at);
    match api.look().await {
        Ok(live) => checks.extend([
            check("the Deployment is there", Ok(live.in_words())),
            check("a change of it comes into effect", takes_effect(&live)),
            check("its history is kept", keeps_history(&live, &kept)),
            check("an earlier version is there", earlier(&api, &live, &kept).await),
            check("nothing puts it back", owned(&asking, &live, runbook).await),
            check(
                "what its pods read may be set back",
                asking.setting_maps_back(cluster, &live).await,
            ),
        ]),
        Err(refusal) => checks.push(check("the Deployment is there", Err(told(refusal)))),
    }
    checks
}

fn check(what: &str, seen: Result<String, String>) -> Check {
    let ok = seen.is_ok();
    Check { what: what.to_owned(), ok, why: seen.unwrap_or_else(|why| why) }
}

fn told(refusal: Refusal) -> String {
    refusal.trouble("asking the API server", false).to_string()
}

/// As whom the API server knows whoever asks.
async fn who(api: &Api) -> Result<String, Refusal> {
    let review = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview" });
    let said = api.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", &review).await?;
    let name = said.pointer("/status/userInfo/username").and_then(Value::as_str);
    Ok(name.unwrap_or("somebody without a name").to_owned())
}

/// One thing that the API server may permit.
pub(super) struct Right<'r> {
    pub(super) verb: &'static str,
    pub(super) group: &'r str,
    pub(super) resource: &'r str,
    /// All of them where there is none.
    pub(super) namespace: Option<&'r str>,
    /// Any where there is none.
    pub(super) name: Option<&'r str>,
}

impl Right<'_> {
    fn review(&self) -> Value {
        let (resource, subresource) = self.resource.split_once('/').unwrap_or((self.resource, ""));
        let attributes = json!({
            "verb": self.verb, "group": self.group, "resource": resource, "subresource": subresource,
            "namespace": self.namespace.unwrap_or_default(), "name": self.name.unwrap_or_default(),
        });
        json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": { "resourceAttributes": attributes },
        })
    }
}

pub(super) struct Asking<'a> {
    api: &'a Api,
    at: &'a DeploymentAt,
    who: &'a str,
}

impl Asking<'_> {
    /// What the daemon's watches need: of one namespace, or of all of them.
    async fn watching(&self, namespace: Option<&str>) -> Result<String, String> {
        let kinds = [("apps", "deployments"), ("apps", "replicasets"), ("", "pods")];
        let both = |(group, resource)| {
            ["list", "watch"].map(|verb| Right { verb, group, resource, namespace, name: None })
        };
        let rights = kinds.into_iter().flat_map(both).collect();
        let (place, remedy) = match namespace {
            Some(namespace) => (
                format!("in {namespace}"),
                format!("kubectl apply -k {RIGHTS}/observe -n {namespace}"),
            ),
            None => (
                "in all namespaces".to_owned(),
                format!("kubectl apply -k {RIGHTS}/observe-everywhere"),
            ),
        };
        self.all(rights, &place, &remedy).await
    }

    /// The same of what pods read, where that is to be watched.
    async fn watching_maps(&self, cluster: &Options) -> Result<String, String> {
        let namespace = cluster.namespace.as_deref();
        let of = |resource: &'static str, verbs: &'static [&'static str]| {
            let right = move |verb: &&'static str| Right {
                verb,
                group: "",
                resource,
                namespace,
                name: None,
            };
            verbs.iter().map(right)
        };
        let (place, grants) = match namespace {
            Some(namespace) => (format!("in {namespace}"), format!("observe -n {namespace}")),
            None => ("in all namespaces".to_owned(), "observe-everywhere".to_owned()),
        };
        let mut said = vec![];
        if cluster.config_maps {
            let rights = of("configmaps", &["get", "list", "watch"]).collect();
            let remedy = format!("kubectl apply -k {RIGHTS}/{grants}");
            let without = |why| format!("{why}; or say config_maps = false");
            said.push(self.all(rights, &place, &remedy).await.map_err(without)?);
        }
        if cluster.secrets {
            let rights = of("secrets", &["list", "watch"]).collect();
            let at = namespace.map(|namespace| format!(" -n {namespace}")).unwrap_or_default();
            let remedy = format!("kubectl apply -k {RIGHTS}/secrets{at}");
            let without = |why| format!("{why}; or leave secrets = true out");
            said.push(self.all(rights, &place, &remedy).await.map_err(without)?);
        }
        if said.is_empty() {
            return Ok("nobody is to look at it: config_maps = false".to_owned());
        }
        Ok(said.join("; "))
    }

    /// What the steps of a plan need that restores what its template refers to now.
    async fn setting_maps_back(&self, cluster: &Options, live: &Live) -> Result<String, String> {
        let all = content::references(&live.object["spec"]["template"]);
        let maps = all.iter().filter(|it| it.kind == Kind::ConfigMap && cluster.config_maps);
        let names: Vec<&str> = maps.map(|it| &*it.name).collect();
        if names.is_empty() {
            return Ok("there is nothing that is watched".to_owned());
        }
        let namespace = Some(self.at.namespace.as_str());
        let right = |verb, name| Right { verb, group: "", resource: "configmaps", namespace, name };
        let mut rights = vec![right("create", None)];
        rights.extend(
            names.iter().flat_map(|name| ["get", "patch"].map(|verb| right(verb, Some(*name)))),
        );
        let place = &self.at.namespace;
        let remedy = format!("kubectl apply -k {RIGHTS}/act -n {place}");
        self.all(rights, &format!("in {place}"), &remedy).await
    }

    /// What the steps of its plan need.
    async fn setting_back(&self) -> Result<String, String> {
        let DeploymentAt { namespace, name, .. } = self.at;
        let (group, namespace) = ("apps", Some(namespace.as_str()));
        let right = |verb, resource, name| Right { verb, group, resource, namespace, name };
        let name = Some(name.as_str());
        let rights = vec![
            right("get", "deployments", name),
            right("patch", "deployments", name),
            right("get", "replicasets", None),
        ];
        let place = &self.at.namespace;
        let remedy = format!("kubectl apply -k {RIGHTS}/act -n {place}");
        self.all(rights, &format!("in {place}"), &remedy).await
    }

    /// What a signal of its logs needs.
    async fn reading_logs(&self) -> Result<String, String> {
        let place = &self.at.namespace;
        let right = Right {
            verb: "get",
            group: "",
            resource: "pods/log",
            namespace: Some(place),
            name: None,
        };
        let remedy = format!("kubectl apply -k {RIGHTS}/logs -n {place}");
        self.all(vec![right], &format!("in {place}"), &remedy).await
    }

    /// What a signal of its pods' usage needs: an API server that has somebody to ask, too.
    async fn reading_usage(&self) -> Result<String, String> {
        let DeploymentAt { namespace: place, name, .. } = self.at;
        let right = |group, resource, name| Right {
            verb: "get",
            group,
            resource,
            namespace: Some(place),
            name,
        };
        let rights = vec![
            right("apps", "deployments", Some(name.as_str())),
            right("metrics.k8s.io", "pods", None),
        ];
        let remedy = format!("kubectl apply -k {RIGHTS}/usage -n {place}");
        let granted = self.all(rights, &format!("in {place}"), &remedy).await?;
        match self.api.get("/apis/metrics.k8s.io/v1beta1").await {
            Ok(_) => Ok(granted),
            Err(Refusal::Gone(_)) => {
                Err("this cluster has no metrics API: install metrics-server, or ask a Prometheus"
                    .to_owned())
            }
            Err(refusal) => Err(told(refusal)),
        }
    }

    /// What a smoke test needs: to be made from something that is there.
    async fn running(&self, cron_job: &str) -> Result<String, String> {
        let (group, namespace) = ("batch", Some(self.at.namespace.as_str()));
        let right = |verb, resource, name| Right { verb, group, resource, namespace, name };
        let rights = vec![
            right("get", "cronjobs", Some(cron_job)),
            right("create", "jobs", None),
            right("get", "jobs", None),
        ];
        let place = &self.at.namespace;
        let remedy = format!("kubectl apply -k {RIGHTS}/smoke -n {place}");
        let granted = self.all(rights, &format!("in {place}"), &remedy).await?;
        let path = format!("/apis/batch/v1/namespaces/{place}/cronjobs/{cron_job}");
        self.api.get(&path).await.map_err(told)?;
        Ok(granted)
    }

    /// What maintenance mode needs, and whether the API server would take what it makes.
    async fn maintaining(
        &self,
        mode: &MaintenanceMode,
        objects: &[Value],
    ) -> Result<String, String> {
        let mut said = vec![];
        for (at, wanted) in mode.objects.iter().zip(objects) {
            let place = &at.namespace;
            let right = |verb, name| Right {
                verb,
                group: at.group(),
                resource: &at.plural,
                namespace: Some(place),
                name,
            };
            let name = Some(at.name.as_str());
            let rights = vec![right("get", name), right("delete", name), right("create", None)];
            let remedy = format!("kubectl apply -k {RIGHTS}/maintenance -n {place}");
            said.push(self.all(rights, &format!("in {place}"), &remedy).await?);
            if let Some(on) = maintenance::rehearse(self.api, mode, at, wanted).await? {
                said.push(on);
            }
        }
        Ok(said.join("; "))
    }

    pub(super) async fn all(
        &self,
        rights: Vec<Right<'_>>,
        place: &str,
        remedy: &str,
    ) -> Result<String, String> {
        let who = self.who;
        let (mut granted, mut missing) = (vec![], vec![]);
        for right in rights {
            let uri = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
            let said = self.api.post(uri, &right.review()).await.map_err(told)?;
            match said.pointer("/status/allowed").and_then(Value::as_bool) {
                Some(true) => granted.push(right),
                Some(false) | None => missing.push(right),
            }
        }
        if missing.is_empty() {
            return Ok(format!("{who} may {} {place}", in_words(&granted)));
        }
        Err(format!(
            "{who} may not {} {place}; grant it as `{remedy}` does for the ServiceAccount rollbackd",
            in_words(&missing)
        ))
    }
}

/// `list and watch pods, get deployments/shop`.
fn in_words(rights: &[Right<'_>]) -> String {
    let of_one = |a: &Right<'_>, b: &Right<'_>| (a.resource, a.name) == (b.resource, b.name);
    let words = |some: &[Right<'_>]| {
        let verbs: Vec<&str> = some.iter().map(|right| right.verb).collect();
        let name = some[0].name.map(|name| format!("/{name}")).unwrap_or_default();
        format!("{} {}{name}", verbs.join(" and "), some[0].resource)
    };
    rights.chunk_by(of_one).map(words).collect::<Vec<_>>().join(", ")
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

/// Another template than the one that is set, in a ReplicaSet of its own or kept by the daemon.
async fn earlier(api: &Api, live: &Live, kept: &Kept) -> Result<String, String> {
    let selector = live.selector()?;
    let sets = api.list("apis/apps/v1", "replicasets", &selector, SETS_MAX).await.map_err(told)?;
    let set = live.template.revision(None).digest;
    let held = sets.iter().filter(|set| live.owns(set)).map(|set| {
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

    #[test]
    fn a_right_is_asked_for_by_name_where_one_is_enough() {
        let right = |resource, name: Option<&'static str>| {
            let group = if name.is_some() { "apps" } else { "" };
            Right { verb: "patch", group, resource, namespace: Some("shop"), name }
        };
        let asked = |right: Right<'_>| right.review()["spec"]["resourceAttributes"].clone();
        let one = asked(right("deployments", Some("cart")));
        assert_eq!((&one["group"], &one["name"]), (&json!("apps"), &json!("cart")));
        let any = asked(right("pods", None));
        assert_eq!(
            (&any["group"], &any["name"], &any["namespace"]),
            (&json!(""), &json!(""), &json!("shop"))
        );
    }
}

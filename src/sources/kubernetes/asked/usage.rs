//! How much of what its pods may use a Deployment uses: from the metrics API, against what its template asks for.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use kube::Client;
use serde_json::Value;

use super::{Answer, NoText, text};
use crate::{kubernetes::quantity::quantity, sources::kubernetes::Key};

/// One pod's metrics, or a Deployment.
const BYTES_MAX: usize = 4 << 20;

/// What metrics-server says of a pod that it knows nothing of.
const NOT_MEASURED: &str = "podmetrics";

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Processor time.
    Cpu,
    /// Memory that is in use.
    Memory,
}

impl Resource {
    fn key(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
        }
    }
}

/// Against what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Of {
    /// What a container gets at most.
    #[default]
    Limits,
    /// What is set aside for it.
    Requests,
}

impl Of {
    fn key(self) -> &'static str {
        match self {
            Self::Limits => "limits",
            Self::Requests => "requests",
        }
    }
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Of what.
    pub resource: Resource,
    /// Against what.
    pub of: Of,
    /// Of so many pods at most.
    pub pods_max: usize,
}

/// The share that the pod uses that uses most.
pub(super) async fn look(client: &Client, key: &Key, pods: &[String], usage: Usage) -> Answer {
    let Key { namespace, name } = key;
    let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments/{name}");
    let deployment = match json(client, &path).await {
        Ok(deployment) => deployment,
        Err(fault) => return Answer::unknown(format!("the Deployment could not be read: {fault}")),
    };
    let most = match most(&deployment, usage) {
        Ok(most) => most,
        Err(why) => return Answer::unknown(why),
    };
    let each = pods.iter().take(usage.pods_max).map(async |pod: &String| {
        let path = format!("/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods/{pod}");
        (pod.as_str(), json(client, &path).await)
    });
    judged(join_all(each).await, &most, usage)
}

async fn json(client: &Client, path: &str) -> Result<Value, NoText> {
    let read = text(client, path, BYTES_MAX).await?;
    serde_json::from_slice(&read).map_err(|fault| NoText::Silent(fault.to_string()))
}

/// What each container of the template may use. Of one without a bound no share can be told.
fn most(deployment: &Value, usage: Usage) -> Result<BTreeMap<String, f64>, String> {
    let containers = deployment.pointer("/spec/template/spec/containers");
    let containers = containers.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let (resource, of) = (usage.resource.key(), usage.of.key());
    let mut all = BTreeMap::new();
    for container in containers {
        let name = container["name"].as_str().unwrap_or_default();
        let said = container["resources"][of][resource].as_str().and_then(quantity);
        let Some(said) = said.filter(|said| *said > 0.0) else {
            return Err(format!("`{name}` has no {resource} in its {of}"));
        };
        all.insert(name.to_owned(), said);
    }
    if all.is_empty() { Err("it has no containers".to_owned()) } else { Ok(all) }
}

fn judged(
    each: Vec<(&str, Result<Value, NoText>)>,
    most: &BTreeMap<String, f64>,
    usage: Usage,
) -> Answer {
    let mut worst: Option<(f64, &str)> = None;
    let mut unread = None;
    for (pod, read) in each {
        let used = match read {
            Ok(metrics) => share(&metrics, most, usage.resource),
            // It went, or is too young to have been measured. Of an API that is not there, that is said otherwise.
            Err(NoText::Refused { code: 404, why }) if why.contains(NOT_MEASURED) => continue,
            Err(fault) => Err(fault.to_string()),
        };
        match used {
            Ok(share) => {
                worst = worst.filter(|(before, _)| *before >= share).or(Some((share, pod)));
            }
            Err(why) => {
                unread.get_or_insert_with(|| format!("what {pod} uses could not be read: {why}"));
            }
        }
    }
    match (worst, unread) {
        (_, Some(why)) => Answer::unknown(why),
        (None, None) => Answer::unknown("no pod of it was measured yet".to_owned()),
        (Some((share, pod)), None) => {
            Answer { value: Some(share), note: Some(format!("{pod} uses most")) }
        }
    }
}

/// That of the container that uses most of its own: each is ended for itself. One that somebody else put beside them is no
/// part of the version.
fn share(metrics: &Value, most: &BTreeMap<String, f64>, resource: Resource) -> Result<f64, String> {
    let key = resource.key();
    let containers = metrics["containers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut worst: Option<f64> = None;
    for (container, most) in
        containers.iter().filter_map(|c| Some((c, most.get(c["name"].as_str()?)?)))
    {
        let said = &container["usage"][key];
        let used = said.as_str().and_then(quantity);
        let share = used.ok_or_else(|| format!("{said} is no amount of {key}"))? / most;
        worst = Some(worst.map_or(share, |before| before.max(share)));
    }
    worst.ok_or_else(|| "no container of its template was measured".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const CPU: Usage = Usage { resource: Resource::Cpu, of: Of::Limits, pods_max: 5 };

    fn measured(cpu: &[&str]) -> Result<Value, NoText> {
        let names = ["app", "proxy", "injected"];
        let one = |(name, cpu): (&str, &&str)| json!({ "name": name, "usage": { "cpu": cpu } });
        let containers: Vec<Value> = names.into_iter().zip(cpu).map(one).collect();
        Ok(json!({ "containers": containers }))
    }

    fn bounds() -> BTreeMap<String, f64> {
        [("app".to_owned(), 0.5), ("proxy".to_owned(), 1.0)].into()
    }

    /// Each is ended for itself, and one that an admission webhook put beside them is no part of the version.
    #[test]
    fn the_container_that_uses_most_of_its_own_is_the_pods_share() {
        let share = |cpu: &[&str]| judged(vec![("a", measured(cpu))], &bounds(), CPU).value;
        assert_eq!(share(&["500m", "0"]), Some(1.0));
        assert_eq!(share(&["100m", "900m"]), Some(0.9));
        assert_eq!(share(&["100m", "100m", "7"]), Some(0.2));
    }

    #[test]
    fn the_pod_that_uses_most_is_told_and_half_an_answer_is_none() {
        let two = vec![("a", measured(&["100m", "50m"])), ("b", measured(&["300m", "0"]))];
        let answer = judged(two, &bounds(), CPU);
        assert!((answer.value.unwrap() - 0.6).abs() < 1e-9, "{answer:?}");
        assert_eq!(answer.note.unwrap(), "b uses most");
        let refused = |code| {
            let why = "podmetrics.metrics.k8s.io \"shop/b\" not found".to_owned();
            Err(NoText::Refused { code, why })
        };
        let some = |fault| vec![("a", measured(&["1m"])), ("b", fault)];
        assert!(
            judged(some(refused(404)), &bounds(), CPU).value.is_some(),
            "it was not measured yet"
        );
        assert_eq!(judged(some(refused(503)), &bounds(), CPU).value, None);
        assert_eq!(judged(some(measured(&["much"])), &bounds(), CPU).value, None);
        assert_eq!(judged(some(measured(&[])), &bounds(), CPU).value, None);
        assert_eq!(judged(vec![("a", refused(404))], &bounds(), CPU).value, None);
    }

    #[test]
    fn a_container_without_a_bound_leaves_no_share_to_tell() {
        let of = |resources: Value| {
            let app = json!({ "name": "app", "resources": resources });
            let proxy = json!({ "name": "proxy", "resources": { "limits": { "cpu": "500m" } } });
            json!({ "spec": { "template": { "spec": { "containers": [app, proxy] } } } })
        };
        let bound =
            most(&of(json!({ "limits": { "cpu": "1" }, "requests": { "cpu": "250m" } })), CPU);
        assert_eq!(bound.map(|all| all.into_values().collect()), Ok(vec![1.0, 0.5]));
        let why = most(&of(json!({})), CPU).unwrap_err();
        assert_eq!(why, "`app` has no cpu in its limits");
        let requests = Usage { of: Of::Requests, ..CPU };
        let why = most(&of(json!({ "requests": { "cpu": "250m" } })), requests).unwrap_err();
        assert_eq!(why, "`proxy` has no cpu in its requests");
        assert!(most(&json!({}), CPU).is_err());
    }
}

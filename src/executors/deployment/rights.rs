//! What the API server must permit, asked by SelfSubjectAccessReview, each with what grants it.

use serde_json::{Value, json};

use super::{Live, api::Api, maintenance, refusal::Refusal};
use crate::{
    domain::{configuration::Kind, maintenance::MaintenanceMode, plan::DeploymentAt},
    kubernetes::{access::Options, content},
};

/// Where the rights are written down.
pub(super) const RIGHTS: &str = "deploy/kubernetes/rights";
/// What `rights/maintenance` grants as it stands.
const GRANTED: [&str; 4] = ["configmaps", "services", "ingresses", "networkpolicies"];

pub(super) fn told(refusal: Refusal) -> String {
    refusal.trouble("asking the API server", false).to_string()
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
    pub(super) api: &'a Api,
    pub(super) at: &'a DeploymentAt,
    pub(super) who: &'a str,
}

impl Asking<'_> {
    /// What the daemon's watches need: of one namespace, or of all of them.
    pub(super) async fn watching(&self, namespace: Option<&str>) -> Result<String, String> {
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
    pub(super) async fn watching_maps(&self, cluster: &Options) -> Result<String, String> {
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
        if cluster.secrets.are_watched() {
            let (verbs, directory): (&[_], _) = match cluster.secrets.key() {
                Some(_) => (&["get", "list", "watch"], "secrets-encrypted"),
                None => (&["list", "watch"], "secrets"),
            };
            let rights = of("secrets", verbs).collect();
            let at = namespace.map(|namespace| format!(" -n {namespace}")).unwrap_or_default();
            let remedy = format!("kubectl apply -k {RIGHTS}/{directory}{at}");
            let without = |why| format!("{why}; or say secrets = \"off\"");
            said.push(self.all(rights, &place, &remedy).await.map_err(without)?);
        }
        if said.is_empty() {
            return Ok("nobody is to look at it: config_maps = false".to_owned());
        }
        Ok(said.join("; "))
    }

    /// What the steps of a plan need that restores what its template refers to now.
    pub(super) async fn setting_maps_back(
        &self,
        cluster: &Options,
        live: &Live,
    ) -> Result<String, String> {
        let all = content::references(&live.object["spec"]["template"]);
        let is_set_back = |kind| match kind {
            Kind::ConfigMap => cluster.config_maps,
            Kind::Secret => cluster.secrets.key().is_some(),
            Kind::AwsSecret => false,
        };
        let (place, namespace) = (&self.at.namespace, Some(self.at.namespace.as_str()));
        let mut said = vec![];
        for (kind, directory) in [(Kind::ConfigMap, "act"), (Kind::Secret, "secrets-encrypted")] {
            let of_it = all.iter().filter(|it| it.kind == kind && is_set_back(kind));
            let right =
                |verb, name| Right { verb, group: "", resource: kind.plural(), namespace, name };
            let each = |name| ["get", "patch"].map(|verb| right(verb, Some(name)));
            let mut rights = vec![right("create", None)];
            rights.extend(of_it.flat_map(|it| each(&*it.name)));
            if rights.len() == 1 {
                continue;
            }
            let remedy = format!("kubectl apply -k {RIGHTS}/{directory} -n {place}");
            said.push(self.all(rights, &format!("in {place}"), &remedy).await?);
        }
        if said.is_empty() {
            return Ok("there is nothing that is watched".to_owned());
        }
        Ok(said.join("; "))
    }

    /// What the steps of its plan need.
    pub(super) async fn setting_back(&self) -> Result<String, String> {
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

    /// What people are told beside, which no rollback needs.
    pub(super) async fn reading_events(&self) -> Result<String, String> {
        let place = &self.at.namespace;
        let namespace = Some(place.as_str());
        let right = Right { verb: "list", group: "", resource: "events", namespace, name: None };
        let remedy = format!("kubectl apply -k {RIGHTS}/observe -n {place}");
        let granted = self.all(vec![right], &format!("in {place}"), &remedy).await;
        let without = |why| format!("people are told without it: {why}; or say events_max = 0");
        Ok(granted.unwrap_or_else(without))
    }

    /// What a signal of its logs needs.
    pub(super) async fn reading_logs(&self) -> Result<String, String> {
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
    pub(super) async fn reading_usage(&self) -> Result<String, String> {
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
    pub(super) async fn running(&self, cron_job: &str) -> Result<String, String> {
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
    pub(super) async fn maintaining(
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
            // As it stands the Role names few kinds, and one name.
            let is_named = GRANTED.contains(&at.plural.as_str()) && at.name == "maintenance";
            let more = |why: String| match is_named {
                true => why,
                false => format!("{why}, once its role.yaml names {} {}", at.plural, at.name),
            };
            said.push(self.all(rights, &format!("in {place}"), &remedy).await.map_err(more)?);
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

#[cfg(test)]
mod tests {
    use super::*;

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

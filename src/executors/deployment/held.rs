//! The template that a rollback goes to: of the ReplicaSet that the plan names, or as the daemon kept it. By its hash it is
//! the same.

use serde_json::{Map, Value};
use tracing::info;

use super::{Clusters, Live, api::Api};
use crate::{
    domain::{change::Revision, plan::DeploymentAt},
    executors::Trouble,
    kubernetes::{
        previous,
        shelf::{Manifest, Shelf},
        template::{HASH_LABEL, Template},
    },
    units::UnixMs,
};

/// Tells in `kubectl rollout history` why a revision is there.
pub(super) const CHANGE_CAUSE: &str = "kubernetes.io/change-cause";
/// What is no part of a version: scaling is another matter, a pause is somebody's, and a selector cannot be changed.
const NOT_KEPT: [&str; 3] = ["replicas", "paused", "selector"];

/// A template, and why it was there.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Held {
    pub(super) template: Value,
    pub(super) cause: Option<String>,
}

impl Held {
    /// Of a ReplicaSet, without what its controller wrote into it.
    fn of_replica_set(set: &Value) -> Self {
        let mut template = set["spec"]["template"].clone();
        let labels = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut);
        if let Some(labels) = labels {
            labels.remove(HASH_LABEL);
        }
        Self { template, cause: cause(set) }
    }

    fn is(&self, version: &Revision) -> bool {
        let digest = Template::of(&self.template).revision(None).digest;
        digest.is_some() && digest == version.digest
    }
}

fn cause(object: &Value) -> Option<String> {
    object["metadata"]["annotations"][CHANGE_CAUSE].as_str().map(str::to_owned)
}

/// Finds the template of `to`, wherever it is held.
pub(super) async fn find(
    api: &Api,
    live: &Live,
    (to, replica_set): (&Revision, Option<&str>),
    shelf: &Shelf,
) -> Result<Held, Trouble> {
    let gone = match replica_set {
        Some(name) => match of_replica_set(api, live, to, name).await {
            Ok(held) => return Ok(held),
            Err(trouble) => trouble,
        },
        None => {
            let why = format!("no ReplicaSet holds the template of {to}");
            Trouble::Failed { why, retry: false }
        }
    };
    let kept = to.digest.as_deref().and_then(|digest| shelf.find(digest).ok().flatten());
    let Some(Manifest { template, cause, .. }) = kept else { return Err(gone) };
    info!("{to} is taken from what was kept when it served well: {gone}");
    Ok(Held { template, cause })
}

/// What is set now, with another image in one container: exactly what the plan hashed, or nothing.
pub(super) fn with_image(
    live: &Live,
    to: &Revision,
    (container, image): (&str, &str),
) -> Result<Held, Trouble> {
    let template = previous::with_image(&live.object["spec"]["template"], container, image);
    let held = template.map(|template| Held { template, cause: None });
    held.filter(|held| held.is(to)).ok_or_else(|| Trouble::Failed {
        why: format!("with {image} in its container {container} it is not {to}, as the plan says"),
        retry: false,
    })
}

async fn of_replica_set(
    api: &Api,
    live: &Live,
    to: &Revision,
    name: &str,
) -> Result<Held, Trouble> {
    let failed = |why: String| Err(Trouble::Failed { why, retry: false });
    let reading = format!("reading the ReplicaSet {name} of {to}");
    let set = api.replica_set(name).await.map_err(|refusal| refusal.trouble(&reading, false))?;
    if !live.owns(&set) {
        return failed(format!("the ReplicaSet {name} is not of this Deployment"));
    }
    let held = Held::of_replica_set(&set);
    if !held.is(to) {
        return failed(format!(
            "the ReplicaSet {name} does not hold the template of {to} any more"
        ));
    }
    Ok(held)
}

/// Keeps a version of a Deployment that serves well: the whole of it where it is set to it, its template otherwise.
pub async fn keep(
    clusters: &Clusters,
    at: &DeploymentAt,
    (revision, replica_set): (&Revision, Option<&str>),
    shelf: &Shelf,
    now: UnixMs,
) -> Result<(), String> {
    let said = |trouble: Trouble| trouble.to_string();
    let _turn = clusters.keeping.acquire().await.map_err(|fault| fault.to_string())?;
    let until = tokio::time::Instant::now() + super::api::REQUEST;
    let api = Api::open(clusters, at, until).await.map_err(said)?;
    let looking = |refusal: super::refusal::Refusal| refusal.trouble("looking", false).to_string();
    let live = api.look().await.map_err(looking)?;
    let (held, spec) = if live.is_set_to(revision) {
        let template = live.object["spec"]["template"].clone();
        (Held { template, cause: cause(&live.object) }, spec_of(&live))
    } else {
        let name = replica_set.ok_or("no ReplicaSet holds its template")?;
        (of_replica_set(&api, &live, revision, name).await.map_err(said)?, None)
    };
    let Held { template, cause } = held;
    let manifest = Manifest { revision: revision.clone(), kept_at: now, template, cause, spec };
    let shelf = shelf.clone();
    let kept = tokio::task::spawn_blocking(move || shelf.keep(&manifest)).await;
    kept.map_err(|fault| fault.to_string())?.map_err(|fault| fault.to_string())
}

/// Without the template, which stands apart, and without what is no part of a version.
fn spec_of(live: &Live) -> Option<Map<String, Value>> {
    let mut spec = live.object["spec"].as_object()?.clone();
    spec.retain(|key, _| is_kept(key));
    Some(spec)
}

/// Whether a part of a specification goes back with a version.
pub(super) fn is_kept(key: &str) -> bool {
    key != "template" && !NOT_KEPT.contains(&key)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn scaling_and_a_pause_are_no_part_of_a_version() {
        assert!(is_kept("minReadySeconds") && is_kept("strategy") && is_kept("fieldOfTheYear2030"));
        assert!(!is_kept("replicas") && !is_kept("paused") && !is_kept("template"));
    }

    #[test]
    fn what_a_controller_wrote_into_a_replica_set_is_no_part_of_the_template() {
        let labels = json!({ "app": "shop", HASH_LABEL: "7c9d" });
        let template = json!({ "metadata": { "labels": labels }, "spec": { "containers": [] } });
        let meta = json!({ "annotations": { CHANGE_CAUSE: "build 7" } });
        let held =
            Held::of_replica_set(&json!({ "metadata": meta, "spec": { "template": template } }));
        assert_eq!(held.template["metadata"]["labels"], json!({ "app": "shop" }));
        assert_eq!(held.cause.as_deref(), Some("build 7"));
        assert!(held.is(&Template::of(&template).revision(None)), "the same version all the same");
        assert!(!held.is(&Revision::named("1.4.1")), "by a name alone nothing is exact");
    }
}

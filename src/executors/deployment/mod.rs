//! Rolling a Deployment of a Kubernetes cluster back, and waiting until that serves.
//!
//! Every attempt begins with what the API server says now, and changes only what it saw: whoever deploys in between wins.

mod api;
mod apply;
mod held;
mod job;
mod maintenance;
mod maps;
mod owned;
mod patch;
mod pods;
mod preflight;
mod refusal;
mod restart;
mod rights;
mod rollout;
mod stop;
mod suspend;
mod undo;

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::Selector;
use serde_json::Value;
use tokio::sync::Semaphore;

pub(super) use self::{
    apply::{Apply, apply},
    job::{Job, begun, job},
    maintenance::{switch_off, switch_on},
    maps::restore,
    restart::restart,
    rollout::{Rollout, rollout},
    stop::{start, stop},
    suspend::suspend,
    undo::{By, Undo, undo},
};
pub use self::{
    held::keep,
    maintenance::Manifests,
    maps::keep_configuration,
    preflight::{Also, Looked, preflight},
};
use super::{Adopted, Attempt};
use crate::{
    domain::{change::Revision, plan::DeploymentAt},
    kubernetes::{access, shelf::Shelf, template::Template},
};

impl Attempt<'_> {
    /// What the daemon keeps of a Deployment.
    fn shelf(&self, at: &DeploymentAt) -> Shelf {
        Shelf::of(&self.options.state_dir, at)
    }
}

/// How the clusters are reached, by their names in the configuration. A reload names others for all who hold it.
#[derive(Clone, Debug)]
pub struct Clusters {
    known: Adopted<String, access::Options>,
    /// Versions that are being kept: each has a connection of its own.
    keeping: Arc<Semaphore>,
}

/// So many versions are kept at once, of however many services.
const KEPT_AT_ONCE: usize = 4;

impl Default for Clusters {
    fn default() -> Self {
        Self { known: Adopted::default(), keeping: Arc::new(Semaphore::new(KEPT_AT_ONCE)) }
    }
}

impl Clusters {
    /// From now on these.
    pub fn adopt(&self, clusters: BTreeMap<String, access::Options>) {
        self.known.adopt(clusters);
    }

    fn find(&self, name: &str) -> Option<access::Options> {
        self.known.find(name)
    }
}

/// A Deployment as the API server has it now.
#[derive(Debug)]
struct Live {
    object: Value,
    template: Template,
}

impl Live {
    fn new(object: Value) -> Self {
        let template = Template::of(&object["spec"]["template"]);
        Self { object, template }
    }

    fn is_set_to(&self, version: &Revision) -> bool {
        let set = self.template.revision(None);
        match &version.digest {
            Some(digest) => set.digest.as_ref() == Some(digest),
            // Its name holds the beginning of the hash.
            None => build(&set.version) == build(&version.version),
        }
    }

    /// Whether a ReplicaSet is one of its own.
    fn owns(&self, set: &Value) -> bool {
        let owners = set["metadata"]["ownerReferences"].as_array();
        let uid = &self.object["metadata"]["uid"];
        owners.is_some_and(|owners| owners.iter().any(|owner| owner["uid"] == *uid))
    }

    /// What its ReplicaSets and pods are found by, as it is asked for: `app=shop,tier in (web)`.
    fn selector(&self) -> Result<String, String> {
        let said = serde_json::from_value(self.object["spec"]["selector"].clone());
        let said: LabelSelector =
            said.map_err(|fault| format!("its selector cannot be read: {fault}"))?;
        let selector = Selector::try_from(said);
        selector
            .map(|selector| selector.to_string())
            .map_err(|fault| format!("its selector cannot be read: {fault}"))
    }

    /// The number of the newest specification.
    fn generation(&self) -> i64 {
        self.object["metadata"]["generation"].as_i64().unwrap_or(0)
    }

    /// How many pods.
    fn wanted(&self) -> i64 {
        self.object.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1)
    }

    fn is_paused(&self) -> bool {
        self.object["spec"]["paused"].as_bool().unwrap_or(false)
    }

    /// What it is set to, for people; what a container is called is not known here.
    fn in_words(&self) -> String {
        let images: Vec<&str> = self.template.images().collect();
        let version = self.template.revision(None).version;
        format!("set to {} ({})", images.join(", "), build(&version))
    }
}

/// What stands behind the plus in a version's name.
fn build(version: &str) -> &str {
    version.rsplit_once('+').map_or(version, |(_, build)| build)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Those of a Deployment with expressions were not looked at while its rollout was waited for.
    #[test]
    fn pods_are_found_by_labels_and_by_expressions() {
        let selector = json!({
            "matchLabels": { "app": "shop" },
            "matchExpressions": [
                { "key": "tier", "operator": "In", "values": ["web", "edge"] },
                { "key": "legacy", "operator": "DoesNotExist" },
            ],
        });
        let live = Live::new(json!({ "metadata": {}, "spec": { "selector": selector } }));
        let said = live.selector().unwrap();
        for part in ["app=shop", "tier in (edge,web)", "!legacy"] {
            assert!(said.contains(part), "{part}: {said}");
        }
        let strange = json!({ "matchExpressions": [{ "key": "a", "operator": "Near" }] });
        let live = Live::new(json!({ "metadata": {}, "spec": { "selector": strange } }));
        assert!(live.selector().is_err());
    }
}

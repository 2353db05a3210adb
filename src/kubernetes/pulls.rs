//! What pods of a template pull, with what, and how registries are asked whether they still have it.

use serde_json::Value;
use smol_str::SmolStr;

use crate::units::Span;

/// What a kubelet never asks a registry for.
const NEVER: &str = "Never";

/// What pods of a template need of registries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pulls {
    /// The images, each once, as they are written; without those that are only taken from the node.
    pub images: Box<[SmolStr]>,
    /// The Secrets that the template names for them.
    pub secrets: Box<[SmolStr]>,
}

impl Pulls {
    /// Of a template as the API server has it.
    pub fn of(template: &Value) -> Self {
        let spec = &template["spec"];
        let each = |key: &str| spec[key].as_array().into_iter().flatten();
        let containers = each("initContainers").chain(each("containers"));
        let images = containers.map(|it| (&it["imagePullPolicy"], &it["image"]));
        let volumes = each("volumes").map(|volume| &volume["image"]);
        let volumes = volumes.map(|it| (&it["pullPolicy"], &it["reference"]));
        let pulled = images.chain(volumes).filter(|(policy, _)| *policy != NEVER);
        let mut found: Vec<SmolStr> =
            pulled.filter_map(|(_, image)| image.as_str().map(SmolStr::new)).collect();
        found.sort_unstable();
        found.dedup();
        let secrets = each("imagePullSecrets").filter_map(|it| it["name"].as_str());
        Self { images: found.into(), secrets: secrets.map(SmolStr::new).collect() }
    }
}

/// How registries are asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Options {
    /// Whether they are.
    pub ask: bool,
    /// For all that one image takes.
    pub timeout: Span,
    /// For so long an answer is believed.
    pub keep: Span,
    /// So many images of a Deployment are asked about at most.
    pub images_max: usize,
    /// So many at once, of all Deployments of a cluster.
    pub at_once: usize,
    /// Whether the Secrets that templates name for pulling are read, and used.
    pub pull_secrets: bool,
    /// Registries that are asked without TLS, as `host:port`; those of loopback are asked only where they are among them.
    pub plain_http: Vec<String>,
    /// Certificates in PEM to trust beside the system's.
    pub ca_pem: Option<Vec<u8>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            ask: true,
            timeout: Span::seconds(5),
            keep: Span::minutes(5),
            images_max: 20,
            at_once: 4,
            pull_secrets: false,
            plain_http: vec![],
            ca_pem: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whatever_a_kubelet_would_pull_is_found_once_and_what_it_never_pulls_is_not() {
        let container =
            |image: &str, policy: &str| json!({ "image": image, "imagePullPolicy": policy });
        let template = json!({ "spec": {
            "imagePullSecrets": [{ "name": "registry" }],
            "initContainers": [container("migrate:1", "IfNotPresent"), container("shop:1", "Always")],
            "containers": [container("shop:1", "Always"), container("built-here:1", "Never")],
            "volumes": [
                { "name": "a", "emptyDir": {} },
                { "name": "b", "image": { "reference": "models:7", "pullPolicy": "IfNotPresent" } },
            ],
        } });
        let pulls = Pulls::of(&template);
        assert_eq!(*pulls.images, ["migrate:1", "models:7", "shop:1"]);
        assert_eq!(*pulls.secrets, ["registry"]);
        assert_eq!(Pulls::of(&json!({})), Pulls::default());
    }
}

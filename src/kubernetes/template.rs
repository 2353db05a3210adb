//! Which version a pod template is: what it says, without what a restart or a controller wrote into it.

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use smol_str::SmolStr;

use super::pulls::Pulls;
use crate::domain::change::Revision;

/// Written by whoever restarts the pods of a Deployment: no other version.
pub const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";
/// Written by the controller into the templates of ReplicaSets.
pub const HASH_LABEL: &str = "pod-template-hash";
/// So much of the hash stands behind a version's name.
const SHORT: usize = 8;

/// A pod template, by its hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// What two templates share that differ in a restart only.
    version: [u8; 32],
    /// What two templates share that the controller takes for one.
    exact: u128,
    /// Its containers, each with its image, in their order.
    images: Box<[(SmolStr, SmolStr)]>,
    pulls: Pulls,
}

impl Template {
    /// Of a template as the API server has it. What a container is called or pulled from is told; everything counts.
    pub fn of(template: &Value) -> Self {
        let skip_hash = &[("labels", HASH_LABEL)][..];
        let skip_both = &[("labels", HASH_LABEL), ("annotations", RESTARTED_AT)][..];
        let exact = hash_without(template, skip_hash);
        let containers = template.pointer("/spec/containers").and_then(Value::as_array);
        let text = |c: &Value, key: &str| SmolStr::new(c[key].as_str().unwrap_or_default());
        let image = |c: &Value| (text(c, "name"), text(c, "image"));
        Self {
            version: hash_without(template, skip_both),
            exact: u128::from_be_bytes(exact[..16].try_into().unwrap_or_default()),
            images: containers.map(|all| all.iter().map(image).collect()).unwrap_or_default(),
            pulls: Pulls::of(template),
        }
    }

    /// Whether the controller takes both for one.
    pub fn is_exactly(&self, other: &Self) -> bool {
        self.exact == other.exact
    }

    /// What its pods need of registries.
    pub fn pulls(&self) -> &Pulls {
        &self.pulls
    }

    /// Whether it is this version, by its hash.
    pub fn has_digest(&self, digest: &str) -> bool {
        self.revision(None).digest.as_deref() == Some(digest)
    }

    /// Its containers and their images, as they are written.
    pub fn containers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.images.iter().map(|(name, image)| (name.as_str(), image.as_str()))
    }

    /// The images, as they are written.
    pub fn images(&self) -> impl Iterator<Item = &str> {
        self.images.iter().map(|(_, image)| image.as_str())
    }

    /// As the domain knows it: the tag of the container that is meant, or of the first, and the hash of everything.
    ///
    /// The tag alone would call two templates by one name that differ in a variable. What stands behind the plus is
    /// build metadata, which no tag can hold: a pipeline that posts the tag means this version.
    pub fn revision(&self, container: Option<&str>) -> Revision {
        let named = |name: &&str| self.images.iter().find(|(known, _)| known == *name);
        let image = container.as_ref().and_then(named).or_else(|| self.images.first());
        let digest: String = self.version.iter().map(|byte| format!("{byte:02x}")).collect();
        let tag = image.map_or("no-image", |(_, image)| tag(image));
        let version = format!("{tag}+{}", &digest[..SHORT]);
        Revision { version, digest: Some(format!("sha256:{digest}")) }
    }
}

/// An image without its tag and its digest.
pub(super) fn repository(image: &str) -> &str {
    let name = image.split_once('@').map_or(image, |(name, _)| name);
    let last = name.rfind('/').map_or(0, |slash| slash + 1);
    name[last..].find(':').map_or(name, |colon| &name[..last + colon])
}

/// The tag of an image; of one that is pinned without a tag, the beginning of its digest.
fn tag(image: &str) -> &str {
    let (name, digest) = image.split_once('@').map_or((image, None), |(n, d)| (n, Some(d)));
    // A colon before the last slash is a port.
    let last = name.rsplit('/').next().unwrap_or(name);
    match (last.split_once(':'), digest) {
        (Some((_, tag)), _) => tag,
        (None, Some(digest)) => {
            let hex = digest.split_once(':').map_or(digest, |(_, hex)| hex);
            hex.get(..12).unwrap_or(hex)
        }
        (None, None) => "latest",
    }
}

fn hash_without(template: &Value, skip: &[(&str, &str)]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    let Value::Object(parts) = template else { return hasher.finalize().into() };
    for (part, value) in sorted(parts) {
        hasher.update(part);
        match (part, value.as_object()) {
            ("metadata", Some(meta)) => metadata(&mut hasher, meta, skip),
            (_, _) => feed(&mut hasher, value),
        }
    }
    hasher.finalize().into()
}

/// Labels and annotations are all that a template's metadata says of its pods.
fn metadata(hasher: &mut Sha256, meta: &Map<String, Value>, skip: &[(&str, &str)]) {
    for part in ["annotations", "labels"] {
        let Some(Value::Object(pairs)) = meta.get(part) else { continue };
        for (name, value) in sorted(pairs) {
            if !skip.contains(&(part, name)) {
                hasher.update(format!("{part}/{name}="));
                feed(hasher, value);
            }
        }
    }
}

/// By the order of keys and not by that of the text; what is null is not there.
fn feed(hasher: &mut Sha256, value: &Value) {
    match value {
        Value::Object(map) => {
            hasher.update("{");
            for (key, value) in sorted(map).filter(|(_, value)| !value.is_null()) {
                hasher.update(key.len().to_be_bytes());
                hasher.update(key);
                feed(hasher, value);
            }
            hasher.update("}");
        }
        Value::Array(all) => {
            hasher.update("[");
            all.iter().for_each(|value| feed(hasher, value));
            hasher.update("]");
        }
        Value::String(text) => {
            hasher.update(b"s");
            hasher.update(text.len().to_be_bytes());
            hasher.update(text);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {
            hasher.update(format!("n{value};"));
        }
    }
}

fn sorted(map: &Map<String, Value>) -> impl Iterator<Item = (&str, &Value)> {
    let mut pairs: Vec<_> = map.iter().map(|(key, value)| (key.as_str(), value)).collect();
    pairs.sort_by_key(|(key, _)| *key);
    pairs.into_iter()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn template() -> Value {
        json!({
            "metadata": { "labels": { "app": "shop" } },
            "spec": { "containers": [
                { "name": "proxy", "image": "registry:5000/envoy:1.30" },
                { "name": "app", "image": "registry:5000/shop/app:1.4.2", "env": [{ "name": "A", "value": "1" }] },
            ] },
        })
    }

    fn with(pointer: &str, key: &str, value: Value) -> Template {
        let mut changed = template();
        changed.pointer_mut(pointer).expect("a part of the template")[key] = value;
        Template::of(&changed)
    }

    #[test]
    fn a_version_is_what_a_template_says_and_a_restart_says_nothing() {
        let before = Template::of(&template());
        let labelled = with("/metadata/labels", "pod-template-hash", json!("7c9d8b6f5"));
        assert!(labelled.is_exactly(&before));
        assert_eq!(labelled.revision(None), before.revision(None));
        let mut restarted = template();
        restarted["metadata"]["annotations"] = json!({ RESTARTED_AT: "2026-11-27T12:00:00Z" });
        let restarted = Template::of(&restarted);
        assert!(!restarted.is_exactly(&before), "the controller makes a ReplicaSet of its own");
        assert_eq!(restarted.revision(None), before.revision(None));
        let unknown = with("/spec", "aFieldOfTheYear2030", json!(true));
        assert_ne!(unknown.revision(None), before.revision(None));
        assert!(with("/metadata", "creationTimestamp", Value::Null).is_exactly(&before));
        assert!(with("/spec", "hostname", Value::Null).is_exactly(&before));
    }

    #[test]
    fn two_templates_of_one_tag_are_two_versions_by_name_too() {
        let before = Template::of(&template()).revision(Some("app"));
        let after = with("/spec/containers/1/env/0", "value", json!("2")).revision(Some("app"));
        assert!(before.version.starts_with("1.4.2+") && after.version.starts_with("1.4.2+"));
        assert_ne!(before.version, after.version);
        assert!(!before.agrees_with(&after));
    }

    #[test]
    fn a_version_is_called_by_the_tag_of_the_container_that_is_meant() {
        let called = |container| {
            let version = Template::of(&template()).revision(container).version;
            version.split('+').next().unwrap_or_default().to_owned()
        };
        assert_eq!(called(None), "1.30", "the first");
        assert_eq!(called(Some("app")), "1.4.2");
        assert_eq!(called(Some("nobody")), "1.30");
        for (image, name) in [
            ("shop", "latest"),
            ("localhost:5000/shop", "latest"),
            ("shop:v2@sha256:0123456789abcdef", "v2"),
            ("shop@sha256:0123456789abcdef", "0123456789ab"),
        ] {
            assert_eq!(tag(image), name);
        }
        for (image, name) in [
            ("shop", "shop"),
            ("localhost:5000/shop", "localhost:5000/shop"),
            ("localhost:5000/shop:v2", "localhost:5000/shop"),
            ("eu/shop:v2@sha256:0123456789abcdef", "eu/shop"),
        ] {
            assert_eq!(repository(image), name);
        }
    }

    #[test]
    fn texts_that_join_alike_hash_apart() {
        let args = |args: Value| with("/spec/containers/0", "args", args);
        assert!(!args(json!(["a", "b"])).is_exactly(&args(json!(["ab"]))));
        assert!(!args(json!(["1"])).is_exactly(&args(json!([1]))));
    }
}

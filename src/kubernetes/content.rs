//! What a pod template refers to as its configuration, and which content that has: by its hash.

use std::collections::BTreeMap;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::domain::configuration::Kind;

/// Written into each namespace by the cluster itself: nobody's configuration.
const OF_THE_CLUSTER: &str = "kube-root-ca.crt";

/// An object that a template refers to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: Box<str>,
    /// Whether pods start without it.
    pub optional: bool,
}

/// All ConfigMaps and Secrets that a template refers to, by kind and name, each once.
///
/// What its images are pulled with is none of it: no container reads that.
pub fn references(template: &Value) -> Box<[Reference]> {
    let mut found: BTreeMap<(Kind, &str), bool> = BTreeMap::new();
    for (kind, at, key) in all(&template["spec"]) {
        let Some(name) = at[key].as_str().filter(|name| *name != OF_THE_CLUSTER) else { continue };
        let optional = at["optional"].as_bool().unwrap_or(false);
        // Needed once is needed.
        *found.entry((kind, name)).or_insert(true) &= optional;
    }
    let each = found.into_iter();
    each.map(|((kind, name), optional)| Reference { kind, name: name.into(), optional }).collect()
}

fn each(of: &Value) -> impl Iterator<Item = &Value> {
    of.as_array().into_iter().flatten()
}

/// Each place that may name one, and under which key.
fn all(spec: &Value) -> impl Iterator<Item = (Kind, &Value, &'static str)> {
    let containers = ["initContainers", "containers"].into_iter().flat_map(|of| each(&spec[of]));
    let of_containers = containers.flat_map(|container| {
        let whole = each(&container["envFrom"]).flat_map(|from| {
            [
                (Kind::ConfigMap, &from["configMapRef"], "name"),
                (Kind::Secret, &from["secretRef"], "name"),
            ]
        });
        let single = each(&container["env"]).flat_map(|variable| {
            let from = &variable["valueFrom"];
            [
                (Kind::ConfigMap, &from["configMapKeyRef"], "name"),
                (Kind::Secret, &from["secretKeyRef"], "name"),
            ]
        });
        whole.chain(single)
    });
    let of_volumes = each(&spec["volumes"]).flat_map(|volume| {
        let projected = each(&volume["projected"]["sources"]).flat_map(|source| {
            [
                (Kind::ConfigMap, &source["configMap"], "name"),
                (Kind::Secret, &source["secret"], "name"),
            ]
        });
        let own = [
            (Kind::ConfigMap, &volume["configMap"], "name"),
            (Kind::Secret, &volume["secret"], "secretName"),
        ];
        own.into_iter().chain(projected)
    });
    of_containers.chain(of_volumes)
}

/// The hash of what a ConfigMap or a Secret holds: of its keys and what stands under them, whoever wrote them in which order.
pub fn digest(object: &Value) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in ["data", "binaryData"] {
        let Some(pairs) = object[part].as_object() else { continue };
        let sorted: BTreeMap<&String, &Value> = pairs.iter().collect();
        for (key, value) in sorted {
            let value = value.as_str().unwrap_or_default();
            // Lengths, for a text may hold what would separate it from the next.
            hasher.update(format!("{part}/{key}={}:", value.len()));
            hasher.update(value);
        }
    }
    hasher.finalize().into()
}

/// As the domain knows it.
pub fn in_words(digest: &[u8; 32]) -> String {
    format!("sha256:{}", crate::domain::plan::hex(digest))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whatever_a_template_reads_is_found_once_wherever_it_is_named() {
        let template = json!({ "spec": {
            "imagePullSecrets": [{ "name": "registry" }],
            "initContainers": [{ "envFrom": [{ "configMapRef": { "name": "init" } }] }],
            "containers": [{
                "env": [
                    { "name": "A", "value": "1" },
                    { "name": "B", "valueFrom": { "configMapKeyRef": { "name": "env", "key": "b", "optional": true } } },
                    { "name": "C", "valueFrom": { "secretKeyRef": { "name": "token", "key": "c" } } },
                    { "name": "D", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } },
                ],
                "envFrom": [{ "configMapRef": { "name": "env" } }, { "secretRef": { "name": "env" } }],
            }],
            "volumes": [
                { "name": "a", "configMap": { "name": "files", "optional": true } },
                { "name": "b", "secret": { "secretName": "certificate" } },
                { "name": "c", "projected": { "sources": [
                    { "configMap": { "name": "kube-root-ca.crt" } }, { "configMap": { "name": "projected" } },
                    { "secret": { "name": "projected" } }, { "serviceAccountToken": { "path": "token" } },
                ] } },
                { "name": "d", "emptyDir": {} },
            ],
        } });
        let found = references(&template);
        let named = |wanted: Kind| -> Vec<(&str, bool)> {
            let of = found.iter().filter(|it| it.kind == wanted);
            of.map(|it| (&*it.name, it.optional)).collect()
        };
        let maps = [("env", false), ("files", true), ("init", false), ("projected", false)];
        assert_eq!(named(Kind::ConfigMap), maps);
        let secrets = ["certificate", "env", "projected", "token"].map(|name| (name, false));
        assert_eq!(named(Kind::Secret), secrets);
        assert!(references(&json!({ "spec": { "containers": [{}] } })).is_empty());
    }

    #[test]
    fn what_is_held_counts_and_nothing_else_does() {
        let map = |data: Value, binary: Value| json!({ "data": data, "binaryData": binary });
        let one = digest(&map(json!({ "a": "1", "b": "2" }), json!({ "c": "AAE=" })));
        let mut same = map(json!({ "b": "2", "a": "1" }), json!({ "c": "AAE=" }));
        same["metadata"] = json!({ "labels": { "team": "shop" } });
        same["immutable"] = json!(true);
        assert_eq!(digest(&same), one);
        for other in [
            map(json!({ "a": "1", "b": "3" }), json!({ "c": "AAE=" })),
            map(json!({ "a": "1", "b": "2" }), json!({ "c": "AAI=" })),
            map(json!({ "a": "1", "b": "2", "c": "AAE=" }), Value::Null),
            map(json!({ "a": "1:b=1:2" }), json!({ "c": "AAE=" })),
        ] {
            assert_ne!(digest(&other), one, "{other}");
        }
        assert_eq!(digest(&json!({})), digest(&map(json!({}), Value::Null)));
    }
}

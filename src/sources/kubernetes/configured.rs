//! What a Deployment's pods read beside their image: from what is known of its cluster.

use super::{
    cluster::{Cluster, DeploymentKept},
    objects::{Key, Kind},
};
use crate::{
    domain::configuration::{self, Configuration, Item, Seen, Written},
    kubernetes::content::{self, Reference},
    units::UnixMs,
};

/// Which of it is watched, and why nobody can tell, where that is so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// Whether ConfigMaps are.
    pub config_maps: bool,
    /// Whether Secrets are.
    pub secrets: bool,
    /// Whether it reads something that is nowhere in the cluster, for which it matters since when its pods run.
    pub elsewhere: bool,
    /// Why nothing is known of what is watched.
    pub unknown: Option<String>,
}

impl Look {
    fn is_at(&self, kind: configuration::Kind) -> bool {
        match kind {
            configuration::Kind::ConfigMap => self.config_maps,
            configuration::Kind::Secret => self.secrets,
            configuration::Kind::AwsSecret => false,
        }
    }
}

impl Cluster {
    /// What a Deployment reads but for what is left out; none where it reads nothing else that is watched.
    pub fn configuration(&self, key: &Key, look: &Look, left_out: &[String]) -> Option<Seen> {
        let deployment = self.find(key)?;
        let is_part = |reference: &&Reference| {
            look.is_at(reference.kind) && !left_out.iter().any(|name| **name == *reference.name)
        };
        let reads: Vec<&Reference> = deployment.reads.iter().filter(is_part).collect();
        if reads.is_empty() && !look.elsewhere {
            return None;
        }
        if let Some(why) = look.unknown.as_ref().filter(|_| !reads.is_empty()) {
            return Some(Seen::Unknown(why.clone()));
        }
        let items: Vec<Item> =
            reads.iter().map(|reference| self.item(key, reference.kind, &reference.name)).collect();
        let parts = items.iter().map(|it| (it.kind, it.name.as_str(), it.digest.as_deref()));
        let newest = reads.iter().filter_map(|reference| {
            let held = self.held(reference.kind, &beside(key, &reference.name))?;
            let written = held.written.as_ref()?;
            Some((written.at?, reference, &written.by))
        });
        let newest = newest.max_by_key(|(at, ..)| *at);
        let written_at = newest.map(|(at, ..)| at);
        Some(Seen::Known(Box::new(Configuration {
            revision: configuration::revision(parts),
            written_at,
            written: newest.map(|(_, reference, by)| Written {
                what: format!("{} {}", reference.kind, reference.name),
                by: Some(by.to_string()),
            }),
            // What pods cannot start without, none that serves has read so.
            read_at: self
                .read_at(deployment, written_at)
                .filter(|_| self.missing(key, look).is_empty()),
            items,
            ..Configuration::default()
        })))
    }

    /// What pods cannot start without, and is not there.
    pub fn missing(&self, key: &Key, look: &Look) -> Vec<String> {
        let reads = self.find(key).map(|deployment| &*deployment.reads).unwrap_or_default();
        if look.unknown.is_some() {
            return vec![];
        }
        let is_missing = |reference: &&Reference| {
            !reference.optional
                && look.is_at(reference.kind)
                && self.held(reference.kind, &beside(key, &reference.name)).is_none()
        };
        let missing = reads.iter().filter(is_missing);
        missing
            .map(|it| format!("its pods read {} {}, which is not there", it.kind, it.name))
            .collect()
    }

    /// Adds to a configuration what else those that are kept consist of, as it is now.
    pub fn look_beside(&self, key: &Key, configuration: &mut Configuration) {
        let all = configuration.kept.iter().flat_map(|kept| &kept.items);
        let mut named: Vec<(configuration::Kind, &str)> =
            all.map(|item| (item.kind, item.name.as_str())).collect();
        named.sort_unstable();
        named.dedup();
        named.retain(|(kind, name)| {
            // What AWS has is no matter of the cluster's.
            *kind != configuration::Kind::AwsSecret
                && !configuration
                    .items
                    .iter()
                    .any(|item| (item.kind, &*item.name) == (*kind, *name))
        });
        configuration.beside =
            named.into_iter().map(|(kind, name)| self.item(key, kind, name)).collect();
    }

    /// Whether a Deployment reads that one.
    pub(super) fn reads(&self, key: &Key, kind: Kind, held: &Key) -> bool {
        let kind = match kind {
            Kind::ConfigMaps => configuration::Kind::ConfigMap,
            Kind::Secrets => configuration::Kind::Secret,
            Kind::Deployments | Kind::ReplicaSets | Kind::Pods => return false,
        };
        // One that is not referred to now may be what a kept configuration needs: its service looks now and then.
        key.namespace == held.namespace
            && self.find(key).is_some_and(|deployment| {
                deployment.reads.iter().any(|it| it.kind == kind && *it.name == *held.name)
            })
    }

    fn item(&self, key: &Key, kind: configuration::Kind, name: &str) -> Item {
        let held = self.held(kind, &beside(key, name));
        Item {
            kind,
            name: name.to_owned(),
            uid: held.map(|held| held.uid.to_string()),
            digest: held.map(|held| content::in_words(&held.digest)),
            immutable: held.is_some_and(|held| held.immutable),
            bars: None,
            owners: held.map(|held| held.owners.to_vec()).unwrap_or_default(),
        }
    }

    /// Since when every ready pod was made after the newest writing. Both are whole seconds: a pod of the same second is taken
    /// for one that was made after it, as by whoever edits and restarts in one go.
    fn read_at(&self, deployment: &DeploymentKept, written: Option<UnixMs>) -> Option<UnixMs> {
        let sets = self.replica_sets_of(deployment.uid);
        let pods = sets.iter().flat_map(|(_, set)| self.pods_of(set.uid));
        let ready = pods.map(|(_, pod)| pod).filter(|pod| pod.is_ready);
        let oldest = ready.map(|pod| pod.created_at).min()??;
        written.is_none_or(|written| oldest >= written).then_some(oldest)
    }
}

/// Where something of that name is, beside the Deployment.
fn beside(key: &Key, name: &str) -> Key {
    Key { namespace: key.namespace.clone(), name: name.into() }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::sources::kubernetes::{Deployment, Held, Said};

    const LOOK: Look = Look { config_maps: true, secrets: false, elsewhere: false, unknown: None };

    fn map(name: &str, text: &str, version: &str) -> Held {
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "data": { "a": text },
            "metadata": { "namespace": "shop", "name": name, "uid": name, "resourceVersion": version },
        });
        serde_json::from_value(map).unwrap()
    }

    fn reading(names: &[&str]) -> Cluster {
        let from: Vec<Value> =
            names.iter().map(|name| json!({ "configMapRef": { "name": name } })).collect();
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "namespace": "shop", "name": "checkout", "uid": "d" },
            "spec": { "template": { "spec": { "containers": [{ "name": "app", "envFrom": from }] } } },
        });
        let deployment: Deployment = serde_json::from_value(deployment).unwrap();
        let mut cluster = Cluster::default();
        cluster.deployment(Said::Is(deployment));
        cluster
    }

    fn key() -> Key {
        Key::new("shop", "checkout")
    }

    /// As long as it was there, all its pods have read it; deleted, none has read that.
    #[test]
    fn what_is_not_there_was_read_by_nobody() {
        let mut cluster = reading(&["settings"]);
        let of = |owner: &str, uid: &str, name: &str| {
            json!({
                "namespace": "shop", "name": name, "uid": name, "creationTimestamp": "2026-03-02T09:00:00Z",
                "ownerReferences": [{ "apiVersion": "apps/v1", "kind": owner, "controller": true, "name": "x", "uid": uid }],
            })
        };
        let set = json!({ "metadata": of("Deployment", "d", "set"), "spec": { "selector": {} } });
        cluster.replica_set(Said::Is(serde_json::from_value(set).unwrap()));
        let ready = json!({ "conditions": [{ "type": "Ready", "status": "True" }] });
        let pod =
            json!({ "metadata": of("ReplicaSet", "set", "pod"), "spec": {}, "status": ready });
        cluster.pod(Said::Is(serde_json::from_value(pod).unwrap()));
        let read_at = |cluster: &Cluster| match cluster.configuration(&key(), &LOOK, &[]) {
            Some(Seen::Known(found)) => found.read_at,
            other => panic!("{other:?}"),
        };
        cluster.config_map(Said::Is(map("settings", "1", "1")));
        assert!(read_at(&cluster).is_some());
        cluster.config_map(Said::Gone(map("settings", "1", "2")));
        assert_eq!(read_at(&cluster), None);
    }

    fn revision(cluster: &Cluster, left_out: &[&str]) -> String {
        let left_out: Vec<String> = left_out.iter().map(|name| (*name).to_owned()).collect();
        match cluster.configuration(&key(), &LOOK, &left_out) {
            Some(Seen::Known(found)) => found.revision.version,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_a_service_writes_to_itself_can_be_left_out() {
        let mut cluster = reading(&["leader", "settings"]);
        cluster.config_map(Said::Is(map("settings", "1", "1")));
        cluster.config_map(Said::Is(map("leader", "pod-1", "2")));
        let (all, part) = (revision(&cluster, &[]), revision(&cluster, &["leader"]));
        assert!(cluster.config_map(Said::Is(map("leader", "pod-2", "3"))).is_some());
        assert_ne!(revision(&cluster, &[]), all);
        assert_eq!(revision(&cluster, &["leader"]), part);
        assert_eq!(
            cluster.configuration(&key(), &LOOK, &["leader".into(), "settings".into()]),
            None
        );
    }

    #[test]
    fn a_map_that_is_written_without_another_content_is_no_news_and_another_namespaces_is_none() {
        let mut cluster = reading(&["settings"]);
        let settings = Key::new("shop", "settings");
        assert_eq!(cluster.config_map(Said::Is(map("settings", "1", "1"))), Some(settings.clone()));
        assert_eq!(cluster.config_map(Said::Is(map("settings", "1", "2"))), None);
        assert!(cluster.reads(&key(), Kind::ConfigMaps, &settings));
        assert!(!cluster.reads(&key(), Kind::Secrets, &settings));
        assert!(!cluster.reads(&key(), Kind::ConfigMaps, &Key::new("cart", "settings")));
        let unknown = Look { unknown: Some("forbidden".into()), ..LOOK };
        let seen = cluster.configuration(&key(), &unknown, &[]);
        assert_eq!(seen, Some(Seen::Unknown("forbidden".into())));
        assert_eq!(reading(&[]).configuration(&key(), &unknown, &[]), None, "it reads nothing");
        let elsewhere = Look { elsewhere: true, ..unknown.clone() };
        let Some(Seen::Known(nothing)) = reading(&[]).configuration(&key(), &elsewhere, &[]) else {
            panic!("what it reads elsewhere is no matter of the cluster's");
        };
        assert!(nothing.items.is_empty() && nothing.read_at.is_none(), "no pod is ready");
        let gone = map("settings", "1", "3");
        assert_eq!(cluster.config_map(Said::Gone(gone)), Some(settings));
        let said = cluster.missing(&key(), &LOOK);
        assert_eq!(said, ["its pods read ConfigMap settings, which is not there"]);
        assert!(cluster.missing(&key(), &unknown).is_empty());
    }
}

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
    /// Why nothing is known of what is watched.
    pub unknown: Option<String>,
}

impl Look {
    fn is_at(&self, kind: configuration::Kind) -> bool {
        match kind {
            configuration::Kind::ConfigMap => self.config_maps,
            configuration::Kind::Secret => self.secrets,
        }
    }
}

impl Cluster {
    /// What a Deployment reads; none where it reads nothing that is watched.
    pub fn configuration(&self, key: &Key, look: &Look) -> Option<Seen> {
        let deployment = self.find(key)?;
        let reads = deployment.reads.iter().filter(|reference| look.is_at(reference.kind));
        let reads: Vec<&Reference> = reads.collect();
        if reads.is_empty() {
            return None;
        }
        if let Some(why) = &look.unknown {
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
            read_at: self.read_at(deployment, written_at),
            items,
            kept: vec![],
            beside: vec![],
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
            !configuration.items.iter().any(|item| (item.kind, &*item.name) == (*kind, *name))
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
            owners: held.map(|held| held.owners.to_vec()).unwrap_or_default(),
        }
    }

    /// Since when every ready pod was made after the newest writing. Both are whole seconds: a pod of the same second is taken
    /// for one that was made after it, as by whoever edits and restarts in one go.
    fn read_at(&self, deployment: &DeploymentKept, written: Option<UnixMs>) -> Option<UnixMs> {
        let sets = self.replica_sets_of(deployment.uid);
        let pods = sets.iter().flat_map(|(_, set)| self.pods_of(set.uid));
        let ready = pods.filter(|pod| pod.is_ready);
        let oldest = ready.map(|pod| pod.created_at).min()??;
        written.is_none_or(|written| oldest >= written).then_some(oldest)
    }
}

/// Where something of that name is, beside the Deployment.
fn beside(key: &Key, name: &str) -> Key {
    Key { namespace: key.namespace.clone(), name: name.into() }
}

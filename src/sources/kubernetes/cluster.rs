//! What is known of a cluster: its Deployments with their ReplicaSets and pods, each cut down to what is looked at.
//!
//! Pure: it is told what the API server said, and never asks.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use smol_str::SmolStr;

use super::{
    held::{self, HeldKept},
    kept::Kept,
    objects::{self, Deployment, Held, Key, Kind, Pod, ReplicaSet, Uid},
    who,
};
use crate::{
    domain::{configuration, owner::Owner, previous::Previous},
    kubernetes::{
        content::{Reference, references},
        owners::{self, annotation},
        previous,
        pulls::Pulls,
        status::PodStatus,
        stopped,
        template::Template,
        trouble::{self, Trouble},
    },
    units::UnixMs,
};

const REVISION: &str = "deployment.kubernetes.io/revision";
const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
const CHANGE_CAUSE: &str = "kubernetes.io/change-cause";
/// So much of what people wrote is kept.
const TEXT_MAX: usize = 200;

/// What the API server said of objects of one kind.
#[derive(Clone, Debug)]
pub enum Said<K> {
    /// A list begins.
    Begins,
    /// One of the list.
    Listed(K),
    /// The list is whole.
    Whole,
    /// It is new, or changed.
    Is(K),
    /// It is gone.
    Gone(K),
}

/// A Deployment.
#[derive(Debug)]
pub(super) struct DeploymentKept {
    pub(super) uid: Uid,
    pub(super) wanted: u32,
    /// How many a rollback has taken away, where it has none since.
    pub(super) stopped: Option<u32>,
    pub(super) paused: bool,
    pub(super) template: Template,
    /// Who last wrote the template, and when.
    pub(super) written: Option<who::Written>,
    /// What else sets it.
    pub(super) owners: Box<[Owner]>,
    /// What its template refers to.
    pub(super) reads: Box<[Reference]>,
    pub(super) is_observed: bool,
    /// Why it was last changed, as its controller will write beside the ReplicaSet.
    pub(super) cause: Option<Box<str>>,
    /// Why its controller does not get on.
    pub(super) stuck: Vec<String>,
    /// What it says that the version before was, where it does.
    pub(super) previous: Option<Box<Noted>>,
}

/// What is needed to tell which image an annotation names.
#[derive(Debug)]
pub(super) struct Noted {
    /// Annotations, each with what it says.
    says: Box<[(SmolStr, Box<str>)]>,
    /// The whole template, as text: it takes a few kilobytes, of those Deployments alone that say so.
    template: Box<[u8]>,
}

/// A ReplicaSet.
#[derive(Debug)]
pub(super) struct ReplicaSetKept {
    pub(super) uid: Uid,
    pub(super) template: Template,
    pub(super) created_at: Option<UnixMs>,
    /// The controller's number for it, which moves when it is used again.
    pub(super) number: u64,
    /// Whether it was used again after another.
    pub(super) is_reused: bool,
    pub(super) cause: Option<Box<str>>,
}

/// A pod that is neither gone nor going.
#[derive(Debug)]
pub(super) struct PodKept {
    pub(super) created_at: Option<UnixMs>,
    pub(super) is_ready: bool,
    pub(super) trouble: Option<Box<Trouble>>,
    /// How often its containers were started again, and when the last of them had ended.
    pub(super) restarts: u32,
    pub(super) restarted_at: Option<UnixMs>,
    /// What each container runs, by the hash of its manifest, while it is ready.
    pub(super) ran: Box<[(SmolStr, [u8; 32])]>,
}

/// What is known of one cluster.
#[derive(Debug, Default)]
pub struct Cluster {
    deployments: Kept<DeploymentKept>,
    replica_sets: Kept<ReplicaSetKept>,
    pods: Kept<PodKept>,
    config_maps: Kept<HeldKept>,
    secrets: Kept<HeldKept>,
    /// The annotations of Deployments that are read.
    annotations: BTreeSet<String>,
    /// What a ReplicaSet belongs to, and a Deployment is called.
    deployment_of: BTreeMap<Uid, Uid>,
    key_of: BTreeMap<Uid, Key>,
}

/// Deployments, and what pods read, have no owner that matters.
pub(super) fn nobody() -> Uid {
    Uid::of("")
}

impl Cluster {
    /// One in which these annotations of Deployments are read, too.
    pub fn reading(annotations: &BTreeSet<String>) -> Self {
        Self { annotations: annotations.clone(), ..Self::default() }
    }

    /// Takes what was said of a Deployment; which one it is about.
    pub fn deployment(&mut self, said: Said<Deployment>) -> Option<Key> {
        match said {
            Said::Begins => self.deployments.begin(),
            Said::Whole => {
                self.deployments.finish();
                let known = &self.deployments;
                self.key_of.retain(|uid, key| {
                    known.get(nobody(), key).is_some_and(|kept| kept.uid == *uid)
                });
            }
            Said::Listed(object) => {
                let (key, record) = deployment_kept(&object, &self.annotations);
                self.key_of.insert(record.uid, key.clone());
                self.deployments.arrive(nobody(), key, record);
            }
            Said::Is(object) => {
                let (key, record) = deployment_kept(&object, &self.annotations);
                self.key_of.insert(record.uid, key.clone());
                self.deployments.put(nobody(), key.clone(), record);
                return Some(key);
            }
            Said::Gone(object) => {
                let key = Key::of(&object.metadata);
                self.key_of.remove(&objects::uid(&object.metadata));
                self.deployments.take(&key);
                return Some(key);
            }
        }
        None
    }

    /// Takes what was said of a ReplicaSet; which Deployment it is about.
    pub fn replica_set(&mut self, said: Said<ReplicaSet>) -> Option<Key> {
        match said {
            Said::Begins => self.replica_sets.begin(),
            Said::Whole => {
                self.replica_sets.finish();
                let known = &self.replica_sets;
                self.deployment_of
                    .retain(|set, of| known.of(*of).any(|(_, kept)| kept.uid == *set));
            }
            Said::Listed(object) | Said::Is(object)
                if objects::controller(&object.metadata, "Deployment").is_none() => {}
            Said::Listed(object) => {
                let owner = self.note_owner(&object)?;
                let (key, record) = replica_set_kept(&object);
                self.replica_sets.arrive(owner, key, record);
            }
            Said::Is(object) => {
                let owner = self.note_owner(&object)?;
                let (key, record) = replica_set_kept(&object);
                self.replica_sets.put(owner, key, record);
                return self.key_of.get(&owner).cloned();
            }
            Said::Gone(object) => {
                self.deployment_of.remove(&objects::uid(&object.metadata));
                let owner = self.replica_sets.take(&Key::of(&object.metadata))?;
                return self.key_of.get(&owner).cloned();
            }
        }
        None
    }

    fn note_owner(&mut self, object: &ReplicaSet) -> Option<Uid> {
        let owner = objects::controller(&object.metadata, "Deployment")?;
        self.deployment_of.insert(objects::uid(&object.metadata), owner);
        Some(owner)
    }

    /// Takes what was said of a pod; which Deployment it is about.
    pub fn pod(&mut self, said: Said<Pod>) -> Option<Key> {
        let owner = match said {
            Said::Begins => {
                self.pods.begin();
                None
            }
            Said::Whole => {
                self.pods.finish();
                None
            }
            Said::Listed(object) => {
                if let (Some(owner), Some(record)) = (owner_of(&object), pod_kept(&object)) {
                    self.pods.arrive(owner, Key::of(&object.metadata), record);
                }
                None
            }
            Said::Is(object) => {
                let (owner, key) = (owner_of(&object)?, Key::of(&object.metadata));
                match pod_kept(&object) {
                    Some(record) => self.pods.put(owner, key, record),
                    None => _ = self.pods.take(&key),
                }
                Some(owner)
            }
            Said::Gone(object) => self.pods.take(&Key::of(&object.metadata)),
        };
        self.key_of.get(self.deployment_of.get(&owner?)?).cloned()
    }

    /// Takes what was said of a ConfigMap; which one it is about, where what it holds is news.
    pub fn config_map(&mut self, said: Said<Held>) -> Option<Key> {
        held::take(&mut self.config_maps, said)
    }

    /// The same of a Secret.
    pub fn secret(&mut self, said: Said<Held>) -> Option<Key> {
        held::take(&mut self.secrets, said)
    }

    pub(super) fn held(&self, kind: configuration::Kind, key: &Key) -> Option<&HeldKept> {
        match kind {
            configuration::Kind::ConfigMap => self.config_maps.get(nobody(), key),
            configuration::Kind::Secret => self.secrets.get(nobody(), key),
            configuration::Kind::AwsSecret => None,
        }
    }

    pub(super) fn find(&self, key: &Key) -> Option<&DeploymentKept> {
        self.deployments.get(nobody(), key)
    }

    /// What a Deployment says that the version before was; none where it says nothing.
    pub fn previous(
        &self,
        key: &Key,
        container: Option<&str>,
        options: &previous::Options,
    ) -> Option<Previous> {
        let Noted { says, template } = &**self.find(key)?.previous.as_ref()?;
        let (_, said) = says.iter().find(|(name, _)| *name == *options.annotation)?;
        let template = serde_json::from_slice(template).unwrap_or_default();
        Some(previous::named(said, &template, container, options))
    }

    pub(super) fn replica_sets_of(&self, deployment: Uid) -> Vec<(&Key, &ReplicaSetKept)> {
        self.replica_sets.of(deployment).collect()
    }

    pub(super) fn pods_of(&self, replica_set: Uid) -> impl Iterator<Item = (&Key, &PodKept)> {
        self.pods.of(replica_set)
    }

    /// The pods of the version that a Deployment is set to, by name.
    pub(super) fn pods_named(&self, key: &Key) -> Result<Vec<String>, String> {
        let deployment = self.find(key).ok_or_else(|| format!("there is no Deployment {key}"))?;
        let version = deployment.template.revision(None);
        let sets = self.replica_sets.of(deployment.uid).map(|(_, set)| set);
        let of_it = sets.filter(|set| set.template.revision(None) == version);
        let pods = of_it.flat_map(|set| self.pods.of(set.uid));
        Ok(pods.map(|(key, _)| key.name.to_string()).collect())
    }

    /// What pods of a version of a Deployment need of registries, while anything there holds its template.
    pub(super) fn pulls_of(&self, key: &Key, digest: &str) -> Option<Pulls> {
        let deployment = self.find(key)?;
        let sets = self.replica_sets.of(deployment.uid).map(|(_, set)| &set.template);
        let mut all = std::iter::once(&deployment.template).chain(sets);
        all.find(|template| template.has_digest(digest)).map(|template| template.pulls().clone())
    }

    /// How many of a kind are kept.
    pub fn count(&self, kind: Kind) -> usize {
        match kind {
            Kind::Deployments => self.deployments.count(),
            Kind::ReplicaSets => self.replica_sets.count(),
            Kind::Pods => self.pods.count(),
            Kind::ConfigMaps => self.config_maps.count(),
            Kind::Secrets => self.secrets.count(),
        }
    }
}

fn deployment_kept(object: &Deployment, annotations: &BTreeSet<String>) -> (Key, DeploymentKept) {
    let (meta, spec) = (&object.metadata, &object.spec);
    let status = object.status.clone().unwrap_or_default();
    let wanted = u32::try_from(spec.replicas.unwrap_or(1)).unwrap_or(0);
    // Whoever scaled it by hand since has given it what it is to have.
    let note = annotation(meta, stopped::ANNOTATION).filter(|_| wanted == 0);
    let record = DeploymentKept {
        uid: objects::uid(meta),
        wanted,
        stopped: note.and_then(stopped::had),
        paused: spec.paused,
        template: Template::of(&spec.template),
        written: who::wrote_template(meta.managed_fields.as_deref().unwrap_or_default()),
        owners: owners::of(meta),
        reads: references(&spec.template),
        is_observed: meta.generation.is_none_or(|wanted| status.observed_generation >= wanted),
        cause: cause(meta),
        stuck: trouble::of_controller(&status.conditions),
        previous: noted(object, annotations),
    };
    (Key::of(meta), record)
}

fn noted(object: &Deployment, annotations: &BTreeSet<String>) -> Option<Box<Noted>> {
    let said = |name: &String| {
        let said = annotation(&object.metadata, name)?;
        Some((SmolStr::new(name), trouble::cut(said, TEXT_MAX).into()))
    };
    let says: Box<[_]> = annotations.iter().filter_map(said).collect();
    let template = || serde_json::to_vec(&object.spec.template).unwrap_or_default().into();
    (!says.is_empty()).then(|| Box::new(Noted { says, template: template() }))
}

fn replica_set_kept(object: &ReplicaSet) -> (Key, ReplicaSetKept) {
    let meta = &object.metadata;
    let number = annotation(meta, REVISION).and_then(|number| number.parse().ok());
    let record = ReplicaSetKept {
        uid: objects::uid(meta),
        template: Template::of(&object.spec.template),
        created_at: objects::created(meta),
        number: number.unwrap_or(0),
        is_reused: annotation(meta, REVISION_HISTORY).is_some_and(|before| !before.is_empty()),
        cause: cause(meta),
    };
    (Key::of(meta), record)
}

fn cause(meta: &ObjectMeta) -> Option<Box<str>> {
    annotation(meta, CHANGE_CAUSE).map(|cause| trouble::cut(cause, TEXT_MAX).into())
}

fn owner_of(pod: &Pod) -> Option<Uid> {
    objects::controller(&pod.metadata, "ReplicaSet")
}

/// Nothing of a pod that has ended or is being deleted: it serves nobody.
fn pod_kept(object: &Pod) -> Option<PodKept> {
    let status = object.status.clone().unwrap_or_default();
    let ended = matches!(status.phase.as_str(), "Succeeded" | "Failed");
    if ended || object.metadata.deletion_timestamp.is_some() {
        return None;
    }
    Some(PodKept {
        created_at: objects::created(&object.metadata),
        is_ready: status.is_ready(),
        trouble: trouble::of_pod(&status).map(Box::new),
        restarts: status.restarts(),
        restarted_at: status.restarted_at(),
        ran: if status.is_ready() { ran(&status) } else { Box::default() },
    })
}

/// By manifests alone: what some runtimes tell without an `@` is the hash of something else.
fn ran(status: &PodStatus) -> Box<[(SmolStr, [u8; 32])]> {
    let each = status.container_statuses.iter().filter_map(|it| {
        let (_, hex) = it.image_id.split_once("@sha256:")?;
        let mut digest = [0; 32];
        for (byte, at) in digest.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()?;
        }
        Some((it.name.clone(), digest))
    });
    each.collect()
}

//! The parts of Kubernetes objects that are looked at. What else an object holds is not kept, not even for a moment.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::core::{ApiResource, DynamicObject, Object};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use smol_str::SmolStr;

use crate::kubernetes::status::{Condition, PodStatus};
use crate::units::UnixMs;

/// A Deployment.
pub type Deployment = Object<DeploymentSpec, DeploymentStatus>;
/// One template that a Deployment has had.
pub type ReplicaSet = Object<ReplicaSetSpec, Nothing>;
/// A pod.
pub type Pod = Object<Nothing, PodStatus>;

/// A ConfigMap or a Secret, for the moment in which its hash is made of it.
pub type Held = DynamicObject;

/// A part that is not looked at.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Nothing {}

/// What a Deployment is to be.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeploymentSpec {
    /// How many pods; one where it is left out.
    pub replicas: Option<i32>,
    /// Whether its controller leaves it alone.
    pub paused: bool,
    /// As the API server has it: fields that this daemon does not know tell templates apart, too.
    pub template: Value,
}

/// What its controller says of it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeploymentStatus {
    /// Which generation it speaks about.
    pub observed_generation: i64,
    /// How it gets on.
    pub conditions: Vec<Condition>,
}

/// What a ReplicaSet is to be.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReplicaSetSpec {
    /// The template, with the label that tells its pods.
    pub template: Value,
}

/// The kinds that are watched, as the API names them.
pub(super) fn resource(kind: Kind) -> ApiResource {
    let (group, api_version, name, plural) = match kind {
        Kind::Deployments => ("apps", "apps/v1", "Deployment", "deployments"),
        Kind::ReplicaSets => ("apps", "apps/v1", "ReplicaSet", "replicasets"),
        Kind::Pods => ("", "v1", "Pod", "pods"),
        Kind::ConfigMaps => ("", "v1", "ConfigMap", "configmaps"),
        Kind::Secrets => ("", "v1", "Secret", "secrets"),
    };
    ApiResource {
        group: group.into(),
        version: "v1".into(),
        api_version: api_version.into(),
        kind: name.into(),
        plural: plural.into(),
    }
}

/// What is watched of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// What is rolled out.
    Deployments,
    /// What was rolled out, and is.
    ReplicaSets,
    /// What runs.
    Pods,
    /// What it reads.
    ConfigMaps,
    /// What it reads and nobody is to see.
    Secrets,
}

impl Kind {
    /// Those by which it is known what serves.
    pub const ALL: [Self; 3] = [Self::Deployments, Self::ReplicaSets, Self::Pods];

    /// As in a sentence.
    pub fn name(self) -> &'static str {
        match self {
            Self::Deployments => "deployments",
            Self::ReplicaSets => "replicasets",
            Self::Pods => "pods",
            Self::ConfigMaps => "configmaps",
            Self::Secrets => "secrets",
        }
    }
}

/// Which object: another one of the same name has another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Uid(u128);

impl Uid {
    /// Of its text, which is a UUID unless somebody makes up another.
    pub(super) fn of(text: &str) -> Self {
        let hex: String = text.chars().filter(|c| *c != '-').collect();
        let parsed = (hex.len() == 32).then(|| u128::from_str_radix(&hex, 16).ok()).flatten();
        Self(parsed.unwrap_or_else(|| {
            let hash = Sha256::digest(text);
            u128::from_be_bytes(hash[..16].try_into().unwrap_or_default())
        }))
    }
}

/// As the API server writes it.
impl std::fmt::Display for Uid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hex = format!("{:032x}", self.0);
        let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
        f.write_str(&parts.join("-"))
    }
}

/// Where an object is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Its namespace.
    pub namespace: SmolStr,
    /// Its name.
    pub name: SmolStr,
}

impl Key {
    /// Of what it is called.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// As the name of a service: a namespace has no dot.
    pub fn as_service(&self) -> String {
        format!("{}.{}", self.namespace, self.name)
    }

    pub(super) fn of(meta: &ObjectMeta) -> Self {
        let text = |text: &Option<String>| SmolStr::new(text.as_deref().unwrap_or_default());
        Self { namespace: text(&meta.namespace), name: text(&meta.name) }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

pub(super) fn uid(meta: &ObjectMeta) -> Uid {
    Uid::of(meta.uid.as_deref().unwrap_or_default())
}

/// What made it and cares for it, if that is of this kind.
pub(super) fn controller(meta: &ObjectMeta, kind: &str) -> Option<Uid> {
    let owns = |owner: &&OwnerReference| owner.controller == Some(true) && owner.kind == kind;
    let owner = meta.owner_references.as_deref().unwrap_or_default().iter().find(owns)?;
    Some(Uid::of(&owner.uid))
}

pub(super) fn created(meta: &ObjectMeta) -> Option<UnixMs> {
    meta.creation_timestamp.as_ref().map(|at| UnixMs(at.0.as_millisecond()))
}

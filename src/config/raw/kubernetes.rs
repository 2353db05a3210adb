//! Kubernetes clusters, and Deployments in them.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor},
};
use toml::Spanned;

use crate::{
    config::raw::{Placed, SecretRef},
    domain::owner::OwnerRule,
    sources::kubernetes::Of,
    units::Span,
};

/// `[kubernetes.NAME]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Kubernetes {
    pub(in crate::config) kubeconfig: Placed<String>,
    pub(in crate::config) context: Placed<String>,
    pub(in crate::config) in_cluster: Placed<bool>,
    pub(in crate::config) all_namespaces: bool,
    pub(in crate::config) labels: Placed<String>,
    pub(in crate::config) stale_after: Placed<Span>,
    pub(in crate::config) reopen_every: Placed<Span>,
    pub(in crate::config) connect_timeout: Placed<Span>,
    pub(in crate::config) page: Placed<u32>,
    pub(in crate::config) argocd_namespace: Placed<String>,
    pub(in crate::config) config_maps: Placed<bool>,
    pub(in crate::config) secrets: Placed<LookAtSecrets>,
    pub(in crate::config) secrets_key: Placed<SecretRef>,
    pub(in crate::config) events_max: Placed<usize>,
    pub(in crate::config) registries: Registries,
}

/// What is done with Secrets. It was once a yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum LookAtSecrets {
    Off,
    Hash,
    Encrypted,
}

impl<'de> Deserialize<'de> for LookAtSecrets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Look;

        impl Visitor<'_> for Look {
            type Value = LookAtSecrets;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one of `off`, `hash`, `encrypted`")
            }

            fn visit_bool<E: Error>(self, said: bool) -> Result<LookAtSecrets, E> {
                Ok(if said { LookAtSecrets::Hash } else { LookAtSecrets::Off })
            }

            fn visit_str<E: Error>(self, said: &str) -> Result<LookAtSecrets, E> {
                match said {
                    "off" => Ok(LookAtSecrets::Off),
                    "hash" => Ok(LookAtSecrets::Hash),
                    "encrypted" => Ok(LookAtSecrets::Encrypted),
                    _ => Err(E::unknown_variant(said, &["off", "hash", "encrypted"])),
                }
            }
        }
        deserializer.deserialize_any(Look)
    }
}

/// `[kubernetes.NAME.registries]`: whether what a version needs can still be pulled.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Registries {
    pub(in crate::config) ask: Placed<bool>,
    pub(in crate::config) timeout: Placed<Span>,
    pub(in crate::config) keep: Placed<Span>,
    pub(in crate::config) images_max: Placed<usize>,
    pub(in crate::config) at_once: Placed<usize>,
    pub(in crate::config) pull_secrets: Placed<bool>,
    pub(in crate::config) plain_http: Placed<Vec<String>>,
    pub(in crate::config) ca_file: Placed<String>,
}

/// `[service.KEY.rollback.application.kubernetes]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Deployment {
    pub(in crate::config) from: Placed<String>,
    pub(in crate::config) namespace: Spanned<String>,
    pub(in crate::config) deployment: Spanned<String>,
    pub(in crate::config) container: Placed<String>,
    pub(in crate::config) undo_timeout: Placed<Span>,
    pub(in crate::config) rollout_timeout: Placed<Span>,
    pub(in crate::config) stuck_after: Placed<Span>,
    pub(in crate::config) attempts: Placed<u32>,
    pub(in crate::config) look_every: Placed<Span>,
    pub(in crate::config) owner: Placed<OwnerRule>,
    pub(in crate::config) not_configuration: Placed<Vec<String>>,
    pub(in crate::config) previous_version_annotation: Placed<String>,
    pub(in crate::config) image_prefix: Placed<String>,
}

/// `[service.KEY.signal.NAME.kubernetes]`: how the Deployment stands, or what its pods' logs say.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Pods {
    pub(in crate::config) from: Placed<String>,
    pub(in crate::config) namespace: Placed<String>,
    pub(in crate::config) deployment: Placed<String>,
    pub(in crate::config) patterns: Placed<Vec<String>>,
    pub(in crate::config) lines: Placed<u32>,
    pub(in crate::config) within: Placed<Span>,
    pub(in crate::config) bytes_max: Placed<u32>,
    pub(in crate::config) pods_max: Placed<u32>,
    pub(in crate::config) of: Placed<Of>,
    pub(in crate::config) container: Placed<String>,
}

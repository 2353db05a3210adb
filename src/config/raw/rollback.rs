//! How a service is rolled back.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor, value::MapAccessDeserializer},
};
use toml::Spanned;

use crate::{
    config::raw::{Deployment, Frontend, Placed, SecretRef, Table},
    units::Span,
};

/// `[service.KEY.rollback]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Rollback {
    pub(in crate::config) application: Placed<Application>,
    pub(in crate::config) maintenance: Placed<Maintenance>,
    pub(in crate::config) database: Placed<Undo>,
    pub(in crate::config) snapshot: Placed<Restored>,
    pub(in crate::config) rds: Placed<Rds>,
    pub(in crate::config) before: Table<Script>,
    pub(in crate::config) after: Table<Script>,
    pub(in crate::config) check: Table<Script>,
    pub(in crate::config) job: Table<Job>,
}

/// `[service.KEY.rollback.application]`: the platform it runs on.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum Application {
    /// `releases/VERSION/` and a `current` symlink.
    Release(Release),
    /// A Deployment of a cluster.
    Kubernetes(Deployment),
    /// A site of static files.
    Frontend(Box<Frontend>),
}

/// `[service.KEY.rollback.application.release]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Release {
    pub(in crate::config) root: Spanned<String>,
    pub(in crate::config) restart: Restart,
    pub(in crate::config) running: Running,
    pub(in crate::config) switch_timeout: Placed<Span>,
    pub(in crate::config) restart_timeout: Placed<Span>,
    pub(in crate::config) attempts: Placed<u32>,
    pub(in crate::config) look_every: Placed<Span>,
    pub(in crate::config) look_every_watched: Placed<Span>,
}

/// `[service.KEY.rollback.maintenance]`: what is switched on while it is rolled back.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum Maintenance {
    /// Objects of the cluster.
    Kubernetes(Manifest),
    /// Programs.
    Command(Switch),
}

/// `[service.KEY.rollback.database]`: how its schema goes back with it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Undo {
    pub(in crate::config) undo: Placed<Vec<String>>,
    pub(in crate::config) cron_job: Placed<String>,
    pub(in crate::config) keep: Placed<Span>,
    pub(in crate::config) script: Placed<String>,
    pub(in crate::config) through: Placed<String>,
    pub(in crate::config) lock_timeout: Placed<Span>,
    #[serde(default)]
    pub(in crate::config) verify: BTreeMap<String, Spanned<String>>,
    #[serde(default)]
    pub(in crate::config) env: BTreeMap<String, EnvValue>,
    pub(in crate::config) dir: Placed<String>,
    pub(in crate::config) timeout: Placed<Span>,
    pub(in crate::config) stop_writes: Placed<Stop>,
    pub(in crate::config) stop: Placed<Vec<String>>,
    pub(in crate::config) start: Placed<Vec<String>>,
    pub(in crate::config) automatic: Placed<bool>,
}

/// `[service.KEY.rollback.snapshot]`: how its whole database is put back from one.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Restored {
    pub(in crate::config) files: Spanned<String>,
    pub(in crate::config) through: Spanned<String>,
    pub(in crate::config) pg_restore: Placed<String>,
    #[serde(default)]
    pub(in crate::config) options: Vec<Spanned<String>>,
    #[serde(default)]
    pub(in crate::config) lost: BTreeMap<String, Spanned<String>>,
    pub(in crate::config) time_zone: Placed<String>,
    pub(in crate::config) every: Placed<Span>,
    pub(in crate::config) every_watched: Placed<Span>,
    pub(in crate::config) files_max: Placed<usize>,
    pub(in crate::config) timeout: Placed<Span>,
    pub(in crate::config) stop_writes: Placed<Stop>,
    pub(in crate::config) stop: Placed<Vec<String>>,
    pub(in crate::config) start: Placed<Vec<String>>,
    #[serde(default)]
    pub(in crate::config) env: BTreeMap<String, EnvValue>,
    pub(in crate::config) dir: Placed<String>,
    pub(in crate::config) automatic: Placed<bool>,
}

/// `[service.KEY.rollback.rds]`: how its whole database is put back where RDS keeps it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Rds {
    pub(in crate::config) from: Placed<String>,
    pub(in crate::config) instance: Placed<String>,
    pub(in crate::config) cluster: Placed<String>,
    pub(in crate::config) snapshots: Placed<Kinds>,
    pub(in crate::config) snapshots_max: Placed<usize>,
    pub(in crate::config) max_age: Placed<Span>,
    pub(in crate::config) fallbacks: Placed<usize>,
    pub(in crate::config) time_zone: Placed<String>,
    pub(in crate::config) every: Placed<Span>,
    pub(in crate::config) every_watched: Placed<Span>,
    pub(in crate::config) wait_every: Placed<Span>,
    pub(in crate::config) timeout: Placed<Span>,
    pub(in crate::config) verify: BTreeMap<String, Spanned<String>>,
    pub(in crate::config) lost: BTreeMap<String, Spanned<String>>,
    pub(in crate::config) stop_writes: Placed<Stop>,
    pub(in crate::config) stop: Placed<Vec<String>>,
    pub(in crate::config) start: Placed<Vec<String>>,
    pub(in crate::config) env: BTreeMap<String, EnvValue>,
    pub(in crate::config) dir: Placed<String>,
    pub(in crate::config) automatic: Placed<bool>,
}

/// Which snapshots of RDS are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum Kinds {
    Any,
    Automated,
    Manual,
}

/// What keeps a service from writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum Stop {
    Scale,
    Command,
    No,
}

/// `[service.KEY.rollback.maintenance.command]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Switch {
    pub(in crate::config) on: Spanned<Vec<String>>,
    pub(in crate::config) off: Spanned<Vec<String>>,
    pub(in crate::config) observe: Spanned<Vec<String>>,
    #[serde(default)]
    pub(in crate::config) env: BTreeMap<String, EnvValue>,
    pub(in crate::config) dir: Placed<String>,
    pub(in crate::config) timeout: Placed<Span>,
    pub(in crate::config) attempts: Placed<u32>,
    pub(in crate::config) required: Placed<bool>,
    pub(in crate::config) page_after: Placed<Span>,
}

/// `[service.KEY.rollback.maintenance.kubernetes]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Manifest {
    pub(in crate::config) manifest: Spanned<String>,
    pub(in crate::config) timeout: Placed<Span>,
    pub(in crate::config) attempts: Placed<u32>,
    pub(in crate::config) required: Placed<bool>,
    pub(in crate::config) page_after: Placed<Span>,
}

/// How a switched release is made to serve.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum Restart {
    Unit(Spanned<String>),
    Command(Command),
}

/// How the version that serves is seen.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(in crate::config) enum Running {
    Http { url: Spanned<String>, pointer: Placed<String> },
    Command(Command),
    Unit(Spanned<String>),
}

/// A program with its arguments.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Command {
    pub(in crate::config) argv: Spanned<Vec<String>>,
    #[serde(default)]
    pub(in crate::config) env: BTreeMap<String, EnvValue>,
    pub(in crate::config) dir: Placed<String>,
    pub(in crate::config) timeout: Placed<Span>,
}

/// `[service.KEY.rollback.check.NAME]`, and `before` and `after`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Script {
    pub(in crate::config) title: Option<String>,
    pub(in crate::config) argv: Spanned<Vec<String>>,
    #[serde(default)]
    pub(in crate::config) env: BTreeMap<String, EnvValue>,
    pub(in crate::config) dir: Placed<String>,
    pub(in crate::config) timeout: Placed<Span>,
    pub(in crate::config) observe: Placed<Vec<String>>,
    pub(in crate::config) idempotent: Placed<bool>,
    pub(in crate::config) attempts: Placed<u32>,
}

/// `[service.KEY.rollback.job.NAME]`: a smoke test that the cluster runs.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Job {
    pub(in crate::config) title: Option<String>,
    pub(in crate::config) cron_job: Spanned<String>,
    pub(in crate::config) timeout: Placed<Span>,
    pub(in crate::config) keep: Placed<Span>,
    pub(in crate::config) attempts: Placed<u32>,
}

/// A variable of a command's environment: plain text, or a reference to a secret.
#[derive(Clone, Debug)]
pub(in crate::config) enum EnvValue {
    Text(String),
    Secret(SecretRef),
}

impl<'de> Deserialize<'de> for EnvValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = EnvValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, { file = \"...\" } or { env = \"...\" }")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<EnvValue, E> {
                Ok(EnvValue::Text(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<EnvValue, A::Error> {
                SecretRef::deserialize(MapAccessDeserializer::new(map)).map(EnvValue::Secret)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

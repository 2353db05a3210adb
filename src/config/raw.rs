//! The file, field for field. Nothing is checked here but shape and units.
//!
//! Keys are the kind (`signal.health.http`), for tagged tables lose the place of a fault. What a service may say for
//! itself is said with the same tables as for all, laid over them by [`Over`].

mod alerts;
mod aws;
mod database;
mod discover;
mod frontend;
mod intake;
mod kubernetes;
mod notify;
mod policy;
mod rollback;
mod service;
mod signal;
mod trigger;
mod word;

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

pub(super) use self::{
    alerts::Alertmanager,
    aws::{Aws, CloudWatch, Measured, Metric, Secret, Sns},
    database::{Actuator, Address, Check, Database, Migrated},
    discover::{Annotated, Discover},
    frontend::Frontend,
    intake::{Freeze, Http, Limits, Store, Tls, Token, Topics},
    kubernetes::{Deployment, Kubernetes, LookAtSecrets, Pods, Registries},
    notify::{Audience, Basic, Heartbeat, Log, Mention, Notify, Slack, Webhook},
    policy::{Baseline, Fleet, Guard, People, Row, Severities, Verification},
    rollback::{
        Application, Command, EnvValue, Job, Kinds, Maintenance, Manifest, Rds, Release, Restart,
        Restored, Rollback, Running, Script, Stop, Switch, Undo,
    },
    service::Service,
    signal::{Ask, BodyIs, Fold, Probe, Reach, Scrape, Server, Signal, Target},
    trigger::{Above, Escalation, Looks, Recurrent, Trigger},
    word::{One, OrOff, SECRET_IN_THE_FILE, SecretRef, Word},
};
use crate::{domain::service::Mode, units::Span};

/// Named tables, each with the place of its name.
pub(super) type Table<T> = BTreeMap<Spanned<String>, T>;

/// A value that may be left out, with its place.
pub(super) type Placed<T> = Option<Spanned<T>>;

/// What a service says for itself, over what is said for all.
pub(super) trait Over {
    /// `self` where it says something, `base` elsewhere.
    #[must_use]
    fn over(&self, base: &Self) -> Self;
}

impl<T: Clone> Over for Option<T> {
    fn over(&self, base: &Self) -> Self {
        self.as_ref().or(base.as_ref()).cloned()
    }
}

/// A table in which every key may be left out.
macro_rules! keys {
    ($(#[$on:meta])* $name:ident { $($(#[$doc:meta])* $key:ident: $kind:ty,)+ }) => {
        $(#[$on])*
        #[derive(Clone, Debug, Default, serde::Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub(in crate::config) struct $name { $($(#[$doc])* pub(in crate::config) $key: $kind,)+ }

        impl $crate::config::raw::Over for $name {
            fn over(&self, base: &Self) -> Self {
                Self { $($key: $crate::config::raw::Over::over(&self.$key, &base.$key),)+ }
            }
        }
    };
}
use keys;

/// The whole file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Raw {
    pub(super) mode: Option<Mode>,
    pub(super) environment: Placed<String>,
    pub(super) state_dir: Placed<String>,
    pub(super) reports_dir: Placed<String>,
    pub(super) bake: Option<Span>,
    pub(super) watch_after: Option<Span>,
    pub(super) severity: Severities,
    pub(super) guard: Guard,
    pub(super) fleet: Fleet,
    pub(super) verification: Verification,
    pub(super) people: People,
    pub(super) baseline: Baseline,
    pub(super) trigger: Table<Trigger>,
    pub(super) service: Table<Service>,
    /// Laid under services before this is read.
    pub(super) template: BTreeMap<String, toml::Table>,
    pub(in crate::config) discover: Table<Discover>,
    pub(super) prometheus: Table<Server>,
    pub(super) kubernetes: Table<Kubernetes>,
    pub(super) database: Table<Database>,
    pub(super) aws: Table<Aws>,
    pub(super) notify: Table<Notify>,
    pub(super) heartbeat: Option<Heartbeat>,
    pub(super) http: Http,
    pub(super) alertmanager: Alertmanager,
    pub(super) token: Table<Token>,
    pub(super) freeze: Table<Freeze>,
    pub(super) store: Store,
    pub(super) limits: Limits,
}

//! Where signals are read: Prometheus servers, a service's own metrics, probes.

use serde::Deserialize;
use toml::Spanned;

use crate::{
    config::raw::{Basic, CloudWatch, One, OrOff, Placed, Pods, SecretRef, Word},
    domain::policy::SignalKind,
    sources::{health::Statuses, reading::TimeUnit, selector::Selector},
    units::Span,
};

/// What every HTTP client is told; part of several tables.
#[derive(Clone, Debug, Default)]
pub(in crate::config) struct Reach {
    pub(in crate::config) timeout: Placed<Span>,
    pub(in crate::config) bearer: Placed<SecretRef>,
    pub(in crate::config) basic: Placed<Basic>,
    pub(in crate::config) ca_file: Placed<String>,
    pub(in crate::config) insecure: bool,
}

/// A table that reaches something over HTTP has [`Reach`]'s keys among its own.
macro_rules! reaches {
    ($name:ident) => {
        impl $name {
            pub(in crate::config) fn reach(&self) -> Reach {
                Reach {
                    timeout: self.timeout.clone(),
                    bearer: self.bearer.clone(),
                    basic: self.basic.clone(),
                    ca_file: self.ca_file.clone(),
                    insecure: self.insecure,
                }
            }
        }
    };
}
pub(in crate::config) use reaches;

/// `[prometheus.NAME]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Server {
    pub(in crate::config) url: Spanned<String>,
    pub(in crate::config) timeout: Placed<Span>,
    pub(in crate::config) bearer: Placed<SecretRef>,
    pub(in crate::config) basic: Placed<Basic>,
    pub(in crate::config) ca_file: Placed<String>,
    #[serde(default)]
    pub(in crate::config) insecure: bool,
    pub(in crate::config) lag: Option<Span>,
    pub(in crate::config) ahead: Option<Span>,
    pub(in crate::config) rows: Option<usize>,
    pub(in crate::config) body_max_bytes: Option<usize>,
    pub(in crate::config) backfill: Option<OrOff<Span>>,
}
reaches!(Server);

/// `[service.KEY.scrape]`: the service's own metrics, for all its signals.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Target {
    pub(in crate::config) url: Placed<One<String>>,
    pub(in crate::config) file: Placed<String>,
    pub(in crate::config) dns: Placed<String>,
    pub(in crate::config) scheme: Placed<String>,
    pub(in crate::config) path: Placed<String>,
    pub(in crate::config) targets_max: Placed<usize>,
    pub(in crate::config) timeout: Placed<Span>,
    pub(in crate::config) bearer: Placed<SecretRef>,
    pub(in crate::config) basic: Placed<Basic>,
    pub(in crate::config) ca_file: Placed<String>,
    #[serde(default)]
    pub(in crate::config) insecure: bool,
    pub(in crate::config) version: Option<Word<Selector>>,
    pub(in crate::config) version_label: Option<String>,
    pub(in crate::config) lag: Option<Span>,
    pub(in crate::config) ahead: Option<Span>,
}
reaches!(Target);

/// `[service.KEY.signal.NAME]`, with exactly one source.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Signal {
    pub(in crate::config) kind: Placed<SignalKind>,
    pub(in crate::config) every: Placed<Span>,
    pub(in crate::config) every_watched: Placed<Span>,
    pub(in crate::config) lag: Option<Span>,
    pub(in crate::config) unit: Placed<TimeUnit>,
    pub(in crate::config) prometheus: Placed<Ask>,
    pub(in crate::config) scrape: Placed<Scrape>,
    pub(in crate::config) http: Placed<Probe>,
    pub(in crate::config) kubernetes: Placed<Pods>,
    pub(in crate::config) cloudwatch: Placed<CloudWatch>,
}

/// `[service.KEY.signal.NAME.prometheus]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Ask {
    pub(in crate::config) from: Placed<String>,
    pub(in crate::config) bad: Placed<String>,
    pub(in crate::config) total: Placed<String>,
    pub(in crate::config) histogram: Placed<String>,
    pub(in crate::config) value: Placed<String>,
    pub(in crate::config) requests: Placed<String>,
    pub(in crate::config) label: Placed<String>,
    pub(in crate::config) label_value: Placed<String>,
    pub(in crate::config) version_label: Placed<String>,
    pub(in crate::config) fold: Placed<Fold>,
}

/// `[service.KEY.signal.NAME.scrape]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Scrape {
    pub(in crate::config) bad: Placed<One<Word<Selector>>>,
    pub(in crate::config) total: Placed<One<Word<Selector>>>,
    pub(in crate::config) histogram: Placed<Word<Selector>>,
    pub(in crate::config) value: Placed<Word<Selector>>,
    pub(in crate::config) requests: Placed<Word<Selector>>,
    pub(in crate::config) fold: Placed<Fold>,
    pub(in crate::config) by: Vec<String>,
}

/// How several gauges become one.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum Fold {
    Max,
    Min,
    Sum,
}

/// `[service.KEY.signal.NAME.http]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Probe {
    pub(in crate::config) url: Spanned<String>,
    pub(in crate::config) method: Placed<String>,
    pub(in crate::config) status: Placed<Word<Statuses>>,
    pub(in crate::config) proxy_status: Option<Word<Statuses>>,
    pub(in crate::config) body: Option<BodyIs>,
    pub(in crate::config) timeout: Placed<Span>,
    pub(in crate::config) bearer: Placed<SecretRef>,
    pub(in crate::config) basic: Placed<Basic>,
    pub(in crate::config) ca_file: Placed<String>,
    #[serde(default)]
    pub(in crate::config) insecure: bool,
}
reaches!(Probe);

/// What a body must say.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(in crate::config) enum BodyIs {
    Contains(String),
    Json { pointer: String, equals: serde_json::Value },
}

//! The daemon's own interface, its store and its limits.

use std::collections::BTreeSet;

use serde::Deserialize;
use toml::Spanned;

use crate::{
    config::{Scope, raw::Placed},
    units::{Span, UnixMs},
};

/// `[http]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Http {
    pub(in crate::config) enabled: Option<bool>,
    pub(in crate::config) listen: Placed<String>,
    pub(in crate::config) tls: Option<Tls>,
    pub(in crate::config) allow_plain_beyond_loopback: bool,
    pub(in crate::config) open_metrics: bool,
    pub(in crate::config) sns: Placed<Topics>,
}

/// `[http.sns]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Topics {
    pub(in crate::config) from: Placed<String>,
    pub(in crate::config) topics: Spanned<Vec<Spanned<String>>>,
}

/// `[http.tls]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Tls {
    pub(in crate::config) cert_file: Spanned<String>,
    pub(in crate::config) key_file: Spanned<String>,
}

/// `[token.NAME]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Token {
    pub(in crate::config) scopes: Spanned<BTreeSet<Scope>>,
    pub(in crate::config) file: Placed<String>,
    pub(in crate::config) env: Placed<String>,
}

/// `[freeze.NAME]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Freeze {
    pub(in crate::config) from: Spanned<UnixMs>,
    pub(in crate::config) until: Spanned<UnixMs>,
    pub(in crate::config) reason: Option<String>,
}

/// `[store]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Store {
    pub(in crate::config) journal_keep: Placed<Span>,
    pub(in crate::config) lease_wait: Option<Span>,
    pub(in crate::config) busy_wait: Option<Span>,
    pub(in crate::config) outbox_max: Placed<usize>,
    pub(in crate::config) settled_max: Option<usize>,
    pub(in crate::config) answer_keep: Option<Span>,
    pub(in crate::config) answers_max: Option<usize>,
    pub(in crate::config) snapshot_every: Placed<Span>,
    pub(in crate::config) snapshot_keep: Option<Span>,
}

/// `[limits]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Limits {
    pub(in crate::config) polls_at_once: Placed<usize>,
    pub(in crate::config) deliveries_at_once: Placed<usize>,
    pub(in crate::config) body_max_bytes: Placed<usize>,
    pub(in crate::config) labels_max: Placed<usize>,
    pub(in crate::config) alerts_max: Placed<usize>,
    pub(in crate::config) connections_max: Placed<usize>,
    pub(in crate::config) read_timeout: Placed<Span>,
    pub(in crate::config) answer_timeout: Placed<Span>,
    pub(in crate::config) scrape_body_max_bytes: Placed<usize>,
    pub(in crate::config) scrape_series_max: Placed<usize>,
}

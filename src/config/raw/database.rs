//! Databases, and what of them is a service's.

use serde::Deserialize;
use toml::Spanned;

use crate::{
    config::raw::{Basic, Command, Placed, Reach, SecretRef, Table, signal::reaches},
    databases::Tls,
    units::{Percent, Span},
};

/// `[database.NAME]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Database {
    pub(in crate::config) url: Spanned<String>,
    pub(in crate::config) address: Placed<Address>,
    pub(in crate::config) password: Placed<SecretRef>,
    pub(in crate::config) tls: Placed<Tls>,
    pub(in crate::config) ca_file: Placed<String>,
    pub(in crate::config) connect_timeout: Placed<Span>,
    pub(in crate::config) statement_timeout: Placed<Span>,
    pub(in crate::config) replica_url: Placed<String>,
    pub(in crate::config) replica_lag_max: Placed<Span>,
    pub(in crate::config) checks_share: Placed<Percent>,
}

/// `[database.NAME.address]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Address {
    pub(in crate::config) from: Placed<String>,
    pub(in crate::config) secret: Spanned<String>,
    pub(in crate::config) host_key: Placed<String>,
    pub(in crate::config) port_key: Placed<String>,
    pub(in crate::config) refresh: Placed<Span>,
}

/// `[service.KEY.database.check.NAME]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Check {
    pub(in crate::config) query: Placed<String>,
    pub(in crate::config) no_row: Placed<bool>,
    pub(in crate::config) within: Placed<Vec<f64>>,
    pub(in crate::config) drops_at_most: Placed<Percent>,
    pub(in crate::config) foreign_keys: Placed<bool>,
    pub(in crate::config) foreign_keys_max: Placed<usize>,
    pub(in crate::config) every: Placed<Span>,
    pub(in crate::config) every_watched: Placed<Span>,
    pub(in crate::config) confirm_after: Placed<Span>,
    pub(in crate::config) statement_timeout: Placed<Span>,
}

/// `[service.KEY.database]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Migrated {
    pub(in crate::config) from: Placed<String>,
    pub(in crate::config) history_table: Placed<String>,
    pub(in crate::config) every: Placed<Span>,
    pub(in crate::config) stuck_after: Placed<Span>,
    pub(in crate::config) compatible_marker: Placed<String>,
    pub(in crate::config) history_max: Placed<usize>,
    pub(in crate::config) check: Table<Check>,
    pub(in crate::config) actuator: Placed<Actuator>,
    pub(in crate::config) info: Placed<Command>,
}

/// `[service.KEY.database.actuator]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Actuator {
    pub(in crate::config) url: Spanned<String>,
    pub(in crate::config) bean: Option<String>,
    pub(in crate::config) timeout: Placed<Span>,
    pub(in crate::config) bearer: Placed<SecretRef>,
    pub(in crate::config) basic: Placed<Basic>,
    pub(in crate::config) ca_file: Placed<String>,
    #[serde(default)]
    pub(in crate::config) insecure: bool,
}
reaches!(Actuator);

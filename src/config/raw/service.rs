//! A service: what is read of it, and how it is rolled back.

use std::collections::BTreeSet;

use serde::Deserialize;
use toml::Spanned;

use crate::{
    config::raw::{
        Baseline, Guard, Migrated, People, Placed, Rollback, Secret, Severities, Signal, Table,
        Target, Trigger, Verification,
    },
    domain::service::Mode,
    units::Span,
};

/// `[service.KEY]`. The key is its name too, unless it has another one in another environment.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Service {
    pub(in crate::config) name: Placed<String>,
    pub(in crate::config) environment: Placed<String>,
    /// Laid under this table before it is read.
    pub(in crate::config) template: Placed<String>,
    pub(in crate::config) mode: Placed<Mode>,
    pub(in crate::config) watch_only: Placed<bool>,
    pub(in crate::config) bake: Option<Span>,
    pub(in crate::config) watch_after: Option<Span>,
    pub(in crate::config) acts_on_evidence: BTreeSet<Spanned<String>>,
    pub(in crate::config) severity: Severities,
    pub(in crate::config) guard: Guard,
    pub(in crate::config) verification: Verification,
    pub(in crate::config) people: People,
    pub(in crate::config) baseline: Baseline,
    pub(in crate::config) trigger: Table<Trigger>,
    pub(in crate::config) scrape: Placed<Target>,
    pub(in crate::config) signal: Table<Signal>,
    pub(in crate::config) database: Placed<Migrated>,
    pub(in crate::config) secret: Table<Secret>,
    pub(in crate::config) rollback: Placed<Rollback>,
}

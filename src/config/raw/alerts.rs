//! Alertmanager: how its alerts find their service, and where to ask about them.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{
    config::raw::{Basic, Placed, Reach, SecretRef, Word, signal::reaches},
    domain::severity::Severity,
    units::Span,
};

/// `[alertmanager]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Alertmanager {
    pub(in crate::config) url: Placed<String>,
    pub(in crate::config) ask_every: Placed<Span>,
    pub(in crate::config) timeout: Placed<Span>,
    pub(in crate::config) bearer: Placed<SecretRef>,
    pub(in crate::config) basic: Placed<Basic>,
    pub(in crate::config) ca_file: Placed<String>,
    pub(in crate::config) insecure: bool,
    pub(in crate::config) service_label: Option<String>,
    pub(in crate::config) environment_label: Option<String>,
    pub(in crate::config) severity_label: Option<String>,
    pub(in crate::config) severity: BTreeMap<String, Word<Severity>>,
    pub(in crate::config) without_severity: Option<Word<Severity>>,
}
reaches!(Alertmanager);

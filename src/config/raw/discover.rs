//! Services that are not written in the file but found: one stanza for a fleet.

use serde::Deserialize;
use toml::Spanned;

use crate::{config::raw::Placed, units::Span};

/// `[discover.NAME.kubernetes]`: the Deployments with an annotation.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Annotated {
    pub(in crate::config) from: Placed<String>,
    pub(in crate::config) namespace: Placed<String>,
    pub(in crate::config) annotation: Placed<String>,
}

/// `[discover.NAME]`: each service that a query's answer or a cluster names follows a template.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Discover {
    /// Laid under each service that is found, before the file is read.
    pub(in crate::config) template: Spanned<String>,
    pub(in crate::config) from: Placed<String>,
    pub(in crate::config) query: Placed<String>,
    pub(in crate::config) label: Placed<String>,
    pub(in crate::config) kubernetes: Placed<Annotated>,
    pub(in crate::config) every: Placed<Span>,
    pub(in crate::config) services_max: Placed<usize>,
    pub(in crate::config) forget_after: Placed<Span>,
    pub(in crate::config) doubt_factor: Placed<usize>,
    pub(in crate::config) doubt_for: Placed<Span>,
}

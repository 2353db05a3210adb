//! Services that are not written in the file but found: one stanza for a fleet.

use serde::Deserialize;
use toml::Spanned;

use crate::{config::raw::Placed, units::Span};

/// `[discover.NAME]`: each service that a query's answer names follows a template.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Discover {
    /// Laid under each service that is found, before the file is read.
    pub(in crate::config) template: Spanned<String>,
    pub(in crate::config) from: Placed<String>,
    pub(in crate::config) query: Spanned<String>,
    pub(in crate::config) label: Spanned<String>,
    pub(in crate::config) every: Placed<Span>,
    pub(in crate::config) services_max: Placed<usize>,
    pub(in crate::config) forget_after: Placed<Span>,
    pub(in crate::config) doubt_factor: Placed<usize>,
    pub(in crate::config) doubt_for: Placed<Span>,
}

//! Sites of static files.

use serde::Deserialize;
use toml::Spanned;

use crate::{config::raw::Placed, units::Span};

/// `[service.KEY.rollback.application.frontend]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Frontend {
    pub(in crate::config) from: Placed<String>,
    pub(in crate::config) bucket: Spanned<String>,
    pub(in crate::config) prefix: Placed<String>,
    pub(in crate::config) url: Spanned<String>,
    pub(in crate::config) distribution: Placed<String>,
    pub(in crate::config) marker: Placed<String>,
    pub(in crate::config) pointer: Placed<String>,
    pub(in crate::config) archive: Placed<String>,
    pub(in crate::config) manifests: Placed<String>,
    pub(in crate::config) pages: Placed<Vec<String>>,
    pub(in crate::config) left_out: Placed<Vec<String>>,
    pub(in crate::config) also_invalidate: Placed<Vec<String>>,
    pub(in crate::config) paths_max: Placed<usize>,
    pub(in crate::config) at_once: Placed<usize>,
    pub(in crate::config) pages_max: Placed<usize>,
    pub(in crate::config) versions_max: Placed<usize>,
    pub(in crate::config) objects_max: Placed<usize>,
    pub(in crate::config) copy_timeout: Placed<Span>,
    pub(in crate::config) invalidate_timeout: Placed<Span>,
    pub(in crate::config) verify_timeout: Placed<Span>,
    pub(in crate::config) attempts: Placed<u32>,
    pub(in crate::config) look_every: Placed<Span>,
    pub(in crate::config) look_every_watched: Placed<Span>,
}

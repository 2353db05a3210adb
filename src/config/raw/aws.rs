//! Accounts of AWS.

use serde::Deserialize;
use toml::Spanned;

use crate::{config::raw::Placed, units::Span};

/// `[aws.NAME]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Aws {
    pub(in crate::config) region: Spanned<String>,
    pub(in crate::config) profile: Placed<String>,
    pub(in crate::config) credentials_file: Placed<String>,
    pub(in crate::config) role_arn: Placed<String>,
    pub(in crate::config) external_id: Placed<String>,
    pub(in crate::config) session_name: Placed<String>,
    pub(in crate::config) endpoint: Placed<String>,
    pub(in crate::config) ca_file: Placed<String>,
    pub(in crate::config) connect_timeout: Placed<Span>,
    pub(in crate::config) attempt_timeout: Placed<Span>,
    pub(in crate::config) operation_timeout: Placed<Span>,
    pub(in crate::config) attempts: Placed<u32>,
}

/// `[service.KEY.secret.NAME]`: a secret that the service reads.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Secret {
    pub(in crate::config) from: Placed<String>,
    pub(in crate::config) secret: Placed<String>,
    pub(in crate::config) look_every: Placed<Span>,
    pub(in crate::config) look_every_watched: Placed<Span>,
    pub(in crate::config) timeout: Placed<Span>,
    pub(in crate::config) attempts: Placed<u32>,
    pub(in crate::config) label: Placed<bool>,
    pub(in crate::config) even_if_rotated: Placed<bool>,
}

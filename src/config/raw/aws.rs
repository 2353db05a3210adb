//! Accounts of AWS, and what is read of and told to them.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use crate::{
    config::raw::{Placed, Table},
    units::Span,
};

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

/// `[service.KEY.signal.NAME.cloudwatch]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct CloudWatch {
    pub(in crate::config) from: Placed<String>,
    pub(in crate::config) period: Placed<Span>,
    pub(in crate::config) bad: Placed<Measured>,
    pub(in crate::config) total: Placed<Measured>,
    pub(in crate::config) value: Placed<Measured>,
    pub(in crate::config) requests: Placed<Measured>,
    pub(in crate::config) metric: Table<Metric>,
}

/// A metric, or an expression over those that the signal names.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Measured {
    pub(in crate::config) expression: Placed<String>,
    pub(in crate::config) namespace: Placed<String>,
    pub(in crate::config) metric: Placed<String>,
    pub(in crate::config) dimensions: BTreeMap<String, String>,
    pub(in crate::config) stat: Placed<String>,
}

/// `[service.KEY.signal.NAME.cloudwatch.metric.NAME]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Metric {
    pub(in crate::config) namespace: Spanned<String>,
    pub(in crate::config) metric: Spanned<String>,
    #[serde(default)]
    pub(in crate::config) dimensions: BTreeMap<String, String>,
    pub(in crate::config) stat: Placed<String>,
}

/// `[notify.NAME.sns]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Sns {
    pub(in crate::config) from: Placed<String>,
    pub(in crate::config) topic_arn: Spanned<String>,
}

//! How people are reached.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use toml::Spanned;

use crate::{
    config::raw::{Placed, SecretRef, Sns},
    domain::notice,
    units::Span,
};

/// `[notify.NAME]`, with exactly one way. `[notify.log]` is the daemon's own log.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Notify {
    pub(in crate::config) audiences: Option<Spanned<BTreeSet<Audience>>>,
    pub(in crate::config) deadline: Placed<Span>,
    pub(in crate::config) log: Option<Log>,
    pub(in crate::config) slack: Placed<Slack>,
    pub(in crate::config) webhook: Placed<Webhook>,
    pub(in crate::config) sns: Placed<Sns>,
}

/// Who is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum Audience {
    OnCall,
    Stakeholders,
}

impl From<Audience> for notice::Audience {
    fn from(audience: Audience) -> Self {
        match audience {
            Audience::OnCall => Self::OnCall,
            Audience::Stakeholders => Self::Stakeholders,
        }
    }
}

/// `[notify.NAME.log]` has no keys.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Log {}

/// `[notify.NAME.slack]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Slack {
    pub(in crate::config) url: Spanned<SecretRef>,
    pub(in crate::config) mention: Placed<Mention>,
}

/// Whom a page calls by name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum Mention {
    Here,
    Channel,
    Group(String),
    User(String),
}

/// `[notify.NAME.webhook]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Webhook {
    pub(in crate::config) url: Spanned<SecretRef>,
    pub(in crate::config) bearer: Placed<SecretRef>,
    pub(in crate::config) basic: Placed<Basic>,
    #[serde(default)]
    pub(in crate::config) headers: BTreeMap<Spanned<String>, Spanned<SecretRef>>,
    pub(in crate::config) signing_key: Placed<SecretRef>,
}

/// A user and where the password is.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Basic {
    pub(in crate::config) user: String,
    pub(in crate::config) password: Spanned<SecretRef>,
}

/// `[heartbeat]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Heartbeat {
    pub(in crate::config) url: Spanned<SecretRef>,
    pub(in crate::config) every: Placed<Span>,
}

//! A change that a pipeline posts, read.

use serde::Deserialize;

use crate::{
    domain::change::{Change, Component, Migrations, Origin, Revision},
    http::{body, problem::Problem},
    units::{Span, UnixMs},
};

/// How far ahead of ours a sender's clock may be.
const AHEAD_MAX: Span = Span::minutes(5);

/// What is posted.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostedChange {
    pub(in crate::http) service: String,
    pub(in crate::http) environment: Option<String>,
    component: Option<Component>,
    id: Option<String>,
    from: Option<String>,
    to: String,
    digest: Option<String>,
    started_at: Option<UnixMs>,
    ended_at: Option<UnixMs>,
    checks_passed: Option<bool>,
    #[serde(default)]
    migrations: Migrations,
    #[serde(default)]
    is_rollback: bool,
}

/// Reads the body of a posted change.
pub fn change(bytes: &[u8]) -> Result<PostedChange, Problem> {
    body::parse(bytes)
}

/// A name that stands in the journal and in messages.
pub(in crate::http) fn name(field: &str, text: &str) -> Result<String, Problem> {
    if text.is_empty() || text.len() > 200 || text.chars().any(char::is_control) {
        return Err(Problem::invalid(format!(
            "`{field}` must have 1 to 200 characters and no control characters"
        )));
    }
    Ok(text.to_owned())
}

impl PostedChange {
    /// The change itself: as `by` posted it at `now`, under its idempotency key where it has no other name.
    pub fn understood(self, key: Option<String>, by: &str, now: UnixMs) -> Result<Change, Problem> {
        let component = self.component.unwrap_or(Component::Application);
        let to = name("to", &self.to)?;
        let from = self.from.as_deref().map(|from| name("from", from)).transpose()?;
        let digest = self.digest.as_deref().map(|digest| name("digest", digest)).transpose()?;
        let given = self.id.as_deref().map(|id| name("id", id)).transpose()?;
        let started_at = self.started_at.or(self.ended_at).unwrap_or(now);
        if started_at > now + AHEAD_MAX || self.ended_at.is_some_and(|at| at > now + AHEAD_MAX) {
            return Err(Problem::invalid(format!("the change lies ahead: here it is {now}")));
        }
        if self.ended_at.is_some_and(|ended| ended < started_at) {
            return Err(Problem::invalid("`ended_at` is before `started_at`"));
        }
        let derived = || format!("{component}-{to}-{}", started_at.0);
        Ok(Change {
            id: given.or(key).unwrap_or_else(derived),
            component,
            from: from.as_deref().map(Revision::named),
            to: Revision { version: to.clone(), digest },
            started_at,
            ended_at: self.ended_at,
            origin: Origin::Posted { by: by.to_owned() },
            migrations: self.migrations,
            checks_passed: self.checks_passed,
            is_rollback: self.is_rollback,
            told: None,
        })
    }
}

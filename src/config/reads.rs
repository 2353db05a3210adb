//! What a service reads beside its code and its cluster: secrets of AWS.

use crate::{aws::Access, domain::secret::SecretAt, units::Span};

/// `[service.KEY.secret.NAME]`: one secret, and how it is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadSecret {
    /// Its name in the service's configuration.
    pub name: String,
    /// Which it is.
    pub at: SecretAt,
    /// How its account is reached.
    pub access: Access,
    /// How often it is looked at.
    pub every: Span,
    /// How often while a change, an incident or a run is watched.
    pub every_watched: Span,
    /// Whether what was known good of it is labelled.
    pub label: bool,
    /// Whether it goes back although AWS rotates it.
    pub even_if_rotated: bool,
}

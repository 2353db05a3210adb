//! Alerts that found no service, as they are shown.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::units::UnixMs;

/// An alert that could not be given to a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stray {
    /// The alert's name, where it has one.
    pub alert: String,
    /// Alertmanager's fingerprint, or what stands for it.
    pub fingerprint: String,
    /// Why it found no service.
    pub why: String,
    /// Its labels, bounded.
    pub labels: BTreeMap<String, String>,
    /// How often it came.
    pub times: u64,
    /// When it last came.
    pub last_seen: UnixMs,
}

/// What is shown of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Strays {
    /// The newest first.
    pub alerts: Vec<Stray>,
    /// Alerts that Alertmanager itself left out of its webhooks (`max_alerts` of the receiver).
    pub truncated: u64,
    /// Alerts beyond the limit of one webhook.
    pub beyond_limit: u64,
}

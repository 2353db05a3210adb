//! A trigger that has fired, and what it stands on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    severity::Severity,
    trigger::{Evidence, defaults::DATA_CORRUPTION},
};
use crate::units::UnixMs;

/// Where a firing comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "basis")]
pub enum Basis {
    /// Our own window.
    Window,
    /// An alert, which has served its own `for` already.
    Alert {
        /// Fingerprint and start.
        key: String,
        /// Alertmanager's fingerprint alone.
        fingerprint: String,
        /// The trigger that the alert's label names; without one it only pages.
        trigger: Option<String>,
        /// The alert's labels.
        labels: BTreeMap<String, String>,
    },
    /// A look at the database shows it, until one does not.
    Database,
    /// Somebody posted it; it stays until the incident ends.
    Posted {
        /// Who.
        by: String,
    },
}

/// A trigger that fires.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Firing {
    /// Its name.
    pub trigger: String,
    /// How bad it is.
    pub severity: Severity,
    /// Where it comes from.
    pub basis: Basis,
    /// When the breach began, by its source's time.
    pub onset: UnixMs,
    /// When it fired, on the wall clock.
    pub fired_at: UnixMs,
    /// One sentence with the numbers, for people.
    pub says: String,
    /// Whether it can be a reason to act, or only to page.
    pub may_act: bool,
    /// The window's numbers when it fired.
    pub evidence: Option<Box<Evidence>>,
}

impl Firing {
    /// Whether a check of the data showed it.
    pub fn is_of_the_data(&self) -> bool {
        self.basis == Basis::Database && self.trigger == DATA_CORRUPTION
    }
}

/// What is now true of a service's triggers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "trigger_fact")]
pub enum Fact {
    /// It fires, or fires worse than before.
    Fired(Box<Firing>),
    /// It has been clean for long enough, or what it stood on was withdrawn.
    Cleared {
        /// Which.
        trigger: String,
        /// On what ground.
        why: String,
    },
    /// A signal has told nothing for too long.
    Blind {
        /// Which signal.
        signal: String,
        /// Where it should come from.
        source: String,
        /// Since when, on the wall clock.
        since: UnixMs,
        /// What its source says.
        why: String,
        /// Whether a change or an incident is watched, so that it pages as P2 and not as P3.
        watched: bool,
    },
    /// A blind signal tells again.
    Sighted {
        /// Which signal.
        signal: String,
    },
}

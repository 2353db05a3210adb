//! Where an incident is, and how it ended.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::units::UnixMs;

/// Where an incident is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "phase")]
pub enum Phase {
    /// It has just opened or risen; the matrix is asked in this very turn.
    Assessing,
    /// A P0 waits a moment for company: a storm is nobody's own change.
    Gathering {
        /// Until then, on the steady clock.
        until: UnixMs,
    },
    /// A P1 is watched before it is acted upon.
    Monitoring {
        /// Until then, on the steady clock.
        until: UnixMs,
    },
    /// People are asked.
    Deciding,
    /// Fix forward, or roll back with the next deployment.
    Scheduled,
    /// A plan is being carried out.
    RollingBack,
    /// The plan is done; it must be proven that it worked.
    Verifying {
        /// When the restored revision was seen to serve, on the steady clock.
        since: UnixMs,
        /// The same on the wall clock, for samples.
        since_wall: UnixMs,
    },
    /// It worked; the service is watched a while longer.
    Watching {
        /// Until then, on the steady clock.
        until: UnixMs,
    },
    /// People own it.
    Escalated {
        /// Why the daemon goes no further.
        why: String,
        /// The person who decided so; the daemon itself when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
    /// It is over.
    Closed {
        /// How.
        outcome: Closing,
    },
}

impl Phase {
    /// Its name in metrics and messages.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Assessing => "assessing",
            Self::Gathering { .. } => "gathering",
            Self::Monitoring { .. } => "monitoring",
            Self::Deciding => "deciding",
            Self::Scheduled => "scheduled",
            Self::RollingBack => "rolling back",
            Self::Verifying { .. } => "verifying",
            Self::Watching { .. } => "watching",
            Self::Escalated { .. } => "escalated",
            Self::Closed { .. } => "closed",
        }
    }

    /// Since when a restored revision serves that is still to be proven, on the steady clock.
    pub fn verifying_since(&self) -> Option<UnixMs> {
        match self {
            Self::Verifying { since, .. } => Some(*since),
            Self::Assessing
            | Self::Gathering { .. }
            | Self::Monitoring { .. }
            | Self::Deciding
            | Self::Scheduled
            | Self::RollingBack
            | Self::Watching { .. }
            | Self::Escalated { .. }
            | Self::Closed { .. } => None,
        }
    }
}

/// How an incident ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "closing")]
pub enum Closing {
    /// The triggers cleared by themselves.
    Recovered,
    /// Rolled back, verified, and quiet since.
    RolledBack,
    /// It was left to people, and has been quiet since they mended it.
    Fixed,
    /// What fired is not configured any more, and nothing else fires: nobody can tell whether it is well.
    Unwatched {
        /// Which trigger.
        trigger: String,
    },
    /// Another deployment came after the action, and what fires now can be its doing.
    Overtaken {
        /// Which version.
        by: String,
    },
    /// A person closed it.
    Dismissed {
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
}

impl fmt::Display for Closing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Recovered => f.write_str("recovered by itself"),
            Self::RolledBack => f.write_str("rolled back and verified"),
            Self::Fixed => f.write_str("mended by people, and quiet since"),
            Self::Unwatched { trigger } => {
                write!(f, "{trigger} is not configured any more, and nothing else fires")
            }
            Self::Overtaken { by } => write!(f, "overtaken by the deployment of {by}"),
            Self::Dismissed { by, reason } => write!(f, "dismissed by {by}: {reason}"),
        }
    }
}

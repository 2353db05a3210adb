//! What was decided about an incident, and everything it stood on.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    domain::{guard::Verdict, plan::Plan, policy::Row, severity::Severity},
    units::UnixMs,
};

/// What was decided, with everything it stood on. The log, the notice, the API and the report show this one record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// What to do.
    pub verdict: Choice,
    /// The row of the matrix that applied.
    pub row: Row,
    /// Its severity.
    pub severity: Severity,
    /// What is firing and with which numbers, and why this follows; sentences.
    pub because: Vec<String>,
    /// What every guard said; empty where none was asked.
    pub guards: Vec<Verdict>,
    /// What would be, or is, carried out.
    pub plan: Option<Arc<Plan>>,
}

impl Decision {
    /// The guards that refuse.
    pub fn refusing(&self) -> impl Iterator<Item = &Verdict> {
        self.guards.iter().filter(|v| v.refusal().is_some())
    }
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum Choice {
    /// Carry out the plan now.
    RollBackNow,
    /// Wait a moment, to see whether others suffer too.
    GatherUntil {
        /// On the wall clock, for people.
        until: UnixMs,
    },
    /// Watch, then decide again.
    MonitorUntil {
        /// On the wall clock, for people.
        until: UnixMs,
    },
    /// Ask people.
    Ask,
    /// Only tell.
    Tell,
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RollBackNow => f.write_str("roll back now"),
            Self::GatherUntil { until } => {
                write!(f, "wait until {} to see whether others suffer too", until.clock())
            }
            Self::MonitorUntil { until } => write!(f, "monitor until {}", until.clock()),
            Self::Ask => f.write_str("ask a person"),
            Self::Tell => {
                f.write_str("only tell: fix forward, or roll back with the next deployment")
            }
        }
    }
}

//! What is shown of services and incidents: pure views, read by people's tools and by our own command line.

mod explain;
mod incident;
mod service;
mod stray;

use serde::{Deserialize, Serialize};

pub use self::{
    explain::{Explain, TriggerView},
    incident::{ClockView, IncidentLine, IncidentView, TimelineLine},
    service::{BlindView, ServiceView, TriggerState},
    stray::{Stray, Strays},
};
use crate::domain::plan::Plan;

/// What follows from what a person said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replied {
    /// The service that was spoken about.
    pub service: String,
    /// What was done.
    pub said: String,
}

/// A plan with the hash that is approved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanView {
    /// What a person approves.
    pub hash: String,
    /// From what to what.
    pub summary: String,
    /// Everything that would run.
    pub plan: Plan,
}

impl PlanView {
    /// The view of a plan.
    pub fn of(plan: &Plan) -> Self {
        Self { hash: plan.hash(), summary: plan.summary(), plan: plan.clone() }
    }
}

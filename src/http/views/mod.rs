//! What is shown of services and incidents: pure views, read by people's tools and by our own command line.

mod database;
mod explain;
mod incident;
mod service;
mod stray;

use serde::{Deserialize, Serialize};

pub use self::{
    database::{CheckView, DatabaseView},
    explain::{Explain, TriggerView},
    incident::{ClockView, IncidentLine, IncidentView, TimelineLine},
    service::{BlindView, ConfigurationView, ServiceView, TriggerState},
    stray::{Stray, Strays},
};
use crate::domain::{
    event::Said,
    incident::{pulled, speak},
    plan::Plan,
    schema::script::Trial,
    situation::Situation,
    wording,
};

/// What came of trying a script, and the plan that there is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialAnswer {
    /// What was run and taken back.
    pub trial: Trial,
    /// What would run now.
    pub plan: Option<PlanAnswer>,
    /// Why nothing would.
    pub no_plan: Option<String>,
}

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

/// A plan, and what a person may do with it now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanAnswer {
    /// The plan.
    #[serde(flatten)]
    pub view: PlanView,
    /// What else sets what it would roll back, and what comes of that; a sentence each.
    #[serde(default)]
    pub owners: Vec<String>,
    /// What registries say of the images that it would start; a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,
    /// Why an approval of it would be refused now; absent where it would be taken.
    pub no_approval: Option<String>,
    /// Why a rollback by it would be refused now; absent where it would begin.
    pub no_rollback: Option<String>,
}

impl PlanAnswer {
    /// The answer about a plan to where it was said, or to the last known good.
    pub fn of(s: &Situation<'_>, plan: &Plan, (to, to_previous): (Option<String>, bool)) -> Self {
        let refusal = |said: &Said| speak::on_said(s, "whoever asks", said).1.err();
        let reason = "asked".to_owned();
        Self {
            view: PlanView::of(plan),
            owners: wording::owners(s),
            images: pulled::in_words(s, plan),
            no_approval: refusal(&Said::Approve { plan: plan.hash() }),
            no_rollback: refusal(&Said::RollBack {
                to,
                to_previous,
                plan: Some(plan.hash()),
                reason,
            }),
        }
    }
}

impl PlanView {
    /// The view of a plan.
    pub fn of(plan: &Plan) -> Self {
        Self { hash: plan.hash(), summary: plan.summary(), plan: plan.clone() }
    }
}

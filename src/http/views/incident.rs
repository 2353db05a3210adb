//! One incident, with both of its clocks.

use serde::{Deserialize, Serialize};

use super::PlanView;
use crate::{
    domain::{
        change::Change,
        incident::{Clock, Decision, Incident},
        run::{Attempt, Phase as RunPhase},
        service::ServiceId,
        severity::Severity,
        situation::Situation,
        verification::{self, Check},
    },
    units::UnixMs,
};

/// An incident in one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncidentLine {
    /// Its name.
    pub id: String,
    /// Whose it is.
    pub service: ServiceId,
    /// How bad it is.
    pub severity: Severity,
    /// Where it is, in a word or two.
    pub phase: String,
    /// Why it is there, or how it ended, where there is more to say.
    pub because: Option<String>,
    /// What fires, or fired.
    pub triggers: Vec<String>,
    /// When the first trigger fired.
    pub fired: UnixMs,
    /// When it closed.
    pub closed: Option<UnixMs>,
    /// Whether people were paged and nobody has acknowledged.
    pub unacknowledged: bool,
}

/// One of the two clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockView {
    /// By when it must be done; nothing for what may wait for the next deployment.
    pub by: Option<UnixMs>,
    /// When it was done.
    pub done: Option<UnixMs>,
    /// Whether the deadline passed before it was done.
    pub late: bool,
}

/// A sentence of what happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineLine {
    /// When.
    pub at: UnixMs,
    /// What.
    pub what: String,
}

/// Everything about an incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IncidentView {
    /// Its line.
    #[serde(flatten)]
    pub line: IncidentLine,
    /// When the breach began, by its source's time.
    pub onset: UnixMs,
    /// The clock until the action starts.
    pub acted: ClockView,
    /// The clock until the rollback is verified.
    pub verified: ClockView,
    /// The change that may have done it.
    pub change: Option<Change>,
    /// The newest decision, with every guard's verdict.
    pub decision: Option<Decision>,
    /// The plan offered to people.
    pub offered: Option<PlanView>,
    /// The plan that runs or ran.
    pub plan: Option<PlanView>,
    /// Where the run is.
    pub run: Option<RunPhase>,
    /// The step that runs now, and how far it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs: Option<String>,
    /// Every attempt at a step.
    pub attempts: Vec<Attempt>,
    /// The verification's checklist, while one is made.
    pub checks: Vec<Check>,
    /// Who started the rollback; nobody where the daemon did.
    pub started_by: Option<String>,
    /// Who has seen it.
    pub acknowledged_by: Option<String>,
    /// How many pages went out.
    #[serde(default)]
    pub pages: u32,
    /// What happened.
    pub timeline: Vec<TimelineLine>,
}

impl IncidentLine {
    /// The line of an incident.
    pub fn of(s: &Situation<'_>, incident: &Incident) -> Self {
        use crate::domain::incident::Phase;
        let because = match &incident.phase {
            Phase::Escalated { why, .. } => Some(why.clone()),
            Phase::Closed { outcome } => Some(outcome.to_string()),
            Phase::Gathering { until }
            | Phase::Monitoring { until }
            | Phase::Watching { until } => Some(format!("until {}", s.wall_of(*until).clock())),
            Phase::Assessing
            | Phase::Deciding
            | Phase::Scheduled
            | Phase::RollingBack
            | Phase::Verifying { .. } => None,
        };
        Self {
            id: incident.id.clone(),
            service: s.state.id.clone(),
            severity: incident.severity,
            phase: incident.phase.name().to_owned(),
            because,
            triggers: incident.triggers.keys().cloned().collect(),
            fired: incident.fired.wall,
            closed: incident.closed_at.map(|at| at.wall),
            unacknowledged: incident.escalation.is_open() && incident.closed_at.is_none(),
        }
    }
}

impl IncidentView {
    /// The view of an incident.
    pub fn of(s: &Situation<'_>, incident: &Incident) -> Self {
        use crate::domain::incident::Phase;
        let run = incident.run.as_ref();
        let is_checked = matches!(incident.phase, Phase::Verifying { .. } | Phase::Watching { .. });
        Self {
            line: IncidentLine::of(s, incident),
            onset: incident.onset,
            acted: ClockView::acted(s, incident),
            verified: ClockView::verified(s, incident),
            change: incident.change.clone(),
            decision: incident.decision.clone(),
            offered: incident.offered.as_deref().map(PlanView::of),
            plan: run.map(|run| PlanView::of(&run.plan)),
            run: run.map(|run| run.phase.clone()),
            runs: incident.stands(s).map(|it| it.in_words()),
            attempts: run.map(|run| run.attempts.clone()).unwrap_or_default(),
            checks: match is_checked {
                true => verification::verify(s, incident).checks,
                false => incident.account.checks.clone(),
            },
            started_by: incident.started_by.clone(),
            acknowledged_by: incident.escalation.acknowledged_by.clone(),
            pages: incident.escalation.pages,
            timeline: incident
                .timeline
                .iter()
                .map(|(at, what)| TimelineLine { at: *at, what: what.clone() })
                .collect(),
        }
    }
}

impl ClockView {
    /// The clock until the action starts.
    pub fn acted(s: &Situation<'_>, incident: &Incident) -> Self {
        Self {
            by: incident.act_by(s.policy).map(|at| s.wall_of(at)),
            done: incident.run.as_ref().and_then(|r| r.started_at()).map(|at| s.wall_of(at)),
            late: incident.late.contains(&Clock::Acted),
        }
    }

    /// The clock until the rollback is verified; it runs only where one was begun.
    pub fn verified(s: &Situation<'_>, incident: &Incident) -> Self {
        Self {
            by: incident.run.as_ref().map(|_| s.wall_of(incident.verify_by(s.policy))),
            done: incident.verified_at.map(|at| s.wall_of(at)),
            late: incident.late.contains(&Clock::Verified),
        }
    }
}

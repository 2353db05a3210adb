//! Why a service is where it is: every trigger's window, what it waits for, which guard would refuse now, what would run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{PlanView, ServiceView};
use crate::{
    domain::{
        guard::Verdict,
        incident::judge::{self, Ground},
        policy::{LooksAt, Response},
        severity::Severity,
        situation::Situation,
        trigger::{Evidence, State, Trigger},
        verification, watch,
        watch::says,
    },
    units::UnixMs,
};

/// The whole explanation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explain {
    /// How the service stands.
    pub service: ServiceView,
    /// The time at which this was so.
    pub now: UnixMs,
    /// Every trigger.
    pub triggers: Vec<TriggerView>,
    /// What is wrong with a signal's source or with a part of it, by signal.
    #[serde(default)]
    pub notes: BTreeMap<String, String>,
    /// What a rollback that is being verified waits for; a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verification: Vec<String>,
    /// The step of a rollback that runs now, and how far it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs: Option<String>,
    /// What the guards were asked about.
    #[serde(flatten)]
    pub ground: Ground,
    /// What the matrix says to that severity, in words.
    pub response: String,
    /// What every guard says now.
    pub guards: Vec<Verdict>,
    /// What would be carried out.
    pub plan: Option<PlanView>,
    /// Why there is no plan.
    pub no_plan: Option<String>,
    /// When the service is looked at again even if nothing happens, and what for.
    pub next: Option<(UnixMs, String)>,
}

/// One trigger, with its window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TriggerView {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub state: State,
    /// How bad it is, or would be.
    pub severity: Severity,
    /// The signal that it reads.
    pub signal: String,
    /// What it looks at, in words.
    pub looks_at: String,
    /// What it sees, in one sentence with the numbers.
    pub sees: String,
    /// What it compares response times with, in words, where it does and that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normal: Option<String>,
    /// What it waits for, in words; empty when it fires.
    pub waits_for: Vec<String>,
    /// The newest values, oldest first; nothing where nothing was known.
    pub drawn: Vec<Option<f32>>,
    /// The numbers themselves.
    pub evidence: Evidence,
}

impl Explain {
    /// The explanation of a service.
    pub fn of(s: &Situation<'_>) -> Self {
        let (ground, judged) = judge::judge_hypothetical(s);
        let triggers = s.watch.triggers();
        let severity = match &ground {
            Ground::Incident { .. } => s.state.incident.as_ref().map(|i| i.severity),
            Ground::Fires { trigger } => s.state.firing.get(trigger).map(|f| f.severity),
            Ground::IfFired { trigger } => {
                s.policy.triggers.get(watch::own_name(trigger)).map(|t| t.rule.severity)
            }
            Ground::NoTrigger => None,
        };
        Self {
            service: ServiceView::of(s),
            now: s.now.wall,
            triggers: triggers
                .map(|(key, signal, trigger)| TriggerView::of(s, key, signal, trigger))
                .collect(),
            notes: s
                .watch
                .signals()
                .filter_map(|(name, _, note)| Some((name.to_owned(), note?.to_owned())))
                .collect(),
            verification: s
                .state
                .incident
                .as_ref()
                .map_or_else(Vec::new, |incident| verification::waits_for(s, incident)),
            runs: s.state.incident.as_ref().and_then(|it| it.stands(s)).map(|it| it.in_words()),
            ground,
            response: severity.map_or_else(String::new, |severity| response(s, severity)),
            guards: judged.guards,
            plan: judged.plan.as_deref().ok().map(PlanView::of),
            no_plan: judged.plan.err(),
            next: s
                .state
                .next_deadline(s.policy, s.now)
                .map(|(at, why)| (s.wall_of(at), why.to_owned())),
        }
    }
}

impl TriggerView {
    fn of(s: &Situation<'_>, name: &str, signal: &str, trigger: &Trigger) -> Self {
        let evidence = trigger.evidence();
        let unit = evidence.unit;
        Self {
            name: name.to_owned(),
            state: evidence.state,
            severity: evidence.severity,
            signal: signal.to_owned(),
            looks_at: s.looks_at(name).map_or_else(|| "a signal".to_owned(), looks_at),
            sees: says::evidence(&evidence),
            normal: s.watch.normal(name).map(|(n, at, slow)| says::normal(&n, at, slow)),
            waits_for: trigger.waits_for().iter().map(|wait| says::wait(wait, unit)).collect(),
            drawn: trigger.drawn().collect(),
            evidence,
        }
    }
}

fn looks_at(looks_at: LooksAt) -> String {
    match looks_at {
        LooksAt::ErrorRate => "error rate".to_owned(),
        LooksAt::Traffic => "traffic".to_owned(),
        LooksAt::SlowShare(times) => format!("requests slower than {times} the baseline"),
        LooksAt::LatencyP95 => "p95 latency".to_owned(),
        LooksAt::Health => "probes".to_owned(),
        LooksAt::Availability => "whether probes are answered".to_owned(),
        LooksAt::NewAgainstOld => "error rate, new revision against old".to_owned(),
        LooksAt::Event => "what is posted".to_owned(),
    }
}

fn response(s: &Situation<'_>, severity: Severity) -> String {
    let row = s.policy.matrix.row(severity);
    let what = match row.response {
        Response::RollBack => "roll back at once".to_owned(),
        Response::MonitorThenRollBack => {
            format!("monitor for {}, then roll back if it still holds", row.monitor)
        }
        Response::Ask => "ask a person".to_owned(),
        Response::Tell => {
            "only tell: fix forward, or roll back with the next deployment".to_owned()
        }
    };
    match row.act_within {
        Some(within) => format!("{severity}: {what}; within {within}"),
        None => format!("{severity}: {what}"),
    }
}

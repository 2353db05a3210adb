//! What the operator decided: the matrix, the guards' numbers, the clocks, the people. Never what happened.
//!
//! The configuration builds these; a reload swaps them and leaves everything that happened as it is.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{
    baseline,
    integrity::CheckPolicy,
    owner::OwnerRule,
    planning::Runbook,
    schema::DatabasePolicy,
    service::{Mode, ServiceId},
    severity::Severity,
    trigger::Rule,
};
use crate::units::{Multiple, Span, UnixMs};

/// What the matrix says to do about a severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    /// Roll back now.
    RollBack,
    /// Watch for a while, then roll back if it still holds.
    MonitorThenRollBack,
    /// Ask a person, with the evidence and the choices.
    Ask,
    /// Fix forward, or roll back with the next deployment: only tell.
    Tell,
}

/// One row of the decision matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// What to do.
    pub response: Response,
    /// How long to monitor before a rollback; only for [`Response::MonitorThenRollBack`].
    pub monitor: Span,
    /// By then the action is under way, or people are paged that it is late. `None`: the next deployment.
    pub act_within: Option<Span>,
    /// By then a rollback is verified, or people are paged that it is late.
    pub verify_within: Span,
}

/// The decision matrix: one row for each severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matrix {
    /// Service down or data at risk.
    pub p0: Row,
    /// Significant degradation.
    pub p1: Row,
    /// Minor issues affecting some users.
    pub p2: Row,
    /// Cosmetic.
    pub p3: Row,
}

impl Matrix {
    /// The row of a severity.
    pub fn row(&self, severity: Severity) -> &Row {
        match severity {
            Severity::P0 => &self.p0,
            Severity::P1 => &self.p1,
            Severity::P2 => &self.p2,
            Severity::P3 => &self.p3,
        }
    }

    /// The same, to change it.
    pub fn row_mut(&mut self, severity: Severity) -> &mut Row {
        match severity {
            Severity::P0 => &mut self.p0,
            Severity::P1 => &mut self.p1,
            Severity::P2 => &mut self.p2,
            Severity::P3 => &mut self.p3,
        }
    }
}

impl Default for Matrix {
    /// The runbook's decision matrix. Its table estimates 7 to 15 minutes for an application rollback, and it asks to
    /// monitor the metrics for 15 minutes after one: both cannot be had, so a rollback is late to be verified only when
    /// it began in time, took 5 minutes, held for 15, and 5 more went by.
    fn default() -> Self {
        let row = |response, monitor, act_within: Option<i64>, verify_within| Row {
            response,
            monitor: Span::minutes(monitor),
            act_within: act_within.map(Span::minutes),
            verify_within: Span::minutes(verify_within),
        };
        Self {
            p0: row(Response::RollBack, 0, Some(5), 25),
            p1: row(Response::MonitorThenRollBack, 10, Some(15), 35),
            p2: row(Response::Ask, 0, Some(30), 50),
            p3: row(Response::Tell, 0, None, 25),
        }
    }
}

/// The numbers of the guards.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GuardPolicy {
    /// A breach that begins later than this after a change ended is not its doing; `None` rolls back whatever its age.
    pub max_change_age: Option<Span>,
    /// How far before the change the service must have been healthy.
    pub burning_window: Span,
    /// How far before the change the rule must not have fired.
    pub noisy_window: Span,
    /// Fewer requests than this since onset are thin evidence ...
    pub thin_requests: u64,
    /// ... unless the lower bound is above this share.
    pub thin_lower_bound: f64,
    /// Between two automatic rollbacks of one service.
    pub cooldown: Span,
    /// Automatic rollbacks of one service in an hour.
    pub service_budget_per_hour: u32,
    /// A signal older than this many poll intervals is blind ...
    pub freshness_polls: u32,
    /// ... but never sooner than this.
    pub freshness_min: Span,
    /// How long a P0 waits for company before it acts, so that a storm is seen.
    pub company_wait: Span,
}

impl Default for GuardPolicy {
    fn default() -> Self {
        Self {
            max_change_age: Some(Span::hours(1)),
            burning_window: Span::minutes(30),
            noisy_window: Span::hours(24),
            thin_requests: 50,
            thin_lower_bound: 0.20,
            cooldown: Span::minutes(30),
            service_budget_per_hour: 2,
            freshness_polls: 3,
            freshness_min: Span::seconds(60),
            company_wait: Span::seconds(15),
        }
    }
}

/// Guards over all services together.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FleetPolicy {
    /// More services than this at once, and more than the share, are a storm.
    pub storm_services: u32,
    /// The share of the fleet.
    pub storm_share: f64,
    /// How close in time.
    pub storm_window: Span,
    /// Automatic rollbacks of the whole fleet in an hour.
    pub budget_per_hour: u32,
    /// What is true of a service that nobody asks for any more stays for so long. Longer than notices stay in the outbox:
    /// those of one that comes back later are numbered anew.
    #[serde(default = "forget_left_after")]
    pub forget_left_after: Span,
}

fn forget_left_after() -> Span {
    FleetPolicy::default().forget_left_after
}

impl FleetPolicy {
    /// Whether so many of the services that suffer at once are a storm: of a handful all, where there is more than one.
    pub fn is_storm(&self, alarmed: u32, services: u32) -> bool {
        if services <= self.storm_services {
            return services > 1 && alarmed == services;
        }
        alarmed > self.storm_services && f64::from(alarmed) / f64::from(services) > self.storm_share
    }
}

impl Default for FleetPolicy {
    fn default() -> Self {
        Self {
            storm_services: 3,
            storm_share: 0.30,
            storm_window: Span::minutes(5),
            budget_per_hour: 5,
            forget_left_after: Span::hours(24 * 91),
        }
    }
}

/// When a rollback has worked.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct VerificationPolicy {
    /// All checks must pass for this long.
    pub hold: Span,
    /// Error rate must be below this share.
    pub max_error_rate: f64,
    /// 95th percentile of response time must be below this.
    pub max_p95_ms: f64,
    /// CPU usage must be below this share, where a signal tells.
    pub max_cpu: f64,
    /// Memory usage must be below this share, where a signal tells.
    pub max_memory: f64,
    /// Fewer requests than this leave the error rate unknown; fewer in its bake time earn no revision known good.
    pub min_requests: u64,
    /// Of the pods that a Deployment wants this share must be of the target, and ready ...
    #[serde(default = "min_ready")]
    pub min_ready: f64,
    /// ... for so long, in which none of them was started again.
    #[serde(default = "ready_for")]
    pub ready_for: Span,
}

fn min_ready() -> f64 {
    VerificationPolicy::default().min_ready
}

fn ready_for() -> Span {
    VerificationPolicy::default().ready_for
}

impl Default for VerificationPolicy {
    /// The runbook's performance verification, held for its 15 minutes.
    fn default() -> Self {
        Self {
            hold: Span::minutes(15),
            max_error_rate: 0.01,
            max_p95_ms: 2_000.0,
            max_cpu: 0.70,
            max_memory: 0.80,
            min_requests: 20,
            min_ready: 0.90,
            ready_for: Span::minutes(1),
        }
    }
}

/// How people are reached, and reminded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeoplePolicy {
    /// A page that nobody acknowledged is repeated this often.
    pub repeat_page_every: Span,
    /// The root cause analysis is due this long after an incident closed.
    pub root_cause_within: Span,
    /// Of a step that takes longer than this people are told so often how far it is.
    pub progress_every: Span,
}

impl Default for PeoplePolicy {
    fn default() -> Self {
        Self {
            repeat_page_every: Span::minutes(5),
            root_cause_within: Span::hours(24),
            progress_every: Span::minutes(10),
        }
    }
}

/// What kind of thing a signal measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignalKind {
    /// Bad requests against all.
    ErrorRate,
    /// Response times: a histogram, or a 95th percentile in seconds.
    Latency,
    /// Up or down, by a probe.
    Health,
    /// Share of CPU in use.
    Cpu,
    /// Share of memory in use.
    Memory,
    /// Lines of its logs that say that something is wrong.
    Logs,
}

/// A signal of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SignalPolicy {
    /// What it measures.
    pub kind: SignalKind,
    /// The source that feeds it, for people: `prometheus main`, `probe https://…`.
    pub source: String,
    /// How often it is read.
    pub poll_every: Span,
    /// How far behind its source's timestamps may be.
    pub lag: Span,
    /// A 95th percentile from a histogram is taken over this much trailing time.
    pub quantile_window: Span,
}

/// What a trigger looks at.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LooksAt {
    /// Bad requests against all.
    ErrorRate,
    /// Requests a minute.
    Traffic,
    /// The share of requests slower than this many times the baseline, where a histogram tells; the 95th percentile
    /// against as many times the baseline otherwise.
    SlowShare(Multiple),
    /// The 95th percentile of response time.
    LatencyP95,
    /// Probes: whether they are answered as they should be.
    Health,
    /// Probes: whether they are answered at all. What says that it is unwell is unhealthy, not gone.
    Availability,
    /// Bad requests of the newest change's revision, against those of the revisions that answer beside it.
    NewAgainstOld,
    /// Nothing polled: it is posted, or an alert.
    Event,
}

/// One trigger: policy only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TriggerPolicy {
    /// What it looks at.
    pub looks_at: LooksAt,
    /// When it fires, and how bad that is.
    pub rule: Arc<Rule>,
    /// Whether it can be a reason to act, or only to page.
    pub may_act: bool,
}

/// Everything that the operator decided about one service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServicePolicy {
    /// Which service.
    pub id: ServiceId,
    /// How far the daemon may go.
    pub mode: Mode,
    /// Severity to response.
    pub matrix: Matrix,
    /// What is read. Services of one template share it.
    pub signals: Arc<BTreeMap<String, SignalPolicy>>,
    /// Conditions over the signals, by name. Services of one template share them.
    pub triggers: Arc<BTreeMap<String, TriggerPolicy>>,
    /// The guards' numbers.
    pub guards: GuardPolicy,
    /// What can be rolled back, and how. Without one, people are told that there is nothing to roll back.
    pub runbook: Option<Runbook>,
    /// The database whose history of migrations is looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabasePolicy>,
    /// What its database's data must be, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub checks: BTreeMap<String, CheckPolicy>,
    /// When a rollback has worked.
    pub verification: VerificationPolicy,
    /// How people are reminded.
    pub people: PeoplePolicy,
    /// How long a revision must serve healthily to be known good.
    pub bake: Span,
    /// How long a service is watched after a verified rollback.
    pub watch_after: Span,
    /// Event kinds on which the daemon may act by itself, of those that need it (`data-corruption`, `security-breach`).
    pub acts_on_evidence: BTreeSet<String>,
    /// A blind signal pages after this while a change or an incident is watched.
    pub blind_watched: Span,
    /// A blind signal pages after this otherwise.
    pub blind_idle: Span,
    /// How finely what was before a change is remembered; a minute unless durations are shortened.
    pub history_slot: Span,
    /// How what is normal is learned.
    pub baseline: baseline::Options,
}

impl ServicePolicy {
    /// What is done where something else would put back what is rolled away from; none where nothing can.
    pub fn owner_rule(&self) -> Option<OwnerRule> {
        self.runbook.as_ref()?.application.owner_rule()
    }
}

/// Everything that the operator decided.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// By identity. The shell holds the same beside the fleet.
    pub services: BTreeMap<ServiceId, Arc<ServicePolicy>>,
    /// Over all of them.
    pub fleet: FleetPolicy,
    /// Hash of the configuration file that this was built from.
    pub config_hash: String,
    /// Periods in which nothing is done by itself: a calendar said no.
    pub freezes: Vec<Freeze>,
}

/// A period in which the daemon only asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freeze {
    /// From.
    pub from: UnixMs,
    /// Until.
    pub until: UnixMs,
    /// Why.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A journal of before there was a key is read by what was so then.
    #[test]
    fn what_an_earlier_daemon_did_not_write_down_is_as_usual() {
        let mut written = serde_json::to_value(VerificationPolicy::default()).unwrap();
        for key in ["min_ready", "ready_for"] {
            written.as_object_mut().unwrap().remove(key).unwrap();
        }
        let read: VerificationPolicy = serde_json::from_value(written).unwrap();
        assert_eq!(read, VerificationPolicy::default());
    }
}

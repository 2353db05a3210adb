//! The runbook's triggers, as data: what a service gets that configures none.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Escalation, Limit, Recurrent, Rule, Unit};
use crate::{
    domain::severity::Severity,
    units::{Multiple, Percent, Span},
};

/// Which kind of signal a trigger can look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignalKind {
    /// Failed requests of all requests: counts.
    Errors,
    /// Requests slower than three times the baseline, of all requests: counts from a histogram.
    SlowShare,
    /// p95 in seconds: a gauge.
    Latency,
    /// A probe from outside, or the number of ready endpoints: up or down.
    Availability,
    /// The service's own health check: up or down.
    Health,
    /// How a migration ended: an event.
    Migration,
    /// A check of the data: an event.
    Integrity,
    /// A finding about security: an event.
    Security,
}

/// What a trigger may lead to beside being told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Leads {
    /// To what the decision matrix says for its severity.
    ByMatrix,
    /// To what the matrix says, but to an automatic rollback only where the service opted in.
    ByMatrixIfOptedIn,
    /// To people only.
    People,
}

/// One of the runbook's triggers over one kind of signal. Several with one name are alternatives: each
/// signal that a service has is looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct Default {
    /// The runbook's name, as in the configuration.
    pub name: &'static str,
    /// What it looks at.
    pub signal: SignalKind,
    /// Used only where the service has no signal of this kind.
    pub unless: Option<SignalKind>,
    /// How it judges.
    pub rule: Arc<Rule>,
    /// What it may lead to.
    pub leads: Leads,
}

/// The whole table, in the runbook's order.
pub fn all() -> Vec<Default> {
    let mut all = acting();
    all.extend(telling());
    all
}

/// The trigger that stands for a migration that failed.
pub const MIGRATION_FAILURE: &str = "migration-failure";
/// The trigger that stands for data that is not as it must be.
pub const DATA_CORRUPTION: &str = "data-corruption";

/// Whether a posted event is a reason to act only where the service opted in: of the table's, and of any other name.
pub fn needs_opt_in(name: &str) -> bool {
    all()
        .iter()
        .find(|row| row.name == name)
        .is_none_or(|row| row.leads == Leads::ByMatrixIfOptedIn)
}

fn row(name: &'static str, signal: SignalKind, rule: Rule, leads: Leads) -> Default {
    Default { name, signal, unless: None, rule: Arc::new(rule), leads }
}

fn acting() -> Vec<Default> {
    use Leads::{ByMatrix, ByMatrixIfOptedIn};
    use Severity::{P0, P1};
    use SignalKind::{
        Availability, Errors, Health, Integrity, Latency, Migration, Security, SlowShare,
    };
    let critical = Rule::ratio(P1, Percent(0.05), Span::minutes(5))
        .with_recurrent(Recurrent::default())
        .with_escalation(Escalation::default());
    let mut slow_share = Rule::ratio(P1, Percent(0.05), Span::minutes(10));
    slow_share.hold.samples = 3;
    let p95 = Rule::gauge(P1, Limit::Baseline(Multiple(3.0)), Unit::Seconds, Span::minutes(10));
    let outage = Rule::boolean(P0, Span::minutes(2), Span::seconds(15));
    let unhealthy = Rule::boolean(P1, Span::minutes(3), Span::seconds(30));
    vec![
        row("critical-errors", Errors, critical, ByMatrix),
        row("performance-degradation", SlowShare, slow_share, ByMatrix),
        Default {
            unless: Some(SlowShare),
            ..row("performance-degradation", Latency, p95, ByMatrix)
        },
        row("service-outage", Availability, outage, ByMatrix),
        row("failed-health-checks", Health, unhealthy, ByMatrix),
        // P0 when half applied: who posts it says which.
        row(MIGRATION_FAILURE, Migration, Rule::event(P1, false), ByMatrix),
        row(DATA_CORRUPTION, Integrity, Rule::event(P0, true), ByMatrixIfOptedIn),
        row("security-breach", Security, Rule::event(P0, true), ByMatrixIfOptedIn),
    ]
}

fn telling() -> Vec<Default> {
    use Severity::{P1, P2, P3};
    use SignalKind::{Errors, Latency};
    let ten = Span::minutes(10);
    let times = |severity, times| {
        Rule::gauge(severity, Limit::Baseline(Multiple(times)), Unit::Seconds, ten)
    };
    let two_seconds = Rule::gauge(P2, Limit::Absolute(2.0), Unit::Seconds, ten);
    let collapse = Rule::traffic(P1, Percent(0.1), Span::minutes(5));
    let elevated = Rule::ratio(P2, Percent(0.01), Span::minutes(5));
    let minor = Rule::ratio(P3, Percent(0.005), Span::minutes(5));
    vec![
        row("traffic-collapse", Errors, collapse, Leads::People),
        row("elevated-errors", Errors, elevated, Leads::ByMatrix),
        row("slow-responses", Latency, two_seconds, Leads::ByMatrix),
        row("slow-responses", Latency, times(P2, 1.5), Leads::ByMatrix),
        row("minor", Errors, minor, Leads::ByMatrix),
        row("minor", Latency, times(P3, 1.2), Leads::ByMatrix),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_the_runbooks() {
        let names: Vec<&str> = all().iter().map(|default| default.name).collect();
        assert_eq!(
            names,
            [
                "critical-errors",
                "performance-degradation",
                "performance-degradation",
                "service-outage",
                "failed-health-checks",
                "migration-failure",
                "data-corruption",
                "security-breach",
                "traffic-collapse",
                "elevated-errors",
                "slow-responses",
                "slow-responses",
                "minor",
                "minor",
            ]
        );
    }
}

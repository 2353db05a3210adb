//! When a trigger fires, and what happens then, in a sentence each.

use crate::{
    domain::{
        policy::{LooksAt, Response, Row, ServicePolicy, TriggerPolicy},
        service::Mode,
        severity::Severity,
        trigger::{Comparison, Gauge, Hold, Kind, Limit, Ratio, Rule, defaults},
    },
    units::{Multiple, Span},
};

/// Each condition that fires it.
pub(super) fn fires_if(policy: &ServicePolicy, name: &str, trigger: &TriggerPolicy) -> Vec<String> {
    let rule = &trigger.rule;
    let lasts = rule.hold.lasts;
    let within = tolerance(&rule.hold);
    match &rule.kind {
        Kind::Ratio(ratio) => of_ratio(trigger.looks_at, rule, ratio),
        Kind::Gauge(gauge) => {
            let limit = limit(gauge);
            vec![format!(
                "the 95th percentile of response time is above {limit} for {lasts} {within}"
            )]
        }
        Kind::Boolean if trigger.looks_at == LooksAt::Availability => {
            vec![format!("probes are not answered at all for {lasts} {within}")]
        }
        Kind::Boolean => {
            vec![format!("probes are not answered as they should be for {lasts} {within}")]
        }
        Kind::Traffic(traffic) => vec![format!(
            "there are less than {} of the normal requests for {lasts} {within}, where {} a minute or more are normal",
            traffic.below, traffic.least_per_minute
        )],
        Kind::Comparison(Comparison { margin, above, alpha, .. }) => vec![format!(
            "surely more than {above} of the requests to the newest change's revision fail, and more than {margin} as \
             often as those to the revisions that answer beside it (by chance at most once in {:.0} changes), at any \
             moment",
            1.0 / alpha
        )],
        Kind::Event { latched } => {
            let stays = if *latched { "; it stays until a person releases it" } else { "" };
            let posted =
                ["migration-failure", "data-corruption", "security-breach"].contains(&name);
            let how = if posted { "it is posted to /v1/evidence, or " } else { "" };
            let service = policy.id.name();
            vec![format!(
                "{how}an alert of {service} has the label rollbackd_trigger={name}{stays}"
            )]
        }
    }
}

fn of_ratio(looks_at: LooksAt, rule: &Rule, ratio: &Ratio) -> Vec<String> {
    let what = match looks_at {
        LooksAt::SlowShare(times) => format!("of the requests are slower than {}", normal(times)),
        LooksAt::ErrorRate
        | LooksAt::NewAgainstOld
        | LooksAt::Traffic
        | LooksAt::LatencyP95
        | LooksAt::Health
        | LooksAt::Availability
        | LooksAt::Event => "of the requests fail".to_owned(),
    };
    let (above, lasts) = (ratio.above, rule.hold.lasts);
    let (share, errors) = (rule.hold.share, ratio.errors);
    let count =
        if errors > 1 { format!(", and {errors} such requests at least") } else { String::new() };
    let mut all = vec![format!(
        "surely more than {above} {what} for {lasts} (in {share} of the time{count})"
    )];
    if let Some(r) = &ratio.recurrent {
        all.push(format!(
            "they do so in {} or more episodes, {} of the last {} in all",
            r.episodes, r.breached, r.horizon
        ));
    }
    if let Some(e) = &ratio.escalation {
        all.push(format!("at least {} {what} for {}: then it is {}", e.above, e.lasts, e.severity));
    }
    all
}

fn tolerance(hold: &Hold) -> String {
    format!("(in {} of the time, no pause above {})", hold.share, hold.grace)
}

fn limit(gauge: &Gauge) -> String {
    match gauge.above {
        Limit::Absolute(seconds) => Span((seconds * 1000.0).round() as i64).to_string(),
        Limit::Baseline(times) => normal(times),
    }
}

fn normal(times: Multiple) -> String {
    format!("{times} what is normal")
}

/// What is done about it, once for each severity that it can have.
pub(super) fn then(policy: &ServicePolicy, name: &str, trigger: &TriggerPolicy) -> Vec<String> {
    let severity = trigger.rule.severity;
    let row = policy.matrix.row(severity);
    let acts = matches!(row.response, Response::RollBack | Response::MonitorThenRollBack);
    let evidence = trigger.looks_at == LooksAt::Event && acts && defaults::needs_opt_in(name);
    let mut all = vec![if !trigger.may_act {
        format!("{severity}: people are paged; it is never a reason to roll back")
    } else if evidence && !policy.acts_on_evidence.contains(name) {
        let due = due(row);
        format!(
            "{severity}: people are paged and asked{due}: what is posted is acted upon only where acts_on_evidence names it"
        )
    } else {
        format!("{severity}: {}", response(policy, severity, row))
    }];
    if let Kind::Ratio(Ratio { escalation: Some(e), .. }) = &trigger.rule.kind
        && e.severity != severity
    {
        let worse = policy.matrix.row(e.severity);
        all.push(format!("{}: {}", e.severity, response(policy, e.severity, worse)));
    }
    all
}

fn response(policy: &ServicePolicy, severity: Severity, row: &Row) -> String {
    let due = due(row);
    let verified = format!("verified within {}", row.verify_within);
    let rolled = match (&policy.runbook, policy.mode) {
        (None, _) => "there is nothing that could be rolled back, and people are asked".to_owned(),
        (_, Mode::Observe) => "it would be rolled back, and people are told so".to_owned(),
        (_, Mode::Approve) => format!("people are asked to approve a rollback{due}, {verified}"),
        (_, Mode::Auto) => format!("it is rolled back{due}, {verified}"),
    };
    let wait = policy.guards.company_wait;
    match row.response {
        Response::RollBack if severity == Severity::P0 && wait > Span::ZERO => {
            format!(
                "people are paged; at once, or {wait} later where several services are watched, {rolled}"
            )
        }
        Response::RollBack => format!("people are paged; at once {rolled}"),
        Response::MonitorThenRollBack => {
            let monitor = row.monitor;
            format!("people are paged; it is monitored for {monitor}; if it still holds, {rolled}")
        }
        Response::Ask => format!("people are paged and asked{due}, with the evidence and the plan"),
        Response::Tell => {
            format!("people are told: fix forward, or roll back with the next deployment{due}")
        }
    }
}

fn due(row: &Row) -> String {
    row.act_within.map_or_else(String::new, |within| format!(" within {within}"))
}

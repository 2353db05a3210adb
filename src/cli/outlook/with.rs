//! With what a service is rolled back, and what proves that it worked.

use super::beside;
use crate::{
    domain::{
        change::Revision,
        inventory::Place,
        planning::Runbook,
        policy::{ServicePolicy, SignalKind},
        runbook::ApplicationRunbook,
    },
    units::{Percent, Span, UnixMs},
};

/// The steps, for the revisions that will be chosen when it happens.
pub(super) fn rolls_back(policy: &ServicePolicy) -> Vec<String> {
    let Some(runbook) = &policy.runbook else {
        return vec!["nothing is configured that could be: people are told so".to_owned()];
    };
    let (from, to) = (Revision::named("CURRENT"), Revision::named("KNOWN-GOOD"));
    let plan = runbook.plan(&policy.id, (&from, &to), &Place::default(), UnixMs(0));
    let steps = plan.steps.iter().enumerate().map(|(at, step)| {
        let tries =
            if step.attempts == 1 { "once".into() } else { format!("{} times", step.attempts) };
        format!("{}. {} (at most {}, tried {tries})", at + 1, step.title, step.timeout)
    });
    let mut lines: Vec<String> = steps.collect();
    let bake = policy.bake;
    lines.push(format!(
        "KNOWN-GOOD is the last version that served healthily for {bake} while the daemon watched; until there is one, \
         people are asked"
    ));
    lines.extend(beside::rolls_back(runbook));
    lines.push(match policy.guards.max_change_age {
        Some(age) => format!("only for a breach that began within {age} of a change"),
        None => "for a breach however long after a change".to_owned(),
    });
    let (budget, cooldown) = (policy.guards.service_budget_per_hour, policy.guards.cooldown);
    lines.push(format!(
        "by itself at most {budget} times an hour, {cooldown} apart, and once for each change"
    ));
    lines
}

fn has_checks(runbook: &Runbook) -> bool {
    !runbook.checks.is_empty() || !runbook.jobs.is_empty()
}

/// What must be so, and for how long.
pub(super) fn verified(policy: &ServicePolicy) -> Vec<String> {
    if policy.runbook.is_none() {
        return vec![];
    }
    let limits = &policy.verification;
    let mut lines = vec![
        format!("for {} without a break:", limits.hold),
        "  the version that was wanted is seen to run".to_owned(),
        "  no trigger above P3 fires".to_owned(),
    ];
    let application = policy.runbook.as_ref().map(|runbook| &runbook.application);
    if let Some(ApplicationRunbook::Deployment(_)) = application {
        let (share, time) = (Percent(limits.min_ready), limits.ready_for);
        lines.push(format!(
            "  at least {share} of its pods are of it and ready, for {time}, and none is started again"
        ));
    }
    let p95 = Span(limits.max_p95_ms.round() as i64);
    for (name, signal) in policy.signals.iter() {
        lines.push(match signal.kind {
            SignalKind::ErrorRate => {
                let (limit, least) = (Percent(limits.max_error_rate), limits.min_requests);
                format!("  {name}: below {limit}, or what it was before; fewer than {least} requests tell nothing")
            }
            SignalKind::Latency => format!("  {name}: 95th percentile below {p95}, or what it was before"),
            SignalKind::Health => format!("  {name}: the probe is answered as it should be"),
            SignalKind::Cpu => format!("  {name}: below {}", Percent(limits.max_cpu)),
            SignalKind::Memory => format!("  {name}: below {}", Percent(limits.max_memory)),
            SignalKind::Logs => format!("  {name}: no line says that something is wrong"),
        });
    }
    if policy.runbook.as_ref().is_some_and(has_checks) {
        lines.push("  and its checks have passed, as the last steps".to_owned());
    }
    let after = policy.watch_after;
    lines.push(format!("then it is watched closely for another {after}"));
    lines
}

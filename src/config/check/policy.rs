//! The decision matrix, the guards, what verifies.

use std::ops::Range;

use crate::{
    config::{check::found::Found, raw},
    domain::{
        baseline,
        policy::{
            FleetPolicy, GuardPolicy, Matrix, PeoplePolicy, Response, Row, VerificationPolicy,
        },
        severity::Severity,
    },
    units::Span,
};

/// What a rollback takes, and what is left for people to be late by: beside monitoring and verification.
const ROLLBACK: Span = Span::minutes(5);

/// The decision matrix. `hold` is how long a verification takes; `at` is where to complain that has no better place.
pub(super) fn matrix(
    found: &mut Found<'_>,
    raw: &raw::Severities,
    hold: Span,
    at: &Range<usize>,
) -> Matrix {
    let mut matrix = Matrix::default();
    let rows = [
        (Severity::P0, &raw.p0),
        (Severity::P1, &raw.p1),
        (Severity::P2, &raw.p2),
        (Severity::P3, &raw.p3),
    ];
    for (severity, raw) in rows {
        let row = matrix.row_mut(severity);
        *row = filled(*row, raw, hold);
        check_row(found, severity, raw, row, hold, at);
    }
    matrix
}

fn filled(usual: Row, raw: &raw::Row, hold: Span) -> Row {
    let response = raw.response.unwrap_or(usual.response);
    let monitors = response == Response::MonitorThenRollBack;
    let monitor = match &raw.monitor_for {
        Some(span) => *span.get_ref(),
        None if monitors && usual.monitor > Span::ZERO => usual.monitor,
        None if monitors => Span::minutes(10),
        None => Span::ZERO,
    };
    let act_within = raw.act_within.as_ref().map_or(usual.act_within, |within| within.get_ref().0);
    // So long a rollback takes that begins at the last moment: verified sooner would page every one of them as late.
    let usual_end = act_within.unwrap_or(monitor + ROLLBACK) + hold + ROLLBACK;
    let verify_within = raw.verify_within.as_ref().map_or(usual_end, |within| *within.get_ref());
    Row { response, monitor, act_within, verify_within }
}

fn check_row(
    found: &mut Found<'_>,
    severity: Severity,
    raw: &raw::Row,
    row: &Row,
    hold: Span,
    at: &Range<usize>,
) {
    let Row { response, monitor, act_within, verify_within } = *row;
    if let Some(monitor_for) = &raw.monitor_for
        && response != Response::MonitorThenRollBack
    {
        let what = format!("{severity} is not monitored before it is acted upon");
        let instead = "leave it out, or add response = \"monitor_then_roll_back\"";
        found.warn(monitor_for.span(), what, instead);
    }
    let span = |placed: Option<Range<usize>>, other: Option<Range<usize>>| {
        placed.or(other).unwrap_or_else(|| at.clone())
    };
    let act_at = raw.act_within.as_ref().map(toml::Spanned::span);
    let monitor_at = raw.monitor_for.as_ref().map(toml::Spanned::span);
    if let Some(within) = act_within
        && monitor >= within
        && monitor > Span::ZERO
    {
        let what = format!(
            "{severity} is monitored for {monitor} and must be acted upon within {within}: always late"
        );
        let instead = "let act_within be longer than monitor_for";
        found.error(span(monitor_at.clone(), act_at.clone()), what, instead);
    }
    if verify_within < monitor + hold {
        let what = format!(
            "after {monitor} of monitoring a verification of {hold} cannot end within {verify_within}: \
             every rollback would page as late"
        );
        let instead = format!("write at least \"{}\"", monitor + hold + ROLLBACK);
        let verify_at = raw.verify_within.as_ref().map(toml::Spanned::span);
        found.error(span(verify_at, monitor_at), what, instead);
    }
    if severity == Severity::P0 && act_within.is_none_or(|within| within > Span::minutes(5)) {
        let what = "the runbook asks to act upon a P0 within 5 minutes";
        found.warn(span(act_at, None), what, "write \"5m\" or less");
    }
}

/// The guards.
pub(super) fn guards(found: &mut Found<'_>, raw: &raw::Guard, matrix: &Matrix) -> GuardPolicy {
    let usual = GuardPolicy::default();
    let company_wait = raw.company_wait.as_ref().map_or(usual.company_wait, |wait| *wait.get_ref());
    if let Some(wait) = &raw.company_wait
        && matrix.p0.act_within.is_some_and(|within| company_wait >= within)
    {
        let what = "a P0 would wait for company until it is late";
        found.error(wait.span(), what, "write less than P0's act_within; 15s is usual");
    }
    if let Some(rollbacks) = &raw.rollbacks_per_hour
        && *rollbacks.get_ref() == 0
    {
        let what = "no rollback would ever happen by itself";
        found.error(rollbacks.span(), what, "write mode = \"approve\" if that is meant");
    }
    GuardPolicy {
        max_change_age: raw.max_change_age.as_ref().map_or(usual.max_change_age, |age| age.0),
        burning_window: found.positive(&raw.burning_window, usual.burning_window),
        noisy_window: raw.noisy_window.unwrap_or(usual.noisy_window),
        thin_requests: raw.thin_requests.unwrap_or(usual.thin_requests),
        thin_lower_bound: raw.thin_lower_bound.map_or(usual.thin_lower_bound, |bound| bound.0),
        cooldown: raw.cooldown.unwrap_or(usual.cooldown),
        service_budget_per_hour: raw
            .rollbacks_per_hour
            .as_ref()
            .map_or(usual.service_budget_per_hour, |budget| *budget.get_ref()),
        freshness_polls: found.at_least_one(&raw.freshness_polls, usual.freshness_polls),
        freshness_min: raw.freshness_at_least.unwrap_or(usual.freshness_min),
        company_wait,
    }
}

/// The guards over all services.
/// What is true of a service goes a day after everything that was told of it: housekeeping is done by then.
pub(super) fn fleet(raw: &raw::Fleet, journal_keep: Span) -> FleetPolicy {
    let usual = FleetPolicy::default();
    FleetPolicy {
        storm_services: raw.storm_services.unwrap_or(usual.storm_services),
        storm_share: raw.storm_share.map_or(usual.storm_share, |share| share.0),
        storm_window: raw.storm_window.unwrap_or(usual.storm_window),
        budget_per_hour: raw.rollbacks_per_hour.unwrap_or(usual.budget_per_hour),
        forget_left_after: journal_keep + Span::hours(24),
    }
}

/// When a rollback has worked.
pub(super) fn verification(found: &mut Found<'_>, raw: &raw::Verification) -> VerificationPolicy {
    let usual = VerificationPolicy::default();
    let share = |share: Option<crate::units::Percent>, usual| share.map_or(usual, |share| share.0);
    let hold = found.positive(&raw.hold, usual.hold);
    VerificationPolicy {
        hold,
        max_error_rate: share(raw.max_error_rate, usual.max_error_rate),
        max_p95_ms: raw.max_p95.map_or(usual.max_p95_ms, |p95| p95.ms() as f64),
        max_cpu: share(raw.max_cpu, usual.max_cpu),
        max_memory: share(raw.max_memory, usual.max_memory),
        min_requests: raw.min_requests.unwrap_or(usual.min_requests),
        min_ready: share(raw.min_ready, usual.min_ready),
        ready_for: found.positive(&raw.ready_for, usual.ready_for.min(hold)),
    }
}

/// How people are reminded.
pub(super) fn people(found: &mut Found<'_>, raw: &raw::People) -> PeoplePolicy {
    let usual = PeoplePolicy::default();
    PeoplePolicy {
        repeat_page_every: found.positive(&raw.repeat_page_every, usual.repeat_page_every),
        root_cause_within: raw.root_cause_within.unwrap_or(usual.root_cause_within),
        progress_every: found.positive(&raw.progress_every, usual.progress_every),
    }
}

/// How what is normal is learned.
pub(super) fn baseline(found: &mut Found<'_>, raw: &raw::Baseline) -> baseline::Options {
    let usual = baseline::Options::default();
    let options = baseline::Options {
        begins: raw.begins.as_ref().map_or(usual.begins, |begins| *begins.get_ref()),
        ends: raw.ends.unwrap_or(usual.ends),
        samples: raw.samples.unwrap_or(usual.samples),
        floor: raw.floor.map_or(usual.floor, Span::as_seconds),
    };
    if let Some(begins) = &raw.begins
        && options.begins <= options.ends
    {
        let what =
            format!("nothing lies between {} and {} before a change", options.begins, options.ends);
        found.error(begins.span(), what, "let `begins` be longer than `ends`");
    }
    options
}

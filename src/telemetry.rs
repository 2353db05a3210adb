//! Logs, and every metric's name and help in one table.

use std::{collections::BTreeMap, error::Error, sync::OnceLock, time::Duration};

use metrics::{
    Counter, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_util::MetricKindMask;

use crate::{
    domain::{
        fact::Fact,
        firing,
        fleet::Fleet,
        guard::Says,
        incident::{self, Choice, Clock, Phase},
        policy::ServicePolicy,
        run::{Outcome, Report},
        service::ServiceId,
        state::ServiceState,
        watch,
    },
    notifiers::DeliveryError,
};

mod gauges;

pub use gauges::{Gauges, Seen};

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only rises.
    Counter,
    /// Rises and falls.
    Gauge,
    /// Buckets of seconds.
    Histogram,
}

/// Every metric: name, kind, help. The README's table is checked against this.
pub const METRICS: &[(&str, Kind, &str)] = &[
    ("rollbackd_build_info", Kind::Gauge, "1, with the version as label"),
    (
        "rollbackd_polls_total",
        Kind::Counter,
        "Polls by service, signal and result (ok, degraded, partial, failed)",
    ),
    (
        "rollbackd_poll_age_seconds",
        Kind::Gauge,
        "Age of the newest usable sample by service and signal",
    ),
    ("rollbackd_poll_seconds", Kind::Histogram, "How long a poll took, by kind of source"),
    (
        "rollbackd_samples_dropped_total",
        Kind::Counter,
        "Readings dropped or mended, by reason and by who noticed (source, counter)",
    ),
    (
        "rollbackd_database_check_seconds",
        Kind::Histogram,
        "How long a check of a database's data took, by service and check",
    ),
    ("rollbackd_trigger_firing", Kind::Gauge, "1 while a trigger fires, by service and trigger"),
    (
        "rollbackd_trigger_fired_total",
        Kind::Counter,
        "How often triggers fired, by trigger and severity",
    ),
    ("rollbackd_incidents_total", Kind::Counter, "Incidents opened, by severity"),
    ("rollbackd_incident_open", Kind::Gauge, "1 while a service has an open incident"),
    (
        "rollbackd_maintenance_on",
        Kind::Gauge,
        "1 while maintenance mode that a rollback switched on is on, or may be",
    ),
    ("rollbackd_incidents_closed_total", Kind::Counter, "Incidents closed, by outcome"),
    ("rollbackd_decisions_total", Kind::Counter, "Decisions, by verdict"),
    ("rollbackd_guard_refusals_total", Kind::Counter, "Automatic actions refused, by guard"),
    (
        "rollbackd_rollbacks_total",
        Kind::Counter,
        "Rollbacks begun, by who began them (daemon, person)",
    ),
    ("rollbackd_rollbacks_verified_total", Kind::Counter, "Rollbacks proven to have worked"),
    (
        "rollbackd_time_to_action_seconds",
        Kind::Histogram,
        "From the first firing to the begun rollback",
    ),
    (
        "rollbackd_time_to_verified_seconds",
        Kind::Histogram,
        "From the first firing to the verified rollback",
    ),
    (
        "rollbackd_deadlines_missed_total",
        Kind::Counter,
        "Deadlines missed, by clock (acted, helped: an earlier revision serves and it gets no better, verified)",
    ),
    ("rollbackd_deadlines_met_total", Kind::Counter, "Deadlines met, by clock (acted, verified)"),
    ("rollbackd_steps_total", Kind::Counter, "Attempts at steps, by outcome"),
    ("rollbackd_step_seconds", Kind::Histogram, "How long an attempt at a step took"),
    ("rollbackd_notices_total", Kind::Counter, "Deliveries of notices, by channel and result"),
    (
        "rollbackd_notices_dropped_total",
        Kind::Counter,
        "Notices pushed out of a full outbox, by channel",
    ),
    ("rollbackd_outbox_depth", Kind::Gauge, "Notices in the outbox, by channel and state"),
    ("rollbackd_journal_append_seconds", Kind::Histogram, "How long making one turn durable took"),
    (
        "rollbackd_journal_writable",
        Kind::Gauge,
        "0 while the journal cannot be written and nothing is done",
    ),
    (
        "rollbackd_cannot_start",
        Kind::Gauge,
        "1 while the daemon could not start, or its disk hangs at the start, and does nothing; `/readyz` says why",
    ),
    ("rollbackd_turn_seconds", Kind::Histogram, "How long one turn of the event loop took"),
    ("rollbackd_events_waiting", Kind::Gauge, "What waits for the event loop"),
    (
        "rollbackd_event_loop_answers",
        Kind::Gauge,
        "0 while the event loop stands still, as on a disk that hangs, and nothing is done",
    ),
    ("rollbackd_kill_switch", Kind::Gauge, "1 while the HOLD file is set"),
    (
        "rollbackd_http_requests_total",
        Kind::Counter,
        "Requests to the interface, by route and status",
    ),
    ("rollbackd_alerts_received_total", Kind::Counter, "Alerts received, by what became of them"),
    (
        "rollbackd_clock_set_total",
        Kind::Counter,
        "How often the machine's clock was set while it ran",
    ),
    ("rollbackd_heartbeats_total", Kind::Counter, "Pings of the outside monitor, by result"),
    ("rollbackd_discoveries_total", Kind::Counter, "Answers to a query for services, by result"),
    (
        "rollbackd_discovered_services",
        Kind::Gauge,
        "How many services a query named in its newest answer",
    ),
];

const SECONDS: [f64; 14] =
    [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0, 3600.0];

/// A gauge that nobody has set for this long is shown no more: what it is about is gone.
pub const SAID_FOR: Duration = Duration::from_secs(600);

/// Installs the recorder for the whole process and names every metric. Whoever holds the handle must run its
/// upkeep, or histograms grow until somebody scrapes.
pub fn install_metrics() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .idle_timeout(MetricKindMask::GAUGE, Some(SAID_FOR))
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)?
        .install_recorder()?;
    for (name, kind, help) in METRICS {
        match kind {
            Kind::Counter => describe_counter!(*name, *help),
            Kind::Gauge => describe_gauge!(*name, *help),
            Kind::Histogram => describe_histogram!(*name, *help),
        }
    }
    gauge!("rollbackd_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    gauge!("rollbackd_journal_writable").set(1.0);
    gauge!("rollbackd_cannot_start").set(0.0);
    gauge!("rollbackd_event_loop_answers").set(1.0);
    gauge!("rollbackd_events_waiting").set(0.0);
    Ok(handle)
}

/// An error with all its causes, in one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let words = inner.to_string();
        if !text.ends_with(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = inner.source();
    }
    text
}

/// A turn was made durable.
pub fn journal_took(took: Duration) {
    histogram!("rollbackd_journal_append_seconds").record(took.as_secs_f64());
}

/// A turn ended.
pub fn turn_took(took: Duration) {
    histogram!("rollbackd_turn_seconds").record(took.as_secs_f64());
}

/// The daemon could not start; nothing is written.
pub fn cannot_start() {
    gauge!("rollbackd_cannot_start").set(1.0);
    journal_writable(false);
}

/// It could after all.
pub fn can_start() {
    gauge!("rollbackd_cannot_start").set(0.0);
    journal_writable(true);
}

/// Whether the journal can be written.
pub fn journal_writable(can: bool) {
    gauge!("rollbackd_journal_writable").set(f64::from(u8::from(can)));
}

/// How much waits for the event loop.
pub fn events_waiting(count: usize) {
    gauge!("rollbackd_events_waiting").set(count as f64);
}

/// Whether the event loop answers.
pub fn event_loop_answers(does: bool) {
    gauge!("rollbackd_event_loop_answers").set(f64::from(u8::from(does)));
}

/// A full outbox pushed a notice out.
pub fn notice_dropped(channel: &str) {
    counter!("rollbackd_notices_dropped_total", "channel" => channel.to_owned()).increment(1);
}

/// A delivery ended.
pub fn delivered(channel: &str, result: &Result<(), DeliveryError>) {
    let how = match result {
        Ok(()) => "delivered",
        Err(DeliveryError::Retry { .. }) => "failed",
        Err(DeliveryError::Refused { .. }) => "refused",
    };
    counter!("rollbackd_notices_total", "channel" => channel.to_owned(), "result" => how)
        .increment(1);
}

/// An attempt at a step ended.
pub fn step(service: &ServiceId, report: &Report) {
    let how = match report.outcome {
        Outcome::AlreadyDone => "already_done",
        Outcome::Done => "done",
        Outcome::Failed { .. } => "failed",
        Outcome::Unknown { .. } => "unknown",
        Outcome::Withheld { .. } => "withheld",
    };
    counter!("rollbackd_steps_total", "service" => service.to_string(), "outcome" => how)
        .increment(1);
    histogram!("rollbackd_step_seconds").record(report.took_ms as f64 / 1000.0);
}

/// The metrics of one signal's polls: found once, for ten thousand services poll two thousand times a second.
#[derive(Clone, Debug, Default)]
pub struct Polls {
    ended: [OnceLock<Counter>; 4],
    took: OnceLock<Histogram>,
}

impl Polls {
    const ENDS: [&str; 4] = ["ok", "degraded", "partial", "failed"];

    /// A poll ended.
    pub fn ended(
        &self,
        service: &ServiceId,
        signal: &str,
        how: &'static str,
        source: &'static str,
        took: Duration,
    ) {
        let counter = || counter!("rollbackd_polls_total", "service" => service.to_string(), "signal" => signal.to_owned(), "result" => how);
        match Self::ENDS.iter().position(|end| *end == how) {
            Some(place) => self.ended[place].get_or_init(counter).increment(1),
            None => counter().increment(1),
        }
        let histogram = || histogram!("rollbackd_poll_seconds", "source" => source);
        self.took.get_or_init(histogram).record(took.as_secs_f64());
    }
}

/// A fact became true: what counts. What is so now is a gauge, and read from the fleet.
pub fn fact(service: Option<&ServiceId>, fact: &Fact, fleet: &Fleet) {
    match fact {
        Fact::Trigger(firing::Fact::Fired(f)) => {
            let policy = service.and_then(|id| fleet.policy.services.get(id));
            let trigger = trigger_label(&f.trigger, policy.map(AsRef::as_ref));
            counter!("rollbackd_trigger_fired_total", "trigger" => trigger, "severity" => f.severity.to_string())
                .increment(1);
        }
        Fact::Incident(fact) => {
            of_incident(fact, service.and_then(|id| fleet.states.get(id)).map(AsRef::as_ref))
        }
        Fact::Fleet(crate::domain::fact::Fleet::ClockSet { .. }) => {
            counter!("rollbackd_clock_set_total").increment(1);
        }
        Fact::Trigger(
            firing::Fact::Cleared { .. }
            | firing::Fact::Blind { .. }
            | firing::Fact::Sighted { .. },
        )
        | Fact::Service(_)
        | Fact::Ledger(_)
        | Fact::Run(_)
        | Fact::Maintenance(_)
        | Fact::Fleet(_)
        | Fact::Told(_) => {}
    }
}

/// The name of an alert comes from outside, and nothing bounds how many there are: only those that stand for a trigger
/// of ours are told apart.
fn trigger_label(name: &str, policy: Option<&ServicePolicy>) -> String {
    if !name.starts_with("alert:") {
        return name.to_owned();
    }
    let own = watch::own_name(name);
    let ours = |key: &String| watch::own_name(key) == own;
    match policy.is_some_and(|policy| policy.triggers.keys().any(ours)) {
        true => format!("alert:{own}"),
        false => "alert".to_owned(),
    }
}

fn of_incident(fact: &incident::Fact, state: Option<&ServiceState>) {
    match fact {
        incident::Fact::Opened { severity, .. } => {
            counter!("rollbackd_incidents_total", "severity" => severity.to_string()).increment(1);
        }
        incident::Fact::Decided(decision) => decided(decision),
        incident::Fact::Planned { by, .. } => {
            let who = if by.is_some() { "person" } else { "daemon" };
            counter!("rollbackd_rollbacks_total", "by" => who).increment(1);
            if let Some(run) = state.and_then(|s| s.incident.as_ref()) {
                let took = run.run.as_ref().and_then(crate::domain::run::Run::started_at);
                if let Some(at) = took {
                    histogram!("rollbackd_time_to_action_seconds")
                        .record(at.since(run.fired.steady).as_seconds());
                    met(run, Clock::Acted, "acted");
                }
            }
        }
        incident::Fact::Entered(Phase::Watching { .. }) => {
            counter!("rollbackd_rollbacks_verified_total").increment(1);
            if let Some(incident) = state.and_then(|s| s.incident.as_ref())
                && let Some(at) = incident.verified_at
            {
                histogram!("rollbackd_time_to_verified_seconds")
                    .record(at.since(incident.fired.steady).as_seconds());
                met(incident, Clock::Verified, "verified");
            }
        }
        incident::Fact::Entered(Phase::Closed { outcome }) => {
            let how = match outcome {
                incident::Closing::Recovered => "recovered",
                incident::Closing::RolledBack => "rolled_back",
                incident::Closing::Fixed => "fixed",
                incident::Closing::Unwatched { .. } => "unwatched",
                incident::Closing::Overtaken { .. } => "overtaken",
                incident::Closing::Dismissed { .. } => "dismissed",
            };
            counter!("rollbackd_incidents_closed_total", "outcome" => how).increment(1);
        }
        incident::Fact::Late(clock) => {
            let clock = match clock {
                Clock::Acted => "acted",
                Clock::Helped => "helped",
                Clock::Verified => "verified",
            };
            counter!("rollbackd_deadlines_missed_total", "clock" => clock).increment(1);
        }
        incident::Fact::Checked { .. }
        | incident::Fact::Joined { .. }
        | incident::Fact::Raised { .. }
        | incident::Fact::Offered { .. }
        | incident::Fact::Entered(_)
        | incident::Fact::GoesOn { .. }
        | incident::Fact::Said { .. }
        | incident::Fact::Relapsed { .. }
        | incident::Fact::Unseen { .. }
        | incident::Fact::Reminded => {}
    }
}

fn decided(decision: &incident::Decision) {
    let verdict = match decision.verdict {
        Choice::RollBackNow => "roll_back",
        Choice::GatherUntil { .. } => "gather",
        Choice::MonitorUntil { .. } => "monitor",
        Choice::Ask => "ask",
        Choice::Tell => "tell",
    };
    counter!("rollbackd_decisions_total", "verdict" => verdict).increment(1);
    let refusals = decision.guards.iter().filter(|v| matches!(v.says, Says::Refuse { .. }));
    for refusal in refusals.filter(|_| verdict == "ask") {
        counter!("rollbackd_guard_refusals_total", "guard" => refusal.guard.name()).increment(1);
    }
}

fn met(incident: &incident::Incident, clock: Clock, name: &'static str) {
    if !incident.late.contains(&clock) {
        counter!("rollbackd_deadlines_met_total", "clock" => name).increment(1);
    }
}

/// A ping of the outside monitor ended.
pub fn heartbeat(arrived: bool) {
    let how = if arrived { "arrived" } else { "failed" };
    counter!("rollbackd_heartbeats_total", "result" => how).increment(1);
}

/// A query for services was answered with so many, or not.
pub fn discovered(of: &str, named: Option<usize>) {
    let result = if named.is_some() { "ok" } else { "failed" };
    counter!("rollbackd_discoveries_total", "discovery" => of.to_owned(), "result" => result)
        .increment(1);
    if let Some(named) = named {
        discovered_last(of, named);
    }
}

/// What a check of a database's data cost.
pub fn database_check(service: &ServiceId, check: &str, took: Duration) {
    let labels = [("service", service.to_string()), ("check", check.to_owned())];
    histogram!("rollbackd_database_check_seconds", &labels).record(took.as_secs_f64());
}

/// How many services the newest answer named, said again for as long as it is the newest.
pub fn discovered_last(of: &str, named: usize) {
    gauge!("rollbackd_discovered_services", "discovery" => of.to_owned()).set(named as f64);
}

/// How many notices are where.
pub fn outbox(depth: &[crate::store::outbox::Depth]) {
    for at in depth {
        let state = match at.state {
            crate::store::outbox::State::Queued => "queued",
            crate::store::outbox::State::Delivered => "delivered",
            crate::store::outbox::State::Dead => "dead",
        };
        gauge!("rollbackd_outbox_depth", "channel" => at.channel.clone(), "state" => state)
            .set(at.count as f64);
    }
}

/// What was dropped of all readings so far, by reason.
pub fn drops(fleet: &Fleet) -> BTreeMap<&'static str, u64> {
    let mut sums = BTreeMap::new();
    let all = fleet.watches.values().flat_map(|watch| watch.all_drops());
    for (reason, count) in all.flat_map(|d| d.iter()).filter(|(_, count)| *count > 0) {
        *sums.entry(reason.name()).or_default() += count;
    }
    sums
}

/// Sets the counters of what was dropped.
pub fn dropped(sums: &BTreeMap<&'static str, u64>) {
    for (reason, count) in sums {
        counter!("rollbackd_samples_dropped_total", "by" => "counter", "reason" => *reason)
            .absolute(*count);
    }
}

/// What a source found wrong with one poll, by reason.
pub fn faults(reasons: impl Iterator<Item = &'static str>) {
    for reason in reasons {
        counter!("rollbackd_samples_dropped_total", "by" => "source", "reason" => reason)
            .increment(1);
    }
}

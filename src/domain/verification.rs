//! The checklist that says whether a rollback worked. Its windows start when the restored revision serves.
//!
//! A rollback succeeded when this says so, not when the last step returned. A check that cannot be made is unknown,
//! and said; it never counts as passed unless the only thing missing is traffic.

mod database;
mod pods;

use serde::{Deserialize, Serialize};

use super::{
    change::{Component, Revision},
    firing::{Basis, Firing},
    incident::Incident,
    inventory::Serving,
    policy::SignalKind,
    run,
    severity::Severity,
    situation::{Holds, Situation},
};
use crate::units::{Span, UnixMs};

/// How one check stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It is as it should be.
    Passed,
    /// It is not.
    Failed,
    /// Too little traffic to tell: said, and not held against the rollback.
    Thin,
    /// Its data is missing: the verification waits.
    Unknown,
}

/// One line of the checklist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What is checked.
    pub name: String,
    /// How it stands.
    pub standing: Standing,
    /// With which numbers.
    pub note: String,
}

/// The whole checklist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// Every check.
    pub checks: Vec<Check>,
    /// Since when nothing was failing or unknown, on the steady clock.
    pub holds_since: Option<UnixMs>,
}

impl Verification {
    /// Whether nothing is failing or unknown, and something was really seen.
    pub fn passes(checks: &[Check]) -> bool {
        let seen = checks.iter().any(|c| c.standing == Standing::Passed);
        seen && checks.iter().all(|c| matches!(c.standing, Standing::Passed | Standing::Thin))
    }

    /// What is not passed, for people.
    pub fn open_points(&self) -> String {
        let open = self.checks.iter().filter(|c| c.standing != Standing::Passed);
        let each: Vec<String> = open.map(|c| format!("{}: {}", c.name, c.note)).collect();
        if each.is_empty() { "it did not hold long enough".into() } else { each.join("; ") }
    }
}

/// What a rollback that is being verified waits for, a sentence each; nothing of any other incident.
pub fn waits_for(s: &Situation<'_>, incident: &Incident) -> Vec<String> {
    let Some(since) = incident.phase.verifying_since() else { return vec![] };
    let found = verify(s, incident);
    let open = found.checks.iter().filter_map(|check| {
        let how = match check.standing {
            Standing::Passed | Standing::Thin => return None,
            Standing::Failed => "is not as it must be",
            Standing::Unknown => "is unknown",
        };
        Some(format!("{} {how}: {}", check.name, check.note))
    });
    let mut all: Vec<String> = open.collect();
    let hold = s.policy.verification.hold;
    all.push(match found.holds_since.filter(|_| all.is_empty()) {
        Some(at) => {
            format!("all of it holds since {} UTC, and must for {hold}", s.wall_of(at).clock())
        }
        None => format!("all of it must hold for {hold} without a gap"),
    });
    if !s.state.maintained.is_empty() {
        all.push("maintenance mode is on".to_owned());
    }
    let late = s.wall_of(incident.verification_ends(since, s.policy));
    all.push(format!("people are paged at {} UTC where that is not so", late.clock()));
    all
}

/// The checklist as it stands now.
pub fn verify(s: &Situation<'_>, incident: &Incident) -> Verification {
    let target = target(s, incident);
    let mut checks = vec![serving(s, target.as_ref())];
    checks.extend(configured(s, incident));
    checks.extend(pods::checks(s, target.as_ref()));
    for (name, signal) in s.policy.signals.iter() {
        checks.extend(signal_check(s, name, signal.kind));
    }
    if s.policy.signals.is_empty() {
        let note = "no signal is configured that could tell whether it is well: look, and `rollbackd dismiss` it";
        checks.push(check("health", Standing::Unknown, note));
    }
    checks.extend(database::checks(s, incident));
    checks.push(no_trigger(s, incident));
    checks.extend(posted(s));
    Verification { holds_since: s.watch.verified_since(s.now.steady), checks }
}

fn check(name: impl Into<String>, standing: Standing, note: impl Into<String>) -> Check {
    Check { name: name.into(), standing, note: note.into() }
}

/// What must serve: what the plan goes to, or what somebody restored.
fn target(s: &Situation<'_>, incident: &Incident) -> Option<Revision> {
    let planned = incident
        .run
        .as_ref()
        .and_then(|run| run.plan.targets.iter().find(|t| t.component == Component::Application));
    let planned = planned.map(|t| t.to.clone());
    planned.or_else(|| s.state.ledger.serving(Component::Application).cloned())
}

fn serving(s: &Situation<'_>, target: Option<&Revision>) -> Check {
    let name = "the target revision serves";
    let (Some(target), Some(seen)) = (target, s.watch.inventory.as_ref()) else {
        return check(name, Standing::Unknown, "the platform was not looked at");
    };
    match &seen.running {
        Serving::Version(version) if *version == target.version => {
            check(name, Standing::Passed, format!("{version} serves"))
        }
        Serving::Version(version) => {
            check(name, Standing::Failed, format!("{version} serves, not {target}"))
        }
        Serving::NotRunning(why) => check(name, Standing::Failed, why.clone()),
        Serving::Unknown(why) => check(name, Standing::Unknown, why.clone()),
    }
}

/// What was restored must still be there: whoever changes it again wins, and is told.
fn configured(s: &Situation<'_>, incident: &Incident) -> Option<Check> {
    let name = "what its pods read is restored";
    let targets = &incident.run.as_ref()?.plan.targets;
    let target = &targets.iter().find(|t| t.component == Component::Configuration)?.to;
    let inventory = s.watch.inventory.as_ref()?;
    Some(match (inventory.configuration(), inventory.configuration_unknown()) {
        (Some(found), _) if found.revision.agrees_with(target) => {
            check(name, Standing::Passed, target.to_string())
        }
        (Some(found), _) => {
            check(name, Standing::Failed, format!("it is {}, not {target}", found.revision))
        }
        (None, why) => check(name, Standing::Unknown, why.unwrap_or("nobody looks at it")),
    })
}

fn signal_check(s: &Situation<'_>, signal: &str, kind: SignalKind) -> Option<Check> {
    let tally = s.watch.tally(signal);
    let limits = &s.policy.verification;
    let Some(tally) = tally.filter(|t| t.samples > 0) else {
        return Some(check(signal, Standing::Unknown, "no sample since the rollback"));
    };
    if tally.unknown_now {
        return Some(check(signal, Standing::Unknown, "its newest poll told nothing"));
    }
    let below = |value: f64, limit: f64, text: String| {
        let standing = if value < limit { Standing::Passed } else { Standing::Failed };
        Some(check(signal, standing, text))
    };
    match kind {
        SignalKind::ErrorRate => {
            if tally.total == 0 {
                return Some(check(signal, Standing::Thin, "no requests since the rollback"));
            }
            if tally.total < limits.min_requests {
                let note = format!("only {} requests since the rollback", tally.total);
                return Some(check(signal, Standing::Thin, note));
            }
            let rate = tally.bad as f64 / tally.total as f64;
            let limit = limits.max_error_rate.max(tally.before_upper.unwrap_or(0.0));
            below(
                rate,
                limit,
                format!(
                    "{} of {} requests failed, {:.2}% (limit {:.2}%)",
                    tally.bad,
                    tally.total,
                    rate * 100.0,
                    limit * 100.0
                ),
            )
        }
        SignalKind::Latency => {
            let ms = |seconds: f64| seconds * 1000.0;
            let limit = limits.max_p95_ms.max(tally.before_upper.map_or(0.0, ms));
            tally.value.map(ms).map_or_else(
                || Some(check(signal, Standing::Thin, "too few requests for a p95")),
                |p95| below(p95, limit, format!("p95 {p95:.0} ms (limit {limit:.0} ms)")),
            )
        }
        SignalKind::Health => {
            let note =
                format!("{} good probes in a row, {} bad in all", tally.up_in_a_row, tally.bad);
            let standing = if tally.up_in_a_row > 0 { Standing::Passed } else { Standing::Failed };
            Some(check(signal, standing, note))
        }
        SignalKind::Cpu => usage(signal, tally.value, limits.max_cpu),
        SignalKind::Memory => usage(signal, tally.value, limits.max_memory),
        SignalKind::Logs => Some(logs(signal, tally.value, s.watch.note_of(signal))),
    }
}

fn usage(signal: &str, value: Option<f64>, limit: f64) -> Option<Check> {
    let Some(share) = value else {
        return Some(check(signal, Standing::Unknown, "no value"));
    };
    let standing = if share < limit { Standing::Passed } else { Standing::Failed };
    Some(check(signal, standing, format!("{:.0}% (limit {:.0}%)", share * 100.0, limit * 100.0)))
}

/// One line that says that something is wrong is one too many.
fn logs(signal: &str, lines: Option<f64>, shown: Option<&str>) -> Check {
    match lines {
        None => check(signal, Standing::Unknown, "no value"),
        Some(lines) if lines <= 0.0 => check(signal, Standing::Passed, "no line that matches"),
        Some(lines) => {
            let shown = shown.map(|shown| format!(": {shown}")).unwrap_or_default();
            check(signal, Standing::Failed, format!("lines that match: {lines:.0}{shown}"))
        }
    }
}

/// What fires and should not after a rollback.
///
/// Not what a person dismissed, nor what was there before the change, nor what was posted, or seen of the database, before the
/// rollback: another application mends neither.
pub fn hurting<'a>(s: &Situation<'a>, incident: &Incident) -> Vec<&'a Firing> {
    let before_change = |f: &Firing| {
        incident.change.as_ref().is_some_and(|c| f.onset < c.started_at - Span::minutes(1))
    };
    let rolled_back_at =
        incident.run.as_ref().and_then(run::Run::started_at).map(|at| s.wall_of(at));
    let known_evidence = |f: &Firing| {
        matches!(f.basis, Basis::Posted { .. } | Basis::Database)
            && rolled_back_at.is_some_and(|at| f.fired_at <= at)
    };
    s.state
        .live_firings()
        .filter(|f| !s.is_silent(f))
        .filter(|f| {
            f.severity.is_worse_than(Severity::P3) && !before_change(f) && !known_evidence(f)
        })
        .collect()
}

/// What somebody found does not go away with the release that did it: said, not held against the rollback.
fn posted(s: &Situation<'_>) -> impl Iterator<Item = Check> {
    s.state.firing.values().filter_map(|f| match &f.basis {
        Basis::Posted { .. } | Basis::Database => {
            Some(check(&f.trigger, Standing::Thin, format!("a person must look: {}", f.says)))
        }
        Basis::Window | Basis::Alert { .. } => None,
    })
}

fn no_trigger(s: &Situation<'_>, incident: &Incident) -> Check {
    let name = "no trigger fires";
    let (mut firing, mut unknown, mut recovering) = (vec![], vec![], vec![]);
    for hurts in hurting(s, incident) {
        match s.still_holds_firing(hurts) {
            Holds::Yes => firing.push(hurts.trigger.as_str()),
            Holds::Unknown(why) => unknown.push(format!("{}: {why}", hurts.trigger)),
            // Its clean time is part of the time for which everything must hold.
            Holds::Recovering => recovering.push(hurts.trigger.as_str()),
        }
    }
    if !firing.is_empty() {
        check(name, Standing::Failed, format!("{} fires", firing.join(", ")))
    } else if !unknown.is_empty() {
        check(name, Standing::Unknown, unknown.join("; "))
    } else if !recovering.is_empty() {
        check(name, Standing::Passed, format!("{} is recovering", recovering.join(", ")))
    } else {
        check(name, Standing::Passed, "all clear")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_machine_may_use_is_below_its_limit_and_known() {
        let standing = |value| usage("cpu", value, 0.7).map(|check| (check.standing, check.note));
        let said = |standing, note: &str| Some((standing, note.to_owned()));
        assert_eq!(standing(Some(0.69)), said(Standing::Passed, "69% (limit 70%)"));
        assert_eq!(standing(Some(0.7)), said(Standing::Failed, "70% (limit 70%)"));
        assert_eq!(standing(None), said(Standing::Unknown, "no value"));
    }

    #[test]
    fn a_line_that_says_that_something_is_wrong_is_shown_and_a_log_that_nobody_read_is_unknown() {
        let standing = |lines, shown| {
            let Check { standing, note, .. } = logs("logs", lines, shown);
            (standing, note)
        };
        assert_eq!(standing(Some(0.0), None).0, Standing::Passed);
        assert_eq!(standing(None, None).0, Standing::Unknown);
        let bad = (Standing::Failed, "lines that match: 2: shop-1: `panic`".to_owned());
        assert_eq!(standing(Some(2.0), Some("shop-1: `panic`")), bad);
    }
}

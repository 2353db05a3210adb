//! What becomes true of an incident by itself, given what is known and what time it is.
//!
//! Asked after every event and at every deadline, until it has nothing more to say. Each fact it returns changes
//! what the next asking sees, so that it comes to rest.

use std::sync::Arc;

use super::{
    Choice, Clock, Closing, Decision, Fact as Incidental, Incident, Phase, WORSE_WAIT, after,
    judge::{self, Judgement},
    owned::Owned,
    target::{self, To},
};
use crate::domain::{
    change::{Change, Component},
    fact::Fact,
    firing::{Basis, Firing},
    ledger,
    plan::Plan,
    policy::{LooksAt, Response},
    situation::{Holds, Situation},
};
use crate::units::{Span, UnixMs};

/// The next facts of this service's incident; empty when there is nothing to do until something happens.
pub fn advance(s: &Situation<'_>) -> Vec<Fact> {
    let Some(incident) = &s.state.incident else { return open(s) };
    let overtaken = after::overtaken(s, incident);
    if !overtaken.is_empty() {
        return overtaken;
    }
    let joined = joined(s, incident);
    if !joined.is_empty() {
        return joined;
    }
    let next = match &incident.phase {
        Phase::Assessing if s.is_unasked(incident) => vec![],
        Phase::Assessing => assess(s, incident),
        Phase::Gathering { until } | Phase::Monitoring { until } => {
            wait_then_act(s, incident, s.now.steady >= *until)
        }
        Phase::Deciding => deciding(s, incident),
        Phase::RollingBack => after::rolling_back(s, incident),
        Phase::Verifying { .. } => after::verifying(s, incident),
        Phase::Watching { until } => after::watching(s, incident, s.now.steady >= *until),
        Phase::Scheduled => closed_if_clear(s, incident),
        Phase::Escalated { .. } => after::escalated(s, incident),
        Phase::Closed { .. } => vec![],
    };
    if next.is_empty() { late_or_reminded(s, incident) } else { next }
}

fn open(s: &Situation<'_>) -> Vec<Fact> {
    // What outlived its incident in silence and is clean as soon as somebody comes is no new one.
    let over =
        |f: &Firing| f.basis == Basis::Window && s.still_holds_firing(f) == Holds::Recovering;
    let live = s.state.live_firings().filter(|f| !s.is_silent(f) && !over(f));
    let Some(firing) = live.min_by_key(|f| (f.severity, f.onset)) else { return vec![] };
    let opened = Incidental::Opened {
        id: s.new_incident_id(),
        severity: firing.severity,
        trigger: firing.trigger.clone(),
        onset: firing.onset,
        change: change_behind(s, firing),
    };
    vec![Fact::Incident(opened)]
}

fn change_behind(s: &Situation<'_>, firing: &Firing) -> Option<Change> {
    s.state.change_behind(firing.onset, s.policy.guards.max_change_age).cloned()
}

/// Triggers remembered of one incident; alerts of other names keep coming.
const TRIGGERS_MAX: usize = 64;

fn joined(s: &Situation<'_>, incident: &Incident) -> Vec<Fact> {
    let mut facts = vec![];
    let mut worst = incident.severity;
    for firing in s.state.live_firings().filter(|f| !s.is_silent(f)) {
        let name = &firing.trigger;
        let room = incident.triggers.len() < TRIGGERS_MAX || incident.triggers.contains_key(name);
        if room && incident.triggers.get(name) != Some(&firing.severity) {
            facts.push(Fact::Incident(Incidental::Joined {
                trigger: name.clone(),
                severity: firing.severity,
            }));
        }
        if firing.severity.is_worse_than(worst) {
            worst = firing.severity;
            facts.push(Fact::Incident(Incidental::Raised {
                to: worst,
                because: format!("{name} fires"),
                onset: Some(firing.onset),
                change: change_behind(s, firing),
            }));
        }
    }
    facts
}

fn assess(s: &Situation<'_>, incident: &Incident) -> Vec<Fact> {
    let row = s.policy.matrix.row(incident.severity);
    match row.response {
        Response::RollBack if s.fleet.services > 1 && s.policy.guards.company_wait.ms() > 0 => {
            let wait = s.policy.guards.company_wait;
            decide(
                s,
                incident,
                Choice::GatherUntil { until: s.now.wall + wait },
                Phase::Gathering { until: s.now.steady + wait },
                vec![],
            )
        }
        Response::RollBack => decide_to_act(s, incident),
        Response::MonitorThenRollBack => {
            let until = (incident.rose.steady + row.monitor).max(s.now.steady);
            let left = until.since(s.now.steady);
            decide(
                s,
                incident,
                Choice::MonitorUntil { until: s.now.wall + left },
                Phase::Monitoring { until },
                vec![],
            )
        }
        Response::Ask | Response::Tell if worse_is_coming(s, incident) => vec![],
        Response::Ask => ask(s, incident, judge::judge(s, incident), vec![]),
        Response::Tell => decide(s, incident, Choice::Tell, Phase::Scheduled, vec![]),
    }
}

/// The same errors often reach a lower threshold moments before a higher one: one page, not two.
fn worse_is_coming(s: &Situation<'_>, incident: &Incident) -> bool {
    s.watch.pends_worse_than(incident.severity) && s.now.steady < incident.rose.steady + WORSE_WAIT
}

/// A decision that begins no action, and the phase it leads to.
fn decide(
    s: &Situation<'_>,
    incident: &Incident,
    verdict: Choice,
    phase: Phase,
    mut because: Vec<String>,
) -> Vec<Fact> {
    let judged = judge::judge(s, incident);
    because.splice(0..0, s.grounds(incident));
    vec![
        Fact::Incident(Incidental::Decided(Box::new(Decision {
            verdict,
            row: *s.policy.matrix.row(incident.severity),
            severity: incident.severity,
            because,
            guards: judged.guards,
            plan: judged.plan.ok(),
        }))),
        Fact::Incident(Incidental::Entered(phase)),
    ]
}

fn ask(
    s: &Situation<'_>,
    incident: &Incident,
    judged: Judgement,
    mut because: Vec<String>,
) -> Vec<Fact> {
    because.splice(0..0, s.grounds(incident));
    if let Err(why) = &judged.plan {
        because.push(format!("no plan can be offered: {why}"));
    }
    vec![
        Fact::Incident(Incidental::Decided(Box::new(Decision {
            verdict: Choice::Ask,
            row: *s.policy.matrix.row(incident.severity),
            severity: incident.severity,
            because,
            guards: judged.guards,
            plan: judged.plan.ok(),
        }))),
        Fact::Incident(Incidental::Entered(Phase::Deciding)),
    ]
}

/// Rolls back if no guard objects and there is a plan; asks people otherwise.
fn decide_to_act(s: &Situation<'_>, incident: &Incident) -> Vec<Fact> {
    let judged = judge::judge(s, incident);
    let (true, Ok(plan)) = (judged.refused().is_empty(), &judged.plan) else {
        return ask(s, incident, judged, vec![]);
    };
    let plan = plan.clone();
    let decision = Decision {
        verdict: Choice::RollBackNow,
        row: *s.policy.matrix.row(incident.severity),
        severity: incident.severity,
        because: s.grounds(incident),
        guards: judged.guards,
        plan: Some(plan.clone()),
    };
    let mut facts = vec![Fact::Incident(Incidental::Decided(Box::new(decision)))];
    facts.extend(begin(s, incident, plan, None));
    facts
}

/// The facts with which a rollback begins: the run, and the quarantine of what is rolled away from.
pub fn begin(
    s: &Situation<'_>,
    incident: &Incident,
    plan: Arc<Plan>,
    by: Option<String>,
) -> Vec<Fact> {
    let quarantines = plan.targets.iter().map(|target| {
        Fact::Ledger(ledger::Fact::Quarantined {
            component: target.component,
            revision: target.from.clone(),
            incident: incident.id.clone(),
        })
    });
    let mut facts: Vec<Fact> = quarantines.collect();
    let run = format!("{}-r{}", incident.id, s.state.runs() + 1);
    facts.push(Fact::Incident(Incidental::Planned { run, plan, by }));
    facts
}

/// What a change needs until its own first samples are judged: the smallest bucket, and a poll on each side of it.
pub(super) const CHANGE_SHOWS: Span = Span::minutes(2);

/// A service that is changed while it is monitored (a fix, a pipeline that goes on) is given the time to show it. What the
/// breach is blamed on is no such change, also where the clocks' difference has it begin after its own breach.
fn changed_a_moment_ago(s: &Situation<'_>, incident: &Incident) -> bool {
    let blamed = |change: &Change| incident.change.as_ref().is_some_and(|c| c.is_same_as(change));
    s.state.changes.last().filter(|last| !blamed(last)).is_some_and(|last| {
        last.started_at > s.onset_of(incident) && s.now.wall < last.settled_at() + CHANGE_SHOWS
    })
}

/// Gathering and monitoring: closed when it clears, acted upon when it still holds in the end.
fn wait_then_act(s: &Situation<'_>, incident: &Incident, over: bool) -> Vec<Fact> {
    if let Some(by_hand) = rolled_back_by_hand(s, incident) {
        return by_hand;
    }
    let clear = closed_if_clear(s, incident);
    if !clear.is_empty() || !over {
        return clear;
    }
    let past_deadline = incident.act_by(s.policy).is_some_and(|at| s.now.steady >= at);
    match s.still_holds(incident) {
        Holds::Yes if !past_deadline && changed_a_moment_ago(s, incident) => vec![],
        Holds::Yes => decide_to_act(s, incident),
        Holds::Recovering if !past_deadline => vec![],
        Holds::Recovering => ask(
            s,
            incident,
            judge::judge(s, incident),
            vec!["not by itself: at the deadline it is recovering, but not over".into()],
        ),
        Holds::Unknown(_) if s.is_unasked(incident) => vec![],
        Holds::Unknown(why) => ask(
            s,
            incident,
            judge::judge(s, incident),
            vec![format!("not by itself: the time to wait ended without data: {why}")],
        ),
    }
}

fn deciding(s: &Situation<'_>, incident: &Incident) -> Vec<Fact> {
    if let Some(by_hand) = rolled_back_by_hand(s, incident) {
        return by_hand;
    }
    let clear = closed_if_clear(s, incident);
    if !clear.is_empty() {
        return clear;
    }
    if may_still_act(s, incident) {
        let judged = judge::judge(s, incident);
        if judged.refused().is_empty() && judged.plan.is_ok() {
            return decide_to_act(s, incident);
        }
    }
    // Asked at every event for as long as people take: nothing is put into words for that.
    match target::plan(s, To::LastKnownGood) {
        Ok(plan) if !incident.offered.as_ref().is_some_and(|known| known.is_same_choice(&plan)) => {
            vec![Fact::Incident(Incidental::Offered { plan })]
        }
        Ok(_) | Err(_) => vec![],
    }
}

/// Whether the daemon may still act by itself while people are asked: the matrix wants a rollback, every guard that
/// refused is one that can pass later, the deadline for acting is not over, and the breach is still there.
fn may_still_act(s: &Situation<'_>, incident: &Incident) -> bool {
    let wanted = match s.policy.matrix.row(incident.severity).response {
        Response::RollBack | Response::MonitorThenRollBack => true,
        Response::Ask | Response::Tell => false,
    };
    let refused = incident.decision.as_ref().is_some_and(|decision| {
        let mut refusals = decision.guards.iter().filter(|v| v.refusal().is_some()).peekable();
        refusals.peek().is_some() && refusals.all(|v| v.may_pass_later())
    });
    let row = s.policy.matrix.row(incident.severity);
    // A deadline that passed while the daemon was down is late whatever happens; the breach is still to be ended.
    let up_since = |due: UnixMs| s.fleet.started.filter(|started| due < *started);
    let in_time = incident.act_by(s.policy).is_none_or(|due| {
        let up = up_since(due).zip(row.act_within).map(|(started, within)| started + within);
        s.now.steady < up.unwrap_or(due)
    });
    wanted && refused && in_time && matches!(s.still_holds(incident), Holds::Yes)
}

/// A person or a pipeline restored an earlier known-good revision while the daemon was still deciding.
fn rolled_back_by_hand(s: &Situation<'_>, incident: &Incident) -> Option<Vec<Fact>> {
    let last = s.state.changes.last()?;
    let component = incident.change.as_ref().map_or(Component::Application, |c| c.component);
    let by_hand = last.is_rollback
        && (last.component == Component::Application || last.component == component)
        && last.started_at >= s.onset_of(incident);
    by_hand.then(|| {
        let phase = Phase::Verifying { since: s.now.steady, since_wall: s.now.wall };
        vec![Fact::Incident(Incidental::Entered(phase))]
    })
}

pub(super) fn closed_if_clear(s: &Situation<'_>, incident: &Incident) -> Vec<Fact> {
    let clear = incident.triggers.keys().all(|name| !s.state.firing.contains_key(name));
    // Alertmanager resolves an alert also when Prometheus, which sent it, is gone: what nobody sees is not over.
    let seen = |name: &String| {
        let blind = |(signal, _): (&str, UnixMs)| s.state.blind.contains_key(signal);
        s.watch.state_of(name).is_none()
            || s.freshness(name).is_ok() && !s.watch.newest_sample(name).is_some_and(blind)
    };
    // What breaches again, or was not asked since the start, is not over either: it joins, or turns out to be well.
    if !clear || !incident.triggers.keys().all(seen) || s.watch.is_undecided() {
        return vec![];
    }
    // Behind a maintenance page everything is well.
    if !s.state.maintained.is_empty() {
        return vec![];
    }
    let gone = incident.triggers.keys().find(|name| !is_configured(s, name));
    close(match gone.filter(|_| incident.run.is_none()) {
        Some(trigger) => Closing::Unwatched { trigger: trigger.clone() },
        None => Closing::Recovered,
    })
}

/// Whether anything can still tell of a trigger: it, or the signal that it looked at, may have been taken out.
fn is_configured(s: &Situation<'_>, name: &str) -> bool {
    if name.split_once('@').is_some_and(|(_, signal)| !s.policy.signals.contains_key(signal)) {
        return false;
    }
    match s.looks_at(name) {
        _ if name.starts_with("alert:") => true,
        Some(LooksAt::Event) => true,
        Some(_) => s.watch.state_of(name).is_some(),
        None => false,
    }
}

pub(super) fn close(outcome: Closing) -> Vec<Fact> {
    vec![Fact::Incident(Incidental::Entered(Phase::Closed { outcome }))]
}

pub(super) fn escalate(why: String) -> Vec<Fact> {
    vec![Fact::Incident(Incidental::Entered(Phase::Escalated { why, by: None }))]
}

fn late_or_reminded(s: &Situation<'_>, incident: &Incident) -> Vec<Fact> {
    let waits = matches!(
        incident.phase,
        Phase::Gathering { .. } | Phase::Monitoring { .. } | Phase::Deciding
    );
    let acts = matches!(incident.phase, Phase::RollingBack | Phase::Verifying { .. });
    let passed = |clock: Clock, at| !incident.late.contains(&clock) && s.now.steady >= at;
    if waits && incident.act_by(s.policy).is_some_and(|at| passed(Clock::Acted, at)) {
        return vec![Fact::Incident(Incidental::Late(Clock::Acted))];
    }
    if acts && passed(Clock::Verified, incident.verify_by(s.policy)) {
        return vec![Fact::Incident(Incidental::Late(Clock::Verified))];
    }
    if !incident.late.contains(&Clock::Helped) && after::is_no_better(s, incident) {
        return vec![Fact::Incident(Incidental::Late(Clock::Helped))];
    }
    let repeat = incident.escalation.due(s.policy.people.repeat_page_every);
    let own = incident.owned.as_ref().map(Owned::remind_at);
    if [repeat, own].into_iter().flatten().any(|at| s.now.steady >= at) {
        return vec![Fact::Incident(Incidental::Reminded)];
    }
    vec![]
}

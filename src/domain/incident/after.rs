//! What becomes true of an incident once it was acted upon: the rollback, its verification, the watch after it, and
//! what is left to people.

use super::{
    Closing, Fact as Incidental, Incident, Phase,
    advance::{CHANGE_SHOWS, close, closed_if_clear, escalate},
    script,
};
use crate::{
    domain::{
        change::{Change, Component},
        fact::Fact,
        firing::Firing,
        run,
        service::Mode,
        severity::Severity,
        situation::{Holds, Situation},
        verification,
    },
    units::{Span, UnixMs},
};

/// So long after its timeout a step has surely been reported.
const REPORT_GRACE: Span = Span::minutes(1);

/// Another deployment ends what came before it: where the worst that fires can be its doing, that is an incident of its
/// own, with a decision of its own.
pub(super) fn overtaken(s: &Situation<'_>, incident: &Incident) -> Vec<Fact> {
    let Some(acted) = acted_at(s, incident) else { return vec![] };
    let hurting = verification::hurting(s, incident);
    let worst = hurting.iter().map(|firing| firing.severity).min();
    let worst = hurting.iter().filter(|firing| Some(firing.severity) == worst);
    let behind: Option<Vec<&Change>> =
        worst.map(|firing| deployed_since(s, incident, acted, firing)).collect();
    let Some(newest) = behind.iter().flatten().max_by_key(|change| change.started_at) else {
        return vec![];
    };
    let by = newest.to.to_string();
    match incident.phase {
        Phase::Watching { .. } => close(Closing::RolledBack),
        Phase::Verifying { .. } => {
            checked(&verification::verify(s, incident), close(Closing::Overtaken { by }))
        }
        Phase::Escalated { .. } => close(Closing::Overtaken { by }),
        Phase::Assessing
        | Phase::Gathering { .. }
        | Phase::Monitoring { .. }
        | Phase::Deciding
        | Phase::Scheduled
        | Phase::RollingBack
        | Phase::Closed { .. } => vec![],
    }
}

/// When it was acted upon, or left to people, on the wall clock.
fn acted_at(s: &Situation<'_>, incident: &Incident) -> Option<UnixMs> {
    let begun = incident.run.as_ref().and(s.state.rollbacks.last()).map(|r| r.at);
    let by_hand = incident.phase.verifying_since().or(incident.verified_at);
    let owned = incident.owned.as_ref().map(|owned| owned.since.steady);
    begun.or(by_hand).or(owned).map(|at| s.wall_of(at))
}

/// The deployment since `acted` that a breach can be the doing of. Whose it is already is not overtaken by it: by a sender's
/// clock that is ahead, both can have begun after everything that was done here.
fn deployed_since<'a>(
    s: &Situation<'a>,
    incident: &Incident,
    acted: UnixMs,
    firing: &Firing,
) -> Option<&'a Change> {
    let behind = s.state.change_behind(firing.onset, None)?;
    let known = incident.change.as_ref().is_some_and(|known| known.id == behind.id);
    (!behind.is_rollback && !known && behind.started_at >= acted).then_some(behind)
}

/// The checklist goes before whatever ends the verification: the windows behind it do not outlive it.
fn checked(found: &verification::Verification, next: Vec<Fact>) -> Vec<Fact> {
    let checks = Fact::Incident(Incidental::Checked { checks: found.checks.clone() });
    std::iter::once(checks).chain(next).collect()
}

pub(super) fn rolling_back(s: &Situation<'_>, incident: &Incident) -> Vec<Fact> {
    let Some(run) = &incident.run else { return escalate("the rollback lost its plan".into()) };
    match &run.phase {
        run::Phase::Halted { why } => {
            let instead = script::instead(s).map_or_else(String::new, |it| format!(". {it}"));
            escalate(format!("the rollback halted: {why}{instead}"))
        }
        run::Phase::Finished { at } => {
            let phase = Phase::Verifying { since: *at, since_wall: s.now.wall };
            vec![Fact::Incident(Incidental::Entered(phase))]
        }
        // It touches nothing any more: nobody need allow it.
        run::Phase::Ready if run.current().is_none() => vec![Fact::Run(run::Fact::Finished)],
        // The operator said that it is not to be touched: no step comes any more, and people must know how it stands.
        run::Phase::Begun { epoch, at }
            if s.policy.mode == Mode::Observe && *epoch != s.epoch && is_given_up(s, run, *at) =>
        {
            halted("its mode is observe now, and an earlier daemon was in the middle of a step")
        }
        run::Phase::Ready if s.policy.mode == Mode::Observe => halted("its mode is observe now"),
        // A no stops everything before the next step, which waits for it to be lifted.
        run::Phase::Ready if s.forbidden().is_some() => vec![],
        // What an earlier rollback switched on is going off: nothing switches it on meanwhile.
        run::Phase::Ready if s.state.maintained.is_going_off() => vec![],
        run::Phase::Ready => {
            let halted = somebody_deployed(s, run).map(|why| run::Fact::Halted { why });
            let next = halted.or_else(|| run.advance(s.epoch, s.now.steady));
            next.map(Fact::Run).into_iter().collect()
        }
        run::Phase::Begun { .. } => vec![],
    }
}

/// Whether a step that an earlier daemon began is not under way here: by then this one, had it gone on with it, would
/// have reported. What it does go on with ends first.
pub(super) fn is_given_up(s: &Situation<'_>, run: &run::Run, begun: UnixMs) -> bool {
    let since = s.fleet.started.map_or(begun, |started| started.max(begun));
    run.current().is_none_or(|step| s.now.steady.since(since) > step.timeout + REPORT_GRACE)
}

fn halted(why: &str) -> Vec<Fact> {
    vec![Fact::Run(run::Fact::Halted { why: why.to_owned() })]
}

/// A plan is made for what served; where something else does before its next step, it is a plan no more.
fn somebody_deployed(s: &Situation<'_>, run: &run::Run) -> Option<String> {
    let linked = s.watch.inventory.as_ref()?.linked.as_ref()?;
    let target = run.plan.targets.iter().find(|t| t.component == Component::Application)?;
    let expected = [&target.from, &target.to].into_iter().any(|r| r.agrees_with(linked));
    (!expected).then(|| format!("somebody deployed {linked} in between"))
}

pub(super) fn verifying(s: &Situation<'_>, incident: &Incident) -> Vec<Fact> {
    let Some(since) = incident.phase.verifying_since() else { return vec![] };
    let held = |at| s.now.steady.since(at) >= s.policy.verification.hold;
    let long_enough = s.watch.verified_since(s.now.steady).is_some_and(held);
    let late = s.now.steady >= incident.verification_ends(since, s.policy);
    // The checklist puts numbers into words: only when something may follow from it.
    if !long_enough && !late {
        return vec![];
    }
    let found = verification::verify(s, incident);
    let passes = verification::Verification::passes(&found.checks);
    if passes && long_enough && verification::hurting(s, incident).is_empty() {
        let until = s.now.steady + s.policy.watch_after;
        let next = vec![Fact::Incident(Incidental::Entered(Phase::Watching { until }))];
        return checked(&found, next);
    }
    if late {
        let points = std::iter::once(found.open_points());
        let maintained = (!s.state.maintained.is_empty()).then(|| "maintenance mode is on".into());
        let points: Vec<String> =
            points.chain(maintained).filter(|point| !point.is_empty()).collect();
        let why = format!("the rollback could not be verified: {}", points.join("; "));
        return checked(&found, escalate(why));
    }
    vec![]
}

/// By then what fired has begun to recover where an earlier revision helps: a trigger recovers from its first clean bucket on.
const HELPS_WITHIN: Span = Span::minutes(5);

/// Whether an earlier revision serves, and what was bad enough to act upon before its own samples were judged goes on.
pub(super) fn is_no_better(s: &Situation<'_>, incident: &Incident) -> bool {
    let Some(since) = incident.phase.verifying_since() else { return false };
    let goes_on = |firing: &Firing| {
        firing.severity.is_worse_than(Severity::P2)
            && firing.fired_at <= s.wall_of(since) + CHANGE_SHOWS
            && s.still_holds_firing(firing) == Holds::Yes
    };
    s.now.steady.since(since) >= HELPS_WITHIN
        && verification::hurting(s, incident).into_iter().any(goes_on)
}

pub(super) fn watching(s: &Situation<'_>, incident: &Incident, over: bool) -> Vec<Fact> {
    let hurting = verification::hurting(s, incident);
    match hurting.first() {
        Some(firing) => {
            escalate(format!("after the rollback {} fires: {}", firing.trigger, firing.says))
        }
        None if over => match s.unseen() {
            None => close(Closing::RolledBack),
            // What nobody sees is not over. Told once; it closes when everything tells again.
            Some(why) if incident.unseen.is_none() => {
                vec![Fact::Incident(Incidental::Unseen { why })]
            }
            Some(_) => vec![],
        },
        None => vec![],
    }
}

/// People own it. News reaches them, and it ends when what they did has held for as long as a rollback is watched.
pub(super) fn escalated(s: &Situation<'_>, incident: &Incident) -> Vec<Fact> {
    let untouched = incident.run.is_none() && !incident.restored;
    let over = match untouched {
        true => closed_if_clear(s, incident),
        false if is_fixed(s, incident) => close(Closing::Fixed),
        false => vec![],
    };
    if over.is_empty() { relapsed(s, incident) } else { over }
}

/// Somebody has seen it, what is set serves, nothing above P3 fires, and every signal has told so for long enough.
fn is_fixed(s: &Situation<'_>, incident: &Incident) -> bool {
    let Some(owned) = &incident.owned else { return false };
    let long_enough = |span: Span| span >= s.policy.watch_after;
    let serves = s.watch.inventory.as_ref().is_none_or(|seen| {
        seen.linked.as_ref().is_some_and(|linked| seen.running.is(&linked.version))
    });
    !incident.escalation.is_open()
        && serves
        && s.state.blind.is_empty()
        && s.state.maintained.is_empty()
        && s.unseen().is_none()
        && !s.state.live_firings().any(|f| f.severity.is_worse_than(Severity::P3))
        && long_enough(s.now.steady.since(owned.since.steady))
        && s.watch.healthy_for(s.now.steady).is_some_and(long_enough)
}

/// What has just begun to fire, unless something as bad fires that its owners know of: then it is the same trouble.
fn relapsed(s: &Situation<'_>, incident: &Incident) -> Vec<Fact> {
    let told_until = incident.owned.as_ref().map_or(UnixMs(0), |owned| owned.told_until);
    let live = || s.state.live_firings().filter(|f| !s.is_silent(f));
    let begun = |f: &&Firing| f.fired_at == s.now.wall && f.fired_at > told_until;
    let worst = live().filter(begun).min_by_key(|f| (f.severity, f.onset));
    let Some(worst) = worst.filter(|f| f.severity.is_worse_than(Severity::P3)) else {
        return vec![];
    };
    let known = live().any(|f| {
        f.fired_at < worst.fired_at
            && !worst.severity.is_worse_than(f.severity)
            && s.still_holds_firing(f) == Holds::Yes
    });
    // Corrupt data is a trouble of its own, whatever fires beside it.
    let known = known && !worst.is_of_the_data();
    let trigger = worst.trigger.clone();
    if known { vec![] } else { vec![Fact::Incident(Incidental::Relapsed { trigger })] }
}

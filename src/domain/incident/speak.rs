//! What a person says about a service, and what follows from it or why it does not.

use super::{
    Closing, Fact as Incidental, Incident, Phase,
    advance::begin,
    after, asked, script,
    target::{self, To},
};
use crate::domain::{
    event::Said,
    fact::{self, Fact},
    ledger,
    plan::Plan,
    run,
    severity::Severity,
    situation::Situation,
};
use crate::units::UnixMs;

/// What a person is told at once: what was done, or why not and what to do instead.
pub type Reply = Result<String, String>;

/// Facts that follow from what `by` said, and the answer.
pub fn on_said(s: &Situation<'_>, by: &str, said: &Said) -> (Vec<Fact>, Reply) {
    let told = |incident: &Incident| {
        let fact = Incidental::Said { by: by.to_owned(), said: said.clone() };
        (incident.id.clone(), Fact::Incident(fact))
    };
    let open = s.state.incident.as_ref();
    let result = match (said, open) {
        (Said::Acknowledge, Some(incident)) => {
            let (id, fact) = told(incident);
            // A page about a signal may be open beside it, and there is one word for both.
            let page = s.state.page.is_open().then(|| acknowledged(by));
            let facts = std::iter::once(fact).chain(page).collect();
            Ok((facts, format!("{id} is yours; its pages stop")))
        }
        (Said::Acknowledge, None) if s.state.page.is_open() => {
            Ok((vec![acknowledged(by)], format!("the page about {} is yours", s.state.id)))
        }
        (Said::Approve { plan }, Some(incident)) => approve(s, incident, by, plan)
            .map(|facts| ([vec![told(incident).1], facts].concat(), format!("plan {plan} begins"))),
        (Said::Reject { reason }, Some(incident)) => reject(s, incident, by, reason)
            .map(|fact| (vec![told(incident).1, fact], format!("{} stays with you", incident.id))),
        (Said::Dismiss { reason }, Some(incident)) => dismiss(s, incident, by, reason)
            .map(|fact| (vec![told(incident).1, fact], format!("{} is dismissed", incident.id))),
        (Said::RollBack { to, to_previous, plan, reason }, _) => {
            let to = To::said(to.as_deref(), *to_previous);
            roll_back(s, by, (to, plan.as_deref()), said, reason)
        }
        (Said::Hold { reason }, _) => Ok((
            vec![Fact::Service(fact::Service::Held { by: by.to_owned(), reason: reason.clone() })],
            format!("nothing is done to {0} until `rollbackd unhold {0}`", s.state.id),
        )),
        (Said::Unhold, _) if s.state.hold.is_none() => Err(format!("{} is not held", s.state.id)),
        (Said::Unhold, _) => Ok((
            vec![Fact::Service(fact::Service::Unheld { by: by.to_owned() })],
            format!("{} is no longer held", s.state.id),
        )),
        (Said::Lift { version }, _) => lift(s, by, version),
        (
            Said::Acknowledge | Said::Approve { .. } | Said::Reject { .. } | Said::Dismiss { .. },
            None,
        ) => Err(format!("{} has no open incident", s.state.id)),
    };
    match result {
        Ok((facts, reply)) => (facts, Ok(reply)),
        Err(why) => (vec![], Err(why)),
    }
}

fn acknowledged(by: &str) -> Fact {
    Fact::Service(fact::Service::Acknowledged { by: by.to_owned() })
}

fn approve(
    s: &Situation<'_>,
    incident: &Incident,
    by: &str,
    hash: &str,
) -> Result<Vec<Fact>, String> {
    if !incident.is_before_action() && !is_escalated_without_run(incident) {
        return Err(format!(
            "{} is {}; there is nothing to approve",
            incident.id,
            incident.phase.name()
        ));
    }
    let plan =
        target::plan(s, To::LastKnownGood).map_err(|why| format!("there is no plan: {why}"))?;
    is_meant(s, &plan, Some(hash))?;
    may_begin(s, &plan)?;
    Ok(begin(s, incident, plan, Some(by.to_owned())))
}

/// Whether a plan is the one that somebody named. One that runs a script must be named: whoever does has seen which script that is.
fn is_meant(s: &Situation<'_>, plan: &Plan, hash: Option<&str>) -> Result<(), String> {
    let (id, is) = (&s.state.id, plan.hash());
    match (hash, script::of(plan)) {
        (Some(hash), _) if hash != is => Err(format!(
            "plan {hash} is not the plan that would run now; look at `rollbackd plan {id}` and approve {is}"
        )),
        (None, Some(script)) => Err(format!(
            "it runs {}, which nobody approves without having seen it: look at `rollbackd plan {id}`, then add --plan {is}",
            script.in_words()
        )),
        (Some(_) | None, _) => Ok(()),
    }
}

fn is_escalated_without_run(incident: &Incident) -> bool {
    matches!(incident.phase, Phase::Escalated { .. }) && incident.run.is_none()
}

/// What forbids even a person to begin: the kill switch, a hold, the mode, and a resource that another plan holds.
fn may_begin(s: &Situation<'_>, plan: &Plan) -> Result<(), String> {
    if let Some(why) = s.forbidden() {
        return Err(format!("nothing can begin: {why}"));
    }
    match plan.resources.iter().find_map(|r| s.fleet.locked.get(r).map(|holder| (r, holder))) {
        Some((resource, holder)) => Err(format!("{resource} is held by the rollback of {holder}")),
        None => Ok(()),
    }
}

/// Between two steps, because something forbids the next one, or in one that an earlier daemon began and this one may
/// not go on with: then a person may end it there.
fn is_paused(s: &Situation<'_>, incident: &Incident) -> bool {
    let stands = |run: &run::Run| match run.phase {
        run::Phase::Ready => true,
        run::Phase::Begun { epoch, at } => epoch != s.epoch && is_left_alone(s, run, at),
        run::Phase::Halted { .. } | run::Phase::Finished { .. } => false,
    };
    matches!(incident.phase, Phase::RollingBack) && incident.run.as_ref().is_some_and(stands)
}

/// Whether no attempt at a step of an earlier daemon is under way here: it was held before this daemon would have gone on
/// with it, or whatever went on has ended since.
fn is_left_alone(s: &Situation<'_>, run: &run::Run, begun: UnixMs) -> bool {
    let Some(hold) = &s.state.hold else { return false };
    let held_before = s.fleet.started.is_some_and(|at| hold.at <= s.wall_of(at));
    held_before || after::is_given_up(s, run, begun)
}

fn reject(s: &Situation<'_>, incident: &Incident, by: &str, reason: &str) -> Result<Fact, String> {
    let acts = matches!(incident.phase, Phase::RollingBack) && s.state.hold.is_some();
    if acts && !is_paused(s, incident) {
        return Err(format!(
            "a step of {} is under way; what became of it is told when it ends, and no other begins while {} is held",
            incident.id, s.state.id
        ));
    }
    if !incident.is_before_action() && !is_paused(s, incident) {
        return Err(format!(
            "{} is {}; there is nothing to reject",
            incident.id,
            incident.phase.name()
        ));
    }
    let why = format!("{by} decided against a rollback: {reason}");
    Ok(Fact::Incident(Incidental::Entered(Phase::Escalated { why, by: Some(by.to_owned()) })))
}

fn dismiss(s: &Situation<'_>, incident: &Incident, by: &str, reason: &str) -> Result<Fact, String> {
    if matches!(incident.phase, Phase::RollingBack) && !is_paused(s, incident) {
        return Err(format!(
            "{} is rolling back; put a HOLD file into the state directory to stop it before its next step",
            incident.id
        ));
    }
    let half_done = incident.run.as_ref().filter(|run| run.is_half_done());
    if let Some(run) = half_done.filter(|_| matches!(incident.phase, Phase::RollingBack)) {
        return Err(format!(
            "{} is half rolled back, and that is no time to forget it ({}); `rollbackd reject {} --reason '…'` leaves it to you as it stands",
            incident.id,
            run.account(),
            s.state.id
        ));
    }
    let outcome = Closing::Dismissed { by: by.to_owned(), reason: reason.to_owned() };
    Ok(Fact::Incident(Incidental::Entered(Phase::Closed { outcome })))
}

fn roll_back(
    s: &Situation<'_>,
    by: &str,
    (to, hash): (To<'_>, Option<&str>),
    said: &Said,
    reason: &str,
) -> Result<(Vec<Fact>, String), String> {
    let plan = target::plan(s, to)?;
    is_meant(s, &plan, hash)?;
    may_begin(s, &plan)?;
    let reply = format!("{}: plan {} begins", plan.summary(), plan.hash());
    let said = Fact::Incident(Incidental::Said { by: by.to_owned(), said: said.clone() });
    let mut facts = vec![];
    let incident = match &s.state.incident {
        Some(open) if matches!(open.phase, Phase::RollingBack) => {
            return Err(format!("{} is rolling back already", open.id));
        }
        Some(open) => open.clone(),
        None => {
            let opened = Incidental::Opened {
                id: s.new_incident_id(),
                severity: Severity::P1,
                trigger: asked(by, reason),
                onset: s.now.wall,
                change: s.state.changes.last().cloned(),
            };
            let incident = Incident::opened(&opened, s.now).ok_or("no incident could be opened")?;
            facts.push(Fact::Incident(opened));
            incident
        }
    };
    facts.push(said);
    facts.extend(begin(s, &incident, plan, Some(by.to_owned())));
    Ok((facts, reply))
}

fn lift(s: &Situation<'_>, by: &str, version: &str) -> Result<(Vec<Fact>, String), String> {
    let quarantined = s.state.ledger.shelves.iter().find_map(|(component, shelf)| {
        let entry = |e: &&ledger::Entry| e.revision.version == version && e.quarantine.is_some();
        shelf.entries.iter().find(entry).map(|_| *component)
    });
    let component =
        quarantined.ok_or_else(|| format!("{version} of {} is not quarantined", s.state.id))?;
    let fact = ledger::Fact::Lifted { component, version: version.to_owned(), by: by.to_owned() };
    Ok((vec![Fact::Ledger(fact)], format!("{version} may serve {} again", s.state.id)))
}

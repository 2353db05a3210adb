//! That a rollback has left a Deployment without pods, and how it has them again: scaled before its template is set, it would start the
//! code that was to go, on a schema that may have gone already.

use crate::domain::{
    change::Component,
    incident::Incident,
    inventory::STOPPED,
    plan::Action,
    run::{Phase, Run},
    runbook::ApplicationRunbook,
    situation::Situation,
};

/// Where a rollback ends before it has given them back; what was seen last may be from before it took them away.
pub(super) fn at_its_end(incident: &Incident, s: &Situation<'_>) -> Option<String> {
    if incident.run.as_ref().is_some_and(Run::gave_up) {
        return None;
    }
    let pods = seen(s).or_else(|| incident.run.as_ref().and_then(taken_away))?;
    told(pods, incident, s)
}

/// Where they are still away.
pub(super) fn still(incident: &Incident, s: &Situation<'_>) -> Option<String> {
    told(seen(s)?, incident, s)
}

fn seen(s: &Situation<'_>) -> Option<u32> {
    s.watch.inventory.as_ref()?.deployed.as_ref()?.stopped
}

/// By a run that halted between the step that takes them away and the end of the one that gives them back.
fn taken_away(run: &Run) -> Option<u32> {
    let steps = || run.plan.steps.iter().enumerate();
    let (stop, pods) = steps().find_map(|(at, step)| {
        let Action::DeploymentStop { pods, .. } = step.action else { return None };
        Some((at, pods))
    })?;
    let start = steps().find(|(_, step)| matches!(step.action, Action::DeploymentStart { .. }));
    let is_begun = run.attempts.iter().any(|attempt| attempt.step == stop);
    let is_over = start.is_some_and(|(start, _)| run.cursor > start);
    (matches!(run.phase, Phase::Halted { .. }) && is_begun && !is_over).then_some(pods)
}

fn told(pods: u32, incident: &Incident, s: &Situation<'_>) -> Option<String> {
    let ApplicationRunbook::Deployment(of) = &s.policy.runbook.as_ref()?.application else {
        return None;
    };
    let targets = &incident.run.as_ref()?.plan.targets;
    let to = &targets.iter().find(|target| target.component == Component::Application)?.to;
    let (place, namespace, name) = (of.place(), &of.namespace, &of.name);
    Some(format!(
        "{place} has 0 pods and had {pods}: another rollback gives them back. By hand, once its template is that of {to}, and not before: \
         `kubectl -n {namespace} scale deployment {name} --replicas={pods}`, then `kubectl -n {namespace} annotate deployment {name} {STOPPED}-`"
    ))
}

//! That a rollback has left a service stopped: a Deployment without pods, or what a program keeps from writing; and how it runs again.
//! Started before its code is set, it would be the code that was to go, on a schema that may have gone already.

use crate::domain::{
    change::Component,
    incident::Incident,
    inventory::STOPPED,
    plan::{Action, Restart, Step, Target},
    run::{Phase, Run},
    runbook::ApplicationRunbook,
    situation::Situation,
};

/// Where a rollback ends before it has given them back; what was seen last may be from before it took them away.
pub(super) fn at_its_end(incident: &Incident, s: &Situation<'_>) -> Option<String> {
    if incident.run.as_ref().is_some_and(Run::gave_up) {
        return None;
    }
    let pods = seen(s).or_else(|| incident.run.as_ref().and_then(taken_away));
    match pods {
        Some(pods) => told(pods, incident, s),
        None => incident.run.as_ref().filter(|run| run.keeps_from_writing()).and_then(kept),
    }
}

/// From writing, by a program.
fn kept(run: &Run) -> Option<String> {
    let actions = || run.plan.steps.iter().map(|step: &Step| &step.action);
    let stop = actions().find_map(|action| {
        let Action::WritesStop { run, .. } = action else { return None };
        Some(run.in_words())
    })?;
    let begin = format!(
        "The service is still stopped: `{stop}` was run so that it writes nothing, and nothing has started it since"
    );
    let start = actions().find_map(|action| {
        let Action::WritesStart { run } = action else { return None };
        Some(run.in_words())
    });
    let restart = actions().find_map(|action| {
        let Action::ReleaseRestart { restart, .. } = action else { return None };
        Some(match restart {
            Restart::Unit(unit) => format!("systemctl restart {unit}"),
            Restart::Command(run) => run.in_words(),
        })
    });
    let how = start
        .or(restart)
        .map_or_else(|| format!("undo by hand what `{stop}` did"), |how| format!("`{how}`"));
    if run.is_unmoved() {
        return Some(format!(
            "{begin}. Nothing was changed, so what ran before may run again at once, by hand: {how}"
        ));
    }
    let application = |target: &&Target| target.component == Component::Application;
    let to = &run.plan.targets.iter().find(application)?.to;
    Some(format!(
        "{begin}: another rollback does. By hand, once {to} is set and the schema is one on which it runs, and not before: {how}"
    ))
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

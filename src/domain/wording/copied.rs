//! What was lost with an earlier copy of a database that took its place, and where what was there is kept.

use crate::domain::{
    plan::{Action, Plan},
    rds::RdsSwitch,
    run::Run,
};

/// A sentence for each; nothing before the copy has taken its place.
pub(in crate::domain) fn told(run: &Run) -> Vec<String> {
    lost(run).into_iter().chain(kept(run)).collect()
}

/// As it was counted before.
pub(in crate::domain) fn lost(run: &Run) -> Option<String> {
    taken(run)?;
    let Plan { lost, .. } = &*run.plan;
    (!lost.is_empty()).then(|| format!("Lost, as it was counted when the rollback began: {lost}"))
}

/// What was there.
pub(in crate::domain) fn kept(run: &Run) -> Option<String> {
    let action = taken(run)?;
    let what = if let Action::DatabaseSwitch { database, replaced, .. } = action {
        format!("what {database} was is the database {replaced} now, on the same server")
    } else if let Action::RdsSwitch { what, .. } = action {
        let RdsSwitch { restored, old, .. } = &**what;
        format!("the {} {} at {old} is as it was", restored.at.form, restored.at.name)
    } else {
        return None;
    };
    Some(format!("Kept: {what}; take out of it what is missed, and delete it when you are sure"))
}

/// The step by which it took its place, where that is done.
fn taken(run: &Run) -> Option<&Action> {
    let is_switch = |action: &Action| {
        matches!(action, Action::DatabaseSwitch { .. } | Action::RdsSwitch { .. })
    };
    let mut done = run.plan.steps.iter().take(run.cursor).map(|step| &step.action);
    done.rfind(|action| is_switch(action))
}

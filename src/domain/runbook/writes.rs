//! A service that is kept from writing while its database goes back, and may write again: on the code that goes with what is there then,
//! or on what ran before, where nothing was changed.

use serde::{Deserialize, Serialize};

use crate::{
    domain::plan::{Action, CommandLine, Step},
    units::Span,
};

/// How a service is kept from writing while its schema goes back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopWrites {
    /// Its Deployment is scaled to no pods, and gets them back before the rollout is waited for.
    Scale,
    /// Commands, that may be run twice.
    Command {
        /// Keeps it from writing.
        stop: CommandLine,
        /// Lets it write again; what restarts the application does, where there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        start: Option<CommandLine>,
    },
    /// Nothing is done: maintenance mode, or a script before, sees to it.
    No,
}

impl StopWrites {
    /// The step that does it, where that is one.
    pub(super) fn step(&self) -> Option<Step> {
        let Self::Command { stop, .. } = self else { return None };
        let title = format!("keep the service from writing, with `{}`", stop.in_words());
        Some(step(title, stop, Action::WritesStop { run: stop.clone(), already: false }))
    }

    /// The step that lets it write again, where that is one.
    pub(super) fn start(&self) -> Option<Step> {
        let Self::Command { start: Some(start), .. } = self else { return None };
        let title = format!("let the service write again, with `{}`", start.in_words());
        Some(step(title, start, Action::WritesStart { run: start.clone() }))
    }

    /// How many pods are taken away for it, of so many.
    pub(super) fn scaled(&self, pods: Option<u32>) -> Option<u32> {
        pods.filter(|_| *self == Self::Scale)
    }
}

fn step(title: String, run: &CommandLine, action: Action) -> Step {
    let program = run.argv.first().map_or("", String::as_str);
    Step {
        title,
        action,
        needs: vec![format!("the program {program}")],
        timeout: run.timeout + Span::seconds(30),
        attempts: 2,
        fallback: None,
    }
}

/// A step before which the service was stopped; where it leaves all as it was, what ran before runs on what it ran on, and better than
/// nothing.
pub(super) fn or_gives_back(step: Step, start: Option<&Step>) -> Step {
    let Some(otherwise) = if_not(&step.action) else { return step };
    let fallback = start.map(|start| {
        let title = format!("where {otherwise}, {}, and end there", start.title);
        Box::new(Step { title, ..start.clone() })
    });
    Step { fallback: fallback.or(step.fallback), ..step }
}

/// Where what is stopped for it may end with that given back: what it ran on is as it was then.
fn if_not(action: &Action) -> Option<&'static str> {
    if matches!(action, Action::MigrationsUndo { .. } | Action::ReverseScript { .. }) {
        return Some("nothing was taken back");
    }
    // What was there is as it was until the names change, or the service is led away from it.
    let makes_another = matches!(
        action,
        Action::SnapshotRestore { .. } | Action::RdsRestore { .. } | Action::RdsVerify { .. }
    );
    if makes_another {
        return Some("that cannot be done");
    }
    if matches!(action, Action::DatabaseSwitch { .. }) {
        return Some("nothing was renamed");
    }
    matches!(action, Action::RdsSwitch { .. }).then_some("nothing was written")
}

//! Whether a rollback would find what it needs, looked at before there is need.
//!
//! The one thing that is written is a symlink beside `current`, removed at once, to see that the switch is allowed.

use std::path::{Path, PathBuf};

use tokio::time::Instant;

use super::{
    Options,
    inventory::{Hashed, LOOK, release_inventory},
    layout,
    program::Program,
    running,
};
use crate::domain::{
    inventory::{Check, Inventory, Serving},
    plan::{CommandLine, Restart},
    runbook::ReleaseRunbook,
};

/// Everything a rollback of a release needs, each with what was seen.
pub async fn release_preflight(runbook: &ReleaseRunbook, options: &Options) -> Vec<Check> {
    let inventory = release_inventory(runbook, options, &mut Hashed::default()).await;
    let mut checks = vec![
        layout_is_sound(&inventory),
        previous_is_kept(&inventory),
        link_can_be_switched(&runbook.root).await,
        restart_is_there(runbook, options).await,
    ];
    checks.push(running_is_seen(&inventory));
    checks
}

/// Whether a program could be started, with all that its environment is told. It is not.
pub async fn program_preflight(what: &str, line: &CommandLine, dir: &Path) -> Check {
    let program = Program::resolve(line, dir).await;
    let seen = program.map(|it| format!("{} is executable", it.path.display()));
    Check::of(what, seen.map_err(|error| error.in_words()))
}

fn layout_is_sound(inventory: &Inventory) -> Check {
    let seen = match (&inventory.linked, inventory.faults.as_slice()) {
        (Some(linked), []) => Ok(format!("current points at {linked}")),
        (None, []) => Err("current points at no release".to_owned()),
        (_, faults) => Err(faults.join("; ")),
    };
    Check::of("releases and current are in order", seen)
}

fn previous_is_kept(inventory: &Inventory) -> Check {
    let linked = inventory.linked.as_ref().map(|linked| linked.version.as_str());
    let others: Vec<&str> = inventory
        .available
        .iter()
        .map(|available| available.revision.version.as_str())
        .filter(|version| Some(*version) != linked)
        .collect();
    let seen = match others.as_slice() {
        [] => Err("no release but the linked one is kept; keep the last few".to_owned()),
        others => Ok(format!("kept besides the linked one: {}", others.join(", "))),
    };
    Check::of("an earlier version is kept", seen)
}

async fn link_can_be_switched(root: &str) -> Check {
    let path = PathBuf::from(root);
    let tried = tokio::task::spawn_blocking(move || layout::try_switching(&path)).await;
    let seen = match tried {
        Ok(Ok(())) => Ok(format!("a symlink can be made in {root}")),
        Ok(Err(error)) => Err(format!("no symlink can be made in {root}: {error}")),
        Err(error) => Err(error.to_string()),
    };
    Check::of("current can be switched", seen)
}

async fn restart_is_there(runbook: &ReleaseRunbook, options: &Options) -> Check {
    let seen = match &runbook.restart {
        Restart::Command(line) => {
            return program_preflight("it can be restarted", line, &options.state_dir).await;
        }
        Restart::Unit(unit) => {
            let until = Instant::now() + LOOK;
            match running::property(unit, "LoadState", &options.state_dir, until).await {
                Ok(state) if state == "loaded" => Ok(format!("systemd knows the unit {unit}")),
                Ok(state) => Err(format!("systemd says of the unit {unit}: {state}")),
                Err(why) => Err(why),
            }
        }
    };
    Check::of("it can be restarted", seen)
}

fn running_is_seen(inventory: &Inventory) -> Check {
    let seen = match (&inventory.running, inventory.is_settled()) {
        (Serving::Version(_), true) => Ok(inventory.running.to_string()),
        (Serving::Version(_), false) => {
            Err(format!("{}, but current points at another version", inventory.running))
        }
        (Serving::NotRunning(_) | Serving::Unknown(_), _) => Err(inventory.running.to_string()),
    };
    Check::of("the version that serves is seen", seen)
}

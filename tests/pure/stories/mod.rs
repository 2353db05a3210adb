//! Stories: the whole domain, pure, told as the timeline that people read. No runtime, no clock, no disk.
//!
//! A story is a policy, what happens, and what the daemon made of it. After every turn the [`town`] checks what must
//! always hold, so that each story is also a test of the invariants.

mod place;
mod pods;
mod policy;
mod town;
mod world;

mod alerts;
mod blind;
mod compared;
mod configurations;
mod databases;
mod departed;
mod deployments;
mod fleets;
mod half_seen;
mod images;
mod integrity;
mod long_steps;
mod maintenance;
mod missed;
mod not_rolled_back;
mod onsets;
mod outages;
mod owned;
mod owners;
mod people;
mod previous;
mod rds;
mod resolved;
mod restarts;
mod reversed;
mod secrets;
mod sites;
mod steps;
mod stopped;
mod stopped_by_a_program;
mod undone;
mod unseen;
mod witnesses;

use place::{Behaviour, HEALTHY};
use rollbackd::domain::{
    event::Said,
    notice::{Audience, Notice, Urgency},
    policy::Policy,
};
use town::Town;

/// Lets `happens` happen to a town that was healthy for over an hour, and tells what came of it.
fn story(policy: Policy, happens: impl FnOnce(&mut Town)) -> String {
    let mut town = Town::healthy(policy);
    happens(&mut town);
    town.check_everything();
    town.transcript()
}

/// The same in a town with so many requests in 15 s.
fn quiet(requests: f64, policy: Policy, happens: impl FnOnce(&mut Town)) -> String {
    let mut town = Town::new(policy);
    town.behaves(Behaviour { requests, ..HEALTHY });
    town.warm_up();
    happens(&mut town);
    town.check_everything();
    town.transcript()
}

/// The same, told by what was decided and what people were told; repeated pages left out.
fn brief(policy: Policy, happens: impl FnOnce(&mut Town)) -> String {
    let whole = story(policy, happens);
    let told = [
        "  -> ",
        "decided:",
        "begins rollback",
        "escalated",
        "closed:",
        "raised",
        " clears",
        "verified",
    ];
    let matters = |line: &&str| {
        told.iter().any(|part| line.contains(part)) && !line.contains("nobody has acknowledged")
    };
    let lines: Vec<&str> = whole.lines().filter(matters).collect();
    lines.join("\n")
}

/// What a person says who wants a rollback now.
fn roll_back(to: Option<&str>, reason: &str) -> Said {
    Said::RollBack {
        to: to.map(str::to_owned),
        to_previous: false,
        plan: None,
        reason: reason.to_owned(),
    }
}

/// A notice as a story tells it.
fn told(notice: &Notice) -> String {
    let audience = match (notice.audience, notice.urgency) {
        (Audience::Stakeholders, _) => "stakeholders",
        (Audience::OnCall, Urgency::Page) => "PAGE",
        (Audience::OnCall, Urgency::Info) => "on-call",
    };
    format!("  -> {audience}: {}", notice.subject)
}

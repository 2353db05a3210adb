//! Everything that decides. No clock, no I/O, no randomness, no async, no unordered iteration.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod backoff;
pub mod baseline;
pub mod change;
pub mod controller;
pub mod counter;
pub mod delivery;
pub mod escalation;
pub mod evalue;
pub mod event;
#[cfg(test)]
pub(crate) mod examples;
pub mod fact;
pub mod firing;
pub mod fleet;
pub mod gate;
pub mod guard;
pub mod histogram;
pub mod history;
pub mod incident;
pub mod inventory;
pub mod ledger;
pub mod notice;
pub mod packed;
pub mod plan;
pub mod planning;
pub mod policy;
mod receive;
pub mod report;
pub mod roster;
pub mod run;
pub mod runbook;
pub mod service;
mod settle;
pub mod severity;
pub mod shown;
pub mod signal;
pub mod situation;
pub mod state;
pub mod steady;
pub mod timeline;
pub mod trigger;
pub mod verification;
pub mod watch;
pub mod wilson;
pub mod window;
pub mod wording;

//! Everything that decides. No clock, no I/O, no randomness, no async, no unordered iteration.

pub mod change;
pub mod inventory;
pub mod notice;
pub mod plan;
pub mod run;
pub mod runbook;
pub mod service;

//! Everything that decides. No clock, no I/O, no randomness, no async, no unordered iteration.

pub mod baseline;
pub mod change;
pub mod counter;
pub mod evalue;
pub mod gate;
pub mod histogram;
pub mod history;
pub mod notice;
pub mod plan;
pub mod run;
pub mod service;
pub mod severity;
pub mod signal;
pub mod trigger;
pub mod wilson;
pub mod window;

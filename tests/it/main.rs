//! The integration tests: one binary, so that there is one link.

#![expect(clippy::unwrap_used, reason = "a helper that cannot read its fixture fails the test")]

mod allocations;
mod aws;
mod config_init;
mod config_online;
mod damaged;
mod databases;
mod docs;
mod e2e;
mod kubernetes;
mod notifiers;
mod replay;
mod replay_files;
mod rig;
mod rig_works;
mod shop;
mod systemd;

//! rollbackd watches services after they change and undoes the change when it hurts.

pub mod aws;
pub mod causes;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod databases;
pub mod demo;
pub mod domain;
pub mod executors;
pub mod handle;
pub mod http;
pub mod kubernetes;
pub mod notifiers;
pub mod replay;
pub mod sources;
pub mod store;
pub mod telemetry;
pub mod tls;
pub mod units;

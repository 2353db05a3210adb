//! rollbackd watches services after they change and undoes the change when it hurts.

pub mod daemon;
pub mod domain;
pub mod http;
pub mod sources;
pub mod units;

//! Where samples come from. An adapter reads one kind of source and says what it read; it decides nothing.
//!
//! Adapters share [`http`], [`exposition`], [`selector`] and [`reading`], own their `Options`, and never import one
//! another.

pub mod alertmanager;
pub mod cloudwatch;
pub mod exposition;
pub mod health;
pub mod http;
pub mod kubernetes;
pub mod migrations;
pub mod prometheus;
pub mod reading;
pub mod registry;
pub mod scrape;
pub mod selector;

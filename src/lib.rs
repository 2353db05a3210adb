pub mod demo;
pub mod domain;
pub mod sources;
pub mod units;

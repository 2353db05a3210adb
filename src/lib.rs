pub mod domain;
pub mod sources;
pub mod tls;
pub mod units;

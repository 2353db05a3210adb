//! AWS, as far as a server of this machine is it, and the faults that only the real one has, put before it.

mod accounts;
mod faults;
pub(crate) mod frontend;
mod looked;
mod metrics;
pub(crate) mod proxy;
pub(crate) mod rds;
mod secrets;
pub(crate) mod server;
mod topics;
mod tunnel;

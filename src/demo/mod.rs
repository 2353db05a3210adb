//! The demo's outside world: a small shop that can be made to fail, and the load on it.
//!
//! Both are real: a process with a socket, and requests over it. Neither knows the daemon.

mod exposition;
pub mod load;
pub mod shop;

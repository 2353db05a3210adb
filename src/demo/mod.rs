//! The demo: a small shop that can be made to fail, real load on it, and the daemon beside it.
//!
//! Everything is real: processes with sockets, requests over them, a link that is switched. The shop and the load
//! do not know the daemon; the daemon does not know that it is watched.

mod exposition;
pub mod eye;
pub mod load;
pub mod play;
pub mod port;
pub mod scenario;
mod screen;
pub mod shop;
pub mod stage;
pub mod wire;

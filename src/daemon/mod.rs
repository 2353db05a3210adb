//! The shell: wires everything, gathers, writes down, carries out. It decides nothing.

pub mod clock;
mod delivery;
mod event_loop;
pub mod handle;
mod hold;
mod journaling;
pub mod recovery;
mod tasks;

pub use handle::{Handle, Unanswered};

//! The shell: wires everything, gathers, writes down, carries out. It decides nothing.

pub mod handle;

pub use handle::{Handle, Unanswered};

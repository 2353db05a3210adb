//! Tests over the simulated world of [`crate::world`]: it is deterministic, each step may fail in each way, and every seed
//! that ever failed is a story here.

mod every_step_fails;
mod in_between;
mod order;
mod seeds;

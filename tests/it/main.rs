//! One integration binary: every rule through the public API.

mod naive;
mod vectors;
mod windows;

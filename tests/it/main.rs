//! One integration binary: every rule through the public API.

mod labelled;
mod naive;
mod vectors;
mod windows;

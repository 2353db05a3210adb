//! One integration binary: every rule through the public API.

#![expect(clippy::unwrap_used, reason = "a helper that cannot read its fixture fails the test")]

mod labelled;
mod naive;
mod vectors;
mod windows;

//! What decides, whole and without a server: stories, worlds, vectors, bytes from outside. `make test` runs it optimised, as
//! `cargo test --profile simulate --no-default-features --test pure` does; by hand `cargo test --test pure` is sooner built.

#![expect(clippy::unwrap_used, reason = "a helper that cannot read its fixture fails the test")]

mod compared;
mod hostile;
mod labelled;
mod naive;
mod simulated;
mod stories;
mod vectors;
mod windows;
mod world;

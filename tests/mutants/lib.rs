//! The library without its shell: what decides, and the tests that need no more. `tests/mutants/run` makes a package of it.

#![allow(dead_code, reason = "what the tests of the shell need, too")]
#![allow(arithmetic_overflow, unconditional_panic, reason = "a mutant that must panic is as good as another")]

extern crate self as rollbackd;

pub mod domain;
pub mod units;

#[cfg(test)]
mod labelled;
#[cfg(test)]
mod naive;
#[cfg(test)]
mod stories;
#[cfg(test)]
mod vectors;
#[cfg(test)]
mod windows;
#[cfg(test)]
mod world {
    pub(crate) mod sayings;
}

//! Cumulative counters, series by series, turned into counts over an interval.
//!
//! What cannot be placed in time, or does not add up, is dropped and counted by reason; it is never guessed.

mod chain;
mod drops;
mod series;

pub use self::{
    chain::{Chain, Cumulative, Delta, Field},
    drops::{Drop, Drops},
    series::{Arm, Counters, Disjoint, Options, Poll, Series},
};

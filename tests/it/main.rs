//! The integration tests: one binary, so that there is one link.

mod rig;
mod rig_works;
mod shop;

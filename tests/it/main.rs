//! The integration tests: one binary, so that there is one link.

mod notifiers;
mod rig;
mod rig_works;
mod shop;

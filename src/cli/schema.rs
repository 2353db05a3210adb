//! `rollbackd schema`: what editors need to complete and to check a configuration.

use clap::Args;

use super::{client::Fault, out::Out};

/// Prints the JSON Schema of the configuration file.
#[derive(Debug, Args)]
pub(super) struct Schema {}

impl Schema {
    pub(super) fn run(self, out: &Out) -> Result<(), Fault> {
        out.json(&crate::config::schema())
    }
}

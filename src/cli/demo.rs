//! `rollbackd demo`: the whole story with real processes; `demo-shop` is the shop in it.

use std::path::PathBuf;

use clap::Args;

use super::{client::Fault, out::Out};
use crate::demo::{play, scenario::Scenario, shop};

/// Deploys a bad release of a small shop under real load, and shows what rollbackd makes of it.
#[derive(Debug, Args)]
pub(super) struct Demo {
    /// What goes wrong.
    #[arg(value_enum, default_value_t)]
    scenario: Scenario,
    /// Where the shop, the state and the report are kept; a new directory under the temporary one when absent.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Demo {
    pub(super) async fn run(self, out: &Out) -> Result<(), Fault> {
        let dir = self.dir.unwrap_or_else(|| {
            let name = format!("rollbackd-demo-{}-{}", self.scenario, std::process::id());
            std::env::temp_dir().join(name)
        });
        std::fs::create_dir_all(&dir)
            .map_err(|why| Fault::Other(format!("{} cannot be made: {why}", dir.display())))?;
        play::play(self.scenario, dir)
            .await
            .map_err(|why| Fault::Other(format!("the demo did not go as it should: {why:#}")))?;
        out.text("")
    }
}

/// The shop of the demo.
#[derive(Debug, Args)]
pub(super) struct Shop {
    #[command(flatten)]
    options: shop::Options,
}

impl Shop {
    pub(super) async fn run(self) -> Result<(), Fault> {
        shop::serve(self.options).await.map_err(|why| Fault::Other(format!("{why:#}")))
    }
}

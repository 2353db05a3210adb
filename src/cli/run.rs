//! `rollbackd run`: the daemon itself.

use std::path::PathBuf;

use clap::Args;

use super::{check, client::Fault, logging, out::Out};
use crate::{config, daemon, store::StoreError, telemetry};

/// Watches, decides, rolls back; until SIGTERM.
#[derive(Debug, Args)]
pub(super) struct Run {
    /// The configuration.
    #[arg(long, value_name = "FILE", default_value = "/etc/rollbackd/rollbackd.toml")]
    config: PathBuf,
    /// Log as JSON to standard error, one object a line.
    #[arg(long)]
    log_json: bool,
}

impl Run {
    pub(super) fn run(self, out: &Out) -> Result<(), Fault> {
        let config = match config::load(&self.config) {
            Ok((config, warnings)) => {
                for warning in &warnings {
                    out.fault(&warning.to_string());
                }
                config
            }
            Err(problems) => return Err(Fault::Usage(check::listed(&problems))),
        };
        logging::start(self.log_json);
        crate::tls::install();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|why| Fault::Other(format!("no runtime could be started: {why}")))?;
        runtime.block_on(daemon::run(config, self.config.clone())).map_err(|fault| {
            let held = fault.chain().find_map(|cause| cause.downcast_ref::<StoreError>());
            let text = telemetry::chain(fault.as_ref());
            match held {
                Some(StoreError::LeaseHeld { .. }) => Fault::Lease(text),
                Some(_) | None => Fault::Other(text),
            }
        })
    }
}

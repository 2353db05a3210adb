//! `rollbackd run`: the daemon itself.

use std::path::PathBuf;

use clap::Args;
use tracing_subscriber::EnvFilter;

use super::{check, client::Fault, out::Out};
use crate::{config, daemon, store::StoreError, telemetry};

/// Watches, decides, rolls back; until SIGTERM.
#[derive(Debug, Args)]
pub(super) struct Run {
    /// The configuration.
    #[arg(long, value_name = "FILE", default_value = "/etc/rollbackd/rollbackd.toml")]
    config: PathBuf,
    /// Log as JSON, one object a line.
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
        self.start_logging();
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

    /// `RUST_LOG` chooses what is logged; decisions, warnings and errors are by default.
    fn start_logging(&self) {
        let filter = EnvFilter::try_from_default_env()
            .unwrap_or_else(|_| EnvFilter::new("info,tokio_cron_scheduler=warn"));
        let log = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            // A log on a full disk must not end the daemon: complaining about it there would panic.
            .log_internal_errors(false);
        // A test process may have a subscriber already.
        let _ =
            if self.log_json { log.json().try_init() } else { log.with_target(false).try_init() };
    }
}

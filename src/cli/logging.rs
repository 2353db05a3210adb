//! Where the daemon's log goes: to journald in its own form where that is who reads standard error, so that service,
//! incident and level are fields to search by; otherwise to standard error as lines.

use std::io;

use tracing_journald::{Layer, Priority, PriorityMappings};
use tracing_subscriber::{EnvFilter, prelude::*};

/// `RUST_LOG` chooses what is logged; decisions, warnings and errors are by default.
pub(super) fn start(as_json: bool) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| {
        EnvFilter::new("info,tokio_cron_scheduler=warn,kube_client=off,kube_runtime=off")
    });
    let lines = || {
        tracing_subscriber::fmt::layer()
            .with_writer(io::stderr)
            // A log on a full disk must not end the daemon: complaining about it there would panic.
            .log_internal_errors(false)
    };
    let to_journald = if as_json || !is_read_by_journald() { None } else { journald().ok() };
    let log = match to_journald {
        Some(journald) => journald.boxed(),
        None if as_json => lines().json().boxed(),
        None => lines().with_target(false).boxed(),
    };
    // A test process may have a subscriber already.
    let _ = tracing_subscriber::registry().with(filter).with(log).try_init();
}

/// Whether what is written to standard error arrives at journald: systemd says which stream that is, and whoever
/// redirected it since does not.
fn is_read_by_journald() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    rustix::fs::fstat(io::stderr())
        .is_ok_and(|stderr| stream == format!("{}:{}", stderr.st_dev, stderr.st_ino))
}

fn journald() -> io::Result<Layer> {
    let journald = Layer::new()?
        // Nobody would look for F_SERVICE.
        .with_field_prefix(None)
        .with_syslog_identifier(env!("CARGO_PKG_NAME").to_owned())
        .with_priority_mappings(PriorityMappings {
            info: Priority::Informational,
            debug: Priority::Debug,
            ..PriorityMappings::new()
        });
    Ok(journald)
}

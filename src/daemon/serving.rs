//! Starts the daemon's own interface, if it is configured.

use std::sync::Arc;

use tokio::{sync::Notify, task::JoinSet};

use crate::{config::Config, handle::Handle};

/// Starts serving; the answer says where, for the log and for systemd.
pub(super) async fn start(
    _side: &mut JoinSet<()>,
    _config: &Config,
    _handle: &Handle,
    _metrics: metrics_exporter_prometheus::PrometheusHandle,
) -> anyhow::Result<(Arc<Notify>, String)> {
    Ok((Arc::new(Notify::new()), "serving nothing".into()))
}

//! Starts the daemon's own interface, if it is configured.

use std::sync::Arc;

use anyhow::Context;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::{sync::Notify, task::JoinSet};
use tracing::warn;

use super::{reload, scripts};
use crate::{
    config::Config,
    executors::script::Scripts,
    handle::{Handle, trials::Trials},
    http::{Interface, Server},
};

/// The interface, as it was started.
#[derive(Debug)]
pub(super) struct Served {
    /// Ends it.
    pub stop: Arc<Notify>,
    /// Where it listens, for the log and for systemd.
    pub at: String,
    /// Itself, unless it is turned off.
    pub interface: Option<Arc<Interface>>,
}

/// Starts serving until told to stop.
pub(super) async fn start(
    side: &mut JoinSet<()>,
    config: &Config,
    handle: &Handle,
    metrics: PrometheusHandle,
    with: &Scripts,
) -> anyhow::Result<Served> {
    let stop = Arc::new(Notify::new());
    let Some(http) = &config.http else {
        warn!("the interface is turned off: nobody can acknowledge or approve");
        return Ok(Served { stop, at: "no interface".into(), interface: None });
    };
    let tokens = reload::tokens(config, http)?;
    let interface = Interface::new(handle.clone(), metrics, tokens, http)
        .context("random numbers for the interface")?;
    let (trials, asked) = Trials::channel();
    side.spawn(scripts::try_out(asked, with.clone()));
    interface.try_with(trials);
    let server = Server::bind(http, &interface).await.context("the interface")?;
    let scheme = if http.tls.is_some() { "https" } else { "http" };
    let at = format!("listening on {scheme}://{}", server.address());
    let stopping = Arc::clone(&stop);
    side.spawn(async move {
        server.serve(async move { stopping.notified().await }).await;
    });
    Ok(Served { stop, at, interface: Some(interface) })
}

//! Starts the daemon's own interface, if it is configured.

use std::sync::Arc;

use anyhow::Context;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::{sync::Notify, task::JoinSet};
use tracing::warn;

use crate::{
    config::Config,
    handle::Handle,
    http::{
        Interface, Server,
        auth::{self, Tokens},
    },
};

/// Starts serving until told to stop; the answer says where, for the log and for systemd.
pub(super) async fn start(
    side: &mut JoinSet<()>,
    config: &Config,
    handle: &Handle,
    metrics: PrometheusHandle,
) -> anyhow::Result<(Arc<Notify>, String)> {
    let stop = Arc::new(Notify::new());
    let Some(http) = &config.http else {
        warn!("the interface is turned off: nobody can acknowledge or approve");
        return Ok((stop, "no interface".into()));
    };
    let local = auth::local_token(&config.state_dir).context("the token of this machine")?;
    let tokens = Tokens::new(http.tokens.iter().cloned().chain([local]));
    let interface = Interface::new(handle.clone(), metrics, tokens, http)
        .context("random numbers for the interface")?;
    let server = Server::bind(http, &interface).await.context("the interface")?;
    let scheme = if http.tls.is_some() { "https" } else { "http" };
    let at = format!("listening on {scheme}://{}", server.address());
    let stopping = Arc::clone(&stop);
    side.spawn(async move {
        server.serve(async move { stopping.notified().await }).await;
    });
    Ok((stop, at))
}

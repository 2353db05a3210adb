//! Starts the daemon's own interface, if it is configured.

use std::sync::Arc;

use anyhow::Context;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::{sync::Notify, task::JoinSet};
use tracing::warn;

use crate::{
    config::{self, Config},
    handle::Handle,
    http::{
        Interface, Limits, Mapping, Options, Server, Tls,
        auth::{self, Scope, Token, Tokens},
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
    let options = options(http);
    let tokens = Tokens::new(http.tokens.iter().map(token).chain([local]));
    let interface = Interface::new(handle.clone(), metrics, tokens, &options)
        .context("random numbers for the interface")?;
    let server = Server::bind(&options, &interface).await.context("the interface")?;
    let scheme = if options.tls.is_some() { "https" } else { "http" };
    let at = format!("listening on {scheme}://{}", server.address());
    let stopping = Arc::clone(&stop);
    side.spawn(async move {
        server.serve(async move { stopping.notified().await }).await;
    });
    Ok((stop, at))
}

fn options(http: &config::Http) -> Options {
    Options {
        listen: http.listen,
        tls: http.tls.as_ref().map(|tls| Tls { cert: tls.cert.clone(), key: tls.key.clone() }),
        allow_plain_beyond_loopback: http.allow_plain_beyond_loopback,
        connections_max: http.limits.connections_max,
        open_metrics: http.open_metrics,
        limits: Limits {
            body_max_bytes: http.limits.body_max_bytes,
            labels_max: http.limits.labels_max,
            alerts_max: http.limits.alerts_max,
            read_timeout: http.limits.read_timeout.duration(),
            answer_timeout: http.limits.answer_timeout.duration(),
        },
        mapping: Mapping {
            service_label: http.mapping.service_label.clone(),
            environment_label: http.mapping.environment_label.clone(),
            default_environment: http.mapping.default_environment.clone(),
            severity_label: http.mapping.severity_label.clone(),
            severities: http.mapping.severities.clone(),
            without_severity: http.mapping.without_severity,
        },
    }
}

fn token(token: &config::Token) -> Token {
    let scope = |scope: &config::Scope| match scope {
        config::Scope::Alerts => Scope::Alerts,
        config::Scope::Changes => Scope::Changes,
        config::Scope::Evidence => Scope::Evidence,
        config::Scope::View => Scope::View,
        config::Scope::Operate => Scope::Operate,
        config::Scope::Admin => Scope::Admin,
    };
    Token {
        name: token.name.clone(),
        scopes: token.scopes.iter().map(scope).collect(),
        secret: token.secret.clone(),
    }
}

//! Listening: plain on loopback, TLS beyond it. A connection that says nothing is closed.

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
    service::TowerToHyperService,
};
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_rustls::TlsAcceptor;

use super::{Interface, router};
use crate::config::{Http, Tls};

/// How long answers under way may take after the end was asked for.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// Why the interface cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Everybody on the way could read the tokens.
    #[error(
        "{0} is beyond loopback and has no TLS: set [http.tls], or say `allow_plain_beyond_loopback = true`"
    )]
    Plain(SocketAddr),
    /// The address cannot be had.
    #[error("cannot listen on {listen}")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The certificate or its key cannot be used.
    #[error("{file}: {why}")]
    Certificate {
        /// Which file.
        file: String,
        /// What is wrong with it.
        why: String,
    },
}

/// A bound interface that does not serve yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    listen: SocketAddr,
    tls: Option<Acceptor>,
    router: Router,
    head_timeout: Duration,
    connections_max: usize,
}

/// The TLS side of a connection; its keys are not shown.
#[derive(Clone)]
struct Acceptor(TlsAcceptor);

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsAcceptor")
    }
}

impl Server {
    /// Takes the address, and reads the certificate.
    pub async fn bind(options: &Http, interface: &Arc<Interface>) -> Result<Self, BindError> {
        let listen = options.listen;
        let plain = options.tls.is_none() && !options.allow_plain_beyond_loopback;
        if plain && !listen.ip().is_loopback() {
            return Err(BindError::Plain(listen));
        }
        let tls = options.tls.as_ref().map(acceptor).transpose()?.map(Acceptor);
        let fault = |source| BindError::Listen { listen, source };
        let listener = TcpListener::bind(listen).await.map_err(fault)?;
        let listen = listener.local_addr().map_err(fault)?;
        Ok(Self {
            listener,
            listen,
            tls,
            router: router(interface),
            head_timeout: options.limits.read_timeout.duration(),
            connections_max: options.limits.connections_max.max(1),
        })
    }

    /// Where it listens; of use where the port was 0.
    pub fn address(&self) -> SocketAddr {
        self.listen
    }

    /// Serves until `shutdown`, then lets answers under way be given.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) {
        let graceful = GracefulShutdown::new();
        let room = Arc::new(Semaphore::new(self.connections_max));
        let mut shutdown = pin!(shutdown);
        loop {
            let accepted = async {
                // Whoever finds no room waits in the kernel's queue: a flood costs no memory here.
                let place = Arc::clone(&room).acquire_owned().await;
                (place, self.listener.accept().await)
            };
            let (place, accepted) = tokio::select! {
                () = &mut shutdown => break,
                both = accepted => both,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(fault) => {
                    tracing::warn!(error = %fault, "a connection could not be accepted: {fault}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let (router, tls) = (self.router.clone(), self.tls.clone());
            let (watcher, within) = (graceful.watcher(), self.head_timeout);
            tokio::spawn(async move {
                let _place = place;
                connection(stream, tls.map(|t| t.0), router, watcher, within).await;
            });
        }
        drop(self.listener);
        if tokio::time::timeout(LAST_ANSWERS, graceful.shutdown()).await.is_err() {
            tracing::warn!("connections were cut that did not end within {LAST_ANSWERS:?}");
        }
    }
}

async fn connection(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    router: Router,
    watcher: Watcher,
    within: Duration,
) {
    let Some(tls) = tls else { return speak(stream, router, watcher, within).await };
    // A handshake that fails or dawdles is the other side's affair.
    if let Ok(Ok(stream)) = tokio::time::timeout(within, tls.accept(stream)).await {
        speak(stream, router, watcher, within).await;
    }
}

async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    watcher: Watcher,
    within: Duration,
) {
    let service = TowerToHyperService::new(router);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(within)
        .max_buf_size(64 << 10)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(fault) = watcher.watch(connection).await {
        tracing::debug!(error = %fault, "a connection ended early: {fault}");
    }
}

fn acceptor(tls: &Tls) -> Result<TlsAcceptor, BindError> {
    let open = |path: &std::path::Path| {
        let fault = |why: io::Error| BindError::Certificate {
            file: path.display().to_string(),
            why: why.to_string(),
        };
        std::fs::read(path).map_err(fault)
    };
    let of = |path: &std::path::Path, why: &str| BindError::Certificate {
        file: path.display().to_string(),
        why: why.to_owned(),
    };
    let chain = rustls_pemfile::certs(&mut open(&tls.cert)?.as_slice())
        .collect::<Result<Vec<_>, _>>()
        .ok()
        .filter(|chain| !chain.is_empty())
        .ok_or_else(|| of(&tls.cert, "there is no certificate in PEM in it"))?;
    let key: PrivateKeyDer<'static> = rustls_pemfile::private_key(&mut open(&tls.key)?.as_slice())
        .ok()
        .flatten()
        .ok_or_else(|| of(&tls.key, "there is no private key in PEM in it"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|fault| of(&tls.cert, &fault.to_string()))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

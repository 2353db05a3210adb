//! The one HTTP client that every adapter uses: bounded in time, in bytes and in what it follows.
//!
//! It never follows a redirect, takes no proxy from the environment unless told, and its errors never print a URL, for
//! URLs hold credentials. It does not judge an answer's status.

mod clients;
mod failure;
#[cfg(test)]
pub(crate) mod fake;
mod room;
mod srv;
#[cfg(test)]
mod tests;

pub use clients::Clients;
pub(crate) use failure::class_of;
pub use failure::{Failure, Phase};
pub use srv::services;

use std::{
    collections::BTreeSet,
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use reqwest::{
    Certificate, RequestBuilder, Response, Url,
    dns::{Addrs, Name, Resolve, Resolving},
};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};

use crate::{
    tls,
    units::{Secret, Span},
};

/// How to reach a server, and what that may cost.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Options {
    /// To resolve the name, connect and shake hands.
    pub connect: Span,
    /// From sending to the head of the answer.
    pub attempt: Span,
    /// From the start to the last byte of the body.
    pub total: Span,
    /// The largest body, after decompression.
    pub body_bytes: usize,
    /// The credential to present.
    pub auth: Option<Auth>,
    /// Certificates in PEM to trust beside the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// Trust any certificate. For a probe of a service that has only a self-signed one.
    pub insecure: bool,
    /// The proxy to use.
    pub proxy: Proxy,
    /// The address to connect to, whatever the name is resolved to.
    pub pinned: Option<IpAddr>,
    /// Whether there may be many at once, so that the large bodies among theirs take turns.
    pub takes_turns: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect: Span::seconds(3),
            attempt: Span::seconds(10),
            total: Span::seconds(15),
            body_bytes: 32 << 20,
            auth: None,
            ca_pem: None,
            insecure: false,
            proxy: Proxy::None,
            pinned: None,
            takes_turns: false,
        }
    }
}

/// A credential.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Auth {
    /// `Authorization: Bearer`.
    Bearer(Secret),
    /// User and password.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: Secret,
    },
}

/// Which proxy requests go through.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Proxy {
    /// None, whatever the environment says.
    #[default]
    None,
    /// The one that `HTTP_PROXY` and its kin name.
    Environment,
    /// This one.
    Url(Secret),
}

/// Why a client cannot be built. All of these are mistakes in the configuration.
#[derive(Debug, thiserror::Error)]
pub enum CannotBuild {
    /// No certificate in the CA file, or one that is none.
    #[error("the CA file holds no usable certificate")]
    Ca(#[source] Option<reqwest::Error>),
    /// The proxy's URL.
    #[error("the proxy's URL cannot be used")]
    Proxy(#[source] reqwest::Error),
    /// The TLS library, most often because the system has no CA certificates.
    #[error("the HTTP client cannot be built")]
    Client(#[source] reqwest::Error),
}

/// An answer of any status, read whole.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The `Content-Type`.
    pub content_type: Option<String>,
    /// The body, decompressed.
    pub body: Vec<u8>,
    /// From sending to the last byte.
    pub took: Duration,
    _room: Option<room::Room>,
}

/// A client for one set of options; cheap to clone, and many targets share one.
#[derive(Clone)]
pub struct Client {
    inner: reqwest::Client,
    options: Arc<Options>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Client {
    /// Builds a client, and installs the TLS provider if nobody did yet.
    pub fn new(options: Options) -> Result<Self, CannotBuild> {
        tls::install();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("rollbackd/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .dns_resolver(Resolver::of(&options))
            .connect_timeout(options.connect.duration())
            .timeout(options.total.duration())
            .pool_max_idle_per_host(2)
            .tls_danger_accept_invalid_certs(options.insecure);
        if let Some(pem) = &options.ca_pem {
            let certificates =
                Certificate::from_pem_bundle(pem).map_err(|error| CannotBuild::Ca(Some(error)))?;
            if certificates.is_empty() {
                return Err(CannotBuild::Ca(None));
            }
            builder = builder.tls_certs_merge(certificates);
        }
        match &options.proxy {
            Proxy::None => builder = builder.no_proxy(),
            Proxy::Environment => {}
            Proxy::Url(url) => {
                let proxy = reqwest::Proxy::all(url.expose())
                    .map_err(|error| CannotBuild::Proxy(error.without_url()))?;
                builder = builder.no_proxy().proxy(proxy);
            }
        }
        let inner = builder.build().map_err(|error| CannotBuild::Client(error.without_url()))?;
        Ok(Self { inner, options: Arc::new(options) })
    }

    /// The options it was built with.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Starts a request, with the credential.
    pub fn request(&self, method: reqwest::Method, url: Url) -> RequestBuilder {
        let request = self.inner.request(method, url);
        match &self.options.auth {
            None => request,
            Some(Auth::Bearer(token)) => request.bearer_auth(token.expose()),
            Some(Auth::Basic { user, password }) => {
                request.basic_auth(user, Some(password.expose()))
            }
        }
    }

    /// Sends a request and reads the whole answer, within the deadlines and the limit.
    pub async fn send(&self, request: RequestBuilder) -> Result<Answer, Failure> {
        let started = Instant::now();
        let mut response = self.head(request).await?;
        let status = response.status().as_u16();
        let content_type = response.headers().get(reqwest::header::CONTENT_TYPE);
        let content_type = content_type.and_then(|kind| kind.to_str().ok()).map(str::to_owned);
        let body = timeout_at(started + self.options.total.duration(), self.body(&mut response));
        let (body, room) = body.await.map_err(|_| self.late(Phase::Body))??;
        Ok(Answer { status, content_type, body, took: started.elapsed(), _room: room })
    }

    /// Sends a request and returns as soon as the head of the answer is there.
    pub async fn head(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let deadline = Instant::now() + self.options.attempt.min(self.options.total).duration();
        match timeout_at(deadline, request.send()).await {
            Ok(sent) => sent.map_err(|error| Failure::of(error, Phase::Head, &self.options)),
            Err(_) => Err(self.late(Phase::Head)),
        }
    }

    /// The first piece of an answer's body, if one comes in time.
    pub async fn beginning(&self, response: &mut Response) -> Vec<u8> {
        let first = tokio::time::timeout(self.options.attempt.duration(), response.chunk()).await;
        let first = first.ok().and_then(Result::ok).flatten().unwrap_or_default();
        first.get(..first.len().min(1024)).unwrap_or_default().to_vec()
    }

    async fn body(
        &self,
        response: &mut Response,
    ) -> Result<(Vec<u8>, Option<room::Room>), Failure> {
        let limit = self.options.body_bytes;
        let told = response.content_length().unwrap_or(0);
        if told > limit as u64 {
            return Err(Failure::TooLarge { limit });
        }
        // A peer may announce anything: room is made as bytes arrive.
        let mut body = Vec::with_capacity(usize::try_from(told).unwrap_or(0).min(1 << 20));
        let mut room = None;
        loop {
            let chunk = response.chunk().await;
            let chunk = chunk.map_err(|error| Failure::of(error, Phase::Body, &self.options))?;
            let Some(chunk) = chunk else { return Ok((body, room)) };
            let length = body.len() + chunk.len();
            if length > limit {
                return Err(Failure::TooLarge { limit });
            }
            if self.options.takes_turns && room.is_none() && length > room::SMALL_BYTES {
                room = room::take().await;
            }
            body.extend_from_slice(&chunk);
        }
    }

    fn late(&self, phase: Phase) -> Failure {
        Failure::late(phase, &self.options)
    }
}

/// A URL for people: no user, no password, no query.
pub fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // Only refused for URLs that cannot have them.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.to_string()
}

/// Names are resolved here, so that a name that cannot be is told apart from a server that cannot be reached. It has a
/// deadline of its own, before that of the connection: a resolver that hangs is no outage of the service.
struct Resolver {
    within: Duration,
    pinned: Option<IpAddr>,
}

/// Look-ups at once, in the whole process. One that hangs keeps a thread long after nobody waits for it, and without
/// a bound those threads would keep everything else that needs one.
static LOOKUPS: Semaphore = Semaphore::const_new(32);

impl Resolver {
    fn of(options: &Options) -> Self {
        let first = options.connect.min(options.attempt).min(options.total);
        Self { within: first.duration() * 3 / 4, pinned: options.pinned }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (within, pinned) = (self.within, self.pinned);
        Box::pin(async move {
            let found = match pinned {
                Some(address) => Ok(vec![SocketAddr::new(address, 0)]),
                None => looked_up(name.as_str().to_owned(), within).await,
            };
            match found {
                Ok(found) => {
                    let found: Addrs = Box::new(found.into_iter());
                    Ok(found)
                }
                Err(error) => Err(failure::NameNotFound(error).into()),
            }
        })
    }
}

/// Every address of a name, within the time that is meant for it.
pub async fn addresses(name: &str, options: &Options) -> io::Result<BTreeSet<IpAddr>> {
    let found = looked_up(name.to_owned(), Resolver::of(options).within).await?;
    Ok(found.iter().map(SocketAddr::ip).collect())
}

async fn looked_up(name: String, within: Duration) -> io::Result<Vec<SocketAddr>> {
    let lookup = async move {
        let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
        Ok(found.collect::<Vec<_>>())
    };
    bounded(within, &LOOKUPS, lookup).await
}

/// A look-up within its time. It keeps its permit until it has really ended.
async fn bounded<T: Send + 'static>(
    within: Duration,
    permits: &'static Semaphore,
    lookup: impl Future<Output = io::Result<T>> + Send + 'static,
) -> io::Result<T> {
    let late = |what: &str| {
        let what = format!("{what} within {} ms", within.as_millis());
        io::Error::new(io::ErrorKind::TimedOut, what)
    };
    let deadline = Instant::now() + within;
    let permit = timeout_at(deadline, permits.acquire()).await;
    let Ok(Ok(permit)) = permit else { return Err(late("other look-ups do not end")) };
    let task = tokio::spawn(async move {
        let found = lookup.await;
        drop(permit);
        found
    });
    match timeout_at(deadline, task).await {
        Ok(ended) => ended.map_err(io::Error::other)?,
        Err(_) => Err(late("the resolver does not answer")),
    }
}

//! Asks the daemon over its interface; every fault says in words what to do about it.

use std::{fs, io, time::Duration};

use reqwest::{Method, StatusCode, header};
use serde::{Serialize, de::DeserializeOwned};

use super::{EXIT_DAMAGED, EXIT_LEASE, EXIT_NEWER, EXIT_NO_JOURNAL, EXIT_USAGE, Reach};
use crate::{
    http::{auth::token_file, problem::Problem, views::ServiceView},
    units::Secret,
};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// Nobody listens.
    #[error(
        "no daemon answers at {url} ({why}); is it running? (--url or ROLLBACKD_URL says where)"
    )]
    NotRunning {
        /// Where.
        url: String,
        /// What the connection said.
        why: String,
    },
    /// There is no credential.
    #[error("{0}")]
    NoToken(String),
    /// The daemon said no.
    #[error("{}", .0.detail)]
    Refused(Problem),
    /// What was asked for makes no sense.
    #[error("{0}")]
    Usage(String),
    /// Another daemon holds the state directory.
    #[error("{0}")]
    Lease(String),
    /// The journal is not what was written.
    #[error("{0}")]
    Damaged(String),
    /// There is no journal there.
    #[error("{0}")]
    NoJournal(String),
    /// A newer program wrote the journal.
    #[error("{0}")]
    Newer(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl Fault {
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => EXIT_USAGE,
            Self::Lease(_) => EXIT_LEASE,
            Self::Damaged(_) => EXIT_DAMAGED,
            Self::NoJournal(_) => EXIT_NO_JOURNAL,
            Self::Newer(_) => EXIT_NEWER,
            Self::NotRunning { .. } | Self::NoToken(_) | Self::Refused(_) | Self::Other(_) => 1,
        }
    }
}

/// The daemon, as the command line sees it.
#[derive(Debug)]
pub(super) struct Client {
    url: String,
    token: Secret,
    client: reqwest::Client,
}

impl Client {
    /// A client with this machine's credential, or the one that was given.
    pub(super) fn new(reach: &Reach) -> Result<Self, Fault> {
        Self::patient(reach, Duration::from_secs(40))
    }

    /// The same for what may take longer.
    pub(super) fn patient(reach: &Reach, patience: Duration) -> Result<Self, Fault> {
        let url = reach.url.trim_end_matches('/').to_owned();
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Err(Fault::Usage(format!(
                "`{url}` is not an address; write it like http://127.0.0.1:7676"
            )));
        }
        crate::tls::install();
        let mut builder = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .timeout(patience)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy();
        if let Some(file) = &reach.ca {
            let fault = |why: String| Fault::Usage(format!("{}: {why}", file.display()));
            let pem = fs::read(file).map_err(|why| fault(why.to_string()))?;
            let trusted = reqwest::Certificate::from_pem_bundle(&pem)
                .map_err(|why| fault(why.to_string()))?;
            builder = builder.tls_certs_only(trusted);
        }
        let client = builder.build().map_err(|why| Fault::Other(format!("no client: {why}")))?;
        Ok(Self { url, token: token(reach)?, client })
    }

    /// What stands at `path`.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Fault> {
        let text = self.text(path).await?;
        self.parse(&text)
    }

    /// The same, as it is.
    pub(super) async fn text(&self, path: &str) -> Result<String, Fault> {
        self.send(self.client.request(Method::GET, format!("{}{path}", self.url))).await
    }

    /// Says something.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Fault> {
        let request = self.client.request(Method::POST, format!("{}{path}", self.url)).json(body);
        let text = self.send(request).await?;
        self.parse(&text)
    }

    /// The path of a service, by `name/environment` or by a name that only one environment has.
    pub(super) async fn service(&self, named: &str) -> Result<String, Fault> {
        if named.is_empty() {
            return Err(Fault::Usage(
                "name a service, like checkout or checkout/production".into(),
            ));
        }
        let parts: Vec<String> = named.splitn(2, '/').map(segment).collect();
        if let [name, environment] = parts.as_slice() {
            return Ok(format!("/v1/services/{name}/{environment}"));
        }
        let found: ServiceView = self.get(&format!("/v1/services/{}", parts[0])).await?;
        let (name, environment) = (segment(found.id.name()), segment(found.id.environment()));
        Ok(format!("/v1/services/{name}/{environment}"))
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<String, Fault> {
        let request =
            request.header(header::AUTHORIZATION, format!("Bearer {}", self.token.expose()));
        let response = request.send().await.map_err(|fault| self.unreached(&fault))?;
        let status = response.status();
        let text = response.text().await.map_err(|fault| self.unreached(&fault))?;
        if status.is_success() {
            return Ok(text);
        }
        let Ok(problem) = serde_json::from_str::<Problem>(&text) else {
            return Err(Fault::Other(format!(
                "{} answered with {status}, and not as rollbackd does; is --url right?",
                self.url
            )));
        };
        Err(match status {
            StatusCode::UNAUTHORIZED => Fault::NoToken(format!(
                "the daemon does not know this token; take the one in its state directory, or one of [token.NAME] ({})",
                problem.detail
            )),
            _ => Fault::Refused(problem),
        })
    }

    fn parse<T: DeserializeOwned>(&self, text: &str) -> Result<T, Fault> {
        serde_json::from_str(text).map_err(|fault| {
            Fault::Other(format!(
                "the answer of {} is not understood ({fault}); are daemon and command of one version?",
                self.url
            ))
        })
    }

    fn unreached(&self, fault: &reqwest::Error) -> Fault {
        let mut why = fault.to_string();
        let mut source = std::error::Error::source(fault);
        while let Some(deeper) = source {
            why = deeper.to_string();
            source = deeper.source();
        }
        if fault.is_timeout() && !fault.is_connect() {
            return Fault::Other(format!(
                "{} did not answer in time. What was sent may still take effect: look with `rollbackd status` before sending it again",
                self.url
            ));
        }
        Fault::NotRunning { url: self.url.clone(), why }
    }
}

/// One segment of a path, so that no name can reach another address.
pub(super) fn segment(text: &str) -> String {
    let mut segment = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' => {
                segment.push(char::from(byte));
            }
            b'.' if text != "." && text != ".." => segment.push('.'),
            other => segment.push_str(&format!("%{other:02X}")),
        }
    }
    segment
}

fn token(reach: &Reach) -> Result<Secret, Fault> {
    // Not an argument: arguments are seen by everybody on the machine.
    let given = std::env::var("ROLLBACKD_TOKEN").ok().filter(|token| !token.trim().is_empty());
    if let (Some(token), None) = (given, &reach.token_file) {
        return Ok(Secret::new(token.trim()));
    }
    let path = reach.token_file.clone().unwrap_or_else(|| token_file(&reach.state_dir));
    let named = path.display();
    match fs::read_to_string(&path) {
        Ok(text) if !text.trim().is_empty() => Ok(Secret::new(text.trim())),
        Ok(_) => Err(Fault::NoToken(format!("{named} is empty; it should hold a token"))),
        Err(fault) if fault.kind() == io::ErrorKind::PermissionDenied => {
            Err(Fault::NoToken(format!(
                "{named} may not be read by you: ask as the daemon's user, or give a token of your own with --token-file or ROLLBACKD_TOKEN"
            )))
        }
        Err(fault) => Err(Fault::NoToken(format!(
            "no token: {named}: {fault}. The daemon makes it at its first start; --state-dir, --token-file or ROLLBACKD_TOKEN say where else to look"
        ))),
    }
}

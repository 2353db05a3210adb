//! Asks a service whether it is well.
//!
//! *Down* is only what the service itself said or failed to say. What may be our own fault, such as a name, a
//! certificate or a credential, is *unknown*.

mod expect;

pub use expect::{BodyIs, Statuses};

use std::time::Duration;

use reqwest::{Method, Url};

use super::{exposition, http, reading::Class};

/// What is asked, and what the answer must be.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Where to ask.
    pub url: Url,
    /// How; GET unless told.
    pub method: Method,
    /// The statuses that are well.
    pub status: Statuses,
    /// The statuses by which a proxy says that the service is not there; it has not answered then.
    pub proxy_status: Statuses,
    /// What the body must say, too.
    pub body: Option<BodyIs>,
    /// How to reach it. Its `total` is the probe's timeout.
    pub http: http::Options,
}

impl Options {
    /// A GET that wants a 2xx within five seconds.
    pub fn at(url: Url) -> Self {
        let five = crate::units::Span::seconds(5);
        Self {
            url,
            method: Method::GET,
            status: Statuses::default(),
            proxy_status: Statuses::of_a_proxy(),
            body: None,
            http: http::Options {
                attempt: five,
                total: five,
                body_bytes: 1 << 20,
                ..http::Options::default()
            },
        }
    }
}

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It is well.
    Up,
    /// It is not.
    Down {
        /// What it said, or failed to.
        why: String,
        /// Whether it answered at all: then it is not the network between us.
        answered: bool,
    },
    /// Nobody can tell.
    Unknown {
        /// What kept us from asking.
        why: String,
    },
}

impl Health {
    fn of(class: Class, why: String) -> Self {
        match class {
            Class::Unknown => Self::Unknown { why },
            Class::Down => Self::Down { why, answered: false },
        }
    }
}

/// A probe of one service.
#[derive(Clone, Debug)]
pub struct Probe {
    client: http::Client,
    options: Options,
}

impl Probe {
    /// Asks through the one of these clients that it shares with its like.
    pub fn new(options: Options, clients: &mut http::Clients) -> Result<Self, http::CannotBuild> {
        Ok(Self { client: clients.of(&options.http)?, options })
    }

    /// Its options.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Asks once, and says how long that took.
    pub async fn poll(&self) -> (Health, Duration) {
        let started = tokio::time::Instant::now();
        let health = match self.ask().await {
            Ok(health) => health,
            Err(failure) => Health::of(failure.class(), failure.story()),
        };
        (health, started.elapsed())
    }

    async fn ask(&self) -> Result<Health, http::Failure> {
        let Options { url, method, status: wanted, body, .. } = &self.options;
        let proxy = &self.options.proxy_status;
        let request = self.client.request(method.clone(), url.clone());
        let Some(body) = body else {
            // Nothing of the body is needed, however long it is; of a bad answer its beginning is evidence.
            let mut response = self.client.head(request).await?;
            let status = response.status().as_u16();
            if wanted.contains(status) {
                return Ok(Health::Up);
            }
            let seen = self.client.beginning(&mut response).await;
            return Ok(verdict(wanted, proxy, status, &seen).unwrap_or(Health::Up));
        };
        let answer = self.client.send(request).await?;
        if let Some(other) = verdict(wanted, proxy, answer.status, &answer.body) {
            return Ok(other);
        }
        Ok(match body.fault(&answer.body) {
            None => Health::Up,
            Some(why) => Health::Down { why, answered: true },
        })
    }
}

/// What a status says that is not wanted; `None` for one that is.
fn verdict(wanted: &Statuses, proxy: &Statuses, status: u16, body: &[u8]) -> Option<Health> {
    if wanted.contains(status) {
        return None;
    }
    let seen = exposition::excerpt(body);
    let seen = if seen.is_empty() { seen } else { format!(": `{seen}`") };
    let why = match status {
        300..=399 => format!("answered {status}, a redirect, which is not followed"),
        401 | 403 => format!("answered {status}: the probe's credential is missing or refused"),
        _ if proxy.contains(status) => {
            format!("a proxy answered {status} in its place, expected {wanted}{seen}")
        }
        _ => format!("answered {status}, expected {wanted}{seen}"),
    };
    Some(match http::class_of(status) {
        Class::Unknown => Health::Unknown { why },
        Class::Down => Health::Down { why, answered: !proxy.contains(status) },
    })
}

#[cfg(test)]
mod tests;

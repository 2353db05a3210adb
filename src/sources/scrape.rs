//! Scrapes a target's own metrics, and takes from one body everything that is wanted of it.
//!
//! It keeps nothing between polls: what it hands over is cumulative, as the target exposes it.

mod gather;
mod group;
mod listing;
mod spec;

pub use gather::{extract, picking, wanted};
pub use listing::{ListOptions, Listed, Listing, Origin, url_of};
pub use spec::{GaugeSpec, HistogramSpec, RatioSpec, Revision, Spec};

use std::sync::Arc;

use reqwest::{Method, Url, header};

use super::{
    exposition::{Format, Limits},
    http,
    reading::{Fault, Freshness, Poll},
};
use crate::units::UnixMs;

/// What a target is, and how to ask it.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Where its metrics are.
    pub url: Url,
    /// What its series are called: the pod, or whatever tells one process from another.
    pub series: String,
    /// How to reach it.
    pub http: http::Options,
    /// What its body may cost.
    pub limits: Limits,
    /// Timestamps that the target itself gives, if it does.
    pub freshness: Freshness,
    /// Where it says which version runs.
    pub revision: Option<Revision>,
}

/// Where metrics are, as the configuration says it.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// At a target that is known.
    At(Options),
    /// At those that are listed elsewhere.
    Listed(ListOptions),
}

/// The targets of one service.
#[derive(Clone, Debug)]
pub enum Targets {
    /// Always the same.
    Fixed(Vec<Target>),
    /// Whoever is listed at the moment.
    Listed(Box<Listing>),
}

impl Targets {
    /// What tells them from others.
    pub fn name(&self) -> String {
        match self {
            Self::Fixed(targets) => {
                let names: Vec<&str> = targets.iter().map(Target::name).collect();
                format!("{names:?}")
            }
            Self::Listed(listing) => listing.name(),
        }
    }

    /// Those to ask now.
    pub async fn now(&mut self) -> Listed {
        match self {
            Self::Fixed(targets) => Listed { targets: targets.clone(), ..Listed::default() },
            Self::Listed(listing) => listing.now().await,
        }
    }
}

/// One target.
#[derive(Clone, Debug)]
pub struct Target {
    client: http::Client,
    options: Arc<Options>,
    /// The name to ask for, where the URL has an address in its place.
    host: Option<String>,
}

impl Target {
    /// Asked through the one of these clients that it shares with its like.
    pub fn new(
        mut options: Options,
        clients: &mut http::Clients,
    ) -> Result<Self, http::CannotBuild> {
        options.http.body_bytes = options.limits.body_bytes;
        options.http.takes_turns = true;
        Ok(Self::over(clients.of(&options.http)?, options))
    }

    /// A target that is asked through a client that others share.
    fn over(client: http::Client, options: Options) -> Self {
        Self { client, options: Arc::new(options), host: None }
    }

    /// What its series are called by.
    pub fn name(&self) -> &str {
        &self.options.series
    }

    /// Scrapes once, at `now`, and answers each spec with its own poll, in their order.
    pub async fn poll(&self, specs: &[Spec], now: UnixMs) -> Vec<Poll> {
        let mut request = self.client.request(Method::GET, self.options.url.clone());
        if let Some(host) = &self.host {
            request = request.header(header::HOST, host);
        }
        let answer = match self.client.send(request.header(header::ACCEPT, accept(specs))).await {
            Ok(answer) => answer,
            Err(failure) => {
                return failed(
                    specs,
                    Fault::Failed { class: failure.class(), why: failure.story() },
                );
            }
        };
        if answer.status != 200 {
            let why = format!(
                "{} answered {}: `{}`",
                http::shown(&self.options.url),
                answer.status,
                super::exposition::excerpt(&answer.body)
            );
            return failed(specs, Fault::Failed { class: http::class_of(answer.status), why });
        }
        let format = Format::of(answer.content_type.as_deref());
        let mut polls = extract(&answer.body, format, &self.options, specs, now);
        for poll in &mut polls {
            poll.took = answer.took;
        }
        polls
    }
}

/// OpenMetrics first, for it alone tells a body that was cut from a whole one. Names that are not the usual ones are
/// told as they are only when they are wanted so: otherwise people see, and write, what they are escaped to.
fn accept(specs: &[Spec]) -> &'static str {
    if specs.iter().any(Spec::is_quoted) {
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8,\
         text/plain;version=1.0.0;escaping=allow-utf-8;q=0.5,*/*;q=0.1"
    } else {
        "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
    }
}

fn failed(specs: &[Spec], fault: Fault) -> Vec<Poll> {
    specs.iter().map(|_| Poll::failed(fault.clone())).collect()
}

#[cfg(test)]
mod tests;

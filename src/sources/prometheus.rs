//! Asks Prometheus, or what speaks its API, for the newest values and for history.
//!
//! The time of every query is given, so that two queries of one signal are answered for the same instant. An answer
//! with warnings is partial and yields no readings: half of a fleet must not be taken for all of it.

mod buckets;
mod envelope;
mod labels;
pub mod overlap;
mod past;
mod rows;

pub use buckets::histograms;
pub use envelope::{History, Row, Rows, Track, history, merge, rows, tracks};
pub use labels::Labels;
pub use past::{Still, at_each_time};
pub use rows::{counters, gauges};

use std::sync::Arc;

use reqwest::{Method, Url};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{
    http,
    reading::{Class, Fault, Freshness},
};
use crate::units::{Span, UnixMs};

/// Points per series that are asked for at once; Prometheus refuses more than 11,000.
const POINTS: i64 = 10_000;

/// Where Prometheus is, and what its answers must keep to.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Its address, with the path it lives under if any.
    pub url: Url,
    /// How to reach it.
    pub http: http::Options,
    /// How long it may work on a query.
    pub timeout: Span,
    /// How old and how far ahead its samples may be.
    pub freshness: Freshness,
    /// Rows of one answer.
    pub rows: usize,
    /// How far back it is asked at the start about what was missed; not at all where there is none.
    pub backfill: Option<Span>,
}

impl Options {
    /// The defaults for a server at this address.
    pub fn at(url: Url) -> Self {
        Self {
            url,
            http: http::Options { body_bytes: 16 << 20, ..http::Options::default() },
            timeout: Span::seconds(10),
            freshness: Freshness::default(),
            rows: 50_000,
            backfill: Some(Span::hours(1)),
        }
    }
}

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The options cannot be used.
    #[error("the address `{0}` cannot be a Prometheus")]
    Address(String),
    /// Prometheus was not reached.
    #[error("prometheus did not answer")]
    Transport(#[source] http::Failure),
    /// Prometheus refused the query, in its own words.
    #[error("prometheus says ({kind}, status {status}): {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// `errorType`: bad_data, timeout, execution, ...
        kind: String,
        /// `error`, as it is.
        message: String,
    },
    /// Somebody else answered: a proxy, a login page.
    #[error("status {status} is no answer of Prometheus: `{seen}`")]
    NotPrometheus {
        /// The HTTP status.
        status: u16,
        /// The beginning of what was answered.
        seen: String,
    },
    /// The JSON ends in the middle.
    #[error("the answer is cut off")]
    Cut,
    /// The query yields something else than was asked for.
    #[error("the query yields a {got}, and a {expected} is needed{hint}")]
    Shape {
        /// The result type.
        got: &'static str,
        /// The needed one.
        expected: &'static str,
        /// What to do about it.
        hint: &'static str,
    },
    /// More rows than allowed.
    #[error("the answer has {rows} rows, and {limit} are allowed")]
    TooMany {
        /// How many.
        rows: usize,
        /// The limit.
        limit: usize,
    },
}

impl QueryError {
    /// Whether this says something about Prometheus, or only about us and the query. It never says anything about the
    /// service.
    pub fn class(&self) -> Class {
        match self {
            Self::Transport(failure) => failure.class(),
            Self::NotPrometheus { status, .. } | Self::Refused { status, .. } if *status >= 500 => {
                Class::Down
            }
            Self::Address(_)
            | Self::Refused { .. }
            | Self::NotPrometheus { .. }
            | Self::Cut
            | Self::Shape { .. }
            | Self::TooMany { .. } => Class::Unknown,
        }
    }

    /// As a poll's fault.
    pub fn fault(&self) -> Fault {
        let mut why = self.to_string();
        if let Self::Transport(failure) = self {
            why = format!("{why}: {}", failure.story());
        }
        Fault::Failed { class: self.class(), why }
    }
}

/// One Prometheus.
#[derive(Clone, Debug)]
pub struct Prometheus {
    client: http::Client,
    options: Options,
    turn: Arc<Semaphore>,
}

impl Prometheus {
    /// Builds the client.
    pub fn new(options: Options) -> Result<Self, http::CannotBuild> {
        let client = http::Client::new(options.http.clone())?;
        Ok(Self { client, options, turn: Arc::new(Semaphore::new(1)) })
    }

    /// Its options.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Waits for the turn to ask about the past: that costs more than a poll, so that one asks at a time.
    pub async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.turn.acquire().await.ok()
    }

    /// The rows of a query at a time.
    pub async fn instant(&self, query: &str, at: UnixMs) -> Result<Rows, QueryError> {
        let time = seconds(at);
        let answer = self.post("query", &[("query", query), ("time", &time)]).await?;
        let mut rows = rows(answer.status, &answer.body)?;
        if rows.rows.len() > self.options.rows {
            let (rows, limit) = (rows.rows.len(), self.options.rows);
            return Err(QueryError::TooMany { rows, limit });
        }
        rows.drop_untimely(self.options.freshness, at);
        rows.took = answer.took;
        Ok(rows)
    }

    /// The history of a query, in as many pieces as Prometheus needs; of equal labels one track.
    pub async fn range(
        &self,
        query: &str,
        from: UnixMs,
        to: UnixMs,
        step: Span,
    ) -> Result<Vec<Track>, QueryError> {
        let step = Span(step.ms().max(1));
        let mut all: Vec<Track> = Vec::new();
        let mut start = from;
        while start <= to {
            let end = (start + step * (POINTS - 1)).min(to);
            let answer = self.piece(query, start, end, step).await?;
            merge(&mut all, tracks(answer.status, &answer.body)?);
            start = end + step;
        }
        Ok(all)
    }

    /// The answer to one question about the past, as it was sent: of fewer times than Prometheus allows.
    pub async fn piece(
        &self,
        query: &str,
        from: UnixMs,
        to: UnixMs,
        step: Span,
    ) -> Result<http::Answer, QueryError> {
        let (start, end, step) = (seconds(from), seconds(to), step.as_seconds().to_string());
        let form = [("query", query), ("start", &start), ("end", &end), ("step", &step)];
        self.post("query_range", &form).await
    }

    /// Asks Prometheus itself whether it understands a query; its own words are in the error.
    pub async fn check_online(&self, query: &str, now: UnixMs) -> Result<Rows, QueryError> {
        self.instant(query, now).await
    }

    async fn post(&self, what: &str, form: &[(&str, &str)]) -> Result<http::Answer, QueryError> {
        let mut url = self.options.url.clone();
        url.path_segments_mut()
            .map_err(|()| QueryError::Address(http::shown(&self.options.url)))?
            .pop_if_empty()
            .extend(["api", "v1", what]);
        let timeout = format!("{}ms", self.options.timeout.ms());
        let form: Vec<(&str, &str)> =
            form.iter().copied().chain([("timeout", timeout.as_str())]).collect();
        let request = self.client.request(Method::POST, url).form(&form);
        self.client.send(request).await.map_err(QueryError::Transport)
    }
}

/// Exact to the millisecond: a float would not be.
fn seconds(at: UnixMs) -> String {
    let (whole, rest) = (at.0.div_euclid(1000), at.0.rem_euclid(1000));
    format!("{whole}.{rest:03}")
}

#[cfg(test)]
mod tests;

//! What a Prometheus is asked for a signal, and how its answer is read: alike now and for what was.

use std::collections::BTreeMap;

use crate::{
    sources::{
        prometheus::{self, Prometheus, QueryError, Rows},
        reading::{Fault, Fold, Poll},
    },
    units::UnixMs,
};

/// What is asked of a Prometheus.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Query {
    /// Counters of bad requests and of all.
    Counters {
        /// Bad ones.
        bad: String,
        /// All.
        total: String,
        /// The label that tells the version of a row.
        version: Option<String>,
    },
    /// Cumulative buckets, told apart by `le`.
    Buckets(String),
    /// A value, how many requests it stands on, and how several of them become one.
    Gauge(String, Option<String>, Fold),
}

impl Query {
    /// What is sent, one after the other.
    pub(super) fn texts(&self) -> Vec<&str> {
        match self {
            Self::Counters { bad, total, .. } => vec![bad, total],
            Self::Buckets(text) => vec![text],
            Self::Gauge(value, requests, _) => {
                [Some(value), requests.as_ref()].into_iter().flatten().map(String::as_str).collect()
            }
        }
    }

    /// How several values become one.
    pub(super) fn fold(&self) -> Fold {
        match self {
            Self::Gauge(_, _, fold) => *fold,
            Self::Counters { .. } | Self::Buckets(_) => Fold::default(),
        }
    }

    /// Each service's poll of the answers to the texts.
    pub(super) fn polls(&self, answers: &[Rows], label: Option<&str>) -> BTreeMap<String, Poll> {
        match (self, answers) {
            (Self::Counters { version, .. }, [bad, total]) => {
                prometheus::counters(bad, total, label, version.as_deref())
            }
            (Self::Buckets(_), [rows]) => prometheus::histograms(rows, label),
            (Self::Gauge(..), [rows, requests @ ..]) => {
                prometheus::gauges(rows, requests.first(), label)
            }
            (Self::Counters { .. } | Self::Buckets(_) | Self::Gauge(..), _) => BTreeMap::new(),
        }
    }

    /// Asks for what is so at a time; all of it at once.
    pub(super) async fn ask(
        &self,
        server: &Prometheus,
        label: Option<&str>,
        at: UnixMs,
    ) -> Result<BTreeMap<String, Poll>, Fault> {
        let answers = match self.texts()[..] {
            [one, other] => tokio::try_join!(server.instant(one, at), server.instant(other, at))
                .map(|(one, other)| vec![one, other]),
            [one, ..] => server.instant(one, at).await.map(|rows| vec![rows]),
            [] => Ok(vec![]),
        };
        Ok(self.polls(&answers.map_err(|error: QueryError| error.fault())?, label))
    }
}

//! Reads every signal again and again, with jitter, bounded concurrency, and faster while a change is watched.
//!
//! What one answer serves is asked for once: one scrape of a target for all its signals, one query for all the
//! services that its label tells apart.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
    time::Instant,
};

use super::{clock, reading};
use crate::{
    domain::{
        event::{Event, What},
        service::ServiceId,
        watch::Raw,
    },
    handle::Handle,
    sources::{health::Probe, prometheus, reading::Poll, scrape},
    telemetry,
    units::Span,
};

/// A signal of a service, and what of a shared answer is meant for it.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// Whose.
    pub service: ServiceId,
    /// Which signal.
    pub signal: String,
    /// What is counted of its polls.
    pub polls: telemetry::Polls,
}

/// What is asked of a Prometheus.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Query {
    /// Counters of bad requests and of all.
    Counters {
        /// Bad ones.
        bad: String,
        /// All.
        total: String,
    },
    /// Cumulative buckets, told apart by `le`.
    Buckets(String),
    /// A value, and how many requests it stands on.
    Gauge(String, Option<String>),
}

/// One thing that is read at once.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a few hundred bytes, one for each thing that is polled"
)]
pub(super) enum Source {
    /// A service's own metrics: its targets' readings are series of the same signals.
    Scrape {
        /// Where.
        targets: Vec<scrape::Target>,
        /// Each signal with what it wants of the body.
        wants: Vec<(Wanted, scrape::Spec)>,
    },
    /// A query.
    Query {
        /// Where.
        server: Arc<prometheus::Prometheus>,
        /// What.
        query: Query,
        /// The label that tells services apart.
        label: Option<String>,
        /// Each signal with its value of the label.
        wants: Vec<(Wanted, String)>,
    },
    /// A probe.
    Health {
        /// The probe.
        probe: Probe,
        /// The signal.
        wanted: Wanted,
    },
}

/// A source with its pace.
#[derive(Clone, Debug)]
pub(super) struct Paced {
    /// What is read.
    pub source: Source,
    /// How often.
    pub every: Span,
    /// How often while one of its services is watched.
    pub every_watched: Span,
}

impl Source {
    fn services(&self) -> Vec<&ServiceId> {
        match self {
            Self::Scrape { wants, .. } => wants.iter().map(|(w, _)| &w.service).collect(),
            Self::Query { wants, .. } => wants.iter().map(|(w, _)| &w.service).collect(),
            Self::Health { wanted, .. } => vec![&wanted.service],
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Scrape { .. } => "scrape",
            Self::Query { .. } => "prometheus",
            Self::Health { .. } => "health",
        }
    }
}

/// Polls one source until the event loop has gone. `seed` spreads the sources over the interval.
pub(super) async fn poll(
    paced: Paced,
    seed: u64,
    handle: Handle,
    mut watched: watch::Receiver<BTreeSet<ServiceId>>,
    permits: Arc<Semaphore>,
) {
    let mut next = Instant::now() + jitter(paced.every, seed);
    loop {
        let mut fast = is_watched(&paced.source, &watched);
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(next) => break,
                changed = watched.changed() => {
                    if changed.is_err() { return }
                    let now_fast = is_watched(&paced.source, &watched);
                    if now_fast && !fast {
                        next = next.min(Instant::now() + jitter(paced.every_watched, seed));
                    }
                    fast = now_fast;
                }
            }
        }
        let begun = Instant::now();
        let Ok(permit) = permits.acquire().await else { return };
        let events = read(&paced.source).await;
        drop(permit);
        for event in events {
            if handle.report(event).await.is_err() {
                return;
            }
        }
        let every = if fast { paced.every_watched } else { paced.every };
        // A slow answer delays the next poll and is never made up for: samples carry their own times.
        next = (begun + every.duration()).max(Instant::now() + Duration::from_millis(10));
    }
}

fn is_watched(source: &Source, watched: &watch::Receiver<BTreeSet<ServiceId>>) -> bool {
    let watched = watched.borrow();
    source.services().into_iter().any(|id| watched.contains(id))
}

/// Spreads starts over the interval without randomness: the golden ratio's multiples lie evenly.
fn jitter(every: Span, seed: u64) -> Duration {
    let share = (seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 11) as f64 / (1_u64 << 53) as f64;
    every.duration().mul_f64(share)
}

async fn read(source: &Source) -> Vec<Event> {
    match source {
        Source::Scrape { targets, wants } => {
            let specs: Vec<scrape::Spec> = wants.iter().map(|(_, spec)| spec.clone()).collect();
            let together = scrape_all(targets, specs).await;
            let both = wants.iter().zip(together);
            both.map(|((wanted, _), poll)| event(wanted, poll, source.kind())).collect()
        }
        Source::Query { server, query, label, wants } => {
            let mut polls = ask(server, query, label.as_deref()).await;
            let mut events = vec![];
            for (wanted, value) in wants {
                let poll = match &mut polls {
                    Ok(polls) => polls.remove(value).unwrap_or_else(|| reading::absent(value)),
                    Err(fault) => Poll::failed(fault.clone()),
                };
                events.push(event(wanted, poll, source.kind()));
            }
            events
        }
        Source::Health { probe, wanted } => {
            let (health, took) = probe.poll().await;
            let (raw, fault, how) = reading::health(health, clock::wall());
            wanted.polls.ended(&wanted.service, &wanted.signal, how, source.kind(), took);
            vec![told(wanted, vec![raw], fault)]
        }
    }
}

/// All targets at the same time, joined in their order: one that hangs keeps no other waiting.
async fn scrape_all(targets: &[scrape::Target], specs: Vec<scrape::Spec>) -> Vec<Poll> {
    let specs: Arc<[scrape::Spec]> = specs.into();
    let mut asked = JoinSet::new();
    for (place, target) in targets.iter().cloned().enumerate() {
        let specs = Arc::clone(&specs);
        asked.spawn(async move { (place, target.poll(&specs, clock::wall()).await) });
    }
    let mut answers = asked.join_all().await;
    answers.sort_unstable_by_key(|(place, _)| *place);
    answers.into_iter().fold(vec![], |together, (_, polls)| reading::joined(together, polls))
}

async fn ask(
    server: &prometheus::Prometheus,
    query: &Query,
    label: Option<&str>,
) -> Result<BTreeMap<String, Poll>, crate::sources::reading::Fault> {
    let at = clock::wall();
    let failed = |error: prometheus::QueryError| error.fault();
    match query {
        Query::Counters { bad, total } => {
            let (bad, total) = tokio::try_join!(server.instant(bad, at), server.instant(total, at))
                .map_err(failed)?;
            Ok(prometheus::counters(&bad, &total, label))
        }
        Query::Buckets(text) => {
            let rows = server.instant(text, at).await.map_err(failed)?;
            Ok(prometheus::histograms(&rows, label))
        }
        Query::Gauge(text, requests) => {
            let rows = server.instant(text, at).await.map_err(failed)?;
            let n = match requests {
                Some(requests) => Some(server.instant(requests, at).await.map_err(failed)?),
                None => None,
            };
            Ok(prometheus::gauges(&rows, n.as_ref(), label))
        }
    }
}

fn event(wanted: &Wanted, poll: Poll, kind: &'static str) -> Event {
    let how = reading::result(&poll);
    wanted.polls.ended(&wanted.service, &wanted.signal, how, kind, poll.took);
    for fault in &poll.faults {
        tracing::debug!(service = %wanted.service, signal = wanted.signal, "{fault}");
    }
    let (raw, fault) = reading::raw(poll, clock::wall());
    told(wanted, raw, fault)
}

fn told(wanted: &Wanted, readings: Vec<Raw>, fault: Option<String>) -> Event {
    let at = clock::wall();
    let what = What::Polled {
        service: wanted.service.clone(),
        signal: wanted.signal.clone(),
        readings,
        fault,
    };
    Event { id: format!("poll:{}:{}:{}", wanted.service, wanted.signal, at.0), what }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_spread_over_the_interval() {
        let mut starts: Vec<u128> =
            (0..100).map(|seed| jitter(Span::seconds(15), seed).as_millis()).collect();
        starts.sort_unstable();
        let widest = starts.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        assert!(widest < 500, "{widest} ms without a start");
    }
}

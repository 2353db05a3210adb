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
    time::Instant,
};

use super::{
    backfill::{self, Owed},
    clock,
    query::Query,
    reading, scraping,
};
use crate::{
    domain::{
        event::{Event, What},
        service::ServiceId,
        watch::Raw,
    },
    handle::Handle,
    sources::{
        cloudwatch,
        health::Probe,
        kubernetes::{Asking, Key, Watched},
        prometheus,
        reading::{Fault, Fold, Poll, TimeUnit},
        scrape,
    },
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
    /// What its source measures time in.
    pub unit: TimeUnit,
    /// What is counted of its polls.
    pub polls: telemetry::Polls,
}

/// One thing that is read at once.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// A service's own metrics: its targets' readings are series of the same signals.
    Scrape {
        /// Where.
        targets: scrape::Targets,
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
    /// A Deployment.
    Kubernetes {
        /// Where it is known.
        watched: Watched,
        /// Which.
        key: Key,
        /// The signal.
        wanted: Wanted,
    },
    /// What no watch tells of a Deployment.
    Asked {
        /// Who asks.
        asking: Asking,
        /// The signal.
        wanted: Wanted,
    },
    /// Signals of one account of AWS, of one pace.
    CloudWatch {
        /// Who asks, with what was counted so far.
        reader: Box<cloudwatch::Reader>,
        /// The signals, in the order of the reader's.
        wants: Vec<Wanted>,
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
            Self::Health { wanted, .. }
            | Self::Kubernetes { wanted, .. }
            | Self::Asked { wanted, .. } => vec![&wanted.service],
            Self::CloudWatch { wants, .. } => wants.iter().map(|w| &w.service).collect(),
        }
    }

    /// What tells it from every other source of the same file.
    pub(super) fn identity(&self) -> (&'static str, String) {
        let what = match self {
            Self::Scrape { targets, wants } => {
                format!("{} {wants:?}", targets.name())
            }
            Self::Query { server, query, label, wants } => {
                format!("{} {query:?} {label:?} {wants:?}", server.options().url)
            }
            Self::Health { probe, wanted } => format!("{:?} {wanted:?}", probe.options()),
            Self::Kubernetes { watched, key, wanted } => {
                format!("{:?} {key} {wanted:?}", watched.options())
            }
            Self::Asked { asking, wanted } => {
                let Asking { watched, key, question, .. } = asking;
                format!("{:?} {key} {question:?} {wanted:?}", watched.options())
            }
            Self::CloudWatch { reader, wants } => format!("{:?} {wants:?}", reader.asks()),
        };
        (self.kind(), what)
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Scrape { .. } => "scrape",
            Self::Query { .. } => "prometheus",
            Self::Health { .. } => "health",
            Self::Kubernetes { .. } => "kubernetes",
            Self::Asked { .. } => "kubernetes_asked",
            Self::CloudWatch { .. } => "cloudwatch",
        }
    }
}

/// When a source is read: `seed` spreads the sources over the interval, from a moment that stays the same, so that one
/// that is begun again goes on in its beat.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beat {
    /// The moment.
    pub since: Instant,
    /// The source's number.
    pub seed: u64,
}

impl Beat {
    fn first(self, every: Span, now: Instant) -> Instant {
        let every_ms = u64::try_from(every.ms().max(1)).unwrap_or(1);
        let due = self.since + jitter(every, self.seed);
        let late_ms = u64::try_from(now.saturating_duration_since(due).as_millis()).unwrap_or(0);
        due + Duration::from_millis(late_ms.div_ceil(every_ms) * every_ms)
    }
}

/// Polls one source until the event loop has gone.
pub(super) async fn poll(
    mut paced: Paced,
    beat: Beat,
    handle: Handle,
    mut watched: watch::Receiver<BTreeSet<ServiceId>>,
    permits: Arc<Semaphore>,
    owed: Owed,
) {
    if backfill::fill(&paced, &owed, &handle, &permits).await.is_err() {
        return;
    }
    let mut next = beat.first(paced.every, Instant::now());
    let mut warned = Warned::default();
    loop {
        let mut fast = is_watched(&paced.source, &watched);
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(next) => break,
                changed = watched.changed() => {
                    if changed.is_err() { return }
                    let now_fast = is_watched(&paced.source, &watched);
                    if now_fast && !fast {
                        next = next.min(Instant::now() + jitter(paced.every_watched, beat.seed));
                    }
                    fast = now_fast;
                }
            }
        }
        let begun = Instant::now();
        // A scrape takes one for each of its targets, and none for itself: it would wait for its own.
        let alone = match &paced.source {
            Source::Scrape { .. } | Source::Kubernetes { .. } => None,
            Source::Query { .. }
            | Source::Health { .. }
            | Source::Asked { .. }
            | Source::CloudWatch { .. } => permits.acquire().await.ok(),
        };
        let events = read(&mut paced.source, &mut warned, &permits).await;
        drop(alone);
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

/// What was warned of last, so that it is said once and not at each poll.
type Warned = BTreeMap<(ServiceId, String), BTreeSet<&'static str>>;

async fn read(source: &mut Source, warned: &mut Warned, permits: &Arc<Semaphore>) -> Vec<Event> {
    let kind = source.kind();
    match source {
        Source::Scrape { targets, wants } => {
            let specs: Vec<scrape::Spec> = wants.iter().map(|(_, spec)| spec.clone()).collect();
            let together = scraping::scrape(targets, specs, permits).await;
            let both = wants.iter().zip(together);
            both.map(|((wanted, spec), poll)| event(wanted, poll, spec.fold(), kind, warned))
                .collect()
        }
        Source::Query { server, query, label, wants } => {
            let polls = query.ask(server, label.as_deref(), clock::wall()).await;
            let fold = query.fold();
            let each = wants.iter().zip(shares(&polls, wants));
            each.map(|((wanted, _), poll)| event(wanted, poll, fold, kind, warned)).collect()
        }
        Source::Health { probe, wanted } => {
            let (health, took) = probe.poll().await;
            let (raw, fault, how) = reading::health(health, clock::wall());
            wanted.polls.ended(&wanted.service, &wanted.signal, how, kind, took);
            vec![told(wanted, vec![raw], fault)]
        }
        Source::Kubernetes { watched, key, wanted } => {
            let at = clock::wall();
            let (raw, fault, how) = reading::standing(watched.standing(key, at), at);
            wanted.polls.ended(&wanted.service, &wanted.signal, how, kind, Duration::ZERO);
            vec![told(wanted, vec![raw], fault)]
        }
        Source::Asked { asking, wanted } => {
            let begun = Instant::now();
            let answer = asking.poll().await;
            let (raw, note, how) = reading::answer(answer, clock::wall());
            wanted.polls.ended(&wanted.service, &wanted.signal, how, kind, begun.elapsed());
            vec![told(wanted, vec![raw], note)]
        }
        Source::CloudWatch { reader, wants } => {
            // Where no period has ended since there is nothing to tell, and nothing is missing.
            let polls = reader.poll(clock::wall()).await.unwrap_or_default();
            let each = wants.iter().zip(polls);
            each.map(|(wanted, poll)| event(wanted, poll, Fold::default(), kind, warned)).collect()
        }
    }
}

/// Of one answer what each signal wants; two may want the same.
fn shares(answer: &Result<BTreeMap<String, Poll>, Fault>, wants: &[(Wanted, String)]) -> Vec<Poll> {
    let share = |(_, value): &(Wanted, String)| match answer {
        Ok(polls) => polls.get(value).cloned().unwrap_or_else(|| reading::absent(value)),
        Err(fault) => Poll::failed(fault.clone()),
    };
    wants.iter().map(share).collect()
}

fn event(
    wanted: &Wanted,
    poll: Poll,
    fold: Fold,
    kind: &'static str,
    warned: &mut Warned,
) -> Event {
    let how = reading::result(&poll);
    wanted.polls.ended(&wanted.service, &wanted.signal, how, kind, poll.took);
    telemetry::faults(poll.faults.iter().map(Fault::reason));
    let reasons: BTreeSet<&'static str> = poll.faults.iter().map(Fault::reason).collect();
    let (raw, fault) = reading::raw(poll.in_seconds(wanted.unit), fold, clock::wall());
    let before = warned.entry((wanted.service.clone(), wanted.signal.clone())).or_default();
    if *before != reasons {
        let (service, signal) = (&wanted.service, &wanted.signal);
        match &fault {
            Some(fault) if !reasons.is_empty() => {
                tracing::warn!(%service, signal, "{signal} of {service}: {fault}");
            }
            _ => tracing::info!(%service, signal, "{signal} of {service} is read whole again"),
        }
        *before = reasons;
    }
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
    use crate::sources::http::fake::Fake;

    /// The second of them was told that the service is absent.
    #[test]
    fn two_signals_may_want_the_same_rows() {
        let wanted = |signal: &str| Wanted {
            service: ServiceId::new("shop", "production").unwrap(),
            signal: signal.to_owned(),
            unit: TimeUnit::default(),
            polls: telemetry::Polls::default(),
        };
        let wants = [(wanted("one"), "shop".to_owned()), (wanted("other"), "shop".to_owned())];
        let answer = Ok([("shop".to_owned(), Poll::default())].into());
        assert_eq!(shares(&answer, &wants), [Poll::default(), Poll::default()]);
    }

    #[test]
    fn a_source_that_is_begun_again_goes_on_in_its_beat() {
        let (every, since) = (Span::seconds(15), Instant::now());
        let beat = Beat { since, seed: 7 };
        let first = beat.first(every, since);
        assert!(first < since + Duration::from_secs(15));
        for late in [1, 14_999, 15_000, 100_000] {
            let now = since + Duration::from_millis(late);
            let again = beat.first(every, now);
            assert!(again >= now && again < now + Duration::from_secs(15), "{late}");
            assert_eq!(again.duration_since(first).as_millis() % 15_000, 0, "{late}");
        }
    }

    #[test]
    fn sources_are_spread_over_the_interval() {
        let mut starts: Vec<u128> =
            (0..100).map(|seed| jitter(Span::seconds(15), seed).as_millis()).collect();
        starts.sort_unstable();
        let widest = starts.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        assert!(widest < 500, "{widest} ms without a start");
    }

    #[tokio::test]
    async fn what_is_measured_in_milliseconds_reaches_the_domain_in_seconds() {
        let at = clock::wall().as_seconds();
        let row = format!(r#"{{"metric":{{}},"value":[{at},"1500"]}}"#);
        let data = format!(r#"{{"resultType":"vector","result":[{row}]}}"#);
        let answer = format!(r#"{{"status":"success","data":{data}}}"#);
        let fake = Fake::answers(200, "", answer).await;
        let options = prometheus::Options::at(fake.url.clone());
        let server = Arc::new(prometheus::Prometheus::new(options).unwrap());
        let service = ServiceId::new("shop", "production").unwrap();
        let (unit, polls) = (TimeUnit::Milliseconds, telemetry::Polls::default());
        let wanted = Wanted { service, signal: "latency".into(), unit, polls };
        let query = Query::Gauge("p95".into(), None, Fold::default());
        let mut source =
            Source::Query { server, query, label: None, wants: vec![(wanted, String::new())] };
        let What::Polled { readings, .. } =
            read(&mut source, &mut Warned::new(), &Arc::new(Semaphore::new(1)))
                .await
                .remove(0)
                .what
        else {
            panic!("a poll was read");
        };
        let [Raw::Gauge { value, .. }] = readings[..] else { panic!("{readings:?}") };
        assert!((value - 1.5).abs() < f64::EPSILON, "{value}");
    }
}

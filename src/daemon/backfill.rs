//! What was missed before the daemon's start is asked of a Prometheus, once, before a signal is polled for the first time.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::Semaphore;

use super::{
    clock,
    poller::{Paced, Source, Wanted},
    query::Query,
    reading,
};
use crate::{
    domain::{
        event::{Event, What},
        service::ServiceId,
        watch::Raw,
    },
    handle::{Handle, Unanswered},
    sources::{
        prometheus::{Prometheus, Still, at_each_time},
        reading::Fault,
    },
    units::{Span, UnixMs},
};

/// By then polling begins, whatever is missing: what is now matters more than what was.
const WITHIN: Duration = Duration::from_secs(30);
/// Values that one answer may have, about.
const VALUES_AT_ONCE: usize = 100_000;
/// Values of one service at one time, about: each pod's, or each bucket of some pods.
const VALUES_EACH: usize = 16;
/// Times that one event may tell of.
const TIMES_AT_ONCE: usize = 500;
/// An answer in which nothing moves for longer than this is not known to be one: Prometheus itself may not have scraped.
const STANDS_STILL: Span = Span::minutes(1);

/// Signals that have not been asked about what was missed. Only what is read when the daemon starts is owed it: a reload
/// misses nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Owed(Arc<Mutex<BTreeSet<(ServiceId, String)>>>);

impl Owed {
    /// All that queries are for.
    pub(super) fn to(sources: &[Paced]) -> Self {
        let wants = sources.iter().flat_map(|paced| match &paced.source {
            Source::Query { wants, .. } => wants.as_slice(),
            Source::Scrape { .. }
            | Source::Health { .. }
            | Source::Kubernetes { .. }
            | Source::Asked { .. }
            | Source::CloudWatch { .. } => &[],
        });
        Self(Arc::new(Mutex::new(wants.map(|(wanted, _)| key(wanted)).collect())))
    }

    fn among<'a>(&self, wants: &'a [(Wanted, String)]) -> Vec<&'a (Wanted, String)> {
        let owed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if owed.is_empty() {
            return vec![];
        }
        wants.iter().filter(|(wanted, _)| owed.contains(&key(wanted))).collect()
    }

    fn settle(&self, wants: &[(Wanted, String)]) {
        let mut owed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        wants.iter().for_each(|(wanted, _)| _ = owed.remove(&key(wanted)));
    }
}

fn key(wanted: &Wanted) -> (ServiceId, String) {
    (wanted.service.clone(), wanted.signal.clone())
}

/// What one signal missed.
struct Gap<'a> {
    wanted: &'a Wanted,
    /// Its value of the label.
    value: &'a str,
    /// Up to when it knows, or as far back as is asked for.
    from: UnixMs,
}

/// Fills in what a source's signals missed, as far as its server remembers. Where it cannot be asked, that is said once.
pub(super) async fn fill(
    paced: &Paced,
    owed: &Owed,
    handle: &Handle,
    permits: &Semaphore,
) -> Result<(), Unanswered> {
    let Source::Query { server, query, label, wants } = &paced.source else { return Ok(()) };
    let Some(most) = server.options().backfill else { return Ok(()) };
    let mine = owed.among(wants);
    if mine.is_empty() {
        return Ok(());
    }
    let keys: Vec<_> = mine.iter().map(|(wanted, _)| key(wanted)).collect();
    let known = handle.look(move |fleet, _| {
        let known = |(id, signal): &(ServiceId, String)| fleet.watches.get(id)?.known_until(signal);
        keys.iter().map(known).collect::<Vec<_>>()
    });
    let known = known.await?;
    let now = clock::wall();
    let gaps: Vec<Gap<'_>> = mine
        .into_iter()
        .zip(known)
        .map(|((wanted, value), known)| {
            let oldest = now - most;
            Gap { wanted, value, from: known.map_or(oldest, |at| at.max(oldest)) }
        })
        .filter(|gap| now.since(gap.from) > paced.every)
        .collect();
    let asking = Asking { server, query, label: label.as_deref(), every: paced.every, until: now };
    let filled = tokio::time::timeout(WITHIN, asking.fill(&gaps, handle, permits)).await;
    owed.settle(wants);
    let why = match filled {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(Stopped::Daemon(stopping))) => return Err(stopping),
        Ok(Err(Stopped::Source(fault))) => fault.to_string(),
        Err(_) => format!("it took longer than {}", Span::seconds(WITHIN.as_secs() as i64)),
    };
    if let Some(Gap { wanted: Wanted { service, signal, .. }, from, .. }) = gaps.first() {
        let others = gaps.len() - 1;
        let from = from.clock();
        tracing::warn!(
            %service, signal, others,
            "what {signal} of {service} was since {from} UTC could not be read, it stays unknown: {why}"
        );
    }
    Ok(())
}

enum Stopped {
    Daemon(Unanswered),
    Source(Fault),
}

struct Asking<'a> {
    server: &'a Prometheus,
    query: &'a Query,
    label: Option<&'a str>,
    every: Span,
    until: UnixMs,
}

impl Asking<'_> {
    async fn fill(
        &self,
        gaps: &[Gap<'_>],
        handle: &Handle,
        permits: &Semaphore,
    ) -> Result<(), Stopped> {
        let Some(from) = gaps.iter().map(|gap| gap.from).min() else { return Ok(()) };
        let at_once = (VALUES_AT_ONCE / VALUES_EACH / gaps.len()).clamp(1, TIMES_AT_ONCE);
        let piece = self.every * i64::try_from(at_once - 1).unwrap_or_default();
        let mut still = Still::default();
        let mut start = from + self.every;
        while start <= self.until {
            let end = (start + piece).min(self.until);
            for event in self.piece(gaps, (start, end), &mut still, permits).await? {
                handle.report(event).await.map_err(Stopped::Daemon)?;
            }
            start = end + self.every;
        }
        Ok(())
    }

    async fn piece(
        &self,
        gaps: &[Gap<'_>],
        (start, end): (UnixMs, UnixMs),
        still: &mut Still,
        permits: &Semaphore,
    ) -> Result<Vec<Event>, Stopped> {
        let turn = self.server.turn().await;
        let permit = permits.acquire().await;
        let mut answers = vec![];
        for text in self.query.texts() {
            let tracks = self.server.range(text, start, end, self.every).await;
            answers.push(tracks.map_err(|error| Stopped::Source(error.fault()))?);
        }
        drop((turn, permit));
        let mut told: Vec<Vec<(UnixMs, Vec<Raw>)>> = vec![vec![]; gaps.len()];
        for (at, answer) in at_each_time(answers) {
            if still.lasts(at, &answer, STANDS_STILL.max(self.every)) {
                continue;
            }
            let polls = self.query.polls(&answer, self.label);
            for (gap, told) in gaps.iter().zip(&mut told).filter(|(gap, _)| at > gap.from) {
                let Some(poll) = polls.get(gap.value) else { continue };
                let poll = poll.clone().in_seconds(gap.wanted.unit);
                let (readings, _) = reading::raw(poll, self.query.fold(), at);
                // What is not told is unknown already.
                if !matches!(readings[..], [Raw::Unknown { .. }]) {
                    told.push((at, readings));
                }
            }
        }
        let events = gaps.iter().zip(told).filter(|(_, polls)| !polls.is_empty());
        Ok(events.map(|(gap, polls)| event(gap.wanted, polls)).collect())
    }
}

fn event(wanted: &Wanted, polls: Vec<(UnixMs, Vec<Raw>)>) -> Event {
    let (service, signal) = key(wanted);
    let id = format!("backfill:{service}:{signal}:{}", polls.last().map_or(0, |(at, _)| at.0));
    Event { id, what: What::Backfilled { service, signal, polls } }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::{
        domain::{event::Now, examples, fleet::Fleet, service::Mode},
        handle::Ask,
        sources::{http::fake::Fake, prometheus, reading::TimeUnit},
        telemetry,
    };

    /// A service whose error rate was last read so long ago, and a Prometheus with this for it.
    struct Rig {
        paced: Paced,
        owed: Owed,
        fleet: Fleet,
        fake: Fake,
    }

    impl Rig {
        async fn new(known: Option<UnixMs>, status: u16, values: &str) -> Self {
            let series = format!(r#"{{"metric":{{}},"values":{values}}}"#);
            let data = format!(r#"{{"resultType":"matrix","result":[{series}]}}"#);
            let body = format!(r#"{{"status":"success","data":{data}}}"#);
            let fake = Fake::answers(status, "", body).await;
            let options = prometheus::Options::at(fake.url.clone());
            let policy = examples::service("shop/production", Mode::Auto);
            let service = policy.id.clone();
            let mut fleet = Fleet::new(examples::policy([policy]), 1);
            let signal = "error_rate".to_owned();
            if let Some(at) = known {
                for at in [at - Span::seconds(15), at] {
                    let what = What::Polled {
                        service: service.clone(),
                        signal: signal.clone(),
                        readings: vec![Raw::Counter {
                            series: "{}".into(),
                            revision: String::new(),
                            at,
                            bad: Some(0.0),
                            total: Some(at.0 as f64),
                            started: None,
                        }],
                        fault: None,
                    };
                    let event = Event { id: "poll".into(), what };
                    let now = Now { wall: at, steady: at };
                    let Ok(_) = fleet.turn(&event, now, |_| Ok::<(), Infallible>(()));
                }
            }
            let (unit, polls) = (TimeUnit::default(), telemetry::Polls::default());
            let wants = vec![(Wanted { service, signal, unit, polls }, String::new())];
            let (bad, total) = ("bad".to_owned(), "total".to_owned());
            let query = Query::Counters { bad, total, version: None };
            let server = Arc::new(Prometheus::new(options).unwrap());
            let source = Source::Query { server, query, label: None, wants };
            let every = Span::seconds(15);
            let paced = Paced { source, every, every_watched: every };
            let owed = Owed::to(std::slice::from_ref(&paced));
            Self { paced, owed, fleet, fake }
        }

        /// The times that the windows are told of when polling begins.
        async fn begins(&mut self) -> Vec<UnixMs> {
            let (handle, mut asks) = Handle::channel(8);
            let permits = Semaphore::new(1);
            let (paced, owed) = (&self.paced, &self.owed);
            let fill = async move {
                fill(paced, owed, &handle, &permits).await.unwrap();
            };
            let serve = async {
                let (mut times, wall) = (vec![], clock::wall());
                while let Some(ask) = asks.recv().await {
                    match ask {
                        Ask::Look(look) => look(&self.fleet, Now { wall, steady: wall }),
                        Ask::Told { event, .. } => {
                            let What::Backfilled { polls, .. } = event.what else {
                                panic!("{event:?}");
                            };
                            times.extend(polls);
                        }
                        Ask::Stop | Ask::Store(_) | Ask::Adopt(..) => {
                            panic!("nobody asks for that")
                        }
                    }
                }
                times.into_iter().map(|(at, _)| at).collect()
            };
            tokio::join!(fill, serve).1
        }

        /// Where the next question begins.
        async fn asked_from(&mut self) -> UnixMs {
            let asked = self.fake.asked().await;
            let start = asked.split("start=").nth(1).and_then(|rest| rest.split('&').next());
            UnixMs::from_seconds(start.unwrap().parse().unwrap()).unwrap()
        }
    }

    fn ago(seconds: i64) -> UnixMs {
        clock::wall() - Span::seconds(seconds)
    }

    fn values(at: [UnixMs; 3]) -> String {
        let value = |(n, at): (usize, UnixMs)| format!(r#"[{},"{n}"]"#, at.as_seconds());
        format!("[{}]", at.into_iter().enumerate().map(value).collect::<Vec<_>>().join(","))
    }

    #[tokio::test]
    async fn what_was_missed_is_asked_for_once_and_from_where_the_windows_end() {
        let known = ago(120);
        let at = [known, known + Span::seconds(15), known + Span::seconds(30)];
        let mut rig = Rig::new(Some(known), 200, &values(at)).await;
        assert_eq!(rig.begins().await, at[1..]);
        assert_eq!(rig.asked_from().await, at[1]);
        assert!(rig.begins().await.is_empty(), "a reload misses nothing");
    }

    #[tokio::test]
    async fn nothing_is_asked_where_less_than_a_poll_was_missed() {
        let mut rig = Rig::new(Some(ago(10)), 200, &values([ago(9), ago(8), ago(7)])).await;
        assert!(rig.begins().await.is_empty());
    }

    #[tokio::test]
    async fn windows_that_know_nothing_are_filled_in_as_far_back_as_allowed() {
        let mut rig = Rig::new(None, 200, &values([ago(60), ago(45), ago(30)])).await;
        let an_hour_ago = ago(3600);
        assert_eq!(rig.begins().await.len(), 3);
        let late = rig.asked_from().await.since(an_hour_ago);
        assert!(late >= Span::seconds(15) && late < Span::seconds(30), "{late:?}");
    }

    #[tokio::test]
    async fn a_server_that_cannot_say_keeps_nobody_from_polling() {
        let mut rig = Rig::new(Some(ago(300)), 503, "[]").await;
        assert!(rig.begins().await.is_empty());
        assert!(rig.begins().await.is_empty(), "and is not asked again");
        rig.asked_from().await;
    }
}

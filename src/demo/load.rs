//! The customers: a steady rate of requests, whatever the shop does with them.
//!
//! An open loop: a slow shop does not slow its customers down. What would exceed the number allowed in
//! flight is not sent, and counted. The rate survives a restart of the shop; refusals are an outcome.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::Semaphore,
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};

/// How hard to knock, and where.
#[derive(Clone, Debug)]
pub struct Options {
    /// Everything goes here, such as `http://127.0.0.1:8080/checkout`.
    pub url: String,
    /// Requests sent per second, at least 1.
    pub per_second: u32,
    /// At most this many unanswered at a time.
    pub in_flight_max: usize,
    /// A request is given up after this long.
    pub timeout: Duration,
}

impl Options {
    /// The usual load on one of the shop's pages.
    pub fn new(url: impl Into<String>, per_second: u32) -> Self {
        Self { url: url.into(), per_second, in_flight_max: 200, timeout: Duration::from_secs(5) }
    }
}

/// What the customers got so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Answered with 2xx.
    pub ok: u64,
    /// Answered with 5xx.
    pub failed: u64,
    /// Answered with anything else.
    pub other: u64,
    /// Not answered: nobody listened, the connection broke, it took too long.
    pub unanswered: u64,
    /// Not sent, because too many were in flight.
    pub not_sent: u64,
    /// The sum of the answered requests' times in milliseconds.
    pub answered_in_ms: u64,
}

impl Counts {
    /// How many requests were sent and are over.
    pub fn sent(&self) -> u64 {
        self.ok + self.failed + self.other + self.unanswered
    }
}

#[derive(Debug, Default)]
struct Tally {
    ok: AtomicU64,
    failed: AtomicU64,
    other: AtomicU64,
    unanswered: AtomicU64,
    not_sent: AtomicU64,
    answered_in_ms: AtomicU64,
}

/// A running load; it ends when this is dropped.
#[derive(Debug)]
pub struct Load {
    tally: Arc<Tally>,
    task: JoinHandle<()>,
}

impl Load {
    /// Starts the load on the current runtime. The client's TLS provider is the caller's business.
    pub fn start(client: reqwest::Client, options: Options) -> Self {
        let tally = Arc::<Tally>::default();
        let task = tokio::spawn(knock(client, options, Arc::clone(&tally)));
        Self { tally, task }
    }

    /// What the customers got so far.
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            ok: read(&self.tally.ok),
            failed: read(&self.tally.failed),
            other: read(&self.tally.other),
            unanswered: read(&self.tally.unanswered),
            not_sent: read(&self.tally.not_sent),
            answered_in_ms: read(&self.tally.answered_in_ms),
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn knock(client: reqwest::Client, options: Options, tally: Arc<Tally>) {
    let seats = Arc::new(Semaphore::new(options.in_flight_max));
    let mut beat = interval(Duration::from_secs(1) / options.per_second.max(1));
    // What a busy machine delayed is sent late, not left out: the rate holds over any few seconds.
    beat.set_missed_tick_behavior(MissedTickBehavior::Burst);
    loop {
        beat.tick().await;
        let Ok(seat) = Arc::clone(&seats).try_acquire_owned() else {
            tally.not_sent.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        let request = client.get(&options.url).timeout(options.timeout);
        let tally = Arc::clone(&tally);
        tokio::spawn(async move {
            count(request, &tally).await;
            drop(seat);
        });
    }
}

async fn count(request: reqwest::RequestBuilder, tally: &Tally) {
    let begun = std::time::Instant::now();
    let answer = match request.send().await {
        // The body is read, so that the connection can be used again.
        Ok(response) => {
            let status = response.status();
            response.bytes().await.ok().map(|_| status)
        }
        Err(_) => None,
    };
    let outcome = match answer {
        None => &tally.unanswered,
        Some(status) if status.is_success() => &tally.ok,
        Some(status) if status.is_server_error() => &tally.failed,
        Some(_) => &tally.other,
    };
    if answer.is_some() {
        let took = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        tally.answered_in_ms.fetch_add(took, Ordering::Relaxed);
    }
    outcome.fetch_add(1, Ordering::Relaxed);
}

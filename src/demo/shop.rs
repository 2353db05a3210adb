//! The shop service that the demo deploys: healthy in one version, bad in the next.
//!
//! Deterministic: what fails is decided by counting requests, never by drawing lots, so that the same
//! load gives the same error rate. Only `blips` looks at the time since the start.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::Context;
use axum::{
    Router,
    extract::{Request, State},
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::net::TcpListener;

use super::exposition::{self, Latencies};

/// How long a new release waits for the one before it to let go of the port.
const BIND_PATIENCE: Duration = Duration::from_secs(5);

/// What a release does to the shop's customers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Behaviour {
    /// Everything works, in a few milliseconds.
    #[default]
    Healthy,
    /// A share of the requests fails with 500, evenly spread; health stays good.
    Errors,
    /// Every request works and takes long.
    Slow,
    /// Everything answers 503: pages, health, version and metrics.
    Down,
    /// It ends at its start, and nobody answers.
    Crash,
    /// Everything fails for a short while, again and again, and works in between.
    Blips,
}

/// One release of the shop, as its command line says it.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Where to listen, on loopback; 0 takes any free port.
    #[arg(long)]
    pub port: u16,
    /// What `/version` says and `shop_build_info` is labelled with.
    #[arg(long = "version", id = "shop_version", value_name = "VERSION")]
    pub version: String,
    /// What is wrong with this release.
    #[arg(long, value_enum, default_value_t)]
    pub behaviour: Behaviour,
    /// With `errors`: how many requests of a hundred fail.
    #[arg(long, default_value_t = 25)]
    pub bad_percent: u64,
    /// With `slow`: the shortest answer in milliseconds; the longest takes a third more.
    #[arg(long, default_value_t = 600)]
    pub slow_ms: u64,
    /// With `blips`: milliseconds from one blip to the next; the first comes after half of it.
    #[arg(long, default_value_t = 20_000)]
    pub blip_every_ms: u64,
    /// With `blips`: how long one lasts, in milliseconds.
    #[arg(long, default_value_t = 2_000)]
    pub blip_ms: u64,
}

impl Options {
    /// A release with the usual numbers.
    pub fn new(port: u16, version: &str, behaviour: Behaviour) -> Self {
        Self {
            port,
            version: version.to_owned(),
            behaviour,
            bad_percent: 25,
            slow_ms: 600,
            blip_every_ms: 20_000,
            blip_ms: 2_000,
        }
    }

    /// What the `count`-th request of work gets, this long after the start.
    fn fate(&self, count: u64, up: Duration) -> Fate {
        let quick = Duration::from_millis(2 + count % 8);
        let failing = |fails| Fate {
            status: if fails { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK },
            after: quick,
        };
        match self.behaviour {
            Behaviour::Healthy => failing(false),
            // As Bresenham draws a line, so that 25 % is every fourth request.
            Behaviour::Errors => {
                let share = self.bad_percent.min(100);
                failing((count % 100) * share % 100 + share >= 100)
            }
            Behaviour::Slow => Fate {
                status: StatusCode::OK,
                after: Duration::from_millis(self.slow_ms + self.slow_ms * (count % 5) / 12),
            },
            Behaviour::Down | Behaviour::Crash => {
                Fate { status: StatusCode::SERVICE_UNAVAILABLE, after: Duration::ZERO }
            }
            Behaviour::Blips => failing(self.in_a_blip(up)),
        }
    }

    fn in_a_blip(&self, up: Duration) -> bool {
        let every = u128::from(self.blip_every_ms.max(1));
        let since_a_half = (up.as_millis() + every / 2) % every;
        since_a_half < u128::from(self.blip_ms) && up.as_millis() >= every / 2
    }
}

struct Fate {
    status: StatusCode,
    after: Duration,
}

#[derive(Debug)]
struct Shop {
    options: Options,
    up_since: Instant,
    started_at: f64,
    asked: AtomicU64,
    ok: AtomicU64,
    failed: AtomicU64,
    latencies: Latencies,
}

/// Serves the shop on loopback until the process ends.
///
/// Waits a few seconds for the port, because a restart may overlap with the release before it.
pub async fn serve(options: Options) -> anyhow::Result<()> {
    if options.behaviour == Behaviour::Crash {
        anyhow::bail!("version {} crashes at its start", options.version);
    }
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
    let give_up = Instant::now() + BIND_PATIENCE;
    let listener = loop {
        match TcpListener::bind(address).await {
            Ok(listener) => break listener,
            Err(fault)
                if fault.kind() == std::io::ErrorKind::AddrInUse && Instant::now() < give_up =>
            {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(fault) => {
                return Err(fault).with_context(|| format!("the shop cannot listen on {address}"));
            }
        }
    };
    serve_on(listener, options).await
}

/// Serves the shop on a listener that is there already.
pub async fn serve_on(listener: TcpListener, options: Options) -> anyhow::Result<()> {
    axum::serve(listener, app(options)).await.context("the shop stopped serving")
}

fn app(options: Options) -> Router {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let shop = Arc::new(Shop {
        options,
        up_since: Instant::now(),
        started_at: since_epoch.as_secs_f64(),
        asked: AtomicU64::new(0),
        ok: AtomicU64::new(0),
        failed: AtomicU64::new(0),
        latencies: Latencies::default(),
    });
    Router::new()
        .route("/", get(work))
        .route("/checkout", get(work).post(work))
        .route("/healthz", get(async || "ok\n"))
        .route("/version", get(version))
        .route("/metrics", get(metrics))
        .layer(middleware::from_fn_with_state(Arc::clone(&shop), unless_down))
        .with_state(shop)
}

/// A shop that is down says so on every path, `/metrics` too: an outage shows in its health, not in its numbers.
async fn unless_down(State(shop): State<Arc<Shop>>, request: Request, next: Next) -> Response {
    if shop.options.behaviour != Behaviour::Down {
        return next.run(request).await;
    }
    (StatusCode::SERVICE_UNAVAILABLE, "down\n").into_response()
}

async fn work(State(shop): State<Arc<Shop>>) -> Response {
    let begun = Instant::now();
    let count = shop.asked.fetch_add(1, Ordering::Relaxed);
    let fate = shop.options.fate(count, shop.up_since.elapsed());
    tokio::time::sleep(fate.after).await;
    shop.latencies.observe(begun.elapsed());
    let counter = if fate.status.is_success() { &shop.ok } else { &shop.failed };
    counter.fetch_add(1, Ordering::Relaxed);
    (fate.status, if fate.status.is_success() { "sold\n" } else { "out of luck\n" }).into_response()
}

async fn version(State(shop): State<Arc<Shop>>) -> String {
    format!("{}\n", shop.options.version)
}

async fn metrics(State(shop): State<Arc<Shop>>) -> impl IntoResponse {
    let answers =
        [("200", shop.ok.load(Ordering::Relaxed)), ("500", shop.failed.load(Ordering::Relaxed))];
    let body =
        exposition::render(&answers, &shop.latencies, &shop.options.version, shop.started_at);
    ([("content-type", "text/plain; version=0.0.4; charset=utf-8")], body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failures(options: &Options, requests: u64) -> u64 {
        (0..requests).filter(|n| !options.fate(*n, Duration::ZERO).status.is_success()).count()
            as u64
    }

    #[test]
    fn the_share_of_errors_is_exact_and_spread_evenly() {
        let mut options = Options::new(0, "2", Behaviour::Errors);
        for share in [0, 1, 20, 25, 30, 33, 99, 100] {
            options.bad_percent = share;
            assert_eq!(failures(&options, 100), share);
            assert_eq!(failures(&options, 1000), share * 10);
        }
        options.bad_percent = 25;
        let fails = |n| !options.fate(n, Duration::ZERO).status.is_success();
        assert_eq!((0..8).map(fails).filter(|f| *f).count(), 2);
        assert!((0..4).any(fails) && (4..8).any(fails));
    }

    #[test]
    fn a_healthy_shop_is_quick_and_a_slow_one_takes_600_to_800_ms() {
        let times = |behaviour| {
            let options = Options::new(0, "1", behaviour);
            let times = (0..100).map(|n| options.fate(n, Duration::ZERO).after);
            (times.clone().min(), times.max())
        };
        let ms = |ms| Some(Duration::from_millis(ms));
        assert_eq!(times(Behaviour::Healthy), (ms(2), ms(9)));
        assert_eq!(times(Behaviour::Slow), (ms(600), ms(800)));
    }

    #[test]
    fn the_command_line_says_it_all() {
        use clap::{Args, FromArgMatches};
        let command = Options::augment_args(clap::Command::new("demo-shop").no_binary_name(true));
        let read = |line: &str| {
            let matches = command.clone().try_get_matches_from(line.split(' '))?;
            Options::from_arg_matches(&matches)
        };
        let options = read("--port 8081 --version 1.5.0 --behaviour slow --slow-ms 900").unwrap();
        let told = (options.port, options.version.as_str(), options.behaviour, options.slow_ms);
        assert_eq!(told, (8081, "1.5.0", Behaviour::Slow, 900));
        assert_eq!(read("--port 1 --version 1").unwrap().behaviour, Behaviour::Healthy);
        assert!(read("--port 1 --version 1 --behaviour moody").is_err());
    }

    #[test]
    fn blips_come_after_half_a_period_and_then_every_period() {
        let options = Options::new(0, "2", Behaviour::Blips);
        let bad: Vec<u64> =
            (0..60).filter(|s| options.in_a_blip(Duration::from_secs(*s))).collect();
        assert_eq!(bad, [10, 11, 30, 31, 50, 51]);
    }
}

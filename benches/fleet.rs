//! What a fleet takes in one process: memory of services whose history is full (25 hours of minutes and a week of
//! hours for each of three signals), and the CPU of one tick, in which each signal of each service is polled once.
//!
//! Only what the domain takes and does: no network, no JSON, no disk. For the rest see `benches/fleet/run.py`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench that cannot go on ends, and its table is for people"
)]

use std::{convert::Infallible, fmt::Write as _, fs, hint::black_box, path::Path};

use rollbackd::{
    config,
    domain::{
        event::{Event, Now, What},
        fleet::Fleet,
        policy::Policy,
        service::ServiceId,
        watch::Raw,
    },
    units::{Span, UnixMs},
};

const START: UnixMs = UnixMs(1_772_452_800_000);
const STEP: Span = Span::seconds(15);
const TICKS: i64 = 10;
const BOUNDS: [f64; 8] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, f64::INFINITY];

const TEMPLATE: &str = r#"
state_dir = "/nonexistent"
[prometheus.main]
url = "http://127.0.0.1:9090"
[template.fleet]
watch_only = true
[template.fleet.signal.error_rate.prometheus]
from = "main"
bad = 'sum by (service) (http_requests_total{code=~"5.."})'
total = 'sum by (service) (http_requests_total)'
label = "service"
[template.fleet.signal.latency.prometheus]
from = "main"
histogram = 'sum by (service, le) (http_request_duration_seconds_bucket)'
label = "service"
[template.fleet.signal.latency_billed.prometheus]
from = "main"
value = 'billed_p95_seconds'
label = "service"
[notify.log]
audiences = ["on_call"]
"#;

fn policy(services: usize) -> Policy {
    let mut text = TEMPLATE.to_owned();
    for n in 0..services {
        write!(text, "[service.service-{n:05}]\ntemplate = \"fleet\"\n").unwrap();
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("fleet.toml");
    fs::write(&path, text).unwrap();
    load(&path)
}

fn load(path: &Path) -> Policy {
    match config::load(path) {
        Ok((config, _)) => config.policy,
        Err(problems) => panic!("{problems:?}"),
    }
}

/// A fleet and the time in it.
struct Town {
    fleet: Fleet,
    now: UnixMs,
    requests: f64,
}

impl Town {
    fn new(policy: Policy) -> Self {
        Self { fleet: Fleet::new(policy, 1), now: START, requests: 1_000.0 }
    }

    fn pass(&mut self, time: Span) {
        self.now = self.now + time;
        self.requests += time.as_seconds() * 10.0;
    }

    fn poll(&mut self, id: &ServiceId, signal: &str) {
        let (at, total) = (self.now, self.requests);
        let series = "{}".to_owned();
        let reading = match signal {
            "error_rate" => Raw::Counter {
                series,
                revision: String::new(),
                at,
                bad: Some((total / 500.0).floor()),
                total: Some(total),
                started: None,
            },
            "latency" => {
                let count = |(place, bound): (usize, &f64)| {
                    (*bound, (total * (1.0 - 0.5_f64.powi(place as i32 + 2))).floor())
                };
                let buckets = BOUNDS.iter().enumerate().map(count).collect();
                Raw::Histogram { series, at, buckets, started: None }
            }
            _ => Raw::Gauge { at, value: 0.2 + (total % 700.0) / 7_000.0, n: None },
        };
        let what = What::Polled {
            service: id.clone(),
            signal: signal.to_owned(),
            readings: vec![reading],
            fault: None,
        };
        let now = Now { wall: at, steady: UnixMs(at.0 - START.0 + 1_000_000) };
        let event = Event { id: format!("poll:{id}:{signal}:{}", at.0), what };
        let Ok(turned) = self.fleet.turn(&event, now, |_| Ok::<(), Infallible>(()));
        black_box((turned, self.fleet.next_deadline(), self.fleet.wanted()));
    }

    fn tick(&mut self, ids: &[ServiceId], time: Span) {
        self.pass(time);
        for signal in ["error_rate", "latency", "latency_billed"] {
            for id in ids {
                self.poll(id, signal);
            }
        }
    }
}

/// CPU seconds of this thread so far.
fn cpu_s() -> f64 {
    let spent = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    spent.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

fn rss() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

fn measure(services: usize) {
    // A week of one service, as turns; every other service continues from what it wrote down.
    let mut town = Town::new(policy(services));
    let ids: Vec<ServiceId> = town.fleet.policy.services.keys().cloned().collect();
    let first = &ids[..1];
    for _ in 0..7 * 24 * 60 {
        town.tick(first, Span::minutes(1));
    }
    for _ in 0..2 * 60 * 4 {
        town.tick(first, STEP);
    }
    let before = rss();
    let kept = serde_json::to_vec(&town.fleet.watches[&ids[0]].snapshot()).unwrap();
    for id in &ids[1..] {
        let watch = town.fleet.watches.get_mut(id).unwrap();
        watch.restore(serde_json::from_slice(&kept).unwrap(), &town.fleet.policy.services[id]);
    }
    for _ in 0..5 {
        town.tick(&ids, STEP);
    }
    let began = cpu_s();
    for _ in 0..TICKS {
        town.tick(&ids, STEP);
    }
    let tick_ms = (cpu_s() - began) * 1000.0 / TICKS as f64;
    let (all, full) = (rss(), rss() - before);
    println!(
        "{services:>9} {:>9.0} MB {:>12.1} kB {:>12.1} kB {tick_ms:>9.0} ms {:>9.2} us",
        all as f64 / 1e6,
        full as f64 / services as f64 / 1e3,
        kept.len() as f64 / 1e3,
        tick_ms * 1000.0 / (3 * services) as f64,
    );
}

fn main() {
    println!(
        "{:>9} {:>12} {:>15} {:>15} {:>12} {:>12}",
        "services", "RSS", "of it, each", "written, each", "CPU a tick", "a poll"
    );
    let sizes = std::env::var("SERVICES").ok();
    let sizes: Vec<usize> = match &sizes {
        Some(text) => text.split(',').map(|size| size.parse().unwrap()).collect(),
        None => vec![1_000, 10_000],
    };
    sizes.into_iter().for_each(measure);
}

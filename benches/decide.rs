//! A turn of the whole fleet: 10,000 services, each polled every 15 s; and from the last sample of an outage to the
//! first step of its rollback, as far as deciding goes (no disk, no network).

#![expect(clippy::unwrap_used, reason = "names that are no names end the bench")]

use std::{
    convert::Infallible,
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use criterion::{Criterion, criterion_group, criterion_main};
use rollbackd::{
    domain::{
        change::{Component, Revision},
        event::{Event, Now, What},
        fleet::Fleet,
        inventory::{Available, Inventory, Serving},
        policy::Policy,
        service::ServiceId,
        watch::Raw,
    },
    units::{Span, UnixMs},
};

// The town of the stories decides the same things: one policy for both.
#[expect(dead_code, reason = "the stories use the rest of it")]
#[path = "../tests/pure/stories/policy.rs"]
mod policy;

const SERVICES: usize = 10_000;
const START: UnixMs = UnixMs(1_772_452_800_000);

struct City {
    fleet: Fleet,
    ids: Vec<ServiceId>,
    tick: i64,
    requests: f64,
}

impl City {
    /// Services that have been healthy for as many polls.
    fn healthy(services: usize, polls: usize) -> Self {
        let names: Vec<String> = (0..services).map(|n| format!("service-{n:05}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut policy: Policy = policy::fleet(&names);
        for service in policy.services.values_mut() {
            Arc::make_mut(&mut Arc::make_mut(service).signals).remove("latency");
        }
        let ids = policy.services.keys().cloned().collect();
        let mut city = Self { fleet: Fleet::new(policy, 1), ids, tick: 0, requests: 0.0 };
        for id in city.ids.clone() {
            city.look(&id, "v1");
        }
        for _ in 0..polls {
            city.poll_all();
        }
        city
    }

    fn now(&self) -> Now {
        let passed = policy::POLL * self.tick;
        Now { wall: START + passed, steady: UnixMs(1_000_000) + passed }
    }

    fn turn(&mut self, what: What) {
        let event = Event { id: "bench".into(), what };
        let now = self.now();
        let turned = self.fleet.turn(&event, now, |_| Ok::<(), Infallible>(()));
        let Ok(turned) = turned;
        black_box(turned);
    }

    fn look(&mut self, id: &ServiceId, version: &str) {
        let revision = Revision::named(version);
        let available = ["v2", "v1"].map(|v| Available::named(v, None));
        let inventory = Inventory {
            component: Component::Application,
            linked: Some(revision),
            running: Serving::Version(version.into()),
            switched_at: Some(self.now().wall),
            available: available.into(),
            faults: vec![],
            told: None,
            deployed: None,
            read: None,
        };
        self.turn(What::Seen { service: id.clone(), inventory });
    }

    fn polled(&self, id: &ServiceId, bad: f64) -> What {
        let reading = Raw::Counter {
            series: "pod-1".into(),
            revision: String::new(),
            at: self.now().wall,
            bad: Some(bad),
            total: Some(self.requests),
            started: Some(START - Span::hours(1)),
        };
        What::Polled {
            service: id.clone(),
            signal: "errors".into(),
            readings: vec![reading],
            fault: None,
        }
    }

    fn probed(&self, id: &ServiceId, up: bool) -> What {
        let at = self.now().wall;
        let reading = if up { Raw::Up { at } } else { Raw::Down { at, answered: false } };
        What::Polled {
            service: id.clone(),
            signal: "health".into(),
            readings: vec![reading],
            fault: None,
        }
    }

    fn next(&mut self) {
        self.tick += 1;
        self.requests += 100.0;
    }

    fn poll_all(&mut self) {
        self.next();
        for index in 0..self.ids.len() {
            let polled = self.polled(&self.ids[index], 0.0);
            self.turn(polled);
        }
    }
}

fn turns(c: &mut Criterion) {
    let mut group = c.benchmark_group("turn");
    group.sample_size(10).measurement_time(Duration::from_secs(10));
    let mut city = City::healthy(SERVICES, 250);
    group.bench_function("10,000 services, one poll each", |b| b.iter(|| city.poll_all()));
    let mut next = 0;
    group.bench_function("one poll of one of 10,000 services", |b| {
        b.iter_custom(|times| {
            let mut took = Duration::ZERO;
            for _ in 0..times {
                if next == 0 {
                    city.next();
                }
                let polled = city.polled(&city.ids[next], 0.0);
                next = (next + 1) % city.ids.len();
                let begun = Instant::now();
                city.turn(polled);
                took += begun.elapsed();
            }
            took
        });
    });
    group.finish();
}

/// An outage of one of 10,000 services, until its rollback is wanted: only the turn that decides it is timed.
fn outage(c: &mut Criterion) {
    let mut group = c.benchmark_group("decide");
    group.sample_size(10).measurement_time(Duration::from_secs(10));
    let mut city = City::healthy(SERVICES, 1);
    // Each outage needs a service that was never rolled back; its history is made in the untimed part.
    let mut fresh = 0;
    group.bench_function("last sample of a P0 to the first step", |b| {
        b.iter_custom(|times| (0..times).map(|_| to_the_first_step(&mut city, &mut fresh)).sum())
    });
    group.finish();
}

fn to_the_first_step(city: &mut City, fresh: &mut usize) -> Duration {
    let id = city.ids[*fresh % city.ids.len()].clone();
    *fresh += 1;
    let mut bad = 0.0;
    let mut round = |city: &mut City, failing: bool| {
        city.next();
        bad += if failing { 100.0 } else { 0.0 };
        let sources = [city.probed(&id, !failing), city.polled(&id, bad)];
        sources.into_iter().find_map(|what| {
            let begun = Instant::now();
            city.turn(what);
            let wanted = city.fleet.wanted();
            (!wanted.is_empty()).then(|| begun.elapsed())
        })
    };
    for _ in 0..150 {
        round(city, false);
    }
    city.look(&id, "v2");
    let took = (0..40).find_map(|_| round(city, true));
    // The rollback that was begun must not be wanted for ever.
    let service = city.fleet.policy.services.get_mut(&id);
    if let Some(service) = service {
        Arc::make_mut(service).mode = rollbackd::domain::service::Mode::Observe;
    }
    took.expect("an outage after a change is rolled back")
}

criterion_group!(benches, turns, outage);
criterion_main!(benches);

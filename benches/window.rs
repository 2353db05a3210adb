//! One sample through window and full rule (R1 and R1b): incremental against a rescan of the last hour.

#[path = "../tests/pure/naive.rs"]
mod naive;

use std::{hint::black_box, sync::Arc};

use criterion::{Criterion, criterion_group, criterion_main};
use naive::Naive;
use rollbackd::{
    domain::{
        severity::Severity,
        signal::{Reading, Sample},
        trigger::{Escalation, Recurrent, Rule, Trigger},
    },
    units::{Percent, Span, UnixMs},
};

const STEP: Span = Span::seconds(15);

fn rule() -> Rule {
    Rule::ratio(Severity::P1, Percent(0.05), Span::minutes(5)).with_recurrent(Recurrent::default())
}

/// Sample `tick` of a service with 25 requests a step: healthy, pending for 25 min in 30 (6 % is too little
/// evidence at this traffic), or bad for four minutes in eight.
fn sample(kind: &str, tick: i64) -> Sample {
    let bad = match kind {
        "healthy" => u64::from(tick % 40 == 0),
        "pending" if tick % 120 < 100 => 1 + u64::from(tick % 2 == 0),
        "pending" => 0,
        _ if (tick / 16) % 2 == 0 => 6,
        _ => 0,
    };
    let reading = Reading::Counts { bad, total: 25 };
    Sample { at: UnixMs(1_700_000_000_000 + tick * STEP.ms()), width: STEP, reading }
}

fn update_and_judge(c: &mut Criterion) {
    let mut group = c.benchmark_group("update_and_judge");
    for kind in ["healthy", "pending", "on_and_off"] {
        group.bench_function(format!("incremental/{kind}"), |b| {
            let mut trigger = Trigger::new(Arc::new(rule()), STEP);
            let mut tick = 0;
            b.iter(|| {
                tick += 1;
                trigger.observe(black_box(&sample(kind, tick)));
                trigger.state()
            });
        });
        group.bench_function(format!("rescan/{kind}"), |b| {
            let mut naive = Naive::new(rule(), STEP);
            let mut tick = 0;
            b.iter(|| {
                tick += 1;
                let sample = sample(kind, tick);
                if tick % 64 == 0 {
                    naive.trim(sample.at);
                }
                naive.observe(black_box(&sample))
            });
        });
    }
    let critical = Arc::new(rule().with_escalation(Escalation::default()));
    group.bench_function("incremental/escalation", |b| {
        let mut trigger = Trigger::new(Arc::clone(&critical), STEP);
        let mut tick = 0;
        b.iter(|| {
            tick += 1;
            trigger.observe(black_box(&sample("on_and_off", tick)));
            trigger.state()
        });
    });
    group.bench_function("incremental/fleet_of_10000", |b| {
        let mut fleet: Vec<Trigger> =
            (0..10_000).map(|_| Trigger::new(Arc::clone(&critical), STEP)).collect();
        let mut turn = 0;
        b.iter(|| {
            turn += 1;
            let count = fleet.len();
            let trigger = &mut fleet[turn % count];
            trigger.observe(black_box(&sample("healthy", (turn / count) as i64)))
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(40);
    targets = update_and_judge
}
criterion_main!(benches);

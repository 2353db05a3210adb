//! How much a durable fact costs over the least that the file system takes for one: append, then `fdatasync`.
//!
//! `cargo bench --bench journal [turns]`; the two are interleaved, on the file system that holds `target/`.
#![expect(clippy::print_stdout, reason = "a benchmark reports")]

use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context;
use rollbackd::{
    domain::notice::{Audience, Kind, Notice, Urgency},
    store::{Draft, Options, OutboxDraft, Store, Turn},
    units::UnixMs,
};

const TURNS: usize = 3_000;
const RATIO_MAX: f64 = 3.0;

fn main() -> anyhow::Result<()> {
    let turns = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(TURNS);
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-journal");
    let _ = fs::remove_dir_all(&dir);
    let mut store = Store::open(Options::new(&dir))?;
    let mut raw = OpenOptions::new().create(true).append(true).open(dir.join("raw"))?;
    let line = serde_json::to_vec(&fact(0))?;

    let [mut raws, mut facts, mut told] = [(); 3].map(|()| Vec::with_capacity(turns));
    for n in 0..turns {
        raws.push(timed(|| {
            raw.write_all(&line)?;
            Ok(raw.sync_data()?)
        })?);
        let draft = [fact(n)];
        facts.push(timed(|| append(&mut store, &Turn { facts: &draft, ..Turn::default() }))?);
        let notices = [OutboxDraft { channel: "slack".into(), notice: notice(n) }];
        let turn = Turn { facts: &draft, notices: &notices, answers: &[] };
        told.push(timed(|| append(&mut store, &turn))?);
        let row = store.due("slack", UnixMs(i64::MAX))?.0.pop().context("nothing is due")?;
        store.delivered(&row)?;
    }

    println!("{turns} turns, {} bytes a fact, ms", line.len());
    println!("{:24} {:>8} {:>8} {:>8} {:>8}", "", "p50", "p95", "p99", "max");
    let base = report("append + fdatasync", &mut raws);
    let fact = report("one fact", &mut facts);
    let both = report("one fact and a notice", &mut told);
    println!("p99 over raw p99: one fact {:.2}, with a notice {:.2}", fact / base, both / base);
    let verdict = if fact / base <= RATIO_MAX { "within" } else { "over" };
    println!("{verdict} the target of {RATIO_MAX}");
    let mut chain = None;
    let took = timed(|| {
        chain = Some(store.view().verify_chain()?);
        Ok(())
    })?;
    println!("the chain verified in {:.1} ms: {chain:?}", took.as_secs_f64() * 1000.0);
    drop(store);
    fs::remove_dir_all(&dir)?;
    Ok(())
}

fn append(store: &mut Store, turn: &Turn<'_>) -> anyhow::Result<()> {
    store.append(turn)?;
    Ok(())
}

fn timed(work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<Duration> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed())
}

fn report(what: &str, took: &mut [Duration]) -> f64 {
    took.sort_unstable();
    let at = |share: f64| {
        let index = ((took.len() - 1) as f64 * share).round() as usize;
        took[index].as_secs_f64() * 1000.0
    };
    println!("{what:24} {:8.3} {:8.3} {:8.3} {:8.3}", at(0.5), at(0.95), at(0.99), at(1.0));
    at(0.99)
}

fn fact(n: usize) -> Draft {
    Draft {
        stream: format!("checkout-{}/production", n % 50),
        incident: Some(format!("checkout-{}#1", n % 50)),
        at: UnixMs(1_795_383_600_000),
        steady_ms: 1_000,
        kind: "incident.opened".into(),
        fact_version: 1,
        cause: "sample error_rate 12.4%".into(),
        config_hash: "9f86d081884c7d65".into(),
        policy_version: "1".into(),
        body: format!(r#"{{"n":{n},"evidence":"{}"}}"#, "12.4% of 1,204 requests; ".repeat(8)),
    }
}

fn notice(n: usize) -> Notice {
    Notice {
        id: format!("n{n}"),
        service: None,
        incident: Some(format!("checkout-{}#1", n % 50)),
        severity: None,
        audience: Audience::OnCall,
        urgency: Urgency::Page,
        kind: Kind::Incident,
        subject: "checkout/production: critical errors".into(),
        fields: vec![("Issue".into(), "12.4% of 1,204 requests over 5m".into())],
        lines: vec![],
        choices: vec![],
        at: UnixMs(1_795_383_600_000),
    }
}

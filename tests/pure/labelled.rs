//! The labelled series, through rule and guards: what must be rolled back, and what must be left alone.

use std::sync::Arc;

use rollbackd::{
    domain::{
        gate,
        history::History,
        severity::Severity,
        signal::{Reading, Sample},
        trigger::{Recurrent, Rule, State, Trigger},
        wilson,
    },
    units::{Percent, Span, UnixMs},
};
use serde_json::Value;

fn rule() -> Arc<Rule> {
    Arc::new(
        Rule::ratio(Severity::P1, Percent(0.05), Span::minutes(5))
            .with_recurrent(Recurrent::default()),
    )
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn samples(series: &Value) -> Vec<Sample> {
    let width = Span::seconds(series["interval_s"].as_i64().unwrap());
    let numbers = |key: &str| -> Vec<u64> {
        let all = series[key].as_array().unwrap();
        all.iter().map(|number| number.as_u64().unwrap_or(0)).collect()
    };
    let mut at = UnixMs(0);
    let pairs = numbers("e").into_iter().zip(numbers("n"));
    pairs
        .map(|(bad, total)| {
            at = at + width;
            Sample { at, width, reading: Reading::Counts { bad, total } }
        })
        .collect()
}

/// Times at which the rule fires, with the onset it saw.
fn fires(samples: &[Sample]) -> Vec<(UnixMs, UnixMs)> {
    let mut trigger = Trigger::new(rule(), samples[0].width);
    let mut fired = Vec::new();
    for sample in samples {
        let begins = trigger
            .observe(sample)
            .is_some_and(|step| step.to == State::Firing && step.from < State::Firing);
        if begins {
            fired.push((sample.at, trigger.evidence().onset.unwrap()));
        }
    }
    fired
}

#[test]
fn labelled_incidents_are_told_apart() {
    let (mut missed, mut falsely, mut late, mut wanted) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for series in lines(include_str!("../fixtures/incidents.jsonl")) {
        let samples = samples(&series);
        let start = UnixMs(series["fault_start_s"].as_i64().unwrap() * 1000);
        let fired = fires(&samples).into_iter().find(|(at, _)| *at > start);
        let id = series["id"].as_str().unwrap().to_owned();
        match (series["expect"] == "rollback", fired) {
            (true, Some((at, _))) => {
                wanted += 1;
                late.push(at.since(start).ms() / 1000 - 300);
            }
            (true, None) => {
                wanted += 1;
                missed.push(id);
            }
            (false, Some(_)) => falsely.push(id),
            (false, None) => {}
        }
    }
    late.sort_unstable();
    let median = late[late.len() / 2];
    // 44 errors in 862 requests and 165 in 2,952: at 99 % neither can be told from 5 % in the time recorded.
    assert_eq!(missed, ["petshop-rc-60-25", "petshop-site-60-04"], "of {wanted}");
    assert!(falsely.len() <= 1, "fired falsely on {falsely:?}");
    assert!(median <= 180, "median delay past 5 min: {median} s; all: {late:?}");
    println!("wanted {wanted}, missed {missed:?}, falsely {falsely:?}, delays {late:?}");
}

/// Pretends that a change happened every hour: how often would one of them have been rolled back?
#[test]
fn healthy_services_are_not_rolled_back() {
    for series in lines(include_str!("../fixtures/healthy.jsonl")) {
        let samples = samples(&series);
        let mut history =
            History::with_limits(samples[0].width, Span::hours(24 * 8), Span::hours(1));
        samples.iter().for_each(|sample| history.record(sample));
        for (at, onset) in fires(&samples) {
            let change = onset - Span::minutes(2);
            if change < UnixMs(0) + Span::hours(24) {
                continue;
            }
            let before = history.counts(change - Span::minutes(30), change).filter(|c| c.1 > 0);
            let facts = gate::Facts {
                at,
                onset,
                change: Some(gate::Change { start: change, end: Some(onset), rolled_back: false }),
                before: before.map(|(bad, total)| wilson::lower_bound(bad, total, wilson::Z)),
                threshold: 0.05,
                fired_before: history.fired(&rule(), None, change - Span::hours(24), change, &[]),
                old: None,
                counted: None,
                last_rollback: None,
            };
            let refusals = gate::refusals(&facts, &gate::Limits::default());
            let id = &series["id"];
            println!("{id} fires at {at}: {refusals:?}");
            assert!(!refusals.is_empty(), "{id} would have been rolled back at {at}");
        }
    }
}

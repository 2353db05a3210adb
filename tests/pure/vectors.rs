//! Every vector of `fixtures/vectors.json` and of our own `fixtures/vectors-own.json`, by id.

use std::sync::Arc;

use rollbackd::{
    domain::{
        baseline, counter, evalue, gate,
        history::History,
        severity::Severity,
        signal::{Reading, Sample, Unknown},
        trigger::{
            Escalation, Hold, Kind, Limit, Ratio, Recurrent, Rule, State, Trigger, Unit,
            defaults::{self, SignalKind},
        },
    },
    units::{Multiple, Percent, Span, UnixMs},
};
use serde_json::Value;

#[test]
fn the_shared_vectors_hold() {
    check(include_str!("../fixtures/vectors.json"), 85);
}

#[test]
fn our_own_vectors_hold() {
    check(include_str!("../fixtures/vectors-own.json"), 49);
}

fn check(text: &str, count: usize) {
    let vectors: Vec<Value> = serde_json::from_str(text).unwrap();
    assert_eq!(vectors.len(), count);
    let wrong: Vec<String> = vectors.iter().filter_map(wrong).collect();
    assert!(wrong.is_empty(), "{} of {count} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

fn wrong(vector: &Value) -> Option<String> {
    let (expected, found) = match vector["rule"].as_str().unwrap() {
        "ratio" | "escalation" | "machine" | "gauge" | "bool" | "traffic" => {
            (vector["expect"].clone(), Value::from(states(vector)))
        }
        "recurrent" => (vector["expect"].clone(), Value::from(recurrent(vector))),
        "counter" | "counter_poll" => (vector["expect"].clone(), counted(vector)),
        "disjoint" => (vector["expect"].clone(), disjoint(vector)),
        "baseline" => (vector["expect"].clone(), learned(vector)),
        "gate" => (vector["expect"].clone(), Value::from(judged(vector))),
        "severity" => (vector["expect"].clone(), severity(vector)),
        "ab_evalue" => (vector["expect"].clone(), evidence(vector)),
        other => panic!("no test for the rule {other}"),
    };
    let id = &vector["id"];
    (expected != found).then(|| format!("{id} {}\n  {expected}\n  {found}", vector["note"]))
}

fn seconds(value: &Value) -> Option<Span> {
    value.as_f64().map(|seconds| Span((seconds * 1000.0).round() as i64))
}

fn rule(vector: &Value) -> Rule {
    let config = &vector["config"];
    let holds = seconds(&config["hold_s"]).unwrap();
    let theta = || Percent(config["theta"].as_f64().unwrap());
    let mut rule = match vector["rule"].as_str().unwrap() {
        "ratio" => Rule::ratio(Severity::P1, theta(), holds),
        "escalation" => {
            Rule::ratio(Severity::P1, theta(), holds).with_escalation(Escalation::default())
        }
        "machine" => Rule::ratio(Severity::P1, theta(), holds)
            .with_escalation(Escalation::default())
            .with_recurrent(Recurrent::default()),
        "gauge" => {
            let above = Limit::Baseline(Multiple(config["factor"].as_f64().unwrap()));
            Rule::gauge(Severity::P1, above, Unit::Seconds, holds)
        }
        "bool" => Rule::boolean(Severity::P0, holds, seconds(&config["grace_s"]).unwrap()),
        "traffic" => Rule::traffic(Severity::P1, Percent(config["below"].as_f64().unwrap()), holds),
        other => panic!("no rule {other}"),
    };
    if let Some(recovery) = seconds(&config["recovery_s"]) {
        rule.hold = Hold { recovery, ..rule.hold };
    }
    if let (Kind::Gauge(gauge), Some(least)) = (&mut rule.kind, config["min_requests"].as_u64()) {
        gauge.requests = least;
        rule.hold.samples = u32::try_from(config["min_samples"].as_u64().unwrap()).unwrap();
        rule.hold.grace = seconds(&config["grace_s"]).unwrap();
    }
    rule
}

/// Feeds the input step by step; after ticks without a sample, counts span the missed ticks where the counter
/// rules would let them (up to 180 s).
fn samples(vector: &Value, step: Span) -> Vec<Sample> {
    let mut at = UnixMs(0);
    let mut missed = 0;
    let mut samples = Vec::new();
    for input in vector["input"].as_array().unwrap() {
        let mut width = step;
        let reading = match input {
            Value::Null => Reading::Unknown { why: Unknown::Failed },
            Value::Bool(true) => Reading::Down,
            Value::Bool(false) => Reading::Up,
            Value::Object(gauge) => Reading::Gauge {
                value: gauge["v"].as_f64().unwrap_or(f64::NAN),
                n: gauge["n"].as_u64(),
            },
            Value::Array(counts) => {
                width = step * (missed + 1);
                if width > Span::seconds(180).max(step) {
                    width = step;
                }
                let bad = counts[0].as_u64().unwrap();
                Reading::Counts { bad, total: counts[1].as_u64().unwrap() }
            }
            other @ (Value::Number(_) | Value::String(_)) => panic!("what is {other}?"),
        };
        let given = input.get(2).and_then(seconds);
        at = at + given.unwrap_or(step);
        missed = if input.is_null() { missed + 1 } else { 0 };
        samples.push(Sample { at, width: given.unwrap_or(width), reading });
    }
    samples
}

fn letter(state: State) -> char {
    match state {
        State::NoData => 'N',
        State::Ok => 'O',
        State::Pending => 'P',
        State::Firing => 'F',
        State::Recovering => 'R',
    }
}

fn states(vector: &Value) -> String {
    let step = seconds(&vector["config"]["interval_s"]).unwrap();
    let rule = Arc::new(rule(vector));
    let mut trigger = Trigger::new(Arc::clone(&rule), step);
    trigger.set_baseline(vector["config"]["baseline"].as_f64());
    let mut found = String::new();
    for sample in samples(vector, step) {
        trigger.observe(&sample);
        // A restart at any sample changes nothing.
        let text = serde_json::to_string(&trigger.snapshot()).unwrap();
        let kept = serde_json::from_str(&text).unwrap();
        trigger = Trigger::restore(Arc::clone(&rule), step, &kept);
        found.push(letter(trigger.state()));
    }
    if vector["rule"] == "escalation" {
        found = format!("{found}:{}", trigger.severity());
    }
    found
}

/// R1b alone: its condition after each step.
fn recurrent(vector: &Value) -> String {
    let step = Span::seconds(60);
    let rule = Rule::ratio(Severity::P1, Percent(0.05), Span::minutes(5))
        .with_recurrent(Recurrent::default());
    let mut trigger = Trigger::new(Arc::new(rule), step);
    let mut found = String::new();
    for sample in samples(vector, step) {
        trigger.observe(&sample);
        found.push(if trigger.recurs() { 'F' } else { 'O' });
    }
    found
}

/// `null` is "missing" in the shared vectors, and they call it invalid; only "absent" is an absent series.
fn field(value: &Value) -> counter::Field {
    match value.as_str() {
        Some("absent") => counter::Field::Absent,
        Some("inf") => counter::Field::Value(f64::INFINITY),
        Some(_) | None => counter::Field::Value(value.as_f64().unwrap_or(f64::NAN)),
    }
}

fn counted(vector: &Value) -> Value {
    let config = &vector["config"];
    let step = seconds(&config["step_s"]).unwrap_or(Span::seconds(60));
    let mut options = counter::Options::every(step);
    if let Some(lag) = seconds(&config["lag_s"]) {
        options.lag = lag;
    }
    let mut counters = counter::Counters::new(options);
    let mut started = None;
    if let Some(previous) = seconds(&config["born_prev_poll"]) {
        counters.take(counter::Poll { now: UnixMs(0) + previous, backfill: false }, &[]);
        started = Some(UnixMs(1));
    }
    let mut deltas = Vec::new();
    for input in vector["input"].as_array().unwrap() {
        let at = UnixMs(0) + seconds(&input[0]).unwrap();
        let now = input.get(3).and_then(seconds).map_or(at, |now| UnixMs(0) + now);
        let backfill = config["backfill"] == true;
        let reading = counter::Cumulative { at, bad: field(&input[1]), total: field(&input[2]) };
        let series = counter::Series { revision: "v2", name: "pod-1", started, reading };
        let samples = counters.take(counter::Poll { now, backfill }, &[series]);
        let (_, sample) = &samples[0];
        deltas.push(match sample.reading {
            Reading::Counts { bad, total } => {
                serde_json::json!([bad, total, sample.width.ms() / 1000])
            }
            Reading::Gauge { .. } | Reading::Up | Reading::Down | Reading::Unknown { .. } => {
                Value::Null
            }
        });
    }
    let drops: serde_json::Map<String, Value> = counters
        .drops()
        .iter()
        .map(|(drop, count)| (drop.name().to_owned(), Value::from(count)))
        .collect();
    serde_json::json!({ "deltas": deltas, "drops": drops })
}

fn disjoint(vector: &Value) -> Value {
    let mut disjoint = counter::Disjoint::default();
    let admit = |input: &Value| {
        let (at, width) = (seconds(&input[0]).unwrap(), seconds(&input[1]).unwrap());
        let reading = Reading::Counts { bad: 0, total: 1 };
        match disjoint.admit(Sample { at: UnixMs(0) + at, width, reading }) {
            Ok(_) => Value::from("ok"),
            Err(drop) => Value::from(drop.name()),
        }
    };
    vector["input"].as_array().unwrap().iter().map(admit).collect()
}

/// The shared file describes these inputs only in words; this is what the words say.
fn learned(vector: &Value) -> Value {
    let id = vector["id"].as_str().unwrap();
    let normal = |minute: i64| 0.19 + 0.0001 * ((minute * 37) % 100 + 50) as f64;
    let p95 = |minute: i64| match id {
        "B02" if (10..20).contains(&minute) => Some((9.0, 100)),
        // The contaminated third lies above as far as the rest's upper half allows for a median of 200 ms.
        "B03" if minute % 20 < 7 => Some((5.0, 100)),
        "B03" => Some((0.2, 100)),
        "B04" => Some((0.002, 100)),
        "B05" => Some((0.0, 100)),
        "B06" if minute >= 10 => None,
        "B07" => Some((0.2, 19)),
        _ => Some((normal(minute), 100)),
    };
    let mut history = History::new(Span::seconds(60));
    for minute in 0..60 {
        if let Some((value, n)) = p95(minute) {
            history.record_p95(UnixMs((minute + 1) * 60_000), value, n);
        }
    }
    let excluded: Vec<_> = vector["config"]["excluded"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|pair| UnixMs(0) + seconds(&pair[0]).unwrap()..UnixMs(0) + seconds(&pair[1]).unwrap())
        .collect();
    let change = UnixMs(0) + Span::minutes(60);
    baseline::learn(&history, change, &excluded, &baseline::Options::default())
        .map_or(Value::Null, |found| Value::from((found.p95 * 1000.0).round() / 1000.0))
}

fn judged(vector: &Value) -> String {
    let input = &vector["input"];
    let at = |value: &Value| seconds(value).map(|span| UnixMs(0) + span);
    let onset = at(&input[0]).unwrap();
    let change = at(&input[1]["start"]).map(|start| gate::Change {
        start,
        end: at(&input[1]["end"]),
        rolled_back: input[1]["rolled_back"] == true,
    });
    let old = |bound| gate::OldRevision { bound, ln_e: input[5].as_f64() };
    let facts = gate::Facts {
        at: onset + Span::minutes(5),
        onset,
        change,
        before: input[2].as_f64(),
        threshold: 0.05,
        fired_before: u32::try_from(input[3].as_u64().unwrap()).unwrap(),
        old: input[4].as_f64().map(old),
        counted: Some(gate::Counted { total: 500, bound: 0.08 }),
        last_rollback: None,
    };
    match gate::refusals(&facts, &gate::Limits::default()).first() {
        None => "AUTO_ROLLBACK".to_owned(),
        Some(refusal) => format!("PAGE:{}", refusal.name()),
    }
}

/// The most severe of the runbook's triggers that what is known would fire.
fn severity(vector: &Value) -> Value {
    let input = &vector["input"];
    let partial = input["migration"] == "failed_partial";
    let level = |row: &defaults::Default| match (row.signal, &row.rule.kind) {
        (SignalKind::Migration, _) if partial => Some(Severity::P0),
        (SignalKind::Errors, Kind::Ratio(Ratio { escalation: Some(worse), .. }))
            if exceeds(input, worse.above, worse.lasts) =>
        {
            Some(worse.severity)
        }
        _ => fires(row, input).then_some(row.rule.severity),
    };
    let worst = defaults::all().iter().filter_map(level).min();
    worst.map_or(Value::Null, |level| Value::from(level.to_string()))
}

fn exceeds(input: &Value, above: Percent, least: Span) -> bool {
    let lasted = seconds(&input["err_sustained_s"]).is_some_and(|span| span >= least);
    lasted && input["err_lb"].as_f64().is_some_and(|bound| bound > above.0)
}

fn fires(row: &defaults::Default, input: &Value) -> bool {
    let lasted = |key: &str, least: Span| seconds(&input[key]).is_some_and(|span| span >= least);
    let hold = row.rule.hold.lasts;
    match (&row.rule.kind, row.signal) {
        // The ticket alone stands on the estimate.
        (Kind::Ratio(ratio), SignalKind::Errors) if row.rule.severity == Severity::P3 => {
            input["err_hat"].as_f64().is_some_and(|share| share > ratio.above.0)
        }
        (Kind::Ratio(ratio), SignalKind::Errors) => exceeds(input, ratio.above, hold),
        (Kind::Gauge(gauge), SignalKind::Latency) => match gauge.above {
            Limit::Baseline(times) => {
                input["lat_ratio"].as_f64().is_some_and(|ratio| ratio > times.0)
                    && lasted("lat_sustained_s", hold)
            }
            Limit::Absolute(_) => false,
        },
        (Kind::Boolean, SignalKind::Availability) => lasted("avail_down_s", hold),
        (Kind::Boolean, SignalKind::Health) => lasted("health_down_s", hold),
        (Kind::Event { .. }, SignalKind::Migration) => input["migration"].is_string(),
        (Kind::Event { .. }, SignalKind::Integrity) => input["data_corruption"] == true,
        (Kind::Event { .. }, SignalKind::Security) => input["security"] == true,
        _ => false,
    }
}

/// `10 x (nN, eN, nO, eO)`: the first and the last ln e, and the first step that decides.
fn evidence(vector: &Value) -> Value {
    let text = vector["input"].as_str().unwrap();
    let numbers: Vec<u64> = text
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|number| number.parse().ok())
        .collect();
    let [times, new_total, new_bad, old_total, old_bad] = numbers[..] else {
        panic!("what is {text}?")
    };
    let mut evidence = evalue::Evidence::default();
    let (mut found, mut decided) = (Vec::new(), None);
    for step in 1..=times {
        evidence.add(&evalue::Step { new_total, new_bad, old_total, old_bad });
        found.push(evidence.ln_e());
        decided = decided.or(evidence.decides().then_some(step));
    }
    let rounded = |ln_e: f64| (ln_e * 1000.0).round() / 1000.0 + 0.0;
    serde_json::json!([rounded(found[0]), rounded(found[found.len() - 1]), decided])
}

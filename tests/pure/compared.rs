//! The e-value of new against old: how often it cries wolf, and what it gains on the labelled faults.

use std::sync::Arc;

use rollbackd::{
    domain::{
        counter::Arm,
        evalue::{DECIDES, Evidence, Step},
        severity::Severity,
        signal::{Reading, Sample},
        trigger::{Comparison, Recurrent, Rule, State, Trigger},
    },
    units::{Percent, Span, UnixMs},
};
use serde_json::Value;

use crate::world::rng::Dice;

/// Looks in an hour, every 15 s.
const LOOKS: u32 = 240;
const ALPHA: f64 = 0.001;

/// How many of `n` requests fail, each with the probability `p`: from failure to failure.
fn failing(dice: &mut Dice, n: u64, p: f64) -> u64 {
    const UNITS: u64 = 1 << 53;
    if p <= 0.0 {
        return 0;
    }
    let (mut failed, mut next) = (0, 0.0);
    loop {
        let uniform = (dice.below(UNITS) + 1) as f64 / UNITS as f64;
        next += (uniform.ln() / (1.0 - p).ln()).floor() + 1.0;
        if next > n as f64 {
            return failed;
        }
        failed += 1;
    }
}

/// The share of hour-long rollouts in which it is decided at any look that the new revision is worse, `times` as bad as
/// the old one as it is. Requests are those of 15 s.
fn false_alarms(rollouts: u32, old_rate: f64, (new, old): (u64, u64), times: f64) -> u32 {
    let mut dice = Dice::of(7, &format!("{old_rate} {new} {old} {times}"));
    let mut decided = 0;
    for _ in 0..rollouts {
        let mut evidence = Evidence::default();
        let cries = (0..LOOKS).any(|_| {
            let step = Step {
                new_total: new,
                new_bad: failing(&mut dice, new, old_rate * times),
                old_total: old,
                old_bad: failing(&mut dice, old, old_rate),
            };
            evidence.add(&step);
            step.new_bad > 0 && evidence.ln_e() >= DECIDES
        });
        decided += u32::from(cries);
    }
    decided
}

/// Requests in 15 s to both, and the share that fails.
const ROLLOUTS: [(f64, (u64, u64)); 6] = [
    (0.0005, (100, 900)),
    (0.002, (50, 50)),
    (0.005, (5, 95)),
    (0.01, (50, 50)),
    (0.03, (10, 40)),
    (0.05, (5, 20)),
];

/// A/A: both revisions are equally bad, and are looked at after every 15 s of an hour.
#[test]
fn twelve_thousand_rollouts_of_an_equal_revision_raise_fewer_false_alarms_than_alpha() {
    let each = 2_000;
    let decided: Vec<u32> =
        ROLLOUTS.iter().map(|(rate, split)| false_alarms(each, *rate, *split, 1.0)).collect();
    let (all, share) = (each * 6, f64::from(decided.iter().sum::<u32>()) / f64::from(each * 6));
    println!("A/A: {decided:?} false alarms in {all} rollouts, a share of {share}");
    assert!(share <= ALPHA, "{decided:?} of {each} each");
}

/// The worst that must be forgiven: exactly as bad as the margin allows.
#[test]
fn rollouts_of_a_revision_exactly_twice_as_bad_do_neither() {
    let each = 2_000;
    let decided: Vec<u32> =
        ROLLOUTS.iter().map(|(rate, split)| false_alarms(each, *rate, *split, 2.0)).collect();
    let (all, share) = (each * 6, f64::from(decided.iter().sum::<u32>()) / f64::from(each * 6));
    println!("at the margin: {decided:?} false alarms in {all} rollouts, a share of {share}");
    assert!(share <= ALPHA, "{decided:?} of {each} each");
}

/// At which look the trigger fires, as it is by default, in hour-long rollouts: the new revision fails at a rate that may
/// change from look to look, and the old one once in 2,000 requests.
fn fired(rollouts: u32, new_rate: impl Fn(u32) -> f64, (new, old): (u64, u64)) -> Vec<Option<u32>> {
    let mut dice = Dice::of(13, &format!("{} {} {new} {old}", new_rate(1), new_rate(LOOKS)));
    let rule = Arc::new(Rule::comparison(Severity::P1, Comparison::default()));
    let width = Span::seconds(15);
    let mut hour = || {
        let mut trigger = Trigger::new(Arc::clone(&rule), width);
        (1..=LOOKS).find(|look| {
            let at = UnixMs(width.ms() * i64::from(*look));
            let told = |bad, total| Reading::Counts { bad, total };
            let v1 = (failing(&mut dice, old, 0.0005), old);
            let v2 = (failing(&mut dice, new, new_rate(*look)), new);
            let reading = told(v1.0 + v2.0, old + new);
            let arms = [arm("v1", at, width, v1), arm("v2", at, width, v2)];
            trigger.compare(&Sample { at, width, reading }, Some("v2"), &arms);
            trigger.state() == State::Firing
        })
    };
    (0..rollouts).map(|_| hour()).collect()
}

/// Whatever the old revision does, it is no P1 when the new one fails in 5 % of its requests. The evidence says nothing
/// about that: beside an old one with hardly any errors it is there at once, and the bound alone decides, 240 times.
#[test]
fn rollouts_that_fail_no_more_than_anything_may_seldom_fire() {
    let each = 400;
    let all = |rate| -> Vec<usize> {
        let fired = ROLLOUTS.iter().map(|(_, split)| fired(each, |_| rate, *split));
        fired.map(|all| all.iter().flatten().count()).collect()
    };
    for (rate, most) in [(0.03, 0.005), (0.04, 0.02), (0.05, 0.15)] {
        let fired = all(rate);
        let share = fired.iter().sum::<usize>() as f64 / f64::from(each * 6);
        println!("{rate} beside 0.0005: {fired:?} of {each} each fire, a share of {share}");
        assert!(share <= most, "{fired:?} of {each} each");
    }
}

/// What was good for long has to be outweighed: by the evidence, and by the bound.
#[test]
fn a_revision_that_gets_bad_late_is_found_late_and_found() {
    for good in [0, 10, 30] {
        for split in [(50, 50), (5, 95)] {
            let rate = |look| if look > good * 4 { 0.2 } else { 0.0005 };
            let fired = fired(100, rate, split);
            let after = fired.iter().flatten().map(|look| i64::from(look - good * 4) * 15);
            let after: Vec<i64> = after.collect();
            let (median, p90) = (quantile(&after, 0.5), quantile(&after, 0.9));
            println!(
                "20 % after {good} min, {split:?}: {} of 100 after {median} ({p90}) s",
                after.len()
            );
            assert!(after.len() == 100 && p90 <= 180 + 45 * i64::from(good), "{after:?}");
        }
    }
}

struct Fault {
    id: String,
    expect: String,
    width: Span,
    start: UnixMs,
    minutes: Vec<(UnixMs, u64, u64)>,
}

fn faults() -> Vec<Fault> {
    let text = include_str!("../fixtures/incidents.jsonl");
    let fault = |line: &str| {
        let series: Value = serde_json::from_str(line).unwrap();
        let numbers = |key: &str| -> Vec<u64> {
            let all = series[key].as_array().unwrap();
            all.iter().map(|number| number.as_u64().unwrap_or(0)).collect()
        };
        let width = Span::seconds(series["interval_s"].as_i64().unwrap());
        let ends = (1..).map(|step| UnixMs(width.ms() * step));
        let counts = numbers("e").into_iter().zip(numbers("n"));
        Fault {
            id: series["id"].as_str().unwrap().to_owned(),
            expect: series["expect"].as_str().unwrap().to_owned(),
            width,
            start: UnixMs(series["fault_start_s"].as_i64().unwrap() * 1000),
            minutes: ends.zip(counts).map(|(at, (bad, total))| (at, bad, total)).collect(),
        }
    };
    text.lines().map(fault).collect()
}

fn arm(revision: &str, at: UnixMs, width: Span, (bad, total): (u64, u64)) -> Arm {
    let sample = Sample { at, width, reading: Reading::Counts { bad, total } };
    Arm { revision: revision.into(), sample, settled: sample }
}

/// When each fires in seconds since the fault began, which is when the change was: the comparison, and critical-errors
/// over the requests to both. Of the requests the new revision gets a share; they fail as the series says, and the
/// others as they did before it.
fn fires(fault: &Fault, share: f64, dice: &mut Dice) -> [Option<i64>; 3] {
    let before = fault.minutes.iter().filter(|(at, ..)| *at <= fault.start);
    let (bad, total) = before.fold((0, 0), |sum, (_, bad, total)| (sum.0 + bad, sum.1 + total));
    let normal = bad as f64 / total.max(1) as f64;
    let compares = Rule::comparison(Severity::P1, Comparison::default());
    let critical = Rule::ratio(Severity::P1, Percent(0.05), Span::minutes(5))
        .with_recurrent(Recurrent::default());
    let mut compares = Trigger::new(Arc::new(compares), fault.width);
    let critical = Arc::new(critical);
    let mut over_both = Trigger::new(Arc::clone(&critical), fault.width);
    let mut when_out = Trigger::new(critical, fault.width);
    let mut fired = [None; 3];
    for (at, bad, total) in &fault.minutes {
        let (at, width) = (*at, fault.width);
        let new = if at > fault.start { failing(dice, *total, share) } else { 0 };
        let old = total - new;
        let new_bad = failing(dice, new, *bad as f64 / (*total).max(1) as f64);
        let old_bad = if at > fault.start { failing(dice, old, normal) } else { *bad };
        let reading = Reading::Counts { bad: new_bad + old_bad, total: *total };
        let sample = Sample { at, width, reading };
        let arms = [arm("v1", at, width, (old_bad, old)), arm("v2", at, width, (new_bad, new))];
        let arms = if new > 0 { &arms[..] } else { &arms[..1] };
        compares.compare(&sample, Some("v2"), arms);
        over_both.observe(&sample);
        let reading = Reading::Counts { bad: *bad, total: *total };
        when_out.observe(&Sample { at, width, reading });
        let since = |trigger: &Trigger, known: Option<i64>| {
            let fires = trigger.state() == State::Firing && at > fault.start;
            known.or(fires.then(|| at.since(fault.start).ms() / 1000))
        };
        let [compared, both, out] = fired;
        fired = [since(&compares, compared), since(&over_both, both), since(&when_out, out)];
    }
    fired
}

/// What came of the faults, each as if it had come with a change of which a share was out.
#[derive(Debug, Default)]
struct Worth {
    /// Seconds after the fault began.
    found: Vec<i64>,
    missed: Vec<String>,
    /// How many of the same critical-errors finds in the requests to both.
    found_in_both: u32,
    /// Seconds before that.
    before_both: Vec<i64>,
    /// Seconds before critical-errors, had all of the change been out; of all, and where there are enough requests.
    before: Vec<i64>,
    before_busy: Vec<i64>,
    /// Faults below its threshold, and how many there are.
    milder: (Vec<String>, u32),
    falsely: Vec<String>,
}

fn worth(share: f64) -> Worth {
    let mut dice = Dice::of(11, &format!("faults {share}"));
    let mut worth = Worth::default();
    for fault in faults() {
        let [compares, in_both, out] = fires(&fault, share, &mut dice);
        let requests: u64 = fault.minutes.iter().map(|(.., total)| total).sum();
        let minutes = fault.width.as_seconds() / 60.0 * fault.minutes.len() as f64;
        match (fault.expect.as_str(), compares) {
            ("rollback", Some(at)) => {
                worth.found.push(at);
                worth.before_both.extend(in_both.map(|both| both - at));
                let gained = out.map(|out| out - at);
                worth.before.extend(gained);
                worth.before_busy.extend(gained.filter(|_| requests as f64 / minutes >= BUSY));
            }
            ("rollback", None) => worth.missed.push(fault.id),
            ("page", fires) => {
                worth.milder.0.extend(fires.map(|_| fault.id));
                worth.milder.1 += 1;
            }
            (_, Some(_)) => worth.falsely.push(fault.id),
            (_, None) => {}
        }
        worth.found_in_both += u32::from(fault.expect == "rollback" && in_both.is_some());
    }
    worth
}

/// The value that a share of them do not exceed.
fn quantile(values: &[i64], share: f64) -> i64 {
    let mut values = values.to_vec();
    values.sort_unstable();
    let rank = (share * values.len() as f64).ceil() as usize;
    values[rank.clamp(1, values.len()) - 1]
}

/// Requests in a minute.
const BUSY: f64 = 90.0;

/// Errors of a tenth or half of the requests do not have to be 5 % of all, and have nothing to hold for.
#[test]
fn labelled_faults_are_found_while_both_revisions_serve() {
    for (share, least) in [(0.1, 11), (0.5, 16)] {
        let worth = worth(share);
        let both = |values: &[i64]| {
            let (median, p90) = (quantile(values, 0.5), quantile(values, 0.9));
            format!("median {median} s, p90 {p90} s of {}", values.len())
        };
        println!(
            "{share} of the requests: {} found, {}; missed {:?}; critical-errors over both finds {}",
            worth.found.len(),
            both(&worth.found),
            worth.missed,
            worth.found_in_both,
        );
        if !worth.before_both.is_empty() {
            println!("  before critical-errors over both: {}", both(&worth.before_both));
        }
        println!("  before critical-errors, had all of it been out: {}", both(&worth.before));
        println!("  where {BUSY} requests come in a minute: {}", both(&worth.before_busy));
        println!("  of milder faults {:?}; falsely {:?}", worth.milder, worth.falsely);
        assert!(worth.falsely.is_empty(), "{worth:?}");
        assert!(worth.milder.0.len() <= 1, "{worth:?}");
        assert!(worth.found.len() >= least && worth.found_in_both <= 8, "{worth:?}");
        assert!(quantile(&worth.before_busy, 0.5) >= 0, "{worth:?}");
    }
}

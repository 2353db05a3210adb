//! The incremental window says at every sample what a rescan of everything says.

use std::sync::Arc;

use proptest::prelude::*;
use rollbackd::{
    domain::{
        severity::Severity,
        signal::{Reading, Sample, Unknown},
        trigger::{Kind, Recurrent, Rule, State, Trigger},
    },
    units::{Percent, Span, UnixMs},
};

use crate::naive::Naive;

/// A stretch of alike ticks.
#[derive(Clone, Debug)]
struct Stretch {
    length: usize,
    total: u64,
    bad_percent: u64,
    what: What,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Counts,
    /// Late every second time: an interval of two steps.
    Late,
    Unknown,
    /// Not even told that there was nothing.
    Nothing,
}

fn stretch() -> impl Strategy<Value = Stretch> {
    let total = prop::sample::select(vec![0u64, 1, 2, 6, 19, 20, 21, 100, 1000]);
    let bad = prop::sample::select(vec![0u64, 0, 0, 1, 5, 6, 10, 20, 50, 51, 100]);
    let what = prop_oneof![
        8 => Just(What::Counts),
        1 => Just(What::Late),
        1 => Just(What::Unknown),
        1 => Just(What::Nothing),
    ];
    (1usize..14, total, bad, what).prop_map(|(length, total, bad_percent, what)| Stretch {
        length,
        total,
        bad_percent,
        what,
    })
}

fn samples(step: Span, stretches: &[Stretch]) -> Vec<Sample> {
    let mut at = UnixMs(1_700_000_000_000);
    let mut samples = Vec::new();
    for stretch in stretches {
        for tick in 0..stretch.length {
            at = at + step;
            // Errors of a fraction of a request come every so many ticks.
            let bad = (stretch.total * stretch.bad_percent * (tick as u64 + 1)) / 100
                - (stretch.total * stretch.bad_percent * tick as u64) / 100;
            let counts = Reading::Counts { bad, total: stretch.total };
            match stretch.what {
                What::Counts => samples.push(Sample { at, width: step, reading: counts }),
                What::Late => {
                    at = at + step;
                    samples.push(Sample { at, width: step * 2, reading: counts });
                }
                What::Unknown => samples.push(Sample::unknown(at, step, Unknown::Failed)),
                What::Nothing => {}
            }
        }
    }
    samples
}

fn rule() -> Rule {
    Rule::ratio(Severity::P1, Percent(0.05), Span::minutes(5)).with_recurrent(Recurrent::default())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_incremental_window_is_a_rescan(
        step in prop::sample::select(vec![15i64, 30, 60, 90, 300]),
        stretches in prop::collection::vec(stretch(), 1..40),
    ) {
        let step = Span::seconds(step);
        let shared = Arc::new(rule());
        let Kind::Ratio(ratio) = shared.kind.clone() else { unreachable!() };
        let mut trigger = Trigger::new(Arc::clone(&shared), step);
        let mut naive = Naive::new(rule(), step);
        for (index, sample) in samples(step, &stretches).iter().enumerate() {
            trigger.observe(sample);
            let expected = naive.observe(sample);
            prop_assert_eq!(trigger.state(), expected, "sample {} {:?}", index, sample);
            let counts = matches!(sample.reading, Reading::Counts { total: 1.., .. });
            if counts && expected != State::Firing {
                prop_assert_eq!(trigger.recurs(), naive.recurs(&ratio), "sample {}", index);
            }
            if index % 64 == 0 {
                naive.trim(sample.at);
            }
            if index % 17 == 0 {
                let kept = trigger.snapshot();
                trigger = Trigger::restore(Arc::clone(&shared), step, &kept);
            }
        }
    }

    #[test]
    fn what_comes_late_or_twice_changes_nothing(
        stretches in prop::collection::vec(stretch(), 1..20),
        late in prop::collection::vec((0usize..120, 0i64..20, 0u64..=1000), 1..20),
    ) {
        let step = Span::seconds(60);
        let mut disturbed = Trigger::new(Arc::new(rule()), step);
        let mut orderly = Trigger::new(Arc::new(rule()), step);
        for (index, sample) in samples(step, &stretches).iter().enumerate() {
            disturbed.observe(sample);
            orderly.observe(sample);
            // Up to here it knows; what was unknown may still be told.
            let known = orderly.evidence().known;
            for (_, ticks, bad) in late.iter().filter(|(at, ..)| *at == index) {
                let Some(known) = known else { continue };
                let reading = Reading::Counts { bad: *bad, total: 1000 };
                let at = known - step * *ticks;
                prop_assert_eq!(disturbed.observe(&Sample { at, width: step, reading }), None);
            }
            prop_assert_eq!(disturbed.snapshot(), orderly.snapshot(), "sample {}", index);
        }
    }

    #[test]
    fn silence_and_nonsense_never_fire_and_never_resolve(
        stretches in prop::collection::vec(stretch(), 1..20),
        silent in 1i64..200,
        value in prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(-1.0)],
    ) {
        let step = Span::seconds(60);
        let mut trigger = Trigger::new(Arc::new(rule()), step);
        let all = samples(step, &stretches);
        for sample in &all {
            trigger.observe(sample);
        }
        let before = trigger.state();
        let mut at = all.last().map_or(UnixMs(0), |sample| sample.at);
        for tick in 0..silent {
            at = at + step;
            let reading = if tick % 2 == 0 {
                Reading::Unknown { why: Unknown::Failed }
            } else {
                Reading::Gauge { value, n: None }
            };
            trigger.observe(&Sample { at, width: step, reading });
        }
        let after = trigger.state();
        let fired = |state| matches!(state, State::Firing | State::Recovering);
        prop_assert_eq!(fired(before), fired(after));
        prop_assert!(fired(before) || after == before || after == State::NoData);
    }
}

#[test]
fn samples_faster_than_the_step_cost_history_but_never_sums() {
    let step = Span::seconds(60);
    let mut trigger = Trigger::new(Arc::new(rule()), step);
    let mut last = None;
    for second in 1..=7200 {
        let reading = Reading::Counts { bad: 1, total: 10 };
        let at = UnixMs(second * 1000);
        last = trigger.observe(&Sample { at, width: Span::seconds(1), reading }).or(last);
    }
    assert_eq!(trigger.state(), State::Firing);
    let evidence = trigger.evidence();
    assert_eq!((evidence.bad, evidence.total), (7200, 72_000));
    assert!(trigger.memory() < 4096, "{} bytes", trigger.memory());
    assert!(last.is_some_and(|step| step.at == UnixMs(300_000)));
}

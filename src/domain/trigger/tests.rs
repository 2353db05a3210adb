//! Short lives of triggers, and what they say about themselves.

use std::sync::Arc;

use super::{
    Escalation, Evidence, FiredBy, Hold, Limit, Recurrent, Rule, Snapshot, State, Trigger, Unit,
    Wait, defaults,
};
use crate::{
    domain::{
        severity::Severity,
        signal::{Reading, Sample, Unknown},
        window::Bucket,
    },
    units::{Multiple, Percent, Span, UnixMs},
};

const STEP: Span = Span::seconds(60);

fn critical() -> Arc<Rule> {
    let rule = Rule::ratio(Severity::P1, Percent(0.05), Span::minutes(5));
    Arc::new(rule.with_recurrent(Recurrent::default()).with_escalation(Escalation::default()))
}

fn counts(minute: i64, bad: u64, total: u64) -> Sample {
    let reading = Reading::Counts { bad, total };
    Sample { at: UnixMs(minute * 60_000), width: STEP, reading }
}

fn probe(minute: i64, reading: Reading) -> Sample {
    Sample { at: UnixMs(minute * 60_000), width: STEP, reading }
}

fn after(minutes: &[(u64, u64)]) -> Trigger {
    let mut trigger = Trigger::new(critical(), STEP);
    for (minute, (bad, total)) in (1..).zip(minutes) {
        trigger.observe(&counts(minute, *bad, *total));
    }
    trigger
}

#[test]
fn a_pending_trigger_says_what_it_waits_for() {
    let waits = after(&[(10, 100), (10, 100)]).waits_for();
    let hold = Wait::Hold { remaining: Span::minutes(3) };
    let apart = Wait::ErrorsApart { span: Span::minutes(2), needed: Span::minutes(4) };
    assert_eq!(waits, [hold, apart]);

    let mild = after(&[(6, 100); 10]).waits_for();
    assert!(matches!(mild[..], [Wait::Bound { .. }]), "{mild:?}");

    let idle = after(&[(10, 100), (0, 0)]).waits_for();
    assert_eq!(idle[0], Wait::Traffic);

    let share = after(&[(10, 100), (0, 100), (10, 100), (0, 100), (10, 100), (0, 100)]);
    assert!(share.waits_for().iter().any(|wait| matches!(wait, Wait::Share { .. })));

    let clean = after(&[(0, 100)]).waits_for();
    assert!(matches!(clean[..], [Wait::Breach { .. }]), "{clean:?}");

    let recovering = after(&[(10, 100), (10, 100), (10, 100), (10, 100), (10, 100), (0, 100)]);
    assert_eq!(recovering.waits_for(), [Wait::Recovery { remaining: Span::minutes(4) }]);
    assert!(after(&[(10, 100); 5]).waits_for().is_empty());
    assert_eq!(after(&[]).waits_for(), [Wait::Data]);
}

#[test]
fn nothing_is_waited_for_that_is_there() {
    let minutes = [(1, 10), (2, 10), (0, 10), (2, 10), (0, 10), (9, 10), (0, 10), (9, 10), (9, 10)];
    for length in 1..=minutes.len() {
        for wait in after(&minutes[..length]).waits_for() {
            let is_there = match &wait {
                Wait::Hold { remaining } | Wait::Recovery { remaining } => *remaining <= Span::ZERO,
                Wait::Samples { seen, needed } => seen >= needed,
                Wait::Share { share, needed } => share.0 >= needed.0,
                Wait::Errors { seen, needed } => seen >= needed,
                Wait::ErrorsApart { span, needed } => span >= needed,
                Wait::Bound { lower_bound, threshold } => lower_bound > threshold,
                Wait::Data | Wait::Baseline | Wait::Breach { .. } | Wait::Traffic => false,
                Wait::Release | Wait::Both | Wait::Proof { .. } => true,
            };
            assert!(!is_there, "{wait:?} after {length} minutes");
        }
    }
}

#[test]
fn the_evidence_carries_what_the_decision_stood_on() {
    let trigger = after(&[(0, 100), (10, 100), (10, 100), (10, 100), (10, 100), (10, 100)]);
    let evidence = trigger.evidence();
    assert_eq!(evidence.state, State::Firing);
    assert_eq!(evidence.fired_by, Some(FiredBy::Hold));
    assert_eq!(evidence.onset, Some(UnixMs(60_000)));
    assert_eq!(evidence.held(), Some(Span::minutes(5)));
    assert_eq!((evidence.bad, evidence.total), (50, 500));
    assert_eq!(evidence.estimate, Some(0.1));
    assert!(evidence.lower_bound.is_some_and(|bound| bound > 0.05 && bound < 0.1));
    let bucket = Bucket { width: Span::seconds(60), bad: 10, total: 100 };
    assert_eq!(evidence.bucket, Some(bucket));
    let text = serde_json::to_string(&evidence).unwrap();
    assert_eq!(serde_json::from_str::<Evidence>(&text).unwrap(), evidence);
    let drawn = trigger.drawn().last().flatten().unwrap();
    assert!((drawn - 0.1).abs() < 0.001, "{drawn}");
}

#[test]
fn what_comes_and_goes_has_the_onset_of_its_first_breach() {
    let mut minutes = vec![(0, 100)];
    for _ in 0..3 {
        minutes.extend([(50, 100); 4]);
        minutes.extend([(0, 100); 4]);
    }
    let evidence = after(&minutes[..19]).evidence();
    assert_eq!(evidence.fired_by, Some(FiredBy::Recurrent));
    assert_eq!(evidence.onset, Some(UnixMs(60_000)));
    assert_eq!((evidence.bad, evidence.total), (500, 1900));
}

#[test]
fn a_latched_event_stays_until_a_person_releases_it() {
    let mut trigger = Trigger::new(Arc::new(Rule::event(Severity::P0, true)), STEP);
    let fired = trigger.observe(&probe(1, Reading::Down)).unwrap();
    assert_eq!((fired.to, fired.severity), (State::Firing, Severity::P0));
    for minute in 2..60 {
        assert_eq!(trigger.observe(&probe(minute, Reading::Up)), None);
    }
    assert_eq!(trigger.waits_for(), [Wait::Release]);
    assert_eq!(trigger.release(UnixMs(3_600_000)).map(|step| step.to), Some(State::Ok));
    let plain = &mut Trigger::new(Arc::new(Rule::event(Severity::P1, false)), STEP);
    plain.observe(&probe(1, Reading::Down));
    assert_eq!(plain.observe(&probe(2, Reading::Up)).map(|step| step.to), Some(State::Ok));
}

#[test]
fn a_late_or_repeated_sample_changes_nothing() {
    let mut trigger = after(&[(10, 100); 4]);
    let before = trigger.snapshot();
    assert_eq!(trigger.observe(&counts(4, 100, 100)), None);
    assert_eq!(trigger.observe(&counts(2, 100, 100)), None);
    assert_eq!(trigger.snapshot(), before);
}

#[test]
fn data_that_is_behind_is_not_shut_out_by_a_tick_that_knew_nothing() {
    let mut trigger = after(&[(10, 100); 4]);
    let at = UnixMs(330_000);
    trigger.observe(&Sample::unknown(at, STEP, Unknown::Missed));
    assert_eq!(trigger.observe(&counts(5, 10, 100)).map(|step| step.to), Some(State::Firing));
}

#[test]
fn a_reload_keeps_what_was_seen() {
    let mut trigger = after(&[(10, 100); 4]);
    let hold = Hold { lasts: Span::minutes(8), ..critical().hold };
    trigger.adopt(Arc::new(Rule { hold, ..(*critical()).clone() }), STEP);
    assert_eq!(trigger.observe(&counts(5, 10, 100)), None);
    for minute in 6..8 {
        trigger.observe(&counts(minute, 10, 100));
    }
    let fired = trigger.observe(&counts(8, 10, 100));
    assert_eq!(fired.map(|step| step.to), Some(State::Firing));
}

#[test]
fn a_damaged_snapshot_is_refused_or_harmless() {
    let kept = serde_json::to_string(&after(&[(10, 100); 30]).snapshot()).unwrap();
    assert!(kept.len() < 2_500, "{} bytes", kept.len());
    assert!(serde_json::from_str::<Snapshot>(&kept[1..]).is_err());
    let back: Snapshot = serde_json::from_str(&kept).unwrap();
    let trigger = Trigger::restore(critical(), STEP, &back);
    assert_eq!(trigger.evidence().horizon.map(|horizon| horizon.total), Some(3_000));
}

#[test]
fn memory_is_what_the_rule_needs() {
    for default in defaults::all() {
        let trigger = Trigger::new(Arc::clone(&default.rule), STEP);
        let fifteen = Trigger::new(Arc::clone(&default.rule), Span::seconds(15));
        assert!(trigger.memory() < 2_000, "{} {}", default.name, trigger.memory());
        assert!(trigger.memory() >= size_of_val(&trigger), "{}", default.name);
        assert!(fifteen.memory() < 4_000, "{} {}", default.name, fifteen.memory());
    }
}

#[test]
fn requests_are_compared_by_the_minute_however_long_an_interval_is() {
    let state = |width: Span, total| {
        let rule = Rule::traffic(Severity::P2, Percent(0.5), Span::minutes(2));
        let mut trigger = Trigger::new(Arc::new(rule), width);
        trigger.set_baseline(Some(100.0));
        let reading = Reading::Counts { bad: 0, total };
        trigger.observe(&Sample { at: UnixMs(60_000), width, reading });
        trigger.state()
    };
    let quarter = Span::seconds(15);
    assert_eq!((state(quarter, 20), state(quarter, 10)), (State::Ok, State::Pending));
    assert_eq!((state(STEP, 80), state(STEP, 40)), (State::Ok, State::Pending));
}

#[test]
fn an_outage_after_a_blip_is_as_bad_as_soon_as_any_other() {
    // Longer than the smallest bucket, so that each interval is judged by itself.
    let step = Span::seconds(70);
    let mut trigger = Trigger::new(critical(), step);
    for (n, bad) in (1..).zip([90, 0, 0, 0, 0, 90, 90, 90]) {
        let reading = Reading::Counts { bad, total: 100 };
        trigger.observe(&Sample { at: UnixMs(n * step.ms()), width: step, reading });
    }
    assert_eq!((trigger.state(), trigger.severity()), (State::Firing, Severity::P0));
}

#[test]
fn what_is_normal_outlives_a_rollback() {
    let limit = Limit::Baseline(Multiple(3.0));
    let rule = Rule::gauge(Severity::P1, limit, Unit::Seconds, Span::minutes(10));
    let mut trigger = Trigger::new(Arc::new(rule), STEP);
    trigger.set_baseline(Some(0.1));
    trigger.forget();
    trigger.observe(&probe(1, Reading::Gauge { value: 0.9, n: Some(100) }));
    assert_eq!(trigger.state(), State::Pending);
}

#[test]
fn it_is_silent_since_it_last_knew_something() {
    assert_eq!(Trigger::new(critical(), STEP).silent_for(UnixMs(60_000)), None);
    let trigger = after(&[(0, 100), (0, 100)]);
    assert_eq!(trigger.silent_for(UnixMs(300_000)), Some(Span::minutes(3)));
}

/// A breach, and not what follows it: not a clean interval, and not one in which nobody came.
#[test]
fn it_is_about_to_fire_while_the_newest_interval_is_a_breach() {
    let about = |minutes: &[(u64, u64)]| after(minutes).is_about_to_fire();
    let (breach, clean, idle) = ((10, 100), (0, 100), (0, 0));
    assert!(about(&[breach]) && about(&[breach, breach]));
    assert!(!about(&[clean]) && !about(&[breach, clean]) && !about(&[breach, idle]));
}

use std::sync::Arc;

use super::*;
use crate::{
    domain::{severity::Severity, signal::Unknown, trigger::Wait},
    units::Span,
};

const STEP: Span = Span::seconds(15);

/// What is told of both revisions, 15 s by 15 s.
struct Told {
    trigger: Trigger,
    new: &'static str,
    at: UnixMs,
}

fn rule() -> Arc<Rule> {
    Arc::new(Rule::comparison(Severity::P1, Comparison::default()))
}

fn fresh() -> Told {
    above(Percent(0.05))
}

fn above(above: Percent) -> Told {
    let comparison = Comparison { above, ..Comparison::default() };
    let rule = Arc::new(Rule::comparison(Severity::P1, comparison));
    Told { trigger: Trigger::new(rule, STEP), new: "v2", at: UnixMs(0) }
}

fn arm(revision: &str, at: UnixMs, width: Span, bad: u64, total: u64) -> Arm {
    let sample = Sample { at, width, reading: Reading::Counts { bad, total } };
    Arm { revision: revision.to_owned(), sample, settled: sample }
}

impl Told {
    /// So many steps in which each revision counts the same.
    fn steps(&mut self, steps: u32, arms: &[(&str, u64, u64)]) -> State {
        for _ in 0..steps {
            self.at = self.at + STEP;
            let arms: Vec<Arm> = arms
                .iter()
                .map(|(revision, bad, total)| arm(revision, self.at, STEP, *bad, *total))
                .collect();
            self.sees(&arms);
        }
        self.trigger.state()
    }

    fn sees(&mut self, arms: &[Arm]) {
        let (bad, total) = arms
            .iter()
            .filter_map(|arm| counts(&arm.sample))
            .fold((0, 0), |(bad, total), (more_bad, more)| (bad + more_bad, total + more));
        let sample = Sample { at: self.at, width: STEP, reading: Reading::Counts { bad, total } };
        self.trigger.compare(&sample, Some(self.new), arms);
    }

    fn compared(&self) -> Compared {
        self.trigger.compared().unwrap()
    }
}

/// v2 fails in three tenths of its requests, v1 once in a thousand.
const WORSE: [(&str, u64, u64); 2] = [("v1", 1, 900), ("v2", 30, 100)];
const ALIKE_BAD: [(&str, u64, u64); 2] = [("v1", 90, 900), ("v2", 10, 100)];
const WELL: [(&str, u64, u64); 2] = [("v1", 1, 900), ("v2", 0, 100)];

#[test]
fn it_fires_as_soon_as_the_new_revision_is_proven_worse() {
    let mut told = fresh();
    assert_eq!(told.steps(1, &WELL), State::Ok);
    let began = told.at;
    assert_eq!(told.steps(1, &WORSE), State::Firing);
    let evidence = told.trigger.evidence();
    assert_eq!(evidence.onset, Some(began));
    assert_eq!(evidence.fired_by, Some(crate::domain::trigger::FiredBy::Comparison));
    assert_eq!((evidence.bad, evidence.total, evidence.threshold), (30, 200, Some(0.05)));
    let both = told.compared();
    assert_eq!((both.new.as_str(), both.old.as_str()), ("v2", "v1"));
    assert_eq!((both.counted.old_bad, both.counted.old_total), (2, 1800));
    assert!(both.ln_e >= both.needed && both.needed == 6.908, "{both:?}");
    assert!(told.trigger.waits_for().is_empty());
    let text = serde_json::to_string(&evidence).unwrap();
    assert_eq!(serde_json::from_str::<crate::domain::trigger::Evidence>(&text).unwrap(), evidence);
}

#[test]
fn what_befalls_both_revisions_proves_nothing() {
    let mut told = fresh();
    assert_eq!(told.steps(240, &ALIKE_BAD), State::Ok);
    assert!(told.compared().ln_e < 0.0);
    assert!(matches!(told.trigger.waits_for()[..], [Wait::Proof { .. }]));
}

/// Twice as bad is allowed; what is more than that is found in time.
#[test]
fn the_margin_is_forgiven() {
    let mut twice = fresh();
    assert_eq!(twice.steps(240, &[("v1", 36, 900), ("v2", 8, 100)]), State::Ok);
    let mut more = fresh();
    assert_eq!(more.steps(240, &[("v1", 36, 900), ("v2", 14, 100)]), State::Firing);
}

/// What only deserves a page is no reason to act, however sure it is.
#[test]
fn a_revision_that_is_surely_worse_and_not_surely_bad_fires_only_where_less_is_asked_for() {
    let mild = [("v1", 1, 900), ("v2", 4, 100)];
    let mut usual = fresh();
    assert_eq!(usual.steps(240, &mild), State::Ok);
    let both = usual.compared();
    assert!(both.ln_e > both.needed && !both.is_above(), "{both:?}");
    let waits = usual.trigger.waits_for();
    assert!(matches!(waits[..], [Wait::Bound { threshold: 0.05, .. }]), "{waits:?}");
    let mut stricter = above(Percent(0.01));
    assert_eq!(stricter.steps(10, &mild), State::Firing);
    assert!(stricter.compared().is_above() && stricter.trigger.waits_for().is_empty());
}

/// A few errors of a few requests are a large share, and prove little.
#[test]
fn it_is_bad_by_the_lower_bound_and_not_by_what_was_seen() {
    let mut told = fresh();
    assert_eq!(told.steps(1, &[("v1", 0, 9_000), ("v2", 7, 100)]), State::Ok);
    let both = told.compared();
    assert!(both.ln_e > both.needed && both.surely() < 0.05, "{both:?}");
    assert_eq!(told.steps(20, &[("v1", 0, 9_000), ("v2", 7, 100)]), State::Firing);
}

/// It is held to the greater of what the old one fails, times the margin, and what anything may fail.
#[test]
fn it_is_over_when_it_fails_no_more_than_anything_may() {
    for (old, new) in [(1, 4), (36, 7)] {
        let (worse, better) =
            ([("v1", old, 900), ("v2", 30, 100)], [("v1", old, 900), ("v2", new, 100)]);
        let mut told = fresh();
        assert_eq!(told.steps(10, &worse), State::Firing);
        assert_eq!(told.steps(24, &better), State::Ok, "{new}% beside {old} of 900");
    }
}

#[test]
fn when_the_old_revision_is_gone_it_keeps_what_it_knows_and_fires_no_more_by_itself() {
    let mut told = fresh();
    told.steps(1, &[("v1", 0, 90), ("v2", 2, 10)]);
    let known = told.compared();
    assert!(known.ln_e > 1.0 && known.ln_e < known.needed, "{known:?}");
    told.steps(100, &[("v2", 90, 100)]);
    assert_ne!(told.trigger.state(), State::Firing);
    assert_eq!(told.compared(), Compared { both: false, ..known });
    assert_eq!(told.trigger.waits_for(), [Wait::Both]);
}

#[test]
fn evidence_begins_anew_with_another_change() {
    let mut told = fresh();
    told.steps(1, &[("v1", 0, 900), ("v2", 3, 100)]);
    let before = told.compared().ln_e;
    assert!(before > 2.0, "{before}");
    told.new = "v3";
    told.steps(1, &[("v1", 0, 900), ("v2", 3, 100), ("v3", 0, 100)]);
    let after = told.compared();
    assert_eq!((after.new.as_str(), after.old.as_str()), ("v3", "v1, v2"));
    assert!(after.ln_e < 0.0 && after.counted.new_total == 100, "{after:?}");
}

#[test]
fn it_is_over_when_the_new_revision_has_failed_no_more_than_the_old_for_its_recovery() {
    let mut told = fresh();
    told.steps(1, &WORSE);
    // The trailing minute is clean only after a minute.
    assert_eq!(told.steps(4, &WELL), State::Recovering);
    assert_eq!(told.steps(18, &WELL), State::Recovering);
    assert_eq!(told.steps(1, &WORSE), State::Firing, "a relapse");
    told.steps(3, &WELL);
    assert_eq!(told.steps(19, &WELL), State::Recovering);
    assert_eq!(told.steps(1, &WELL), State::Ok);
    assert_eq!(told.trigger.compared(), None, "what comes next has chances of its own");
}

#[test]
fn it_is_over_when_another_revision_serves_instead() {
    let mut told = fresh();
    told.steps(1, &WORSE);
    told.new = "v1";
    assert_eq!(told.steps(19, &[("v1", 1, 1000)]), State::Recovering);
    assert_eq!(told.compared().new, "v2", "it stands by what it fired on");
    assert_eq!(told.steps(1, &[("v1", 1, 1000)]), State::Ok);
}

/// Its pods may be down because of what it is accused of.
#[test]
fn silence_of_a_revision_that_is_still_to_serve_acquits_it_not() {
    let mut told = fresh();
    told.steps(1, &WORSE);
    let judged = told.trigger.judged_at();
    assert_eq!(told.steps(100, &[("v1", 1, 900)]), State::Firing);
    assert_eq!(told.trigger.judged_at(), judged, "nor does it say that it still fails");
    let at = told.at + STEP;
    told.at = at;
    told.trigger.compare(&Sample::unknown(at, STEP, Unknown::Failed), Some("v2"), &[]);
    assert_eq!(told.trigger.state(), State::Firing);
    assert_eq!(told.steps(20, &[("v1", 1, 900), ("v2", 0, 0)]), State::Ok, "it serves nobody");
}

#[test]
fn intervals_of_another_length_are_not_compared() {
    let mut told = fresh();
    for _ in 0..10 {
        told.at = told.at + STEP;
        let minute = Span::minutes(1);
        told.sees(&[arm("v1", told.at, STEP, 0, 900), arm("v2", told.at, minute, 50, 100)]);
    }
    assert_eq!(told.trigger.compared(), None);
}

#[test]
fn what_has_just_started_is_not_compared() {
    let mut told = fresh();
    for _ in 0..10 {
        told.at = told.at + STEP;
        let young = Sample::unknown(told.at, STEP, Unknown::NoDelta);
        let v2 = Arm { settled: young, ..arm("v2", told.at, STEP, 50, 100) };
        told.sees(&[arm("v1", told.at, STEP, 0, 900), v2]);
    }
    assert_eq!(told.trigger.compared(), None);
}

#[test]
fn a_restart_goes_on_with_what_was_written_down() {
    let mut told = fresh();
    let doubtful = [("v1", 0, 90), ("v2", 2, 10)];
    let mut steps = 1;
    while told.steps(1, &doubtful) != State::Firing {
        steps += 1;
    }
    assert!(steps > 1);
    let mut again = fresh();
    again.steps(steps - 1, &doubtful);
    let text = serde_json::to_string(&again.trigger.snapshot()).unwrap();
    again.trigger = Trigger::restore(rule(), STEP, &serde_json::from_str(&text).unwrap());
    assert_eq!(again.steps(1, &doubtful), State::Firing);
    let before = text.split(",\"versus\"").next().unwrap().to_owned() + "}";
    assert!(serde_json::from_str::<crate::domain::trigger::Snapshot>(&before).is_ok(), "{before}");
}

/// The clock was set, or the window was lost: an incident does not end by that.
#[test]
fn it_stands_by_what_it_is_known_to_have_fired_on() {
    let mut told = fresh();
    told.steps(1, &WORSE);
    let known = told.compared();
    told.trigger.forget();
    assert_eq!((told.trigger.state(), told.trigger.compared()), (State::NoData, None));
    told.trigger.stand_by(&known, UnixMs(0), UnixMs(15_000));
    assert_eq!(told.steps(50, &[("v2", 30, 100)]), State::Firing, "the old revision is gone");
    assert_eq!(told.steps(22, &[("v2", 0, 100)]), State::Recovering);
    assert_eq!(told.steps(1, &[("v2", 0, 100)]), State::Ok);
}

#[test]
fn the_onset_is_of_the_errors_that_it_fires_on_and_not_of_a_stray_one_hours_before() {
    let mut told = fresh();
    told.steps(1, &[("v1", 1, 900), ("v2", 6, 100)]);
    told.steps(4 * 60, &WELL);
    let began = told.at;
    assert_eq!(told.steps(100, &WORSE), State::Firing);
    assert_eq!(told.trigger.evidence().onset, Some(began));
}

#[test]
fn a_rule_of_another_kind_begins_with_nothing_of_what_was_compared() {
    let mut told = fresh();
    assert_eq!(told.steps(4, &WORSE), State::Firing);
    let ratio = Rule::ratio(Severity::P1, Percent(0.05), Span::minutes(5));
    told.trigger.adopt(Arc::new(ratio.clone()), STEP);
    assert_eq!((told.trigger.state(), told.trigger.evidence().total), (State::NoData, 0));
    let snapshot = Trigger::restore(rule(), STEP, &fresh_firing()).snapshot();
    assert_eq!(Trigger::restore(Arc::new(ratio), STEP, &snapshot).evidence().total, 0);
}

fn fresh_firing() -> crate::domain::trigger::Snapshot {
    let mut told = fresh();
    told.steps(4, &WORSE);
    told.trigger.snapshot()
}

fn step(new_bad: u64, new_total: u64) -> Step {
    Step { new_bad, new_total, old_bad: 0, old_total: 100 }
}

/// Before anything was too much it is the first error; an interval in which as many fail as may is not too much.
#[test]
fn the_onset_is_the_first_interval_with_an_error() {
    let mut pair = Pair::of("v2", Multiple(1.0));
    let mut add = |at: i64, step: &Step| {
        let reading = Reading::Counts { bad: 0, total: 0 };
        let sample = Sample { at: UnixMs(at), width: Span(10), reading };
        pair.add(step, "v1".to_owned(), &sample, 0.1, Span::minutes(5));
        (pair.onset, pair.bad_at)
    };
    assert_eq!(add(10, &step(0, 100)), (None, None));
    assert_eq!(add(20, &step(10, 100)), (Some(10), None));
    assert_eq!(add(30, &step(11, 100)), (Some(20), Some(30)));
}

#[test]
fn what_the_old_revision_did_of_late_is_bounded_in_time_and_in_number() {
    let mut versus = Versus::default();
    versus.keep_recent(UnixMs(0), Some(&step(0, 1)));
    versus.keep_recent(UnixMs(0) + RECENT, Some(&step(0, 1)));
    assert_eq!(versus.recent.len(), 1, "the first is not of late any more");
    for n in 0..2 * RECENT_MAX as i64 {
        versus.keep_recent(UnixMs(RECENT.ms() + n), Some(&step(0, 1)));
    }
    assert_eq!(versus.recent.len(), RECENT_MAX);
}

#[test]
fn nothing_is_told_of_two_of_whom_one_was_not_asked() {
    let told = |new_total, old_total| {
        let counted = Step { new_total, old_total, ..step(0, 0) };
        let case = Pair { counted, ..Pair::of("v2", Multiple(1.0)) };
        Versus::default().told_of(&case, &Comparison::default()).is_some()
    };
    assert_eq!([told(1, 1), told(0, 1), told(1, 0)], [true, false, false]);
}

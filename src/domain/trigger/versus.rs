//! New revision against old, while both serve: what was counted of each since the newest change, and what that proves.
//!
//! The evidence begins anew with each change, grows only with steps in which both answered, and may be looked at in each
//! of them. Once it has fired, the revision it fired on stands accused until it fails no more than the old one did.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{Kind, Rule, State, Trigger, judge::Status, rule::Comparison};
use crate::{
    domain::{
        counter::Arm,
        evalue::{self, Step},
        signal::{Reading, Sample},
        wilson,
    },
    units::{Multiple, Percent, Span, UnixMs},
};

/// Intervals of two revisions are about the same time unless one is this many times as long: what befell both of them
/// must not be counted of one.
const ALIKE: f64 = 1.5;
/// How the old revision does now is told by so much time, in so many steps at most.
const RECENT: Span = Span::minutes(5);
const RECENT_MAX: usize = 64;
/// No more names of old revisions are told.
const NAMED: usize = 2;

/// What two revisions were compared by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Compared {
    /// The revision of the newest change.
    pub new: String,
    /// The others that answered beside it.
    pub old: String,
    /// Requests to both, since both answer.
    pub counted: Step,
    /// ln of the evidence, to three digits.
    pub ln_e: f64,
    /// ln of the evidence that decides, likewise.
    pub needed: f64,
    /// How many times as often as the old one the new one may fail.
    pub margin: Multiple,
    /// How often it may fail whatever the old one does.
    #[serde(default)]
    pub above: Percent,
    /// Whether both answered in the newest interval.
    pub both: bool,
}

/// The revision of one change, against those beside it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Pair {
    new: String,
    old: String,
    evidence: evalue::Evidence,
    counted: Step,
    /// The start of the first interval in which the new one failed more often than anything may, since it last did not for
    /// as long as a recovery takes; before there was one, of the first in which it failed at all.
    pub(super) onset: Option<i64>,
    /// The end of the newest such interval.
    #[serde(default)]
    bad_at: Option<i64>,
}

/// Both arms, and who stands accused.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Versus {
    pair: Pair,
    /// What it fired on, until that is over.
    fired: Option<Pair>,
    both: bool,
    /// What the old revision failed, and was asked, in the newest steps, by their ends.
    #[serde(default)]
    recent: VecDeque<(i64, u64, u64)>,
}

impl Compared {
    /// How often the new revision surely fails.
    pub fn surely(&self) -> f64 {
        surely(&self.counted)
    }

    /// Whether it surely fails more often than it may whatever the old one does.
    pub fn is_above(&self) -> bool {
        self.surely() > self.above.0
    }
}

/// The bound is of the very requests that the evidence is of: of all since the comparison began. It was made for one
/// look, and is looked at often. From a beginning that no error has chosen, later looks hold the earlier ones'
/// requests, and soon say the same; since its first error, or in a trailing window, each would be another throw, with
/// the best one kept. It only ever adds to the evidence, so that `alpha` holds as it is.
fn surely(counted: &Step) -> f64 {
    wilson::lower_bound(counted.new_bad, counted.new_total, wilson::Z)
}

impl Pair {
    fn of(new: &str, margin: Multiple) -> Self {
        let evidence = evalue::Evidence::with_margin(margin.0);
        Self { new: new.to_owned(), evidence, ..Self::default() }
    }

    fn add(&mut self, step: &Step, old: String, sample: &Sample, above: f64, recovery: Span) {
        self.evidence.add(step);
        self.old = old;
        let counted = &mut self.counted;
        counted.new_total += step.new_total;
        counted.new_bad += step.new_bad;
        counted.old_total += step.old_total;
        counted.old_bad += step.old_bad;
        let start = sample.start();
        if step.new_bad > 0 {
            self.onset.get_or_insert(start.0);
        }
        if step.new_bad as f64 > above * step.new_total as f64 {
            if self.bad_at.is_none_or(|at| start.since(UnixMs(at)) >= recovery) {
                self.onset = Some(start.0);
            }
            self.bad_at = Some(sample.at.0);
        }
    }

    /// What the new revision may fail: as often as the old one would with one error more, times the margin. An old one
    /// without errors forgives a few of the new one's. And as often as anything may.
    fn limit(&self, comparison: &Comparison) -> Option<f64> {
        let Step { old_bad, old_total, .. } = self.counted;
        let of_old = (old_bad + 1) as f64 / (old_total + 1) as f64;
        (old_total > 0).then(|| (comparison.margin.0 * of_old).max(comparison.above.0))
    }

    /// It is worse than the old one, and bad.
    fn decides(&self, comparison: &Comparison) -> bool {
        self.evidence.ln_e() >= comparison.decides() && surely(&self.counted) > comparison.above.0
    }
}

impl Versus {
    /// What it fired on; otherwise what is compared now.
    pub(super) fn case(&self) -> &Pair {
        self.fired.as_ref().unwrap_or(&self.pair)
    }

    pub(super) fn limit(&self, comparison: &Comparison) -> Option<f64> {
        self.case().limit(comparison)
    }

    pub(super) fn counted(&self) -> (u64, u64) {
        let counted = self.case().counted;
        (counted.new_bad, counted.new_total)
    }

    /// What the old revision failed, and was asked, of late.
    fn keep_recent(&mut self, at: UnixMs, step: Option<&Step>) {
        if let Some(step) = step {
            self.recent.push_back((at.0, step.old_bad, step.old_total));
        }
        let aged = |(end, ..): &(i64, u64, u64)| at.since(UnixMs(*end)) >= RECENT;
        while self.recent.len() > RECENT_MAX || self.recent.front().is_some_and(aged) {
            self.recent.pop_front();
        }
    }

    /// It is over: what comes next is another case, with chances of its own.
    pub(super) fn acquit(&mut self, margin: Multiple) {
        self.fired = None;
        self.weigh_anew(margin);
    }

    /// Evidence against one margin is none against another.
    pub(super) fn weigh_anew(&mut self, margin: Multiple) {
        self.pair = Pair::of(&self.pair.new, margin);
    }

    fn compared(&self, comparison: &Comparison) -> Option<Compared> {
        self.told_of(self.case(), comparison)
    }

    fn told_of(&self, case: &Pair, comparison: &Comparison) -> Option<Compared> {
        let three_digits = |number: f64| (number * 1000.0).round() / 1000.0 + 0.0;
        let Step { new_total, old_total, .. } = case.counted;
        (new_total > 0 && old_total > 0).then(|| Compared {
            new: case.new.clone(),
            old: case.old.clone(),
            counted: case.counted,
            ln_e: three_digits(case.evidence.ln_e()),
            needed: three_digits(comparison.decides()),
            margin: comparison.margin,
            above: comparison.above,
            both: self.both,
        })
    }
}

impl Trigger {
    /// Takes what each revision counted in the interval of `sample`, which is all of them together. `new` is the revision
    /// of the newest change, where one is known.
    pub fn compare(
        &mut self,
        sample: &Sample,
        new: Option<&str>,
        arms: &[Arm],
    ) -> Option<super::Transition> {
        self.step(sample, |trigger, rule, sample, known| {
            let Kind::Comparison(comparison) = &rule.kind else { return Status::Unknown.alone() };
            let status = match sample.reading {
                Reading::Counts { .. } => {
                    trigger.advance_window(sample, known, new, arms, comparison);
                    trigger.weigh(sample, new, arms, comparison)
                }
                Reading::Gauge { .. } | Reading::Up | Reading::Down | Reading::Unknown { .. } => {
                    if let Some(versus) = &mut trigger.versus {
                        versus.both = false;
                    }
                    Status::Unknown
                }
            };
            let seen = matches!(status, Status::Breach | Status::Clean);
            trigger.drawn.push(trigger.memory.value.filter(|_| seen));
            status.alone()
        })
    }

    /// What a comparison was based on, as far as there was one.
    pub fn compared(&self) -> Option<Compared> {
        let Kind::Comparison(comparison) = &self.rule.kind else { return None };
        self.versus.as_ref()?.compared(comparison)
    }

    /// How the newest change's revision compares with those beside it now, whatever stands accused, and the lower bound of what
    /// those failed in the last minutes: of a long comparison most is from before a dependency broke.
    pub fn beside(&self) -> Option<(Compared, f64)> {
        let Kind::Comparison(comparison) = &self.rule.kind else { return None };
        let versus = self.versus.as_ref()?;
        let told = versus.told_of(&versus.pair, comparison)?;
        let sum = |(b, t): (u64, u64), (_, bad, total): &(i64, u64, u64)| (b + bad, t + total);
        let (bad, total) = versus.recent.iter().fold((0, 0), sum);
        Some((told, wilson::lower_bound(bad, total, wilson::Z)))
    }

    /// Stands by what it is known to have fired on, where its window was lost or written down before that: silence about the
    /// old revision acquits nobody.
    pub fn stand_by(&mut self, known: &Compared, onset: UnixMs, fired_at: UnixMs) {
        let stands = matches!(self.memory.state, State::Firing | State::Recovering);
        let over = self.memory.resolved_at.is_some_and(|at| at >= fired_at.0);
        if stands || over || !matches!(self.rule.kind, Kind::Comparison(_)) {
            return;
        }
        let fired = Pair {
            old: known.old.clone(),
            counted: known.counted,
            onset: Some(onset.0),
            ..Pair::of(&known.new, known.margin)
        };
        self.versus.get_or_insert_default().fired = Some(fired);
        let memory = &mut self.memory;
        memory.state = State::Firing;
        memory.began = Some(onset.0);
        memory.fired_at = Some(fired_at.0);
        memory.fired_by = Some(super::FiredBy::Comparison);
    }

    /// The trailing window is of the revision that is judged: the one that stands accused, else the new one.
    fn advance_window(
        &mut self,
        sample: &Sample,
        known: Span,
        new: Option<&str>,
        arms: &[Arm],
        comparison: &Comparison,
    ) {
        let versus = self.versus.get_or_insert_default();
        let accused = versus.fired.is_some();
        let Some(window) = &mut self.window else { return };
        if let Some(new) = new.filter(|new| *new != versus.pair.new) {
            versus.pair = Pair::of(new, comparison.margin);
            versus.recent.clear();
            if !accused {
                window.clear();
            }
        }
        let of = arms.iter().find(|arm| arm.revision == versus.case().new);
        match of.and_then(|arm| counts(&arm.sample)) {
            Some((bad, total)) if total > 0 => window.push(sample.at, known, bad, total),
            Some(_) | None => window.advance(sample.at),
        }
    }

    fn weigh(
        &mut self,
        sample: &Sample,
        new: Option<&str>,
        arms: &[Arm],
        comparison: &Comparison,
    ) -> Status {
        let share = self.bucket().map(|bucket| bucket.ratio());
        self.memory.value = share;
        let recovery = self.rule.hold.recovery;
        let Some(versus) = self.versus.as_deref_mut() else { return Status::Unknown };
        let step = new.and_then(|new| step_of(new, arms));
        versus.both = step.is_some();
        versus.keep_recent(sample.at, step.as_ref().map(|(step, _)| step));
        let mut decided = false;
        if let Some((step, old)) = step {
            versus.pair.add(&step, old, sample, comparison.above.0, recovery);
            decided = versus.pair.decides(comparison);
        }
        let Some(fired) = &mut versus.fired else {
            if decided {
                versus.fired = Some(versus.pair.clone());
                return Status::Breach;
            }
            return if versus.both { Status::Clean } else { Status::Idle };
        };
        let known = fired.counted.old_total;
        if fired.new == versus.pair.new && versus.pair.counted.old_total >= known {
            fired.clone_from(&versus.pair);
        } else if decided {
            // Another change, as bad: the incident goes on, about this one.
            fired.clone_from(&versus.pair);
            // As if it fired anew, or the journal would go on naming the one before.
            self.memory.began = fired.onset;
            self.memory.fired_at = Some(sample.at.0);
            if let Some(window) = &mut self.window {
                window.clear();
            }
            return Status::Breach;
        }
        let answers = arms.iter().find(|arm| arm.revision == fired.new);
        let limit = fired.limit(comparison);
        match answers.and_then(|arm| counts(&arm.sample)) {
            Some((_, total)) if total > 0 => match (share, limit) {
                (Some(share), Some(limit)) if share > limit => Status::Breach,
                (Some(_), Some(_)) => Status::Clean,
                (None, _) | (_, None) => Status::Idle,
            },
            // It serves nobody any more.
            Some(_) => Status::Clean,
            // Gone, and something else is to serve: that is over. If it is still to serve, its silence says nothing.
            None if new.is_some_and(|new| new != fired.new) => Status::Clean,
            None => Status::Idle,
        }
    }
}

impl Rule {
    /// For how long a process that has just started is not compared, where this compares.
    pub fn ignores_first(&self) -> Option<Span> {
        let Kind::Comparison(comparison) = &self.kind else { return None };
        Some(comparison.ignore_first)
    }
}

fn counts(sample: &Sample) -> Option<(u64, u64)> {
    let Reading::Counts { bad, total } = sample.reading else { return None };
    Some((bad.min(total), total))
}

/// One step of the comparison, and the old revisions' names: where both answered, over about the same time.
fn step_of(new: &str, arms: &[Arm]) -> Option<(Step, String)> {
    let told = |arm: &&Arm| counts(&arm.settled).is_some_and(|(_, total)| total > 0);
    let mine = arms.iter().filter(told).find(|arm| arm.revision == new)?;
    let width = mine.settled.width.as_seconds();
    let alike = |arm: &&Arm| {
        let other = arm.settled.width.as_seconds();
        width.max(other) <= width.min(other) * ALIKE
    };
    let (new_bad, new_total) = counts(&mine.settled)?;
    let mut step = Step { new_bad, new_total, ..Step::default() };
    let mut names = vec![];
    // Who does not say which revision it is may be either.
    let named = |arm: &&Arm| !arm.revision.is_empty() && arm.revision != new;
    for arm in arms.iter().filter(named).filter(told).filter(alike) {
        let (bad, total) = counts(&arm.settled)?;
        step.old_bad += bad;
        step.old_total += total;
        names.push(arm.revision.as_str());
    }
    if names.len() > NAMED {
        names.truncate(NAMED);
        names.push("others");
    }
    (step.old_total > 0).then(|| (step, names.join(", ")))
}

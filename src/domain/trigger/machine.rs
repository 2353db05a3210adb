//! How a trigger goes from state to state. Policy is in [`Rule`], what an interval says in `judge`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    Escalation, FiredBy, Hold, Kind, Ratio, Rule, State, Transition,
    drawn::Drawn,
    hold::{Counting, Seen},
    judge::{Judged, Status},
    rule::BUCKET_WIDTHS,
    versus::Versus,
};
use crate::{
    domain::{
        severity::Severity,
        signal::{Reading, Sample},
        wilson,
        window::{Kept, Window},
    },
    units::{Span, UnixMs},
};

/// What a trigger remembers beside its window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Memory {
    pub(super) state: State,
    /// When the state was entered.
    pub(super) since: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) newest: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) known_at: Option<i64>,
    /// The end of the newest interval that was in breach or clean; one without requests is neither.
    pub(super) judged_at: Option<i64>,
    /// Consecutive clean time, for recovery.
    pub(super) clean_run: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) resolved_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fired_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fired_by: Option<FiredBy>,
    pub(super) escalated: bool,
    /// The onset as it was when it fired.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) began: Option<i64>,
    /// The start of the newest breach that interrupted a recovery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) relapsed: Option<i64>,
    #[serde(skip_serializing_if = "Seen::is_none")]
    pub(super) seen: Seen,
    #[serde(skip_serializing_if = "Seen::is_none")]
    pub(super) majority: Seen,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) value: Option<f64>,
    pub(super) idle: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) baseline: Option<f64>,
}

/// A trigger written down, to survive a restart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    memory: Memory,
    #[serde(with = "crate::domain::window::as_text")]
    window: Vec<Kept>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    versus: Option<Box<Versus>>,
}

/// A rule, applied to the samples of one signal.
#[derive(Clone, Debug)]
pub struct Trigger {
    pub(super) rule: Arc<Rule>,
    pub(super) step: Span,
    pub(super) memory: Memory,
    /// Boxed: most triggers have none.
    pub(super) window: Option<Box<Window>>,
    pub(super) drawn: Drawn,
    /// Boxed: only a comparison has any.
    pub(super) versus: Option<Box<Versus>>,
}

impl Trigger {
    /// A trigger that has seen nothing. `step` is how often the signal is read: more than that in one sample
    /// is unknown time.
    pub fn new(rule: Arc<Rule>, step: Span) -> Self {
        let window = window_for(&rule, step);
        let (memory, drawn) = (Memory::default(), Drawn::default());
        Self { rule, step, memory, window, drawn, versus: None }
    }

    /// A trigger as it was when `snapshot` was taken; the rule may have changed since.
    pub fn restore(rule: Arc<Rule>, step: Span, snapshot: &Snapshot) -> Self {
        let mut trigger = Self::new(rule, step);
        trigger.memory = snapshot.memory;
        if matches!(trigger.rule.kind, Kind::Comparison(_)) {
            trigger.versus.clone_from(&snapshot.versus);
        }
        if let Some(window) = &mut trigger.window {
            window.refill(&snapshot.window);
        }
        trigger
    }

    /// What to write down.
    pub fn snapshot(&self) -> Snapshot {
        let window = self.window.as_deref().map(Window::keep).unwrap_or_default();
        Snapshot { memory: self.memory, window, versus: self.versus.clone() }
    }

    /// Follows another rule from now on, over a signal that is read every `step`, keeping what was seen.
    pub fn adopt(&mut self, rule: Arc<Rule>, step: Span) {
        let margin = |rule: &Rule| {
            let Kind::Comparison(comparison) = rule.kind else { return None };
            Some(comparison.margin)
        };
        let (before, now) = (margin(&self.rule), margin(&rule));
        if before.is_some() != now.is_some() {
            // What one of them has seen means nothing to the other.
            *self = Self::new(rule, step);
            return;
        }
        let (snapshot, drawn) = (self.snapshot(), std::mem::take(&mut self.drawn));
        *self = Self { drawn, ..Self::restore(rule, step, &snapshot) };
        if let (Some(versus), Some(margin)) = (&mut self.versus, now.filter(|_| now != before)) {
            versus.weigh_anew(margin);
        }
    }

    /// Sets what is normal, for a rule that stands on a baseline: the unit's value, or requests a minute.
    /// `None` makes such a trigger know nothing.
    pub fn set_baseline(&mut self, baseline: Option<f64>) {
        self.memory.baseline = baseline;
    }

    /// What is normal, where it was set.
    pub fn baseline(&self) -> Option<f64> {
        self.memory.baseline
    }

    /// Takes the next sample. One that is not newer than the last is ignored: sort before a replay.
    pub fn observe(&mut self, sample: &Sample) -> Option<Transition> {
        self.step(sample, Self::judge)
    }

    pub(super) fn step(
        &mut self,
        sample: &Sample,
        judge: impl FnOnce(&mut Self, &Rule, &Sample, Span) -> Judged,
    ) -> Option<Transition> {
        let known = sample.width.min(self.step);
        // An interval that is unknown for longer than silence lasts cannot tell when its counts came.
        let width =
            if sample.width - known < self.rule.hold.silence { sample.width } else { known };
        let sample = &Sample { width, ..*sample };
        let newer_than = match sample.reading {
            Reading::Unknown { .. } => self.memory.newest,
            Reading::Counts { .. } | Reading::Gauge { .. } | Reading::Up | Reading::Down => {
                self.memory.known_at
            }
        };
        if newer_than.is_some_and(|newest| sample.at.0 <= newest) {
            return None;
        }
        self.memory.newest = self.memory.newest.max(Some(sample.at.0));
        let before = (self.memory.state, self.memory.escalated);
        let rule = Arc::clone(&self.rule);
        let (status, counts, majority) = judge(self, &rule, sample, known);
        let unheard = if status == Status::Unknown { sample.at } else { sample.at - known };
        self.lose_what_is_old(&rule, unheard);
        self.memory.idle = status == Status::Idle;
        match status {
            Status::Unknown => {}
            Status::Idle => self.memory.known_at = Some(sample.at.0),
            Status::Breach => self.breach(&rule, sample, known, counts, majority),
            Status::Clean => self.clean(&rule, sample, known, counts),
        }
        let after = (self.memory.state, self.memory.escalated);
        if before.0 != after.0 {
            self.memory.since = sample.at.0;
        }
        (before != after).then(|| Transition {
            from: before.0,
            to: after.0,
            at: sample.at,
            severity: self.severity(),
        })
    }

    /// Where it is.
    pub fn state(&self) -> State {
        self.memory.state
    }

    /// Whether its newest interval was a breach that has not held for long enough. Where nobody comes any more it was not.
    pub fn is_about_to_fire(&self) -> bool {
        let Memory { state, clean_run, idle, .. } = self.memory;
        state == State::Pending && clean_run == 0 && !idle
    }

    /// When it fell back into breach, of a recovery that was not at its end.
    pub fn relapsed_at(&self) -> Option<UnixMs> {
        self.memory.relapsed.map(UnixMs)
    }

    /// How bad it is, or would be if it fired now.
    pub fn severity(&self) -> Severity {
        match &self.rule.kind {
            Kind::Ratio(Ratio { escalation: Some(escalation), .. }) if self.memory.escalated => {
                self.rule.severity.worse(escalation.severity)
            }
            Kind::Ratio(_)
            | Kind::Gauge(_)
            | Kind::Boolean
            | Kind::Traffic(_)
            | Kind::Event { .. }
            | Kind::Comparison(_) => self.rule.severity,
        }
    }

    /// The rule it follows.
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// The end of the newest interval that was in breach or clean: of what nobody asks for, nobody knows whether it
    /// still fails.
    pub fn judged_at(&self) -> Option<UnixMs> {
        self.memory.judged_at.map(UnixMs)
    }

    /// How long nothing has been known at `now`; `None` when nothing ever was.
    pub fn silent_for(&self, now: UnixMs) -> Option<Span> {
        self.memory.known_at.map(|at| now.since(UnixMs(at)))
    }

    /// Forgets everything seen, keeping rule and baseline: after a rollback what was seen before it says
    /// nothing about the revision that serves now.
    pub fn forget(&mut self) {
        self.memory = Memory { baseline: self.memory.baseline, ..Memory::default() };
        if let Some(window) = &mut self.window {
            window.clear();
        }
        self.versus = None;
        self.drawn = Drawn::default();
    }

    /// A person says that a latched event is dealt with.
    pub fn release(&mut self, at: UnixMs) -> Option<Transition> {
        let from = self.memory.state;
        let Kind::Event { .. } = self.rule.kind else { return None };
        if from != State::Firing && from != State::Recovering {
            return None;
        }
        self.resolve(at.0);
        self.memory.since = at.0;
        Some(Transition { from, to: State::Ok, at, severity: self.severity() })
    }

    /// Whether breaches that come and go are enough by themselves (R1b), at the newest sample.
    pub fn recurs(&self) -> bool {
        let Kind::Ratio(ratio) = &self.rule.kind else { return false };
        self.recurs_by(ratio)
    }

    /// The newest values, oldest first; `None` where nothing was known. At most 60.
    pub fn drawn(&self) -> impl Iterator<Item = Option<f32>> + '_ {
        self.drawn.values()
    }

    /// Bytes this trigger takes, with its window and without the shared rule.
    pub fn memory(&self) -> usize {
        size_of::<Self>() + self.window.as_deref().map_or(0, Window::memory) + self.drawn.memory()
    }

    /// Silence up to `until` loses the onset, and what was fired stays.
    fn lose_what_is_old(&mut self, rule: &Rule, until: UnixMs) {
        let memory = &mut self.memory;
        let silent = memory.known_at.map_or(0, |at| until.0 - at);
        if silent < rule.hold.silence.ms() {
            return;
        }
        memory.clean_run = 0;
        // Firing or not: two bad minutes an hour apart are not two minutes of it.
        memory.majority.forget();
        match memory.state {
            State::Ok | State::Pending => {
                memory.state = State::NoData;
                memory.seen.forget();
            }
            State::NoData | State::Firing | State::Recovering => {}
        }
    }

    fn breach(
        &mut self,
        rule: &Rule,
        sample: &Sample,
        known: Span,
        counts: (u64, u64),
        majority: bool,
    ) {
        let memory = &mut self.memory;
        memory.known_at = Some(sample.at.0);
        memory.judged_at = Some(sample.at.0);
        memory.clean_run = 0;
        memory.seen.breach(sample, known, counts);
        if memory.state == State::Recovering {
            memory.relapsed = Some((sample.at - known).0);
        }
        memory.state = match memory.state {
            State::NoData | State::Ok | State::Pending => State::Pending,
            State::Firing | State::Recovering => State::Firing,
        };
        let firing = memory.state == State::Firing;
        let at_once = match rule.kind {
            Kind::Event { .. } => Some(FiredBy::Event),
            Kind::Comparison(_) => Some(FiredBy::Comparison),
            Kind::Ratio(_) | Kind::Gauge(_) | Kind::Boolean | Kind::Traffic(_) => None,
        };
        let ratio = match &rule.kind {
            Kind::Ratio(ratio) => Some(ratio),
            Kind::Gauge(_)
            | Kind::Boolean
            | Kind::Traffic(_)
            | Kind::Event { .. }
            | Kind::Comparison(_) => None,
        };
        if let Some((ratio, escalation)) = ratio.and_then(|ratio| Some((ratio, ratio.escalation?)))
        {
            self.watch_majority(rule, ratio, &escalation, sample, known, counts, majority);
        }
        if firing {
            return;
        }
        let counting = ratio.map(counting);
        if let Some(by) = at_once {
            self.fire(sample.at, by);
        } else if self.memory.seen.fires(sample.at, &rule.hold, counting.as_ref()) {
            self.fire(sample.at, FiredBy::Hold);
        } else if self.memory.escalated {
            self.fire(sample.at, FiredBy::Escalation);
        } else if ratio.is_some_and(|ratio| self.recurs_by(ratio)) {
            self.fire(sample.at, FiredBy::Recurrent);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one interval and its judgement, taken apart")]
    fn watch_majority(
        &mut self,
        rule: &Rule,
        ratio: &Ratio,
        escalation: &Escalation,
        sample: &Sample,
        known: Span,
        counts: (u64, u64),
        majority: bool,
    ) {
        let seen = &mut self.memory.majority;
        if !majority {
            seen.clean(sample, known, counts);
            if seen.clean_run > rule.hold.grace.ms() {
                seen.forget();
            }
            return;
        }
        seen.breach(sample, known, counts);
        let hold = Hold { lasts: escalation.lasts, ..rule.hold };
        let counting = Counting { above: escalation.above, or_equal: true, ..counting(ratio) };
        if !self.memory.escalated && seen.fires(sample.at, &hold, Some(&counting)) {
            self.memory.escalated = true;
        }
    }

    fn clean(&mut self, rule: &Rule, sample: &Sample, known: Span, counts: (u64, u64)) {
        let memory = &mut self.memory;
        memory.known_at = Some(sample.at.0);
        memory.judged_at = Some(sample.at.0);
        memory.clean_run += known.ms();
        memory.seen.clean(sample, known, counts);
        memory.majority.clean(sample, known, counts);
        if memory.majority.clean_run > rule.hold.grace.ms() {
            memory.majority.forget();
        }
        match memory.state {
            State::NoData | State::Ok => memory.state = State::Ok,
            State::Pending if memory.seen.clean_run > rule.hold.grace.ms() => {
                memory.state = State::Ok;
                memory.seen.forget();
            }
            State::Pending => {}
            State::Firing | State::Recovering => {
                let latched = matches!(rule.kind, Kind::Event { latched: true });
                if !latched {
                    memory.state = State::Recovering;
                    if memory.clean_run >= rule.hold.recovery.ms() {
                        self.resolve(sample.at.0);
                    }
                }
                return;
            }
        }
        if let Kind::Ratio(ratio) = &rule.kind
            && self.recurs_by(ratio)
        {
            self.fire(sample.at, FiredBy::Recurrent);
        }
    }

    fn recurs_by(&self, ratio: &Ratio) -> bool {
        let (Some(recurrent), Some(window)) = (&ratio.recurrent, &self.window) else {
            return false;
        };
        let seen = window.horizon();
        // What ended in a resolve was answered for; only a breach since then may fire again.
        let fresh = |at: UnixMs| {
            self.memory.newest.is_some_and(|now| now - at.0 < recurrent.within.ms())
                && self.memory.resolved_at.is_none_or(|resolved| at.0 > resolved)
        };
        seen.breached >= recurrent.breached
            && seen.episodes >= recurrent.episodes
            && seen.last_breach.is_some_and(fresh)
            && wilson::lower_bound(seen.bad, seen.total, ratio.z) > ratio.above.0
    }

    fn fire(&mut self, at: UnixMs, by: FiredBy) {
        let memory = &mut self.memory;
        memory.state = State::Firing;
        memory.fired_at = Some(at.0);
        memory.fired_by = Some(by);
        memory.began = match (by, &self.window) {
            (FiredBy::Recurrent, Some(window)) => window.first_breach().map(|at| at.0),
            (FiredBy::Comparison, _) => {
                let onset = self.versus.as_ref().and_then(|versus| versus.case().onset);
                onset.or(memory.seen.onset)
            }
            (FiredBy::Recurrent | FiredBy::Hold | FiredBy::Escalation | FiredBy::Event, _) => {
                memory.seen.onset
            }
        };
    }

    fn resolve(&mut self, at: i64) {
        let memory = &mut self.memory;
        memory.state = State::Ok;
        memory.resolved_at = Some(at);
        memory.fired_at = None;
        memory.began = None;
        memory.relapsed = None;
        memory.fired_by = None;
        memory.escalated = false;
        memory.seen.forget();
        memory.majority.forget();
        if let (Some(versus), Kind::Comparison(comparison)) = (&mut self.versus, &self.rule.kind) {
            versus.acquit(comparison.margin);
        }
    }
}

fn window_for(rule: &Rule, step: Span) -> Option<Box<Window>> {
    let (horizon, buckets) = match &rule.kind {
        Kind::Ratio(ratio) => {
            let horizon = ratio.recurrent.map_or(Span::ZERO, |recurrent| recurrent.horizon);
            (horizon, ratio.buckets)
        }
        Kind::Comparison(_) => (Span::ZERO, BUCKET_WIDTHS),
        Kind::Gauge(_) | Kind::Boolean | Kind::Traffic(_) | Kind::Event { .. } => return None,
    };
    Some(Box::new(Window::new(step, horizon, buckets)))
}

pub(super) fn counting(ratio: &Ratio) -> Counting {
    Counting {
        above: ratio.above,
        or_equal: false,
        z: ratio.z,
        errors: ratio.errors,
        span_share: ratio.span_share,
    }
}

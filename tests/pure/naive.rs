//! R1 and R1b written down as they read, rescanning everything at each sample: the oracle for the incremental
//! window and the bench's other side. Ratio rules only, without escalation.

use rollbackd::{
    domain::{
        signal::{Reading, Sample},
        trigger::{Kind, Ratio, Rule, State},
        wilson::lower_bound,
    },
    units::{Span, UnixMs},
};

#[derive(Clone, Copy)]
struct Tick {
    at: i64,
    start: i64,
    known: i64,
    bad: u64,
    total: u64,
    /// In breach, clean, or a marker that silence interrupted what came before.
    breach: Option<bool>,
}

pub(crate) struct Naive {
    rule: Rule,
    step: Span,
    ticks: Vec<Tick>,
    pub(crate) state: State,
    onset: Option<usize>,
    known_at: Option<i64>,
    newest: i64,
    resolved_at: i64,
}

impl Naive {
    pub(crate) fn new(rule: Rule, step: Span) -> Self {
        Self {
            rule,
            step,
            ticks: Vec::new(),
            state: State::NoData,
            onset: None,
            known_at: None,
            newest: i64::MIN,
            resolved_at: i64::MIN,
        }
    }

    pub(crate) fn observe(&mut self, sample: &Sample) -> State {
        let Kind::Ratio(ratio) = self.rule.kind.clone() else { return State::NoData };
        let known = sample.width.min(self.step);
        let at = sample.at.0;
        self.newest = at;
        let hold = self.rule.hold;
        let Reading::Counts { bad, total } = sample.reading else {
            self.lose(at);
            return self.state;
        };
        let too_wide = sample.width - known >= hold.silence;
        let start = at - if too_wide { known.ms() } else { sample.width.ms() };
        let mut tick = Tick { at, start, known: known.ms(), bad, total, breach: None };
        if total == 0 {
            let any = self.sum(at - ratio.buckets[4].ms()).1 > 0;
            self.lose(if any { at - known.ms() } else { at });
            if any {
                self.known_at = Some(at);
            }
            return self.state;
        }
        self.lose(at - known.ms());
        self.known_at = Some(at);
        self.ticks.push(tick);
        let sums = ratio.buckets.map(|width| self.sum(at - width.ms()));
        let (bad, total) = sums.into_iter().find(|sum| sum.1 >= ratio.requests).unwrap_or(sums[4]);
        let breach = bad as f64 / total as f64 > ratio.above.0;
        tick.breach = Some(breach);
        let newest = self.ticks.len() - 1;
        self.ticks[newest] = tick;
        if breach {
            self.breach(newest, &ratio)
        } else {
            self.clean(&ratio)
        }
        self.state
    }

    fn sum(&self, after: i64) -> (u64, u64) {
        self.ticks
            .iter()
            .rev()
            .take_while(|tick| tick.at > after)
            .fold((0, 0), |sum, tick| (sum.0 + tick.bad, sum.1 + tick.total))
    }

    fn lose(&mut self, until: i64) {
        if self.known_at.is_some_and(|at| until - at >= self.rule.hold.silence.ms()) {
            if matches!(self.state, State::Ok | State::Pending) {
                self.state = State::NoData;
                self.onset = None;
            }
            // An empty marker: clean time does not reach across it.
            let tick = Tick { at: until, start: until, known: 0, bad: 0, total: 0, breach: None };
            if self.ticks.last().is_some_and(|last| last.breach.is_some()) {
                self.ticks.push(tick);
            }
        }
    }

    fn breach(&mut self, newest: usize, ratio: &Ratio) {
        let onset = *self.onset.get_or_insert(newest);
        self.state = match self.state {
            State::Firing | State::Recovering => State::Firing,
            State::NoData | State::Ok | State::Pending => {
                let fires = self.holds(onset, ratio) || self.recurs(ratio);
                if fires { State::Firing } else { State::Pending }
            }
        };
    }

    fn clean(&mut self, ratio: &Ratio) {
        let run = |ticks: &[Tick]| -> i64 {
            let clean = |tick: &&Tick| tick.breach == Some(false);
            ticks.iter().rev().take_while(clean).map(|tick| tick.known).sum()
        };
        match self.state {
            State::Firing | State::Recovering => {
                self.state = State::Recovering;
                if run(&self.ticks) >= self.rule.hold.recovery.ms() {
                    self.state = State::Ok;
                    self.onset = None;
                    self.resolved_at = self.newest;
                }
                return;
            }
            State::Pending => {
                if run(&self.ticks) > self.rule.hold.grace.ms() {
                    self.state = State::Ok;
                    self.onset = None;
                }
            }
            State::NoData | State::Ok => self.state = State::Ok,
        }
        if self.recurs(ratio) {
            self.state = State::Firing;
        }
    }

    fn holds(&self, onset: usize, ratio: &Ratio) -> bool {
        let since = &self.ticks[onset..];
        let hold = &self.rule.hold;
        let in_breach = || since.iter().filter(|tick| tick.breach == Some(true));
        let breached: i64 = in_breach().map(|tick| tick.known).sum();
        let known: i64 = since.iter().map(|tick| tick.known).sum();
        let (mut run, mut longest) = (0, 0);
        for tick in since {
            run = if tick.breach == Some(true) { 0 } else { run + tick.known };
            longest = longest.max(run);
        }
        let mut with_errors = since.iter().filter(|tick| tick.bad > 0);
        let first = with_errors.next();
        let last = with_errors.next_back().or(first);
        let span = first.zip(last).map_or(0, |(first, last)| last.at - first.start);
        let bad: u64 = since.iter().map(|tick| tick.bad).sum();
        let total: u64 = since.iter().map(|tick| tick.total).sum();
        self.newest - since[0].start >= hold.lasts.ms()
            && breached as f64 / known as f64 >= hold.share.0
            && longest <= hold.grace.ms()
            && in_breach().count() >= hold.samples as usize
            && bad >= ratio.errors
            && span as f64 >= ratio.span_share.0 * hold.lasts.ms() as f64
            && bad as f64 / total as f64 > ratio.above.0
            && lower_bound(bad, total, ratio.z) > ratio.above.0
    }

    pub(crate) fn recurs(&self, ratio: &Ratio) -> bool {
        let Some(recurrent) = &ratio.recurrent else { return false };
        let after = self.newest - recurrent.horizon.ms();
        let (mut breached, mut episodes, mut last, mut before) = (0, 0, i64::MIN, false);
        for tick in self.ticks.iter().skip_while(|tick| tick.at <= after) {
            let Some(breach) = tick.breach else { continue };
            if breach {
                breached += tick.known;
                episodes += u32::from(!before);
                last = tick.at;
            }
            before = breach;
        }
        let (bad, total) = self.sum(after);
        breached >= recurrent.breached.ms()
            && episodes >= recurrent.episodes
            && last != i64::MIN
            && self.newest - last < recurrent.within.ms()
            && last > self.resolved_at
            && lower_bound(bad, total, ratio.z) > ratio.above.0
    }

    /// Gives up ticks that no rule can reach any more, so that a long run rescans only what it must.
    pub(crate) fn trim(&mut self, at: UnixMs) {
        let keep = |tick: &Tick| at.0 - tick.at < 3_600_000;
        let drop = self.ticks.iter().take_while(|tick| !keep(tick)).count();
        let drop = drop.min(self.onset.unwrap_or(usize::MAX));
        self.ticks.drain(..drop);
        self.onset = self.onset.map(|onset| onset - drop);
    }
}

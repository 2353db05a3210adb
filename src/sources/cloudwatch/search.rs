//! Whose question it is that is refused: CloudWatch refuses a whole request for one wrong expression in it, up to 500 queries of others with it.
//!
//! What was refused together is asked for again in two parts, until whoever is refused is alone. Nobody asks for that one again for a
//! while, and then alone. Nothing here sends.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{
    Spec,
    request::{Batch, batches},
};
use crate::{
    aws::{Fault, Kind},
    units::{Span, UnixMs},
};

/// So many requests one poll may take beside those that it takes when nothing is refused.
pub(super) const MORE_MAX: usize = 64;
/// So long who was refused is not asked for again.
pub(super) const BARRED: Span = Span::minutes(15);

/// The requests of one poll, and of whom they were refused.
#[derive(Debug)]
pub(super) struct Search<'s> {
    specs: &'s [Spec],
    waiting: VecDeque<Batch>,
    /// How many more may be sent.
    more: usize,
    /// Who is asked for alone because CloudWatch spoke of it.
    spoken_of: BTreeSet<usize>,
    /// Whether what it speaks of was what it refuses, so far.
    is_believed: bool,
    /// Whether anybody was answered.
    any_answered: bool,
    refused: BTreeMap<usize, Fault>,
}

impl<'s> Search<'s> {
    /// Asks for these signals.
    pub(super) fn of(specs: &'s [Spec], signals: impl IntoIterator<Item = usize>) -> Self {
        Self {
            specs,
            waiting: batches(specs, signals).into(),
            more: MORE_MAX,
            spoken_of: BTreeSet::new(),
            is_believed: true,
            any_answered: false,
            refused: BTreeMap::new(),
        }
    }

    /// Asks for this one too, alone, if so many requests are left.
    fn alone(&mut self, signal: usize) -> bool {
        let has_room = self.more > 0;
        if has_room {
            self.more -= 1;
            self.waiting.extend(batches(self.specs, [signal]));
        }
        has_room
    }

    /// What is asked for next.
    pub(super) fn next(&mut self) -> Option<Batch> {
        self.waiting.pop_front()
    }

    /// It was answered.
    pub(super) fn answered(&mut self, batch: &Batch) {
        self.any_answered = true;
        if let [(signal, _)] = batch.signals.as_slice() {
            // It was somebody else: whoever believes it again asks for one after the other.
            self.is_believed &= !self.spoken_of.contains(signal);
        }
    }

    /// It was not: what is wrong with all signals of it; nothing where they are asked for again, in two parts.
    pub(super) fn failed(&mut self, batch: &Batch, fault: Fault) -> Option<Fault> {
        let Kind::Refused { .. } = fault.kind else { return Some(fault) };
        let signals: Vec<usize> = batch.signals.iter().map(|(signal, _)| *signal).collect();
        if let [signal] = signals[..] {
            let fault = Fault { said: batch.in_words(&fault.said), ..fault };
            self.refused.insert(signal, fault.clone());
            return Some(fault);
        }
        if self.more < 2 {
            let said = format!(
                "one of {} signals that are asked for together, and not yet known which",
                signals.len()
            );
            return Some(Fault { said, ..fault });
        }
        self.more -= 2;
        let spoken_of = batch.spoken_of(&fault.said).filter(|_| self.is_believed);
        self.spoken_of.extend(spoken_of);
        let (one, other): (Vec<usize>, Vec<usize>) = match spoken_of {
            Some(spoken_of) => signals.into_iter().partition(|signal| *signal == spoken_of),
            None => {
                let (one, other) = signals.split_at(signals.len() / 2);
                (one.to_vec(), other.to_vec())
            }
        };
        // One part to its end before the other: of many who are refused some are found in each poll, and never none.
        for part in [other, one] {
            for batch in batches(self.specs, part) {
                self.waiting.push_front(batch);
            }
        }
        None
    }

    /// Whether it was this signal alone that was refused.
    pub(super) fn is_refused(&self, signal: usize) -> bool {
        self.refused.contains_key(&signal)
    }
}

/// Signals that were refused alone, so that they are not asked for together with others: until when not at all, and why.
#[derive(Clone, Debug, Default)]
pub(super) struct Barred(BTreeMap<usize, (UnixMs, Fault)>);

impl Barred {
    /// Asks for all others at once, and for each of these whose time has come alone. And of whom nothing is asked, with what was said.
    pub(super) fn search<'s>(
        &self,
        specs: &'s [Spec],
        now: UnixMs,
    ) -> (Search<'s>, Vec<(usize, Fault)>) {
        let others = (0..specs.len()).filter(|signal| !self.0.contains_key(signal));
        let mut search = Search::of(specs, others);
        let silent = self.0.iter().filter(|(signal, (until, _))| {
            // A clock that was set back is not waited for.
            let is_barred = now < *until && until.since(now) <= BARRED;
            is_barred || !search.alone(**signal)
        });
        let silent = silent.map(|(signal, (_, fault))| (*signal, fault.clone())).collect();
        (search, silent)
    }

    /// What became of them. Where nobody was answered it need not be the doing of one of them.
    pub(super) fn learn(&mut self, search: &Search<'_>, answered: &BTreeSet<usize>, now: UnixMs) {
        self.0.retain(|signal, _| !answered.contains(signal));
        for (signal, fault) in &search.refused {
            if search.any_answered || self.0.contains_key(signal) {
                self.0.insert(*signal, (now + BARRED, fault.clone()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::cloudwatch::{Metric, Term, Wants};

    fn specs(count: usize) -> Vec<Spec> {
        let metric = |name: String| Metric {
            namespace: "Shop".into(),
            name,
            dimensions: BTreeMap::new(),
            stat: "Sum".into(),
        };
        let spec = |number| {
            let bad = Term::Expression(format!("{number}"));
            let total = Term::Metric(metric(format!("requests {number}")));
            Spec { named: BTreeMap::new(), wants: Wants::Ratio { bad, total } }
        };
        (0..count).map(spec).collect()
    }

    /// As a CloudWatch that refuses whatever holds one of these, and says `said` of it. How many requests it took, and who
    /// was answered.
    fn run(
        search: &mut Search<'_>,
        wrong: &[usize],
        said: fn(&Batch, usize) -> String,
    ) -> (usize, BTreeSet<usize>) {
        let (mut requests, mut answered) = (0, BTreeSet::new());
        while let Some(batch) = search.next() {
            requests += 1;
            let has = |signal: &usize| batch.signals.iter().any(|(it, _)| it == signal);
            let Some(culprit) = wrong.iter().copied().find(has) else {
                search.answered(&batch);
                answered.extend(batch.signals.iter().map(|(signal, _)| *signal));
                continue;
            };
            let kind = Kind::Refused { code: "ValidationError".into() };
            search.failed(
                &batch,
                Fault::new("cloudwatch:GetMetricData", kind, &said(&batch, culprit)),
            );
        }
        (requests, answered)
    }

    fn silent(_: &Batch, _: usize) -> String {
        "Something is wrong".into()
    }

    fn id_of(batch: &Batch, signal: usize) -> String {
        let (_, ids) = batch.signals.iter().find(|(it, _)| *it == signal).unwrap();
        format!("Error in expression '{}'", ids[0])
    }

    #[test]
    fn of_many_only_those_are_refused_whose_question_is_wrong() {
        let specs = specs(240);
        let mut search = Search::of(&specs, 0..240);
        let (requests, answered) = run(&mut search, &[137], silent);
        assert_eq!((requests <= 17, answered.len()), (true, 239), "{requests} requests");
        assert!(search.is_refused(137) && !answered.contains(&137));
        let mut search = Search::of(&specs, 0..240);
        let (requests, answered) = run(&mut search, &[137, 12], id_of);
        assert_eq!((requests, answered.len()), (5, 238), "CloudWatch said whose it is");
        let lies: fn(&Batch, usize) -> String = |batch, _| id_of(batch, batch.signals[0].0);
        let mut search = Search::of(&specs, 0..240);
        let (requests, answered) = run(&mut search, &[137], lies);
        assert_eq!((requests <= 19, answered.len()), (true, 239), "{requests} requests");
    }

    #[test]
    fn a_poll_takes_so_many_requests_and_the_next_ones_find_the_rest() {
        let specs = specs(240);
        let wrong: Vec<usize> = (0..240).step_by(8).collect();
        let mut barred = Barred::default();
        let mut known = vec![];
        for minute in 0..12 {
            let now = UnixMs(60_000 * minute);
            let (mut search, _) = barred.search(&specs, now);
            let (requests, answered) = run(&mut search, &wrong, silent);
            assert!(requests <= 1 + MORE_MAX, "{requests} requests");
            barred.learn(&search, &answered, now);
            known.push(answered.len());
        }
        assert_eq!(known.last(), Some(&210), "{known:?}");
    }

    #[test]
    fn who_was_refused_is_asked_for_alone_after_a_while_and_with_the_others_once_answered() {
        let specs = specs(9);
        let mut barred = Barred::default();
        let mut poll = |minute: i64, wrong: &[usize]| {
            let now = UnixMs(60_000 * minute);
            let (mut search, silent_now) = barred.search(&specs, now);
            let (requests, answered) = run(&mut search, wrong, silent);
            barred.learn(&search, &answered, now);
            (requests, silent_now.len(), answered.len())
        };
        assert_eq!(poll(0, &[4]).1, 0);
        assert_eq!(poll(1, &[4]), (1, 1, 8), "it costs nothing");
        assert_eq!(poll(15, &[4]), (2, 0, 8), "alone");
        assert_eq!(poll(16, &[4]), (1, 1, 8));
        assert_eq!(poll(30, &[]), (2, 0, 9));
        assert_eq!(poll(31, &[]), (1, 0, 9));
    }

    /// A request that never could be answered says nothing of one of its signals.
    #[test]
    fn where_everybody_is_refused_nobody_is_barred() {
        let specs = specs(4);
        let mut barred = Barred::default();
        let (mut search, _) = barred.search(&specs, UnixMs(0));
        let (_, answered) = run(&mut search, &[0, 1, 2, 3], silent);
        barred.learn(&search, &answered, UnixMs(0));
        let (_, silent) = barred.search(&specs, UnixMs(60_000));
        assert!(silent.is_empty(), "{silent:?}");
    }
}

//! Entries in whatever order as readings at a steady step: sorted where that harms nobody, left out where it would, and all of it counted.

use std::collections::BTreeMap;

use crate::{
    domain::signal::Unknown,
    units::{Span, UnixMs},
};

/// Readings that are made up for one gap, at most: after so many, nothing is left that another one could change.
pub(super) const GAP_MAX: i64 = 10_000;

/// What was recorded for one time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Entry<T> {
    /// When.
    pub at: UnixMs,
    /// What.
    pub what: T,
}

/// The step, what was mended, and what is known at each time: what was recorded, or why it is unknown.
pub(super) type Steady<T> =
    (Span, BTreeMap<&'static str, usize>, Vec<(UnixMs, Result<T, Unknown>)>);

/// Sorts, and fills gaps with what is unknown. The step is the one that is there most often.
pub(super) fn steady<T: Copy + PartialEq>(mut entries: Vec<Entry<T>>) -> Steady<T> {
    let mut mended: BTreeMap<&'static str, usize> = BTreeMap::new();
    let mut count = |what, times: usize| {
        if times > 0 {
            *mended.entry(what).or_default() += times;
        }
    };
    let backwards = entries.windows(2).filter(|pair| pair[1].at < pair[0].at).count();
    count("out of order (sorted)", backwards);
    entries.sort_by_key(|entry| entry.at);
    let mut once: Vec<(UnixMs, Result<T, Unknown>)> = vec![];
    for same in entries.chunk_by(|one, other| one.at == other.at) {
        let Some(first) = same.first() else { continue };
        if same.iter().all(|entry| entry.what == first.what) {
            count("told again (left out)", same.len() - 1);
            once.push((first.at, Ok(first.what)));
        } else {
            count("contradictions (left out)", 1);
            once.push((first.at, Err(Unknown::Invalid)));
        }
    }
    let mut steps: BTreeMap<i64, usize> = BTreeMap::new();
    for pair in once.windows(2) {
        *steps.entry(pair[1].0.since(pair[0].0).ms()).or_default() += 1;
    }
    let most = steps.iter().max_by_key(|(step, times)| (**times, -**step));
    let step = most.map_or(Span::minutes(1), |(step, _)| Span(*step));
    let mut all: Vec<(UnixMs, Result<T, Unknown>)> = vec![];
    for (at, what) in once {
        if let Some((before, _)) = all.last().copied() {
            let steps = at.since(before).ms() / step.ms();
            count("other steps", usize::from(at.since(before).ms() % step.ms() != 0));
            let made_up = (1..steps.min(GAP_MAX)).map(|n| before + step * n);
            all.extend(made_up.map(|at| (at, Err(Unknown::Absent))));
        }
        all.push((at, what));
    }
    (step, mended, all)
}

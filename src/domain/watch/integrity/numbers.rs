//! What a number was before a change: the newest that was asked for before the change began.
//!
//! It is found when the number is first asked for after the change, and stays however long that is watched.

use serde::{Deserialize, Serialize};

use crate::{
    domain::{integrity::Before, policy::ServicePolicy, state::ServiceState},
    units::UnixMs,
};

/// So many of the newest are remembered: who tells of a change tells within a few looks.
const NUMBERS_MAX: usize = 16;
/// Changes for which it is remembered what was before them.
const CHANGES_MAX: usize = 8;

/// What one check's number was, and when.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::domain::watch) struct Numbers {
    /// The newest last, with when they were asked for.
    newest: Vec<(UnixMs, f64)>,
    /// By when the change began: what was before it, where that was asked for.
    before: Vec<(UnixMs, Option<(UnixMs, f64)>)>,
}

/// When the change began that numbers are compared with: the open incident's, or the newest while it is watched.
pub(super) fn change(policy: &ServicePolicy, state: &ServiceState, now: UnixMs) -> Option<UnixMs> {
    let blamed = state.incident.as_ref().and_then(|incident| incident.change.as_ref());
    Some(blamed.or_else(|| state.watched_change(policy, now))?.started_at)
}

impl Numbers {
    /// What a number is compared with, for a change that began then.
    pub(super) fn before(&mut self, change: Option<UnixMs>) -> Before {
        let Some(change) = change else { return Before::Unchanged };
        let known = self.before.iter().find(|(began, _)| *began == change);
        let before = known.map_or_else(|| self.newest_before(change), |(_, before)| *before);
        if known.is_none() {
            self.before.push((change, before));
            let gone = self.before.len().saturating_sub(CHANGES_MAX);
            self.before.drain(..gone);
        }
        before.map_or(Before::NotAsked, |(at, number)| Before::Number(number, at))
    }

    /// Also of those that only another change is compared with: what began a moment before it was asked for no later.
    fn newest_before(&self, change: UnixMs) -> Option<(UnixMs, f64)> {
        let kept = self.before.iter().filter_map(|(_, before)| *before);
        let all = self.newest.iter().copied().chain(kept);
        all.filter(|(at, _)| *at < change).max_by_key(|(at, _)| *at)
    }

    pub(super) fn note(&mut self, at: UnixMs, number: f64) {
        self.newest.push((at, number));
        let gone = self.newest.len().saturating_sub(NUMBERS_MAX);
        self.newest.drain(..gone);
    }

    /// The wall clock was set.
    pub(super) fn clock_set(&mut self, by_ms: i64) {
        self.newest.iter_mut().for_each(|(at, _)| *at = at.set_by(by_ms));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_from_before_a_change_stays_what_it_is_compared_with() {
        let mut numbers = Numbers::default();
        assert_eq!(numbers.before(None), Before::Unchanged);
        for (at, number) in [(1, 10.0), (2, 20.0), (3, 30.0)] {
            numbers.note(UnixMs(at), number);
        }
        // Told late: two of them came since.
        assert_eq!(numbers.before(Some(UnixMs(2))), Before::Number(10.0, UnixMs(1)));
        for at in 4..100 {
            numbers.note(UnixMs(at), 1.0);
        }
        assert_eq!(numbers.before(Some(UnixMs(2))), Before::Number(10.0, UnixMs(1)));
        assert_eq!(numbers.before(Some(UnixMs(90))), Before::Number(1.0, UnixMs(89)));
        // So long ago that only what another change is compared with is from before it; or nothing is.
        assert_eq!(numbers.before(Some(UnixMs(50))), Before::Number(10.0, UnixMs(1)));
        assert_eq!(numbers.before(Some(UnixMs(1))), Before::NotAsked);
        assert_eq!(numbers.newest.len(), NUMBERS_MAX);
    }
}

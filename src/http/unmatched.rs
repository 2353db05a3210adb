//! Alerts that found no service: kept and shown, so that a wrong label is noticed before it matters.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError},
};

use super::{
    Shared,
    views::{Stray, Strays},
};
use axum::{Json, extract::State};

/// Alerts that are kept; the one not seen for longest makes room.
const UNMATCHED_MAX: usize = 200;

/// The memory.
#[derive(Debug, Default)]
pub(super) struct Unmatched {
    strays: BTreeMap<String, Stray>,
    pub(super) truncated: u64,
    pub(super) beyond_limit: u64,
}

impl Unmatched {
    /// Keeps one; true when it is new.
    pub(super) fn keep(&mut self, stray: Stray) -> bool {
        if let Some(known) = self.strays.get_mut(&stray.fingerprint) {
            let times = known.times + 1;
            *known = Stray { times, ..stray };
            return false;
        }
        if self.strays.len() >= UNMATCHED_MAX {
            let oldest = self.strays.values().min_by_key(|s| s.last_seen);
            if let Some(key) = oldest.map(|s| s.fingerprint.clone()) {
                self.strays.remove(&key);
            }
        }
        self.strays.insert(stray.fingerprint.clone(), stray);
        true
    }

    fn shown(&self) -> Strays {
        let mut alerts: Vec<Stray> = self.strays.values().cloned().collect();
        alerts.sort_by_key(|stray| std::cmp::Reverse(stray.last_seen));
        Strays { alerts, truncated: self.truncated, beyond_limit: self.beyond_limit }
    }
}

/// GET /v1/unmatched
pub(super) async fn list(State(shared): State<Shared>) -> Json<Strays> {
    let shared = Arc::clone(&shared);
    let strays = shared.unmatched.lock().unwrap_or_else(PoisonError::into_inner).shown();
    Json(strays)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::UnixMs;

    #[test]
    fn the_same_alert_counts_up_and_the_list_stays_bounded() {
        let stray = |n: usize| Stray {
            alert: "A".into(),
            fingerprint: format!("{n}"),
            why: "unknown".into(),
            labels: BTreeMap::new(),
            times: 1,
            last_seen: UnixMs(i64::try_from(n).unwrap()),
        };
        let mut unmatched = Unmatched::default();
        assert!(unmatched.keep(stray(0)));
        assert!(!unmatched.keep(stray(0)));
        assert_eq!(unmatched.shown().alerts[0].times, 2);
        for n in 1..=UNMATCHED_MAX {
            unmatched.keep(stray(n));
        }
        let shown = unmatched.shown().alerts;
        assert_eq!((shown.len(), shown[0].fingerprint.as_str()), (UNMATCHED_MAX, "200"));
        assert!(shown.iter().all(|s| s.fingerprint != "0"));
    }
}

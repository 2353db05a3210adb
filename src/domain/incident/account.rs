//! What of an incident is remembered for its report: windows and firings are gone when it is read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Decision;
use crate::{domain::verification::Check, units::UnixMs};

/// Decisions remembered of one incident; the newest is kept whole beside them.
const DECISIONS_MAX: usize = 20;

/// What is remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// What each trigger saw when it fired, or got worse.
    pub fired: BTreeMap<String, String>,
    /// What was decided before, oldest first: when, and the decision in a sentence.
    pub decided: Vec<(UnixMs, String)>,
    /// The checklist as it stood when the verification ended.
    pub checks: Vec<Check>,
}

impl Account {
    /// Remembers a decision that another one follows.
    pub(super) fn decided(&mut self, at: UnixMs, decision: &Decision) {
        if self.decided.len() >= DECISIONS_MAX {
            self.decided.remove(DECISIONS_MAX / 2);
        }
        let mut text = format!("{} as {}", decision.verdict, decision.severity);
        let refused =
            decision.refusing().filter_map(|v| Some(format!("{}: {}", v.guard, v.refusal()?)));
        let why: Vec<String> = decision.because.iter().cloned().chain(refused).collect();
        if !why.is_empty() {
            text.push_str(&format!("; {}", why.join("; ")));
        }
        self.decided.push((at, text));
    }
}

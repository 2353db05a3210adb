//! New revision against old while both serve: evidence that may be looked at at any time, and any number of times.
//!
//! An e-value grows only when the new revision fails more often than the margin allows; that it ever exceeds
//! 1,000 by chance has a probability of at most 0.001, however often one looks.

use serde::{Deserialize, Serialize};

/// How many times as bad as the margin the alternatives are.
const TIMES: [f64; 6] = [1.5, 2.0, 3.0, 5.0, 10.0, 30.0];

/// ln 1000: the evidence that decides, at alpha = 0.001.
pub const DECIDES: f64 = 6.907_755_278_982_137;

/// Requests of both revisions in one step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Requests to the new revision.
    pub new_total: u64,
    /// Of these, failed.
    pub new_bad: u64,
    /// Requests to the old revision.
    pub old_total: u64,
    /// Of these, failed.
    pub old_bad: u64,
}

/// Evidence that the new revision is more than `margin` times as bad as the old.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    margin: f64,
    logs: [f64; 6],
}

impl Default for Evidence {
    /// Twice as bad.
    fn default() -> Self {
        Self::with_margin(2.0)
    }
}

impl Evidence {
    /// No evidence yet. `margin` is at least 1.
    pub fn with_margin(margin: f64) -> Self {
        Self { margin: margin.max(1.0), logs: [0.0; 6] }
    }

    /// Adds a step. One with an empty arm, or without errors, says nothing.
    pub fn add(&mut self, step: &Step) {
        let new_bad = step.new_bad.min(step.new_total) as f64;
        let old_bad = step.old_bad.min(step.old_total) as f64;
        if step.new_total == 0 || step.old_total == 0 || new_bad + old_bad < 0.5 {
            return;
        }
        let new = self.margin * step.new_total as f64;
        let old = step.old_total as f64;
        let expected = new / (new + old);
        for (log, times) in self.logs.iter_mut().zip(TIMES) {
            let worse = times * new / (times * new + old);
            *log += new_bad * (worse / expected).ln()
                + old_bad * ((1.0 - worse) / (1.0 - expected)).ln();
        }
    }

    /// ln of the e-value; 0 without evidence.
    pub fn ln_e(&self) -> f64 {
        let most = self.logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mean = self.logs.iter().map(|log| (log - most).exp()).sum::<f64>() / TIMES.len() as f64;
        most + mean.ln()
    }

    /// Whether it is decided that the new revision is worse.
    pub fn decides(&self) -> bool {
        self.ln_e() >= DECIDES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_arm_says_nothing() {
        let step = |new_total, old_total| Step { new_bad: 5, new_total, old_bad: 5, old_total };
        let mut evidence = Evidence::with_margin(1.0);
        for silent in
            [step(0, 100), step(100, 0), Step { new_bad: 0, old_bad: 0, ..step(100, 100) }]
        {
            evidence.add(&silent);
            assert_eq!(evidence.ln_e(), Evidence::with_margin(1.0).ln_e());
        }
        evidence.add(&Step { new_bad: 50, ..step(100, 100) });
        assert!(evidence.ln_e() > 0.0);
    }
}

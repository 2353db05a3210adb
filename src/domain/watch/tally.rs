//! What was counted since the restored revision serves: the numbers of the verification.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ServiceWatch, pods::PodsSeen, reading::Channel};
use crate::{
    domain::signal::{Reading, Sample},
    units::UnixMs,
};

/// One signal since the rollback.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// How many samples told something.
    pub samples: u32,
    /// Whether the newest poll told nothing.
    pub unknown_now: bool,
    /// Failed requests, or probes.
    pub bad: u64,
    /// All requests.
    pub total: u64,
    /// The newest value of a gauge.
    pub value: Option<f64>,
    /// Good probes since the last bad one.
    pub up_in_a_row: u32,
    /// The upper bound from before the change, for a service that was never perfect.
    pub before_upper: Option<f64>,
}

/// All signals since one rollback.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Tallies {
    /// The incident that is verified.
    pub(super) incident: String,
    /// Samples that begin before this are not the restored revision's.
    pub(super) from: UnixMs,
    /// Since when nothing was failing or unknown, on the steady clock.
    pub(super) holds_since: Option<UnixMs>,
    /// By signal.
    pub(super) signals: BTreeMap<String, Tally>,
    /// Its pods, of a Deployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pods: Option<PodsSeen>,
}

impl ServiceWatch {
    /// What was counted of a signal since the rollback.
    pub fn tally(&self, signal: &str) -> Option<&Tally> {
        self.tallies.as_ref()?.signals.get(signal)
    }

    /// What stands behind the newest that a signal told, for people.
    pub fn note_of(&self, signal: &str) -> Option<&str> {
        self.signals.get(signal)?.note.as_deref()
    }
}

impl Tallies {
    /// Counts a sample, if it is the restored revision's alone.
    pub(super) fn count(
        &mut self,
        signal: &str,
        channel: Channel,
        sample: &Sample,
        before_upper: Option<f64>,
    ) {
        // The slow share is judged by its trigger, the verification looks at the quantile; and whether a probe was
        // answered at all is the same probe again.
        if sample.start() < self.from || matches!(channel, Channel::Slow | Channel::Reach) {
            return;
        }
        let tally = self.signals.entry(signal.to_owned()).or_default();
        tally.before_upper = before_upper.or(tally.before_upper);
        tally.unknown_now = matches!(sample.reading, Reading::Unknown { .. });
        match sample.reading {
            Reading::Counts { bad, total } => {
                tally.bad += bad;
                tally.total += total;
            }
            Reading::Gauge { value, n } => {
                // A quantile over too few requests tells nothing.
                if n.is_none_or(|n| n >= 20) {
                    tally.value = Some(value);
                }
            }
            Reading::Up => tally.up_in_a_row += 1,
            Reading::Down => {
                tally.up_in_a_row = 0;
                tally.bad += 1;
            }
            Reading::Unknown { .. } => return,
        }
        tally.samples += 1;
    }
}

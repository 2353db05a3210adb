//! Triggers: the runbook's with other numbers, or new ones.

use std::str::FromStr;

use serde::Deserialize;

use crate::{
    config::raw::{Placed, Word, keys},
    domain::severity::Severity,
    units::{Multiple, Percent, Span},
};

/// What a trigger looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum Looks {
    /// Failed requests of all.
    ErrorRate,
    /// Requests slower than a multiple of what is normal, of all.
    SlowShare,
    /// The 95th percentile of response time.
    Latency,
    /// Requests a minute.
    Traffic,
    /// Probes: answered as they should be.
    Health,
    /// Probes: answered at all.
    Availability,
    /// Failed requests to the newest change's revision, against those to the ones beside it.
    NewAgainstOld,
    /// What is posted, or an alert.
    Event,
}

/// A threshold in the unit that fits what is looked at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::config) enum Above {
    /// `5%`
    Share(Percent),
    /// `3x`
    Times(Multiple),
    /// `2s`
    Time(Span),
}

impl FromStr for Above {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim().chars().last() {
            Some('%') => text.parse().map(Self::Share),
            Some('x') => text.parse().map(Self::Times),
            Some(_) | None => text.parse().map(Self::Time).map_err(|_| {
                format!(
                    "`{text}` is not a threshold; write it like \"5%\" of the requests, \"2s\" or \"3x\" what is normal"
                )
            }),
        }
    }
}

keys! {
    /// `[trigger.NAME]`.
    Trigger {
        enabled: Option<bool>,
        looks_at: Placed<Looks>,
        severity: Option<Word<Severity>>,
        may_act: Option<bool>,
        above: Placed<Word<Above>>,
        below: Placed<Percent>,
        slower_than: Placed<Multiple>,
        holds_for: Placed<Span>,
        recovers_after: Option<Span>,
        grace: Placed<Span>,
        share: Option<Percent>,
        samples: Placed<u32>,
        silence: Placed<Span>,
        confidence: Placed<f64>,
        errors: Option<u64>,
        span_share: Option<Percent>,
        buckets: Placed<Vec<Span>>,
        requests: Option<u64>,
        least_per_minute: Option<f64>,
        latched: Option<bool>,
        margin: Placed<Multiple>,
        alpha: Placed<f64>,
        ignore_first: Option<Span>,
        recurrent: Recurrent,
        escalation: Escalation,
    }
}

keys! {
    /// `[trigger.NAME.recurrent]`: breaches that come and go.
    Recurrent {
        enabled: Option<bool>,
        horizon: Placed<Span>,
        breached: Placed<Span>,
        episodes: Option<u32>,
        within: Option<Span>,
    }
}

keys! {
    /// `[trigger.NAME.escalation]`: worse, and sooner.
    Escalation {
        enabled: Option<bool>,
        above: Placed<Percent>,
        holds_for: Placed<Span>,
        severity: Option<Word<Severity>>,
    }
}

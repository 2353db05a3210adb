//! What a trigger stands on, and what it waits for: the record that log, notice, report and `explain` show.

use serde::{Deserialize, Serialize};

use super::{Compared, Comparison, Kind, State, Trigger, Unit, machine::counting};
use crate::{
    domain::{
        severity::Severity,
        wilson,
        window::{Bucket, Horizon},
    },
    units::{Percent, Span, UnixMs},
};

/// Which part of the rule fired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FiredBy {
    /// The breach held (R1).
    Hold,
    /// Breaches came and went (R1b).
    Recurrent,
    /// It was so bad that it did not have to hold as long.
    Escalation,
    /// It was true at once.
    Event,
    /// The new revision is proven to fail more often than the old.
    Comparison,
}

/// What a trigger stands on at its newest sample.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Where it is.
    pub state: State,
    /// When it came to be there.
    pub since: UnixMs,
    /// How bad it is, or would be if it fired now.
    pub severity: Severity,
    /// The start of the first breaching interval; for R1b, of the first in its horizon.
    pub onset: Option<UnixMs>,
    /// When it fired, if it has and is not resolved.
    pub fired_at: Option<UnixMs>,
    /// What fired it.
    pub fired_by: Option<FiredBy>,
    /// The end of the newest interval seen, known or not.
    pub newest: Option<UnixMs>,
    /// The end of the newest interval in which something was known.
    pub known: Option<UnixMs>,
    /// Failed requests since the onset (R1b: in the horizon); 0 where nothing is counted.
    pub bad: u64,
    /// All requests since the onset (R1b: in the horizon); 0 where nothing is counted.
    pub total: u64,
    /// `bad / total`, in 0..=1: what people are paged with.
    pub estimate: Option<f64>,
    /// Wilson's lower bound of it: what acting stands on.
    pub lower_bound: Option<f64>,
    /// The newest value: the bucket's ratio, the gauge, requests a minute, or 1 for down.
    pub value: Option<f64>,
    /// What the value is compared with; `None` without a baseline, and for up and down.
    pub threshold: Option<f64>,
    /// What value and threshold are measured in.
    pub unit: Unit,
    /// Breaching samples since the onset.
    pub samples: u32,
    /// The share of the known time since the onset that was in breach.
    pub breach_share: Percent,
    /// The longest run of clean time since the onset.
    pub longest_clean: Span,
    /// The trailing width that was judged.
    pub bucket: Option<Bucket>,
    /// What R1b looks at, where it is asked for.
    pub horizon: Option<Horizon>,
    /// The new revision and the old, where they are compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compared: Option<Compared>,
}

/// One thing that keeps a trigger from firing (or, while recovering, from being resolved).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "waits_for")]
pub enum Wait {
    /// Nothing is known about the signal.
    Data,
    /// There is no baseline to compare with, or too thin a one.
    Baseline,
    /// The newest value is not in breach.
    Breach {
        /// The newest value.
        value: Option<f64>,
        /// What it would have to exceed (for traffic: to stay below).
        threshold: Option<f64>,
    },
    /// The newest interval had no requests.
    Traffic,
    /// The breach has to hold longer.
    Hold {
        /// How much longer.
        remaining: Span,
    },
    /// Too little of the known time was in breach.
    Share {
        /// The share so far.
        share: Percent,
        /// The share asked for.
        needed: Percent,
    },
    /// Too few breaching samples.
    Samples {
        /// How many so far.
        seen: u32,
        /// How many are asked for.
        needed: u32,
    },
    /// Too few errors.
    Errors {
        /// How many since the onset.
        seen: u64,
        /// How many are asked for.
        needed: u64,
    },
    /// All errors lie close together.
    ErrorsApart {
        /// From the first to the last.
        span: Span,
        /// How far apart they have to be.
        needed: Span,
    },
    /// The lower bound since the onset is not above the threshold: too little evidence, or too mild.
    Bound {
        /// The bound so far.
        lower_bound: f64,
        /// What it has to exceed.
        threshold: f64,
    },
    /// Clean time is missing before it is resolved.
    Recovery {
        /// How much.
        remaining: Span,
    },
    /// A person has to release it.
    Release,
    /// Only one revision answers, or nobody says which is new: there is nothing to compare.
    Both,
    /// That the new revision is worse than the old is not proven.
    Proof {
        /// ln of the evidence so far.
        ln_e: f64,
        /// What decides.
        needed: f64,
    },
}

impl Trigger {
    /// What it stands on.
    pub fn evidence(&self) -> Evidence {
        let memory = &self.memory;
        let seen = &memory.seen;
        let ratio = self.ratio();
        let horizon = ratio
            .filter(|ratio| ratio.recurrent.is_some())
            .and(self.window.as_ref())
            .map(|window| window.horizon());
        let (bad, total) = match (memory.fired_by, horizon) {
            (Some(FiredBy::Recurrent), Some(horizon)) => (horizon.bad, horizon.total),
            (Some(_) | None, _) => (seen.bad, seen.total),
        };
        let (bad, total) = self.versus.as_ref().map_or((bad, total), |versus| versus.counted());
        let z = match &self.rule.kind {
            Kind::Ratio(ratio) => Some(ratio.z),
            Kind::Comparison(_) => Some(wilson::Z),
            Kind::Gauge(_) | Kind::Boolean | Kind::Traffic(_) | Kind::Event { .. } => None,
        };
        let counted = z.filter(|_| total > 0);
        Evidence {
            state: memory.state,
            since: UnixMs(memory.since),
            severity: self.severity(),
            onset: memory.began.or(seen.onset).map(UnixMs),
            fired_at: memory.fired_at.map(UnixMs),
            fired_by: memory.fired_by,
            newest: memory.newest.map(UnixMs),
            known: memory.known_at.map(UnixMs),
            bad,
            total,
            estimate: counted.map(|_| bad as f64 / total as f64),
            lower_bound: counted.map(|z| wilson::lower_bound(bad, total, z)),
            value: memory.value,
            threshold: self.limit(),
            unit: self.rule.unit(),
            samples: seen.samples,
            // In whole percent: written down as text, it must be the same when it is read again.
            breach_share: Percent((seen.share() * 100.0).round() / 100.0),
            longest_clean: Span(seen.longest_clean),
            bucket: self.bucket(),
            horizon,
            compared: self.compared(),
        }
    }

    /// What keeps it from firing; while recovering, from being resolved. Empty when it fires.
    pub fn waits_for(&self) -> Vec<Wait> {
        let memory = &self.memory;
        let baseline_missing = self.limit().is_none()
            && match self.rule.kind {
                Kind::Gauge(_) | Kind::Traffic(_) => true,
                Kind::Ratio(_) | Kind::Boolean | Kind::Event { .. } | Kind::Comparison(_) => false,
            };
        match memory.state {
            State::NoData | State::Ok | State::Pending
                if let Kind::Comparison(comparison) = &self.rule.kind =>
            {
                self.compared_for(comparison)
            }
            State::NoData if baseline_missing => vec![Wait::Baseline],
            State::NoData => vec![Wait::Data],
            State::Ok => vec![Wait::Breach { value: memory.value, threshold: self.limit() }],
            State::Pending => self.pending_for(),
            State::Firing if matches!(self.rule.kind, Kind::Event { latched: true }) => {
                vec![Wait::Release]
            }
            State::Firing => vec![],
            State::Recovering => {
                let remaining = self.rule.hold.recovery - Span(memory.clean_run);
                vec![Wait::Recovery { remaining }]
            }
        }
    }

    fn compared_for(&self, comparison: &Comparison) -> Vec<Wait> {
        let Some(compared) = self.compared().filter(|compared| compared.both) else {
            return vec![Wait::Both];
        };
        let (ln_e, needed) = (compared.ln_e, comparison.decides());
        let mut waits = vec![];
        if ln_e < needed {
            waits.push(Wait::Proof { ln_e, needed });
        }
        if !compared.is_above() {
            let (lower_bound, threshold) = (compared.surely(), compared.above.0);
            waits.push(Wait::Bound { lower_bound, threshold });
        }
        // Enough was seen before that was asked for: the next time both answer, it fires.
        if waits.is_empty() { vec![Wait::Both] } else { waits }
    }

    fn pending_for(&self) -> Vec<Wait> {
        let memory = &self.memory;
        let (seen, hold) = (&memory.seen, &self.rule.hold);
        let mut waits = Vec::new();
        if memory.idle {
            waits.push(Wait::Traffic);
        } else if memory.clean_run > 0 {
            waits.push(Wait::Breach { value: memory.value, threshold: self.limit() });
        }
        let held = match (memory.newest, seen.onset) {
            (Some(newest), Some(onset)) => Span(newest - onset),
            (Some(_) | None, _) => Span::ZERO,
        };
        if held < hold.lasts {
            waits.push(Wait::Hold { remaining: hold.lasts - held });
        }
        if seen.samples < hold.samples {
            waits.push(Wait::Samples { seen: seen.samples, needed: hold.samples });
        }
        if seen.share() < hold.share.0 {
            waits.push(Wait::Share { share: Percent(seen.share()), needed: hold.share });
        }
        let Some(ratio) = self.ratio() else { return waits };
        if seen.bad < ratio.errors {
            waits.push(Wait::Errors { seen: seen.bad, needed: ratio.errors });
        }
        let counting = counting(ratio);
        let (span, apart) = (seen.error_span(), counting.errors_apart(hold));
        if span < apart {
            waits.push(Wait::ErrorsApart { span: Span(span), needed: Span(apart) });
        }
        let lower_bound = seen.bound(ratio.z);
        if !counting.convinced(lower_bound) {
            waits.push(Wait::Bound { lower_bound, threshold: ratio.above.0 });
        }
        waits
    }
}

impl Evidence {
    /// Time since the onset, at the newest sample.
    pub fn held(&self) -> Option<Span> {
        Some(self.newest?.since(self.onset?))
    }
}

//! What one interval says: breach, clean, idle or unknown. The whole of a rule's threshold side.

use super::{Comparison, Kind, Limit, Ratio, Rule, Trigger};
use crate::{
    domain::{
        signal::{Reading, Sample},
        window::Bucket,
    },
    units::{Span, UnixMs},
};

/// What one interval says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Status {
    Breach,
    Clean,
    /// Known, but no requests: neither breach nor clean time.
    Idle,
    Unknown,
}

/// What one interval says, its failed requests and all, and whether most of them fail.
pub(super) type Judged = (Status, (u64, u64), bool);

impl Status {
    /// Without counts of its own.
    pub(super) fn alone(self) -> Judged {
        (self, (0, 0), false)
    }
}

impl Trigger {
    pub(super) fn judge(&mut self, rule: &Rule, sample: &Sample, known: Span) -> Judged {
        let none = (0, 0);
        let (status, counts, majority, drawn) = match (&rule.kind, sample.reading) {
            (Kind::Ratio(ratio), Reading::Counts { bad, total }) => {
                let bad = bad.min(total);
                let (status, majority) = self.judge_ratio(ratio, sample.at, known, (bad, total));
                (status, (bad, total), majority, ratio_of(bad, total))
            }
            (Kind::Gauge(gauge), Reading::Gauge { value, n }) => {
                let enough = n.is_none_or(|n| n >= gauge.requests) && !value.is_nan();
                let limit = self.limit();
                let status = match limit {
                    Some(limit) if enough && value > limit => Status::Breach,
                    Some(_) if enough => Status::Clean,
                    Some(_) | None => Status::Unknown,
                };
                self.memory.value = enough.then_some(value);
                (status, none, false, enough.then_some(value))
            }
            (Kind::Traffic(_), Reading::Counts { total, .. }) => {
                let width = sample.width.as_seconds().max(0.001);
                let per_minute = total as f64 * 60.0 / width;
                let status = match self.limit() {
                    Some(limit) if per_minute < limit => Status::Breach,
                    Some(_) => Status::Clean,
                    None => Status::Unknown,
                };
                self.memory.value = Some(per_minute);
                (status, none, false, Some(per_minute))
            }
            (Kind::Boolean | Kind::Event { .. }, Reading::Down) => {
                self.memory.value = Some(1.0);
                (Status::Breach, none, false, Some(1.0))
            }
            (Kind::Boolean | Kind::Event { .. }, Reading::Up) => {
                self.memory.value = Some(0.0);
                (Status::Clean, none, false, Some(0.0))
            }
            (
                Kind::Ratio(_)
                | Kind::Comparison(_)
                | Kind::Gauge(_)
                | Kind::Traffic(_)
                | Kind::Boolean
                | Kind::Event { .. },
                Reading::Counts { .. }
                | Reading::Gauge { .. }
                | Reading::Up
                | Reading::Down
                | Reading::Unknown { .. },
            ) => (Status::Unknown, none, false, None),
        };
        self.drawn.push(drawn);
        (status, counts, majority)
    }

    fn judge_ratio(
        &mut self,
        ratio: &Ratio,
        at: UnixMs,
        known: Span,
        (bad, total): (u64, u64),
    ) -> (Status, bool) {
        let Some(window) = &mut self.window else { return (Status::Unknown, false) };
        if total == 0 {
            window.advance(at);
            let idle = window.bucket(ratio.requests).is_some();
            return (if idle { Status::Idle } else { Status::Unknown }, false);
        }
        window.push(at, known, bad, total);
        let Some(bucket) = window.bucket(ratio.requests) else { return (Status::Unknown, false) };
        let share = bucket.ratio();
        let breach = share > ratio.above.0;
        window.mark(breach);
        self.memory.value = Some(share);
        let majority = ratio.escalation.is_some_and(|escalation| share > escalation.above.0);
        (if breach { Status::Breach } else { Status::Clean }, majority)
    }

    /// The value above which (for traffic: below which) it is in breach, where that is known.
    pub(super) fn limit(&self) -> Option<f64> {
        match &self.rule.kind {
            Kind::Ratio(ratio) => Some(ratio.above.0),
            Kind::Gauge(gauge) => match gauge.above {
                Limit::Absolute(limit) => Some(limit),
                Limit::Baseline(times) => self.memory.baseline.map(|normal| times.0 * normal),
            },
            Kind::Traffic(traffic) => self
                .memory
                .baseline
                .filter(|normal| *normal >= traffic.least_per_minute)
                .map(|normal| normal * traffic.below.0),
            Kind::Comparison(comparison) => self.versus.as_ref()?.limit(comparison),
            Kind::Boolean | Kind::Event { .. } => None,
        }
    }

    pub(super) fn bucket(&self) -> Option<Bucket> {
        let enough = match &self.rule.kind {
            Kind::Ratio(ratio) => ratio.requests,
            Kind::Comparison(_) => Comparison::REQUESTS,
            Kind::Gauge(_) | Kind::Boolean | Kind::Traffic(_) | Kind::Event { .. } => return None,
        };
        self.window.as_ref()?.bucket(enough)
    }

    pub(super) fn ratio(&self) -> Option<&Ratio> {
        match &self.rule.kind {
            Kind::Ratio(ratio) => Some(ratio),
            Kind::Gauge(_)
            | Kind::Boolean
            | Kind::Traffic(_)
            | Kind::Event { .. }
            | Kind::Comparison(_) => None,
        }
    }
}

fn ratio_of(bad: u64, total: u64) -> Option<f64> {
    (total > 0).then(|| bad as f64 / total as f64)
}

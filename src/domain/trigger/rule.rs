//! What a trigger asks for: policy only, shared by every trigger that follows it, replaced at a reload.

use serde::{Deserialize, Serialize};

use crate::{
    domain::{severity::Severity, wilson, window::BUCKETS},
    units::{Multiple, Percent, Span},
};

/// The trailing widths of which the smallest with enough requests is judged.
pub(super) const BUCKET_WIDTHS: [Span; BUCKETS] =
    [Span::minutes(1), Span::minutes(2), Span::minutes(3), Span::minutes(4), Span::minutes(5)];

/// One rule. Every number is configurable; the constructors set the runbook's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// How bad it is when it fires.
    pub severity: Severity,
    /// What is in breach.
    pub kind: Kind,
    /// For how long, and with which tolerance.
    pub hold: Hold,
}

/// What is in breach of what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Failed requests among all, weighted by count.
    Ratio(Ratio),
    /// A value above a limit.
    Gauge(Gauge),
    /// Down is in breach, up is clean.
    Boolean,
    /// Requests far below what is normal.
    Traffic(Traffic),
    /// Something happened that is true at once: it fires on the first [`Down`](crate::domain::signal::Reading::Down).
    Event {
        /// Stays until a person releases it, whatever is read later.
        latched: bool,
    },
    /// The revision of the newest change fails more often than those that serve beside it.
    Comparison(Comparison),
}

/// The tolerant hold (R1): how long a breach lasts before it fires, and what does not interrupt it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hold {
    /// How long since the onset.
    pub lasts: Span,
    /// Which share of the known time since the onset must be in breach.
    pub share: Percent,
    /// The longest run of clean time that does not end it. Never scaled up to the step: one clean sample
    /// wider than this is a recovery.
    pub grace: Span,
    /// The fewest breaching samples.
    pub samples: u32,
    /// Silence this long loses the onset, and the state is no data.
    pub silence: Span,
    /// Clean for this long ends it after it fired.
    pub recovery: Span,
}

impl Hold {
    /// The runbook's tolerance for a hold of `lasts`.
    pub const fn of(lasts: Span) -> Self {
        Self {
            lasts,
            share: Percent(0.8),
            grace: Span::seconds(60),
            samples: 2,
            silence: Span::seconds(180),
            recovery: lasts,
        }
    }

    /// For probes: recovered after a minute, and a tolerance of about one probe.
    pub const fn of_probe(lasts: Span, grace: Span) -> Self {
        Self { grace, recovery: Span::seconds(60), ..Self::of(lasts) }
    }
}

/// A share of requests that must not be exceeded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ratio {
    /// The threshold; exactly this is not a breach.
    pub above: Percent,
    /// z of the lower bound that has to lie above the threshold too.
    pub z: f64,
    /// The fewest errors since the onset.
    pub errors: u64,
    /// The errors must span this share of the hold, so that one burst is not an incident.
    pub span_share: Percent,
    /// Trailing widths, ascending; the smallest with `requests` is judged.
    pub buckets: [Span; BUCKETS],
    /// The requests that make a bucket large enough. The widest needs only one.
    pub requests: u64,
    /// Breaches that come and go (R1b).
    pub recurrent: Option<Recurrent>,
    /// When it is worse, sooner.
    pub escalation: Option<Escalation>,
}

/// Breaches that come and go (R1b): fires on what a tolerant hold forgives.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recurrent {
    /// How far it looks back.
    pub horizon: Span,
    /// The least time in breach within it.
    pub breached: Span,
    /// The fewest separate episodes.
    pub episodes: u32,
    /// The newest breach is no older than this.
    pub within: Span,
}

impl Default for Recurrent {
    fn default() -> Self {
        Self {
            horizon: Span::minutes(30),
            breached: Span::minutes(10),
            episodes: 2,
            within: Span::minutes(5),
        }
    }
}

/// A higher threshold with a shorter hold and its own onset, which raises the severity and need not wait for
/// the rule's own hold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Escalation {
    /// The lower bound that must be reached.
    pub above: Percent,
    /// For how long.
    pub lasts: Span,
    /// What the severity becomes.
    pub severity: Severity,
}

impl Default for Escalation {
    /// Most requests fail for two minutes: the service is down.
    fn default() -> Self {
        Self { above: Percent(0.5), lasts: Span::minutes(2), severity: Severity::P0 }
    }
}

/// A value that must not be exceeded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gauge {
    /// The limit.
    pub above: Limit,
    /// A quantile over fewer requests than this is unknown.
    pub requests: u64,
    /// What the value is measured in.
    pub unit: Unit,
}

/// Where a gauge's limit comes from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// A fixed value, in the signal's unit.
    Absolute(f64),
    /// A multiple of the baseline; unknown until [`Trigger::set_baseline`](super::Trigger::set_baseline).
    Baseline(Multiple),
}

/// Requests below a share of the baseline.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Traffic {
    /// Which share of the baseline is too little.
    pub below: Percent,
    /// A baseline of fewer requests a minute is no ground to judge by: silence is normal there.
    pub least_per_minute: f64,
}

/// New revision against old, while both serve: an e-value, which may be looked at at any time. There is no hold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// How many times as often as the old revision the new one may fail.
    pub margin: Multiple,
    /// Whatever the old one does, it may fail as often as this.
    #[serde(default)]
    pub above: Percent,
    /// The chance that it fires in all the time of one change, though the new one is no worse than that.
    pub alpha: f64,
    /// A process younger than this, where its start is known, is not compared: it warms up.
    pub ignore_first: Span,
}

impl Comparison {
    /// The requests that make a trailing width large enough to say that it is over.
    pub(super) const REQUESTS: u64 = 20;

    /// The evidence that decides: that it is ever reached by chance has at most the probability `alpha`.
    pub(super) fn decides(&self) -> f64 {
        -self.alpha.ln()
    }
}

impl Default for Comparison {
    fn default() -> Self {
        Self {
            margin: Multiple(2.0),
            above: Percent(0.05),
            alpha: 0.001,
            ignore_first: Span::seconds(60),
        }
    }
}

/// What the numbers of a trigger's evidence are measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// A share of requests, 0 to 1.
    Share,
    /// Seconds.
    Seconds,
    /// Requests per minute.
    PerMinute,
    /// 1 is down, 0 is up.
    Down,
    /// A number without a unit of ours.
    Plain,
}

impl Rule {
    /// Errors among requests: R1 alone. Add R1b and escalation with the `with_` functions.
    pub fn ratio(severity: Severity, above: Percent, lasts: Span) -> Self {
        let ratio = Ratio {
            above,
            z: wilson::Z,
            errors: 3,
            span_share: Percent(0.8),
            buckets: BUCKET_WIDTHS,
            requests: 20,
            recurrent: None,
            escalation: None,
        };
        Self { severity, kind: Kind::Ratio(ratio), hold: Hold::of(lasts) }
    }

    /// A value above a limit; three breaching samples at least.
    pub fn gauge(severity: Severity, above: Limit, unit: Unit, lasts: Span) -> Self {
        let gauge = Gauge { above, requests: 20, unit };
        Self { severity, kind: Kind::Gauge(gauge), hold: Hold { samples: 3, ..Hold::of(lasts) } }
    }

    /// A probe, or readiness, that is down.
    pub fn boolean(severity: Severity, lasts: Span, grace: Span) -> Self {
        Self { severity, kind: Kind::Boolean, hold: Hold::of_probe(lasts, grace) }
    }

    /// Requests below a share of the baseline.
    pub fn traffic(severity: Severity, below: Percent, lasts: Span) -> Self {
        let traffic = Traffic { below, least_per_minute: 20.0 };
        Self { severity, kind: Kind::Traffic(traffic), hold: Hold::of(lasts) }
    }

    /// Something that is true at once.
    pub fn event(severity: Severity, latched: bool) -> Self {
        let hold = Hold { samples: 1, recovery: Span::ZERO, ..Hold::of(Span::ZERO) };
        Self { severity, kind: Kind::Event { latched }, hold }
    }

    /// The new revision against the old: at once when it is proven, over after five clean minutes.
    pub fn comparison(severity: Severity, comparison: Comparison) -> Self {
        let recovery = Span::minutes(5);
        let hold = Hold { samples: 1, recovery, ..Hold::of(Span::ZERO) };
        Self { severity, kind: Kind::Comparison(comparison), hold }
    }

    /// With R1b, on a ratio; nothing on another kind.
    #[must_use]
    pub fn with_recurrent(mut self, recurrent: Recurrent) -> Self {
        if let Kind::Ratio(ratio) = &mut self.kind {
            ratio.recurrent = Some(recurrent);
        }
        self
    }

    /// With an escalation, on a ratio; nothing on another kind.
    #[must_use]
    pub fn with_escalation(mut self, escalation: Escalation) -> Self {
        if let Kind::Ratio(ratio) = &mut self.kind {
            ratio.escalation = Some(escalation);
        }
        self
    }

    /// What its numbers are measured in.
    pub fn unit(&self) -> Unit {
        match &self.kind {
            Kind::Ratio(_) | Kind::Comparison(_) => Unit::Share,
            Kind::Gauge(gauge) => gauge.unit,
            Kind::Boolean | Kind::Event { .. } => Unit::Down,
            Kind::Traffic(_) => Unit::PerMinute,
        }
    }
}

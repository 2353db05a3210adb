//! How bad it is: P0 to P3, by the runbook's decision matrix.
//!
//! What can act stands on the lower bound; only the ticket (P3) stands on the point estimate.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::units::{Multiple, Percent, Span};

/// The runbook's four levels. Ordered by urgency number: `P0 < P1`, so the most severe is the *minimum*;
/// [`Severity::worse`] says it in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Severity {
    /// Service down or data at risk: rolled back at once.
    P0,
    /// Significant degradation: rolled back after monitoring, if it still holds.
    P1,
    /// Minor issues for some users: people are asked.
    P2,
    /// Cosmetic: scheduled, or fixed forward.
    P3,
}

impl Severity {
    /// The more severe of the two.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        self.min(other)
    }

    /// Whether this is more severe than `other`.
    pub fn is_worse_than(self, other: Self) -> bool {
        self < other
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::P0 => "P0",
            Self::P1 => "P1",
            Self::P2 => "P2",
            Self::P3 => "P3",
        })
    }
}

impl std::str::FromStr for Severity {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim().to_ascii_uppercase().as_str() {
            "P0" => Ok(Self::P0),
            "P1" => Ok(Self::P1),
            "P2" => Ok(Self::P2),
            "P3" => Ok(Self::P3),
            _ => Err(format!("`{text}` is not a severity; write \"P0\", \"P1\", \"P2\" or \"P3\"")),
        }
    }
}

/// How a database migration ended badly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MigrationFailure {
    /// Some of it was applied: data is at risk.
    HalfApplied,
    /// It failed before its commit and undid itself.
    Clean,
}

/// What is known about a service at one moment; absent means not measured, never "fine".
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Impact {
    /// How long it has been unavailable.
    pub unavailable: Option<Span>,
    /// How long its health checks have been failing.
    pub unhealthy: Option<Span>,
    /// The lower bound of its error ratio.
    pub error_bound: Option<Percent>,
    /// The point estimate of its error ratio.
    pub error_estimate: Option<Percent>,
    /// How long errors have held.
    pub errors_held: Option<Span>,
    /// p95 as a multiple of the baseline.
    pub latency: Option<Multiple>,
    /// p95 itself.
    pub latency_p95: Option<Span>,
    /// How long the latency has held.
    pub latency_held: Option<Span>,
    /// A migration that failed.
    pub migration: Option<MigrationFailure>,
    /// Data was found to be corrupt.
    pub corrupt: bool,
    /// Security was breached.
    pub breached: bool,
}

/// Where one level ends and the next begins; the defaults are the runbook's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Matrix {
    /// Unavailable this long is P0.
    pub outage: Span,
    /// Health checks failing this long is P1.
    pub unhealthy: Span,
    /// Lower bound of the error ratio from which it is P0, and how long.
    pub majority: (Percent, Span),
    /// Lower bound above which errors are P1, and how long.
    pub critical: (Percent, Span),
    /// Lower bound above which errors are P2, and how long.
    pub elevated: (Percent, Span),
    /// Point estimate above which errors are P3.
    pub minor: Percent,
    /// Multiples of the baseline above which latency is P1, P2 and P3.
    pub latency: [Multiple; 3],
    /// Absolute p95 above which latency is P2.
    pub slow: Span,
    /// How long latency has to hold.
    pub latency_holds: Span,
}

impl Default for Matrix {
    fn default() -> Self {
        Self {
            outage: Span::minutes(2),
            unhealthy: Span::minutes(3),
            majority: (Percent(0.5), Span::minutes(2)),
            critical: (Percent(0.05), Span::minutes(5)),
            elevated: (Percent(0.01), Span::minutes(5)),
            minor: Percent(0.005),
            latency: [Multiple(3.0), Multiple(1.5), Multiple(1.2)],
            slow: Span::seconds(2),
            latency_holds: Span::minutes(10),
        }
    }
}

impl Matrix {
    /// The most severe row that applies; `None` when nothing does.
    pub fn judge(&self, impact: &Impact) -> Option<Severity> {
        [Severity::P0, Severity::P1, Severity::P2, Severity::P3]
            .into_iter()
            .find(|level| self.reaches(impact, *level))
    }

    fn reaches(&self, impact: &Impact, level: Severity) -> bool {
        let lasted = |span: Option<Span>, least: Span| span.is_some_and(|span| span >= least);
        let errors = |(limit, span): (Percent, Span)| {
            impact.error_bound.is_some_and(|bound| bound > limit)
                && lasted(impact.errors_held, span)
        };
        let slow = lasted(impact.latency_held, self.latency_holds);
        let latency = |limit: Multiple| slow && impact.latency.is_some_and(|times| times > limit);
        match level {
            Severity::P0 => {
                let (majority, span) = self.majority;
                impact.corrupt
                    || impact.breached
                    || impact.migration == Some(MigrationFailure::HalfApplied)
                    || lasted(impact.unavailable, self.outage)
                    || (impact.error_bound.is_some_and(|bound| bound >= majority)
                        && lasted(impact.errors_held, span))
            }
            Severity::P1 => {
                impact.migration == Some(MigrationFailure::Clean)
                    || lasted(impact.unhealthy, self.unhealthy)
                    || errors(self.critical)
                    || latency(self.latency[0])
            }
            Severity::P2 => {
                errors(self.elevated)
                    || latency(self.latency[1])
                    || (slow && impact.latency_p95.is_some_and(|p95| p95 > self.slow))
            }
            Severity::P3 => {
                impact.error_estimate.is_some_and(|estimate| estimate > self.minor)
                    || latency(self.latency[2])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_severe_is_the_minimum() {
        assert_eq!(Severity::P2.worse(Severity::P0), Severity::P0);
        assert!(Severity::P0.is_worse_than(Severity::P1));
        assert_eq!("p1".parse(), Ok(Severity::P1));
    }

    #[test]
    fn an_estimate_alone_never_asks_for_more_than_a_ticket() {
        let impact = Impact {
            error_bound: Some(Percent(0.004)),
            error_estimate: Some(Percent(0.9)),
            errors_held: Some(Span::minutes(30)),
            ..Impact::default()
        };
        assert_eq!(Matrix::default().judge(&impact), Some(Severity::P3));
    }
}

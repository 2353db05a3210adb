//! How bad it is: P0 to P3. Which trigger means which is in `trigger::defaults`; what follows, in `policy::Matrix`.

use std::fmt;

use serde::{Deserialize, Serialize};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_severe_is_the_minimum() {
        assert_eq!(Severity::P2.worse(Severity::P0), Severity::P0);
        assert!(Severity::P0.is_worse_than(Severity::P1));
        assert_eq!("p1".parse(), Ok(Severity::P1));
    }
}

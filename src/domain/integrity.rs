//! What an operator asks of a database's data: queries, what their answers must be, and what an answer means.

use serde::{Deserialize, Serialize};

use crate::units::Span;

/// Rows that should not be there are counted so far.
pub const COUNTED_MAX: u64 = 100;

/// What the answer must be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expects {
    /// No row.
    NoRow,
    /// One number, not below `low` and not above `high`.
    Within {
        /// The lowest that is legal.
        low: f64,
        /// The highest.
        high: f64,
    },
}

/// One check of a service's database.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckPolicy {
    /// What the answer must be.
    pub expects: Expects,
    /// Where it is asked, for people: `shop at replica:5432`.
    pub place: String,
    /// How often.
    pub every: Span,
}

/// What the database answered. The rows themselves are customers' data, and go nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// So many rows; more than [`COUNTED_MAX`] are not counted.
    Rows(u64),
    /// A number.
    Number(f64),
}

/// What one look gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// What it is.
    Known(Found),
    /// Nobody can tell; why not, and what to do.
    Unknown(String),
}

/// What an answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// It is as it must be.
    Passes,
    /// It is not; how, in words.
    Violated(String),
    /// Nobody can tell, and why.
    Unknown(String),
}

impl Expects {
    /// What the answer means.
    pub fn judge(self, answer: &Answer) -> Meaning {
        let found = match answer {
            Answer::Known(found) => *found,
            Answer::Unknown(why) => return Meaning::Unknown(why.clone()),
        };
        match (self, found) {
            (Self::NoRow, Found::Rows(0)) => Meaning::Passes,
            (Self::NoRow, Found::Rows(rows)) => Meaning::Violated(format!(
                "{} returned, where there must be none",
                if rows > COUNTED_MAX {
                    format!("more than {COUNTED_MAX} rows")
                } else {
                    format!("{rows} row{}", if rows == 1 { "" } else { "s" })
                }
            )),
            (Self::Within { .. }, Found::Number(number)) if !number.is_finite() => {
                Meaning::Unknown("the answer is no finite number".to_owned())
            }
            (Self::Within { low, high }, Found::Number(number)) => {
                if (low..=high).contains(&number) {
                    return Meaning::Passes;
                }
                Meaning::Violated(format!("{number}, which must lie within {low} and {high}"))
            }
            // Asked before the configuration was another.
            (Self::NoRow, Found::Number(_)) | (Self::Within { .. }, Found::Rows(_)) => {
                Meaning::Unknown("it was asked otherwise before, and not yet again".to_owned())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(expects: Expects, found: Found) -> Meaning {
        expects.judge(&Answer::Known(found))
    }

    #[test]
    fn rows_that_must_not_be_there_are_told_by_their_count_alone_and_only_so_far() {
        assert_eq!(judged(Expects::NoRow, Found::Rows(0)), Meaning::Passes);
        for (rows, told) in [(1, "1 row "), (3, "3 rows "), (101, "more than 100 rows ")] {
            let Meaning::Violated(says) = judged(Expects::NoRow, Found::Rows(rows)) else {
                panic!("{rows} rows pass")
            };
            assert!(says.starts_with(told), "{says}");
        }
    }

    #[test]
    fn a_number_may_be_its_bounds_and_nothing_beyond_and_what_is_none_tells_nothing() {
        let within = Expects::Within { low: -1.0, high: 2.5 };
        for passes in [-1.0, 0.0, 2.5] {
            assert_eq!(judged(within, Found::Number(passes)), Meaning::Passes);
        }
        let violated = judged(within, Found::Number(2.75));
        assert_eq!(violated, Meaning::Violated("2.75, which must lie within -1 and 2.5".into()));
        for unknown in [f64::NAN, f64::INFINITY] {
            assert!(matches!(judged(within, Found::Number(unknown)), Meaning::Unknown(_)));
        }
        assert!(matches!(judged(within, Found::Rows(0)), Meaning::Unknown(_)));
        let dark = Answer::Unknown("no right to".into());
        assert_eq!(Expects::NoRow.judge(&dark), Meaning::Unknown("no right to".into()));
    }
}

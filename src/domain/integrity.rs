//! What an operator asks of a database's data: queries, what their answers must be, and what an answer means.

mod foreign_keys;

use serde::{Deserialize, Serialize};

pub use self::foreign_keys::{Broken, ForeignKeys};
use crate::{
    domain::situation::whole_seconds,
    units::{Span, UnixMs},
};

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
    /// One number, that has not fallen by more than this share of what it was before the change that is watched.
    DropsAtMost {
        /// The share.
        share: f64,
    },
    /// Whatever refers to a row refers to one that is there.
    ForeignKeys,
    /// The replica that the others are asked of is no further behind.
    LagAtMost {
        /// Than this.
        max: Span,
    },
}

/// One check of a service's database.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckPolicy {
    /// What the answer must be.
    pub expects: Expects,
    /// What is asked of which database: another name asks the same. Empty where nobody says.
    #[serde(default)]
    pub asks: String,
    /// Where it is asked, for people: `shop at replica:5432`.
    pub place: String,
    /// How often.
    pub every: Span,
    /// What is asked shows what was written so long ago: a replica, as far as it may be behind.
    #[serde(default)]
    pub shows_after: Span,
}

/// What the database answered. The rows themselves are customers' data, and go nowhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// So many rows; more than [`COUNTED_MAX`] are not counted.
    Rows(u64),
    /// A number.
    Number(f64),
    /// What its foreign keys showed.
    ForeignKeys(ForeignKeys),
    /// How far it is behind.
    Lag(Span),
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

/// What a number is compared with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Before {
    /// Nothing: no change is watched, or the check compares nothing.
    Unchanged,
    /// What it was before the change, and when it was asked.
    Number(f64, UnixMs),
    /// It was not asked before the change.
    NotAsked,
}

/// What an answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// It is as it must be.
    Passes,
    /// It is not; how, in words.
    Violated(String),
    /// It was answered, and there is nothing to compare it with; why not.
    Incomparable(String),
    /// Nobody can tell, and why.
    Unknown(String),
}

impl Expects {
    /// Whether it is of the data, and not of where that is asked.
    pub fn is_of_the_data(self) -> bool {
        match self {
            Self::NoRow | Self::Within { .. } | Self::DropsAtMost { .. } | Self::ForeignKeys => {
                true
            }
            Self::LagAtMost { .. } => false,
        }
    }

    /// What the answer means.
    pub fn judge(self, answer: &Answer, before: Before) -> Meaning {
        let found = match answer {
            Answer::Known(found) => found,
            Answer::Unknown(why) => return Meaning::Unknown(why.clone()),
        };
        match (self, found) {
            (Self::NoRow, Found::Rows(0)) => Meaning::Passes,
            (Self::NoRow, Found::Rows(count)) => {
                Meaning::Violated(format!("{} returned, where there must be none", rows(*count)))
            }
            (Self::Within { .. } | Self::DropsAtMost { .. }, Found::Number(number))
                if !number.is_finite() =>
            {
                Meaning::Unknown("the answer is no finite number".to_owned())
            }
            (Self::Within { low, high }, Found::Number(number)) => {
                if (low..=high).contains(number) {
                    return Meaning::Passes;
                }
                Meaning::Violated(format!("{number}, which must lie within {low} and {high}"))
            }
            (Self::DropsAtMost { share }, Found::Number(number)) => fallen(*number, before, share),
            (Self::ForeignKeys, Found::ForeignKeys(found)) => found.meaning(),
            (Self::LagAtMost { max }, Found::Lag(lag)) if *lag <= max => Meaning::Passes,
            (Self::LagAtMost { max }, Found::Lag(lag)) => {
                Meaning::Violated(format!("it is {} behind, more than {max}", whole_seconds(*lag)))
            }
            // Asked before the configuration was another.
            (Self::NoRow, Found::Number(_) | Found::ForeignKeys(_) | Found::Lag(_))
            | (
                Self::Within { .. } | Self::DropsAtMost { .. },
                Found::Rows(_) | Found::ForeignKeys(_) | Found::Lag(_),
            )
            | (Self::ForeignKeys, Found::Rows(_) | Found::Number(_) | Found::Lag(_))
            | (Self::LagAtMost { .. }, Found::Rows(_) | Found::Number(_) | Found::ForeignKeys(_)) => {
                Meaning::Unknown("it was asked otherwise before, and not yet again".to_owned())
            }
        }
    }
}

fn fallen(number: f64, before: Before, share: f64) -> Meaning {
    match before {
        Before::Unchanged => Meaning::Passes,
        Before::NotAsked => {
            let why =
                "what it was before the change was not asked: there is nothing to compare it with";
            Meaning::Incomparable(why.to_owned())
        }
        Before::Number(was, _) if number >= was - was.abs() * share => Meaning::Passes,
        Before::Number(was, at) => Meaning::Violated(format!(
            "{number}, which was {was} at {at}, before the change: it must not fall by more than {:.0} %",
            share * 100.0
        )),
    }
}

fn rows(count: u64) -> String {
    match count {
        1 => "1 row".to_owned(),
        count if count > COUNTED_MAX => format!("more than {COUNTED_MAX} rows"),
        count => format!("{count} rows"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(expects: Expects, found: Found) -> Meaning {
        expects.judge(&Answer::Known(found), Before::Unchanged)
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
        assert_eq!(
            Expects::NoRow.judge(&dark, Before::Unchanged),
            Meaning::Unknown("no right to".into())
        );
    }

    #[test]
    fn a_replica_may_be_behind_by_its_bound_and_no_further() {
        let lag = Expects::LagAtMost { max: Span::seconds(30) };
        assert_eq!(judged(lag, Found::Lag(Span::seconds(30))), Meaning::Passes);
        let says = "it is 1m 30s behind, more than 30s";
        assert_eq!(judged(lag, Found::Lag(Span(90_400))), Meaning::Violated(says.into()));
        assert!(matches!(judged(lag, Found::Number(0.0)), Meaning::Unknown(_)));
        assert!(!lag.is_of_the_data() && Expects::NoRow.is_of_the_data());
    }

    #[test]
    fn a_number_may_fall_by_its_share_of_what_it_was_and_no_further() {
        let drops = |number, before| {
            Expects::DropsAtMost { share: 0.1 }.judge(&Answer::Known(Found::Number(number)), before)
        };
        let was = |number| Before::Number(number, UnixMs(0));
        for (number, before) in [(90.0, 100.0), (5000.0, 100.0), (0.0, 0.0), (-110.0, -100.0)] {
            assert_eq!(drops(number, was(before)), Meaning::Passes, "{number} of {before}");
        }
        for (number, before) in [(89.9, 100.0), (0.0, 1.0), (-0.1, 0.0), (-111.0, -100.0)] {
            let meaning = drops(number, was(before));
            assert!(matches!(meaning, Meaning::Violated(_)), "{number} of {before}: {meaning:?}");
        }
        let Meaning::Violated(says) = drops(60.0, was(100.0)) else { panic!() };
        assert!(
            says.contains("60, which was 100 at ") && says.contains("more than 10 %"),
            "{says}"
        );
        assert!(matches!(drops(1.0, Before::NotAsked), Meaning::Incomparable(_)));
        assert_eq!(drops(1.0, Before::Unchanged), Meaning::Passes);
        assert!(matches!(drops(f64::NAN, was(1.0)), Meaning::Unknown(_)));
    }
}

//! What a database's foreign keys showed: which of them rows break.

use serde::{Deserialize, Serialize};

use super::{Meaning, rows};

/// So many are told by name.
const TOLD_MAX: usize = 5;

/// What a look at all of them gave.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignKeys {
    /// How many there are.
    pub count: u64,
    /// Those that rows break.
    pub broken: Vec<Broken>,
    /// Of which nobody can tell, and why.
    pub untold: Vec<String>,
}

/// One that rows break.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broken {
    /// Its name.
    pub key: String,
    /// Whose rows they are.
    pub table: String,
    /// How many rows refer to what is not there, counted as far as rows are.
    pub rows: u64,
}

impl ForeignKeys {
    /// One that is broken is, whatever nobody can tell of the others.
    pub(super) fn meaning(&self) -> Meaning {
        let broken = self.broken.iter().map(|it| {
            format!("{} of {} without what it refers to ({})", rows(it.rows), it.table, it.key)
        });
        if let Some(says) = listed(broken.collect()) {
            return Meaning::Violated(says);
        }
        let of = |why| {
            format!(
                "{} of {} foreign keys could not be asked: {why}",
                self.untold.len(),
                self.count
            )
        };
        listed(self.untold.clone()).map_or(Meaning::Passes, |why| Meaning::Unknown(of(why)))
    }
}

fn listed(all: Vec<String>) -> Option<String> {
    let more = all.len().saturating_sub(TOLD_MAX);
    let told: Vec<String> = all.into_iter().take(TOLD_MAX).collect();
    let more = if more == 0 { String::new() } else { format!("; and {more} more") };
    (!told.is_empty()).then(|| format!("{}{more}", told.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(key: &str, rows: u64) -> Broken {
        Broken { key: key.into(), table: "t".into(), rows }
    }

    #[test]
    fn a_broken_one_is_told_also_where_nobody_can_tell_of_others() {
        let all = ForeignKeys { count: 3, ..ForeignKeys::default() };
        assert_eq!(all.meaning(), Meaning::Passes);
        let untold = vec!["c of t: no right to".to_owned()];
        let some = ForeignKeys { untold, ..all.clone() };
        let why = "1 of 3 foreign keys could not be asked: c of t: no right to";
        assert_eq!(some.meaning(), Meaning::Unknown(why.into()));
        let bad = ForeignKeys { broken: vec![broken("a", 1), broken("b", 101)], ..some };
        let says = "1 row of t without what it refers to (a); more than 100 rows of t without what it refers to (b)";
        assert_eq!(bad.meaning(), Meaning::Violated(says.into()));
    }

    #[test]
    fn a_page_names_the_first_few() {
        let broken = (0..7).map(|n| broken(&format!("k{n}"), 2)).collect();
        let all = ForeignKeys { count: 7, broken, untold: vec![] };
        let Meaning::Violated(says) = all.meaning() else { panic!() };
        assert!(
            says.contains("k4") && !says.contains("k5") && says.ends_with("and 2 more"),
            "{says}"
        );
    }
}

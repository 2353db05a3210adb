//! How a check stands for the verification of a rollback: by what was asked for after it.

use super::{CONFIRMED_BY, IntegritySeen};
use crate::{domain::verification::Standing, units::UnixMs};

impl IntegritySeen {
    /// How one stands, by answers asked for since then on the steady clock, and in which words.
    pub fn standing(&self, name: &str, since: UnixMs) -> (Standing, String) {
        let Some(seen) = self.checks.get(name) else {
            return (Standing::Unknown, "it was not asked yet".to_owned());
        };
        if let Some(untold) = &seen.untold {
            return (Standing::Unknown, untold.why.clone());
        }
        if seen.asked.is_none_or(|at| at < since) {
            return (Standing::Unknown, "it was not asked since the rollback".to_owned());
        }
        match &seen.last {
            None => (Standing::Unknown, "it was not asked yet".to_owned()),
            Some(last) => match &last.violated {
                None => (Standing::Passed, "it is as it must be".to_owned()),
                Some(says) if last.times >= CONFIRMED_BY => (Standing::Failed, says.clone()),
                Some(says) => {
                    let note = format!("{says}; asked once more before that is believed");
                    (Standing::Unknown, note)
                }
            },
        }
    }
}

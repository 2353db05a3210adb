//! A reviewed script, in one transaction: the order is that of `src/executors/script/run.rs`.

use rollbackd::domain::{run::Outcome, schema::script::ScriptRun};

use super::{Attempt, Mishap, failed, unknown};
use crate::world::site::Site;

impl Attempt {
    pub(super) fn reverse(
        &self,
        site: &mut Site,
        script: &ScriptRun,
        changed: &str,
        at: i64,
    ) -> Outcome {
        let Some(database) = &mut site.database else { return failed("no database", false) };
        if database.is_back(script) {
            return if self.order.resumed { Outcome::Done } else { Outcome::AlreadyDone };
        }
        let changes = match database.try_out(script) {
            Ok(changes) => changes,
            Err(why) => return failed(&why, false),
        };
        if changes.sha256 != changed || self.mishap == Mishap::Lies {
            return failed("it changes something else now, and was taken back", false);
        }
        match self.mishap {
            Mishap::TimesOutBefore => return failed("it was not over, and was taken back", false),
            Mishap::Half => return failed("a lock did not come in time", true),
            _ => {}
        }
        script.undone.iter().for_each(|version| database.take_back(version));
        site.migrated(self.by(), at);
        match self.mishap {
            Mishap::TimesOutAfter => unknown("it was committed, and its history cannot be read"),
            // Whoever looks a moment too early sees what was before.
            Mishap::Late => failed("the connection was lost, and nothing of it stays", true),
            _ => Outcome::Done,
        }
    }
}

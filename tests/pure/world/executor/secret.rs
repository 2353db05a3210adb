//! The label of a secret's current version, moved: the order is that of `src/executors/secret.rs`.

use rollbackd::domain::{run::Outcome, secret::SecretMove};

use super::{Attempt, Mishap, failed, unknown};
use crate::world::{Wall, site::Site};

impl Attempt {
    /// AWS moves it only from the version that is named.
    pub(super) fn move_back(
        &self,
        site: &mut Site,
        what: &SecretMove,
        at: i64,
        wall: Wall,
    ) -> Outcome {
        let Some(secret) = &mut site.secret else { return failed("no secret", false) };
        if secret.current == what.to {
            return if self.order.resumed { Outcome::Done } else { Outcome::AlreadyDone };
        }
        if secret.current != what.from {
            return failed("somebody moved AWSCURRENT in between", false);
        }
        let Some(behaviour) = secret.versions.get(&secret.current).copied() else {
            return failed("no version is AWSCURRENT", false);
        };
        if !secret.versions.contains_key(&what.to) {
            return failed("that version is not there any more", false);
        }
        match self.mishap {
            Mishap::TimesOutBefore => return unknown("AWS did not answer"),
            Mishap::Half => return failed("it was throttled", true),
            // What it holds is as bad as what is rolled away from.
            Mishap::Lies => drop(secret.versions.insert(what.to.clone(), behaviour)),
            _ => {}
        }
        site.move_secret(&what.to, self.by(), at, wall.0);
        match self.mishap {
            Mishap::TimesOutAfter => unknown("AWS did not answer"),
            Mishap::Late => unknown("it was taken, and does not show"),
            _ => Outcome::Done,
        }
    }
}

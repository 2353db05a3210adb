//! Whether a record tells enough for the triggers that compare revisions: where it does not they are silent, and look as
//! if all had been well.

use std::collections::BTreeSet;

use super::tape::{Tape, Track};
use crate::domain::{
    policy::{LooksAt, ServicePolicy},
    watch::Raw,
};

/// Revisions that are named.
const NAMED_MAX: usize = 4;

/// What a record tells of revisions.
#[derive(Debug, PartialEq)]
enum Tells {
    /// No two that answer at once.
    One,
    /// Some that do, and none of them is known to have been deployed.
    Strangers(BTreeSet<String>),
    /// Enough.
    Both,
}

/// Where triggers that compare revisions had nothing to compare.
#[derive(Clone, Debug, Default)]
pub struct Uncompared {
    triggers: BTreeSet<String>,
    asked: usize,
    one: usize,
    strange: usize,
    strangers: BTreeSet<String>,
}

impl Uncompared {
    /// What there is to say of one tape.
    pub fn of(tape: &Tape, policy: &ServicePolicy) -> Self {
        let mut all = Self::default();
        let compares = policy.triggers.iter().filter(|(_, t)| t.looks_at == LooksAt::NewAgainstOld);
        all.triggers = compares.map(|(name, _)| name.clone()).collect();
        if all.triggers.is_empty() {
            return all;
        }
        all.asked = 1;
        match tells(tape) {
            Tells::One => all.one = 1,
            Tells::Strangers(names) => {
                all.strange = 1;
                all.strangers = names.into_iter().take(NAMED_MAX).collect();
            }
            Tells::Both => {}
        }
        all
    }

    /// Whether there is a trigger that compares.
    pub fn was_asked(&self) -> bool {
        self.asked > 0
    }

    /// Of more tapes.
    pub fn join(&mut self, more: Self) {
        self.triggers.extend(more.triggers);
        self.asked += more.asked;
        self.one += more.one;
        self.strange += more.strange;
        let room = NAMED_MAX.saturating_sub(self.strangers.len());
        self.strangers.extend(more.strangers.into_iter().take(room));
    }

    /// What is to be said of all of them.
    pub fn says(&self) -> Vec<String> {
        let Self { triggers, asked, one, strange, strangers } = self;
        let listed =
            |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(", ");
        let names = listed(triggers);
        let mut said = vec![];
        if *one > 0 {
            said.push(format!(
                "{names} had nothing to compare in {one} of {asked} series: no two revisions are told apart there that answer at once"
            ));
        }
        if *strange > 0 {
            said.push(format!(
                "{names} had nothing to compare in {strange} of {asked} series: none of the revisions that answer there ({}) is known to have been deployed",
                listed(strangers)
            ));
        }
        said
    }
}

fn tells(tape: &Tape) -> Tells {
    let deployed = |version: &str| tape.deployments.iter().any(|d| d.version == version);
    let mut strangers = BTreeSet::new();
    for (_, track) in &tape.tracks {
        let Track::Polls(polls) = track else { continue };
        for (_, readings) in polls {
            let at_once = revisions(readings);
            if at_once.len() < 2 {
                continue;
            }
            if at_once.iter().any(|revision| deployed(revision)) {
                return Tells::Both;
            }
            strangers.extend(at_once.into_iter().map(str::to_owned));
        }
    }
    if strangers.is_empty() { Tells::One } else { Tells::Strangers(strangers) }
}

fn revisions(readings: &[Raw]) -> BTreeSet<&str> {
    let named = readings.iter().filter_map(|reading| match reading {
        Raw::Counter { revision, .. } => Some(revision.as_str()),
        Raw::Histogram { .. }
        | Raw::Gauge { .. }
        | Raw::Up { .. }
        | Raw::Down { .. }
        | Raw::Unknown { .. } => None,
    });
    named.filter(|revision| !revision.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{replay::tape::Deployment, units::UnixMs};

    fn tape(polls: &[&[&str]], deployed: &[&str]) -> Tape {
        let poll = |(index, revisions): (usize, &&[&str])| {
            let at = UnixMs(index as i64 * 15_000);
            let counter = |revision: &&str| Raw::Counter {
                series: (*revision).to_owned(),
                revision: (*revision).to_owned(),
                at,
                bad: Some(0.0),
                total: Some(1.0),
                started: None,
            };
            (at, revisions.iter().map(counter).collect())
        };
        let deployed = deployed.iter().map(|version| (*version).to_owned());
        Tape {
            service: "shop/production".parse().unwrap(),
            tracks: vec![(
                "errors".to_owned(),
                Track::Polls(polls.iter().enumerate().map(poll).collect()),
            )],
            deployments: deployed.map(|version| Deployment { at: UnixMs(0), version }).collect(),
        }
    }

    #[test]
    fn two_revisions_at_once_of_which_one_was_deployed_are_enough() {
        let told = |polls, deployed| tells(&tape(polls, deployed));
        assert_eq!(told(&[&["v1"], &["v1", "v2"]], &["v2"]), Tells::Both);
        assert_eq!(told(&[&["v1"], &["v2"]], &["v2"]), Tells::One);
        assert_eq!(told(&[&["", "v2"]], &["v2"]), Tells::One, "nobody says who the other is");
        let strangers = Tells::Strangers(["a1f", "b2e"].map(str::to_owned).into());
        assert_eq!(told(&[&["a1f", "b2e"]], &["v2"]), strangers);
    }
}

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

/// What is to be said where triggers that compare revisions had nothing to compare.
pub fn uncompared<'a>(
    judged: impl IntoIterator<Item = (&'a Tape, &'a ServicePolicy)>,
) -> Vec<String> {
    let mut triggers = BTreeSet::new();
    let (mut asked, mut one, mut strange, mut strangers) = (0, 0, 0, BTreeSet::new());
    for (tape, policy) in judged {
        let compares = policy.triggers.iter().filter(|(_, t)| t.looks_at == LooksAt::NewAgainstOld);
        let names: Vec<&str> = compares.map(|(name, _)| name.as_str()).collect();
        if names.is_empty() {
            continue;
        }
        triggers.extend(names);
        asked += 1;
        match tells(tape) {
            Tells::One => one += 1,
            Tells::Strangers(names) => {
                strange += 1;
                strangers.extend(names);
            }
            Tells::Both => {}
        }
    }
    let names = triggers.into_iter().collect::<Vec<_>>().join(", ");
    let mut said = vec![];
    if one > 0 {
        said.push(format!(
            "{names} had nothing to compare in {one} of {asked} series: no two revisions are told apart there that answer at once"
        ));
    }
    if strange > 0 {
        let some: Vec<String> = strangers.into_iter().take(NAMED_MAX).collect();
        said.push(format!(
            "{names} had nothing to compare in {strange} of {asked} series: none of the revisions that answer there ({}) is known to have been deployed",
            some.join(", ")
        ));
    }
    said
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

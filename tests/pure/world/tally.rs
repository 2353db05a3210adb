//! What happened in many worlds, so that it is visible that the faults really occurred.

use std::{collections::BTreeMap, fmt};

use rollbackd::domain::{
    fact::{Fact, Fleet},
    guard::Guard,
    incident::{self, Choice, Closing, Phase},
    maintenance,
    notice::{Audience, Urgency},
    run,
};

use super::{
    executor::Mishap,
    script::{Boundary, Happening},
};

#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) worlds: u64,
    pub(crate) incidents: u64,
    pub(crate) violations: u64,
    pub(crate) turns: u64,
    pub(crate) effects: u64,
    pub(crate) lies: u64,
    pub(crate) stale: u64,
    pub(crate) unwritable: u64,
    pub(crate) delivered: u64,
    pub(crate) undelivered: u64,
    pub(crate) heeded: u64,
    facts: u64,
    rollbacks: u64,
    by_people: u64,
    verified: u64,
    halted: u64,
    /// How often people were told that maintenance mode stays on.
    left_on: u64,
    pages: u64,
    clocks: u64,
    crashes: BTreeMap<Boundary, u64>,
    mishaps: BTreeMap<Mishap, u64>,
    refusals: BTreeMap<Guard, u64>,
    ends: BTreeMap<&'static str, u64>,
    happened: BTreeMap<String, u64>,
}

impl Tally {
    pub(crate) fn crashed(&mut self, at: Boundary) {
        *self.crashes.entry(at).or_default() += 1;
    }

    pub(crate) fn mishap(&mut self, mishap: Mishap) {
        *self.mishaps.entry(mishap).or_default() += 1;
    }

    pub(crate) fn happened(&mut self, what: &Happening) {
        let text = format!("{what:?}");
        let name = text.split([' ', '{']).next().unwrap_or_default();
        *self.happened.entry(name.to_owned()).or_default() += 1;
    }

    pub(crate) fn fact(&mut self, fact: &Fact) {
        self.facts += 1;
        match fact {
            Fact::Told(notice) => {
                let page = notice.urgency == Urgency::Page && notice.audience == Audience::OnCall;
                self.pages += u64::from(page);
            }
            Fact::Run(run::Fact::Halted { .. }) => self.halted += 1,
            Fact::Fleet(Fleet::ClockSet { .. }) => self.clocks += 1,
            Fact::Incident(fact) => self.incident(fact),
            Fact::Maintenance(maintenance::Fact::Stays { .. }) => self.left_on += 1,
            Fact::Maintenance(_)
            | Fact::Run(_)
            | Fact::Fleet(_)
            | Fact::Service(_)
            | Fact::Ledger(_)
            | Fact::Trigger(_) => {}
        }
    }

    fn incident(&mut self, fact: &incident::Fact) {
        match fact {
            incident::Fact::Opened { .. } => self.incidents += 1,
            incident::Fact::Planned { by: None, .. } => self.rollbacks += 1,
            incident::Fact::Planned { .. } => self.by_people += 1,
            incident::Fact::Entered(Phase::Watching { .. }) => self.verified += 1,
            incident::Fact::Entered(Phase::Closed { outcome }) => {
                let name = match outcome {
                    Closing::Recovered => "recovered",
                    Closing::RolledBack => "rolled back",
                    Closing::Fixed => "fixed",
                    Closing::Unwatched { .. } => "unwatched",
                    Closing::Overtaken { .. } => "overtaken",
                    Closing::Dismissed { .. } => "dismissed",
                };
                *self.ends.entry(name).or_default() += 1;
            }
            incident::Fact::Decided(decision) if decision.verdict == Choice::Ask => {
                for verdict in decision.guards.iter().filter(|v| v.refusal().is_some()) {
                    *self.refusals.entry(verdict.guard).or_default() += 1;
                }
            }
            _ => {}
        }
    }

    /// Both together.
    pub(crate) fn add(&mut self, other: &Self) {
        let both = |mine: &mut u64, theirs: u64| *mine += theirs;
        for (mine, theirs) in [
            (&mut self.worlds, other.worlds),
            (&mut self.incidents, other.incidents),
            (&mut self.violations, other.violations),
            (&mut self.turns, other.turns),
            (&mut self.effects, other.effects),
            (&mut self.lies, other.lies),
            (&mut self.stale, other.stale),
            (&mut self.unwritable, other.unwritable),
            (&mut self.delivered, other.delivered),
            (&mut self.undelivered, other.undelivered),
            (&mut self.heeded, other.heeded),
            (&mut self.facts, other.facts),
            (&mut self.rollbacks, other.rollbacks),
            (&mut self.by_people, other.by_people),
            (&mut self.verified, other.verified),
            (&mut self.halted, other.halted),
            (&mut self.left_on, other.left_on),
            (&mut self.pages, other.pages),
            (&mut self.clocks, other.clocks),
        ] {
            both(mine, theirs);
        }
        merge(&mut self.crashes, &other.crashes);
        merge(&mut self.mishaps, &other.mishaps);
        merge(&mut self.refusals, &other.refusals);
        merge(&mut self.ends, &other.ends);
        merge(&mut self.happened, &other.happened);
    }
}

fn merge<K: Ord + Clone>(mine: &mut BTreeMap<K, u64>, theirs: &BTreeMap<K, u64>) {
    for (key, count) in theirs {
        *mine.entry(key.clone()).or_default() += count;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = |counts: Vec<(String, u64)>| {
            let words: Vec<String> = counts.iter().map(|(name, n)| format!("{name} {n}")).collect();
            words.join(", ")
        };
        let crashes = self.crashes.iter().map(|(k, n)| (format!("{k:?}"), *n)).collect();
        let mishaps = self.mishaps.iter().map(|(k, n)| (format!("{k:?}"), *n)).collect();
        let refusals = self.refusals.iter().map(|(k, n)| (k.to_string(), *n)).collect();
        let ends = self.ends.iter().map(|(k, n)| ((*k).to_owned(), *n)).collect();
        let happened = self.happened.iter().map(|(k, n)| (k.clone(), *n)).collect();
        writeln!(
            f,
            "worlds: {}, events: {}, facts: {}, incidents: {}",
            self.worlds, self.turns, self.facts, self.incidents
        )?;
        writeln!(f, "happened: {}", each(happened))?;
        writeln!(f, "crashes: {}", each(crashes))?;
        writeln!(
            f,
            "journal unwritable: {}, stale writes refused: {}, clocks set: {}",
            self.unwritable, self.stale, self.clocks
        )?;
        writeln!(
            f,
            "rollbacks: by itself {}, by people {}, verified {}, halted {}, maintenance mode left on {}; changes made outside: {}",
            self.rollbacks, self.by_people, self.verified, self.halted, self.left_on, self.effects
        )?;
        writeln!(f, "attempts gone wrong: {}", each(mishaps))?;
        writeln!(f, "refused by guard: {}", each(refusals))?;
        writeln!(
            f,
            "pages: {}, deliveries: {} received, {} failed; words of people heeded: {}",
            self.pages, self.delivered, self.undelivered, self.heeded
        )?;
        write!(f, "incidents closed: {}", each(ends))
    }
}

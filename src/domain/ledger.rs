//! Which revisions a service is known to run well on, and which were rolled away from.
//!
//! A revision earns *known good* by serving for the bake time with healthy evidence; what a platform's history
//! offers before that is for people. A revision rolled away from stays quarantined until a person lifts it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    change::{Component, Revision},
    image::Good,
};
use crate::units::UnixMs;

/// At most this many revisions are remembered for a component; the oldest that are neither serving, known good
/// nor quarantined go first.
pub const REVISIONS_MAX: usize = 50;

/// What is known of one revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Which.
    pub revision: Revision,
    /// When it last began to serve.
    pub serving_since: UnixMs,
    /// When it had served healthily for the bake time, last.
    pub known_good_at: Option<UnixMs>,
    /// Why it must not be gone back to.
    pub quarantine: Option<Quarantine>,
    /// How its images were when it was known good, where that could be told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<Good>,
}

/// Why and since when a revision is not to be gone back to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantine {
    /// When it was rolled away from.
    pub at: UnixMs,
    /// The incident.
    pub incident: String,
}

/// What is now true of a component's revisions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "ledger")]
pub enum Fact {
    /// Another revision serves.
    Serving {
        /// Which part.
        component: Component,
        /// What serves.
        revision: Revision,
        /// Since when, by the platform's own time.
        since: UnixMs,
    },
    /// A revision earned it; once more where only later it could be told what its images are.
    KnownGood {
        /// Which part.
        component: Component,
        /// Which revision.
        revision: Revision,
        /// How its images are.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        images: Vec<Good>,
    },
    /// A revision is being rolled away from.
    Quarantined {
        /// Which part.
        component: Component,
        /// Which revision.
        revision: Revision,
        /// By which incident.
        incident: String,
    },
    /// A person says that it may serve again.
    Lifted {
        /// Which part.
        component: Component,
        /// Which version.
        version: String,
        /// Who.
        by: String,
    },
}

/// All revisions of one component.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shelf {
    /// What serves, as last seen.
    pub serving: Option<Revision>,
    /// Oldest service first.
    pub entries: Vec<Entry>,
}

/// All components of one service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// By component.
    pub shelves: BTreeMap<Component, Shelf>,
}

/// Why there is nowhere to go back to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoTarget {
    /// Nothing was ever seen to serve.
    NothingServes,
    /// No earlier revision has served for the bake time.
    NoneKnownGood,
    /// The earlier ones that have are quarantined.
    AllQuarantined,
}

impl std::fmt::Display for NoTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NothingServes => "no revision was ever seen to serve",
            Self::NoneKnownGood => "no earlier revision has served healthily for the bake time",
            Self::AllQuarantined => "every earlier known-good revision was itself rolled away from",
        })
    }
}

impl Ledger {
    /// What serves, as last seen.
    pub fn serving(&self, component: Component) -> Option<&Revision> {
        self.shelves.get(&component)?.serving.as_ref()
    }

    /// What is known of a revision.
    pub fn entry(&self, component: Component, revision: &Revision) -> Option<&Entry> {
        let shelf = self.shelves.get(&component)?;
        shelf.entries.iter().find(|e| e.revision.agrees_with(revision))
    }

    /// When another revision began to serve in that one's place, by the platform's own time.
    pub(super) fn replaced_at(&self, component: Component, revision: &Revision) -> Option<UnixMs> {
        let since = self.entry(component, revision)?.serving_since;
        let others = self.shelves.get(&component)?.entries.iter();
        let later = others.filter(|entry| !entry.revision.agrees_with(revision));
        later.map(|entry| entry.serving_since).filter(|at| *at >= since).min()
    }

    /// The wall clock was set by so much.
    pub(super) fn clock_set(&mut self, by_ms: i64) {
        for entry in self.shelves.values_mut().flat_map(|shelf| &mut shelf.entries) {
            entry.serving_since = entry.serving_since.set_by(by_ms);
        }
    }

    /// The last known-good revision other than what serves: the one to go back to.
    ///
    /// Where several changes fell into one bake time none of the revisions between is known good, so this
    /// goes back across all of them.
    pub fn target(&self, component: Component) -> Result<&Revision, NoTarget> {
        let shelf = self.shelves.get(&component).ok_or(NoTarget::NothingServes)?;
        let serving = shelf.serving.as_ref().ok_or(NoTarget::NothingServes)?;
        let good = |e: &&Entry| e.known_good_at.is_some() && !e.revision.agrees_with(serving);
        let earlier: Vec<&Entry> = shelf.entries.iter().filter(good).collect();
        if earlier.is_empty() {
            return Err(NoTarget::NoneKnownGood);
        }
        let free = earlier.into_iter().filter(|e| e.quarantine.is_none());
        free.max_by_key(|e| e.serving_since).map(|e| &e.revision).ok_or(NoTarget::AllQuarantined)
    }

    /// Makes a fact so.
    pub fn evolve(&mut self, fact: &Fact, at: UnixMs) {
        match fact {
            Fact::Serving { component, revision, since } => {
                let shelf = self.shelves.entry(*component).or_default();
                shelf.serving = Some(revision.clone());
                match shelf.find(revision) {
                    Some(entry) => {
                        entry.revision.digest =
                            revision.digest.clone().or(entry.revision.digest.take());
                        entry.serving_since = *since;
                    }
                    None => shelf.entries.push(Entry {
                        revision: revision.clone(),
                        serving_since: *since,
                        known_good_at: None,
                        quarantine: None,
                        images: vec![],
                    }),
                }
                shelf.forget();
            }
            Fact::KnownGood { component, revision, images } => {
                if let Some(entry) = self.find(*component, revision) {
                    entry.known_good_at.get_or_insert(at);
                    if !images.is_empty() {
                        entry.images.clone_from(images);
                    }
                }
            }
            Fact::Quarantined { component, revision, incident } => {
                if let Some(entry) = self.find(*component, revision) {
                    entry.quarantine = Some(Quarantine { at, incident: incident.clone() });
                    // Whatever it earned before, it has just hurt.
                    entry.known_good_at = None;
                    entry.images.clear();
                }
            }
            Fact::Lifted { component, version, .. } => {
                let shelf = self.shelves.entry(*component).or_default();
                for entry in shelf.entries.iter_mut().filter(|e| e.revision.version == *version) {
                    entry.quarantine = None;
                }
            }
        }
    }

    fn find(&mut self, component: Component, revision: &Revision) -> Option<&mut Entry> {
        self.shelves.get_mut(&component)?.find(revision)
    }
}

impl Shelf {
    fn find(&mut self, revision: &Revision) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|e| e.revision.agrees_with(revision))
    }

    fn forget(&mut self) {
        while self.entries.len() > REVISIONS_MAX {
            let serving = self.serving.clone();
            let plain = self.entries.iter().position(|e| {
                e.known_good_at.is_none()
                    && e.quarantine.is_none()
                    && serving.as_ref() != Some(&e.revision)
            });
            self.entries.remove(plain.unwrap_or(0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serving(version: &str, since: i64) -> Fact {
        Fact::Serving {
            component: Component::Application,
            revision: Revision::named(version),
            since: UnixMs(since),
        }
    }

    fn good(version: &str) -> Fact {
        Fact::KnownGood {
            component: Component::Application,
            revision: Revision::named(version),
            images: vec![],
        }
    }

    fn quarantined(version: &str) -> Fact {
        Fact::Quarantined {
            component: Component::Application,
            revision: Revision::named(version),
            incident: "i1".into(),
        }
    }

    fn ledger(facts: &[Fact]) -> Ledger {
        let mut ledger = Ledger::default();
        for (index, fact) in facts.iter().enumerate() {
            ledger.evolve(fact, UnixMs(i64::try_from(index).unwrap()));
        }
        ledger
    }

    #[test]
    fn two_changes_in_one_bake_time_go_back_across_both() {
        let ledger = ledger(&[serving("v1", 1), good("v1"), serving("v2", 2), serving("v3", 3)]);
        assert_eq!(ledger.target(Component::Application), Ok(&Revision::named("v1")));
    }

    #[test]
    fn undo_never_toggles_back_to_a_quarantined_revision() {
        let ledger = ledger(&[
            serving("v1", 1),
            good("v1"),
            serving("v2", 2),
            good("v2"),
            quarantined("v2"),
            serving("v1", 3),
        ]);
        assert_eq!(ledger.target(Component::Application), Err(NoTarget::NoneKnownGood));
    }

    #[test]
    fn one_is_replaced_by_the_first_that_came_after_it_last_began() {
        let replaced = |facts: &[Fact]| {
            ledger(facts).replaced_at(Component::Application, &Revision::named("v1"))
        };
        let mut facts = vec![serving("v1", 1), serving("v2", 2), serving("v1", 3)];
        assert_eq!(replaced(&facts), None, "it serves again");
        facts.extend([serving("v3", 4), serving("v4", 5)]);
        assert_eq!(replaced(&facts), Some(UnixMs(4)));
        assert_eq!(replaced(&[serving("v2", 2)]), None, "it never served");
    }

    #[test]
    fn nothing_known_good_is_nowhere_to_go() {
        let ledger = ledger(&[serving("v1", 1), serving("v2", 2)]);
        assert_eq!(ledger.target(Component::Application), Err(NoTarget::NoneKnownGood));
        assert_eq!(ledger.target(Component::Database), Err(NoTarget::NothingServes));
    }

    #[test]
    fn the_same_version_with_other_content_is_another_revision() {
        let with = |digest: &str| Revision { version: "v1".into(), digest: Some(digest.into()) };
        let mut ledger = Ledger::default();
        for (revision, since) in [(with("sha256:a"), 1), (with("sha256:b"), 2)] {
            ledger.evolve(
                &Fact::Serving {
                    component: Component::Application,
                    revision,
                    since: UnixMs(since),
                },
                UnixMs(since),
            );
        }
        assert_eq!(ledger.shelves[&Component::Application].entries.len(), 2);
    }

    #[test]
    fn the_ledger_is_bounded_and_keeps_what_matters() {
        let mut facts = vec![serving("good", 0), good("good")];
        for n in 0..200 {
            facts.push(serving(&format!("v{n}"), n + 1));
        }
        let ledger = ledger(&facts);
        assert_eq!(ledger.shelves[&Component::Application].entries.len(), REVISIONS_MAX);
        assert_eq!(ledger.target(Component::Application), Ok(&Revision::named("good")));
    }

    /// It was rolled out before all the others, and is what serves.
    #[test]
    fn what_serves_is_not_forgotten_however_many_came_since() {
        let mut facts: Vec<Fact> = (0..50).map(|n| serving(&format!("v{n}"), n + 1)).collect();
        facts.push(serving("v0", 60));
        facts.push(serving("newest", 70));
        facts.push(serving("v0", 80));
        facts.extend(
            (50..55).flat_map(|n| [serving(&format!("v{n}"), n + 100), serving("v0", n + 100)]),
        );
        let ledger = ledger(&facts);
        let shelf = &ledger.shelves[&Component::Application];
        assert_eq!(shelf.entries.len(), REVISIONS_MAX);
        assert!(ledger.entry(Component::Application, &Revision::named("v0")).is_some());
        assert!(ledger.entry(Component::Application, &Revision::named("v1")).is_none());
    }
}

//! A release directory and what runs from it: the truth that nobody in the daemon knows.

use std::collections::BTreeMap;

use rollbackd::{
    domain::{
        change::{Component, Revision},
        inventory::{Available, Inventory, Serving},
    },
    units::UnixMs,
};

use super::{database::Database, operator::Layout, secret::Secret};

/// How a release behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Behaviour {
    /// Requests between two polls.
    pub(crate) requests: f64,
    /// The share of them that fails.
    pub(crate) errors: f64,
    /// Whether a probe is answered as it should be.
    pub(crate) up: bool,
}

pub(crate) const WELL: Behaviour = Behaviour { requests: 100.0, errors: 0.001, up: true };
pub(crate) const DOWN: Behaviour = Behaviour { requests: 100.0, errors: 1.0, up: false };

impl Behaviour {
    /// Not what a release is called good with.
    pub(crate) fn hurts(&self) -> bool {
        !self.up || self.errors >= 0.01
    }

    /// So bad that everybody must hear of it.
    pub(crate) fn hurts_badly(&self) -> bool {
        !self.up || self.errors >= 0.12
    }
}

/// Who changed something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Actor {
    /// An attempt of the daemon, under its epoch.
    Daemon {
        epoch: u64,
        run: String,
        step: usize,
    },
    Pipeline,
    Person,
}

/// What was done to a platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    Switched {
        from: String,
        to: String,
    },
    Restarted {
        on: String,
    },
    /// A script ran; whether what it does was in effect before.
    Ran {
        script: String,
        in_effect: bool,
    },
    /// Its schema went to another version.
    Migrated {
        to: u32,
    },
    /// Another version of its secret is current.
    Moved {
        from: String,
        to: String,
    },
    /// Maintenance mode was switched on or off.
    Maintained {
        on: bool,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct Effect {
    pub(crate) at: i64,
    pub(crate) by: Actor,
    pub(crate) done: Done,
}

#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) releases: BTreeMap<String, Behaviour>,
    pub(crate) linked: String,
    pub(crate) running: Option<String>,
    /// By the machine's own clock.
    switched_at: UnixMs,
    /// Bumped whenever what runs begins anew: counters start from zero.
    pub(crate) starts: u64,
    pub(crate) scripts: BTreeMap<String, bool>,
    pub(crate) maintained: bool,
    pub(crate) database: Option<Database>,
    pub(crate) secret: Option<Secret>,
    /// Everything that was ever done, in order.
    pub(crate) done: Vec<Effect>,
    /// Until then nobody can tell what is deployed.
    pub(crate) unreadable_until: i64,
}

impl Site {
    pub(crate) fn of(layout: Layout, wall: UnixMs) -> Self {
        Self {
            releases: [("v1".to_owned(), WELL)].into(),
            linked: "v1".into(),
            running: Some("v1".into()),
            switched_at: wall,
            starts: 0,
            scripts: BTreeMap::new(),
            maintained: false,
            database: layout.has_databases().then(|| Database::new(wall)),
            secret: (layout == Layout::Secrets).then(|| Secret::new(wall)),
            done: vec![],
            unreadable_until: i64::MIN,
        }
    }

    pub(crate) fn behaviour(&self) -> Behaviour {
        let running = self.running.as_ref().filter(|version| self.bears(version));
        let behaviour = running.and_then(|version| self.releases.get(version)).copied();
        let given = self.secret.as_ref().map(Secret::behaviour).filter(Behaviour::hurts);
        behaviour.map_or(DOWN, |it| if it.hurts() { it } else { given.unwrap_or(it) })
    }

    /// Whether a release runs on the schema that is there.
    pub(crate) fn bears(&self, release: &str) -> bool {
        self.database.as_ref().is_none_or(|database| database.bears(release))
    }

    /// Something was done to its database.
    pub(crate) fn migrated(&mut self, by: Actor, at: i64) {
        let to = self.database.as_ref().map_or(0, Database::current);
        self.done.push(Effect { at, by, done: Done::Migrated { to } });
    }

    /// What runs knows nothing of it until it starts anew.
    pub(crate) fn move_secret(&mut self, to: &str, by: Actor, at: i64, wall: UnixMs) {
        let Some(secret) = &mut self.secret else { return };
        let from = secret.current.clone();
        secret.moved(to, wall);
        self.done.push(Effect { at, by, done: Done::Moved { from, to: to.to_owned() } });
    }

    pub(crate) fn switch(&mut self, to: &str, by: Actor, at: i64, wall: UnixMs) {
        let from = std::mem::replace(&mut self.linked, to.to_owned());
        self.switched_at = wall;
        self.done.push(Effect { at, by, done: Done::Switched { from, to: to.to_owned() } });
    }

    /// What is linked begins to serve.
    pub(crate) fn restart(&mut self, by: Actor, at: i64, wall: UnixMs) {
        self.secret.iter_mut().for_each(|secret| secret.starts(wall));
        self.running = Some(self.linked.clone());
        self.starts += 1;
        self.done.push(Effect { at, by, done: Done::Restarted { on: self.linked.clone() } });
    }

    /// The old process is gone and the new one has not come up.
    pub(crate) fn half_restart(&mut self, by: Actor, at: i64) {
        self.running = None;
        self.done.push(Effect { at, by, done: Done::Restarted { on: "nothing".into() } });
    }

    pub(crate) fn script(&mut self, name: &str, by: Actor, at: i64) {
        let undone = name.strip_prefix("un").map_or_else(|| format!("un{name}"), str::to_owned);
        self.scripts.remove(&undone);
        let in_effect = self.scripts.insert(name.to_owned(), true) == Some(true);
        self.done.push(Effect { at, by, done: Done::Ran { script: name.to_owned(), in_effect } });
    }

    pub(crate) fn maintain(&mut self, on: bool, by: Actor, at: i64) {
        self.maintained = on;
        self.done.push(Effect { at, by, done: Done::Maintained { on } });
    }

    /// When somebody other than the daemon last changed it.
    pub(crate) fn touched_by_others(&self) -> Option<i64> {
        let others = |e: &&Effect| !matches!(e.by, Actor::Daemon { .. });
        self.done.iter().rev().find(others).map(|e| e.at)
    }

    /// Whether anything about it is other than it was then.
    pub(crate) fn is_new(&self, then: i64) -> bool {
        self.unreadable_until >= then || self.done.last().is_some_and(|effect| effect.at >= then)
    }

    /// What a look at it shows.
    pub(crate) fn inventory(&self, at: i64) -> Inventory {
        let unreadable = at < self.unreadable_until;
        let available = |version: &String| Available::named(version, None);
        Inventory {
            component: Component::Application,
            linked: (!unreadable).then(|| Revision::named(&self.linked)),
            running: match &self.running {
                _ if unreadable => Serving::Unknown("the file system hangs".into()),
                Some(version) => Serving::Version(version.clone()),
                None => Serving::NotRunning("the unit is not active".into()),
            },
            switched_at: (!unreadable).then_some(self.switched_at),
            available: self.releases.keys().rev().map(available).collect(),
            faults: if unreadable { vec!["the file system hangs".into()] } else { vec![] },
            told: None,
            deployed: None,
            read: None,
        }
    }
}

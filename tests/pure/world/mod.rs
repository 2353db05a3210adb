//! A deterministic world around the real domain, the real order of the event loop and the real journal format.
//!
//! One seed is one world: services that suffer, platforms, sources, channels and people that fail in every way, and crashes
//! at every boundary. After each event a simple model, written from the design's words, says what must be true outside. See
//! `model.rs` for the invariants and `tests/simulate.rs` for how many worlds are run.

#![expect(clippy::wildcard_enum_match_arm, reason = "the world reacts to a few of many things")]

mod act;
mod base;
mod channels;
mod daemon;
mod database;
pub(crate) mod executor;
mod happen;
mod journal;
mod model;
pub(crate) mod operator;
mod people;
mod readings;
pub(crate) mod rng;
pub(crate) mod sayings;
pub(crate) mod script;
mod secret;
mod site;
mod tally;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rollbackd::{
    domain::{notice::Audience, policy::Policy, service::ServiceId, watch},
    store::Record,
    units::UnixMs,
};

use self::{
    act::Act, channels::Channel, daemon::Daemon, executor::Attempt, journal::Journal, model::Model,
    readings::Sources, rng::Dice, script::Boundary, site::Site,
};
pub(crate) use self::{base::Bases, script::Script, tally::Tally};

/// More than any world that comes to rest needs.
const STEPS_MAX: usize = 50_000;

/// The machine's clock at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wall(UnixMs);

/// One world.
pub(crate) struct World {
    script: Script,
    /// The true time, in milliseconds since the script begins.
    at: i64,
    /// By how much the machine's clock is off.
    off: i64,
    policy: Policy,
    sites: Vec<Site>,
    sources: Vec<Sources>,
    channels: Vec<Channel>,
    journal: Journal,
    daemon: Option<Daemon>,
    attempts: VecDeque<Attempt>,
    agenda: BTreeMap<(i64, u64), Act>,
    entries: u64,
    /// A crash that waits for its place.
    armed: Option<(Boundary, u64, i64)>,
    mishaps: (u64, i64),
    hold_until: i64,
    alerts: Vec<act::Active>,
    stale: BTreeMap<ServiceId, String>,
    routing: Vec<(String, BTreeSet<Audience>)>,
    /// Whether every fact is read again from its bytes at once, and all that is remembered is weighed: in one world of
    /// four. In every world that is what a daemon begins with.
    thorough: bool,
    /// Pages that somebody has reacted to.
    reacted: BTreeSet<String>,
    dice: Dice,
    /// Events so far, for their names.
    events: u64,
    model: Model,
    tally: Tally,
    over: bool,
    /// What happened, for people, where somebody wants to read it.
    story: Option<Vec<String>>,
}

/// What became of one world.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    pub(crate) tally: Tally,
    /// The first invariant that did not hold, and how.
    pub(crate) violation: Option<String>,
    /// The hash of the journal's last record: the same for the same seed, byte for byte.
    pub(crate) fingerprint: String,
    pub(crate) story: Vec<String>,
    /// What serves at the end, by release directory.
    pub(crate) serves: Vec<Option<String>>,
    /// Which version of its secret is current then, and which is read.
    pub(crate) secrets: Vec<Option<(String, String)>>,
    /// Whether it is in maintenance mode then.
    pub(crate) maintained: Vec<bool>,
    /// The text of every page.
    pub(crate) pages: Vec<String>,
}

/// Lives one script through.
pub(crate) fn live(bases: &mut Bases, seed: u64, script: Script, told: bool) -> Life {
    let mut world = bases.world(seed, script);
    world.story = told.then(Vec::new);
    world.run();
    let violation = world.model.violation.take();
    let secret = |site: &Site| site.secret.as_ref().map(|it| (it.current.clone(), it.read.clone()));
    world.tally.turns = world.events;
    world.tally.violations = u64::from(violation.is_some());
    Life {
        tally: world.tally,
        violation,
        fingerprint: world.journal.tail().1,
        maintained: world.sites.iter().map(|site| site.maintained).collect(),
        secrets: world.sites.iter().map(secret).collect(),
        serves: world.sites.iter().map(|site| site.running.clone()).collect(),
        pages: if told { journal::pages(&world.journal.records) } else { vec![] },
        story: world.story.unwrap_or_default(),
    }
}

/// What the daemon of a seed wrote down, from a quiet beginning to the end.
pub(crate) fn written(bases: &mut Bases, seed: u64) -> Vec<Record> {
    let mut world = bases.world(seed, Script::thrown(seed));
    world.run();
    world.journal.records
}

/// The windows of a seed's services, as they would be written down at the end.
pub(crate) fn windows_at_the_end(bases: &mut Bases, seed: u64) -> Vec<String> {
    let mut world = bases.world(seed, Script::thrown(seed));
    world.run();
    world.windows().into_values().collect()
}

/// The shortest beginning of a seed's script in which it still fails.
pub(crate) fn shortest(bases: &mut Bases, seed: u64) -> Option<(usize, Life)> {
    let whole = Script::thrown(seed);
    (0..=whole.happenings.len()).find_map(|length| {
        let mut script = whole.clone();
        script.happenings.truncate(length);
        let life = live(bases, seed, script, true);
        life.violation.is_some().then_some((length, life))
    })
}

impl World {
    fn wall(&self) -> UnixMs {
        base::NOON.set_by(self.at + self.off)
    }

    fn tell(&mut self, line: impl FnOnce() -> String) {
        if let Some(story) = &mut self.story {
            let (minutes, seconds) =
                (self.at.div_euclid(60_000), self.at.rem_euclid(60_000) as f64 / 1e3);
            story.push(format!("{minutes:>3}:{seconds:06.3}  {}", line()));
        }
    }

    fn later(&mut self, at: i64, act: Act) {
        self.entries += 1;
        self.agenda.insert((at.max(self.at), self.entries), act);
    }

    /// Everything in the order of time, until it is over or something is wrong.
    fn run(&mut self) {
        for step in 0.. {
            if self.over || self.model.violation.is_some() {
                break;
            }
            if step == STEPS_MAX {
                self.model.violated("I12", self.at, "it never comes to rest".into());
            }
            let agenda = self.agenda.keys().next().map_or(i64::MAX, |(at, _)| *at);
            let attempt = self.next_of_attempts().unwrap_or(i64::MAX);
            let deadline = self.next_deadline().unwrap_or(i64::MAX);
            let delivery = self.next_delivery();
            let sends = delivery.map_or(i64::MAX, |(at, _)| at);
            let next = agenda.min(attempt).min(deadline).min(sends).max(self.at);
            if next == i64::MAX {
                return;
            }
            self.at = next;
            if attempt <= next {
                self.attempts_go_on();
            } else if deadline <= next {
                self.tick();
            } else if let (Some((_, channel)), true) = (delivery, sends <= next) {
                self.deliver(channel);
            } else if let Some((_, act)) = self.agenda.pop_first() {
                self.act(act);
            }
        }
        if self.model.violation.is_none() {
            self.at_the_end();
        }
        if let Some(violation) = self.model.violation.clone() {
            self.tell(|| format!("VIOLATION {violation}"));
        }
    }

    /// Which release directory a service is deployed from.
    fn site_of(&self, service: usize) -> usize {
        if self.sites.len() == 1 { 0 } else { service }
    }

    fn index_of(&self, id: &ServiceId) -> usize {
        (0..self.sources.len()).find(|index| operator::id(*index) == *id).unwrap_or(0)
    }

    /// The windows, as they would be written down now.
    fn windows(&self) -> BTreeMap<ServiceId, String> {
        let watches = self.daemon.iter().flat_map(|d| &d.controller.fleet.watches);
        let text = |watch: &watch::ServiceWatch| serde_json::to_string(&watch.snapshot());
        watches.filter_map(|(id, watch)| Some((id.clone(), text(watch).ok()?))).collect()
    }
}

//! One tape, played to the domain: polls, deployments and deadlines in the order of their times.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{
    revisions::uncompared,
    story::Story,
    tape::{Player, Tape},
};
use crate::{
    domain::{
        change::{Component, Revision},
        counter::Drop,
        event::{Event, Now, What},
        fact::Fact,
        fleet::Fleet,
        inventory::{Available, Inventory, Serving},
        policy::{FleetPolicy, Policy, ServicePolicy},
        service::Mode,
    },
    units::{Span, UnixMs},
};

/// What served before the first recorded deployment.
const BEFORE: &str = "before";
/// Versions that a platform still has, as far as a replay is concerned.
const KEPT: usize = 10;
/// How often the platform is looked at during an incident, and otherwise. The daemon looks more often, and sees the same.
const LOOK_EVERY: Span = Span::minutes(1);
const LOOK_EVERY_QUIET: Span = Span::minutes(15);

/// Recordings, how each is judged, and what would have happened: the same place in each list is one service.
#[derive(Clone, Debug)]
pub struct Replayed {
    /// What was recorded.
    pub tapes: Vec<Tape>,
    /// How it is judged.
    pub policies: Vec<ServicePolicy>,
    /// What would have happened.
    pub stories: Vec<Story>,
}

impl Replayed {
    /// Plays every tape that holds anything.
    pub fn play(recorded: Vec<(Tape, ServicePolicy)>, fleet: &FleetPolicy) -> Self {
        let holds = |(tape, _): &(Tape, ServicePolicy)| tape.span().is_some();
        let (tapes, policies): (Vec<_>, Vec<_>) = recorded.into_iter().filter(holds).unzip();
        let stories = play_all(&tapes, |index| policies[index].clone(), fleet);
        Self { stories: stories.into_iter().flatten().collect(), tapes, policies }
    }

    /// Where triggers that compare revisions had nothing to compare.
    pub fn uncompared(&self) -> Vec<String> {
        uncompared(self.tapes.iter().zip(&self.policies))
    }
}

/// What would have happened, service by service, on all cores. `policy` says how the tape of that index is judged; `None` where nothing was
/// recorded of one.
pub fn play_all(
    tapes: &[Tape],
    policy: impl Fn(usize) -> ServicePolicy + Sync,
    fleet: &FleetPolicy,
) -> Vec<Option<Story>> {
    let next = AtomicUsize::new(0);
    let stories = Mutex::new(vec![None; tapes.len()]);
    let cores = std::thread::available_parallelism().map_or(1, usize::from).min(tapes.len());
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(tape) = tapes.get(index) else { return };
                    let story = play(tape, policy(index), *fleet);
                    stories.lock().unwrap_or_else(PoisonError::into_inner)[index] = story;
                }
            });
        }
    });
    stories.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// What would have happened to one service. `None` where nothing was recorded of it.
pub fn play(tape: &Tape, policy: ServicePolicy, fleet: FleetPolicy) -> Option<Story> {
    let (from, until) = tape.span()?;
    let policy = ServicePolicy { id: tape.service.clone(), mode: Mode::Observe, ..policy };
    let policy = Policy {
        services: std::iter::once((tape.service.clone(), Arc::new(policy))).collect(),
        fleet,
        config_hash: "replay".to_owned(),
        freezes: vec![],
    };
    let mut drive = Drive {
        fleet: Fleet::new(policy, 1),
        story: Story::new(tape.service.clone(), from, until),
        tape,
        // What served when the record begins is seen by the first look.
        deployed: tape.deployments.iter().filter(|deployment| deployment.at < from).count(),
        looked: None,
    };
    drive.turn(What::Started, from);
    let mut players: Vec<(&str, Player<'_>)> =
        tape.tracks.iter().map(|(signal, track)| (signal.as_str(), track.player())).collect();
    loop {
        let soonest = players.iter().enumerate().filter_map(|(i, (_, p))| Some((p.at()?, i))).min();
        let Some((at, index)) = soonest else { break };
        drive.until(at);
        let (signal, player) = &mut players[index];
        let what = What::Polled {
            service: tape.service.clone(),
            signal: (*signal).to_owned(),
            readings: player.read(),
            fault: None,
        };
        drive.turn(what, at);
    }
    Some(drive.end())
}

struct Drive<'t> {
    fleet: Fleet,
    story: Story,
    tape: &'t Tape,
    /// Deployments that happened.
    deployed: usize,
    looked: Option<UnixMs>,
}

impl Drive<'_> {
    /// Everything that comes before `at`: deployments, deadlines, and a look at the platform.
    fn until(&mut self, at: UnixMs) {
        while let Some(deployment) = self.tape.deployments.get(self.deployed).filter(|d| d.at <= at)
        {
            let when = deployment.at;
            self.ticks(when);
            self.deployed += 1;
            self.look(when);
        }
        self.ticks(at);
        let state = self.fleet.states.get(&self.tape.service);
        let open = state.is_some_and(|state| state.incident.is_some());
        let every = if open { LOOK_EVERY } else { LOOK_EVERY_QUIET };
        if self.looked.is_none_or(|looked| at.since(looked) >= every) {
            self.look(at);
        }
    }

    fn ticks(&mut self, until: UnixMs) {
        while let Some(at) = self.fleet.next_deadline().filter(|at| *at < until) {
            self.turn(What::Tick, at);
            // What stays due was looked at in vain, and is again with the next poll.
            if self.fleet.next_deadline().is_some_and(|next| next <= at) {
                return;
            }
        }
    }

    fn look(&mut self, at: UnixMs) {
        self.looked = Some(at);
        let known = &self.tape.deployments[..self.deployed];
        let version = known.last().map_or(BEFORE, |deployment| deployment.version.as_str());
        let mut seen = BTreeSet::new();
        let versions = known.iter().rev().map(|d| d.version.as_str()).chain([BEFORE]);
        let available = versions
            .filter(|version| seen.insert(*version))
            .take(KEPT)
            .map(|version| Available { revision: Revision::named(version), modified_at: None });
        let inventory = Inventory {
            component: Component::Application,
            linked: Some(Revision::named(version)),
            running: Serving::Version(version.to_owned()),
            switched_at: known.last().map(|deployment| deployment.at),
            available: available.collect(),
            faults: vec![],
        };
        self.turn(What::Seen { service: self.tape.service.clone(), inventory }, at);
    }

    fn turn(&mut self, what: What, at: UnixMs) {
        let now = Now { wall: at, steady: at };
        let event = Event { id: String::new(), what };
        let Ok(turned) = self.fleet.turn(&event, now, |_| Ok::<(), Infallible>(()));
        let facts = turned.batches.iter().flat_map(|(_, facts)| facts);
        facts.for_each(|fact: &Fact| self.story.tell(fact, at));
    }

    fn end(mut self) -> Story {
        if let Some(watch) = self.fleet.watches.get(&self.tape.service) {
            let mut dropped = BTreeMap::new();
            for drops in watch.all_drops() {
                for reason in Drop::ALL {
                    *dropped.entry(reason.name()).or_default() += drops.count(reason);
                }
            }
            dropped.retain(|_, count| *count > 0);
            self.story.dropped = dropped;
        }
        self.story
    }
}

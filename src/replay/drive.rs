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
    picture::Picture,
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

/// What would have happened, service by service.
#[derive(Clone, Debug, Default)]
pub struct Replayed {
    /// To each service.
    pub stories: Vec<Story>,
    /// What is drawn of the incidents of each.
    pub pictures: Vec<Vec<Picture>>,
}

impl Extend<(Story, Vec<Picture>)> for Replayed {
    fn extend<T: IntoIterator<Item = (Story, Vec<Picture>)>>(&mut self, more: T) {
        for (story, pictures) in more {
            self.stories.push(story);
            self.pictures.push(pictures);
        }
    }
}

/// Does something with each, on all cores; the results are in the order of what `next` gives.
pub(super) fn on_all_cores<I, T: Send>(
    next: impl Fn() -> Option<(usize, I)> + Sync,
    each: impl Fn(I) -> T + Sync,
) -> Vec<T> {
    let done = Mutex::new(vec![]);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some((index, one)) = next() {
                    let result = each(one);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((index, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_unstable_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Does something with each tape, on all cores.
pub fn each_tape<T: Send>(tapes: &[Tape], each: impl Fn(&Tape) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let next = || {
        let index = next.fetch_add(1, Ordering::Relaxed);
        tapes.get(index).map(|tape| (index, tape))
    };
    on_all_cores(next, each)
}

/// What would have happened to one service. `None` where nothing was recorded of it.
pub fn play(tape: &Tape, policy: &ServicePolicy, fleet: FleetPolicy) -> Option<Story> {
    let (from, until) = tape.span()?;
    let policy = ServicePolicy { id: tape.service.clone(), mode: Mode::Observe, ..policy.clone() };
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
    let polled = |signal: &str| What::Polled {
        service: tape.service.clone(),
        signal: signal.to_owned(),
        readings: vec![],
        fault: None,
    };
    let mut players: Vec<(Event, Player<'_>)> =
        tape.tracks.iter().map(|(signal, track)| (event(polled(signal)), track.player())).collect();
    loop {
        let soonest = players.iter().enumerate().filter_map(|(i, (_, p))| Some((p.at()?, i))).min();
        let Some((at, index)) = soonest else { break };
        drive.until(at);
        let (event, player) = &mut players[index];
        // One event for each signal, filled anew: there are tens of millions of them.
        if let What::Polled { readings, .. } = &mut event.what {
            player.read(readings);
        }
        drive.take(event, at);
    }
    Some(drive.end())
}

fn event(what: What) -> Event {
    Event { id: String::new(), what }
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
        let open = self.fleet.open().next().is_some();
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
            .map(|version| Available::named(version, None));
        let inventory = Inventory {
            component: Component::Application,
            linked: Some(Revision::named(version)),
            running: Serving::Version(version.to_owned()),
            switched_at: known.last().map(|deployment| deployment.at),
            available: available.collect(),
            faults: vec![],
            told: None,
            deployed: None,
        };
        self.turn(What::Seen { service: self.tape.service.clone(), inventory }, at);
    }

    fn turn(&mut self, what: What, at: UnixMs) {
        self.take(&event(what), at);
    }

    fn take(&mut self, event: &Event, at: UnixMs) {
        let now = Now { wall: at, steady: at };
        let Ok(turned) = self.fleet.turn(event, now, |_| Ok::<(), Infallible>(()));
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

//! Tapes, played to the domain: polls, deployments and deadlines in the order of their times.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap, binary_heap::PeekMut},
    convert::Infallible,
    sync::Arc,
};

use super::{
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
        service::{Mode, ServiceId},
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

/// One of the services that are played: what was recorded of it, and what it is judged by.
pub(super) type Seat<'t> = (&'t Tape, ServicePolicy);

/// What would have happened to one service that is watched alone. `None` where nothing was recorded of it.
pub fn play(tape: &Tape, policy: &ServicePolicy, fleet: FleetPolicy) -> Option<Story> {
    play_together(vec![(tape, policy.clone())], fleet, 1).pop()
}

/// What would have happened to these services of a fleet of so many, of whom the others are quiet. One of which nothing
/// was recorded has no story; the others' are in their order.
pub(super) fn play_together(
    seats: Vec<Seat<'_>>,
    fleet: FleetPolicy,
    services: usize,
) -> Vec<Story> {
    let mut policies = BTreeMap::new();
    let mut played = vec![];
    for (tape, policy) in seats {
        let Some((from, until)) = tape.span() else { continue };
        let id = tape.service.clone();
        let policy = ServicePolicy { id: id.clone(), mode: Mode::Observe, ..policy };
        policies.insert(id.clone(), Arc::new(policy));
        played.push(Played {
            tape,
            story: Story::new(id, from, until),
            // What served when the record begins is seen by the first look.
            deployed: tape.deployments.iter().filter(|deployment| deployment.at < from).count(),
            looked: None,
        });
    }
    let Some(from) = played.iter().map(|one| one.story.from).min() else { return vec![] };
    add_quiet(&mut policies, services);
    let policy =
        Policy { services: policies, fleet, config_hash: "replay".to_owned(), freezes: vec![] };
    let places = (0..).zip(&played).map(|(place, one)| (one.tape.service.clone(), place)).collect();
    let mut drive = Drive { fleet: Fleet::new(policy, 1), played, places };
    drive.turn(What::Started, from);
    drive.play();
    drive.end()
}

/// Services of which nothing is heard, until there are so many: a storm is a share of the fleet, and a P0 waits for company
/// where there could be any.
fn add_quiet(policies: &mut BTreeMap<ServiceId, Arc<ServicePolicy>>, services: usize) {
    let Some(mut quiet) = policies.values().next().map(|policy| ServicePolicy::clone(policy))
    else {
        return;
    };
    quiet.signals = BTreeMap::new().into();
    quiet.triggers = BTreeMap::new().into();
    for number in 1.. {
        if policies.len() >= services {
            return;
        }
        if let Ok(id) = ServiceId::new(&format!("quiet-{number}"), "replay") {
            quiet.id = id.clone();
            policies.entry(id).or_insert_with(|| Arc::new(quiet.clone()));
        }
    }
}

fn event(what: What) -> Event {
    Event { id: String::new(), what }
}

/// One service, and how far its tape was played.
struct Played<'t> {
    tape: &'t Tape,
    story: Story,
    /// Deployments that happened.
    deployed: usize,
    looked: Option<UnixMs>,
}

struct Drive<'t> {
    fleet: Fleet,
    played: Vec<Played<'t>>,
    /// Where each service is among those that are played.
    places: BTreeMap<ServiceId, usize>,
}

impl<'t> Drive<'t> {
    /// All polls and deployments in the order of their times; of one moment's, deployments come first.
    fn play(&mut self) {
        let mut players: Vec<(usize, Event, Player<'t>)> = vec![];
        for (place, one) in self.played.iter().enumerate() {
            let polled = |signal: &str| What::Polled {
                service: one.tape.service.clone(),
                signal: signal.to_owned(),
                readings: vec![],
                fault: None,
            };
            let tracks = one.tape.tracks.iter();
            players
                .extend(tracks.map(|(name, track)| (place, event(polled(name)), track.player())));
        }
        let services = self.played.len();
        let deployments = (0..services).filter_map(|place| Some((self.deploys_at(place)?, place)));
        let polls = (services..).zip(&players).filter_map(|(i, (_, _, p))| Some((p.at()?, i)));
        let mut agenda: BinaryHeap<Reverse<(UnixMs, usize)>> =
            deployments.chain(polls).map(Reverse).collect();
        while let Some(mut soonest) = agenda.peek_mut() {
            let Reverse((at, index)) = *soonest;
            let next = match index.checked_sub(services) {
                None => {
                    self.deploy(index, at);
                    self.deploys_at(index)
                }
                Some(index) => {
                    let (place, event, player) = &mut players[index];
                    self.until(*place, at);
                    // One event for each signal, filled anew: there are tens of millions of them.
                    if let What::Polled { readings, .. } = &mut event.what {
                        player.read(readings);
                    }
                    self.take(event, at);
                    self.note_alarm(*place, at);
                    player.at()
                }
            };
            match next {
                Some(at) => *soonest = Reverse((at, index)),
                None => drop(PeekMut::pop(soonest)),
            }
        }
    }

    /// When the next deployment of a service is.
    fn deploys_at(&self, place: usize) -> Option<UnixMs> {
        let one = &self.played[place];
        // Of what is deployed after the last poll nothing follows.
        one.tape.deployments.get(one.deployed).map(|d| d.at).filter(|at| *at <= one.story.until)
    }

    fn deploy(&mut self, place: usize, at: UnixMs) {
        self.ticks(at);
        self.played[place].deployed += 1;
        self.look(place, at);
    }

    /// Everything that comes before a poll at `at`: deadlines, and a look at the platform.
    fn until(&mut self, place: usize, at: UnixMs) {
        self.ticks(at);
        let one = &self.played[place];
        let due = |every: Span| one.looked.is_none_or(|looked| at.since(looked) >= every);
        let open =
            || self.fleet.states.get(&one.tape.service).is_some_and(|s| s.incident.is_some());
        // Most polls come too soon after a look for either, and need not ask which it is.
        if due(LOOK_EVERY) && (due(LOOK_EVERY_QUIET) || open()) {
            self.look(place, at);
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

    fn look(&mut self, place: usize, at: UnixMs) {
        let one = &mut self.played[place];
        one.looked = Some(at);
        let known = &one.tape.deployments[..one.deployed];
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
            read: None,
        };
        let service = one.tape.service.clone();
        self.turn(What::Seen { service, inventory }, at);
    }

    fn turn(&mut self, what: What, at: UnixMs) {
        self.take(&event(what), at);
    }

    fn take(&mut self, event: &Event, at: UnixMs) {
        let now = Now { wall: at, steady: at };
        let Ok(turned) = self.fleet.turn(event, now, |_| Ok::<(), Infallible>(()));
        for (service, facts) in &turned.batches {
            let place = service.as_ref().and_then(|service| self.places.get(service));
            if let Some(one) = place.map(|place| &mut self.played[*place]) {
                facts.iter().for_each(|fact: &Fact| one.story.tell(fact, at));
            }
        }
    }

    /// Whether the service counts for a storm.
    fn note_alarm(&mut self, place: usize, at: UnixMs) {
        if self.fleet.alarmed(at) == 0 {
            return;
        }
        let one = &mut self.played[place];
        if self.fleet.watches.get(&one.tape.service).is_some_and(|watch| watch.is_alarmed()) {
            one.story.alarm(at, self.fleet.policy.fleet.storm_window);
        }
    }

    fn end(self) -> Vec<Story> {
        let Self { fleet, played, .. } = self;
        let end = |mut one: Played<'t>| {
            if let Some(watch) = fleet.watches.get(&one.tape.service) {
                let mut dropped = BTreeMap::new();
                for drops in watch.all_drops() {
                    for reason in Drop::ALL {
                        *dropped.entry(reason.name()).or_default() += drops.count(reason);
                    }
                }
                dropped.retain(|_, count| *count > 0);
                one.story.dropped = dropped;
            }
            one.story
        };
        played.into_iter().map(end).collect()
    }
}

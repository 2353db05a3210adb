//! What every world begins with: a fleet that has been healthy for a while, lived through once and then copied.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rollbackd::units::{Span, UnixMs};

use super::{
    World,
    act::Act,
    channels::Channel,
    daemon::routing,
    journal::Journal,
    model::Model,
    operator::{self, Layout},
    readings::Sources,
    rng::Dice,
    script::Script,
    site::Site,
    tally::Tally,
};

/// 2026-03-02, 12:00 UTC: when every script begins.
pub(crate) const NOON: UnixMs = UnixMs(1_772_452_800_000);
const WARM_UP: Span = Span::minutes(12);

#[derive(Clone)]
struct Base {
    policy: rollbackd::domain::policy::Policy,
    sites: Vec<Site>,
    sources: Vec<Sources>,
    journal: Journal,
    model: Model,
}

/// One for each layout, made when it is first asked for.
#[derive(Default)]
pub(crate) struct Bases(BTreeMap<Layout, Base>);

impl Bases {
    pub(super) fn world(&mut self, seed: u64, script: Script) -> World {
        let layout = script.layout;
        let base = self.0.entry(layout).or_insert_with(|| Base::lived(layout)).clone();
        let mut world = World::over(base, seed, script);
        for index in 0..world.script.happenings.len() {
            let at = world.script.happenings[index].0;
            world.later(at, Act::Happening(index));
        }
        world.later(world.script.calm_at, Act::Calm);
        world.later(0, Act::Start);
        world.later(0, Act::Poll);
        world
    }
}

impl Base {
    fn lived(layout: Layout) -> Self {
        let policy = operator::policy(layout);
        let roots: BTreeSet<String> =
            (0..layout.services()).map(|index| layout.root(index)).collect();
        let begins = NOON - WARM_UP;
        let sources = (0..layout.services())
            .map(|_| Sources::new(Dice::of(0, "warm-up"), -WARM_UP.ms(), begins));
        let mut base = Self {
            model: Model::new(&policy, -WARM_UP.ms()),
            policy,
            sites: roots.iter().map(|_| Site::of(layout, begins)).collect(),
            sources: sources.collect(),
            journal: Journal::default(),
        };
        if layout.has_databases() || layout == Layout::Secrets {
            // Nothing is written before noon in the other worlds, which keep to what their seeds were named for: v1 is as old as
            // its release says. How long a schema or a secret serves only the journal knows.
            base.journal.full_until = i64::MIN;
        }
        let script = Script { layout, fate: None, happenings: vec![], calm_at: i64::MAX };
        let mut world = World::over(base, 0, script);
        world.at = -WARM_UP.ms();
        world.later(world.at, Act::Start);
        world.later(world.at, Act::Poll);
        while let Some((at, act)) = world.agenda.pop_first().filter(|((at, _), _)| *at < 0) {
            world.at = at.0;
            while world.next_deadline().is_some_and(|due| due <= world.at) {
                world.tick();
            }
            world.act(act);
        }
        assert_eq!(world.model.violation, None, "a quiet world breaks nothing");
        world.journal.snapshots = world.windows();
        world.checkpoint();
        // What the checkpoint holds is written.
        world.model.written_at = 0;
        world.model.down();
        Self {
            policy: world.policy,
            sites: world.sites,
            sources: world.sources,
            journal: world.journal,
            model: world.model,
        }
    }
}

impl World {
    fn over(base: Base, seed: u64, script: Script) -> Self {
        let Base { policy, sites, mut sources, journal, model } = base;
        for (index, each) in sources.iter_mut().enumerate() {
            each.reseed(Dice::of(seed, &format!("sources {index}")));
        }
        Self {
            script,
            at: 0,
            off: 0,
            policy,
            sites,
            sources,
            channels: vec![Channel::new("chat"), Channel::new("hook")],
            stale: journal.snapshots.clone(),
            journal,
            daemon: None,
            attempts: VecDeque::new(),
            agenda: BTreeMap::new(),
            entries: 0,
            armed: None,
            mishaps: (0, i64::MIN),
            hold_until: i64::MIN,
            alerts: vec![],
            routing: routing(),
            thorough: seed.is_multiple_of(4),
            reacted: BTreeSet::new(),
            dice: Dice::of(seed, "world"),
            events: 0,
            model,
            tally: Tally::default(),
            over: false,
            story: None,
        }
    }
}

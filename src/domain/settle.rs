//! From one event to everything that follows: fact after fact until the service comes to rest.

use super::{
    change::{Component, Revision},
    event::{Now, What},
    fact::{Fact, Service},
    image::{self, Good, Served},
    incident::{Phase, advance, speak::Reply},
    ledger, maintenance,
    policy::{FleetPolicy, ServicePolicy},
    receive,
    severity::Severity,
    situation::{FleetView, Situation},
    state::ServiceState,
    watch::ServiceWatch,
    wording,
};
use crate::units::{Span, UnixMs};

/// More rounds than any real turn needs; a turn that reaches this has a defect, and stops instead of spinning.
const ROUNDS_MAX: usize = 64;

/// Everything of a situation but the state, which changes while a turn settles.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    /// What the operator decided.
    pub(super) policy: &'a ServicePolicy,
    /// The same for the fleet.
    pub(super) fleet_policy: &'a FleetPolicy,
    /// What the windows see.
    pub(super) watch: &'a ServiceWatch,
    /// What is true of the others.
    pub(super) fleet: &'a FleetView,
    /// The time.
    pub(super) now: Now,
    /// The daemon's epoch.
    pub(super) epoch: u64,
}

impl<'a> Frame<'a> {
    fn with(&self, state: &'a ServiceState) -> Situation<'a> {
        Situation {
            policy: self.policy,
            fleet_policy: self.fleet_policy,
            state,
            watch: self.watch,
            fleet: self.fleet,
            now: self.now,
            epoch: self.epoch,
        }
    }
}

/// All facts that follow from an event, the state in which they are so (none: as before), and the answer to whoever
/// spoke. The state is boxed where it is made: from most events nothing follows, and an empty place for one is not moved about.
pub(super) type Settled = (Vec<Fact>, Option<Box<ServiceState>>, Option<Reply>);

/// Whether nothing follows from another answer of a source: so it is with most services, most of the time, and is told without
/// asking everything that could follow.
pub(super) fn is_at_rest(s: &Situation<'_>) -> bool {
    s.watch.is_at_rest() && s.state.is_at_rest() && remind(s).is_empty() && known_good(s).is_empty()
}

/// What follows from an event.
pub(super) fn settle(frame: &Frame<'_>, before: &ServiceState, what: &What) -> Settled {
    let (mut next, reply) = receive::receive(&frame.with(before), what);
    if next.is_empty() {
        next = follow(&frame.with(before));
    }
    let mut all = vec![];
    if next.is_empty() {
        return (all, None, reply);
    }
    let mut state = Box::new(before.clone());
    for round in 0.. {
        debug_assert!(round < ROUNDS_MAX, "a turn of {} never settles: {all:?}", state.id);
        if round == ROUNDS_MAX {
            break;
        }
        for fact in next {
            state.evolve(&fact, frame.now);
            let notices = wording::notices(&fact, &frame.with(&state));
            all.push(fact);
            for notice in notices {
                let told = Fact::Told(Box::new(notice));
                state.evolve(&told, frame.now);
                all.push(told);
            }
        }
        next = follow(&frame.with(&state));
        if next.is_empty() {
            break;
        }
    }
    (all, Some(state), reply)
}

/// The next facts that follow by themselves; each group changes what the next asking sees.
fn follow(s: &Situation<'_>) -> Vec<Fact> {
    let transitions = s.watch.transitions(s);
    if !transitions.is_empty() {
        return transitions.into_iter().map(Fact::Trigger).collect();
    }
    let incident = advance::advance(s);
    if !incident.is_empty() {
        return incident;
    }
    if let Some(maintenance) = maintenance::advance(s) {
        return vec![Fact::Maintenance(maintenance)];
    }
    let known_good = known_good(s);
    if !known_good.is_empty() {
        return known_good;
    }
    remind(s)
}

/// A revision that has served healthily for the bake time is known good.
fn known_good(s: &Situation<'_>) -> Vec<Fact> {
    let parts = [Component::Application, Component::Configuration, Component::Database];
    parts.into_iter().flat_map(|component| earned(s, component)).collect()
}

/// Whether a revision of that part has really served, and for how long.
fn served(s: &Situation<'_>, component: Component, serving: &Revision) -> Option<Span> {
    let since = s.state.ledger.entry(component, serving)?.serving_since;
    if component == Component::Database {
        let schema = s.watch.database.known()?;
        let is_it = schema.revision().agrees_with(serving) && schema.failed().next().is_none();
        return is_it.then(|| s.now.wall.since(since));
    }
    let inventory = s.watch.inventory.as_ref()?;
    let since = match component {
        Component::Configuration => {
            let found = inventory.configuration()?;
            let is_it = found.revision.agrees_with(serving) && inventory.is_settled();
            found.read_at.filter(|_| is_it)?.max(since)
        }
        Component::Application | Component::Database | Component::Frontend => {
            inventory.running.is(&serving.version).then_some(since)?
        }
    };
    Some(s.now.wall.since(since))
}

fn earned(s: &Situation<'_>, component: Component) -> Vec<Fact> {
    let Some(serving) = s.state.ledger.serving(component) else { return vec![] };
    let Some(entry) = s.state.ledger.entry(component, serving) else { return vec![] };
    if entry.quarantine.is_some() {
        return vec![];
    }
    let known = images(s, component, entry);
    if entry.known_good_at.is_some() && known.is_empty() {
        return vec![];
    }
    let images = image::added(&entry.images, known);
    // What was known good before its registry could be asked, or an earlier daemon wrote down, is written down once more.
    let is_complete = images == entry.images;
    if entry.known_good_at.is_some() && is_complete {
        return vec![];
    }
    let quiet = match &s.state.incident {
        None => true,
        // What is cosmetic may stay open for weeks, and is no unhealth (`ServiceWatch::note_health`).
        Some(incident) => {
            matches!(incident.phase, Phase::Watching { .. }) || incident.severity == Severity::P3
        }
    };
    let healthy = s.watch.healthy_for(s.now.steady).unwrap_or(Span::ZERO);
    // A breach that has not held long enough yet delays it; one that fired starts it anew.
    if quiet
        && !s.watch.is_alarmed()
        && s.watch.has_served(s.policy)
        && served(s, component, serving).is_some_and(|span| span >= s.policy.bake)
        && healthy >= s.policy.bake
    {
        let revision = serving.clone();
        return vec![Fact::Ledger(ledger::Fact::KnownGood { component, revision, images })];
    }
    vec![]
}

/// How the images are of what serves, as far as that is known.
fn images(s: &Situation<'_>, component: Component, entry: &ledger::Entry) -> Vec<Good> {
    let serving = &entry.revision;
    let seen = s.watch.inventory.as_ref().filter(|_| component == Component::Application);
    // Only a Deployment's are asked for.
    let seen = seen.filter(|it| it.deployed.is_some() && it.linked.as_ref() == Some(serving));
    let Some(inventory) = seen else { return vec![] };
    let asked = inventory.find(&serving.version).map(|it| it.images.as_slice());
    let ran = inventory.deployed.as_ref().map(|it| it.ran.as_slice());
    let served = Served { since: entry.serving_since, proven_since: s.now.wall - s.policy.bake };
    image::good(asked.unwrap_or_default(), ran.unwrap_or_default(), served)
}

fn remind(s: &Situation<'_>) -> Vec<Fact> {
    let every = s.policy.people.repeat_page_every;
    if s.state.page.due(every).is_some_and(|at| s.now.steady >= at) {
        return vec![Fact::Service(Service::Reminded)];
    }
    let due = |at: UnixMs| s.now.wall >= at + s.policy.people.root_cause_within;
    match s.state.followups.first() {
        Some((at, incident)) if due(*at) => {
            vec![Fact::Service(Service::FollowedUp { incident: incident.clone() })]
        }
        Some(_) | None => vec![],
    }
}

//! Which windows are written down when. What is about to matter is written with every round, everything else in turn, so
//! that a round costs the same however many services there are.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

use crate::{
    domain::{event::Now, fleet::Fleet, service::ServiceId},
    store::{Snapshot, Store, StoreError},
    units::{Span, UnixMs},
};

/// Services of a round that are watched closely or have a trigger that is not clean; beyond, they take turns.
const URGENT_MAX: usize = 1_000;
/// Services of a round with nothing to tell. Up to so many, each is in every round.
const QUIET_MAX: usize = 400;
/// Whole histories of a round.
const PASTS_MAX: usize = 100;
/// A snapshot holds the history since the whole one, and grows with its age.
const PAST_EVERY: Span = Span::minutes(30);
/// Behind the key of a service, that of its whole history: no service's key has two slashes.
const PAST: &str = "/history";
/// Snapshots of one transaction.
const AT_ONCE: usize = 200;

/// Whose turn it is.
#[derive(Debug)]
pub(super) struct Rounds {
    urgent: Option<ServiceId>,
    quiet: Option<ServiceId>,
    /// When the whole history of each service was written down, on the steady clock: the other one may be set.
    pasts: BTreeMap<ServiceId, UnixMs>,
}

impl Rounds {
    /// Goes on from what is written down.
    pub(super) fn new(store: &Store) -> Self {
        // A store that cannot be read only has whole histories written once more.
        let written = store.view().snapshot_times().unwrap_or_default();
        let past = |(key, at): (String, UnixMs)| Some((of_past(&key)?, at));
        let pasts = written.into_iter().filter_map(past).collect();
        Self { urgent: None, quiet: None, pasts }
    }

    /// Writes one round, or everything.
    pub(super) fn write(
        &mut self,
        fleet: &mut Fleet,
        store: &mut Store,
        now: Now,
        all: bool,
    ) -> Result<(), StoreError> {
        let ids = if all {
            fleet.watches.keys().cloned().collect()
        } else {
            let mut urgent = fleet.watched(now);
            urgent.extend(fleet.unsettled().iter().cloned());
            let mut ids = in_turn(&urgent, &mut self.urgent, URGENT_MAX);
            ids.extend(after(&mut self.quiet, QUIET_MAX, |from| {
                fleet.watches.range((from, Bound::Unbounded)).map(|(id, _)| id)
            }));
            ids
        };
        // Who comes back begins anew; services that were found come and go.
        if self.pasts.len() > fleet.watches.len() {
            self.pasts.retain(|id, _| fleet.watches.contains_key(id));
        }
        let mut pasts = 0;
        let ids: Vec<ServiceId> = ids.into_iter().collect();
        for some in ids.chunks(AT_ONCE) {
            let mut bodies = vec![];
            for id in some {
                let Some(watch) = fleet.watches.get(id) else { continue };
                let past = self.pasts.get(id).filter(|at| {
                    // One from ahead was written before the clock was set back while nobody ran.
                    (Span::ZERO..PAST_EVERY).contains(&now.steady.since(**at))
                });
                if past.is_none() && (pasts < PASTS_MAX || all) {
                    pasts += 1;
                    bodies.push((format!("{id}{PAST}"), serde_json::to_vec(&watch.past())));
                    self.pasts.insert(id.clone(), now.steady);
                }
                let snapshot = match self.pasts.get(id) {
                    Some(at) => watch.snapshot_since(now.wall - now.steady.since(*at)),
                    None => watch.snapshot(),
                };
                bodies.push((id.to_string(), serde_json::to_vec(&snapshot)));
            }
            let keep =
                |(key, body)| Some(Snapshot { key, at: now.steady, body: Result::ok(body)? });
            let bodies: Vec<Snapshot> = bodies.into_iter().filter_map(keep).collect();
            if let Err(fault) = store.save_snapshots(&bodies) {
                // Whether its past is there nobody knows: it is written anew.
                self.pasts.retain(|id, _| !some.contains(id));
                return Err(fault);
            }
        }
        Ok(())
    }
}

/// Whose whole history a key is of.
pub(super) fn of_past(key: &str) -> Option<ServiceId> {
    key.strip_suffix(PAST)?.parse().ok()
}

fn in_turn(
    ids: &BTreeSet<ServiceId>,
    last: &mut Option<ServiceId>,
    most: usize,
) -> BTreeSet<ServiceId> {
    after(last, most, |from| ids.range((from, Bound::Unbounded)))
}

/// The next so many after the last one, from the beginning again after the end, each once.
fn after<'a, I: Iterator<Item = &'a ServiceId>>(
    last: &mut Option<ServiceId>,
    most: usize,
    from: impl Fn(Bound<&ServiceId>) -> I,
) -> BTreeSet<ServiceId> {
    let next = from(last.as_ref().map_or(Bound::Unbounded, Bound::Excluded));
    let mut taken: Vec<&ServiceId> = next.take(most).collect();
    let missing = most - taken.len();
    let until = last.clone();
    let again = from(Bound::Unbounded).take_while(|id| until.as_ref().is_some_and(|at| *id <= at));
    taken.extend(again.take(missing));
    *last = taken.last().map(|id| (*id).clone());
    taken.into_iter().cloned().collect()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::{
        daemon::recovery,
        domain::{
            event::{Event, What},
            examples,
            policy::Policy,
            service::Mode,
            watch::Raw,
        },
        store::Options,
    };

    fn poll(fleet: &mut Fleet, minute: i64) -> Now {
        let at = UnixMs(1_772_452_800_000) + Span::minutes(minute);
        let now = Now { wall: at, steady: UnixMs(minute * 60_000) };
        for id in fleet.policy.services.keys().cloned().collect::<Vec<_>>() {
            let reading = Raw::Counter {
                series: "pod".into(),
                revision: String::new(),
                at,
                bad: Some((minute * minute) as f64),
                total: Some((minute * 1_000) as f64),
                started: None,
            };
            let (signal, readings) = ("error_rate".to_owned(), vec![reading]);
            let what = What::Polled { service: id, signal, readings, fault: None };
            let event = Event { id: "poll".into(), what };
            fleet.turn(&event, now, |_| Ok::<(), Infallible>(())).unwrap();
        }
        now
    }

    fn seen(fleet: &Fleet) -> Vec<String> {
        let text = |watch: &_| serde_json::to_string(watch).unwrap();
        fleet.watches.values().map(|watch| text(&watch.snapshot())).collect()
    }

    /// The past of the first round is half an hour old when the newest slots are laid over it.
    #[test]
    fn what_a_round_wrote_is_what_the_next_daemon_goes_on_from() {
        let policy: Policy = examples::policy(
            ["shop/test", "cart/test"].map(|id| examples::service(id, Mode::Observe)),
        );
        let directory = tempfile::tempdir().unwrap();
        let mut store = Store::open(Options::new(directory.path())).unwrap();
        let (mut fleet, mut rounds) = (Fleet::new(policy.clone(), 1), Rounds::new(&store));
        for minute in 0..=129 {
            let now = poll(&mut fleet, minute);
            if minute % 20 == 9 {
                rounds.write(&mut fleet, &mut store, now, false).unwrap();
            }
        }
        let (again, _) = recovery::recover(&store, policy).unwrap();
        assert_eq!(seen(&again), seen(&fleet));
        assert_eq!(Rounds::new(&store).pasts, rounds.pasts);
    }

    /// A whole history from before it is moved, and the newest slots over it are found by the clock of now.
    #[test]
    fn a_clock_that_was_set_back_loses_nothing_of_what_was_written_before() {
        let policy: Policy = examples::policy([examples::service("shop/test", Mode::Observe)]);
        let directory = tempfile::tempdir().unwrap();
        let mut store = Store::open(Options::new(directory.path())).unwrap();
        let (mut fleet, mut rounds) = (Fleet::new(policy.clone(), 1), Rounds::new(&store));
        for minute in 0..40 {
            poll(&mut fleet, minute);
        }
        let now = poll(&mut fleet, 40);
        rounds.write(&mut fleet, &mut store, now, false).unwrap();
        let to = now.wall - Span::minutes(10);
        let event = Event { id: "set".into(), what: What::ClockSet { from: now.wall, to } };
        fleet.turn(&event, Now { wall: to, ..now }, |_| Ok::<(), Infallible>(())).unwrap();
        let later = Now { wall: to + Span::minutes(1), steady: now.steady + Span::minutes(1) };
        rounds.write(&mut fleet, &mut store, later, false).unwrap();
        let (again, _) = recovery::recover(&store, policy).unwrap();
        let past = |fleet: &Fleet| {
            fleet
                .watches
                .values()
                .map(|w| serde_json::to_string(&w.past()).unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(past(&again), past(&fleet));
        assert!(past(&fleet)[0].contains("-600000"), "{}", past(&fleet)[0]);
    }

    #[test]
    fn of_services_that_went_nothing_is_kept() {
        let of = |ids: &[&str]| {
            examples::policy(ids.iter().map(|id| examples::service(id, Mode::Observe)))
        };
        let directory = tempfile::tempdir().unwrap();
        let mut store = Store::open(Options::new(directory.path())).unwrap();
        let mut fleet = Fleet::new(of(&["shop/test", "cart/test"]), 1);
        let mut rounds = Rounds::new(&store);
        for policy in [of(&["shop/test", "cart/test"]), of(&["shop/test"])] {
            fleet.adopt(policy);
            let now = poll(&mut fleet, 1);
            rounds.write(&mut fleet, &mut store, now, false).unwrap();
        }
        let pasts: Vec<String> = rounds.pasts.keys().map(ToString::to_string).collect();
        assert_eq!(pasts, ["shop/test"]);
    }

    fn id(number: usize) -> ServiceId {
        ServiceId::new(&format!("s{number:02}"), "test").unwrap()
    }

    #[test]
    fn everyone_has_a_turn_and_nobody_two_of_them() {
        let ids: BTreeSet<ServiceId> = (0..10).map(id).collect();
        let mut last = None;
        let mut turns = || in_turn(&ids, &mut last, 4);
        assert_eq!(turns(), (0..4).map(id).collect());
        assert_eq!(turns(), (4..8).map(id).collect());
        assert_eq!(turns(), [8, 9, 0, 1].map(id).into());
        let mut last = Some(id(3));
        assert_eq!(in_turn(&ids, &mut last, 100), ids);
        assert_eq!(in_turn(&BTreeSet::new(), &mut last, 100), BTreeSet::new());
    }

    #[test]
    fn the_key_of_a_past_is_no_services_key() {
        let key = format!("{}{PAST}", id(1));
        assert_eq!(of_past(&key), Some(id(1)));
        assert!(key.parse::<ServiceId>().is_err());
        assert_eq!(of_past(&id(1).to_string()), None);
    }
}

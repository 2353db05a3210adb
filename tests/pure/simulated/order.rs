//! Properties of the whole domain: the order in which independent services are heard of does not matter, and a journal that
//! is folded twice, or whose last records come twice, says the same.

use std::convert::Infallible;

use proptest::prelude::*;
use rollbackd::{
    daemon::recovery::Folding,
    domain::{
        event::{Event, Now, What},
        fleet::Fleet,
        service::ServiceId,
        watch::Raw,
    },
    store::Record,
    units::{Span, UnixMs},
};

use crate::world::{
    Bases,
    operator::{self, Layout, POLL_MS},
    written,
};

const TICKS: i64 = 60;

/// From which poll on a service fails with which share of its requests.
type Trouble = (i64, f64);

/// Every service is polled at each tick, in an order that differs from tick to tick.
fn fleet_polled(troubles: &[Trouble], orders: &[Vec<usize>]) -> Fleet {
    let mut fleet = Fleet::new(operator::policy(Layout::Street), 1);
    let mut counts = vec![(0.0, 0.0); troubles.len()];
    for tick in 0..TICKS {
        let passed = Span(tick * POLL_MS);
        let now =
            Now { wall: UnixMs(1_772_452_800_000) + passed, steady: UnixMs(5_000_000) + passed };
        for index in &orders[usize::try_from(tick).unwrap() % orders.len()] {
            let (from, share) = troubles[*index];
            let (bad, total) = &mut counts[*index];
            *total += 100.0;
            *bad += if tick >= from { 100.0 * share } else { 0.0 };
            let reading = Raw::Counter {
                series: "pod".into(),
                revision: String::new(),
                at: now.wall,
                bad: Some(bad.floor()),
                total: Some(*total),
                started: None,
            };
            let service: ServiceId = operator::id(*index);
            let id = format!("{service} {tick}");
            let (signal, readings) = ("errors".to_owned(), vec![reading]);
            let what = What::Polled { service, signal, readings, fault: None };
            let Ok(_) = fleet.turn(&Event { id, what }, now, |_| Ok::<(), Infallible>(()));
        }
    }
    fleet
}

/// Everything that is true. How many others suffer is counted when a guard asks, and whoever suffers from this tick on is counted
/// by those alone who are polled after it: below a storm that is a note, and decides nothing.
fn said_of(fleet: &Fleet) -> String {
    let all = format!("{:?}", fleet.states);
    (0..=6).fold(all, |text, n| text.replace(&format!("{n} of 6 services firing"), "some firing"))
}

fn folded(records: &[&Record]) -> Fleet {
    let mut folding = Folding::over(Fleet::new(operator::policy(Layout::Street), 1), 0);
    for record in records {
        folding.fold(record).unwrap();
    }
    folding.fleet
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Three of six at most: more at once are no longer independent, but a storm.
    #[test]
    fn the_order_of_independent_services_decides_nothing(
        shares in prop::collection::vec((10i64..50, prop::sample::select(vec![0.0, 0.03, 0.2, 1.0])), 3),
        orders in prop::collection::vec(Just((0..6).collect::<Vec<usize>>()).prop_shuffle(), 1..5),
    ) {
        let well = (TICKS, 0.0);
        let troubles: Vec<Trouble> = shares.into_iter().chain([well; 3]).collect();
        let straight = fleet_polled(&troubles, &[(0..6).collect()]);
        let shuffled = fleet_polled(&troubles, &orders);
        prop_assert_eq!(said_of(&straight), said_of(&shuffled));
    }

    #[test]
    fn a_journal_folded_twice_or_with_its_last_records_twice_says_the_same(
        seed in 0u64..200,
        twice in 0usize..20,
    ) {
        let records = written(&mut Bases::default(), seed);
        let all: Vec<&Record> = records.iter().collect();
        let once = folded(&all);
        prop_assert_eq!(&once.states, &folded(&all).states);
        let again: Vec<&Record> = all.iter().chain(&all).copied().collect();
        prop_assert_eq!(&once.states, &folded(&again).states);
        let last = &all[all.len().saturating_sub(twice)..];
        let stuttered: Vec<&Record> = all.iter().chain(last).copied().collect();
        prop_assert_eq!(&once.states, &folded(&stuttered).states);
        prop_assert_eq!(&once.kill_switch, &folded(&stuttered).kill_switch);
    }
}

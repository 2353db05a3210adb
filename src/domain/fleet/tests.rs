//! Of thousands that are due at once, who comes first, and how many in one turn.

use std::{collections::BTreeMap, convert::Infallible};

use super::*;
use crate::{
    domain::{event::Alert, examples, firing::Firing, service::Mode},
    units::Span,
};

const BEGAN: UnixMs = UnixMs(1_772_452_800_000);

fn now(passed: Span) -> Now {
    Now { wall: BEGAN + passed, steady: UnixMs(5_000_000) + passed }
}

fn turn(fleet: &mut Fleet, what: What, at: Now) -> Vec<ServiceId> {
    let event = Event { id: "e".into(), what };
    let Ok(turned) = fleet.turn(&event, at, |_| Ok::<(), Infallible>(()));
    turned.batches.into_iter().filter_map(|(id, _)| id).collect()
}

fn alert(service: &ServiceId) -> What {
    let alert = Alert {
        fingerprint: "f".into(),
        starts_at: BEGAN,
        firing: true,
        name: "ShopErrors".into(),
        trigger: Some("critical-errors".into()),
        severity: Severity::P1,
        summary: String::new(),
        labels: BTreeMap::new(),
    };
    What::Alerted { service: service.clone(), alert }
}

/// Ten thousand monitoring periods ended in one turn, of as many writes, and whatever came meanwhile waited for all.
#[test]
fn of_thousands_that_are_due_the_worst_come_first_and_few_in_one_turn() {
    let ids: Vec<ServiceId> =
        (0..300).map(|n| format!("s{n:03}/production").parse().unwrap()).collect();
    let services = ids.iter().map(|id| examples::service(&id.to_string(), Mode::Observe));
    let mut fleet = Fleet::new(examples::policy(services), 1);
    let worst = ids.last().unwrap();
    for id in &ids[..299] {
        turn(&mut fleet, alert(id), now(Span::seconds(1)));
    }
    let corruption = What::EvidencePosted {
        service: worst.clone(),
        trigger: "data-corruption".into(),
        by: "check".into(),
        note: "rows are missing".into(),
        partial: false,
    };
    turn(&mut fleet, corruption, now(Span::minutes(11)));
    let (mut turns, late) = (0, now(Span::minutes(12)));
    let mut seen = vec![];
    while fleet.next_deadline().is_some_and(|at| at <= late.steady) {
        let acted = turn(&mut fleet, What::Tick, late);
        assert!(acted.len() <= DUE_AT_ONCE, "{} in one turn", acted.len());
        if turns == 0 {
            assert!(acted.contains(worst), "the P0 is the last to be due, and comes first");
        }
        seen.extend(acted);
        turns += 1;
        assert!(turns < 20, "it does not come to rest");
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), ids.len(), "all of them had their turn");
}

#[test]
fn who_alarmed_counts_until_the_window_has_passed() {
    let mut standing = Standing::default();
    let (at, window) = (UnixMs(1_000_000), Span::minutes(5));
    for n in 0..3 {
        let id = format!("s{n}/production").parse().unwrap();
        standing.alarm(&id, at + Span::minutes(n));
    }
    let alarmed = |minutes| standing.alarmed(at + Span::minutes(minutes), window);
    assert_eq!([alarmed(2), alarmed(5), alarmed(6), alarmed(7), alarmed(8)], [3, 3, 2, 1, 0]);
}

/// What only an alert says is no window's: it does not count for a storm.
#[test]
fn what_an_earlier_daemon_saw_fire_counts_for_a_storm_until_it_is_asked() {
    for (basis, counted) in [(Basis::Window, 1), (Basis::Posted { by: "ci".into() }, 0)] {
        let service = examples::service("shop/production", Mode::Observe);
        let mut fleet = Fleet::new(examples::policy([service]), 1);
        let firing = Firing {
            trigger: "critical-errors".to_owned(),
            severity: Severity::P1,
            basis,
            onset: BEGAN,
            fired_at: BEGAN,
            says: String::new(),
            may_act: true,
            evidence: None,
        };
        let state = fleet.states.values_mut().next().unwrap();
        state.firing.insert(firing.trigger.clone(), firing);
        fleet.alarm_again(now(Span::ZERO));
        assert_eq!(fleet.alarmed(now(Span::ZERO).steady), counted);
    }
}

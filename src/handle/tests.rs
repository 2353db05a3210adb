//! Who goes before whom.

use super::*;
use crate::units::UnixMs;

fn polled(n: u32, readings: Vec<Raw>) -> Event {
    let service = format!("s{n}/production").parse().unwrap();
    let what = What::Polled { service, signal: "x".into(), readings, fault: None };
    Event { id: format!("poll {n}"), what }
}

fn gauge(n: u32) -> Event {
    polled(n, vec![Raw::Gauge { at: UnixMs(0), value: 1.0, n: None }])
}

fn evidence() -> Event {
    let what = What::EvidencePosted {
        service: "shop/production".parse().unwrap(),
        trigger: "data-corruption".into(),
        by: "check".into(),
        note: "rows are missing".into(),
        partial: false,
    };
    Event { id: "evidence".into(), what }
}

async fn next(asks: &mut Asks) -> String {
    match asks.recv().await.expect("something waits") {
        Ask::Told { event, .. } => event.id,
        Ask::Look(_) => "look".into(),
        Ask::Store(_) | Ask::Adopt(..) => "work".into(),
        Ask::Stop => "stop".into(),
    }
}

/// Data corruption was told of while ten thousand readings waited, each of which cost a write: half a minute later.
#[tokio::test]
async fn what_is_urgent_does_not_wait_behind_a_thousand_readings() {
    let (handle, mut asks) = Handle::channel(1_000);
    for n in 0..1_000 {
        handle.report(gauge(n)).await.unwrap();
    }
    assert_eq!(handle.waiting(), 1_000);
    handle.report(polled(7_000, vec![Raw::Up { at: UnixMs(0) }])).await.unwrap();
    let told = tokio::spawn({
        let handle = handle.clone();
        async move { handle.tell(evidence()).await.is_ok() }
    });
    tokio::task::yield_now().await;
    assert_eq!(next(&mut asks).await, "evidence");
    assert_eq!(next(&mut asks).await, "poll 7000", "a probe can be the beginning of a P0");
    for n in 0..1_000 {
        assert_eq!(next(&mut asks).await, format!("poll {n}"), "nothing overtakes in its lane");
    }
    assert!(!told.await.unwrap(), "nobody answered it");
}

#[tokio::test]
async fn whoever_asks_without_end_starves_nobody() {
    let (handle, mut asks) = Handle::channel(2_000);
    for n in 0..100 {
        handle.report(gauge(n)).await.unwrap();
    }
    for _ in 0..2_000 {
        handle.urgent.send(Ask::Look(Box::new(|_, _| ()))).await.unwrap();
    }
    let mut readings = 0;
    for _ in 0..2_000 {
        readings += usize::from(next(&mut asks).await != "look");
    }
    assert!((1..100).contains(&readings), "{readings} of the readings were taken meanwhile");
}

#[tokio::test]
async fn what_was_asked_before_everybody_went_is_still_there() {
    let (handle, mut asks) = Handle::channel(4);
    handle.report(gauge(1)).await.unwrap();
    drop(handle);
    assert_eq!(next(&mut asks).await, "poll 1");
    assert!(asks.recv().await.is_none());
}

//! A rollback halts after it has taken a Deployment's pods away: the next one gives them back, whatever the first came to, and the page
//! says how people do.

use rollbackd::domain::{event::Said, notice::Notice, schema::Seen};

use super::{
    databases::{after, at, looked, migrated_and_bad, scaled, with_an_undo},
    town::{Town, failed},
};

const BY_HAND: &str = "the Deployment shop/checkout of main has 0 pods and had 3: another rollback gives them back. By hand, once its template is that of v1, and not before: `kubectl -n shop scale deployment checkout --replicas=3`, then `kubectl -n shop annotate deployment checkout rollbackd.dev/stopped-`";

/// A bad release and its migration; a person approves that both go back.
fn approved() -> Town {
    let mut town = Town::new(scaled(with_an_undo(false)));
    town.place().owners = Some(vec![]);
    town.warm_up();
    migrated_and_bad(&mut town, &at("6"), &after("7", "orders"));
    let plan = town.incident().decision.as_ref().unwrap().plan.as_ref().unwrap().hash();
    town.says("ada", Said::Approve { plan }).unwrap();
    town
}

/// It halts in the step after those that were done.
fn halts_after(town: &mut Town, done: usize) {
    while town.place().done.len() < done {
        town.run("1s");
    }
    town.place().outcomes.push_back(failed("the API server does not answer", false));
    town.run("1m");
}

fn roll_back(town: &mut Town) -> Result<String, String> {
    let reason = "it must go".to_owned();
    town.says("ada", Said::RollBack { to: None, to_previous: false, plan: None, reason })
}

fn page(town: &Town) -> Notice {
    town.notices("yours now").pop().unwrap()
}

/// The schema had gone back already: no plan had a step that gives the pods back, and scaled by hand it would have been the new code that started.
#[test]
fn pods_come_back_with_the_old_template_where_only_that_could_not_be_set() {
    let mut town = approved();
    halts_after(&mut town, 2);
    assert_eq!(town.place().done, ["stop 3 pods", "migrate back to 6"]);
    assert!(page(&town).lines.iter().any(|line| line == BY_HAND), "{:?}", page(&town).lines);
    looked(&mut town, at("6"));
    roll_back(&mut town).unwrap();
    // Nor is it forgotten by a second one that halts before it has stopped anything.
    halts_after(&mut town, 2);
    assert!(page(&town).lines.iter().any(|line| line == BY_HAND), "{:?}", page(&town).lines);
    looked(&mut town, at("6"));
    roll_back(&mut town).unwrap();
    town.run("5m");
    let done = &town.place().done[2..];
    assert_eq!(done, ["stop 3 pods", "undo to v1", "start 3 pods", "rollout of v1"]);
}

#[test]
fn pods_that_were_not_seen_to_end_in_time_come_back_with_the_next_rollback() {
    let mut town = approved();
    town.place().wanted = 0;
    town.place().stopped = Some(3);
    halts_after(&mut town, 0);
    assert!(page(&town).lines.iter().any(|line| line == BY_HAND), "{:?}", page(&town).lines);
    looked(&mut town, after("7", "orders"));
    roll_back(&mut town).unwrap();
    town.run("5m");
    let done = &town.place().done;
    assert_eq!(done[..3], ["stop 3 pods", "migrate back to 6", "undo to v1"]);
    assert_eq!(done[3..], ["start 3 pods", "rollout of v1"]);
}

#[test]
fn pods_do_not_come_back_to_a_schema_that_nobody_knows_nor_where_people_took_them_away() {
    let mut town = approved();
    halts_after(&mut town, 2);
    looked(&mut town, Seen::Unknown("nobody answers there".into()));
    let why = roll_back(&mut town).unwrap_err();
    assert!(why.contains("scaled to 0 pods") && why.contains("nobody answers there"), "{why}");
    looked(&mut town, at("6"));
    town.place().stopped = None;
    town.run("1m");
    looked(&mut town, at("6"));
    let why = roll_back(&mut town).unwrap_err();
    assert!(why.contains("scaled to 0 pods"), "{why}");
}

/// A community edition, a script that nobody wrote: what served with some errors served nothing until a person came.
#[test]
fn pods_come_back_at_once_where_the_undo_took_nothing_back() {
    let mut town = approved();
    town.place().unmoved = true;
    while town.place().done.is_empty() {
        town.run("1s");
    }
    let none = failed("this edition of Flyway has no undo", false);
    town.place().outcomes.push_back(none);
    town.run("1m");
    assert_eq!(town.place().done, ["stop 3 pods", "start 3 pods"]);
    assert_eq!(town.serving(), "v2", "no code meets a schema that it is not of");
    let page = page(&town);
    let told = page.plain();
    assert!(
        told.contains("this edition of Flyway has no undo. Nothing was changed, and what was stopped for it runs again as before"),
        "{told}"
    );
    assert!(!told.contains("has 0 pods"), "{told}");
    // What only a person mends is not tried again by itself.
    town.run("10m");
    assert_eq!(town.place().done.len(), 2);
}

#[test]
fn pods_stay_away_where_the_undo_stopped_half_way_or_an_earlier_rollback_had_taken_them() {
    let mut town = approved();
    halts_after(&mut town, 1);
    assert_eq!(town.place().done, ["stop 3 pods"]);
    looked(&mut town, after("7", "orders"));
    // The schema that the first one left is this one's beginning, and not what the code ran on.
    town.place().unmoved = true;
    roll_back(&mut town).unwrap();
    halts_after(&mut town, 2);
    assert_eq!(town.place().done, ["stop 3 pods", "stop 3 pods"]);
    assert!(page(&town).lines.iter().any(|line| line == BY_HAND), "{:?}", page(&town).lines);
}

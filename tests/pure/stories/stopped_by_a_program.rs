//! A program keeps a service from writing while its schema goes back: it is let write again where nothing was changed, and where nothing
//! does that, the page says that it is still stopped, and how people start it.

use rollbackd::domain::{event::Said, policy::Policy, runbook::StopWrites};

use super::{
    databases::{
        after, at, looked, migrated_and_bad, scaled, snapshot, stopped_by_a_program,
        with_a_restore, with_an_undo, with_snapshots,
    },
    policy::services_mut,
    town::{Town, failed},
};

const STOP: &str = "/bin/stop shop";
const START: &str = "/bin/start shop";

fn with_undo(stop_writes: &StopWrites) -> Policy {
    let mut policy = with_an_undo(false);
    for service in services_mut(&mut policy) {
        let database = service.runbook.as_mut().unwrap().database.as_mut().unwrap();
        database.stop_writes = stop_writes.clone();
    }
    policy
}

fn with_restore(stop_writes: &StopWrites) -> Policy {
    let mut policy = with_a_restore(false);
    for service in services_mut(&mut policy) {
        let restore = service.runbook.as_mut().unwrap().restore.as_mut().unwrap();
        restore.stop_writes = stop_writes.clone();
    }
    policy
}

/// A bad release and its migration; a person approves that both go back.
fn approved(policy: Policy) -> Town {
    let mut town = Town::healthy(policy);
    with_snapshots(&mut town, vec![snapshot("/b/good.dump", &at("6"))]);
    migrated_and_bad(&mut town, &at("6"), &after("7", "orders"));
    let plan = town.offered();
    town.says("ada", Said::Approve { plan }).unwrap();
    town
}

/// The step after those that were done fails; whether all of it is as it was then.
fn fails_after(town: &mut Town, done: usize, unmoved: bool) {
    while town.place().done.len() < done {
        town.run("1s");
    }
    town.place().unmoved = unmoved;
    town.place().outcomes.push_back(failed("it could not be done", false));
    town.run("2m");
}

fn page(town: &Town) -> String {
    town.notices("yours now").pop().unwrap().plain()
}

#[test]
fn it_is_let_write_again_before_the_plan_halts_where_nothing_was_taken_back() {
    let mut town = approved(with_undo(&stopped_by_a_program(true)));
    fails_after(&mut town, 1, true);
    assert_eq!(town.place().done, [STOP, START]);
    assert_eq!(town.serving(), "v2", "no code meets a schema that it is not of");
    let told = page(&town);
    assert!(told.contains("it could not be done. Nothing was changed"), "{told}");
    assert!(!told.contains("still stopped"), "{told}");
}

/// It stood in the report alone, and who is paged at night reads the page.
#[test]
fn what_the_tool_itself_said_is_in_the_page_in_short() {
    let mut town = approved(with_undo(&stopped_by_a_program(true)));
    town.place().prints = "Flyway 10\nERROR: no U7__orders.sql\n".to_owned();
    fails_after(&mut town, 1, true);
    let told = page(&town);
    assert!(
        told.contains("It printed at the end:\n• Flyway 10\n• ERROR: no U7__orders.sql"),
        "{told}"
    );
}

#[test]
fn where_all_goes_well_it_writes_again_once_the_earlier_code_is_set() {
    let mut town = approved(with_undo(&stopped_by_a_program(true)));
    town.run("2m");
    let wanted = [STOP, "migrate back to 6", "switch to v1", START, "restart on v1"];
    assert_eq!(town.place().done, wanted);
}

#[test]
fn where_nothing_lets_it_write_again_the_page_says_that_it_is_stopped_and_how_people_start_it() {
    let mut town = approved(with_undo(&stopped_by_a_program(false)));
    fails_after(&mut town, 1, true);
    assert_eq!(town.place().done, [STOP]);
    let told = page(&town);
    let begin = "The service is still stopped: `/bin/stop shop` was run so that it writes nothing, and nothing has started it since";
    let at_once = "Nothing was changed, so what ran before may run again at once, by hand: `systemctl restart shop.service`";
    assert!(told.contains(&format!("{begin}. {at_once}")), "{told}");

    let mut town = approved(with_undo(&stopped_by_a_program(false)));
    fails_after(&mut town, 2, false);
    let told = page(&town);
    let later = "once v1 is set and the schema is one on which it runs, and not before: `systemctl restart shop.service`";
    assert!(told.contains(begin) && told.contains(later), "{told}");
}

#[test]
fn it_stays_stopped_where_the_undo_stopped_half_way_and_where_an_earlier_rollback_had_stopped_it() {
    let mut town = approved(with_undo(&stopped_by_a_program(true)));
    fails_after(&mut town, 1, false);
    assert_eq!(town.place().done, [STOP]);
    assert!(page(&town).contains("not before: `/bin/start shop`"), "{}", page(&town));
    looked(&mut town, after("7", "orders"));
    // The schema that the first one left is this one's beginning, and not what the code ran on.
    let reason = "it must go".to_owned();
    let said = Said::RollBack { to: None, to_previous: false, plan: None, reason };
    town.says("ada", said).unwrap();
    fails_after(&mut town, 2, true);
    assert_eq!(town.place().done, [STOP, STOP]);
    assert!(page(&town).contains("still stopped"), "{}", page(&town));
}

/// Only an undo and RDS gave back what had been stopped: after a snapshot that could not be restored nothing served.
#[test]
fn a_snapshot_that_could_not_be_restored_gives_back_what_was_stopped_for_it() {
    let restored = ["pg_restore --file=/dev/null /b/good.dump", STOP, "restore shop_restored_1"];
    for fails in [2, 3] {
        let mut town = approved(with_restore(&stopped_by_a_program(true)));
        fails_after(&mut town, fails, true);
        let wanted: Vec<&str> = restored.into_iter().take(fails).chain([START]).collect();
        let done = town.place().done.clone();
        assert_eq!(done, wanted, "{}", town.transcript());
    }
    for fails in [2, 3] {
        let mut policy = with_restore(&StopWrites::Scale);
        let undo = with_an_undo(false);
        for (service, other) in services_mut(&mut policy).zip(undo.services.values()) {
            // What `scaled` is made for.
            let other = other.runbook.as_ref().unwrap();
            service.runbook.as_mut().unwrap().database.clone_from(&other.database);
        }
        let mut policy = scaled(policy);
        for service in services_mut(&mut policy) {
            service.runbook.as_mut().unwrap().database = None;
        }
        let mut town = Town::new(policy);
        town.place().owners = Some(vec![]);
        town.warm_up();
        with_snapshots(&mut town, vec![snapshot("/b/good.dump", &at("6"))]);
        migrated_and_bad(&mut town, &at("6"), &after("7", "orders"));
        let plan = town.offered();
        town.says("ada", Said::Approve { plan }).unwrap();
        fails_after(&mut town, fails, true);
        let all = [restored[0], "stop 3 pods", restored[2]];
        let wanted: Vec<&str> = all.into_iter().take(fails).chain(["start 3 pods"]).collect();
        let done = town.place().done.clone();
        assert_eq!(done, wanted, "{}", town.transcript());
    }
}

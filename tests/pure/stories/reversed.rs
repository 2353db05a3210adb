//! A schema goes back by a reviewed script: only one that was tried as it is on the schema that is there, and only by a person's word.

use rollbackd::{
    domain::{
        event::{Said, What},
        incident::{script, target::To},
        policy::Policy,
        runbook::ScriptRunbook,
        schema::script::{Changes, Script, ScriptRun, Trial},
    },
    units::Span,
};

use super::{
    databases::{after, at, looked, migrated_and_bad, refusals, scaled, with_an_undo},
    policy::{id, services_mut},
    town::{Town, failed},
};

const FILE: &str = "/srv/v2/7-to-6.sql";

/// By a script alone, or where the undo takes nothing back.
fn with_a_script(undo: bool) -> Policy {
    let mut policy = with_an_undo(false);
    for service in services_mut(&mut policy) {
        let database = service.runbook.as_mut().and_then(|it| it.database.as_mut()).unwrap();
        database.undo = database.undo.take().filter(|_| undo);
        database.script = Some(ScriptRunbook {
            file: "/srv/{release}/{from}-to-{to}.sql".into(),
            lock_timeout: Span::seconds(2),
            verify: [].into(),
        });
    }
    policy
}

fn lies_there(town: &mut Town, text: &str) {
    let seen =
        Ok(vec![Script::of("/srv/v1/7-to-6.sql", b"SELECT 1;"), Script::of(FILE, text.as_bytes())]);
    town.turn(What::ScriptsSeen { service: id("shop"), seen });
}

fn to_try(town: &Town) -> Result<ScriptRun, String> {
    let looked =
        town.fleet.look(&id("shop"), town.now(), |s, _| script::to_try(s, To::LastKnownGood));
    looked.unwrap()
}

fn tried(town: &mut Town, came: Result<Changes, String>) {
    let of = to_try(town).unwrap();
    let (at, took) = (town.wall(), Span::seconds(1));
    let trial = Box::new(Trial { of, at, took, came });
    town.turn(What::ScriptTried { service: id("shop"), trial });
}

fn drops(column: &str) -> Changes {
    let line = format!("column public.orders.{column} text");
    Changes::between(&[line].into(), &[].into())
}

/// A bad release whose migration only a script takes back.
fn asked_for(undo: bool) -> Town {
    let mut town = Town::healthy(with_a_script(undo));
    lies_there(&mut town, "ALTER TABLE orders DROP COLUMN note;");
    migrated_and_bad(&mut town, &at("6"), &after("7", "orders"));
    assert_eq!(town.rollbacks(), 0, "{}", town.transcript());
    town
}

fn roll_back(plan: Option<String>) -> Said {
    Said::RollBack { to: None, to_previous: false, plan, reason: "it must go".into() }
}

#[test]
fn what_was_not_tried_is_in_no_plan_and_what_was_is_approved_by_the_hash_of_the_plan_alone() {
    let mut town = asked_for(false);
    let plan = town.incident().decision.as_ref().unwrap().plan.clone().unwrap();
    assert!(plan.scope.contains("was not tried on the schema that is there"), "{}", plan.scope);
    assert!(plan.scope.contains("`rollbackd dry-run shop/production`"), "{}", plan.scope);
    assert_eq!(to_try(&town).unwrap().file, FILE);

    tried(&mut town, Ok(drops("note")));
    let offered = town.offered();
    assert_ne!(offered, plan.hash());
    let offer = town.incident().offered.clone().unwrap();
    let title = &offer.steps[0].title;
    assert!(title.starts_with(&format!("run {FILE} (sha256 ")), "{title}");
    assert!(
        title.ends_with(
            "36 bytes, 1 lines) in one transaction: the schema of shop from 7 to 6, without 7"
        ),
        "{title}"
    );
    // Also a person who wants it now has to name it.
    let refused = town.says("ada", roll_back(None)).unwrap_err();
    assert!(
        refused.contains("nobody approves without having seen it") && refused.contains(&offered),
        "{refused}"
    );
    let refused = town.says("ada", roll_back(Some(plan.hash()))).unwrap_err();
    assert!(refused.contains("is not the plan that would run now"), "{refused}");
    assert!(town.place().done.is_empty());
    town.says("ada", Said::Approve { plan: offered }).unwrap();
    town.run("5m");
    let done = [format!("run {FILE}"), "switch to v1".into(), "restart on v1".into()];
    assert_eq!(town.place().done, done);
}

#[test]
fn it_is_never_run_by_itself_and_another_file_another_schema_or_a_failure_needs_another_trial() {
    let mut town = asked_for(false);
    tried(&mut town, Ok(drops("note")));
    let said = refusals(&town);
    assert!(said.contains("schema-moved"), "{said}");
    let first = town.offered();
    // What it changes is a part of what is approved.
    tried(&mut town, Ok(drops("total")));
    town.run("1m");
    let second = town.offered();
    assert_ne!(first, second);
    lies_there(&mut town, "ALTER TABLE orders DROP COLUMN note CASCADE;");
    looked(&mut town, after("7", "orders"));
    let refused = town.says("ada", Said::Approve { plan: second.clone() }).unwrap_err();
    assert!(refused.contains("is not the plan that would run now"), "{refused}");
    tried(&mut town, Err("it is locked".into()));
    let plan = town.says("ada", roll_back(Some(second))).unwrap_err();
    assert!(plan.contains("is not the plan that would run now"), "{plan}");
    lies_there(&mut town, "COMMIT;");
    let barred = to_try(&town).unwrap_err();
    assert!(barred.contains("line 1: COMMIT would leave"), "{barred}");
    lies_there(&mut town, "ALTER TABLE orders DROP COLUMN note;");
    looked(&mut town, after("8", "orders"));
    let elsewhere = to_try(&town).unwrap_err();
    assert!(elsewhere.contains("there is no script /srv/v2/8-to-6.sql"), "{elsewhere}");
    assert!(town.place().done.is_empty(), "{}", town.transcript());
}

#[test]
fn what_was_tried_is_known_after_a_restart() {
    let mut town = asked_for(false);
    tried(&mut town, Ok(drops("note")));
    let offered = town.offered();
    town.crash(super::town::Windows::Kept, true);
    looked(&mut town, after("7", "orders"));
    lies_there(&mut town, "ALTER TABLE orders DROP COLUMN note;");
    town.run("1m");
    looked(&mut town, after("7", "orders"));
    town.says("ada", Said::Approve { plan: offered }).unwrap();
}

/// A Deployment whose undo takes nothing back: it halts without pods, and people have another way.
fn halted_without_pods() -> Town {
    let mut town = Town::new(scaled(with_a_script(true)));
    town.place().owners = Some(vec![]);
    town.warm_up();
    lies_there(&mut town, "ALTER TABLE orders DROP COLUMN note;");
    migrated_and_bad(&mut town, &at("6"), &after("7", "orders"));
    let plan = town.incident().decision.as_ref().unwrap().plan.as_ref().unwrap().hash();
    town.says("ada", Said::Approve { plan }).unwrap();
    while town.place().done.is_empty() {
        town.run("1s");
    }
    assert_eq!(town.place().done, ["stop 3 pods"]);
    town.place().outcomes.push_back(failed("this edition of Flyway has no undo", false));
    town.run("1m");
    looked(&mut town, after("7", "orders"));
    town
}

#[test]
fn where_the_undo_took_nothing_back_the_page_names_the_script_and_the_next_rollback_runs_it() {
    let mut town = halted_without_pods();
    let page = town.notices("yours now").pop().map(|it| format!("{it:?}")).unwrap_or_default();
    assert!(page.contains("this edition of Flyway has no undo"), "{}", town.transcript());
    assert!(page.contains("was not tried on the schema that is there"), "{page}");
    assert!(page.contains("`rollbackd dry-run shop/production`"), "{page}");
    let none = town.says("ada", roll_back(None)).unwrap_err();
    assert!(none.contains("was not tried"), "{none}");
    tried(&mut town, Ok(drops("note")));
    let named = town.says("ada", roll_back(None)).unwrap_err();
    let (_, plan) = named.split_once("add --plan ").unwrap();
    town.says("ada", roll_back(Some(plan.to_owned()))).unwrap();
    town.run("5m");
    let done = &town.place().done;
    assert_eq!(done[1..3], ["stop 3 pods".to_owned(), format!("run {FILE}")], "{done:?}");
    assert!(done.contains(&"start 3 pods".to_owned()), "those that it had: {done:?}");
}

#[test]
fn no_script_is_offered_where_the_schema_is_elsewhere_than_where_it_was_tried() {
    let mut town = halted_without_pods();
    tried(&mut town, Ok(drops("note")));
    // Half-way, or migrated by somebody: it was written for another.
    looked(&mut town, after("8", "orders"));
    town.says("ada", roll_back(None)).unwrap();
    town.run("5m");
    let done = &town.place().done;
    assert_eq!(done[1..3], ["stop 3 pods", "migrate back to 6"], "{done:?}");
}

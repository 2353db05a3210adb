//! A database is looked at: a migration that failed pages with which it is, and is over when the database says so.

use insta::assert_snapshot;
use rollbackd::{
    domain::{
        event::{Said, What},
        owner::OwnerRule,
        plan::{CommandLine, SchemaAt},
        policy::Policy,
        runbook::{DatabaseRunbook, RestoreRunbook, StopWrites},
        schema::{
            DatabasePolicy, Doing, Migration, MigrationState, Run, Schema, Seen,
            snapshot::{Lost, Snapshot, Snapshots},
            undo::UndoBy,
        },
    },
    units::Span,
};

use super::{
    brief,
    owners::deployment,
    place::{HEALTHY, errors},
    policy::{id, services_mut, shop_with},
    story,
    town::{NOON, Town, failed},
};

pub(super) fn with_a_database() -> Policy {
    shop_with(|p| {
        p.database = Some(DatabasePolicy {
            place: "shop at db:5432".into(),
            stuck_after: Span::minutes(30),
            every: Span::seconds(30),
            compatible_marker: Some("backward compatible".into()),
        });
    })
}

pub(super) fn migration(rank: i64, version: &str, state: MigrationState) -> Migration {
    Migration {
        rank,
        version: Some(version.into()),
        description: "orders".into(),
        kind: "SQL".into(),
        script: format!("V{version}__orders.sql"),
        checksum: Some(7),
        installed_by: "shop".into(),
        installed_on: "2026-03-02 12:00:00".into(),
        installed_at: None,
        execution_ms: 12,
        state,
    }
}

pub(super) fn schema(current: &str, newest: Migration, run: Option<Run>) -> Seen {
    Seen::Known(Box::new(Schema {
        table: "public.flyway_schema_history".into(),
        current: Some(current.into()),
        digest: format!("sha256:{}{}", newest.script, newest.state),
        rows: 7,
        newest: vec![newest],
        waiting: vec![],
        run,
        transactional: true,
    }))
}

pub(super) fn at(version: &str) -> Seen {
    schema(version, migration(version.parse().unwrap(), version, MigrationState::Success), None)
}

/// The same with one more, of this description, after version 6.
pub(super) fn after(version: &str, description: &str) -> Seen {
    let newest = Migration {
        description: description.into(),
        ..migration(7, version, MigrationState::Success)
    };
    let Seen::Known(mut schema) = schema(version, newest, None) else { panic!() };
    schema.newest.push(migration(6, "6", MigrationState::Success));
    Seen::Known(schema)
}

/// The same of a Deployment, that has no pods while its schema goes back.
pub(super) fn scaled(mut policy: Policy) -> Policy {
    let application = deployment(OwnerRule::Page);
    for service in services_mut(&mut policy) {
        let runbook = service.runbook.as_mut().unwrap();
        let other = application.services[&id("shop")].runbook.clone().unwrap();
        runbook.application = other.application;
        runbook.database.as_mut().unwrap().stop_writes = StopWrites::Scale;
    }
    policy
}

/// Whose service a program keeps from writing meanwhile; and which lets it write again, where there is one.
pub(super) fn stopped_by_a_program(start: bool) -> StopWrites {
    let line = |argv: &[&str]| {
        let argv = argv.iter().map(|it| (*it).to_owned()).collect();
        CommandLine { argv, env: [].into(), dir: None, timeout: Span::minutes(1) }
    };
    let start = start.then(|| line(&["/bin/start", "shop"]));
    StopWrites::Command { stop: line(&["/bin/stop", "shop"]), start }
}

pub(super) fn looked(town: &mut Town, seen: Seen) {
    town.turn(What::SchemaSeen { service: id("shop"), seen });
}

#[test]
fn a_migration_is_a_change_and_one_that_is_half_applied_pages_until_it_is_mended() {
    let told = story(with_a_database(), |town| {
        looked(town, at("6"));
        town.run("1m");
        looked(town, at("7"));
        town.run("1m");
        looked(town, schema("7", migration(8, "8", MigrationState::Failed), None));
        town.run("1m");
        looked(town, schema("7", migration(8, "8", MigrationState::Failed), None));
        looked(town, at("7"));
    });
    assert_snapshot!(told, @r#"
    12:00:00 database is set to 6
    12:01:00 database changed from 6 to 7: as V7__orders.sql (version 7, "orders")
    12:01:00 database is set to 7
    12:02:00 database changed from 7 to 7: as V8__orders.sql (version 8, "orders")
    12:02:00 database is set to 7
    12:02:00 migration-failure fires (P0): the migration V8__orders.sql (version 8, "orders") failed in shop at db:5432 and is half applied: what ran before the statement that failed stays. The version before it is version 7. While that row is in public.flyway_schema_history, no version of the application that checks it will start: mend by hand what it left, then `flyway repair`
    12:02:00 incident shop-20260302120200 opened as P0 by migration-failure
    12:02:00 decided: ask a person; guards that refuse: no-change: the last change is of the database; a rollback of the application would not undo it; nowhere-safe: no earlier revision has served healthily for the bake time; schema-moved: a migration was half applied, and what runs on that nobody knows: the migration V8__orders.sql (version 8, "orders") failed in shop at db:5432 and is half applied: what ran before the statement that failed stays. The version before it is version 7. While that row is in public.flyway_schema_history, no version of the application that checks it will start: mend by hand what it left, then `flyway repair`
    12:02:00   -> PAGE: P0 shop/production: migration-failure - not rolled back: a person must decide
    12:03:00 database changed from 7 to 7: as V7__orders.sql (version 7, "orders")
    12:03:00 database is set to 7
    12:03:00 migration-failure clears: the database shows no migration that failed or hangs
    12:03:00 closed: recovered by itself
    12:03:00   -> on-call: P0 shop/production: recovered by itself
    "#);
}

#[test]
fn a_run_that_left_no_row_pages_and_the_next_that_succeeds_is_the_end_of_it() {
    let seven = || migration(7, "7", MigrationState::Success);
    let run = || {
        let (session, span) = ("session 9 of shop".into(), Some(Span::seconds(20)));
        Some(Run { session, span, wrote: true, doing: Doing::Works })
    };
    let told = brief(with_a_database(), |town| {
        looked(town, at("7"));
        looked(town, schema("7", seven(), run()));
        town.run("30s");
        looked(town, at("7"));
        town.run("1m");
        looked(town, at("8"));
    });
    assert_snapshot!(told, @r"
    12:00:30 decided: monitor until 12:10:30; guards that refuse: no-change: no change of this service is known; nowhere-safe: no earlier revision has served healthily for the bake time
    12:00:30   -> PAGE: P1 shop/production: migration-failure
    12:01:30 migration-failure clears: the database shows no migration that failed or hangs
    12:01:30 closed: recovered by itself
    12:01:30   -> on-call: P1 shop/production: recovered by itself
    ");
}

#[test]
fn a_database_that_cannot_be_read_is_neither_well_nor_broken() {
    let told = story(with_a_database(), |town| {
        let dark = || Seen::Unknown("nobody answers there".into());
        looked(town, schema("7", migration(8, "8", MigrationState::Failed), None));
        for _ in 0..12 {
            looked(town, dark());
            town.run("1m");
        }
        let fires = |town: &Town| town.shop().firing.contains_key("migration-failure");
        assert!(fires(town), "what was seen is not over because nobody sees it");
        looked(town, at("7"));
        assert!(!fires(town));
        town.deploy("v2", HEALTHY);
        town.run("1m");
    });
    assert!(told.contains("how far the database is migrated"), "{told}");
}

/// The release of a version and its migration, which came a minute before it; then it fails.
pub(super) fn migrated_and_bad(town: &mut Town, before: &Seen, after: &Seen) {
    looked(town, before.clone());
    // Both earn that they are good.
    for _ in 0..40 {
        town.run("1m");
        looked(town, before.clone());
    }
    looked(town, after.clone());
    town.run("1m");
    town.deploy("v2", errors(0.10));
    for _ in 0..20 {
        town.run("1m");
        looked(town, after.clone());
    }
}

pub(super) fn refusals(town: &Town) -> String {
    let decision = town.shop().incident.as_ref().or(town.shop().past.last().map(AsRef::as_ref));
    let decision = decision.and_then(|incident| incident.decision.as_ref()).unwrap();
    decision
        .refusing()
        .map(|verdict| format!("{}: {}\n", verdict.guard, verdict.refusal().unwrap()))
        .collect()
}

#[test]
fn code_does_not_go_back_across_a_migration_of_which_nobody_says_that_it_may() {
    let mut town = Town::healthy(with_a_database());
    migrated_and_bad(&mut town, &at("6"), &after("7", "orders"));
    assert_eq!(town.rollbacks(), 0, "{}", town.transcript());
    let said = refusals(&town);
    assert!(
        said.contains("schema-moved: applied since v1 ran well, on version 6 of the schema"),
        "{said}"
    );
    assert!(said.contains("V7__orders.sql"), "{said}");
}

/// Whoever begins to look after it was migrated knows nothing of before.
#[test]
fn code_stays_where_its_database_is_looked_at_only_since_it_was_migrated() {
    let mut town = Town::healthy(with_a_database());
    town.run("40m");
    town.deploy("v2", errors(0.10));
    for _ in 0..20 {
        town.run("1m");
        looked(&mut town, at("7"));
    }
    assert_eq!(town.rollbacks(), 0, "{}", town.transcript());
    let said = refusals(&town);
    assert!(said.contains("on which schema v1 ran well was never seen"), "{said}");
}

#[test]
fn code_goes_back_across_a_migration_that_its_author_marked() {
    let mut town = Town::healthy(with_a_database());
    migrated_and_bad(&mut town, &at("6"), &after("7", "add note backward compatible"));
    assert_eq!(town.serving(), "v1", "{}", town.transcript());
    // And where the schema stayed as it was.
    let mut town = Town::healthy(with_a_database());
    migrated_and_bad(&mut town, &at("6"), &at("6"));
    assert_eq!(town.serving(), "v1", "{}", town.transcript());
}

#[test]
fn code_stays_where_nobody_can_tell_what_was_migrated() {
    let mut town = Town::healthy(with_a_database());
    migrated_and_bad(&mut town, &at("6"), &Seen::Unknown("nobody answers there".into()));
    assert_eq!(town.rollbacks(), 0, "{}", town.transcript());
    let said = refusals(&town);
    assert!(
        said.contains("nobody can tell which migrations it has: nobody answers there"),
        "{said}"
    );
}

/// Its schema goes back with it, by itself or not.
pub(super) fn with_an_undo(automatic: bool) -> Policy {
    let mut policy = with_a_database();
    for service in services_mut(&mut policy) {
        let argv = ["/opt/flyway/flyway", "undo", "-target={last}"].map(str::to_owned).to_vec();
        let run = CommandLine { argv, env: [].into(), dir: None, timeout: Span::minutes(1) };
        let schema = SchemaAt { database: "shop".into(), history_table: "history".into() };
        let database = DatabaseRunbook {
            schema,
            undo: Some(UndoBy::Run(run)),
            script: None,
            undo_timeout: Span::minutes(1),
            stop_writes: StopWrites::No,
            automatic,
        };
        service.runbook.as_mut().unwrap().database = Some(database);
    }
    policy
}

#[test]
fn the_schema_goes_back_before_the_old_code_starts_where_it_may() {
    let mut town = Town::healthy(with_an_undo(true));
    migrated_and_bad(&mut town, &at("6"), &after("7", "orders"));
    assert_eq!(town.place().done, ["migrate back to 6", "switch to v1", "restart on v1"]);
    assert_eq!(town.serving(), "v1");
}

#[test]
fn a_schema_that_went_back_is_looked_at_before_the_rollback_is_verified() {
    for (there, verified) in [(at("6"), true), (after("7", "orders"), false)] {
        let mut town = Town::healthy(with_an_undo(true));
        migrated_and_bad(&mut town, &at("6"), &after("7", "orders"));
        for _ in 0..40 {
            looked(&mut town, there.clone());
            town.run("1m");
        }
        let told = town.transcript();
        assert_eq!(told.contains("verified; watching"), verified, "{told}");
        let why = "the schema is as it must be: it is at version 7, not at version 6";
        assert_eq!(told.contains(why), !verified, "{told}");
    }
}

#[test]
fn a_person_approves_that_a_schema_goes_back() {
    let mut town = Town::healthy(with_an_undo(false));
    migrated_and_bad(&mut town, &at("6"), &after("7", "orders"));
    assert_eq!(town.rollbacks(), 0, "{}", town.transcript());
    let said = refusals(&town);
    assert!(said.contains("a person approves that"), "{said}");
    let plan = town.incident().decision.as_ref().unwrap().plan.clone().unwrap();
    let titles: Vec<&str> = plan.steps.iter().map(|step| step.title.as_str()).collect();
    assert_eq!(titles[0], "take one migration of the schema of shop back, from 7 to 6: 7");
    assert!(plan.resources.contains("database:shop"), "{:?}", plan.resources);
}

/// Its whole database goes back, to one of these.
pub(super) fn with_snapshots(town: &mut Town, snapshots: Vec<Snapshot>) {
    let seen = Ok(Snapshots { newest: snapshots, databases: ["shop".into()].into() });
    town.turn(What::SnapshotsSeen { service: id("shop"), seen });
}

pub(super) fn with_a_restore(automatic: bool) -> Policy {
    let mut policy = with_a_database();
    let line = |argv: &[&str]| {
        let argv = argv.iter().map(|it| (*it).to_owned()).collect();
        CommandLine { argv, env: [].into(), dir: None, timeout: Span::minutes(1) }
    };
    for service in services_mut(&mut policy) {
        service.runbook.as_mut().unwrap().restore = Some(RestoreRunbook {
            schema: SchemaAt { database: "shop".into(), history_table: "history".into() },
            database: "shop".into(),
            restore: line(&["pg_restore"]),
            read: line(&["pg_restore", "--file=/dev/null"]),
            stop_writes: StopWrites::No,
            automatic,
        });
    }
    policy
}

/// Of the version before the migration, taken ten minutes before noon.
pub(super) fn snapshot(file: &str, holds: &Seen) -> Snapshot {
    let Seen::Known(schema) = holds else { panic!() };
    Snapshot {
        file: file.into(),
        bytes: 7,
        fingerprint: "ab".into(),
        taken_at: NOON - Span::minutes(10),
        schema: Ok(schema.revision()),
        lost: vec![Lost { what: "orders".into(), rows: Ok(120) }],
    }
}

#[test]
fn what_would_be_lost_is_in_the_page_before_anybody_approves_and_then_all_of_it_goes_back() {
    let mut town = Town::healthy(with_a_restore(false));
    with_snapshots(
        &mut town,
        vec![snapshot("/b/late.dump", &after("7", "orders")), snapshot("/b/good.dump", &at("6"))],
    );
    migrated_and_bad(&mut town, &at("6"), &after("7", "orders"));
    assert_eq!(town.rollbacks(), 0, "{}", town.transcript());
    let page = town.notices("a person must decide").pop().unwrap();
    let said = format!("{page:?}");
    assert!(said.contains("is lost with it: 120 orders"), "{said}");
    let plan = town.offered();
    town.says("ada", Said::Approve { plan }).unwrap();
    town.run("5m");
    let restored = ["restore shop_restored_1", "keep shop_replaced_1"];
    let done = &town.place().done;
    assert_eq!(done[0], "pg_restore --file=/dev/null /b/good.dump", "before anything stops");
    assert_eq!(
        (&done[1..3], &done[3..]),
        (
            &restored.map(str::to_owned)[..],
            &["switch to v1", "restart on v1"].map(str::to_owned)[..]
        )
    );
}

/// It was counted before anybody approved, and told nobody afterwards, who must take it out of what is kept.
#[test]
fn what_was_lost_and_where_the_rest_is_kept_is_told_when_it_is_over() {
    let mut town = Town::healthy(with_a_restore(true));
    with_snapshots(&mut town, vec![snapshot("/b/good.dump", &at("6"))]);
    migrated_and_bad(&mut town, &at("6"), &after("7", "orders"));
    // In what was restored there is nothing newer.
    let none = Lost { what: "orders".into(), rows: Ok(0) };
    let now = Snapshot { lost: vec![none], ..snapshot("/b/good.dump", &at("6")) };
    with_snapshots(&mut town, vec![now]);
    for _ in 0..90 {
        looked(&mut town, at("6"));
        town.run("1m");
    }
    for about in ["Rollback Complete", "rolled back and verified"] {
        let told: String = town.notices(about).iter().map(|it| it.plain()).collect();
        let lost =
            "Lost, as it was counted when the rollback began: everything that was written since";
        assert!(told.contains(lost) && told.contains("is lost with it: 120 orders"), "{told}");
        let kept = "Kept: what shop was is the database shop_replaced_1 now, on the same server";
        assert!(told.contains(kept), "{told}");
    }
}

/// It told people to take a version back in git that nothing wants.
#[test]
fn what_is_left_is_told_without_a_word_of_git_where_nothing_is_suspended() {
    let mut town = Town::healthy(with_a_restore(false));
    with_snapshots(&mut town, vec![snapshot("/b/good.dump", &at("6"))]);
    migrated_and_bad(&mut town, &at("6"), &after("7", "orders"));
    let plan = town.offered();
    town.says("ada", Said::Approve { plan }).unwrap();
    while town.place().done.len() < 2 {
        town.run("1s");
    }
    town.place().outcomes.push_back(failed("somebody is connected and does not go", false));
    town.run("1m");
    let page = town.notices("yours now").pop().unwrap();
    let left = "the database shop_restored_1, restored and not in its place".to_owned();
    assert!(page.lines.contains(&left), "{:?}", page.lines);
    assert!(page.lines.iter().all(|line| !line.contains("in git")), "{:?}", page.lines);
}

#[test]
fn by_itself_only_where_that_is_said_for_this_very_service_and_never_to_another_schema() {
    let mut town = Town::healthy(with_a_restore(true));
    with_snapshots(&mut town, vec![snapshot("/b/good.dump", &at("6"))]);
    migrated_and_bad(&mut town, &at("6"), &after("7", "orders"));
    assert_eq!(town.place().done[1..3], ["restore shop_restored_1", "keep shop_replaced_1"]);

    let mut town = Town::healthy(with_a_restore(true));
    with_snapshots(&mut town, vec![snapshot("/b/old.dump", &at("5"))]);
    migrated_and_bad(&mut town, &at("6"), &after("7", "orders"));
    assert_eq!(town.rollbacks(), 0, "{}", town.transcript());
    let plan = town.incident().decision.as_ref().unwrap().plan.clone().unwrap();
    assert!(
        plan.scope.contains("/b/old.dump of") && plan.scope.contains("holds 5"),
        "{}",
        plan.scope
    );
}

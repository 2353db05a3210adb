//! Code does not go back on a schema that was seen half, or from before: what nobody saw is neither there nor missing.

use std::sync::Arc;

use rollbackd::domain::{
    schema::{Doing, MigrationState, Run, Seen},
    severity::Severity,
    trigger::defaults::MIGRATION_FAILURE,
};

use super::{
    databases::{at, looked, migrated_and_bad, migration, refusals, schema, with_a_database},
    place::errors,
    policy::services_mut,
    town::Town,
};

/// A rule may make the trigger milder, or switch it off; what is half applied stays half applied.
#[test]
fn code_stays_on_half_a_migration_whatever_a_rule_makes_of_it() {
    let half = || schema("6", migration(7, "7", MigrationState::Failed), None);
    for how in ["as usual", "as grave as can be", "off"] {
        let mut policy = with_a_database();
        for service in services_mut(&mut policy) {
            let triggers = Arc::make_mut(&mut service.triggers);
            match how {
                "off" => drop(triggers.remove(MIGRATION_FAILURE)),
                "as grave as can be" => {
                    let trigger = triggers.get_mut(MIGRATION_FAILURE).unwrap();
                    Arc::make_mut(&mut trigger.rule).severity = Severity::P0;
                }
                _ => {}
            }
        }
        let mut town = Town::healthy(policy);
        migrated_and_bad(&mut town, &at("6"), &half());
        assert_eq!(town.rollbacks(), 0, "{how}: {}", town.transcript());
        let said = refusals(&town);
        assert!(said.contains("schema-moved: a migration was half applied"), "{how}: {said}");
    }
}

/// Before it baked, one that was never seen to change is no more than that: it must still be seen.
#[test]
fn code_stays_where_nobody_can_tell_any_more_whether_the_first_schema_is_still_there() {
    let unknown = Seen::Unknown("nobody answers there".into());
    for (then, rolled_back) in [(at("6"), 1), (at("7"), 0), (unknown, 0)] {
        let mut town = Town::healthy(with_a_database());
        looked(&mut town, at("6"));
        town.run("40m");
        town.deploy("v2", errors(0.10));
        for _ in 0..20 {
            town.run("1m");
            looked(&mut town, then.clone());
        }
        assert_eq!(town.rollbacks(), rolled_back, "{then:?}: {}", town.transcript());
    }
}

#[test]
fn code_stays_while_somebody_migrates() {
    let run = Run { session: "session 7".into(), span: None, wrote: true, doing: Doing::Works };
    let mut town = Town::healthy(with_a_database());
    let during = schema("6", migration(6, "6", MigrationState::Success), Some(run));
    migrated_and_bad(&mut town, &at("6"), &during);
    assert_eq!(town.rollbacks(), 0, "{}", town.transcript());
    let said = refusals(&town);
    assert!(said.contains("somebody migrates it at this moment"), "{said}");
    assert!(said.contains("session 7"), "{said}");
}

/// A look from before a release says nothing of what came with it.
#[test]
fn code_stays_until_its_schema_was_looked_at_after_the_release() {
    let mut town = Town::healthy(with_a_database());
    for _ in 0..40 {
        looked(&mut town, at("6"));
        town.run("1m");
    }
    town.deploy("v2", errors(0.10));
    town.run("20m");
    assert_eq!(town.rollbacks(), 0, "{}", town.transcript());
    let said = refusals(&town);
    assert!(said.contains("nobody can tell which migrations came with v2"), "{said}");
    looked(&mut town, at("6"));
    town.run("5m");
    assert_eq!(town.rollbacks(), 1, "{}", town.transcript());
}

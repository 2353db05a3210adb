//! What is a reason to wake somebody, and what is not.

use super::*;
use crate::{
    domain::{examples, schema::MigrationState},
    units::Span,
};

fn policy() -> DatabasePolicy {
    DatabasePolicy {
        place: "shop at db:5432".into(),
        stuck_after: Span::minutes(30),
        every: Span::seconds(30),
        compatible_marker: None,
    }
}

fn run(doing: Doing, wrote: bool) -> Run {
    Run { session: "session 7".into(), span: None, wrote, doing }
}

fn look(before: Option<Looks>, version: &str, run: Option<Run>, at_s: i64) -> Looks {
    Looks::after(before, Schema { run, ..examples::schema(version) }, UnixMs(at_s * 1000))
}

#[test]
fn a_failed_row_is_half_applied_and_names_its_script_on_one_line() {
    let mut schema = examples::schema("2");
    schema.newest[0].state = MigrationState::Failed;
    schema.newest[0].description = "it's\n\"new\"".into();
    let looks = Looks::after(None, schema.clone(), UnixMs(1000));
    let looks = Looks::after(Some(looks), schema, UnixMs(31_000));
    let trouble = looks.trouble(&policy()).unwrap();
    assert_eq!((trouble.severity, trouble.onset), (Severity::P0, UnixMs(1000)));
    let one_line = !trouble.says.contains('\n');
    assert!(one_line && trouble.says.contains("V2__x.sql") && trouble.says.contains("repair"));
    let mended = Looks::after(Some(looks), examples::schema("3"), UnixMs(61_000));
    assert_eq!(mended.trouble(&policy()), None);
}

#[test]
fn a_run_that_changed_something_and_left_no_row_was_taken_back_where_the_server_can() {
    let first = look(None, "2", Some(run(Doing::Works, true)), 0);
    let begun = look(Some(first), "2", Some(run(Doing::Works, true)), 1);
    assert_eq!(begun.trouble(&policy()), None, "it runs");
    let ended = look(Some(begun.clone()), "2", None, 31);
    let trouble = ended.trouble(&policy()).unwrap();
    assert_eq!((trouble.severity, trouble.onset), (Severity::P1, UnixMs(1000)));
    assert!(trouble.says.contains("after version 2"), "{}", trouble.says);
    let still = look(Some(ended.clone()), "2", Some(run(Doing::Works, false)), 61);
    assert!(still.trouble(&policy()).is_some(), "another try has not succeeded yet");
    assert_eq!(look(Some(still), "3", None, 91).trouble(&policy()), None, "it has");
    assert_eq!(look(Some(begun), "3", None, 31).trouble(&policy()), None, "applied");

    let mut ended = ended;
    ended.schema.transactional = false;
    assert_eq!(ended.trouble(&policy()).unwrap().severity, Severity::P0, "nothing is taken back");
}

#[test]
fn a_run_that_only_looked_has_not_failed() {
    let begun = look(None, "2", Some(run(Doing::Works, false)), 1);
    assert_eq!(look(Some(begun), "2", None, 31).trouble(&policy()), None);
    // The first script of a run is applied, and the second was not begun yet.
    let begun = look(None, "2", None, 0);
    let first = look(Some(begun), "2", Some(run(Doing::Works, true)), 1);
    assert!(first.wrote);
    let second = look(Some(first), "3", Some(run(Doing::Works, false)), 31);
    assert_eq!(look(Some(second), "3", None, 61).trouble(&policy()), None);
}

/// The lock is looked at before the table: the run that is seen to write may have left its row when the table is read.
#[test]
fn a_run_whose_row_came_between_the_two_looks_of_one_did_not_vanish() {
    let before = look(None, "2", None, 0);
    let applied = look(Some(before), "3", Some(run(Doing::Works, true)), 30);
    assert!(!applied.wrote);
    assert_eq!(look(Some(applied), "3", None, 60).trouble(&policy()), None);
    let first_of_all = look(None, "3", Some(run(Doing::Works, true)), 0);
    assert_eq!(look(Some(first_of_all), "3", None, 30).trouble(&policy()), None);
}

#[test]
fn slow_is_told_from_waiting_and_from_a_session_that_is_dead() {
    let after_half_an_hour = |doing: Doing| {
        let begun = look(None, "2", Some(run(doing.clone(), false)), 0);
        let early = look(Some(begun), "2", Some(run(doing.clone(), false)), 1_799);
        assert_eq!(early.trouble(&policy()), None);
        let late = look(Some(early), "2", Some(run(doing, false)), 1_800);
        let trouble = late.trouble(&policy()).unwrap();
        assert_eq!(trouble.severity, Severity::P1);
        trouble.says
    };
    let says = after_half_an_hour(Doing::Works);
    assert!(says.contains("merely slow") && says.contains("runs for 30m"), "{says}");
    let waits = Doing::Waits { what: "session 9".into(), on_itself: false };
    assert!(after_half_an_hour(waits).contains("waits for session 9"));
    let nothing = Doing::Nothing { span: Span::minutes(29) };
    assert!(after_half_an_hour(nothing).contains("does nothing since 29m"));
    let hidden = Doing::Hidden { why: "GRANT pg_monitor".into() };
    assert!(after_half_an_hour(hidden).contains("GRANT pg_monitor"));

    let on_itself = Doing::Waits { what: "session 7".into(), on_itself: true };
    let at_once = look(None, "2", Some(run(on_itself, false)), 0);
    assert!(at_once.trouble(&policy()).unwrap().says.contains("neither ever ends"));
    let mut known = look(None, "2", Some(run(Doing::Works, false)), 0);
    known.schema.run.as_mut().unwrap().span = Some(Span::hours(1));
    assert!(known.trouble(&policy()).is_some(), "the database knows for how long");
}

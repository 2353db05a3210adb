//! What is on, from the intent to switch it on until it is seen to be off.

use std::sync::Arc;

use super::*;
use crate::domain::{change::Revision, examples, inventory::Place, service::Mode};

const NOW: UnixMs = UnixMs(5_000_000);

fn at(passed: Span) -> Now {
    Now { wall: UnixMs(1_772_452_800_000) + passed, steady: NOW + passed }
}

fn maintenance(name: &str) -> MaintenanceRunbook {
    let object = |plural: &str, kind: &str, api_version: &str| ObjectAt {
        api_version: api_version.into(),
        kind: kind.into(),
        plural: plural.into(),
        namespace: "shop".into(),
        name: name.into(),
    };
    MaintenanceRunbook {
        mode: MaintenanceMode {
            service: examples::id("shop/production"),
            cluster: "main".into(),
            manifest: "sha256:page".into(),
            objects: vec![
                object("configmaps", "ConfigMap", "v1"),
                object("ingresses", "Ingress", "networking.k8s.io/v1"),
            ],
            commands: None,
        },
        timeout: Span::seconds(30),
        attempts: 0,
        required: false,
        page_after: Span::minutes(30),
    }
}

fn run(id: &str, name: &str) -> Run {
    let service = examples::service("shop/production", Mode::Auto);
    let mut runbook = service.runbook.unwrap();
    runbook.maintenance = Some(maintenance(name));
    let (from, to) = (Revision::named("v2"), Revision::named("v1"));
    let plan = runbook.plan(&service.id, (&from, &to), &Place::default(), NOW);
    Run::new(id.into(), Arc::new(plan))
}

fn report(outcome: Outcome) -> Report {
    let [before, after, output, left] = [(); 4].map(|()| String::new());
    Report { outcome, before, after, output, left, unmoved: false, took_ms: 1 }
}

fn failed(retry: bool) -> Outcome {
    Outcome::Failed { why: "away".into(), retry }
}

/// A step of a run begins and ends.
fn step(on: &mut Maintained, run: &Run, step: usize, outcome: Outcome, resumed: bool) {
    let begun = run::Fact::Begun { step, attempt: 1, fallback: false, epoch: 1 };
    on.follow("i-1", run, &begun, at(Span::ZERO));
    let report = report(outcome);
    let ended = run::Fact::Ended { step, attempt: 1, fallback: false, report, resumed };
    on.follow("i-1", run, &ended, at(Span::ZERO));
}

fn switched_on() -> (Maintained, Run) {
    let (mut on, run) = (Maintained::default(), run("r-1", "page"));
    step(&mut on, &run, 0, Outcome::Done, false);
    (on, run)
}

fn stays() -> Fact {
    Fact::Stays { run: "r-1".into(), why: "away".into(), of: Some(Reason::Failed) }
}

fn begin(on: &mut Maintained, attempt: u32, passed: Span) {
    let begun = Fact::Begun { run: "r-1".into(), attempt, epoch: 1 };
    assert_eq!(on.evolve(&begun, at(passed)), None);
}

#[test]
fn the_first_step_names_what_is_made_and_what_it_takes_and_locks() {
    let run = run("r-1", "page");
    let Step { title, needs, attempts, .. } = &run.plan.steps[0];
    assert_eq!(
        title,
        "switch maintenance mode on: make ConfigMap shop/page, Ingress shop/page; switched off again however the rollback ends"
    );
    assert_eq!(
        needs[..],
        ["configmaps", "ingresses"]
            .map(|kind| format!("permission to get, create and delete {kind} in shop of main"))
    );
    assert_eq!(*attempts, 1, "once at least");
    assert!(run.plan.resources.contains("maintenance:main/ingresses/shop/page"));
    let written = serde_json::to_string(&run.plan.steps[0].action).unwrap();
    assert_eq!(serde_json::from_str::<Action>(&written).unwrap(), run.plan.steps[0].action);
}

#[test]
fn a_person_types_the_last_one_first_with_its_group() {
    let (on, _) = switched_on();
    assert_eq!(
        on.iter().next().unwrap().to_type(),
        [
            "kubectl delete ingresses.networking.k8s.io page -n shop (in main)",
            "kubectl delete configmaps page -n shop (in main)"
        ]
    );
}

#[test]
fn it_may_be_on_from_the_intent_and_is_not_where_nothing_was_begun() {
    let run = run("r-1", "page");
    let withheld = || Outcome::Withheld { why: "HOLD".into() };
    for (outcome, resumed, is_on) in [
        (Outcome::Done, false, true),
        (Outcome::AlreadyDone, false, true),
        (failed(false), false, true),
        (Outcome::Unknown { why: "silent".into() }, false, true),
        (withheld(), false, false),
        (withheld(), true, true),
    ] {
        let mut on = Maintained::default();
        step(&mut on, &run, 0, outcome.clone(), resumed);
        assert_eq!(!on.is_empty(), is_on, "{outcome:?}, resumed: {resumed}");
        step(&mut on, &run, 1, Outcome::Done, false);
        assert_eq!(!on.is_empty(), is_on, "another step has nothing to do with it");
    }
    // Of a second attempt that was not begun the first is no less done.
    let (mut on, run) = switched_on();
    step(&mut on, &run, 0, withheld(), false);
    assert!(!on.is_empty());
}

#[test]
fn another_rollback_goes_on_with_what_is_on_and_adds_what_is_another() {
    let (mut on, _) = switched_on();
    on.evolve(&stays(), at(Span::ZERO));
    assert!(on.is_told());
    let next = run("r-2", "page");
    let begun = run::Fact::Begun { step: 0, attempt: 1, fallback: false, epoch: 1 };
    let earlier = on.follow("i-2", &next, &begun, at(Span::minutes(1)));
    assert_eq!(earlier.map(|on| on.run).as_deref(), Some("r-1"), "its account ends");
    step(&mut on, &next, 0, Outcome::Withheld { why: "HOLD".into() }, false);
    let runs = |on: &Maintained| on.iter().map(|on| on.run.clone()).collect::<Vec<_>>();
    assert_eq!(runs(&on), ["r-2"], "the earlier one had made it");
    assert!(on.is_told(), "a page about it is still open");
    assert_eq!((on.0[0].since, on.0[0].told_of), (NOW, None), "and a new reason is told anew");
    step(&mut on, &run("r-3", "other"), 0, Outcome::Done, false);
    assert_eq!(runs(&on), ["r-2", "r-3"]);
}

#[test]
fn only_the_report_of_the_attempt_under_way_counts() {
    let (mut on, run) = switched_on();
    let step = run.plan.steps.len();
    let heard = |on: &Maintained, run: &str, step, attempt| {
        on.on_report(run, step, attempt, &report(Outcome::Done)).is_some()
    };
    assert!(!heard(&on, "r-1", step, 0), "nothing has begun");
    begin(&mut on, 1, Span::ZERO);
    assert!(on.is_going_off());
    assert!(heard(&on, "r-1", step, 1));
    assert!(!heard(&on, "r-1", step, 2) && !heard(&on, "r-1", 0, 1) && !heard(&on, "r-2", step, 1));
    let order = on.wanted(1).unwrap();
    assert_eq!((order.step, order.attempt, order.resumed), (step, 1, false));
    assert_eq!(
        order.what.title,
        "switch maintenance mode off: delete ConfigMap shop/page, Ingress shop/page"
    );
    assert!(on.wanted(2).unwrap().resumed, "an earlier daemon began it");
    let ended = on.on_report("r-1", step, 1, &report(Outcome::Done)).unwrap();
    let off = on.evolve(&ended, at(Span::ZERO)).expect("it is off");
    assert_eq!((off.run.as_str(), on.is_empty()), ("r-1", true));
    assert_eq!(on.wanted(1), None);
}

#[test]
fn what_fails_is_tried_again_later_and_later() {
    let (mut on, run) = switched_on();
    let mut passed = Span::ZERO;
    let mut waits = vec![];
    for attempt in 1..=9 {
        begin(&mut on, attempt, passed);
        let due = on.next_deadline((NOW + passed) + Span::hours(1));
        assert_eq!(due, None, "what is under way is waited for");
        let outcome =
            if attempt == 1 { Outcome::Unknown { why: "silent".into() } } else { failed(true) };
        let ended = on.on_report("r-1", run.plan.steps.len(), attempt, &report(outcome)).unwrap();
        on.evolve(&ended, at(passed));
        let again = on.0[0].again_at();
        waits.push(again.since(NOW + passed).ms() / 1_000);
        passed = again.since(NOW);
    }
    assert_eq!(waits, [5, 10, 20, 40, 80, 160, 320, 600, 600]);
    assert_eq!(on.0[0].fails, 9);
}

#[test]
fn it_is_looked_at_when_an_attempt_is_due_and_when_it_has_been_on_for_long() {
    let (mut on, run) = switched_on();
    let long = Span::minutes(30);
    assert_eq!(on.next_deadline(NOW).map(|(at, _)| at), Some(NOW + long));
    assert_eq!(on.next_deadline(NOW + long), None, "what is past is not due for ever");
    begin(&mut on, 1, Span::ZERO);
    let ended = on.on_report("r-1", run.plan.steps.len(), 1, &report(failed(true))).unwrap();
    on.evolve(&ended, at(Span::ZERO));
    assert_eq!(on.next_deadline(NOW).map(|(at, _)| at), Some(NOW + Span::seconds(5)));
    on.evolve(&stays(), at(Span::ZERO));
    assert_eq!(on.next_deadline(NOW + Span::seconds(5)), None, "it was told");
}

//! What of a run is counted, and what becomes true of it.

use super::*;
use crate::domain::{change::Revision, examples, inventory::Place, service::Mode};

const NOW: UnixMs = UnixMs(5_000_000);

/// A switch with a fallback, then a restart.
fn run() -> Run {
    let service = examples::service("shop/production", Mode::Auto);
    let (from, to) = (Revision::named("v2"), Revision::named("v1"));
    let mut plan = service.runbook.unwrap().plan(&service.id, (&from, &to), &Place::default(), NOW);
    plan.steps[0].fallback = Some(Box::new(plan.steps[1].clone()));
    Run::new("r".into(), plan.into())
}

fn report(outcome: Outcome) -> Report {
    let [before, after, output, left] = [(); 4].map(|()| String::new());
    Report { outcome, before, after, output, left, unmoved: false, took_ms: 1 }
}

fn begin(run: &mut Run) {
    let begun = run.advance(1, NOW).unwrap();
    run.evolve(&begun, NOW);
}

/// The attempt under way ends so.
fn ends(run: &mut Run, outcome: Outcome) {
    let Order { step, attempt, fallback, .. } = run.wanted(1).unwrap();
    for fact in run.on_report(step, attempt, fallback, &report(outcome), 1) {
        run.evolve(&fact, NOW);
    }
}

/// An earlier daemon had begun it, and nobody knows how far it came. Found by seed 499824 of the simulator.
#[test]
fn a_step_that_is_withheld_was_not_begun_unless_by_an_earlier_daemon() {
    for (epoch, half_done, account) in [(1, false, "not done: "), (2, true, "unknown: ")] {
        let mut run = run();
        begin(&mut run);
        let withheld = report(Outcome::Withheld { why: "the HOLD file".into() });
        run.on_report(0, 1, false, &withheld, epoch).iter().for_each(|f| run.evolve(f, NOW));
        assert_eq!(run.is_half_done(), half_done, "epoch {epoch}");
        assert!(run.account().starts_with(account), "{}", run.account());
        let again = run.advance(1, NOW + WITHHELD_PAUSE).unwrap();
        run.evolve(&again, NOW);
        // It was made anew without a look at what the earlier daemon may have done.
        assert_eq!(run.wanted(1).unwrap().resumed, half_done, "epoch {epoch}");
        ends(&mut run, Outcome::Withheld { why: "the HOLD file".into() });
        assert_eq!(run.is_half_done(), half_done, "and once more, epoch {epoch}");
    }
}

#[test]
fn a_report_of_anything_but_the_attempt_under_way_changes_nothing() {
    let mut run = run();
    assert_eq!(run.on_report(0, 1, false, &report(Outcome::Done), 1), [], "nothing has begun");
    begin(&mut run);
    ends(&mut run, Outcome::Failed { why: "the disk was full".into(), retry: true });
    begin(&mut run);
    let heard = |run: &Run, step, attempt, fallback| {
        run.on_report(step, attempt, fallback, &report(Outcome::Done), 1).len()
    };
    assert_eq!(heard(&run, 0, 2, false), 1);
    assert_eq!(heard(&run, 0, 1, false), 0, "the attempt before, told again");
    assert_eq!(heard(&run, 0, 2, true), 0, "its fallback");
    assert_eq!(heard(&run, 1, 2, false), 0, "another step");
    ends(&mut run, Outcome::Failed { why: "the disk was full".into(), retry: true });
    assert_eq!(heard(&run, 0, 2, false), 0, "it has ended");
    begin(&mut run);
    assert_eq!((heard(&run, 0, 1, true), heard(&run, 0, 1, false)), (1, 0), "the step itself");
}

/// Only of the step that is withheld again.
#[test]
fn what_was_withheld_before_is_forgotten_and_other_steps_are_not() {
    let mut run = run();
    begin(&mut run);
    ends(&mut run, Outcome::Done);
    let withheld = || Outcome::Withheld { why: "HOLD".into() };
    for _ in 0..3 {
        let begun = run.advance(1, NOW + WITHHELD_PAUSE).unwrap();
        run.evolve(&begun, NOW);
        ends(&mut run, withheld());
    }
    let steps: Vec<usize> = run.attempts.iter().map(|a| a.step).collect();
    assert_eq!(steps, [0, 1]);
}

/// A step whose fallback gives back what was stopped for it.
fn giving_up() -> Run {
    let mut run = run();
    let at = crate::domain::plan::DeploymentAt {
        cluster: "main".into(),
        namespace: "shop".into(),
        name: "web".into(),
        uid: None,
    };
    let mut plan = (*run.plan).clone();
    let fallback = plan.steps[0].fallback.as_mut().unwrap();
    fallback.action = Action::DeploymentStart { at, pods: 3 };
    run.plan = plan.into();
    run
}

#[test]
fn what_was_stopped_is_given_back_only_to_what_it_ran_on_and_that_is_the_end() {
    let fails = || Outcome::Failed { why: "there is no undo".into(), retry: false };
    let mut moved = giving_up();
    begin(&mut moved);
    ends(&mut moved, fails());
    assert!(matches!(moved.phase, Phase::Halted { .. }) && !moved.gave_up());

    let mut run = giving_up();
    begin(&mut run);
    let unmoved = Report { unmoved: true, ..report(fails()) };
    for fact in run.on_report(0, 1, false, &unmoved, 1) {
        run.evolve(&fact, NOW);
    }
    assert!(run.in_fallback && !run.gave_up(), "{:?}", run.phase);
    begin(&mut run);
    ends(&mut run, Outcome::Done);
    let Phase::Halted { why } = &run.phase else { panic!("{:?}", run.phase) };
    assert!(why.contains("there is no undo. Nothing was changed, and what was stopped"), "{why}");
    assert!(run.gave_up() && run.advance(1, NOW).is_none());
    assert!(run.account().starts_with("failed: "), "{}", run.account());
}

use super::markdown;
use crate::{
    domain::{
        change::{Change, Component, Migrations, Origin, Revision},
        event::Now,
        examples,
        guard::{Guard, Verdict},
        incident::{Choice, Closing, Decision, Fact, Incident, Phase},
        inventory::Place,
        ledger,
        maintenance::MaintenanceMode,
        plan::{Action, Plan, Step},
        policy::FleetPolicy,
        run::{self, Outcome, Report},
        service::Mode,
        severity::Severity,
        situation::{FleetView, Situation},
        state::ServiceState,
        verification::{Check, Standing},
        watch::ServiceWatch,
    },
    units::{Span, UnixMs},
};

/// 2026-11-22T21:40:52Z.
const FIRED: UnixMs = UnixMs(1_795_383_652_000);

fn at(minutes: i64) -> Now {
    let wall = FIRED + Span::minutes(minutes);
    Now { wall, steady: UnixMs(wall.0 - FIRED.0) }
}

fn incident(plan: &Plan) -> Incident {
    let change = Change {
        id: "build-7".into(),
        component: Component::Application,
        from: Some(Revision::named("v1")),
        to: Revision::named("v2"),
        started_at: FIRED - Span::minutes(10),
        ended_at: Some(FIRED - Span::minutes(9)),
        origin: Origin::Posted { by: "ci".into() },
        migrations: Migrations::None,
        checks_passed: Some(true),
        is_rollback: false,
        told: None,
    };
    let opened = Fact::Opened {
        id: "checkout-20261122214052".into(),
        severity: Severity::P1,
        trigger: "critical-errors".into(),
        onset: FIRED - Span::minutes(5),
        change: Some(change),
    };
    let mut incident = Incident::opened(&opened, at(0)).unwrap();
    let fired = "(P1): 12.4% of 1204 requests failed";
    incident.account.fired.insert("critical-errors".into(), fired.into());
    incident.note(FIRED, format!("critical-errors fires {fired}"));
    let decision = Decision {
        verdict: Choice::RollBackNow,
        row: *examples::service("checkout/production", Mode::Auto).matrix.row(Severity::P1),
        severity: Severity::P1,
        because: vec!["critical-errors (P1): 12.4% of 1204 requests | failed".into()],
        guards: vec![
            Verdict::pass(Guard::Mode, "mode is auto"),
            Verdict::refuse(Guard::Storm, "only <b>example</b>"),
            Verdict::not_applicable(Guard::OneWitness, "the evidence is not a probe's"),
        ],
        plan: Some(plan.clone().into()),
    };
    incident.evolve(&Fact::Decided(Box::new(decision)), at(10));
    incident
}

fn rolled_back(incident: &mut Incident, plan: &Plan) {
    let planned = Fact::Planned { run: "r1".into(), plan: plan.clone().into(), by: None };
    incident.evolve(&planned, at(10));
    incident.note(at(10).wall, "rollbackd begins rollback r1".into());
    for step in 0..2 {
        let begun = run::Fact::Begun { step, attempt: 1, fallback: false, epoch: 1 };
        incident.evolve_run(&begun, at(10));
        let report = Report {
            outcome: Outcome::Done,
            before: if step == 0 { "current -> releases/v2".into() } else { String::new() },
            after: if step == 0 { "current -> releases/v1".into() } else { "v1 serves".into() },
            output: if step == 1 { "stopping\n\u{1b}[1mstarted\n".into() } else { String::new() },
            left: String::new(),
            unmoved: false,
            took_ms: 1200,
        };
        let ended = run::Fact::Ended { step, attempt: 1, fallback: false, report, resumed: false };
        incident.evolve_run(&ended, at(11));
    }
    incident.evolve_run(&run::Fact::Finished, at(11));
    incident.escalation.told(false, at(10).steady);
    incident.escalation.acknowledged("ada");
    let checks = [
        ("the target revision serves", Standing::Passed, "v1 serves"),
        ("errors", Standing::Thin, "3 of 20 requests"),
    ];
    let check = |(name, standing, note): (&str, _, &str)| Check {
        name: name.to_owned(),
        standing,
        note: note.to_owned(),
    };
    incident.evolve(&Fact::Checked { checks: checks.map(check).into() }, at(26));
    let until = at(86).steady;
    incident.evolve(&Fact::Entered(Phase::Watching { until }), at(26));
    let outcome = Closing::RolledBack;
    incident.evolve(&Fact::Entered(Phase::Closed { outcome }), at(86));
}

fn report(act: impl FnOnce(&mut Incident, &Plan)) -> String {
    let policy = examples::service("checkout/production", Mode::Auto);
    let mut state = ServiceState::new(policy.id.clone());
    let component = Component::Application;
    let revision = Revision::named("v2");
    let serving = ledger::Fact::Serving { component, revision: revision.clone(), since: FIRED };
    state.ledger.evolve(&serving, FIRED);
    let left = ledger::Fact::Quarantined { component, revision, incident: "i1".into() };
    state.ledger.evolve(&left, FIRED);
    let watch = ServiceWatch::new(&policy);
    let (from, to) = (Revision::named("v2"), Revision::named("v1"));
    let plan =
        policy.runbook.as_ref().unwrap().plan(&policy.id, (&from, &to), &Place::default(), FIRED);
    let mut incident = incident(&plan);
    act(&mut incident, &plan);
    let s = Situation {
        policy: &policy,
        fleet_policy: &FleetPolicy::default(),
        state: &state,
        watch: &watch,
        fleet: &FleetView::default(),
        now: at(90),
        epoch: 1,
    };
    markdown(&s, &incident)
}

#[test]
fn a_verified_rollback_reads_from_onset_to_follow_up() {
    insta::assert_snapshot!(report(rolled_back));
}

/// A rollback whose first step switches maintenance mode on, which ends so.
fn with_maintenance(first: Outcome) -> String {
    report(|incident, plan| {
        let mut plan = plan.clone();
        let mode = MaintenanceMode {
            service: examples::id("checkout/production"),
            cluster: "main".into(),
            manifest: "sha256:page".into(),
            objects: vec![],
            commands: None,
        };
        let action = Action::MaintenanceOn { mode, required: false, page_after: Span::minutes(30) };
        plan.steps.insert(0, Step { action, ..plan.steps[0].clone() });
        let steps = plan.steps.len();
        let planned = Fact::Planned { run: "r1".into(), plan: plan.into(), by: None };
        incident.evolve(&planned, at(10));
        for step in 0..steps {
            let outcome = if step == 0 { first.clone() } else { Outcome::Done };
            let [before, after, output, left] = [(); 4].map(|()| String::new());
            let report =
                Report { outcome, before, after, output, left, unmoved: false, took_ms: 1 };
            let begun = run::Fact::Begun { step, attempt: 1, fallback: false, epoch: 1 };
            incident.evolve_run(&begun, at(10));
            let ended =
                run::Fact::Ended { step, attempt: 1, fallback: false, report, resumed: false };
            incident.evolve_run(&ended, at(11));
        }
        incident.evolve_run(&run::Fact::Finished, at(11));
        let skipped = incident.run.as_ref().unwrap().account().starts_with("skipped: ");
        assert_eq!(skipped, matches!(first, Outcome::Failed { .. }));
    })
}

#[test]
fn a_step_that_was_skipped_is_not_said_to_be_in_effect() {
    let why = "another Ingress is there".to_owned();
    let text = with_maintenance(Outcome::Failed { why, retry: false });
    assert!(text.contains("every step but 1 in effect at "), "{text}");
    let text = with_maintenance(Outcome::Done);
    assert!(text.contains("every step in effect at "), "{text}");
    assert!(text.contains("Maintenance mode was on from 21:51:52; it was still on"), "{text}");
}

#[test]
fn an_incident_without_an_action_says_what_is_open() {
    let text = report(|incident, _| {
        let outcome = Closing::Dismissed { by: "ada".into(), reason: "load test".into() };
        incident.evolve(&Fact::Entered(Phase::Closed { outcome }), at(12));
    });
    assert!(text.contains("| State | dismissed by ada: load test |"), "{text}");
    assert!(text.contains("| the action began | 15m | - | not needed |"), "{text}");
    assert!(text.contains("Offered, not carried out:"), "{text}");
    assert!(!text.contains("## Verification"), "{text}");
}

#[test]
fn what_ended_without_being_verified_says_so_and_what_is_being_verified_does_not() {
    let verifying = Phase::Verifying { since: at(11).steady, since_wall: at(11).wall };
    let says_so = |left_to_people: bool| {
        let text = report(|incident, plan| {
            let plan = plan.clone().into();
            incident.evolve(&Fact::Planned { run: "r1".into(), plan, by: None }, at(10));
            incident.evolve(&Fact::Entered(verifying.clone()), at(11));
            if left_to_people {
                let standing = Standing::Failed;
                let check =
                    Check { name: "errors".into(), standing, note: "3 of 20 failed".into() };
                incident.evolve(&Fact::Checked { checks: vec![check] }, at(45));
                let escalated = Phase::Escalated { why: "it did not help".into(), by: None };
                incident.evolve(&Fact::Entered(escalated), at(45));
            }
        });
        assert!(text.contains("## Verification"), "{text}");
        text.contains("The rollback was not verified.")
    };
    assert_eq!([true, false].map(says_so), [true, false]);
}

#[test]
fn a_clock_of_an_open_incident_runs() {
    let text = report(|_, _| {});
    assert!(text.contains("| the action began | 15m | - | running |"), "{text}");
}

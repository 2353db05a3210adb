//! The daemon killed and started anew at each stage of an incident: one rollback in effect, and no deadline extended.
//! At random moments it is ended in `torture.rs`.

use std::fs;

use rollbackd::{
    demo::shop::Behaviour,
    domain::{fact::Fact, run, trigger::State},
    http::views::{ClockView, IncidentView, TriggerView},
};

use super::{
    journal, together,
    world::{SOON, Setup, World},
};
use crate::rig::eventually;

/// A step that takes a second and a restart that takes another, each written down when it begins.
pub(super) const SLOW: &str = r#"
[service.shop.rollback.before.drain]
argv = ["/bin/sh", "-c", "echo drain >>{dir}/drains.log; exec sleep 1"]
idempotent = true
timeout = "10s"
[service.shop.rollback.application.release]
restart.command.argv = ["/bin/sh", "-c", "echo restart >>{dir}/restarts.log; sleep 1; exec /bin/sh {dir}/restart.sh"]
"#;

/// The steps of that plan.
pub(super) const DRAIN: usize = 0;
pub(super) const SWITCH: usize = 1;
pub(super) const RESTART: usize = 2;

/// When the daemon is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    Pending,
    Monitoring,
    /// An attempt at this step was written down, and its end was not.
    Begun(usize),
    Verifying,
    Watching,
}

pub(super) fn lines(world: &World, name: &str) -> usize {
    fs::read_to_string(world.dir().join(name)).unwrap_or_default().lines().count()
}

/// Deadlines run on the steady clock and are shown on the wall's: they differ by as much as whoever reads the two, one
/// after the other, is interrupted for. A time down that was not counted would be longer.
const APART_MS: i64 = 200;

fn not_extended(before: ClockView, after: ClockView) {
    let by = |clock: ClockView| clock.by.expect("there is a deadline").0;
    assert!(by(after) <= by(before) + APART_MS, "extended by {} ms", by(after) - by(before));
}

async fn come(world: &World, moment: Moment) -> Option<IncidentView> {
    match moment {
        Moment::Pending => {
            let pending =
                |t: &TriggerView| t.name == "critical-errors" && t.state == State::Pending;
            world.explained("pending", |e| e.triggers.iter().any(pending)).await;
            None
        }
        Moment::Monitoring => Some(world.phase("monitoring").await),
        Moment::Verifying => Some(world.phase("verifying").await),
        Moment::Watching => Some(world.phase("watching").await),
        Moment::Begun(wanted) => {
            let before = world.phase("monitoring").await;
            let state_dir = world.state_dir();
            eventually("the step's intent is written down", SOON, async || {
                // A step can be over within a millisecond: at its intent or right after it is what can be met.
                let begun = |fact: &run::Fact| matches!(fact, run::Fact::Begun { step, .. } if *step == wanted);
                let all = journal::read(&state_dir);
                all.iter().any(|(_, fact)| matches!(fact, Fact::Run(fact) if begun(fact))).then_some(())
            })
            .await;
            Some(before)
        }
    }
}

async fn killed(moment: Moment) {
    let mut world = World::open(&Setup::with(Behaviour::Errors, SLOW)).await;
    world.start().await;
    world.settled().await;
    world.stage.deploy("v2").expect("v2 is deployed");
    let before = come(&world, moment).await;
    world.crash().await;

    if let Some(before) = before {
        let after = world.eye().incident(&before.line.id).await.expect("the incident is known");
        not_extended(before.acted, after.acted);
        if before.verified.by.is_some() {
            not_extended(before.verified, after.verified);
        }
    }
    let over = world.incident("over", |i| i.line.closed.is_some()).await;
    assert_eq!(over.line.because.as_deref(), Some("rolled back and verified"), "{over:#?}");
    assert_eq!(over.run.as_ref().map(|r| matches!(r, run::Phase::Finished { .. })), Some(true));
    assert_eq!(world.stage.linked().as_deref(), Some("v1"));
    let all = world.eye().incidents().await.expect("it answers");
    assert_eq!(all.len(), 1, "one incident: {all:#?}");

    assert_eq!(world.switched(), 2, "to v2 by us, back to v1 by the daemon");
    assert_eq!(lines(&world, "restarts.log"), 1, "what outlived the daemon was waited for");
    assert!((1..=2).contains(&lines(&world, "drains.log")));
    let journal = world.ended().await;
    assert_eq!(journal::planned(&journal), 1);
    for step in [DRAIN, SWITCH, RESTART] {
        let outcomes = journal::outcomes(&journal, step);
        assert_eq!(outcomes.len(), 1, "step {step} ended once: {outcomes:?}");
    }
}

#[test]
fn a_daemon_killed_at_any_stage_rolls_back_once() {
    together(&[
        ("pending", || Box::pin(killed(Moment::Pending))),
        ("monitoring", || Box::pin(killed(Moment::Monitoring))),
        ("first intent", || Box::pin(killed(Moment::Begun(DRAIN)))),
        ("before the switch", || Box::pin(killed(Moment::Begun(SWITCH)))),
        ("during the restart", || Box::pin(killed(Moment::Begun(RESTART)))),
        ("verifying", || Box::pin(killed(Moment::Verifying))),
        ("watching", || Box::pin(killed(Moment::Watching))),
    ]);
}

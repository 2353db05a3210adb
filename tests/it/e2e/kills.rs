//! The daemon killed and started anew at each stage of an incident, at random moments and at writes to its journal: one
//! rollback in effect, and nothing lost.

use std::{
    fs,
    time::{Duration, Instant, SystemTime},
};

use rollbackd::{
    demo::shop::Behaviour,
    domain::{fact::Fact, run, trigger::State},
    http::views::{ClockView, IncidentView, TriggerView},
    store::Reader,
};

use super::{
    journal, together,
    world::{SOON, Setup, World},
};
use crate::rig::eventually;

/// A step that takes a second and a restart that takes another, each written down when it begins.
const SLOW: &str = r#"
[service.shop.rollback.before.drain]
argv = ["/bin/sh", "-c", "echo drain >>{dir}/drains.log; exec sleep 1"]
idempotent = true
timeout = "10s"
[service.shop.rollback.application.release]
restart.command.argv = ["/bin/sh", "-c", "echo restart >>{dir}/restarts.log; sleep 1; exec /bin/sh {dir}/restart.sh"]
"#;

/// The steps of that plan.
const DRAIN: usize = 0;
const SWITCH: usize = 1;
const RESTART: usize = 2;

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

fn lines(world: &World, name: &str) -> usize {
    fs::read_to_string(world.dir().join(name)).unwrap_or_default().lines().count()
}

/// Deadlines run on the steady clock and are shown on the wall's: they may differ by a few milliseconds of rounding.
fn not_extended(before: ClockView, after: ClockView) {
    let by = |clock: ClockView| clock.by.expect("there is a deadline").0;
    assert!(by(after) <= by(before) + 20, "extended by {} ms", by(after) - by(before));
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

/// Time for as many starts as there are kills: what is late may be left to people, which is another story.
const IN_NO_HURRY: &str = r#"
[severity.P0]
act_within = "12s"
verify_within = "10m"
[severity.P1]
act_within = "12s"
verify_within = "10m"
"#;
/// Of one incident.
const KILLS_A_STORY: u64 = 4;
/// Stories at the same time.
const AT_ONCE: u64 = 5;
/// A random moment is at most this long after a start.
const ALIVE_MAX_MS: u64 = 2_500;

/// Numbers that look random, and are the same for the same seed.
struct Lots(u64);

impl Lots {
    fn draw(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
}

/// Every other time at a write to the journal, as it is seen from outside; otherwise whenever.
async fn a_moment(world: &World, lots: &mut Lots) -> String {
    let begun = Instant::now();
    let last = || Reader::open(&world.state_dir()).and_then(|r| r.view().last_seq()).unwrap_or(0);
    let alive = Duration::from_millis(lots.draw(ALIVE_MAX_MS));
    let writes = if lots.draw(2) == 0 { Some(last() + 1 + lots.draw(4)) } else { None };
    let mut every = tokio::time::interval(Duration::from_millis(1));
    loop {
        every.tick().await;
        if writes.is_some_and(|wanted| last() >= wanted) {
            return format!("at record {}", last());
        }
        // Nothing more may come to be written.
        let patience = if writes.is_some() { 3 } else { 1 };
        if begun.elapsed() > alive * patience {
            return format!(
                "{} ms after its start, at record {}",
                begun.elapsed().as_millis(),
                last()
            );
        }
    }
}

async fn tortured(second: Behaviour, seed: u64) {
    let mut lots = Lots(seed | 1);
    let config = format!("{SLOW}{IN_NO_HURRY}");
    let mut world = World::open(&Setup::with(second, &config)).await;
    world.start().await;
    world.settled().await;
    world.told.trouble();
    world.stage.deploy("v2").expect("v2 is deployed");
    let mut moments = vec![];
    for _ in 0..KILLS_A_STORY {
        moments.push(a_moment(&world, &mut lots).await);
        world.stage.kill_daemon().expect("the daemon is killed");
        world.stage.start_daemon().expect("the daemon is started");
    }
    world.stage.kill_daemon().expect("the daemon is killed");
    let was = format!("{second:?} with seed {seed}, killed {moments:#?}");
    world.start().await;
    let ended = world.incident(&was, |i| i.line.closed.is_some());
    let Ok(over) = tokio::time::timeout(Duration::from_secs(44), ended).await else {
        let path = "/v1/services/shop/demo/explain";
        panic!("not over: {was} {} {}", world.get(path).await, world.get("/v1/incidents").await)
    };
    assert_eq!(over.line.because.as_deref(), Some("rolled back and verified"), "{was} {over:#?}");
    assert_eq!(world.stage.linked().as_deref(), Some("v1"), "{was}");
    assert_eq!(world.switched(), 2, "to v2 by us, back to v1 by the daemon: {was}");
    assert_eq!(lines(&world, "restarts.log"), 1, "{was}");
    let mut keys = std::collections::BTreeMap::new();
    for notice in world.told.all() {
        let first = keys.entry(notice.id().to_owned()).or_insert(notice.idempotency_key.clone());
        assert_eq!(*first, notice.idempotency_key, "told again under another key: {was}");
    }
    let journal = world.ended().await;
    assert_eq!(journal::planned(&journal), 1, "{was}");
    for step in [DRAIN, SWITCH, RESTART] {
        let outcomes = journal::outcomes(&journal, step);
        assert_eq!(outcomes.len(), 1, "step {step} ended once: {outcomes:?} {was}");
    }
}

/// Twenty, or as many as `make torture KILLS=…` says. A failure says its seed: `SEED=…` is the same again.
#[test]
fn a_daemon_killed_at_random_moments_and_writes_rolls_back_once() {
    let kills = from_environment("KILLS").unwrap_or(KILLS_A_STORY * AT_ONCE);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is later");
    let seed = from_environment("SEED").unwrap_or(now.as_secs());
    let stories = kills.div_ceil(KILLS_A_STORY);
    eprintln!("SEED={seed}: {} kills in {stories} stories", stories * KILLS_A_STORY);
    let mut next = 0..stories;
    loop {
        let some: Vec<u64> = next.by_ref().take(usize::try_from(AT_ONCE).expect("few")).collect();
        if some.is_empty() {
            return;
        }
        let threads: Vec<_> = some
            .into_iter()
            .map(|n| {
                let second = [Behaviour::Errors, Behaviour::Down, Behaviour::Crash];
                let second = second[usize::try_from(n).expect("few") % second.len()];
                std::thread::spawn(move || {
                    let runtime =
                        tokio::runtime::Builder::new_current_thread().enable_all().build();
                    let seed = seed.wrapping_add(n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                    runtime.expect("a runtime").block_on(tortured(second, seed));
                })
            })
            .collect();
        let failed = threads.into_iter().map(std::thread::JoinHandle::join).filter(Result::is_err);
        assert_eq!(failed.count(), 0, "SEED={seed} repeats it");
    }
}

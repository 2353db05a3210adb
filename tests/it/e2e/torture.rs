//! The daemon ended again and again under one incident, at random moments and at writes to its journal: killed, asked to
//! end, stopped for longer than a watchdog waits, and with everything else on its machine. One rollback in effect, every
//! notice told under one key, every incident at its end.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant, SystemTime},
};

use rollbackd::{
    demo::shop::Behaviour,
    domain::{fact::Fact, trigger::State},
    http::views::{Explain, IncidentView},
    store::{Reader, Record, outbox},
};
use rustix::process::Signal;

use super::{
    journal,
    kills::{DRAIN, RESTART, SLOW, SWITCH, lines},
    stops::has_ended,
    world::{SOON, Setup, World},
};
use crate::rig::patiently;

/// Time for as many starts as there are ends: what is late may be left to people, which is another story.
const IN_NO_HURRY: &str = r#"
[severity.P0]
act_within = "30s"
verify_within = "10m"
[severity.P1]
act_within = "30s"
verify_within = "10m"
"#;
/// Of one incident; the other ends come on top of them.
const KILLS_A_STORY: usize = 4;
/// Stories at the same time.
const AT_ONCE: usize = 5;
/// A random moment is at most this long after a start.
const ALIVE_MAX_MS: u64 = 2_500;
/// As the unit under `tests/it/systemd/` has it.
const WATCHDOG: Duration = Duration::from_secs(2);
/// How the second release of each story goes wrong: the last of them not enough, as long as somebody looks.
const SECONDS: [Behaviour; 5] =
    [Behaviour::Errors, Behaviour::Down, Behaviour::Crash, Behaviour::Slow, Behaviour::Blips];
/// What need not be rolled back is looked at for so long afterwards.
const LOOKED_AT_FOR_MS: i64 = 9_000;

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

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is later");
    i64::try_from(now.as_millis()).expect("not so late")
}

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
}

/// What happens to the daemon; but for the third of them, it is started anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Killed,
    /// SIGTERM: it ends after the steps under way.
    Terminated,
    /// Stopped for longer than a watchdog waits, where there is none, and continued.
    StoodStill,
    /// The same under a watchdog, which kills it where it stands.
    KilledByWatchdog,
    /// With the shop and every step under way, as by a power cut.
    LostPower,
}

impl End {
    fn drawn(lots: &mut Lots) -> Self {
        let [killed, other] = [lots.draw(2), lots.draw(4)];
        match (killed, other) {
            (0, _) => Self::Killed,
            (_, 0) => Self::Terminated,
            (_, 1) => Self::StoodStill,
            (_, 2) => Self::KilledByWatchdog,
            (_, _) => Self::LostPower,
        }
    }

    fn is_a_kill(self) -> bool {
        matches!(self, Self::Killed | Self::KilledByWatchdog | Self::LostPower)
    }

    async fn befalls(self, world: &mut World, lots: &mut Lots) {
        match self {
            Self::Killed => world.stage.kill_daemon().expect("the daemon is killed"),
            Self::Terminated => {
                world.signal(Signal::TERM);
                has_ended(world).await;
                let ended = world.stage.daemon().and_then(|daemon| daemon.wait().ok());
                // Before it listens for the signal it has nothing to end in an orderly way.
                let by_signal = |status| std::os::unix::process::ExitStatusExt::signal(&status);
                let well = ended.is_some_and(|s| s.success() || by_signal(s) == Some(15));
                assert!(well, "told to end it ended with {ended:?}");
            }
            Self::StoodStill | Self::KilledByWatchdog => {
                world.signal(Signal::STOP);
                let until = Instant::now() + WATCHDOG + Duration::from_millis(lots.draw(1_000));
                patiently("it stands still", SOON, async || {
                    (Instant::now() >= until).then_some(())
                })
                .await;
                if self == Self::StoodStill {
                    return world.signal(Signal::CONT);
                }
                world.stage.kill_daemon().expect("the daemon is killed");
            }
            Self::LostPower => {
                world.lose_power();
                if lots.draw(2) == 0 {
                    world.boot_shop();
                } else {
                    world.stage.start_daemon().expect("the daemon is started");
                    return world.boot_shop();
                }
            }
        }
        world.stage.start_daemon().expect("the daemon is started");
    }
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
            let ms = begun.elapsed().as_millis();
            return format!("{ms} ms after its start, at record {}", last());
        }
    }
}

/// What befell the daemon of one story.
struct Tortured {
    world: World,
    /// For whoever reads that something went wrong.
    was: String,
    ends: Vec<End>,
}

async fn tortured(second: Behaviour, seed: u64) -> Tortured {
    let mut lots = Lots(seed | 1);
    let mut setup = Setup::with(second, &format!("{SLOW}{IN_NO_HURRY}"));
    if second == Behaviour::Slow {
        setup.without.clear();
    }
    let mut world = World::open(&setup).await;
    world.start().await;
    world.settled().await;
    let learned = |e: &Explain| {
        let mut latency = e.triggers.iter().filter(|t| t.name == "performance-degradation");
        latency.all(|t| t.state == State::Ok)
    };
    world.explained("what latency is normal is known", learned).await;
    world.told.trouble();
    world.stage.deploy("v2").expect("v2 is deployed");
    let mut ends = vec![];
    while ends.iter().filter(|(end, _): &&(End, String)| end.is_a_kill()).count() < KILLS_A_STORY {
        let moment = a_moment(&world, &mut lots).await;
        let end = End::drawn(&mut lots);
        ends.push((end, moment));
        end.befalls(&mut world, &mut lots).await;
    }
    let was = format!("{second:?} with seed {seed}: {ends:#?}");
    world.answers().await;
    Tortured { world, was, ends: ends.into_iter().map(|(end, _)| end).collect() }
}

impl Tortured {
    /// Every notice has come, each under one key of its own, and none was given up.
    async fn all_told(&self) {
        let Self { world, was, .. } = self;
        world.all_told().await;
        let (mut keys, mut ids) = (BTreeMap::new(), BTreeMap::new());
        for notice in world.told.all() {
            let (id, key) = (notice.id().to_owned(), notice.idempotency_key.clone());
            let first = keys.entry(id.clone()).or_insert_with(|| key.clone());
            assert_eq!(*first, key, "told again under another key: {was}");
            let first = ids.entry(key).or_insert_with(|| id.clone());
            assert_eq!(*first, id, "two notices under one key: {was}");
        }
        let reader = Reader::open(&world.state_dir()).expect("the journal can be opened");
        let depth = reader.view().depth().expect("the outbox can be read");
        let given_up = depth.iter().filter(|depth| depth.state == outbox::State::Dead);
        assert_eq!(given_up.count(), 0, "{depth:?} {was}");
    }

    /// Rolled back and verified, once; every incident is over and has its report.
    async fn ends_rolled_back(self) {
        let Self { world, was, .. } = &self;
        let ended = world.incident(was, |i| i.line.closed.is_some());
        let Ok(over) = tokio::time::timeout(SOON - Duration::from_secs(1), ended).await else {
            let path = "/v1/services/shop/demo/explain";
            panic!("not over: {was} {} {}", world.get(path).await, world.get("/v1/incidents").await)
        };
        let because = over.line.because.as_deref();
        assert_eq!(because, Some("rolled back and verified"), "{was} {over:#?}");
        for incident in world.eye().incidents().await.expect("it answers") {
            assert!(incident.closed.is_some(), "{incident:?} is open: {was}");
            let report = world.dir().join("reports").join(format!("{}.md", incident.id));
            patiently("its report", SOON, async || report.exists().then_some(())).await;
        }
        assert_eq!(world.stage.linked().as_deref(), Some("v1"), "{was}");
        assert_eq!(world.switched(), 2, "to v2 by us, back to v1 by the daemon: {was}");
        // A power cut ends a restart under way, and the machine's boot may be one.
        let restarts = lines(world, "restarts.log");
        let cuts = self.ends.iter().filter(|end| **end == End::LostPower).count();
        assert!(
            (usize::from(cuts == 0)..=1 + cuts).contains(&restarts),
            "{restarts} restarts: {was}"
        );
        self.all_told().await;
        let Self { world, was, .. } = self;
        let journal = world.ended().await;
        assert_eq!(journal::planned(&journal), 1, "{was}");
        for step in [DRAIN, SWITCH, RESTART] {
            let outcomes = journal::outcomes(&journal, step);
            assert_eq!(outcomes.len(), 1, "step {step} ended once: {outcomes:?} {was}");
        }
    }

    /// Blips with a daemon that is away between them: by the rule a gap that is shorter than the silence is bridged, so that
    /// they may be taken for one breach. Nobody promises what is decided; what is, is carried out once and has its end.
    async fn ends_either_way(self) {
        let Self { world, was, .. } = &self;
        let started = world.eye().explain().await.expect("it answers").now.0;
        world.explained(was, |e| e.now.0 > started + LOOKED_AT_FOR_MS).await;
        if !world.eye().incidents().await.expect("it answers").is_empty() {
            // After its deadline for acting it is people's, and the daemon begins nothing more.
            let at_its_end =
                |i: &IncidentView| i.line.closed.is_some() || (i.run.is_none() && i.acted.late);
            world.incident(was, at_its_end).await;
        }
        self.all_told().await;
        let Self { world, was, .. } = self;
        let (switched, linked) = (world.switched(), world.stage.linked());
        let journal: Vec<(Record, Fact)> = world.ended().await;
        let planned = journal::planned(&journal);
        assert!(planned <= 1 && switched == 1 + planned, "{planned} {switched} {was}");
        assert_eq!(linked.as_deref(), Some(if planned == 0 { "v2" } else { "v1" }), "{was}");
        for step in [DRAIN, SWITCH, RESTART] {
            assert_eq!(journal::outcomes(&journal, step).len(), planned, "step {step}: {was}");
        }
    }
}

async fn story(second: Behaviour, seed: u64) -> Vec<End> {
    let tortured = tortured(second, seed).await;
    let ends = tortured.ends.clone();
    match second {
        Behaviour::Blips => tortured.ends_either_way().await,
        Behaviour::Errors
        | Behaviour::Slow
        | Behaviour::Down
        | Behaviour::Crash
        | Behaviour::Healthy => tortured.ends_rolled_back().await,
    }
    ends
}

/// Twenty, or as many as `make torture KILLS=…` says. A failure says its seed: `SEED=…` is the same again.
#[test]
fn a_daemon_ended_at_random_moments_and_writes_rolls_back_once() {
    let few = |kills: u64| usize::try_from(kills).expect("not so many");
    let kills = from_environment("KILLS").map_or(KILLS_A_STORY * AT_ONCE, few);
    let seed = from_environment("SEED").unwrap_or(now_ms().cast_unsigned());
    let stories = kills.div_ceil(KILLS_A_STORY);
    eprintln!("SEED={seed}: {} kills in {stories} stories", stories * KILLS_A_STORY);
    let mut next = 0..stories;
    let mut had = BTreeMap::new();
    while !next.is_empty() {
        let some: Vec<usize> = next.by_ref().take(AT_ONCE).collect();
        let threads: Vec<_> = some
            .into_iter()
            .map(|n| {
                let second = SECONDS[n % SECONDS.len()];
                std::thread::spawn(move || {
                    let runtime =
                        tokio::runtime::Builder::new_current_thread().enable_all().build();
                    let seed = seed.wrapping_add(n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                    runtime.expect("a runtime").block_on(story(second, seed))
                })
            })
            .collect();
        let told: Vec<_> = threads.into_iter().map(std::thread::JoinHandle::join).collect();
        assert!(told.iter().all(Result::is_ok), "SEED={seed} repeats it");
        for end in told.into_iter().flatten().flatten() {
            *had.entry(end).or_insert(0) += 1;
        }
    }
    eprintln!("{had:?}");
}

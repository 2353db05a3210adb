//! Everything that stops the daemon on its way, and what it does then: an orderly end, a second daemon, a wrong
//! configuration, the kill switch, a state directory that cannot be written.

use std::{
    fs,
    process::{Command, Output},
};

use rollbackd::{
    demo::shop::Behaviour,
    domain::{
        fact::Fact,
        run::{self, Outcome},
    },
    store::Record,
};
use rustix::process::{Pid, Resource, Rlimit, Signal};

use super::{
    journal, together,
    world::{SOON, Setup, World},
};
use crate::rig::{client, patiently};

/// A first step that takes until it is told to go on, or half a minute.
const DRAIN: &str = r#"
[service.shop.rollback.before.drain]
argv = ["/bin/sh", "-c", """
    echo drain >>{dir}/drains.log
    n=0
    while [ ! -e {dir}/go-on ] && [ $n -lt 300 ]; do sleep 0.1; n=$((n + 1)); done
"""]
observe = ["/bin/sh", "-c", "test -f {dir}/drains.log"]
timeout = "40s"
"#;

/// The step under way may end.
fn go_on(world: &World) {
    fs::write(world.dir().join("go-on"), "").expect("a file");
}

async fn rolling_back() -> World {
    let mut world = World::open(&Setup::with(Behaviour::Errors, DRAIN)).await;
    world.start().await;
    world.settled().await;
    world.stage.deploy("v2").expect("v2 is deployed");
    world.phase("rolling back").await;
    patiently("the first step is under way", SOON, async || {
        world.dir().join("drains.log").exists().then_some(())
    })
    .await;
    world
}

fn begun(journal: &[(Record, Fact)], wanted: usize) -> usize {
    let of_it =
        |fact: &Fact| matches!(fact, Fact::Run(run::Fact::Begun { step, .. }) if *step == wanted);
    journal.iter().filter(|(_, fact)| of_it(fact)).count()
}

fn drains(world: &World) -> usize {
    fs::read_to_string(world.dir().join("drains.log")).unwrap_or_default().lines().count()
}

/// Rolled back once, and closed.
async fn goes_on(world: World) -> Vec<(Record, Fact)> {
    world.incident("over", |i| i.line.closed.is_some()).await;
    assert_eq!(world.stage.linked().as_deref(), Some("v1"));
    assert_eq!(world.switched(), 2, "to v2 by us, back to v1 by the daemon");
    let journal = world.ended().await;
    assert_eq!(journal::planned(&journal), 1);
    journal
}

async fn an_orderly_end() {
    let mut world = rolling_back().await;
    terminate(&mut world);
    log_says(&world, STOPPING).await;
    go_on(&world);
    has_ended(&mut world).await;
    let ended = world.stage.daemon().and_then(|daemon| daemon.wait().ok()).expect("it has ended");
    assert!(ended.success(), "{ended}\n{}", world.log());
    let kept = journal::checked(&world.state_dir());
    assert_eq!(journal::outcomes(&kept, 0), [Outcome::Done], "the step under way was waited for");
    assert_eq!(begun(&kept, 1), 0, "and the next one was not begun");
    assert_eq!(world.stage.linked().as_deref(), Some("v2"));

    world.start().await;
    let world_drains = drains(&world);
    goes_on(world).await;
    assert_eq!(world_drains, 1);
}

async fn a_second_daemon() {
    let mut world = World::open(&Setup::with(Behaviour::Errors, "")).await;
    world.start().await;
    let holder = world.stage.daemon().expect("it runs").id();
    let config = world.stage.config();
    let second = tokio::task::spawn_blocking(move || run(&config)).await.expect("it runs");
    assert_eq!(second.status.code(), Some(75));
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains(&holder.to_string()), "it does not say who holds it: {said}");
    world.eye().explain().await.expect("the first daemon is as well as before");
    world.ended().await;
}

fn run(config: &std::path::Path) -> Output {
    let run = Command::new(env!("CARGO_BIN_EXE_rollbackd"))
        .args(["run", "--config"])
        .arg(config)
        .output();
    run.expect("the program can be started")
}

async fn a_wrong_configuration() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let path = home.path().join("rollbackd.toml");
    let text = "mode = \"atuo\"\nstate_dri = \"x\"\n[severity.P1]\nmonitor_for = \"0s\"\nact_within = \"soon\"\n\
                [service.shop.signal.health.http]\nurl = \"nowhere\"\n";
    fs::write(&path, text).expect("a file");
    let ran = run(&path);
    assert_eq!(ran.status.code(), Some(64));
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    for wrong in ["atuo", "state_dri", "soon", "nowhere"] {
        assert!(said.contains(wrong), "no word of `{wrong}` in\n{said}");
    }
}

async fn the_kill_switch() {
    let world = rolling_back().await;
    let hold = world.state_dir().join("HOLD");
    fs::write(&hold, "the database is being moved\n").expect("a file");
    let held =
        world.explained("the kill switch is seen", |e| e.service.kill_switch.is_some()).await;
    assert_eq!(held.service.kill_switch.as_deref(), Some("the database is being moved"));
    go_on(&world);
    world.incident("the first step ended", |i| i.attempts[0].ended.is_some()).await;
    // It stands: the windows hear of it again and again, and nothing follows.
    let seen = world.explained("another look", |e| e.now.0 > held.now.0 + 1500).await;
    assert_eq!(seen.service.incident.map(|i| i.phase).as_deref(), Some("rolling back"));
    assert_eq!(world.stage.linked().as_deref(), Some("v2"), "nothing after the step under way");
    fs::remove_file(hold).expect("the file is there");
    goes_on(world).await;
}

/// No file of this process may grow from now on, or any may again.
fn limit_files(pid: u32, bytes: Option<u64>) {
    let pid = Pid::from_raw(pid.cast_signed());
    let limit = Rlimit { current: bytes, maximum: None };
    rustix::process::prlimit(pid, Resource::Fsize, limit).expect("a limit of our own child");
}

async fn a_full_disk() {
    let mut world = World::open(&Setup::with(Behaviour::Errors, "")).await;
    world.start().await;
    world.settled().await;
    let pid = world.stage.daemon().expect("it runs").id();
    let ready = format!("http://127.0.0.1:{}/readyz", world.ports.http);
    let is_ready = async || {
        let answer = client().get(&ready).send().await.ok()?;
        Some((answer.status().as_u16(), answer.text().await.ok()?))
    };
    assert_eq!(is_ready().await.map(|(status, _)| status), Some(200));

    limit_files(pid, Some(0));
    let page = patiently("a page on the webhook", SOON, async || {
        world.told.pages_that_say("cannot write its journal").pop()
    });
    page.await;
    let (status, why) = is_ready().await.expect("it answers");
    assert_eq!(status, 503, "{why}");
    assert!(why.contains("cannot be written"), "{why}");
    world.stage.deploy("v2").expect("v2 is deployed");
    let before = world.eye().explain().await.expect("it answers").now.0;
    // Long enough for the trigger to have fired and the monitoring to have ended.
    let seen = world.explained("eight seconds later", |e| e.now.0 > before + 8_000).await;
    assert!(seen.service.incident.is_none(), "nothing is true that is not written");
    let why = seen.service.unwritable.expect("whoever looks is told first");
    assert!(why.contains("since"), "{why}");
    assert_eq!(world.stage.linked().as_deref(), Some("v2"));
    let pages = world.told.pages_that_say("cannot write its journal");
    assert_eq!(pages.len(), 1, "once, not with every event");

    limit_files(pid, None);
    patiently("it is ready again", SOON, async || {
        is_ready().await.filter(|(status, _)| *status == 200)
    })
    .await;
    goes_on(world).await;
}

/// What the daemon says when it is told to end.
const STOPPING: &str = "stopping after the steps under way";

fn terminate(world: &mut World) {
    world.signal(Signal::TERM);
}

pub(super) async fn has_ended(world: &mut World) {
    let stage = std::cell::RefCell::new(&mut world.stage);
    patiently("it ends", SOON, async || stage.borrow_mut().daemon_has_ended().then_some(())).await;
}

async fn log_says(world: &World, words: &str) {
    patiently(words, SOON, async || world.log().contains(words).then_some(())).await;
}

/// The first request waits for the step under way, the second does not.
async fn told_twice() {
    let mut world = rolling_back().await;
    terminate(&mut world);
    log_says(&world, STOPPING).await;
    terminate(&mut world);
    has_ended(&mut world).await;
    let kept = journal::checked(&world.state_dir());
    assert_eq!((begun(&kept, 0), begun(&kept, 1)), (1, 0));
    assert_eq!(journal::outcomes(&kept, 0), [], "it did not wait for the step");
    go_on(&world);
    world.start().await;
    goes_on(world).await;
}

/// A daemon that cannot start begins nothing and breaks nothing off, however often it is started; and it pages once, as
/// soon as somebody takes it.
async fn a_port_that_is_taken() {
    let mut world = rolling_back().await;
    let before = journal::read(&world.state_dir()).len();
    world.stage.kill_daemon().expect("the daemon is killed");
    let taken = tokio::net::TcpListener::bind(("127.0.0.1", world.ports.http)).await;
    let taken = taken.expect("the port was the daemon's");
    world.told.fail_next(2);
    for _ in 0..2 {
        let config = world.stage.config();
        let ran = tokio::task::spawn_blocking(move || run(&config)).await.expect("it runs");
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert!(!ran.status.success() && said.contains("cannot listen"), "{said}");
        let kept = journal::checked(&world.state_dir());
        assert_eq!(kept.len(), before, "nothing was decided");
    }
    assert_eq!(world.told.pages_that_say("cannot start").len(), 1, "not with every start");
    drop(taken);
    world.start().await;
    log_says(&world, "a program of an earlier daemon still runs").await;
    go_on(&world);
    let world_drains = drains(&world);
    goes_on(world).await;
    assert_eq!(world_drains, 1);
}

/// Whoever removes the lock lets another daemon in: this one must not go on acting.
async fn a_lock_that_was_removed() {
    let mut world = World::open(&Setup::with(Behaviour::Healthy, "")).await;
    world.start().await;
    fs::remove_file(world.state_dir().join("lock")).expect("the lock is removed");
    has_ended(&mut world).await;
    assert!(!world.told.pages_that_say("has lost its state directory").is_empty());
    log_says(&world, "the lease is lost").await;
    world.start().await;
    world.ended().await;
}

#[test]
fn what_stops_it_stops_it_safely() {
    together(&[
        ("an orderly end", || Box::pin(an_orderly_end())),
        ("a second daemon", || Box::pin(a_second_daemon())),
        ("a wrong configuration", || Box::pin(a_wrong_configuration())),
        ("the kill switch", || Box::pin(the_kill_switch())),
        ("a full disk", || Box::pin(a_full_disk())),
        ("told twice", || Box::pin(told_twice())),
        ("a port that is taken", || Box::pin(a_port_that_is_taken())),
        ("a lock that was removed", || Box::pin(a_lock_that_was_removed())),
    ]);
}

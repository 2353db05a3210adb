//! Disks that fail and journals that something has happened to, under the real daemon: it begins nothing, says what is
//! wrong in its log, on `/readyz`, in its metrics and on its channels, and the way out that it names is one.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
};

use rollbackd::{demo::shop::Behaviour, store::Reader};
use rustix::process::Pid;

use super::{
    journal, together,
    world::{SOON, Setup, World},
};
use crate::rig::{client, patiently};

/// A world with a journal worth having, whose daemon has ended, and a bad release that waits for the next one.
async fn with_a_journal() -> World {
    let mut world =
        World::open(&Setup::with(Behaviour::Errors, "[http]\nopen_metrics = true\n")).await;
    world.start().await;
    world.settled().await;
    let ended = world.stage.stop_daemon().expect("it ends");
    assert!(ended.success(), "{ended}");
    world.stage.deploy("v2").expect("v2 is deployed");
    world
}

fn damage(dir: &Path, how: impl FnOnce(&mut Vec<u8>)) {
    let path = dir.join("rollbackd.db");
    let mut bytes = fs::read(&path).expect("the database");
    how(&mut bytes);
    fs::write(path, bytes).expect("the database");
}

/// One bit of the newest record's text.
fn flip_in_the_newest_record(dir: &Path) {
    let all = journal::read(dir);
    let body = all.last().expect("there are records").0.fact.body.clone().into_bytes();
    damage(dir, |bytes| {
        let at = bytes.windows(body.len()).position(|w| w == body).expect("it is in the file");
        bytes[at + body.len() / 2] ^= 0x01;
    });
}

async fn answer(world: &World, path: &str) -> Option<(u16, String)> {
    let url = format!("http://127.0.0.1:{}{path}", world.ports.http);
    let answer = client().get(url).send().await.ok()?;
    Some((answer.status().as_u16(), answer.text().await.ok()?))
}

/// Started, the daemon refuses: every channel says so in these words, and nothing is begun.
async fn refuses(world: &mut World, words: &str) {
    let before = fs::read(world.state_dir().join("rollbackd.db")).expect("the database");
    world.stage.start_daemon().expect("it is started");
    says_so(world, words).await;
    world.stage.kill_daemon().expect("it is killed");
    let after = fs::read(world.state_dir().join("rollbackd.db")).expect("the database");
    assert!(before == after, "the journal was written to");
}

async fn says_so(world: &World, words: &str) {
    let said = patiently("it says on /readyz that it does nothing", SOON, async || {
        answer(world, "/readyz").await.filter(|(status, _)| *status == 503)
    });
    let (_, why) = said.await;
    assert!(why.contains(words), "/readyz does not say `{words}`: {why}");
    let (status, metrics) = answer(world, "/metrics").await.expect("it answers");
    assert_eq!(status, 200, "{metrics}");
    for line in ["rollbackd_cannot_start 1", "rollbackd_journal_writable 0"] {
        assert!(metrics.lines().any(|l| l == line), "no `{line}` in\n{metrics}");
    }
    assert_eq!(answer(world, "/healthz").await.map(|(status, _)| status), Some(200));
    let (status, why) = answer(world, "/v1/incidents").await.expect("it answers");
    assert!(status == 503 && why.contains(words), "{status} {why}");
    patiently("a page on the webhook", SOON, async || {
        world.told.pages_that_say("cannot start").pop().filter(|p| p.text("text").contains(words))
    })
    .await;
    assert!(world.log().contains(words), "{}", world.log());
    assert_eq!(world.stage.linked().as_deref(), Some("v2"), "nothing was done");
}

/// The program as somebody to whom permissions apply: root gives up what lets it write everywhere.
fn without_privilege() -> Command {
    let program = env!("CARGO_BIN_EXE_rollbackd");
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set", "-dac_override,-dac_read_search", program]);
    command
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
}

/// As a file system that the kernel made read-only: nothing in the directory can be written.
async fn a_read_only_directory() {
    let mut world = with_a_journal().await;
    let all = |mode: u32, of_dir: u32| {
        for file in fs::read_dir(world.state_dir()).expect("the directory") {
            set_mode(&file.expect("a file").path(), mode);
        }
        set_mode(&world.state_dir(), of_dir);
    };
    all(0o400, 0o500);
    let log = fs::File::options().append(true).open(world.stage.daemon_log()).expect("the log");
    let mut daemon = without_privilege();
    daemon.args(["run", "--config"]).arg(world.stage.config()).current_dir(world.dir());
    let mut daemon = daemon.stderr(log).spawn().expect("it is started");
    says_so(&world, "let that user write in it").await;
    let mut verify = without_privilege();
    let verify = verify.args(["journal", "verify", "--state-dir"]).arg(world.state_dir());
    let verified = verify.output().expect("it runs");
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    let pid = Pid::from_raw(daemon.id().cast_signed()).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it is told to end");
    assert_eq!(daemon.wait().expect("it ends").code(), Some(1), "before its minute is over");
    all(0o600, 0o700);
    world.start().await;
    world.incident("over", |i| i.line.closed.is_some()).await;
    world.ended().await;
}

fn cli(world: &World, what: &str, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollbackd"));
    let command = command.args(["journal", what, "--state-dir"]).arg(world.state_dir()).args(more);
    command.output().expect("it runs")
}

/// Rescues the journal, puts the new directory into the old one's place, and goes on until v2 is rolled back.
async fn rescued(mut world: World) {
    let into = world.dir().join("rescued");
    let ran = cli(&world, "rescue", &["--json", "--into", into.to_str().expect("a path")]);
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let said: serde_json::Value = serde_json::from_slice(&ran.stdout).expect("JSON");
    let held = said["rescued"]["complete"] == false;
    assert_eq!(into.join("HOLD").exists(), held, "{said:#}");
    fs::rename(world.state_dir(), world.dir().join("damaged")).expect("it is moved aside");
    fs::rename(into, world.state_dir()).expect("it is moved into place");
    world.start().await;
    if held {
        let seen = world.explained("it is held", |e| e.service.kill_switch.is_some()).await;
        let why = seen.service.kill_switch.expect("it is held");
        assert!(why.contains("was rescued without"), "{why}");
        fs::remove_file(world.state_dir().join("HOLD")).expect("the file is there");
    }
    // What is wrong with v2 is seen again, whatever was forgotten; a person may have to say where to go back to.
    world.incident("it is seen", |_| true).await;
    world.stage.kill_daemon().expect("it is killed");
}

async fn a_flipped_byte() {
    let mut world = with_a_journal().await;
    flip_in_the_newest_record(&world.state_dir());
    refuses(&mut world, "is broken at record").await;
    assert_eq!(cli(&world, "verify", &[]).status.code(), Some(65));
    rescued(world).await;
}

async fn a_journal_of_a_newer_version() {
    let mut world = with_a_journal().await;
    let path = world.state_dir().join("rollbackd.db");
    let set = |version: u32| {
        let behind = rusqlite::Connection::open(&path).expect("it can be opened");
        behind.pragma_update(None, "user_version", version).expect("it is set");
    };
    let known = {
        let behind = rusqlite::Connection::open(&path).expect("it can be opened");
        behind.pragma_query_value(None, "user_version", |row| row.get(0)).expect("a version")
    };
    set(7);
    refuses(&mut world, "was written by a newer rollbackd").await;
    assert_eq!(cli(&world, "export", &[]).status.code(), Some(69));
    // The way out is the newer program, to which nothing has happened.
    set(known);
    world.start().await;
    world.incident("over", |i| i.line.closed.is_some()).await;
    world.ended().await;
}

/// A daemon killed in the middle of a write: what was acknowledged is there, and it goes on by itself.
async fn a_torn_last_record() {
    let mut world = World::open(&Setup::with(Behaviour::Errors, "")).await;
    world.start().await;
    world.settled().await;
    world.stage.kill_daemon().expect("it is killed");
    let log = world.state_dir().join("rollbackd.db-wal");
    let bytes = fs::read(&log).expect("the log");
    // Half of another transaction's first page, as a write that did not get further.
    let mut torn = bytes.clone();
    torn.extend_from_slice(&bytes[32..32 + 2_000]);
    fs::write(&log, torn).expect("the log");
    let before = Reader::open(&world.state_dir()).and_then(|r| r.view().last_seq()).expect("read");
    assert_eq!(cli(&world, "verify", &[]).status.code(), Some(0));
    world.start().await;
    let after = Reader::open(&world.state_dir()).and_then(|r| r.view().last_seq()).expect("read");
    assert!(after >= before, "{after} of {before} records");
    world.ended().await;
}

#[test]
fn a_damaged_journal_is_told_everywhere_and_has_a_way_out() {
    together(&[
        ("a flipped byte", || Box::pin(a_flipped_byte())),
        ("a newer version", || Box::pin(a_journal_of_a_newer_version())),
        ("a read-only directory", || Box::pin(a_read_only_directory())),
        ("a torn last record", || Box::pin(a_torn_last_record())),
    ]);
}

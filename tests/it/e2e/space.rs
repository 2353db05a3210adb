//! A state directory on a small file system that is full at the start and in the middle, and a disk that hangs: nothing is
//! acted upon, every channel that works says so, and what waited goes on by itself, once.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    os::unix::fs::symlink,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use rollbackd::{demo::shop::Behaviour, domain::fact::Fact, store::Record};
use rustix::process::{Pid, Signal};

use super::{
    journal, together,
    world::{SOON, Setup, World},
};
use crate::rig::{client, patiently};

/// Time for everything that goes wrong here before it is late; what is late is people's.
const IN_NO_HURRY: &str = r#"
[http]
open_metrics = true
[severity.P1]
monitor_for = "5s"
act_within = "60s"
verify_within = "10m"
"#;

/// A file system of 4 MB that only this process and those who enter its namespace see where it is mounted.
struct Small {
    keeper: Child,
    at: PathBuf,
}

impl Small {
    /// Mounted at `{dir}/small`; `{dir}/state` leads there from outside.
    fn mount(world: &World) -> Self {
        let at = world.dir().join("small");
        fs::create_dir(&at).expect("a directory");
        let script = r#"mount -t tmpfs -o size=4m,mode=0700 none "$0" && echo mounted && exec cat"#;
        let mut keeper = Command::new("unshare");
        let keeper = keeper.args(Self::namespaces(&["--map-root-user"])).args(["sh", "-c", script]);
        let keeper = keeper.arg(&at).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut keeper = keeper.expect("unshare (Debian's util-linux) can be started");
        let mut said = String::new();
        let output = keeper.stdout.take().expect("its output is piped");
        BufReader::new(output).read_line(&mut said).expect("it says something");
        assert_eq!(said, "mounted\n", "a file system can be mounted in a namespace of its own");
        let inside = format!("/proc/{}/root{}", keeper.id(), at.display());
        symlink(&inside, world.state_dir()).expect("a link");
        Self { keeper, at: inside.into() }
    }

    /// Whoever is not root becomes it among its own.
    fn namespaces(of_users: &[&'static str]) -> Vec<&'static str> {
        let mut all = vec!["--mount"];
        if !rustix::process::geteuid().is_root() {
            all.push("--user");
            all.extend(of_users);
        }
        all
    }

    /// The program among those who see it.
    fn program(&self) -> Command {
        let mut program = Command::new("nsenter");
        program.args(["--target", &self.keeper.id().to_string()]);
        program.args(Self::namespaces(&["--preserve-credentials"]));
        program.args(["--", env!("CARGO_BIN_EXE_rollbackd")]);
        program
    }

    fn start_daemon(&self, world: &World) -> Child {
        let log = File::options().create(true).append(true).open(world.stage.daemon_log());
        let mut daemon = self.program();
        daemon.args(["run", "--config"]).arg(world.stage.config());
        daemon.stderr(log.expect("the log")).spawn().expect("nsenter can be started")
    }

    /// What the journal of a daemon that has ended holds. SQLite does not find its way into the namespace.
    fn journal(&self) -> Vec<(Record, Fact)> {
        let copy = tempfile::tempdir().expect("a temporary directory");
        for file in ["rollbackd.db", "rollbackd.db-wal"] {
            let from = self.at.join(file);
            if from.exists() {
                fs::copy(from, copy.path().join(file)).expect("a copy");
            }
        }
        journal::checked(copy.path())
    }

    /// Takes every byte that is left.
    fn fill(&self) {
        let mut file = File::create(self.at.join("filler")).expect("a file");
        let piece = [0; 4096];
        while file.write_all(&piece).is_ok() {}
    }

    fn free(&self) {
        fs::remove_file(self.at.join("filler")).expect("it was filled");
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

async fn answer(world: &World, path: &str) -> Option<(u16, String)> {
    let url = format!("http://127.0.0.1:{}{path}", world.ports.http);
    let answer = client().get(url).send().await.ok()?;
    Some((answer.status().as_u16(), answer.text().await.ok()?))
}

/// On `/readyz`, in the metrics, in the log and as a page.
async fn says_so(world: &World, ready: &str, metric: &str, page: &str) {
    patiently("a page", SOON, async || world.told.pages_that_say(page).pop()).await;
    patiently("/readyz says so", SOON, async || {
        answer(world, "/readyz").await.filter(|(status, why)| *status == 503 && why.contains(ready))
    })
    .await;
    patiently("the metrics say so", SOON, async || {
        let (_, metrics) = answer(world, "/metrics").await?;
        metrics.lines().any(|line| line == metric).then_some(())
    })
    .await;
    assert_eq!(answer(world, "/healthz").await.map(|(status, _)| status), Some(200));
}

fn end(mut daemon: Child) {
    let pid = Pid::from_raw(daemon.id().cast_signed()).expect("a pid");
    rustix::process::kill_process(pid, Signal::TERM).expect("it runs");
    daemon.wait().expect("it ends");
}

/// It is over, and was done once.
async fn went_on(world: &World) {
    let ended = world.incident("over", |i| i.line.closed.is_some());
    let Ok(over) = tokio::time::timeout(SOON - Duration::from_secs(1), ended).await else {
        panic!("not over: {}", world.get("/v1/services/shop/demo/explain").await)
    };
    assert_eq!(over.line.because.as_deref(), Some("rolled back and verified"), "{over:#?}");
    assert_eq!(world.stage.linked().as_deref(), Some("v1"));
    assert_eq!(world.switched(), 2, "to v2 by us, back to v1 by the daemon");
}

async fn a_file_system_that_is_full() {
    let config = format!("state_dir = \"{{dir}}/small\"\n{IN_NO_HURRY}");
    let mut world = World::open(&Setup::with(Behaviour::Errors, &config)).await;
    let small = Small::mount(&world);
    let daemon = small.start_daemon(&world);
    world.answers().await;
    world.settled().await;
    end(daemon);

    let before = small.journal().len();
    small.fill();
    let daemon = small.start_daemon(&world);
    says_so(&world, "look at free space", "rollbackd_cannot_start 1", "cannot start").await;
    end(daemon);
    let mut verify = small.program();
    let verify = verify.args(["journal", "verify", "--state-dir"]).arg(world.dir().join("small"));
    let verified = verify.output().expect("it runs");
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    assert_eq!(small.journal().len(), before, "no fact was made or lost");
    small.free();

    let daemon = small.start_daemon(&world);
    world.answers().await;
    world.settled().await;
    world.stage.deploy("v2").expect("v2 is deployed");
    world.phase("monitoring").await;
    small.fill();
    let unwritable = "rollbackd_journal_writable 0";
    says_so(&world, "cannot be written", unwritable, "cannot write its journal").await;
    // Long enough for the monitoring to have ended.
    let since = world.eye().explain().await.expect("it answers").now.0;
    world.explained("six seconds later", |e| e.now.0 > since + 6_000).await;
    assert_eq!(world.stage.linked().as_deref(), Some("v2"), "what cannot be written is not done");
    small.free();
    // A rollback, or a question to people: what was not seen meanwhile is a guard's to judge.
    world.incident("it goes on", |i| i.line.phase != "monitoring").await;
    end(daemon);
    let planned = journal::planned(&small.journal());
    let linked = world.stage.linked();
    assert!(planned <= 1, "{planned} rollbacks");
    assert!(planned == 1 || linked.as_deref() == Some("v2"), "{linked:?} without a plan");
}

/// As a disk that does not end a write: here another program has the database locked, and it is waited for.
async fn a_disk_that_hangs() {
    let config = format!("{IN_NO_HURRY}\n[store]\nbusy_wait = \"60s\"\n");
    let mut world = World::open(&Setup::with(Behaviour::Errors, &config)).await;
    world.start().await;
    world.settled().await;
    world.stage.deploy("v2").expect("v2 is deployed");
    world.phase("monitoring").await;
    let other = rusqlite::Connection::open(world.state_dir().join("rollbackd.db"));
    let other = other.expect("the database can be opened");
    other.busy_timeout(SOON).expect("a timeout");
    other.execute_batch("BEGIN IMMEDIATE").expect("it is locked");
    let stands_still = "rollbackd_event_loop_answers 0";
    says_so(&world, "the event loop does not answer", stands_still, "stands still").await;
    let pages = world.told.pages_that_say("stands still").len();
    assert_eq!(world.stage.linked().as_deref(), Some("v2"), "nothing was done");
    other.execute_batch("ROLLBACK").expect("it is let go");
    went_on(&world).await;
    assert_eq!(pages, 1, "once");
    assert!(world.log().contains("the event loop answers again"), "{}", world.log());
    let (_, metrics) = answer(&world, "/metrics").await.expect("it answers");
    assert!(metrics.lines().any(|line| line == "rollbackd_event_loop_answers 1"), "{metrics}");
    assert_eq!(journal::planned(&world.ended().await), 1);
}

/// Nothing has failed yet, and nothing is ready: only whoever waits for it knows.
async fn a_disk_that_hangs_at_the_start() {
    let config = format!("{IN_NO_HURRY}\n[store]\nbusy_wait = \"60s\"\n");
    let mut world = World::open(&Setup::with(Behaviour::Healthy, &config)).await;
    world.start().await;
    world.settled().await;
    assert!(world.stage.stop_daemon().expect("it ends").success());
    let other = rusqlite::Connection::open(world.state_dir().join("rollbackd.db"));
    let other = other.expect("the database can be opened");
    other.execute_batch("BEGIN IMMEDIATE").expect("it is locked");
    world.stage.start_daemon().expect("it is started");
    says_so(&world, "the disk under it hangs", "rollbackd_cannot_start 1", "cannot start").await;
    assert!(world.log().contains("the disk under it hangs"), "{}", world.log());
    other.execute_batch("ROLLBACK").expect("it is let go");
    world.answers().await;
    patiently("the metrics say that it could", SOON, async || {
        let (_, metrics) = answer(&world, "/metrics").await?;
        let is = |wanted: &str| metrics.lines().any(|line| line == wanted);
        (is("rollbackd_cannot_start 0") && is("rollbackd_journal_writable 1")).then_some(())
    })
    .await;
    assert_eq!(world.told.pages_that_say("cannot start").len(), 1, "once");
    world.ended().await;
}

#[test]
fn a_full_or_hanging_disk_is_told_everywhere_and_nothing_is_done_twice() {
    together(&[
        ("a file system that is full", || Box::pin(a_file_system_that_is_full())),
        ("a disk that hangs", || Box::pin(a_disk_that_hangs())),
        ("a disk that hangs at the start", || Box::pin(a_disk_that_hangs_at_the_start())),
    ]);
}

//! A machine booted by a real systemd (`tests/rig/machine`): gone when the value is dropped, and when the test is killed.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Output, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::rig::patiently;

/// Longer than anything takes here, on a machine that is busy with other tests.
pub(super) const SOON: Duration = Duration::from_secs(45);

/// The machine.
#[derive(Debug)]
pub(super) struct Machine {
    home: TempDir,
    boot: Child,
    /// The machine ends when this does.
    lives: Option<ChildStdin>,
    console: Arc<Mutex<String>>,
}

impl Machine {
    /// Boots one with nothing in it but what Debian's systemd starts.
    pub(super) fn boot() -> Self {
        let home = TempDir::new().expect("a temporary directory");
        let mut boot = script(home.path())
            .arg("boot")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the rig's script can be started");
        let lives = boot.stdin.take();
        let console = Arc::<Mutex<String>>::default();
        let (mut said, kept) = (boot.stderr.take().expect("piped"), Arc::clone(&console));
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = said.read(&mut piece) {
                let text = String::from_utf8_lossy(&piece[..length]);
                kept.lock().expect("the console's lock").push_str(&text);
            }
        });
        let mut lines = BufReader::new(boot.stdout.take().expect("piped")).lines();
        let machine = Self { home, boot, lives, console };
        let first = lines.next().and_then(Result::ok);
        assert_eq!(first.as_deref(), Some("ready"), "{}", machine.console());
        machine
    }

    /// A machine with the daemon's program and unit, as a person installs them by the README; not started.
    pub(super) fn with_daemon() -> Self {
        let machine = Self::boot();
        let program = fs::read(env!("CARGO_BIN_EXE_rollbackd")).expect("the program");
        machine.put("/usr/bin/rollbackd", 0o755, &program);
        machine.put_shipped("rollbackd.service", "/etc/systemd/system/rollbackd.service");
        machine
    }

    fn console(&self) -> String {
        self.console.lock().expect("the console's lock").clone()
    }

    /// Runs a shell script in it as root.
    pub(super) fn ran(&self, shell: &str, input: &[u8]) -> Output {
        let mut child = script(self.home.path())
            .args(["run", "/bin/bash", "-euc", shell])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the rig's script can be started");
        // What does not read its input ends before all of it is written.
        let _ = child.stdin.take().expect("piped").write_all(input);
        child.wait_with_output().expect("it ends")
    }

    /// Runs a shell script that must succeed, and returns what it printed.
    pub(super) fn run(&self, shell: &str) -> String {
        let output = self.ran(shell, b"");
        let (said, wrong) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "`{shell}`: {}\n{said}{wrong}", output.status);
        said.trim().to_owned()
    }

    /// Writes a file.
    pub(super) fn put(&self, path: &str, mode: u32, bytes: &[u8]) {
        let shell = format!("install -D -m {mode:o} /dev/stdin '{path}'");
        let output = self.ran(&shell, bytes);
        assert!(output.status.success(), "{path}: {output:?}");
    }

    /// Copies a file of the project's `systemd/`.
    pub(super) fn put_shipped(&self, name: &str, path: &str) {
        self.put(path, 0o644, &shipped(name));
    }

    /// A drop-in of the test's own for the daemon's unit.
    pub(super) fn drop_in(&self, name: &str, text: &str) {
        let path = format!("/etc/systemd/system/rollbackd.service.d/{name}.conf");
        self.put(&path, 0o644, text.as_bytes());
        self.run("systemctl daemon-reload");
    }

    /// One property of a unit.
    pub(super) fn property(&self, unit: &str, name: &str) -> String {
        self.run(&format!("systemctl show --property {name} --value {unit}"))
    }

    /// Waits until a shell script succeeds, and returns what it printed.
    pub(super) async fn until(&self, what: &str, shell: &str) -> String {
        patiently(what, SOON, async || {
            let output = self.ran(shell, b"");
            let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            output.status.success().then_some(said)
        })
        .await
    }

    /// What the daemon's own command line answers, as JSON.
    pub(super) fn asked(&self, command: &str) -> Value {
        let said = self.run(&format!("rollbackd {command} --json"));
        serde_json::from_str(&said).unwrap_or_else(|why| panic!("{why}: {said}"))
    }

    /// What journald has of the daemon's unit, in order.
    pub(super) fn logged(&self) -> Vec<Value> {
        let said = self.run("journalctl --unit rollbackd --output json --all --no-pager");
        said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// Waits for an entry of the daemon's in journald.
    pub(super) async fn told(&self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        patiently(what, SOON, async || self.logged().into_iter().find(|entry| is(entry))).await
    }
}

impl Drop for Machine {
    #[expect(clippy::print_stderr, reason = "a failed story shows what its machine said")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            let journal =
                self.ran("journalctl --no-pager --output short-precise | tail -n 150", b"");
            eprintln!("--- console\n{}", self.console());
            eprintln!("--- journal\n{}", String::from_utf8_lossy(&journal.stdout));
        }
        drop(self.lives.take());
        let _ = self.boot.wait();
    }
}

/// A file of the project's `systemd/`.
pub(super) fn shipped(name: &str) -> Vec<u8> {
    let path = root().join("systemd").join(name);
    fs::read(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

pub(super) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn script(home: &Path) -> Command {
    let mut command = Command::new(root().join("tests/rig/machine"));
    command.env("RIG_DIR", home);
    command
}

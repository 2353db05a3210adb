//! The real Flyway: its command line on a directory of scripts, against one database.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use rollbackd::databases::Kind;
use serde_json::Value;
use tempfile::TempDir;

use super::server::Fresh;

/// Scripts, and where they are run.
#[derive(Debug)]
pub(crate) struct Flyway {
    scripts: TempDir,
    arguments: Vec<String>,
}

impl Flyway {
    /// Without scripts.
    pub(crate) fn of(database: &Fresh<'_>) -> Self {
        let scripts = TempDir::new().expect("a temporary directory");
        let (port, name) = (database.server.port(), &database.name);
        let url = match database.kind {
            Kind::Postgresql => format!("jdbc:postgresql://127.0.0.1:{port}/{name}"),
            Kind::Mysql => format!("jdbc:mariadb://127.0.0.1:{port}/{name}"),
        };
        let arguments = vec![
            format!("-url={url}"),
            format!("-user={}", database.server.administrator()),
            format!("-password={}", database.server.password()),
            format!("-locations=filesystem:{}", scripts.path().display()),
            "-outputType=json".to_owned(),
        ];
        Self { scripts, arguments }
    }

    /// Adds a script, or changes it: `V1__orders.sql`.
    pub(crate) fn script(&self, name: &str, sql: &str) -> &Self {
        fs::write(self.scripts.path().join(name), sql).expect("the directory can be written");
        self
    }

    pub(crate) fn remove(&self, name: &str) -> &Self {
        fs::remove_file(self.scripts.path().join(name)).expect("it is there");
        self
    }

    /// Runs a command, with further arguments before it, to its end.
    async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(arguments);
        let output = tokio::task::spawn_blocking(move || command.output());
        output.await.expect("it is waited for").expect("setpriv (util-linux) can be started")
    }

    /// The same, which must succeed; what it said.
    pub(crate) async fn succeed(&self, arguments: &[&str]) -> Value {
        let said = self.said(arguments).await;
        assert!(said["error"].is_null(), "{arguments:?}: {said}");
        said
    }

    /// What it said, right or wrong. Flyway 12.5 ends with 0 also where a migration failed.
    pub(crate) async fn said(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments).await;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let wrong = String::from_utf8_lossy(&output.stderr);
        let json = said.find('{').map(|at| &said[at..]).unwrap_or_default();
        serde_json::from_str(json).unwrap_or_else(|fault| {
            panic!("{fault}; if it is missing run tests/rig/flyway install\n{said}{wrong}")
        })
    }

    /// Begins a command that takes long; it is killed when that is dropped.
    pub(crate) fn begin(&self, arguments: &[&str]) -> Running {
        let mut command = self.command(arguments);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Running(child.expect("setpriv (util-linux) can be started"))
    }

    /// How somebody else runs it.
    pub(crate) fn argv(&self, arguments: &[&str]) -> Vec<String> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rig/flyway");
        let own = [script.display().to_string(), "run".to_owned()].into_iter();
        let further = arguments.iter().map(|text| (*text).to_owned());
        own.chain(self.arguments.iter().cloned()).chain(further).collect()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rig/flyway");
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(script).arg("run");
        command.args(&self.arguments).args(arguments).stdin(Stdio::null());
        command
    }
}

/// A Flyway that is at work.
#[derive(Debug)]
pub(crate) struct Running(Child);

impl Running {
    /// As `kill -9` does.
    pub(crate) fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// Waits for its end; whether it succeeded.
    pub(crate) async fn end(mut self) -> bool {
        let ended = tokio::task::spawn_blocking(move || self.0.wait());
        ended.await.expect("it is waited for").expect("it ends").success()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

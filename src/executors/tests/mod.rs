//! Steps carried out for real: real processes, real directories.

mod commands;
mod maintenance;
mod orphans;
mod releases;

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{Options, carry_out};
use crate::{
    domain::{
        plan::{Action, CommandLine, EnvValue, Step},
        run::{Order, Outcome, Report},
    },
    store::{self, Lease, Store},
    units::Span,
};

/// A state directory and a place for scripts, with a lease that is held.
struct Bench {
    dir: tempfile::TempDir,
    options: Options,
    lease: Lease,
    _store: Store,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = Options::new(dir.path().to_owned()).unwrap();
        let store = Store::open(store::Options::new(dir.path())).unwrap();
        let lease = store.lease().clone();
        Self { dir, options, lease, _store: store }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn hold(&self) {
        fs::write(self.path("HOLD"), "").unwrap();
    }

    /// A script and the command line that runs it in the bench's directory.
    fn script(&self, name: &str, text: &str) -> CommandLine {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        line(&["/bin/sh", &path.display().to_string()])
    }

    async fn carry_out(&self, order: &Order) -> Report {
        carry_out(order, &self.options, &self.lease).await
    }

    fn has_records(&self) -> bool {
        fs::read_dir(self.path("children")).is_ok_and(|mut entries| entries.next().is_some())
    }
}

fn line(argv: &[&str]) -> CommandLine {
    let argv = argv.iter().map(|&arg| arg.to_owned()).collect();
    CommandLine { argv, env: [].into(), dir: None, timeout: Span::seconds(20) }
}

fn order(action: Action) -> Order {
    let what = Step {
        title: "a step".into(),
        action,
        needs: vec![],
        timeout: Span::seconds(20),
        attempts: 1,
        fallback: None,
    };
    Order { run: "run-1".into(), step: 0, attempt: 1, fallback: false, resumed: false, what }
}

fn within(mut order: Order, timeout: Span) -> Order {
    order.what.timeout = timeout;
    order
}

fn resumed(mut order: Order) -> Order {
    order.resumed = true;
    order
}

fn command(run: CommandLine, observe: Option<CommandLine>, idempotent: bool) -> Order {
    order(Action::Command { run, observe, idempotent })
}

/// Panics with what was seen unless it failed; gives the reason and whether to try again.
fn failure(report: &Report) -> (&str, bool) {
    let Outcome::Failed { why, retry } = &report.outcome else { panic!("{report:?}") };
    (why, *retry)
}

fn unknown(report: &Report) -> &str {
    let Outcome::Unknown { why } = &report.outcome else { panic!("{report:?}") };
    why
}

fn secret_in(path: &Path) -> EnvValue {
    EnvValue::File(path.display().to_string())
}

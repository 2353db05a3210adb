//! An AWS for all tests of this process: on loopback, gone with it. Each test has names of its own there.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use rollbackd::{
    aws::{Access, Account, Clients},
    demo::port::ReservedPort,
};
use tempfile::TempDir;

use crate::rig::Script;

/// How long it may take to start, on a machine that is busy with the other tests.
const START_MAX: Duration = Duration::from_secs(120);

/// What `tests/rig/aws serve` runs. It ends when its standard input does.
#[derive(Debug)]
pub(crate) struct Server {
    _script: Script,
    home: TempDir,
    port: ReservedPort,
}

impl Server {
    fn start() -> Self {
        let home = TempDir::new().expect("a temporary directory");
        let port = ReservedPort::reserve().expect("a port");
        let number = port.number.to_string();
        let (script, _) = Script::serve(("aws", home.path()), &[], &[("PORT", &number)], START_MAX);
        Self { _script: script, home, port }
    }

    /// The one that all tests share.
    pub(crate) async fn shared() -> &'static Self {
        static SHARED: OnceLock<Server> = OnceLock::new();
        let shared = tokio::task::spawn_blocking(|| SHARED.get_or_init(Self::start));
        shared.await.expect("it starts")
    }

    pub(crate) fn port(&self) -> u16 {
        self.port.number
    }

    /// Without a slash at the end.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port())
    }

    /// How it is reached, by keys that it takes as it takes any.
    pub(crate) fn access(&self, name: &str) -> Access {
        self.access_through(name, &self.url())
    }

    /// The same by way of whatever stands before it.
    pub(crate) fn access_through(&self, name: &str, endpoint: &str) -> Access {
        let mut access = Access::new(name, "eu-central-1");
        access.endpoint = Some(endpoint.to_owned());
        access.credentials_file = Some(credentials(self.home.path(), name, "test"));
        access
    }

    /// Clients of its services, of a test's own: connections end with the test that opened them.
    pub(crate) async fn clients(&self) -> Clients {
        Account::of(&self.access(&unique("clients"))).expect("it can be opened").to_look().await
    }
}

/// A file with this key, called as what it is for.
pub(crate) fn credentials(home: &Path, name: &str, key: &str) -> PathBuf {
    let path = home.join(format!("{name}.credentials"));
    let text = format!("[default]\naws_access_key_id = {key}\naws_secret_access_key = hunter2\n");
    // Whole at any moment: another test may be reading it.
    let new = home.join(unique("credentials"));
    fs::write(&new, text).expect("the directory can be written");
    fs::rename(&new, &path).expect("the directory can be written");
    path
}

/// A name that no other test has.
pub(crate) fn unique(name: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("{name}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

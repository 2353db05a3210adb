//! An AWS for all tests of this process: on loopback, gone with it. Each test has names of its own there.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    time::Duration,
};

use rollbackd::{
    aws::{Access, Account, Clients},
    demo::port::ReservedPort,
};
use tempfile::TempDir;

/// How long it may take to start, on a machine that is busy with the other tests.
const START_MAX: Duration = Duration::from_secs(120);

/// What `tests/rig/aws serve` runs. It ends when its standard input does.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    input: Option<ChildStdin>,
    home: TempDir,
    port: ReservedPort,
}

impl Server {
    fn start() -> Self {
        let home = TempDir::new().expect("a temporary directory");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rig/aws");
        let port = ReservedPort::reserve().expect("a port");
        let mut child = Command::new(script)
            .args([Path::new("serve"), home.path()])
            .env("PORT", port.number.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the script can be started");
        let (input, output) = (child.stdin.take(), child.stdout.take().expect("it is piped"));
        let (said, lines) = mpsc::channel();
        // Ends with the process, whose end closes the pipe.
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let _ = said.send(line);
            }
        });
        loop {
            match lines.recv_timeout(START_MAX) {
                Ok(line) if line == "ready" => break,
                Ok(_) => {}
                Err(_) => panic!("it did not start; if it is missing run `tests/rig/aws install`"),
            }
        }
        Self { child, input, home, port }
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

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
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

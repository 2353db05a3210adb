//! A real API server with its controllers for one test, or for all of them: on loopback, gone with the test's process.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Mutex, OnceLock, mpsc},
    time::Duration,
};

use kube::{Client, Config, config::Kubeconfig};
use rollbackd::demo::port::ReservedPort;
use tempfile::TempDir;

/// How long it may take to start, or to do as it is told, on a machine that is busy with the other tests.
const START_MAX: Duration = Duration::from_secs(150);

/// What `tests/rig/kubernetes serve` runs. It ends when its standard input does.
#[derive(Debug)]
pub(crate) struct Cluster {
    child: Child,
    input: Option<ChildStdin>,
    lines: Mutex<mpsc::Receiver<String>>,
    home: TempDir,
    _ports: [ReservedPort; 3],
}

impl Cluster {
    /// One for this test alone, which may kill parts of it.
    pub(crate) fn start() -> Self {
        let home = TempDir::new().expect("a temporary directory");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rig/kubernetes");
        let ports = [(); 3].map(|()| ReservedPort::reserve().expect("a port"));
        let mut child = Command::new(script)
            .args([Path::new("serve"), home.path(), Path::new("--remove")])
            .env("PORT", ports[0].number.to_string())
            .env("ETCD_PORT", ports[1].number.to_string())
            .env("PEER_PORT", ports[2].number.to_string())
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
        let cluster = Self { child, input, lines: Mutex::new(lines), home, _ports: ports };
        cluster.wait_for("ready");
        cluster
    }

    /// One that all tests share, each in a namespace of its own.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// `kill apiserver`, `start apiserver`: returns when it is done.
    pub(crate) fn tell(&mut self, what: &str) {
        let input = self.input.as_mut().expect("it was not dropped");
        writeln!(input, "{what}").expect("the script reads");
        self.wait_for(&format!("done: {what}"));
    }

    fn wait_for(&self, line: &str) {
        let lines = self.lines.lock().expect("the lines' lock");
        loop {
            match lines.recv_timeout(START_MAX) {
                Ok(said) if said == line => return,
                Ok(_) => {}
                Err(_) => panic!(
                    "no `{line}`; if its programs are missing run `tests/rig/kubernetes install`"
                ),
            }
        }
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.home.path().join("kubeconfig")
    }

    /// A client with every right.
    pub(crate) async fn client(&self) -> Client {
        // Installs the TLS provider.
        crate::rig::client();
        let file = Kubeconfig::read_from(self.kubeconfig()).expect("the script wrote it");
        let config = Config::from_custom_kubeconfig(file, &Default::default()).await;
        Client::try_from(config.expect("a whole kubeconfig")).expect("a client can be built")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}

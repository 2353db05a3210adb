//! A real API server with its controllers for one test, or for all of them: on loopback, gone with the test's process.

use std::{path::PathBuf, sync::OnceLock, time::Duration};

use kube::{Client, Config, config::Kubeconfig};
use rollbackd::demo::port::ReservedPort;
use tempfile::TempDir;

use crate::rig::Script;

/// How long it may take to start, or to do as it is told, on a machine that is busy with the other tests.
const START_MAX: Duration = Duration::from_secs(150);

/// What `tests/rig/kubernetes serve` runs. It ends when its standard input does.
#[derive(Debug)]
pub(crate) struct Cluster {
    script: Script,
    home: TempDir,
    _ports: [ReservedPort; 3],
}

impl Cluster {
    /// One for this test alone, which may kill parts of it.
    pub(crate) fn start() -> Self {
        let home = TempDir::new().expect("a temporary directory");
        let ports = [(); 3].map(|()| ReservedPort::reserve().expect("a port"));
        let [own, etcd, peer] = ports.each_ref().map(|port| port.number.to_string());
        let variables = [("PORT", own.as_str()), ("ETCD_PORT", &etcd), ("PEER_PORT", &peer)];
        let served = ("kubernetes", home.path());
        let (script, _) = Script::serve(served, &["--remove"], &variables, START_MAX);
        Self { script, home, _ports: ports }
    }

    /// One that all tests share, each in a namespace of its own.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// `kill apiserver`, `start apiserver`: returns when it is done.
    pub(crate) fn tell(&mut self, what: &str) {
        self.script.tell(what);
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

//! A real PostgreSQL or MariaDB for one test, or for all of them: on loopback, gone with the test's process.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use rollbackd::{
    databases::{Database, Kind, Options, Session, Tls},
    demo::port::ReservedPort,
    units::{Secret, Span},
};
use tempfile::TempDir;

use crate::rig::Script;

/// How long it may take to start, or to do as it is told, on a machine that is busy with the other tests.
pub(super) const START_MAX: Duration = Duration::from_secs(120);

/// Both servers that there are.
pub(crate) const BOTH: [Kind; 2] = [Kind::Postgresql, Kind::Mysql];

/// What `tests/rig/postgresql serve` or `tests/rig/mariadb serve` runs. It ends when its standard input does.
#[derive(Debug)]
pub(crate) struct Server {
    kind: Kind,
    script: Script,
    said: BTreeMap<String, String>,
    home: TempDir,
    _port: ReservedPort,
}

impl Server {
    /// One for this test alone, which may kill it.
    pub(crate) fn start(kind: Kind) -> Self {
        Self::started(kind, &[])
    }

    /// Another of its kind, with its administrator's password.
    pub(crate) fn like(other: &Self) -> Self {
        Self::started(other.kind, &[("PASSWORD", other.password())])
    }

    /// One that can be replicated, and one that replicates it once it is told to: PostgreSQL's is told by how it is made.
    pub(crate) fn with_a_replica(kind: Kind) -> [Self; 2] {
        let primary = Self::started(kind, &[("SERVER_ID", "1")]);
        let (port, password) = (primary.port().to_string(), primary.password().to_owned());
        let replica =
            [("SERVER_ID", "2"), ("REPLICA_OF", port.as_str()), ("PASSWORD", password.as_str())];
        let replica = Self::started(kind, &replica);
        [primary, replica]
    }

    fn started(kind: Kind, with: &[(&str, &str)]) -> Self {
        let home = TempDir::new().expect("a temporary directory");
        let port = ReservedPort::reserve().expect("a port");
        let number = port.number.to_string();
        let variables = [&[("PORT", number.as_str())], with].concat();
        let served = (script(kind), home.path());
        let (script, told) = Script::serve(served, &["--remove"], &variables, START_MAX);
        let told = told.iter().filter_map(|line| line.split_once('='));
        let said = told.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { kind, script, said, home, _port: port }
    }

    /// One that all tests share, each with databases of its own.
    pub(crate) fn shared(kind: Kind) -> &'static Self {
        static POSTGRESQL: OnceLock<Server> = OnceLock::new();
        static MARIADB: OnceLock<Server> = OnceLock::new();
        let shared = match kind {
            Kind::Postgresql => &POSTGRESQL,
            Kind::Mysql => &MARIADB,
        };
        shared.get_or_init(|| Self::start(kind))
    }

    /// `kill server`, `start server`, `freeze server`, `thaw server`: returns when it is done.
    pub(crate) fn tell(&self, what: &str) {
        self.script.tell(what);
    }

    pub(crate) fn port(&self) -> u16 {
        self.said["port"].parse().expect("a port")
    }

    /// Of who may do everything: `postgres` or `admin`.
    pub(crate) fn password(&self) -> &str {
        &self.said["password"]
    }

    /// The certificate of the authority that signed the server's.
    pub(crate) fn authority(&self) -> PathBuf {
        self.home.path().join("ca.crt")
    }

    /// One of somebody else.
    pub(crate) fn other_authority(&self) -> PathBuf {
        self.home.path().join("other.crt")
    }

    pub(crate) fn administrator(&self) -> &'static str {
        match self.kind {
            Kind::Postgresql => "postgres",
            Kind::Mysql => "admin",
        }
    }

    /// How its administrator reaches a database of it.
    pub(crate) fn options(&self, database: &str) -> Options {
        let scheme = match self.kind {
            Kind::Postgresql => "postgres",
            Kind::Mysql => "mysql",
        };
        let user = self.administrator();
        let url = format!("{scheme}://{user}@127.0.0.1:{}/{database}", self.port());
        let mut options = Options::new("shop", Database::parse(&url).expect("a legal URL"));
        options.password = Some(Secret::new(self.password()));
        options.tls = Tls::Off;
        options.statement_timeout = Span::seconds(60);
        options
    }
}

fn script(kind: Kind) -> &'static str {
    match kind {
        Kind::Postgresql => "postgresql",
        Kind::Mysql => "mariadb",
    }
}

/// An empty database of a test's own.
#[derive(Debug)]
pub(crate) struct Fresh<'s> {
    pub(crate) server: &'s Server,
    pub(crate) kind: Kind,
    pub(crate) name: String,
}

impl Fresh<'static> {
    /// On the server that all tests share.
    pub(crate) async fn of(kind: Kind) -> Self {
        let server = tokio::task::spawn_blocking(move || Server::shared(kind));
        Fresh::on(server.await.expect("it starts")).await
    }
}

impl<'s> Fresh<'s> {
    pub(crate) async fn on(server: &'s Server) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("shop_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let first = match server.kind {
            Kind::Postgresql => "postgres",
            Kind::Mysql => "mysql",
        };
        let mut session = Session::open_to_write(&server.options(first)).await.expect("it answers");
        session.rows(&format!("CREATE DATABASE {name}")).await.expect("a database is created");
        Self { server, kind: server.kind, name }
    }

    /// How its administrator reaches it.
    pub(crate) fn options(&self) -> Options {
        self.server.options(&self.name)
    }

    /// Runs statements as its administrator; the rows of them.
    pub(crate) async fn run(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        let mut session = Session::open_to_write(&self.options()).await.expect("it answers");
        session.rows(sql).await.unwrap_or_else(|fault| panic!("{sql}: {fault}"))
    }

    /// Somebody who may do what these grants say, `{}` standing for the name: its options.
    pub(crate) async fn user(&self, name: &str, grants: &[&str]) -> Options {
        let of_this = format!("{name}_{}", self.name);
        let (who, create) = match self.kind {
            Kind::Postgresql => {
                (of_this.clone(), format!("CREATE ROLE {of_this} LOGIN PASSWORD 'hunter2'"))
            }
            Kind::Mysql => {
                let who = format!("{of_this}@'127.0.0.1'");
                (who.clone(), format!("CREATE USER {who} IDENTIFIED BY 'hunter2'"))
            }
        };
        self.run(&create).await;
        for grant in grants {
            self.run(&grant.replace("{}", &who)).await;
        }
        let mut options = self.options();
        options.database.user = of_this;
        options.password = Some(Secret::new("hunter2"));
        options
    }
}

//! An instance of RDS with its snapshots, and who makes another one of them. What RDS says of itself is said by the proxy: how far it is
//! with one, by which tag it was made, and where it answers.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
};

use rollbackd::{
    aws::{Access, Clients, address::Keys},
    domain::{
        plan::{Action, SchemaAt, Step},
        rds::{Candidate, Endpoint, Form, RUN_TAG, RdsAt, RdsRestore, Seen},
        run::{Order, Outcome, Report},
        secret::SecretAt,
    },
    executors::{self, rds::Place},
    store::{self, Store},
    units::Span,
};
use tempfile::TempDir;

use super::super::{
    proxy::{Proxy, Twist},
    server::{Server, unique},
};
use crate::databases::histories::history;

pub(super) const RUN: &str = "run-7";
pub(crate) const RESTORE: &str = "RestoreDBInstanceFromDBSnapshot";

/// What is said of one instance or cluster.
#[derive(Clone, Debug, Default)]
pub(crate) struct Face {
    /// Its statuses, one for each look; what it is after them it is in truth.
    pub(crate) statuses: VecDeque<&'static str>,
    /// Where it answers.
    pub(crate) endpoint: Option<Endpoint>,
    /// Whose tag it has.
    pub(crate) run: Option<String>,
}

type Faces = Arc<Mutex<BTreeMap<String, Face>>>;

/// An instance with two snapshots.
pub(crate) struct Bench {
    pub(crate) proxy: Proxy,
    pub(crate) access: Access,
    pub(crate) clients: Clients,
    pub(super) form: Form,
    pub(crate) name: String,
    pub(crate) secret: String,
    pub(super) executor: executors::Options,
    pub(super) home: TempDir,
    pub(crate) faces: Faces,
    store: Store,
}

impl Bench {
    /// Its settings are none of the usual ones.
    pub(crate) async fn new(name: &str) -> Self {
        let bench = Self::without_anything(name, Form::Instance).await;
        let rds = bench.clients.rds();
        let made = rds.create_db_instance().db_instance_identifier(&bench.name);
        let made = made.engine("postgres").engine_version("15.4").db_instance_class("db.m6g.large");
        let made = made.allocated_storage(100).storage_type("gp3").multi_az(true);
        let made = made.master_username("app").master_user_password("hunter2hunter2");
        Box::pin(made.send()).await.unwrap();
        for snapshot in ["older", "newest"] {
            bench.snapshot(snapshot).await;
        }
        bench.face(&bench.name.clone(), |face| face.endpoint = Some(old()));
        bench
    }

    pub(super) async fn without_anything(name: &str, form: Form) -> Self {
        let server = Server::shared().await;
        let proxy = Proxy::before(&server.url()).await;
        let own = unique(name);
        let mut access = server.access_through(&own, &proxy.url());
        access.attempts = 1;
        let (clients, name, secret) = (server.clients().await, unique(name), unique("db-secret"));
        let home = TempDir::new().unwrap();
        let store = Store::open(store::Options::new(home.path())).unwrap();
        let executor = executors::Options::new(home.path().to_owned()).unwrap();
        executor.accounts.adopt([("main".to_owned(), access.clone())].into());
        let faces = Faces::default();
        let known = Arc::clone(&faces);
        let said = move |_: &str, answer: &str| reworded(answer, &known);
        for action in ["DescribeDBInstances", "DescribeDBClusters"] {
            proxy.twist(action, usize::MAX, Twist::Reword(Arc::new(said.clone())));
        }
        Self { proxy, access, clients, form, name, secret, executor, home, faces, store }
    }

    pub(super) async fn snapshot(&self, name: &str) {
        let asked = self.clients.rds().create_db_snapshot();
        let asked = asked.db_snapshot_identifier(format!("{}-{name}", self.name));
        asked.db_instance_identifier(&self.name).send().await.unwrap();
    }

    /// Says something of one from now on.
    pub(crate) fn face(&self, name: &str, say: impl FnOnce(&mut Face)) {
        say(self.faces.lock().unwrap().entry(name.to_owned()).or_default());
    }

    pub(super) fn at(&self) -> RdsAt {
        RdsAt { account: "main".into(), form: self.form, name: self.name.clone() }
    }

    pub(super) fn place(&self, database: rollbackd::databases::Options) -> Place {
        Place {
            at: self.at(),
            access: self.access.clone(),
            keeps: self.access.clone(),
            secret: SecretAt { account: "main".into(), secret: self.secret.clone() },
            keys: Keys { host: "host".into(), port: "port".into() },
            history: history(database, "flyway_schema_history"),
            snapshots_max: 20,
            lost: vec![],
        }
    }

    /// As the daemon looks at it; nobody needs a database for that.
    pub(super) async fn seen(&self) -> Seen {
        let url = "postgres://x@127.0.0.1:1/shop";
        let database = rollbackd::databases::Database::parse(url).unwrap();
        let options = rollbackd::databases::Options::new("shop", database);
        executors::rds::seen(&self.place(options)).await.unwrap()
    }

    /// What a plan would say, of both snapshots.
    pub(super) async fn planned(&self) -> RdsRestore {
        let seen = self.seen().await;
        let names = seen.free(&self.name, seen.snapshots.len());
        let each = seen.snapshots.iter().zip(names);
        let candidates = each.map(|(snapshot, restored)| Candidate {
            snapshot: snapshot.arn.clone(),
            taken_at: snapshot.taken_at.unwrap(),
            restored,
        });
        let candidates: Vec<Candidate> = candidates.collect();
        for candidate in &candidates {
            // Which tags it is made with is not shown by who plays RDS.
            self.face(&candidate.restored, |face| face.run = Some(RUN.into()));
        }
        RdsRestore::like(&self.at(), &seen.source, candidates, Span(20))
    }

    pub(super) async fn attempt(&self, action: Action, resumed: bool) -> Report {
        self.attempt_within(action, resumed, Span::seconds(30)).await
    }

    pub(super) async fn attempt_within(
        &self,
        action: Action,
        resumed: bool,
        timeout: Span,
    ) -> Report {
        let what = Step {
            title: "a step".into(),
            action,
            needs: vec![],
            timeout,
            attempts: 1,
            fallback: None,
        };
        let (run, fallback) = (RUN.to_owned(), false);
        let order = Order { run, step: 2, attempt: 1, fallback, resumed, what };
        let report = executors::carry_out(&order, &self.executor, self.store.lease()).await;
        assert!(!format!("{report:?}").contains("hunter2"), "{report:?}");
        report
    }

    pub(super) async fn restores(&self, what: &RdsRestore, resumed: bool) -> Report {
        self.attempt(Action::RdsRestore { what: Box::new(what.clone()) }, resumed).await
    }

    /// What the attempt that runs says of itself.
    pub(super) fn progress(&self) -> String {
        self.executor.progress.of(RUN)
    }

    pub(super) fn asked(&self) -> usize {
        self.proxy.asked(RESTORE).len()
    }

    /// From now on what is made of a snapshot says of itself, as RDS does, which run made it.
    pub(crate) fn remembers_who_made(&self) {
        let faces = Arc::clone(&self.faces);
        let remembers = move |asked: &str, said: &str| {
            if let (Some(name), Some(run)) =
                (argument(asked, "DBInstanceIdentifier"), run_of(asked))
            {
                faces.lock().unwrap().entry(name).or_default().run = Some(run);
            }
            said.to_owned()
        };
        self.proxy.twist(RESTORE, usize::MAX, Twist::Reword(Arc::new(remembers)));
    }

    /// The identifiers that there are of it, without its own.
    pub(crate) async fn made(&self) -> Vec<String> {
        let all = self.clients.rds().describe_db_instances().send().await.unwrap();
        let begin = format!("{}-", self.name);
        let mut names: Vec<String> = all
            .db_instances()
            .iter()
            .filter_map(|it| it.db_instance_identifier())
            .filter(|name| name.starts_with(&begin))
            .map(str::to_owned)
            .collect();
        names.sort();
        names
    }
}

/// Where the old one answers, as far as nobody asks there.
pub(super) fn old() -> Endpoint {
    Endpoint { host: "127.0.0.1".into(), port: 5432 }
}

pub(super) fn schema() -> SchemaAt {
    SchemaAt { database: "shop".into(), history_table: "flyway_schema_history".into() }
}

pub(super) fn why(report: &Report) -> &str {
    let Outcome::Failed { why, retry: false } = &report.outcome else { panic!("{report:?}") };
    why
}

/// What a request says that is called so.
fn argument(asked: &str, name: &str) -> Option<String> {
    asked
        .split('&')
        .filter_map(|part| part.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.to_owned())
}

/// Which run a request to make one is of.
fn run_of(asked: &str) -> Option<String> {
    let wanted = RUN_TAG.replace(':', "%3A");
    let mut all = asked.split('&').filter_map(|part| part.split_once('='));
    let (key, _) = all.find(|(key, value)| key.ends_with(".Key") && *value == wanted)?;
    argument(asked, &key.replace(".Key", ".Value"))
}

/// Each instance or cluster of an answer, as its face is.
fn reworded(answer: &str, faces: &Faces) -> String {
    let mut said = answer.to_owned();
    for (open, id, status) in [
        ("<DBInstance>", "DBInstanceIdentifier", "DBInstanceStatus"),
        ("<DBCluster>", "DBClusterIdentifier", "Status"),
    ] {
        let close = open.replace('<', "</");
        let mut parts: Vec<String> = said.split(&close).map(str::to_owned).collect();
        for part in &mut parts {
            let Some(begin) = part.find(open) else { continue };
            let (head, one) = part.split_at(begin);
            let mut faces = faces.lock().unwrap();
            let Some(face) = faces.get_mut(&text(one, id).unwrap_or_default()) else { continue };
            *part = format!("{head}{}", shown(one, face, status));
        }
        said = parts.join(&close);
    }
    said
}

fn shown(one: &str, face: &mut Face, status: &str) -> String {
    let mut one = one.to_owned();
    if let Some(now) = face.statuses.pop_front() {
        one = with(&one, status, now);
        if now == "creating" {
            let address = text(&one, "Address").unwrap_or_default();
            one = one.replace(&format!("<Address>{address}</Address>"), "");
        }
    }
    if let Some(endpoint) = &face.endpoint {
        let port = endpoint.port.to_string();
        one = with(&with(&one, "Address", &endpoint.host), "Port", &port);
        // A cluster's is a text.
        if !one.contains("<Address>") && !one.contains("<Endpoint>\n") {
            one = with(&one, "Endpoint", &endpoint.host);
        }
    }
    if let Some(run) = &face.run {
        let tag = format!("<Tag><Key>rollbackd:run</Key><Value>{run}</Value></Tag>");
        one = with(&one, "TagList", &tag);
    }
    one
}

/// What stands first in an element of that name.
fn text(all: &str, name: &str) -> Option<String> {
    let (_, rest) = all.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(text, _)| text.to_owned())
}

/// With another text in the first of that name.
fn with(all: &str, name: &str, now: &str) -> String {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let Some((before, rest)) = all.split_once(&open) else { return all.to_owned() };
    let Some((_, after)) = rest.split_once(&close) else { return all.to_owned() };
    format!("{before}{open}{now}{close}{after}")
}

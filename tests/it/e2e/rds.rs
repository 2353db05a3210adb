//! A migration that loses its users, under the real daemon: RDS makes another database of a snapshot, and the service is led there. People
//! approve that, with what is lost said, and the daemon is killed while RDS makes it.

use std::fs;

use rollbackd::{
    demo::shop::Behaviour,
    domain::rds::Endpoint,
    http::views::{Explain, IncidentView},
    units::Span,
};

use super::world::{SOON, Setup, World};
use crate::{
    aws::{
        proxy::Twist,
        rds::{
            bench::{Bench, RESTORE},
            switched::{endpoint, held_of, migrate, twins},
        },
    },
    databases::server::Fresh,
    rig::eventually,
};

/// How far a restore is until the test says that it is done.
const NEVER_DONE: usize = 100_000;

/// A shop on RDS: what is there, a snapshot of an hour ago, and what would be made of that.
struct OnRds {
    bench: Bench,
    old: Fresh<'static>,
    new: Fresh<'static>,
    /// What the one that is made is called.
    made: String,
}

impl OnRds {
    async fn open() -> Self {
        let [old, new] = twins().await;
        for database in [&old, &new] {
            database.run("CREATE TABLE orders (id INT PRIMARY KEY, at TIMESTAMPTZ NOT NULL)").await;
            let early = "INSERT INTO orders SELECT n, now() - interval '12 hours' FROM generate_series(1, 5) n";
            database.run(early).await;
        }
        let bench = Bench::new("killed").await;
        let made = format!("{}-restored-1", bench.name);
        let grows = bench.clients.rds().modify_db_instance().db_instance_identifier(&bench.name);
        grows.max_allocated_storage(200).send().await.unwrap();
        bench.face(&bench.name, |face| face.endpoint = Some(endpoint(old.server)));
        bench.face(&made, |face| {
            face.endpoint = Some(endpoint(new.server));
            face.statuses = vec!["creating"; NEVER_DONE].into();
        });
        bench.remembers_who_made();
        dated(&bench);
        let secret = bench.clients.secrets().create_secret().name(&bench.secret);
        secret.secret_string(held_of(&bench.name, old.server.port())).send().await.unwrap();
        Self { bench, old, new, made }
    }

    /// Where the daemon finds everything: by the secret alone.
    fn config(&self) -> String {
        let access = &self.bench.access;
        format!(
            r#"
mode = "approve"
[aws.main]
region = "{}"
endpoint = "{}"
credentials_file = "{}"
[database.shop]
url = "postgres://{}@of-the-url.invalid:1/{}"
password = {{ file = "{{dir}}/database.password" }}
tls = "off"
[database.shop.address]
secret = "{}"
[service.shop.database]
from = "shop"
every = "250ms"
[service.shop.rollback.rds]
instance = "{}"
every = "500ms"
wait_every = "200ms"
max_age = "26h"
lost = {{ orders = "SELECT count(*) FROM orders WHERE at > {{taken_at}}" }}
verify = {{ "no order without a day" = "SELECT 1 FROM orders WHERE at IS NULL" }}
stop_writes = "command"
stop = ["/bin/sh", "-c", "echo stop >>{{dir}}/stops.log"]
"#,
            access.region,
            access.endpoint.as_deref().unwrap(),
            access.credentials_file.as_ref().unwrap().display(),
            self.old.server.administrator(),
            self.old.name,
            self.bench.secret,
            self.bench.name,
        )
    }

    /// A migration as Flyway leaves it, and what is written after it.
    async fn migrated(&self) {
        self.old.run("ALTER TABLE orders ADD COLUMN note TEXT").await;
        migrate(&self.old, 2, "0 hours").await;
        self.old.run("INSERT INTO orders SELECT n, now() FROM generate_series(6, 8) n").await;
    }

    /// How often one was asked for of the snapshot that is meant, beside those that only ask whether it may be.
    fn asked(&self) -> usize {
        let meant = format!("{}-newest", self.bench.name);
        self.bench.proxy.asked(RESTORE).iter().filter(|it| it.text().contains(&meant)).count()
    }

    async fn held(&self) -> serde_json::Value {
        let held = self.bench.clients.secrets().get_secret_value().secret_id(&self.bench.secret);
        let held = held.send().await.unwrap();
        serde_json::from_str(held.secret_string().unwrap()).unwrap()
    }
}

/// The snapshots were taken an hour ago, and a day: who plays RDS takes one now, or never.
fn dated(bench: &Bench) {
    let ago = |back: Span| {
        let at = jiff::Timestamp::now() - back.duration();
        at.strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string()
    };
    let (newest, older) = (ago(Span::hours(1)), ago(Span::hours(24)));
    let says = move |_: &str, said: &str| {
        let each = said.split_inclusive("</DBSnapshot>");
        each.map(|one| with_times(one, if one.contains("-older") { &older } else { &newest }))
            .collect()
    };
    let twist = Twist::Reword(std::sync::Arc::new(says));
    bench.proxy.twist("DescribeDBSnapshots", usize::MAX, twist);
}

fn with_times(one: &str, at: &str) -> String {
    let mut parts = one.split("SnapshotCreateTime>");
    let mut told = parts.next().unwrap_or_default().to_owned();
    // Each opens, and is closed.
    for (nth, part) in parts.enumerate() {
        let tag = part.rfind('<').unwrap_or(0);
        let rest = if nth % 2 == 0 { format!("{at}{}", &part[tag..]) } else { part.to_owned() };
        told += &format!("SnapshotCreateTime>{rest}");
    }
    told
}

/// The command line, with what it printed.
async fn rollbackd(world: &World, args: &[&str]) -> String {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_rollbackd"));
    command.args(args).arg("--state-dir").arg(world.state_dir());
    command.arg("--url").arg(format!("http://127.0.0.1:{}", world.ports.http));
    let output = command.output().await.expect("it can be started");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// The daemon knows both as good, and the release that comes with a migration fails a quarter of its requests.
async fn hurt(shop: &OnRds) -> World {
    let setup = Setup::with(Behaviour::Errors, &shop.config());
    let mut world = World::set(setup.releases).await;
    fs::write(world.dir().join("database.password"), shop.old.server.password()).unwrap();
    world.configure(&setup);
    world.start().await;
    world.settled().await;
    let is_good = |it: &Explain| it.service.database.as_ref().is_some_and(|it| it.is_known_good);
    world.explained("its schema is known good", is_good).await;
    shop.migrated().await;
    let is_migrated = |it: &Explain| {
        let database = it.service.database.as_ref();
        database.is_some_and(|it| it.version.as_deref() == Some("2"))
    };
    world.explained("the migration", is_migrated).await;
    world.stage.deploy("v2").unwrap();
    world
}

/// The page that says what is lost with each snapshot, before anybody approves; the hash of what it offers, which the plan says in full.
async fn paged(world: &World, shop: &OnRds) -> String {
    let offered =
        world.incident("a plan is offered", |it: &IncidentView| it.offered.is_some()).await;
    let hash = offered.offered.unwrap().hash;
    let page = eventually("the page", SOON, async || {
        let pages = world.told.all().into_iter().filter(|it| it.is_page());
        let mut pages = pages.map(|it| it.body.to_string());
        pages.find(|it| it.contains(&format!("rollbackd approve shop/demo {hash}")))
    });
    let page = page.await;
    for (snapshot, orders) in [("newest", 3), ("older", 8)] {
        let (_, of_it) = page.split_once(&format!("{}-{snapshot}", shop.bench.name)).unwrap();
        let lost = format!("is lost with it: {orders} orders");
        assert!(of_it.find(&lost).is_some_and(|at| at < 120), "{lost}: {page}");
    }
    let plan = rollbackd(world, &["plan", "shop"]).await;
    for part in [&hash, &shop.made, "storage that grows up to 200 GiB"] {
        assert!(plan.contains(part), "{part}: {plan}");
    }
    assert_eq!(shop.asked(), 0, "nothing is made of it");
    hash
}

#[tokio::test]
async fn a_database_of_rds_goes_back_by_approval_and_once_also_by_a_daemon_that_was_killed_meanwhile()
 {
    let shop = Box::pin(OnRds::open()).await;
    let mut world = hurt(&shop).await;
    let hash = paged(&world, &shop).await;
    let approved = rollbackd(&world, &["approve", "shop", &hash]).await;
    assert!(approved.contains("begins"), "{approved}");
    eventually("it is being made", SOON, async || {
        (shop.bench.made().await == [shop.made.clone()]).then_some(())
    })
    .await;
    world.crash().await;
    shop.bench.face(&shop.made, |face| face.statuses.clear());

    let over = world.incident("over", |it| it.line.closed.is_some()).await;
    assert_eq!(over.line.because.as_deref(), Some("rolled back and verified"), "{over:#?}");
    assert_eq!((shop.asked(), shop.bench.made().await), (1, vec![shop.made.clone()]));
    let Endpoint { host, port } = endpoint(shop.new.server);
    let held = shop.held().await;
    assert_eq!(
        (held["host"].as_str(), held["port"].as_u64()),
        (Some(host.as_str()), Some(port.into()))
    );
    let kept = shop.old.run("SELECT count(note)::text, count(*)::text FROM orders").await;
    assert_eq!(kept, [["0", "8"].map(|it| Some(it.to_owned()))], "what was there is kept");
    let after =
        world.explained("v1 serves", |it| it.service.serving.as_deref() == Some("v1")).await;
    let database = after.service.database.expect("it is looked at");
    assert_eq!(database.version.as_deref(), Some("1"), "where its service is led, it looks");
    assert_eq!(fs::read_to_string(world.dir().join("stops.log")).unwrap(), "stop\n");

    let report = rollbackd(&world, &["report", &over.line.id]).await;
    for part in ["is lost with it: 3 orders", "storage that grows up to 200 GiB", &shop.made] {
        assert!(report.contains(part), "{part}: {report}");
    }
    let all = format!("{}{:?}{report}", world.log(), world.told.all());
    assert!(!all.contains(shop.old.server.password()) && !all.contains("hunter2"));
    world.ended().await;
}

//! A bad release and its migration under the real daemon: the script that takes the schema back is tried, approved and run by a person.

use std::{fs, process::Output};

use rollbackd::{
    databases::Kind,
    demo::shop::Behaviour,
    http::views::{Explain, TrialAnswer},
};

use super::world::{SOON, Setup, World};
use crate::{
    databases::{flyway::Flyway, server::Fresh},
    rig::patiently,
};

fn config(database: &Fresh<'_>) -> String {
    let (user, port, name) =
        (database.server.administrator(), database.server.port(), &database.name);
    format!(
        r#"
mode = "approve"
bake = "10s"
[database.shop]
url = "postgres://{user}@127.0.0.1:{port}/{name}"
password = {{ file = "{{dir}}/database.password" }}
tls = "off"
[service.shop.database]
every = "250ms"
[service.shop.rollback.database]
script = "{{dir}}/shop/releases/{{release}}/back-to-{{to}}.sql"
stop_writes = "no"
verify = {{ "no order" = "SELECT 1 FROM orders" }}
"#
    )
}

/// The command line, with what it printed.
async fn rollbackd(world: &World, args: &[&str]) -> Output {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_rollbackd"));
    command.args(args).arg("--state-dir").arg(world.state_dir());
    command.arg("--url").arg(format!("http://127.0.0.1:{}", world.ports.http));
    command.output().await.expect("it can be started")
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

async fn at(world: &World, version: &str) -> Explain {
    world
        .explained(version, |it| {
            let database = it.service.database.as_ref();
            database.is_some_and(|it| it.version.as_deref() == Some(version))
        })
        .await
}

#[tokio::test]
async fn a_script_is_tried_and_named_before_it_runs_and_takes_the_schema_back_with_the_release() {
    let database = Fresh::of(Kind::Postgresql).await;
    let flyway = Flyway::of(&database);
    flyway.script("V1__orders.sql", "CREATE TABLE orders (id INT PRIMARY KEY);");
    flyway.succeed(&["migrate"]).await;
    let setup = Setup::with(Behaviour::Healthy, &config(&database));
    let mut world = World::set(setup.releases).await;
    fs::write(world.dir().join("database.password"), database.server.password()).unwrap();
    world.configure(&setup);
    world.start().await;
    world.settled().await;
    at(&world, "1").await;
    let is_good = |it: &Explain| it.service.database.as_ref().is_some_and(|it| it.is_known_good);
    world.explained("the schema is known good", is_good).await;
    flyway.script("V2__note.sql", "ALTER TABLE orders ADD COLUMN note text;");
    flyway.succeed(&["migrate"]).await;
    at(&world, "2").await;
    let script = world.dir().join("shop/releases/v2/back-to-1.sql");
    let text = "ALTER TABLE orders DROP COLUMN note;\nDELETE FROM flyway_schema_history WHERE version = '2';\n";
    fs::write(&script, text).unwrap();
    world.stage.deploy("v2").unwrap();
    let serves = |it: &Explain| it.service.serving.as_deref() == Some("v2");
    world.explained("v2 serves", serves).await;

    let tried = patiently("it is tried", SOON, async || {
        let tried = rollbackd(&world, &["dry-run", "shop", "--json"]).await;
        serde_json::from_slice::<TrialAnswer>(&tried.stdout).ok()
    });
    let answer = tried.await;
    let changes = answer.trial.came.expect("it can be run");
    assert_eq!(changes.catalogue, ["- column public.orders.note text"]);
    let hash = answer.plan.expect("there is a plan").view.hash;
    let refused = said(&rollbackd(&world, &["rollback", "shop", "--reason", "bad"]).await);
    assert!(refused.contains(&format!("add --plan {hash}")), "{refused}");
    let shown = said(&rollbackd(&world, &["plan", "shop"]).await);
    for part in ["it begins: ALTER TABLE orders DROP COLUMN note;", "it changes: - column", &hash] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    at(&world, "2").await;

    let begun = ["rollback", "shop", "--plan", &hash, "--reason", "bad"];
    let begun = said(&rollbackd(&world, &begun).await);
    assert!(begun.contains("begins"), "{begun}");
    at(&world, "1").await;
    world.explained("v1 serves", |it| it.service.serving.as_deref() == Some("v1")).await;
    let columns =
        "SELECT column_name::text FROM information_schema.columns WHERE table_name = 'orders'";
    assert_eq!(database.run(columns).await, [[Some("id".to_owned())]]);
    world.ended().await;
}

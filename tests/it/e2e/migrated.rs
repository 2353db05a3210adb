//! The real Flyway migrates under the real daemon: what fails pages, with which migration it is.

use std::time::Duration;

use rollbackd::{databases::Kind, demo::shop::Behaviour};

use super::world::{SOON, Setup, World};
use crate::{
    databases::{
        flyway::Flyway,
        histories::look,
        restored::{dump, program},
        server::Fresh,
    },
    rig::{eventually, patiently},
};

fn config(database: &Fresh<'_>) -> String {
    let scheme = if database.kind == Kind::Mysql { "mysql" } else { "postgres" };
    let (user, port) = (database.server.administrator(), database.server.port());
    format!(
        r#"
[database.shop]
url = "{scheme}://{user}@127.0.0.1:{port}/{}"
password = {{ file = "{{dir}}/database.password" }}
tls = "verify"
ca_file = "{}"
[service.shop.database]
from = "shop"
every = "250ms"
"#,
        database.name,
        database.server.authority().display()
    )
}

async fn opened(database: &Fresh<'_>) -> World {
    let setup = Setup::with(Behaviour::Healthy, "");
    let mut world = World::open(&setup).await;
    let password = world.dir().join("database.password");
    std::fs::write(password, database.server.password()).unwrap();
    world.configure(&Setup::with(Behaviour::Healthy, &config(database)));
    world.start().await;
    world
}

async fn paged(world: &World, part: &str) -> String {
    eventually("a page of the migration", SOON, async || {
        let notices = world.told.all();
        let of_it = |text: &String| text.contains("migration-failure") && text.contains(part);
        notices.iter().filter(|it| it.is_page()).map(|it| it.body.to_string()).find(of_it)
    })
    .await
}

#[tokio::test]
async fn a_migration_that_fails_pages_with_which_it_is_and_its_password_is_nowhere() {
    let mariadb = Fresh::of(Kind::Mysql).await;
    let flyway = Flyway::of(&mariadb);
    flyway.script("V1__one.sql", "CREATE TABLE one (id INT PRIMARY KEY);");
    flyway.succeed(&["migrate"]).await;
    let world = opened(&mariadb).await;
    let explained = world.explained("its version", |it| {
        it.service.database.as_ref().is_some_and(|it| it.version.as_deref() == Some("1"))
    });
    let database = explained.await.service.database.expect("it is looked at");
    assert_eq!(database.newest, ["V1__one.sql (version 1, \"one\"): Success"]);

    flyway.script("V2__two.sql", "CREATE TABLE two (id INT); CREATE TABLE one (id INT);");
    flyway.said(&["migrate"]).await;
    let page = paged(&world, "V2__two.sql").await;
    assert!(page.contains("half applied") && page.contains("flyway repair"), "{page}");
    let all = format!("{page}{}", world.log());
    assert!(!all.contains(mariadb.server.password()));
}

#[tokio::test]
async fn a_migration_that_postgresql_took_back_pages_although_it_left_no_row() {
    let postgresql = Fresh::of(Kind::Postgresql).await;
    let flyway = Flyway::of(&postgresql);
    flyway.script("V1__one.sql", "CREATE TABLE one (id INT PRIMARY KEY);");
    flyway.succeed(&["migrate"]).await;
    let world = opened(&postgresql).await;
    flyway.script(
        "V2__two.sql",
        "CREATE TABLE two (id INT); SELECT pg_advisory_lock(4711); CREATE TABLE one (id INT);",
    );
    let mut gate =
        rollbackd::databases::Session::open_to_write(&postgresql.options()).await.unwrap();
    gate.rows("SELECT pg_advisory_lock(4711)::text").await.unwrap();
    let running = flyway.begin(&["migrate"]);
    let under_way = world.explained("the migration", |it| {
        it.service.database.as_ref().is_some_and(|it| {
            it.runs.as_ref().is_some_and(|runs| runs.contains("waits for a lock"))
        })
    });
    under_way.await;
    drop(gate);
    running.end().await;
    let page = paged(&world, "ended without being applied").await;
    assert!(page.contains("after version 1"), "{page}");

    flyway.script("V2__two.sql", "CREATE TABLE two (id INT);");
    flyway.succeed(&["migrate"]).await;
    patiently("it is over", Duration::from_secs(30), async || {
        let log = world.get("/v1/services/shop/production").await;
        (!log.contains("migration-failure (")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn data_that_is_not_as_it_must_be_pages_with_the_check_and_not_with_the_data() {
    let postgresql = Fresh::of(Kind::Postgresql).await;
    postgresql.run("CREATE TABLE customers (name TEXT)").await;
    let setup = Setup::with(Behaviour::Healthy, "");
    let mut world = World::open(&setup).await;
    let password = world.dir().join("database.password");
    std::fs::write(password, postgresql.server.password()).unwrap();
    let check = "[service.shop.database.check.nobody]\nquery = \"SELECT name FROM customers\"\n\
                 no_row = true\nevery = \"300ms\"\nconfirm_after = \"200ms\"\n";
    let text = format!("{}{check}", config(&postgresql));
    world.configure(&Setup::with(Behaviour::Healthy, &text));
    world.start().await;
    let says = |it: &rollbackd::http::views::DatabaseView| it.checks[0].says.clone();
    let passes = world.explained("it passes", |it| {
        it.service.database.as_ref().is_some_and(|it| says(it) == "passes")
    });
    let checked = passes.await.service.database.expect("it is looked at");
    assert!(checked.checks[0].took.is_some());
    postgresql.run("INSERT INTO customers VALUES ('Ada Lovelace')").await;
    let page = eventually("a page of the data", SOON, async || {
        let notices = world.told.all();
        let mut pages = notices.iter().filter(|it| it.is_page()).map(|it| it.body.to_string());
        pages.find(|text| text.contains("data-corruption"))
    });
    let page = page.await;
    assert!(page.contains("the check nobody of") && page.contains("1 row returned"), "{page}");
    assert!(!format!("{page}{}", world.log()).contains("Lovelace"), "{page}");
    postgresql.run("DELETE FROM customers").await;
    patiently("it is over", Duration::from_secs(30), async || {
        let log = world.get("/v1/services/shop/production").await;
        (!log.contains("data-corruption (")).then_some(())
    })
    .await;
}

/// Its writes stop, all of it goes back beside what is there, and both change places: the daemon dies in the middle of that.
#[tokio::test]
async fn a_database_goes_back_to_a_snapshot_before_its_code_also_by_a_daemon_that_was_killed_meanwhile()
 {
    let postgresql = Fresh::of(Kind::Postgresql).await;
    let flyway = Flyway::of(&postgresql);
    flyway.script("V1__one.sql", "CREATE TABLE orders (id INT PRIMARY KEY, at TIMESTAMPTZ);");
    flyway.succeed(&["migrate"]).await;
    postgresql
        .run("INSERT INTO orders SELECT n, now() - interval '1 day' FROM generate_series(1, 5) n")
        .await;
    let mut world = World::open(&Setup::with(Behaviour::Errors, "")).await;
    let password = world.dir().join("database.password");
    std::fs::write(password, postgresql.server.password()).unwrap();
    let (port, user) = (postgresql.server.port(), postgresql.server.administrator());
    let restore = format!(
        r#"
[database.admin]
url = "postgres://{user}@127.0.0.1:{port}/postgres"
password = {{ file = "{{dir}}/database.password" }}
tls = "off"
[service.shop.rollback.snapshot]
files = "{{dir}}/*.dump"
through = "admin"
pg_restore = "{}"
lost = {{ orders = "SELECT count(*) FROM orders WHERE at > {{taken_at}}" }}
every = "1h"
every_watched = "500ms"
stop_writes = "command"
stop = ["/bin/sh", "-c", "echo stop >>{{dir}}/stops.log; exec sleep 1"]
automatic = true
"#,
        program("pg_restore")
    );
    let text = format!("{}{restore}", config(&postgresql));
    world.configure(&Setup::with(Behaviour::Errors, &text));
    world.start().await;
    world.settled().await;
    let known = |it: &rollbackd::http::views::Explain| {
        it.service.database.as_ref().is_some_and(|it| it.is_known_good)
    };
    world.explained("its schema is known good", known).await;

    // Nobody looks before something is watched.
    dump(&postgresql, &world.dir().join("good.dump"));
    flyway.script("V2__two.sql", "ALTER TABLE orders ADD COLUMN note INT NOT NULL DEFAULT 0;");
    flyway.succeed(&["migrate"]).await;
    postgresql.run("INSERT INTO orders VALUES (6, now())").await;
    world.stage.deploy("v2").expect("it is deployed");
    eventually("its writes are stopped", SOON, async || {
        world.dir().join("stops.log").exists().then_some(())
    })
    .await;
    world.crash().await;
    let over = world.incident("over", |it| it.line.closed.is_some()).await;
    assert_eq!(over.line.because.as_deref(), Some("rolled back and verified"), "{over:#?}");
    assert_eq!(look(&postgresql).await.version(), "version 1");
    let rows = postgresql.run("SELECT count(*)::text FROM orders").await;
    assert_eq!(rows, [[Some("5".to_owned())]]);
    let kept = format!(
        "SELECT datname::text FROM pg_database WHERE datname = '{}_replaced_1'",
        postgresql.name
    );
    assert_eq!(postgresql.run(&kept).await.len(), 1, "what was there is kept");
    let all = format!("{}{:?}", world.log(), world.told.all());
    assert!(!all.contains(postgresql.server.password()));
    assert!(all.contains("is lost with it: 1 orders"), "{all}");
    for told in ["Lost, as it was counted when the rollback began: everything", "Kept: what "] {
        assert!(all.contains(told), "{told}: {all}");
    }
    world.ended().await;
}

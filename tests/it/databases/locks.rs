//! Whoever migrates: the real Flyway at work, waiting, and gone.

use rollbackd::{
    databases::{Kind, Session},
    domain::{
        schema::{DatabasePolicy, Doing, Run, trouble::Looks},
        severity::Severity,
    },
    units::{Span, UnixMs},
};

use super::{
    flyway::Flyway,
    histories::look,
    server::{BOTH, Fresh},
};
use crate::{kubernetes::place::SOON, rig::patiently};

fn policy() -> DatabasePolicy {
    DatabasePolicy {
        place: "shop at db:5432".into(),
        stuck_after: Span::minutes(30),
        every: Span::seconds(30),
        compatible_marker: None,
    }
}

async fn until(database: &Fresh<'_>, what: &str, is: impl Fn(&Run) -> bool) -> Run {
    patiently(what, SOON, async || look(database).await.run.filter(|run| is(run))).await
}

fn rests(kind: Kind, seconds: u32) -> String {
    match kind {
        Kind::Postgresql => format!("SELECT pg_sleep({seconds});"),
        Kind::Mysql => format!("DO sleep({seconds});"),
    }
}

#[tokio::test]
async fn a_slow_migration_is_seen_at_work_and_one_that_is_killed_left_no_row() {
    for kind in BOTH {
        let fresh = Fresh::of(kind).await;
        let flyway = Flyway::of(&fresh);
        flyway.script("V1__one.sql", "CREATE TABLE one (id INT PRIMARY KEY);");
        flyway.succeed(&["migrate"]).await;
        let slow = format!("CREATE TABLE two (id INT PRIMARY KEY); {}", rests(kind, 600));
        flyway.script("V2__two.sql", &slow);
        let mut running = flyway.begin(&["migrate"]);
        let run = until(&fresh, "a migration at work", |run| run.wrote).await;
        assert_eq!(run.doing, Doing::Works, "{kind}");
        let user = fresh.server.administrator();
        assert!(run.session.contains(&format!("of {user}")), "{kind}: {}", run.session);
        let first = Looks::after(None, look(&fresh).await, UnixMs(0));
        let begun = Looks::after(Some(first), look(&fresh).await, UnixMs(0));
        assert!(begun.wrote && begun.trouble(&policy()).is_none(), "{kind}");

        running.kill();
        // A server notices that a client is gone when it has something to say to it.
        let end = match kind {
            Kind::Postgresql => format!(
                "SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity WHERE datname = '{}' AND query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid()",
                fresh.name
            ),
            Kind::Mysql => {
                let id = run.session.split_whitespace().nth(1).expect("an id");
                format!("KILL {id}")
            }
        };
        fresh.run(&end).await;
        let gone = patiently("the lock is let go of", SOON, async || {
            Some(look(&fresh).await).filter(|schema| schema.run.is_none())
        });
        let trouble = Looks::after(Some(begun), gone.await, UnixMs(30_000)).trouble(&policy());
        let trouble = trouble.expect("it ended without being applied");
        let severity = if kind == Kind::Mysql { Severity::P0 } else { Severity::P1 };
        assert_eq!(trouble.severity, severity, "{kind}: {}", trouble.says);
    }
}

#[tokio::test]
async fn a_migration_that_waits_for_somebodys_lock_is_told_from_a_slow_one() {
    for kind in BOTH {
        let fresh = Fresh::of(kind).await;
        let flyway = Flyway::of(&fresh);
        flyway.script("V1__one.sql", "CREATE TABLE one (id INT PRIMARY KEY);");
        flyway.succeed(&["migrate"]).await;
        let mut other = Session::open_to_write(&fresh.options()).await.unwrap();
        other.rows("BEGIN").await.unwrap();
        other.rows("SELECT id FROM one").await.unwrap();
        flyway.script("V2__wider.sql", "ALTER TABLE one ADD COLUMN total INT;");
        let running = flyway.begin(&["migrate"]);
        let waits = |run: &Run| matches!(run.doing, Doing::Waits { on_itself: false, .. });
        until(&fresh, "a migration that waits", waits).await;
        other.rows("COMMIT").await.unwrap();
        assert!(running.end().await, "{kind}: it goes on");
        assert_eq!(look(&fresh).await.current.as_deref(), Some("2"), "{kind}");
    }
}

/// Flyway keeps a transaction open for its lock, for the end of which CREATE INDEX CONCURRENTLY waits.
#[tokio::test]
async fn an_index_that_waits_for_flyways_own_lock_never_ends_and_is_told_at_once() {
    let fresh = Fresh::of(Kind::Postgresql).await;
    let flyway = Flyway::of(&fresh);
    flyway.script("V1__one.sql", "CREATE TABLE one (id INT PRIMARY KEY);");
    flyway.succeed(&["migrate"]).await;
    flyway.script("V2__index.sql", "CREATE INDEX CONCURRENTLY one_id ON one (id);");
    let _running = flyway.begin(&["migrate"]);
    let on_itself = |run: &Run| matches!(run.doing, Doing::Waits { on_itself: true, .. });
    until(&fresh, "a migration that waits for itself", on_itself).await;
    let looks = Looks::after(None, look(&fresh).await, UnixMs(0));
    let trouble = looks.trouble(&policy()).expect("it never ends");
    assert!(trouble.says.contains("transactional.lock=false"), "{}", trouble.says);
}

/// Flyway's own of "public"."flyway_schema_history", as a transaction takes it.
const LOCK: &str = "BEGIN; SELECT pg_advisory_xact_lock(77431708279161 + 2125624436)::text";

/// Behind one address, by one user and one driver: a release that serves and one whose start looks whether it must migrate.
#[tokio::test]
async fn what_others_of_the_same_user_do_is_not_taken_for_the_migration() {
    let fresh = Fresh::of(Kind::Postgresql).await;
    let flyway = Flyway::of(&fresh);
    flyway.script("V1__one.sql", "CREATE TABLE one (id INT PRIMARY KEY);");
    flyway.succeed(&["migrate"]).await;
    let open = async || Session::open_to_write(&fresh.options()).await.unwrap();
    let [mut long_ago, mut before, mut holder, mut waits] =
        [open().await, open().await, open().await, open().await];
    before.rows("BEGIN; INSERT INTO one VALUES (1)").await.unwrap();
    holder.rows(LOCK).await.unwrap();
    let mut after = open().await;
    after.rows("BEGIN; INSERT INTO one VALUES (2)").await.unwrap();
    let asks = "SELECT pg_try_advisory_xact_lock(1), pg_sleep(600)";
    let busy = tokio::spawn(async move { waits.rows(asks).await });
    let run = until(&fresh, "it does nothing", |run| matches!(run.doing, Doing::Nothing { .. }));
    assert!(!run.await.wrote, "others write");
    holder.rows("COMMIT").await.unwrap();

    let older = "SELECT pg_sleep(extract(epoch FROM backend_start + interval '16 s' - clock_timestamp())) FROM pg_stat_activity WHERE pid = pg_backend_pid()";
    long_ago.rows(older).await.expect("it is older than sessions of one run are apart");
    let mut holder = open().await;
    holder.rows(LOCK).await.unwrap();
    long_ago.rows("BEGIN; INSERT INTO one VALUES (3)").await.unwrap();
    assert!(!look(&fresh).await.run.expect("it is locked").wrote, "an old session writes");
    busy.abort();
}

#[tokio::test]
async fn a_lock_whose_session_does_nothing_is_told() {
    for kind in BOTH {
        let fresh = Fresh::of(kind).await;
        let flyway = Flyway::of(&fresh);
        flyway.script("V1__one.sql", "CREATE TABLE one (id INT PRIMARY KEY);");
        flyway.succeed(&["migrate"]).await;
        let mut dead = Session::open_to_write(&fresh.options()).await.unwrap();
        // The hashes of "public"."flyway_schema_history" and of that table in this database.
        let lock = match kind {
            Kind::Postgresql => LOCK.to_owned(),
            Kind::Mysql => {
                let name = format!("`{}`.`flyway_schema_history`", fresh.name);
                let hash = |hash: i32, byte: u8| hash.wrapping_mul(31).wrapping_add(byte.into());
                format!("SELECT GET_LOCK('Flyway-{}', 1)", name.bytes().fold(0, hash))
            }
        };
        dead.rows(&lock).await.unwrap();
        until(&fresh, "it does nothing", |run| matches!(run.doing, Doing::Nothing { .. })).await;
        let reader = fresh.user("watcher", &grants(kind, &fresh.name)).await;
        let seen = super::histories::history(reader, "flyway_schema_history").read().await.unwrap();
        let hidden = seen.run.expect("the lock is seen by anybody").doing;
        assert!(matches!(&hidden, Doing::Hidden { why } if why.contains("GRANT")), "{hidden:?}");
    }
}

fn grants(kind: Kind, database: &str) -> Vec<&'static str> {
    let all: String = match kind {
        Kind::Postgresql => "GRANT SELECT ON flyway_schema_history TO {}".into(),
        Kind::Mysql => format!("GRANT SELECT ON {database}.flyway_schema_history TO {{}}"),
    };
    vec![all.leak()]
}

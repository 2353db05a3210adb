//! What the real Flyway leaves in its history, as it is read.

use rollbackd::{
    databases::history::{History, Name},
    databases::{Kind, Options, Problem, Session},
    domain::schema::{MigrationState, Schema, Seen},
    sources::migrations::told,
    units::Secret,
};

use super::{
    flyway::Flyway,
    server::{BOTH, Fresh, Server},
};

pub(crate) fn history(options: Options, table: &str) -> History {
    History {
        options,
        name: Name::parse(table).expect("a legal name"),
        rows_max: 500,
        zone: "UTC".to_owned(),
    }
}

pub(crate) async fn look(database: &Fresh<'_>) -> Schema {
    look_at(database, "flyway_schema_history").await
}

pub(super) async fn look_at(database: &Fresh<'_>, table: &str) -> Schema {
    match history(database.options(), table).look().await {
        Seen::Known(schema) => *schema,
        Seen::Unknown(why) => panic!("{why}"),
    }
}

async fn unknown(history: &History) -> String {
    match history.look().await {
        Seen::Unknown(why) => why,
        Seen::Known(schema) => panic!("{schema:?}"),
    }
}

/// Rank, version and state, oldest first.
fn rows(schema: &Schema) -> Vec<(i64, String, MigrationState)> {
    let row = |it: &rollbackd::domain::schema::Migration| {
        (it.rank, it.version.clone().unwrap_or_else(|| "-".into()), it.state)
    };
    schema.newest.iter().rev().map(row).collect()
}

#[tokio::test]
async fn what_flyway_did_is_read_state_by_state() {
    use MigrationState::{Baseline, Deleted, OutOfOrder, Success, Superseded};
    for kind in BOTH {
        let fresh = Fresh::of(kind).await;
        let flyway = Flyway::of(&fresh);
        flyway.succeed(&["-baselineVersion=1", "baseline"]).await;
        flyway.script("V3__orders.sql", "CREATE TABLE orders (id INT PRIMARY KEY);");
        flyway.script("R__view.sql", "CREATE OR REPLACE VIEW v AS SELECT 1 AS x;");
        flyway.succeed(&["migrate"]).await;
        let first = look(&fresh).await;
        assert_eq!((first.current.as_deref(), first.rows, first.run.clone()), (Some("3"), 3, None));
        flyway.script("V2__late.sql", "CREATE TABLE late (id INT PRIMARY KEY);");
        flyway.script("R__view.sql", "CREATE OR REPLACE VIEW v AS SELECT 2 AS x;");
        flyway.succeed(&["-outOfOrder=true", "migrate"]).await;
        let second = look(&fresh).await;
        assert_ne!(second.digest, first.digest);
        assert_eq!(rows(&second)[3], (4, "2".into(), OutOfOrder), "{kind}");
        assert_eq!(second.current.as_deref(), Some("3"), "{kind}: not the newest row");
        flyway.remove("V2__late.sql");
        flyway.succeed(&["repair"]).await;
        let all = look(&fresh).await;
        let told = rows(&all);
        let of = |version: &str| -> Vec<MigrationState> {
            told.iter().filter(|it| it.1 == version).map(|it| it.2).collect()
        };
        assert_eq!(of("1"), [Baseline], "{kind}");
        assert_eq!(of("-"), [Superseded, Success], "{kind}");
        assert_eq!(of("2"), [Deleted, Deleted], "{kind}");
        assert_eq!(of("3"), [Success], "{kind}");
        // Flyway here writes in the zone of this machine.
        let now = rollbackd::units::UnixMs(jiff::Timestamp::now().as_millisecond());
        for it in &all.newest {
            let ago = now.since(it.installed_at.unwrap());
            assert!((-1_000..600_000).contains(&ago.ms()), "{kind}: {it:?}");
        }
    }
}

#[tokio::test]
async fn a_failure_leaves_a_row_on_mariadb_and_none_on_postgresql() {
    for kind in BOTH {
        let fresh = Fresh::of(kind).await;
        let flyway = Flyway::of(&fresh);
        flyway.script("V1__one.sql", "CREATE TABLE one (id INT PRIMARY KEY);");
        flyway.succeed(&["migrate"]).await;
        flyway.script("V2__two.sql", "CREATE TABLE two (id INT); CREATE TABLE one (id INT);");
        let said = flyway.said(&["migrate"]).await;
        assert_eq!(said["error"]["errorCode"], "FAILED_VERSIONED_MIGRATION", "{said}");
        let schema = look(&fresh).await;
        assert_eq!(schema.current.as_deref(), Some("1"), "{kind}");
        let failed: Vec<String> = schema.failed().map(|it| it.called()).collect();
        match kind {
            Kind::Postgresql => assert_eq!((failed.len(), schema.transactional), (0, true)),
            Kind::Mysql => {
                assert_eq!(failed, ["V2__two.sql (version 2, \"two\")"]);
                assert!(!schema.transactional);
                flyway.remove("V2__two.sql").succeed(&["repair"]).await;
                assert_eq!(look(&fresh).await.failed().count(), 0);
            }
        }
    }
}

#[tokio::test]
async fn a_table_that_is_missing_there_twice_or_not_ours_to_read_is_told_with_what_to_do() {
    for kind in BOTH {
        let fresh = Fresh::of(kind).await;
        let why = unknown(&history(fresh.options(), "flyway_schema_history")).await;
        assert!(why.contains("there is no table `flyway_schema_history`"), "{kind}: {why}");
        let flyway = Flyway::of(&fresh);
        flyway.script("V1__one.sql", "CREATE TABLE one (id INT PRIMARY KEY);");
        flyway.succeed(&["migrate"]).await;
        let options = fresh.user("reader", &[]).await;
        let why = unknown(&history(options.clone(), "flyway_schema_history")).await;
        assert!(why.contains("GRANT"), "{kind}: {why}");
        assert!(!why.contains("hunter2"), "{why}");
        let grant = match kind {
            Kind::Postgresql => "GRANT SELECT ON flyway_schema_history TO {}".to_owned(),
            Kind::Mysql => {
                format!("GRANT SELECT ON {}.flyway_schema_history TO {{}}", fresh.name)
            }
        };
        let options = Options { password: Some(Secret::new("hunter2")), ..options };
        let who = match kind {
            Kind::Postgresql => options.database.user.clone(),
            Kind::Mysql => format!("{}@'127.0.0.1'", options.database.user),
        };
        fresh.run(&grant.replace("{}", &who)).await;
        let read = history(options, "flyway_schema_history").look().await;
        assert!(matches!(read, Seen::Known(_)), "{kind}: {read:?}");
        if kind == Kind::Postgresql {
            flyway.succeed(&["-schemas=other", "migrate"]).await;
            let why = unknown(&history(fresh.options(), "flyway_schema_history")).await;
            assert!(why.contains("schemas other, public"), "{why}");
            let one = history(fresh.options(), "other.flyway_schema_history").look().await;
            assert!(matches!(one, Seen::Known(_)), "{one:?}");
        }
    }
}

#[tokio::test]
async fn ten_thousand_rows_and_names_with_quotes_and_line_breaks_are_read_within_bounds() {
    for kind in BOTH {
        let fresh = Fresh::of(kind).await;
        let flyway = Flyway::of(&fresh);
        flyway.succeed(&["-baselineVersion=0", "baseline"]).await;
        let (numbers, name) = match kind {
            Kind::Postgresql => ("generate_series(2, 10001) AS n(seq)", "E'it''s\\n\"x\" \\\\'"),
            Kind::Mysql => ("seq_2_to_10001", "'it''s\\n\"x\" \\\\'"),
        };
        fresh
            .run(&format!(
                "INSERT INTO flyway_schema_history SELECT seq, {}, {name}, 'SQL', {name}, 7, 'x', now(), 1, {} FROM {numbers}",
                if kind == Kind::Mysql { "CAST(seq AS CHAR)" } else { "seq::text" },
                if kind == Kind::Mysql { "1" } else { "true" },
            ))
            .await;
        let schema = look(&fresh).await;
        assert_eq!((schema.rows, schema.newest.len()), (10_001, 500), "{kind}");
        assert_eq!(schema.current.as_deref(), Some("10001"), "{kind}");
        assert_eq!(schema.newest[0].description, "it's\n\"x\" \\", "{kind}");
        assert!(!schema.newest[0].called().contains('\n'));
        fresh
            .run("UPDATE flyway_schema_history SET checksum = 8 WHERE installed_rank = 9999")
            .await;
        assert_ne!(look(&fresh).await.digest, schema.digest, "{kind}: one that was repaired");
    }
}

/// What Flyway's own command line says of the same is the same, but for what only the table knows.
#[tokio::test]
async fn flyway_itself_tells_the_same_of_its_history_and_what_waits() {
    let fresh = Fresh::of(Kind::Mysql).await;
    let flyway = Flyway::of(&fresh);
    flyway.script("V3__orders.sql", "CREATE TABLE orders (id INT PRIMARY KEY);");
    flyway.script("R__view.sql", "CREATE OR REPLACE VIEW v AS SELECT 1 AS x;");
    flyway.succeed(&["migrate"]).await;
    flyway.script("V2__late.sql", "CREATE TABLE late (id INT PRIMARY KEY);");
    flyway.succeed(&["-outOfOrder=true", "migrate"]).await;
    flyway.script("V4__note.sql", "ALTER TABLE orders ADD COLUMN note INT; SELECT nonsense;");
    assert!(!flyway.said(&["migrate"]).await["error"].is_null());
    flyway.remove("V2__late.sql");
    flyway.script("V5__sum.sql", "ALTER TABLE orders ADD COLUMN total INT;");
    let info = async |table: &str| {
        let said = flyway.succeed(&[&format!("-table={table}"), "info"]).await;
        told(&said.to_string(), 500)
    };
    let by_flyway = info("flyway_schema_history").await.unwrap();
    let by_table = look(&fresh).await;
    assert_eq!((&by_flyway.current, by_flyway.rows), (&by_table.current, by_table.rows));
    let versions = |schema: &Schema| {
        let all = schema.newest.iter().map(|it| (it.rank, it.version.clone()));
        all.collect::<Vec<_>>()
    };
    assert_eq!(versions(&by_flyway), versions(&by_table));
    assert_eq!(by_flyway.failed().count(), 1);
    let missing = by_flyway.newest.iter().find(|it| it.version.as_deref() == Some("2")).unwrap();
    assert_eq!(missing.state, MigrationState::MissingSuccess, "which the table does not know");
    let waiting: Vec<_> = by_flyway.waiting.iter().map(|it| it.version.as_deref()).collect();
    assert_eq!(waiting, [Some("5")]);
    assert_eq!(info("flyway_schema_history").await.unwrap().revision(), by_flyway.revision());
}

/// A standby tells nothing; one that merely takes no writes tells all, and whoever would write is told why not.
#[tokio::test]
async fn a_database_that_takes_no_writes_is_read_and_says_so_to_who_would_write() {
    for kind in BOTH {
        let own = match kind {
            Kind::Postgresql => None,
            Kind::Mysql => {
                let started = tokio::task::spawn_blocking(move || Server::start(kind));
                Some(started.await.expect("it starts"))
            }
        };
        let fresh = match &own {
            Some(server) => Fresh::on(server).await,
            None => Fresh::of(kind).await,
        };
        let flyway = Flyway::of(&fresh);
        flyway.script("V1__one.sql", "CREATE TABLE one (id INT PRIMARY KEY);");
        flyway.succeed(&["migrate"]).await;
        let name = &fresh.name;
        let (grant, shut) = match kind {
            Kind::Postgresql => (
                "GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO {}".to_owned(),
                format!("ALTER DATABASE {name} SET default_transaction_read_only = on"),
            ),
            // Who may do everything may write there nevertheless.
            Kind::Mysql => (
                format!("GRANT SELECT, INSERT ON {name}.* TO {{}}"),
                "SET GLOBAL read_only = ON".to_owned(),
            ),
        };
        let user = fresh.user("user", &[&grant]).await;
        fresh.run(&shut).await;
        let seen = history(user.clone(), "flyway_schema_history").look().await;
        assert!(matches!(&seen, Seen::Known(it) if it.rows == 1), "{kind}: {seen:?}");
        let mut writes = Session::open_to_write(&user).await.expect("it lets us in");
        let refused = writes.run("INSERT INTO one VALUES (1)").await.expect_err("it is shut");
        assert_eq!(refused.problem, Problem::ReadOnly, "{kind}: {refused}");
        assert!(refused.in_words().contains("let it take writes"), "{}", refused.in_words());
    }
}

//! The real sqlx-cli: its history is read, and its revert takes migrations back down to an exact version.

use std::{fs, path::Path, process::Output};

use rollbackd::{
    databases::{Kind, history::Name},
    domain::{
        plan::{Action, CommandLine, EnvValue, SchemaAt, Step},
        run::{Order, Outcome, Report},
        schema::{MigrationState, Schema, between, trouble::Looks, undo::UndoBy},
    },
    executors,
    store::{self, Store},
    units::{Span, UnixMs},
};
use tempfile::TempDir;

use super::{
    histories::{history, look_at},
    server::{BOTH, Fresh},
};

const TABLE: &str = "_sqlx_migrations";

/// A directory of migrations, and where they are run.
struct Sqlx<'d> {
    sources: TempDir,
    database: &'d Fresh<'d>,
}

impl<'d> Sqlx<'d> {
    fn of(database: &'d Fresh<'d>) -> Self {
        Self { sources: TempDir::new().unwrap(), database }
    }

    fn migration(&self, name: &str, up: &str, down: &str) {
        for (which, sql) in [("up", up), ("down", down)] {
            fs::write(self.sources.path().join(format!("{name}.{which}.sql")), sql).unwrap();
        }
    }

    fn url(&self) -> String {
        let scheme = if self.database.kind == Kind::Mysql { "mysql" } else { "postgres" };
        let server = self.database.server;
        let (user, password, port) = (server.administrator(), server.password(), server.port());
        format!("{scheme}://{user}:{password}@127.0.0.1:{port}/{}", self.database.name)
    }

    fn argv(&self, arguments: &[&str]) -> Vec<String> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rig/sqlx");
        let source = self.sources.path().display().to_string();
        let own = [&script.display().to_string(), "run", "migrate"].map(str::to_owned).into_iter();
        let own = own.chain(arguments.iter().map(|it| (*it).to_owned()));
        own.chain(["--source".to_owned(), source]).collect()
    }

    async fn run(&self) -> Output {
        let argv = self.argv(&["run"]);
        let mut command = tokio::process::Command::new(&argv[0]);
        command.args(&argv[1..]).env("DATABASE_URL", self.url());
        command.output().await.expect("run tests/rig/sqlx install")
    }

    async fn migrate(&self) -> Schema {
        let ran = self.run().await;
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{said} (if it is missing run tests/rig/sqlx install)");
        self.look().await
    }

    async fn look(&self) -> Schema {
        look_at(self.database, TABLE).await
    }

    async fn undo(&self, from: &Schema, to: &Schema, undone: &[&str]) -> Report {
        let dir = TempDir::new().unwrap();
        let store = Store::open(store::Options::new(dir.path())).unwrap();
        let options = executors::Options::new(dir.path().to_owned()).unwrap();
        let at = SchemaAt { database: "shop".into(), history_table: TABLE.into() };
        options.histories.adopt([(at.clone(), history(self.database.options(), TABLE))].into());
        // As `undo = ["sqlx", "migrate", "revert", "--target-version", "{to}"]` is filled in.
        let argv = self.argv(&["revert", "--target-version", &to.revision().version]);
        let env = [("DATABASE_URL".to_owned(), EnvValue::Text(self.url()))].into();
        let run = CommandLine { argv, env, dir: None, timeout: Span::minutes(1) };
        let undone = undone.iter().map(|it| (*it).to_owned()).collect();
        let (from, to) = (from.revision(), to.revision());
        let action = Action::MigrationsUndo { schema: at, from, to, undone, by: UndoBy::Run(run) };
        let (title, needs, timeout) = ("a step".to_owned(), vec![], Span::minutes(1));
        let what = Step { title, action, needs, timeout, attempts: 1, fallback: None };
        let run = "run-7".to_owned();
        let order = Order { run, step: 0, attempt: 1, fallback: false, resumed: false, what };
        executors::carry_out(&order, &options, store.lease()).await
    }
}

#[tokio::test]
async fn its_history_is_known_by_its_columns_and_reverted_to_an_exact_version() {
    for kind in BOTH {
        let database = Fresh::of(kind).await;
        let sqlx = Sqlx::of(&database);
        sqlx.migration(
            "20260101_orders",
            "CREATE TABLE orders (id INT PRIMARY KEY);",
            "DROP TABLE orders;",
        );
        let before = sqlx.migrate().await;
        assert_eq!(before.version(), "version 20260101", "{kind}");
        let newest = &before.newest[0];
        assert_eq!(
            (newest.script.as_str(), newest.state),
            ("20260101_orders", MigrationState::Success)
        );
        let now = UnixMs(jiff::Timestamp::now().as_millisecond());
        let ago = now.since(newest.installed_at.unwrap());
        assert!((-1_000..600_000).contains(&ago.ms()), "{kind}: {newest:?}");
        for (name, column) in [("20260103_add_note", "note"), ("20260104_sum", "total")] {
            let up = format!("ALTER TABLE orders ADD COLUMN {column} INT;");
            sqlx.migration(name, &up, &format!("ALTER TABLE orders DROP COLUMN {column};"));
        }
        let after = sqlx.migrate().await;
        let back = between::way_back(&after, &before.revision());
        assert_eq!(back.unwrap(), ["20260104", "20260103"], "{kind}");
        let report = sqlx.undo(&after, &before, &["20260104", "20260103"]).await;
        assert_eq!(report.outcome, Outcome::Done, "{kind}: {report:?}");
        let undone = sqlx.look().await;
        assert_eq!(undone.revision(), before.revision(), "{kind}: it is what it was");
        database.run("SELECT id FROM orders").await;
        let report = sqlx.undo(&after, &before, &["20260104", "20260103"]).await;
        assert_eq!(report.outcome, Outcome::AlreadyDone, "{kind}: {report:?}");
    }
}

/// Its versions are dates: one that is merged later is applied later, and lies between all the same.
#[tokio::test]
async fn an_older_version_that_was_applied_later_is_not_overlooked() {
    let database = Fresh::of(Kind::Postgresql).await;
    let sqlx = Sqlx::of(&database);
    sqlx.migration("3_three", "CREATE TABLE three (id INT);", "DROP TABLE three;");
    let good = sqlx.migrate().await.revision();
    sqlx.migration("2_two", "CREATE TABLE two (id INT);", "DROP TABLE two;");
    let now = sqlx.migrate().await;
    assert_eq!(now.version(), "version 3");
    assert_eq!(between::way_back(&now, &good).unwrap(), ["2"]);
}

#[tokio::test]
async fn what_failed_half_way_is_told_with_what_to_do_and_a_table_of_somebody_else_is_none() {
    let database = Fresh::of(Kind::Mysql).await;
    let sqlx = Sqlx::of(&database);
    sqlx.migration(
        "1_one",
        "CREATE TABLE one (id INT); CREATE TABLE one (id INT);",
        "DROP TABLE one;",
    );
    assert!(!sqlx.run().await.status.success());
    let schema = sqlx.look().await;
    assert_eq!((schema.failed().count(), schema.version().as_str()), (1, "no version"));
    let policy = rollbackd::domain::schema::DatabasePolicy {
        place: "shop".into(),
        stuck_after: Span::minutes(30),
        every: Span::seconds(30),
        compatible_marker: None,
    };
    let trouble = Looks::after(None, schema, UnixMs(0)).trouble(&policy).unwrap();
    assert!(
        trouble.says.contains("1_one") && trouble.says.ends_with("delete that row"),
        "{}",
        trouble.says
    );

    database.run("CREATE TABLE other (version INT, success INT)").await;
    let mut other = history(database.options(), TABLE);
    other.name = Name::parse("other").unwrap();
    let why = other.read().await.unwrap_err().to_string();
    assert!(why.contains("of neither Flyway nor sqlx: its columns are success, version"), "{why}");
}

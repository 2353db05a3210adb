//! Migrations are taken back by the tool that made them; the history, and not the tool, says how far that came.

use std::{fs, os::unix::fs::PermissionsExt};

use rollbackd::{
    databases::Kind,
    domain::{
        plan::{Action, CommandLine, EnvValue, SchemaAt, Step},
        run::{Order, Outcome, Report},
        schema::{Schema, undo::UndoBy},
    },
    executors,
    store::{self, Store},
    units::Span,
};
use tempfile::TempDir;

use super::{
    flyway::Flyway,
    histories::{history, look},
    server::{BOTH, Fresh},
};

const TABLE: &str = "flyway_schema_history";

struct Hands {
    options: executors::Options,
    store: Store,
    dir: TempDir,
}

fn at() -> SchemaAt {
    SchemaAt { database: "shop".into(), history_table: TABLE.into() }
}

impl Hands {
    fn new(database: &Fresh<'_>) -> Self {
        let dir = TempDir::new().unwrap();
        let store = Store::open(store::Options::new(dir.path())).unwrap();
        let options = executors::Options::new(dir.path().to_owned()).unwrap();
        options.histories.adopt([(at(), history(database.options(), TABLE))].into());
        Self { options, store, dir }
    }

    /// A tool that does this.
    fn tool(&self, script: &str) -> Vec<String> {
        let path = self.dir.path().join("undo");
        fs::write(&path, format!("#!/bin/sh\nset -e\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        vec![path.display().to_string()]
    }

    async fn undo(&self, from: &Schema, to: &Schema, undone: &[&str], argv: Vec<String>) -> Report {
        let (title, needs, fallback) = ("a step".to_owned(), vec![], None);
        let env = [("TOLD".to_owned(), EnvValue::Text("yes".into()))].into();
        let action = Action::MigrationsUndo {
            schema: at(),
            from: from.revision(),
            to: to.revision(),
            undone: undone.iter().map(|it| (*it).to_owned()).collect(),
            by: UndoBy::Run(CommandLine { argv, env, dir: None, timeout: Span::minutes(1) }),
        };
        let timeout = Span::minutes(1);
        let what = Step { title, action, needs, timeout, attempts: 1, fallback };
        let run = "run-7".to_owned();
        let order = Order { run, step: 0, attempt: 1, fallback: false, resumed: false, what };
        executors::carry_out(&order, &self.options, self.store.lease()).await
    }
}

fn why(report: &Report) -> &str {
    match &report.outcome {
        Outcome::Failed { why, retry: false } => why,
        other @ (Outcome::Done
        | Outcome::AlreadyDone
        | Outcome::Failed { .. }
        | Outcome::Unknown { .. }
        | Outcome::Withheld { .. }) => panic!("{other:?}"),
    }
}

/// Three migrations, and the history before the last two of them.
async fn migrated(database: &Fresh<'_>) -> (Flyway, Schema, Schema) {
    let flyway = Flyway::of(database);
    flyway.script("V1__orders.sql", "CREATE TABLE orders (id INT PRIMARY KEY);");
    flyway.succeed(&["migrate"]).await;
    let before = look(database).await;
    flyway.script("V2__note.sql", "ALTER TABLE orders ADD COLUMN note INT;");
    flyway.script("V3__sum.sql", "ALTER TABLE orders ADD COLUMN total INT;");
    flyway.succeed(&["migrate"]).await;
    let after = look(database).await;
    (flyway, before, after)
}

/// As the server's own client is called with these statements, which read `TOLD` is proof that the environment came.
fn client(database: &Fresh<'_>, sql: &str) -> String {
    let (port, name) = (database.server.port(), &database.name);
    let (user, password) = (database.server.administrator(), database.server.password());
    let ran = match database.kind {
        Kind::Postgresql => format!(
            "PGPASSWORD='{password}' $(ls /usr/lib/postgresql/*/bin/psql | tail -1) -q -h 127.0.0.1 -p {port} -U {user} -d {name} -v ON_ERROR_STOP=1 -c \"$SQL\""
        ),
        Kind::Mysql => format!(
            "mariadb --protocol=tcp -h 127.0.0.1 -P {port} -u {user} -p'{password}' {name} -e \"$SQL\""
        ),
    };
    format!("test \"$TOLD\" = yes\nSQL='{sql}'\n{ran}")
}

#[tokio::test]
async fn they_are_taken_back_once_and_half_of_them_is_for_people() {
    for kind in BOTH {
        let database = Fresh::of(kind).await;
        let (flyway, before, after) = migrated(&database).await;
        let hands = Hands::new(&database);
        let drops = |column: &str, version: u32| {
            format!(
                "ALTER TABLE orders DROP COLUMN {column}; DELETE FROM {TABLE} WHERE installed_rank = {version};"
            )
        };
        let half = hands.tool(&format!("{}\nexit 1", client(&database, &drops("total", 3))));
        let report = hands.undo(&after, &before, &["3", "2"], half.clone()).await;
        let said = why(&report);
        assert!(said.contains("stopped half-way: 2 of 3, 2 are still there"), "{kind}: {said}");
        assert!(!report.unmoved, "{kind}: {report:?}");
        // It is not begun again from there.
        let report = hands.undo(&after, &before, &["3", "2"], half).await;
        assert!(why(&report).contains("stopped half-way"), "{kind}: {report:?}");

        flyway.succeed(&["migrate"]).await;
        let after = look(&database).await;
        let both = format!("{} {}", drops("total", 3), drops("note", 2));
        let whole = hands.tool(&client(&database, &both));
        let report = hands.undo(&after, &before, &["3", "2"], whole.clone()).await;
        assert_eq!(report.outcome, Outcome::Done, "{kind}: {report:?}");
        assert_eq!(look(&database).await.version(), "version 1");
        let report = hands.undo(&after, &before, &["3", "2"], whole).await;
        assert_eq!(report.outcome, Outcome::AlreadyDone, "{kind}: {report:?}");
    }
}

#[tokio::test]
async fn who_migrates_in_between_is_not_undone_and_a_tool_that_does_nothing_is_told_apart() {
    let database = Fresh::of(Kind::Postgresql).await;
    let (flyway, before, after) = migrated(&database).await;
    let hands = Hands::new(&database);
    let idle = hands.tool("echo nothing to do");
    let report = hands.undo(&after, &before, &["3", "2"], idle.clone()).await;
    assert!(why(&report).contains("nothing was taken back") && report.unmoved, "{report:?}");
    assert!(report.output.contains("nothing to do"), "{report:?}");
    let missing = vec!["/no/such/flyway".to_owned(), "undo".to_owned()];
    let report = hands.undo(&after, &before, &["3", "2"], missing).await;
    let said = why(&report);
    assert!(said.contains("was not found") && said.contains("nothing was taken back"), "{said}");
    assert!(report.unmoved, "{report:?}");
    // What it reads by itself the daemon was never told.
    let tells = hands.tool("echo 'no way: postgres://ada:hunter2@db/shop, password=hunter2'");
    let report = hands.undo(&after, &before, &["3", "2"], tells).await;
    assert!(
        report.output.contains("[hidden]") && !format!("{report:?}").contains("hunter2"),
        "{report:?}"
    );
    // The real one, whose free edition has none.
    let report =
        hands.undo(&after, &before, &["3", "2"], flyway.argv(&["undo", "-target=2"])).await;
    assert!(why(&report).contains("this edition of Flyway has no undo"), "{report:?}");
    assert!(report.unmoved, "{report:?}");

    flyway.script("V4__more.sql", "ALTER TABLE orders ADD COLUMN more INT;");
    flyway.succeed(&["migrate"]).await;
    let report = hands.undo(&after, &before, &["3", "2"], idle).await;
    assert!(
        why(&report).contains("somebody migrated in between, it is at version 4"),
        "{report:?}"
    );
    assert!(!report.unmoved, "{report:?}");
}

/// MariaDB has no row of a script of which half was run: whatever it took away stays away.
#[tokio::test]
async fn what_a_server_that_takes_nothing_back_was_told_half_of_is_not_as_it_was() {
    for kind in BOTH {
        let database = Fresh::of(kind).await;
        let (flyway, before, after) = migrated(&database).await;
        let hands = Hands::new(&database);
        let half = "BEGIN; ALTER TABLE orders DROP COLUMN total; SELECT nonsense;";
        let half = hands.tool(&client(&database, half));
        let report = hands.undo(&after, &before, &["3", "2"], half).await;
        assert!(why(&report).contains("nothing was taken back"), "{kind}: {report:?}");
        assert_eq!(report.unmoved, kind == Kind::Postgresql, "{kind}: {report:?}");
        let report =
            hands.undo(&after, &before, &["3", "2"], flyway.argv(&["undo", "-target=2"])).await;
        assert!(report.unmoved, "{kind}, which the tool has not touched: {report:?}");
    }
}

//! Scripts that take a PostgreSQL schema back, in one transaction: what was tried and approved happens, or nothing does.

use std::{collections::BTreeMap, fs, time::Duration};

use rollbackd::{
    databases::{Kind, Session},
    domain::{
        integrity::Expects,
        inventory::Check,
        plan::{Action, SchemaAt, Step},
        run::{Order, Outcome, Report},
        schema::{
            Schema,
            script::{Changes, ScriptRun, sha256},
        },
    },
    executors::{
        self,
        script::{Scripted, script_preflight},
    },
    store::{self, Store},
    units::Span,
};
use tempfile::TempDir;

use super::{
    flyway::Flyway,
    histories::{history, look},
    server::Fresh,
};
use crate::rig::eventually;

const TABLE: &str = "flyway_schema_history";
const BACK: &str = "-- back to 1
ALTER TABLE orders DROP COLUMN total;
DROP INDEX orders_note;
ALTER TABLE orders DROP COLUMN note;
DELETE FROM flyway_schema_history WHERE version IN ('2', '3');
";

struct Hands<'d> {
    options: executors::Options,
    store: Store,
    dir: TempDir,
    database: Fresh<'d>,
    before: Schema,
    after: Schema,
}

fn at() -> SchemaAt {
    SchemaAt { database: "shop".into(), history_table: TABLE.into() }
}

impl Hands<'static> {
    /// Three migrations, of which two are to go; and two orders.
    async fn new(checks: &[(&str, &str)]) -> Self {
        let database = Fresh::of(Kind::Postgresql).await;
        let flyway = Flyway::of(&database);
        flyway.script("V1__orders.sql", "CREATE TABLE orders (id INT PRIMARY KEY, of INT);");
        flyway.succeed(&["migrate"]).await;
        let before = look(&database).await;
        let two =
            "ALTER TABLE orders ADD COLUMN note text; CREATE INDEX orders_note ON orders (note);";
        flyway.script("V2__note.sql", two);
        flyway.script("V3__sum.sql", "ALTER TABLE orders ADD COLUMN total INT NOT NULL DEFAULT 0;");
        flyway.succeed(&["migrate"]).await;
        database.run("INSERT INTO orders (id, of) VALUES (1, 1), (2, 1)").await;
        let after = look(&database).await;
        let dir = TempDir::new().unwrap();
        let store = Store::open(store::Options::new(dir.path())).unwrap();
        let options = executors::Options::new(dir.path().to_owned()).unwrap();
        let checks = checks
            .iter()
            .map(|(name, query)| ((*name).to_owned(), ((*query).to_owned(), Expects::NoRow)));
        let scripted = Scripted {
            history: history(database.options(), TABLE),
            through: database.options(),
            checks: checks.collect(),
        };
        options.scripts.adopt([(at(), scripted)].into());
        Self { options, store, dir, database, before, after }
    }

    fn script(&self, text: &str) -> ScriptRun {
        let file = self.dir.path().join("reverse.sql");
        fs::write(&file, text).unwrap();
        ScriptRun {
            schema: at(),
            file: file.display().to_string(),
            sha256: sha256(text.as_bytes()),
            from: self.after.revision(),
            to: self.before.revision(),
            undone: vec!["3".into(), "2".into()],
            lock_timeout: Span::seconds(1),
            timeout: Span::seconds(30),
            verify: BTreeMap::new(),
        }
    }

    async fn tried(&self, script: &ScriptRun) -> Result<Changes, String> {
        self.options.scripts.try_out(script).await
    }

    /// Whether somebody else would wait for the table.
    async fn is_locked(&self) -> bool {
        let mut session = Session::open_to_write(&self.database.options()).await.unwrap();
        let read = session.rows("SET lock_timeout = '50ms'; SELECT count(*) FROM orders").await;
        session.close().await;
        read.is_err()
    }

    async fn refused(&self, text: &str) -> String {
        let why = self.tried(&self.script(text)).await.unwrap_err();
        self.is_untouched().await;
        why
    }

    async fn run(&self, script: &ScriptRun, changed: &str, resumed: bool) -> Report {
        let (title, needs, fallback) = ("a step".to_owned(), vec![], None);
        let action = Action::ReverseScript {
            script: Box::new(script.clone()),
            bytes: 0,
            head: vec![],
            changes: vec![],
            changed: changed.to_owned(),
        };
        let timeout = Span::minutes(1);
        let what = Step { title, action, needs, timeout, attempts: 1, fallback };
        let run = "run-7".to_owned();
        let order = Order { run, step: 0, attempt: 1, fallback: false, resumed, what };
        executors::carry_out(&order, &self.options, self.store.lease()).await
    }

    async fn columns(&self) -> Vec<String> {
        let sql = "SELECT column_name::text FROM information_schema.columns WHERE table_name = 'orders' ORDER BY 1";
        self.database.run(sql).await.into_iter().flatten().flatten().collect()
    }

    async fn is_untouched(&self) {
        assert_eq!(look(&self.database).await.revision(), self.after.revision());
        assert_eq!(self.columns().await, ["id", "note", "of", "total"]);
        let rows = self.database.run("SELECT count(*)::text FROM orders").await;
        assert_eq!(rows, [[Some("2".to_owned())]]);
    }
}

/// With the history as it is now.
async fn looked_at(scripted: Scripted) -> Vec<Check> {
    let read = scripted.history.read().await.map_err(|why| why.to_string());
    script_preflight(&scripted, &read).await
}

fn why(report: &Report) -> (&str, bool) {
    match &report.outcome {
        Outcome::Failed { why, retry } => (why, *retry),
        other @ (Outcome::Done
        | Outcome::AlreadyDone
        | Outcome::Unknown { .. }
        | Outcome::Withheld { .. }) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_a_trial_shows_is_taken_back_and_is_what_a_run_does_once() {
    let hands = Hands::new(&[(
        "orphans",
        "SELECT 1 FROM orders o WHERE of NOT IN (SELECT id FROM orders)",
    )])
    .await;
    let script = hands.script(BACK);
    let changes = hands.tried(&script).await.unwrap();
    hands.is_untouched().await;
    assert_eq!(
        changes.catalogue,
        [
            "- column public.orders.note text",
            "- column public.orders.total integer not null default 0",
            "- index public.orders_note: CREATE INDEX orders_note ON public.orders USING btree (note)",
        ]
    );
    assert_eq!(changes.rows, ["public.flyway_schema_history: 2 deleted"]);
    assert_eq!(changes.checks, ["the check orphans passes after it"]);

    let report = hands.run(&script, &changes.sha256, false).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    assert!(report.output.contains("- column public.orders.note text"), "{report:?}");
    assert_eq!(look(&hands.database).await.revision(), hands.before.revision());
    assert_eq!(hands.columns().await, ["id", "of"]);
    // Whoever began it: it is whole, and not run again.
    for (resumed, outcome) in [(false, Outcome::AlreadyDone), (true, Outcome::Done)] {
        let report = hands.run(&script, &changes.sha256, resumed).await;
        assert_eq!(report.outcome, outcome, "{report:?}");
    }
}

#[tokio::test]
async fn a_script_that_was_changed_or_changes_something_else_is_not_run() {
    let hands = Hands::new(&[]).await;
    let script = hands.script(BACK);
    let changes = hands.tried(&script).await.unwrap();
    // Somebody adds an index: dropping the column takes it along, which nobody approved.
    hands.database.run("CREATE INDEX by_total ON orders (total)").await;
    let report = hands.run(&script, &changes.sha256, false).await;
    assert!(
        why(&report).0.contains("changes something else now than when it was tried"),
        "{report:?}"
    );
    assert!(report.unmoved, "{report:?}");
    hands.is_untouched().await;
    hands.script(&format!("{BACK}-- reviewed\n"));
    let report = hands.run(&script, &changes.sha256, false).await;
    let (said, retry) = why(&report);
    assert!(said.contains("was changed: its sha256 is") && !retry, "{said}");
    hands.is_untouched().await;
    fs::remove_file(&script.file).unwrap();
    let report = hands.run(&script, &changes.sha256, false).await;
    assert!(why(&report).0.contains("cannot be read"), "{report:?}");
}

#[tokio::test]
async fn what_ends_elsewhere_than_where_it_should_leaves_nothing_behind() {
    let hands = Hands::new(&[]).await;
    let forgets = BACK.replace("'2', '3'", "'3'");
    let said = hands.refused(&forgets).await;
    assert!(said.contains("after it the history is at version 2, and must be at 1"), "{said}");
    let said = hands.refused(&format!("{BACK}SELECT 1 / 0;")).await;
    assert!(said.contains("division by zero"), "{said}");
    assert!(
        said.ends_with("see what the script says, and whether it is of this release"),
        "{said}"
    );
    let said = hands.refused(&format!("{BACK}COMMIT;")).await;
    assert!(said.contains("line 6: COMMIT would leave"), "{said}");
    // One that the text does not show: the server ends no transaction inside of another.
    let said = hands.refused(&format!("{BACK}DO $$ BEGIN COMMIT; END $$;")).await;
    assert!(said.contains("invalid transaction termination"), "{said}");
    // A constraint that would only be looked at when it is committed.
    let deferred = format!(
        "{BACK}ALTER TABLE orders ADD CONSTRAINT known FOREIGN KEY (of) REFERENCES orders (id) DEFERRABLE INITIALLY DEFERRED;
         UPDATE orders SET of = 9;"
    );
    let said = hands.refused(&deferred).await;
    assert!(said.contains("violates foreign key constraint"), "{said}");
}

#[tokio::test]
async fn the_data_must_be_what_they_should_be_before_it_is_committed() {
    let empty = "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM orders)";
    let noted = "SELECT 1 FROM orders WHERE note IS NOT NULL";
    let burns = "SELECT 1 FROM orders";
    let hands = Hands::new(&[("empty", empty), ("noted", noted), ("burns", burns)]).await;
    let said = hands.refused(&format!("DELETE FROM orders; {BACK}")).await;
    assert!(said.contains("the check empty passes before it and is violated after it"), "{said}");
    // What was violated before is no reason to leave it so, and what cannot be asked was made for what goes.
    let changes = hands.tried(&hands.script(BACK)).await.unwrap();
    assert!(
        changes.checks[0]
            .contains("the check burns is violated after it, and did not pass before: 2 rows")
    );
    assert_eq!(changes.checks[1], "the check empty passes after it");
    assert!(changes.checks[2].contains("the check noted cannot be asked after it"), "{changes:?}");

    let mut script = hands.script(BACK);
    let queries = [("no order", burns), ("no note", noted)];
    for (query, told) in
        [(0, "after it `no order` is violated: 2 rows"), (1, "nobody can tell `no note`")]
    {
        let (what, asks) = queries[query];
        script.verify = [(what.to_owned(), asks.to_owned())].into();
        let said = hands.tried(&script).await.unwrap_err();
        assert!(said.contains(told), "{said}");
    }
    hands.is_untouched().await;
    script.verify = [("some order".to_owned(), empty.to_owned())].into();
    let changes = hands.tried(&script).await.unwrap();
    assert_eq!(changes.checks[0], "some order: passes after it");
}

/// A check that asks for a column that goes was made for it; one that fails otherwise may hide what the script broke.
#[tokio::test]
async fn a_check_that_passed_and_of_which_nobody_can_tell_afterwards_takes_the_script_back() {
    let there = "(SELECT count(*) FROM flyway_schema_history WHERE version = '2')";
    let divides = format!("SELECT 1 WHERE 1 / {there} = 7");
    let slow = format!(
        "SELECT 1 FROM (SELECT CASE {there} WHEN 1 THEN NULL ELSE pg_sleep(60)::text END AS x) s WHERE x IS NOT NULL"
    );
    for (query, told) in [(divides, "division by zero"), (slow, "did not answer in time")] {
        let hands = Hands::new(&[("doubtful", &query)]).await;
        let said = hands.refused(&format!("SET LOCAL statement_timeout = 500; {BACK}")).await;
        let begins = "the check doubtful passes before it, and after it nobody can tell: ";
        assert!(said.starts_with(begins) && said.contains(told), "{said}");
    }
}

#[tokio::test]
async fn a_lock_that_does_not_come_in_time_ends_it_and_the_next_attempt_may_go_well() {
    let hands = Hands::new(&[]).await;
    let script = hands.script(BACK);
    let changes = hands.tried(&script).await.unwrap();
    let mut holder = Session::open_to_write(&hands.database.options()).await.unwrap();
    holder.run("BEGIN; LOCK TABLE orders IN ACCESS SHARE MODE").await.unwrap();
    let begun = std::time::Instant::now();
    let report = hands.run(&script, &changes.sha256, false).await;
    let (said, retry) = why(&report);
    assert!(said.contains("lock timeout") && retry, "{said}");
    assert!(
        said.ends_with("or give it longer: lock_timeout of the script, undo_timeout"),
        "{said}"
    );
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    holder.run("ROLLBACK").await.unwrap();
    hands.is_untouched().await;
    let report = hands.run(&script, &changes.sha256, false).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
}

#[tokio::test]
async fn a_database_that_takes_no_writes_says_so_before_anything_of_a_script_is_run() {
    let hands = Hands::new(&[]).await;
    let name = &hands.database.name;
    hands
        .database
        .run(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on"))
        .await;
    let said = hands.refused(BACK).await;
    assert!(said.contains("it takes no writes") && said.contains("name the primary"), "{said}");
}

#[tokio::test]
async fn who_migrates_in_between_is_seen_inside_of_the_transaction() {
    let hands = Hands::new(&[]).await;
    let script = hands.script(BACK);
    let changes = hands.tried(&script).await.unwrap();
    hands.database.run("UPDATE flyway_schema_history SET checksum = 9 WHERE version = '3'").await;
    let report = hands.run(&script, &changes.sha256, false).await;
    assert!(why(&report).0.contains("somebody migrated in between"), "{report:?}");
    assert!(!report.unmoved, "{report:?}");
    assert_eq!(hands.columns().await, ["id", "note", "of", "total"]);
}

/// Whoever sees what it blocks and gives it up must not wait for the rest of it.
#[tokio::test]
async fn one_that_is_given_up_lets_go_of_what_it_locked_at_once() {
    let hands = Hands::new(&[]).await;
    let script = hands.script("ALTER TABLE orders DROP COLUMN total; SELECT pg_sleep(60);");
    let locked = async || hands.is_locked().await.then_some(());
    tokio::select! {
        came = hands.tried(&script) => panic!("{came:?}"),
        () = eventually("the table is locked", Duration::from_secs(20), locked) => {}
    }
    let free = async || (!hands.is_locked().await).then_some(());
    eventually("the table is free again", Duration::from_secs(10), free).await;
    hands.is_untouched().await;
}

#[tokio::test]
async fn what_it_takes_is_told_before_there_is_need() {
    let hands = Hands::new(&[]).await;
    let database = &hands.database;
    let history = history(database.options(), TABLE);
    let of = |through| Scripted { history: history.clone(), through, checks: [].into() };
    let all = looked_at(of(database.options())).await;
    assert!(all[0].ok && all[0].why.starts_with("postgres may change every table"), "{all:?}");
    let guest = database.user("guest", &[]).await;
    let name = &database.name;
    database.run(&format!("REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC")).await;
    let all = looked_at(of(guest.clone())).await;
    assert!(!all[0].ok, "{all:?}");
    for grant in all[0].why.split("may not: ").nth(1).unwrap().split("; ") {
        database.run(grant).await;
    }
    let all = looked_at(of(guest)).await;
    assert!(all[0].ok && all[0].why.contains("2 tables beside it belong to others"), "{all:?}");
    let read_only = format!("ALTER DATABASE {name} SET default_transaction_read_only = on");
    database.run(&read_only).await;
    let all = looked_at(of(database.options())).await;
    assert!(!all[0].ok && all[0].why.contains("takes no writes: default_transaction"), "{all:?}");
}

/// What a script leaves open to others, or closes, is what whoever approves it most wants to see.
#[tokio::test]
async fn what_changes_only_who_may_do_what_is_shown_and_is_in_the_hash() {
    let hands = Hands::new(&[]).await;
    let (one, other) = ("one", "other");
    for name in [one, other] {
        hands.database.user(name, &[]).await;
    }
    let [one, other] = [one, other].map(|name| format!("{name}_{}", hands.database.name));
    hands
        .database
        .run(&format!(
            "CREATE FUNCTION f(a int) RETURNS int LANGUAGE sql AS 'SELECT $1'; CREATE DOMAIN d AS int; \
             CREATE TYPE e AS ENUM ('a', 'b'); GRANT UPDATE ON orders TO {one}; GRANT INSERT (id) ON orders TO {one}; \
             CREATE POLICY p ON orders USING (true)"
        ))
        .await;
    let none = hands.tried(&hands.script(BACK)).await.unwrap();
    // Each alone is another change, with a line of its own.
    let all = [
        (format!("GRANT SELECT ON orders TO {one}"), format!("+ granted on table public.orders to {one}: SELECT, UPDATE")),
        (format!("REVOKE ALL ON orders FROM {one}"), format!("- granted on table public.orders to {one}: UPDATE")),
        (format!("GRANT SELECT (id) ON orders TO {one}"), format!("+ granted on column public.orders.id to {one}: INSERT, SELECT")),
        (format!("GRANT CREATE ON SCHEMA public TO {one}"), format!("+ granted on schema public to {one}: CREATE")),
        (format!("GRANT CREATE ON DATABASE {} TO {one}", hands.database.name), format!("+ granted on database {} to {one}: CREATE", hands.database.name)),
        ("REVOKE ALL ON FUNCTION f(int) FROM public".into(), "+ revoked on function public.f(a integer) from public: EXECUTE".into()),
        ("REVOKE ALL ON TYPE d FROM public".into(), "+ revoked on type public.d from public: USAGE".into()),
        (format!("ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO {one}"), format!("+ granted on what postgres makes in the schema public, by itself (tables): {one}=r/postgres")),
        (format!("ALTER TABLE orders OWNER TO {other}"), format!("+ table public.orders, owner {other}")),
        ("ALTER TABLE orders ENABLE ROW LEVEL SECURITY".into(), "+ row security of public.orders: on".into()),
        ("ALTER TABLE orders FORCE ROW LEVEL SECURITY".into(), "+ row security of public.orders: off, for its owner too".into()),
        (format!("CREATE POLICY q ON orders AS RESTRICTIVE FOR UPDATE TO {one} USING (id > 1) WITH CHECK (id > 2)"), format!("+ policy q on public.orders: restrictive for update to {one} using ((id > 1)) with check ((id > 2))")),
        ("DROP POLICY p ON orders".into(), "- policy p on public.orders: permissive for all to public using (true)".into()),
        ("ALTER FUNCTION f(int) SECURITY DEFINER".into(), "+ function public.f(a integer), owner postgres, volatile, security definer: ".into()),
        ("ALTER FUNCTION f(int) STABLE".into(), "+ function public.f(a integer), owner postgres, stable, security invoker: ".into()),
        ("ALTER FUNCTION f(int) SET search_path = public".into(), "+ function public.f(a integer), owner postgres, volatile, security invoker: ".into()),
        (format!("ALTER FUNCTION f(int) OWNER TO {other}"), format!("+ function public.f(a integer), owner {other}, volatile")),
        ("ALTER DOMAIN d SET NOT NULL".into(), "+ domain public.d, owner postgres: integer not null".into()),
        ("ALTER DOMAIN d ADD CONSTRAINT c CHECK (VALUE > 1)".into(), "+ constraint c on the domain public.d: CHECK ((VALUE > 1))".into()),
        ("ALTER TYPE e ADD VALUE 'c'".into(), "+ enumeration public.e, owner postgres: a, b, c".into()),
        ("CREATE TYPE t AS (a int)".into(), "+ column public.t.a integer".into()),
        ("CREATE VIEW v WITH (security_barrier) AS SELECT 1 AS a".into(), "+ view public.v, owner postgres, with security_barrier=true: SELECT 1 AS a;".into()),
        ("CREATE RULE r AS ON DELETE TO orders DO INSTEAD NOTHING".into(), "+ rule r on public.orders: CREATE RULE r AS ON DELETE TO public.orders DO INSTEAD NOTHING;O".into()),
        ("DROP EXTENSION plpgsql".into(), "- extension plpgsql 1.0, owner postgres, in the schema pg_catalog".into()),
        (format!("ALTER SCHEMA public OWNER TO {other}"), format!("+ schema public, owner {other}")),
    ];
    let mut hashes = std::collections::BTreeSet::from([none.sha256.clone()]);
    for (statement, line) in all {
        let changes = hands.tried(&hands.script(&format!("{BACK}{statement};"))).await;
        let changes = changes.unwrap_or_else(|why| panic!("{statement}: {why}"));
        let found = changes.catalogue.iter().any(|it| it.starts_with(&line));
        assert!(found, "{statement}: {:?}", changes.catalogue);
        assert!(hashes.insert(changes.sha256), "{statement} changes no more than others");
    }
    // What is usual and is merely written down now is no change.
    let written = hands.script(&format!(
        "{BACK}GRANT SELECT ON flyway_schema_history TO {one}; REVOKE SELECT ON flyway_schema_history FROM {one};"
    ));
    assert_eq!(hands.tried(&written).await.unwrap().sha256, none.sha256);

    // Somebody grants more on what goes, in between: that goes too, and nobody approved it.
    let script = hands.script(BACK);
    hands.database.run(&format!("GRANT SELECT (note) ON orders TO {other}")).await;
    let report = hands.run(&script, &none.sha256, false).await;
    assert!(why(&report).0.contains("changes something else now"), "{report:?}");
    hands.is_untouched().await;
}

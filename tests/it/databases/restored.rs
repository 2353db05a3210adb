//! A snapshot is restored beside what is there, seen to hold what it should, and put in its place: with the real server and its
//! own programs.

use std::{path::Path, process::Command};

use jiff::tz::TimeZone;
use rollbackd::{
    databases::{Kind, Options, Session},
    domain::{
        inventory::Check,
        plan::{Action, CommandLine, EnvValue, SchemaAt, Step, hex},
        run::{Order, Outcome, Report},
        schema::{
            Schema,
            snapshot::{Snapshot, Snapshots},
        },
    },
    executors::{
        self,
        snapshot::{Files, Keeper, Known, snapshot_preflight, snapshots},
    },
    store::{self, Store},
    units::{Span, UnixMs},
};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::{
    flyway::Flyway,
    histories::{history, look},
    server::Fresh,
};

const TABLE: &str = "flyway_schema_history";

/// A shop with a snapshot that was taken before its last migration.
struct Shop {
    database: Fresh<'static>,
    flyway: Flyway,
    options: executors::Options,
    store: Store,
    dir: TempDir,
    known: Known,
    before: Schema,
    /// Who restores, where that is not who may do everything.
    through: Option<Options>,
    zone: TimeZone,
}

fn at() -> SchemaAt {
    SchemaAt { database: "shop".into(), history_table: TABLE.into() }
}

/// As a backup would, a while ago.
pub(crate) fn dump(database: &Fresh<'_>, path: &Path) {
    dump_in(database, path, "UTC");
}

/// The same on a machine of that time zone.
fn dump_in(database: &Fresh<'_>, path: &Path, zone: &str) {
    let server = database.server;
    let ran = Command::new(program("pg_dump"))
        .args(["-Fc", "-h", "127.0.0.1", "-U", server.administrator()])
        .args(["-p", &server.port().to_string(), "-f"])
        .args([path.as_os_str(), database.name.as_ref()])
        .env("PGPASSWORD", server.password())
        .env("TZ", zone)
        .output()
        .expect("pg_dump can be started");
    assert!(ran.status.success(), "{ran:?}");
    age(path);
}

/// Of the newest release that is installed.
pub(crate) fn program(name: &str) -> String {
    let series = std::fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is installed");
    let newest = series.flatten().map(|entry| entry.path().join("bin").join(name)).max();
    newest.expect("a release of it").display().to_string()
}

impl Shop {
    async fn open() -> Self {
        let database = Fresh::of(Kind::Postgresql).await;
        let flyway = Flyway::of(&database);
        flyway
            .script("V1__orders.sql", "CREATE TABLE orders (id INT PRIMARY KEY, at TIMESTAMPTZ);");
        flyway.succeed(&["migrate"]).await;
        database.run("INSERT INTO orders SELECT n, now() - interval '1 hour' FROM generate_series(1, 100) n").await;
        let before = look(&database).await;
        let dir = TempDir::new().unwrap();
        let store = Store::open(store::Options::new(dir.path())).unwrap();
        let options = executors::Options::new(dir.path().to_owned()).unwrap();
        let shop = Self {
            database,
            flyway,
            options,
            store,
            dir,
            known: Known::default(),
            before,
            through: None,
            zone: TimeZone::UTC,
        };
        shop.options.keepers.adopt([(at(), shop.keeper())].into());
        shop.dump("good.dump");
        shop.flyway
            .script("V2__note.sql", "ALTER TABLE orders ADD COLUMN note INT NOT NULL DEFAULT 0;");
        shop.flyway.succeed(&["migrate"]).await;
        shop.database
            .run("INSERT INTO orders SELECT n, now() FROM generate_series(101, 107) n")
            .await;
        shop
    }

    fn keeper(&self) -> Keeper {
        let (dir, begins, ends) = (self.dir.path().to_owned(), String::new(), ".dump".to_owned());
        let timeout = Span::minutes(1);
        Keeper {
            history: history(self.database.options(), TABLE),
            through: self.through(),
            files: Files { dir, begins, ends, max: 20 },
            zone: self.zone.clone(),
            program: CommandLine {
                argv: vec![program("pg_restore")],
                env: [].into(),
                dir: None,
                timeout,
            },
            keeps_owners: true,
            lost: vec![
                ("orders".into(), "SELECT count(*) FROM orders WHERE at > {taken_at}".into()),
                ("parcels".into(), "SELECT count(*) FROM parcels WHERE at > {taken_at}".into()),
            ],
        }
    }

    fn through(&self) -> Options {
        let mut options = self.through.clone().unwrap_or_else(|| self.database.options());
        "postgres".clone_into(&mut options.database.name);
        options
    }

    fn dump(&self, name: &str) {
        dump(&self.database, &self.dir.path().join(name));
    }

    async fn seen(&mut self) -> Snapshots {
        let keeper = self.keeper();
        snapshots(&keeper, (self.dir.path(), &mut self.known), now()).await.unwrap()
    }

    async fn step(&self, action: Action) -> Report {
        self.attempt(action, false).await
    }

    async fn attempt(&self, action: Action, resumed: bool) -> Report {
        let (title, needs, fallback) = ("a step".to_owned(), vec![], None);
        let timeout = Span::minutes(1);
        let what = Step { title, action, needs, timeout, attempts: 1, fallback };
        let run = "run-7".to_owned();
        let order = Order { run, step: 0, attempt: 1, fallback: false, resumed, what };
        executors::carry_out(&order, &self.options, self.store.lease()).await
    }

    fn restore(&self, snapshot: &Snapshot) -> Action {
        let through = self.through();
        let restored = self.name("restored");
        let text = |text: String| EnvValue::Text(text);
        let env = [
            ("PGHOST".to_owned(), text("127.0.0.1".into())),
            ("PGPORT".to_owned(), text(self.database.server.port().to_string())),
            ("PGUSER".to_owned(), text(through.database.user)),
            ("PGPASSWORD".to_owned(), text(through.password.unwrap().expose().to_owned())),
        ];
        let dbname = format!("--dbname={restored}");
        let argv =
            vec![program("pg_restore"), dbname, "--exit-on-error".into(), snapshot.file.clone()];
        Action::SnapshotRestore {
            schema: at(),
            file: snapshot.file.clone(),
            bytes: snapshot.bytes,
            fingerprint: snapshot.fingerprint.clone(),
            beside: self.database.name.clone(),
            restored,
            to: self.before.revision(),
            run: CommandLine { argv, env: env.into(), dir: None, timeout: Span::minutes(1) },
        }
    }

    fn switch(&self, from: &Schema) -> Action {
        Action::DatabaseSwitch {
            schema: at(),
            database: self.database.name.clone(),
            restored: self.name("restored"),
            replaced: self.name("replaced"),
            from: from.revision(),
            to: self.before.revision(),
        }
    }

    fn name(&self, kind: &str) -> String {
        format!("{}_{kind}_1", self.database.name)
    }

    /// The first value of a query in another database of the same server.
    async fn ask(&self, database: &str, sql: &str) -> Option<String> {
        let options = self.database.server.options(database);
        let mut session = Session::open_to_write(&options).await.unwrap();
        let rows = session.rows(sql).await.unwrap_or_else(|fault| panic!("{sql}: {fault}"));
        rows.into_iter().flatten().flatten().next()
    }

    async fn databases(&self) -> Vec<String> {
        let name = &self.database.name;
        let sql = format!(
            "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database WHERE datname LIKE '{name}%'"
        );
        let names = self.ask("postgres", &sql).await.unwrap_or_default();
        let of_this = |it: &&str| *it == name || it.starts_with(&format!("{name}_"));
        names.split(' ').filter(of_this).map(str::to_owned).collect()
    }
}

fn now() -> UnixMs {
    UnixMs(jiff::Timestamp::now().as_millisecond())
}

/// What was written to lately may still be.
fn age(path: &Path) {
    let file = std::fs::File::options().append(true).open(path).unwrap();
    let while_ago = std::time::Duration::from_secs(90);
    file.set_modified(std::time::SystemTime::now() - while_ago).unwrap();
}

fn why(report: &Report) -> &str {
    let Outcome::Failed { why, retry: false } = &report.outcome else { panic!("{report:?}") };
    why
}

/// With the history as it is now.
async fn looked_at(keeper: &Keeper, dir: &Path) -> Vec<Check> {
    let read = keeper.history.read().await.map_err(|why| why.to_string());
    snapshot_preflight(keeper, &read, dir, now()).await
}

#[tokio::test]
async fn what_is_in_a_snapshot_and_what_would_be_lost_with_it_is_known_before() {
    let mut shop = Shop::open().await;
    std::fs::write(shop.dir.path().join("notes.dump"), "remember the milk").unwrap();
    age(&shop.dir.path().join("notes.dump"));
    let whole = std::fs::read(shop.dir.path().join("good.dump")).unwrap();
    std::fs::write(shop.dir.path().join("cut.dump"), &whole[..whole.len() / 3]).unwrap();
    age(&shop.dir.path().join("cut.dump"));
    std::fs::write(shop.dir.path().join("fresh.dump"), &whole).unwrap();
    let seen = shop.seen().await;
    let find = |name: &str| seen.newest.iter().find(|it| it.file.ends_with(name)).unwrap();
    let good = find("good.dump");
    assert_eq!(good.schema, Ok(shop.before.revision()), "the same revision as by SQL");
    assert!(now().since(good.taken_at) < Span::minutes(2), "{}", good.taken_at);
    let lost: Vec<_> = good.lost.iter().map(|lost| (lost.what.as_str(), &lost.rows)).collect();
    assert_eq!(lost[0], ("orders", &Ok(7)));
    assert!(matches!(lost[1], ("parcels", Err(why)) if why.contains("parcels")), "{lost:?}");
    assert_eq!(seen.of(&shop.before.revision()).unwrap().file, good.file);
    for (name, told) in [
        ("notes.dump", "not appear to be a valid archive"),
        ("cut.dump", "it exited with 1"),
        ("fresh.dump", "is being written"),
    ] {
        let why = find(name).schema.as_ref().unwrap_err();
        assert!(why.contains(told), "{name}: {why}");
    }
    assert_eq!(seen.databases.iter().filter(|it| **it == shop.database.name).count(), 1);
}

#[tokio::test]
async fn it_takes_the_place_of_what_was_there_which_is_kept() {
    let mut shop = Shop::open().await;
    let name = shop.database.name.clone();
    for sql in [
        format!("CREATE ROLE app_{name}"),
        format!("ALTER ROLE app_{name} IN DATABASE {name} SET lock_timeout TO '3s'"),
        format!("ALTER DATABASE {name} SET search_path TO \"$user\", public"),
        format!("ALTER DATABASE {name} SET statement_timeout TO '17s'"),
        format!("CREATE ROLE guest_{name}"),
        format!("REVOKE CONNECT ON DATABASE {name} FROM PUBLIC"),
        format!("GRANT CONNECT ON DATABASE {name} TO guest_{name}"),
    ] {
        shop.database.run(&sql).await;
    }
    let after = look(&shop.database).await;
    let seen = shop.seen().await;
    let snapshot = seen.of(&shop.before.revision()).unwrap();
    let report = shop.step(shop.restore(snapshot)).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    assert_eq!(shop.databases().await, [name.clone(), shop.name("restored")]);
    let report = shop.step(shop.restore(snapshot)).await;
    assert_eq!(report.outcome, Outcome::AlreadyDone, "{report:?}");

    // Somebody who will not go by himself.
    let mut stays = Session::open(&shop.database.options()).await.unwrap();
    let report = shop.step(shop.switch(&after)).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    assert!(stays.rows("SELECT 1").await.is_err());
    let report = shop.step(shop.switch(&after)).await;
    assert_eq!(report.outcome, Outcome::AlreadyDone, "{report:?}");

    let kept = shop.name("replaced");
    assert_eq!(shop.databases().await, [name.clone(), kept.clone()]);
    assert_eq!(look(&shop.database).await.revision(), shop.before.revision());
    let count = "SELECT count(*)::text FROM orders";
    assert_eq!(shop.ask(&name, count).await.as_deref(), Some("100"));
    assert_eq!(shop.ask(&kept, count).await.as_deref(), Some("107"));
    let path = shop.ask(&name, "SHOW search_path").await;
    assert_eq!(
        path.as_deref(),
        Some("\"$user\", public"),
        "a list, and not the name of one schema"
    );
    for sql in [
        format!("SELECT has_database_privilege('guest_{name}', '{name}', 'CONNECT')::text"),
        format!(
            "SELECT ('lock_timeout=3s' = ANY (setconfig))::text FROM pg_db_role_setting s JOIN pg_database d ON d.oid = setdatabase WHERE datname = '{name}' AND setrole <> 0"
        ),
        format!(
            "SELECT ('statement_timeout=17s' = ANY (setconfig))::text FROM pg_db_role_setting s JOIN pg_database d ON d.oid = setdatabase WHERE datname = '{name}'"
        ),
        format!(
            "SELECT (NOT EXISTS (SELECT FROM pg_database d, aclexplode(d.datacl) a WHERE d.datname = '{name}' AND a.grantee = 0 AND a.privilege_type = 'CONNECT'))::text"
        ),
    ] {
        assert_eq!(shop.ask("postgres", &sql).await.as_deref(), Some("true"), "{sql}");
    }
}

/// A dump holds what the clock on its wall showed, and not in which zone; what was written since is counted from there.
#[tokio::test]
async fn when_a_snapshot_was_taken_is_read_in_the_zone_where_it_was() {
    let mut shop = Shop::open().await;
    let path = shop.dir.path().join("good.dump");
    dump_in(&shop.database, &path, "UTC-2");
    let find = |seen: Snapshots| seen.newest.into_iter().next().unwrap();
    let why = find(shop.seen().await).schema.unwrap_err();
    assert!(why.contains("write time_zone"), "{why}");
    shop.zone = TimeZone::fixed(jiff::tz::offset(2));
    let seen = find(shop.seen().await);
    assert!(seen.schema.is_ok(), "{seen:?}");
    assert!(now().since(seen.taken_at) < Span::minutes(2), "{}", seen.taken_at);
}

/// As on a managed server, where nobody is everything: what `check --online` names is granted, and is enough.
#[tokio::test]
async fn who_restores_needs_no_more_than_what_is_named_beforehand() {
    let mut shop = Shop::open().await;
    let name = shop.database.name.clone();
    let owner = format!("owner_{name}");
    for sql in [
        format!("CREATE ROLE {owner}"),
        format!("ALTER DATABASE {name} OWNER TO {owner}"),
        format!("ALTER TABLE orders OWNER TO {owner}"),
        format!("ALTER TABLE {TABLE} OWNER TO {owner}"),
        format!("CREATE ROLE app_{name}"),
        format!("ALTER ROLE app_{name} IN DATABASE {name} SET search_path TO sales, public"),
    ] {
        shop.database.run(&sql).await;
    }
    shop.dump("good.dump");
    let user = shop.database.user("keeper", &[]).await;
    shop.through = Some(user);
    shop.options.keepers.adopt([(at(), shop.keeper())].into());
    for _ in 0..2 {
        let all = looked_at(&shop.keeper(), shop.dir.path()).await;
        for check in all.iter().filter(|check| !check.ok) {
            let grants = check.why.split("; ").filter_map(|part| {
                let at = part.find("ALTER ROLE ").or_else(|| part.find("GRANT "))?;
                Some(&part[at..])
            });
            for grant in grants {
                shop.database.run(grant).await;
            }
        }
    }
    let all = looked_at(&shop.keeper(), shop.dir.path()).await;
    assert!(all.iter().all(|check| check.ok), "{all:?}");
    let after = look(&shop.database).await;
    shop.before = after.clone();
    let seen = shop.seen().await;
    let snapshot = seen.of(&after.revision()).unwrap();
    let report = shop.step(shop.restore(snapshot)).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    assert!(
        report.output.contains(&format!("`ALTER ROLE app_{name} IN DATABASE")),
        "what is another role's to set is told: {report:?}"
    );
    let app = shop.database.user("clerk", &[]).await;
    let mut stays = Session::open(&app).await.unwrap();
    let mut superuser = Session::open(&shop.database.options()).await.unwrap();
    let all = looked_at(&shop.keeper(), shop.dir.path()).await;
    assert!(all[4].why.starts_with("postgres is connected"), "{all:?}");
    let report = shop.step(shop.switch(&after)).await;
    let Outcome::Failed { why, .. } = &report.outcome else { panic!("{report:?}") };
    assert!(why.contains("of postgres: end them"), "{why}");
    assert!(report.unmoved, "both have their names for good: {report:?}");
    assert!(stays.rows("SELECT 1").await.is_err(), "who could be asked to go went");
    superuser.rows("SELECT 1").await.unwrap();
    superuser.close().await;
    let report = shop.step(shop.switch(&after)).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    let whose = format!(
        "SELECT string_agg(DISTINCT tableowner::text, ' ') FROM pg_tables WHERE tablename IN ('orders', '{TABLE}')"
    );
    assert_eq!(shop.ask(&name, &whose).await, Some(owner));
}

#[tokio::test]
async fn what_stopped_in_the_middle_begins_anew_and_what_is_not_ours_is_let_be() {
    let mut shop = Shop::open().await;
    let seen = shop.seen().await;
    let snapshot = seen.of(&shop.before.revision()).unwrap();
    let restored = shop.name("restored");
    // Somebody else's.
    shop.database.run(&format!("CREATE DATABASE {restored}")).await;
    shop.ask(&restored, "CREATE TABLE theirs (id INT)").await;
    let report = shop.attempt(shop.restore(snapshot), true).await;
    assert!(why(&report).contains("this rollback did not make"), "{report:?}");
    // As a daemon leaves it that is killed meanwhile: at once, and later.
    shop.ask(&restored, "DROP TABLE theirs").await;
    let report = shop.attempt(shop.restore(snapshot), true).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    let mark = format!("COMMENT ON DATABASE {restored} IS 'rollbackd restores it for run-7'");
    shop.database.run(&mark).await;
    shop.ask(&restored, "CREATE TABLE half (id INT)").await;
    let report = shop.attempt(shop.restore(snapshot), true).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    let half = "SELECT (to_regclass('half') IS NULL)::text";
    assert_eq!(shop.ask(&restored, half).await.as_deref(), Some("true"));

    // Who migrates in between is not thrown away.
    let after = look(&shop.database).await;
    shop.flyway.script("V3__sum.sql", "ALTER TABLE orders ADD COLUMN total INT;");
    shop.flyway.succeed(&["migrate"]).await;
    let report = shop.step(shop.switch(&after)).await;
    assert!(why(&report).contains("somebody migrated it in between"), "{report:?}");
    assert!(!report.unmoved, "what ran may not run on that: {report:?}");
    assert_eq!(shop.databases().await, [shop.database.name.clone(), restored]);
}

#[tokio::test]
async fn what_cannot_be_restored_leaves_everything_as_it_was() {
    let mut shop = Shop::open().await;
    let seen = shop.seen().await;
    let good = seen.of(&shop.before.revision()).unwrap();
    // Its list is whole, and what is behind that is not.
    let path = shop.dir.path().join("short.dump");
    let whole = std::fs::read(&good.file).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 300]).unwrap();
    let short = Snapshot {
        file: path.display().to_string(),
        bytes: whole.len() as u64 - 300,
        fingerprint: hex(&Sha256::digest(&whole[..whole.len() - 300])),
        ..good.clone()
    };
    let report = shop.step(shop.restore(&short)).await;
    assert!(why(&report).contains("was not restored: it exited with 1"), "{report:?}");
    assert!(!report.output.contains(shop.database.server.password()), "{report:?}");
    assert!(report.unmoved, "what was stopped may run on: {report:?}");
    assert_eq!(shop.databases().await, [shop.database.name.clone()], "nothing is left of it");
    // Somebody wrote another one under the same name.
    let report = shop.step(shop.restore(&Snapshot { bytes: 7, ..good.clone() })).await;
    assert!(why(&report).contains("another file than the plan was made for"), "{report:?}");
    assert!(report.unmoved, "{report:?}");
}

#[tokio::test]
async fn what_is_missing_for_a_restore_is_told_with_what_grants_it_before_there_is_need() {
    let shop = Shop::open().await;
    shop.dump("now.dump");
    let checks = |keeper: Keeper| {
        let dir = shop.dir.path().to_owned();
        async move { looked_at(&keeper, &dir).await }
    };
    let all = checks(shop.keeper()).await;
    assert!(all.iter().all(|check| check.ok), "{all:?}");
    assert!(all[1].why.contains("now.dump holds 2; everything that was written since"), "{all:?}");

    let user = shop.database.user("guest", &[]).await;
    let database = user.database.clone();
    let through = Options {
        database: rollbackd::databases::Database { name: "postgres".into(), ..database },
        ..user
    };
    let argv = vec!["/no/such/pg_restore".to_owned()];
    let program = CommandLine { argv, ..shop.keeper().program };
    let all = checks(Keeper { through, program, ..shop.keeper() }).await;
    assert!(all[..4].iter().all(|check| !check.ok), "{all:?}");
    for part in ["CREATEDB; GRANT postgres TO guest_", "GRANT pg_signal_backend TO guest_"] {
        assert!(all[2].why.contains(part), "{all:?}");
    }
    assert!(all[0].why.contains("was not found"), "{all:?}");
    assert!(all[3].why.starts_with("GRANT postgres TO guest_"), "{all:?}");
}

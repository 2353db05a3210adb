//! Behind a real PgBouncer that gives one of the server's sessions to whoever comes, transaction by transaction.

use rollbackd::{
    databases::{Kind, Options, Problem, Session},
    demo::port::ReservedPort,
    domain::schema::Seen,
    units::Span,
};
use tempfile::TempDir;

use super::{
    flyway::Flyway,
    histories::history,
    server::{Fresh, START_MAX},
};
use crate::rig::Script;

/// What `tests/rig/pgbouncer serve` runs.
struct Pooler {
    _script: Script,
    _home: TempDir,
    port: ReservedPort,
}

impl Pooler {
    fn start(upstream: u16, password: &str) -> Self {
        let home = TempDir::new().expect("a temporary directory");
        let port = ReservedPort::reserve().expect("a port");
        let (number, upstream) = (port.number.to_string(), upstream.to_string());
        let variables =
            [("PORT", number.as_str()), ("UPSTREAM", upstream.as_str()), ("PASSWORD", password)];
        let served = ("pgbouncer", home.path());
        let (script, _) = Script::serve(served, &["--remove"], &variables, START_MAX);
        Self { _script: script, _home: home, port }
    }

    async fn before(fresh: &Fresh<'_>) -> Self {
        let (upstream, password) = (fresh.server.port(), fresh.server.password().to_owned());
        let started = tokio::task::spawn_blocking(move || Self::start(upstream, &password));
        started.await.expect("it starts")
    }

    /// The same database through it.
    fn options(&self, fresh: &Fresh<'_>) -> Options {
        let mut options = fresh.options();
        options.database.port = self.port.number;
        options
    }
}

/// It left every session of the pool unable to write, for whoever was given it next.
#[tokio::test]
async fn what_holds_for_a_look_stays_with_no_session_of_the_pool() {
    let fresh = Fresh::of(Kind::Postgresql).await;
    let pooler = Pooler::before(&fresh).await;
    let mut options = pooler.options(&fresh);
    options.statement_timeout = Span::seconds(1);
    let mut looks = Session::open(&options).await.expect("it answers");
    let now = looks.rows("SHOW transaction_read_only").await.expect("it answers");
    assert_eq!(now, [[Some("on".to_owned())]]);
    let refused = looks.rows("CREATE TABLE orders (id INT)").await.expect_err("it reads");
    assert_eq!(refused.problem, Problem::ReadOnly, "{refused}");
    let refused = looks.run("CREATE TABLE orders (id INT)").await.expect_err("it reads");
    assert_eq!(refused.problem, Problem::ReadOnly, "{refused}");
    let late = looks.rows("SELECT pg_sleep(60)").await.expect_err("it never ends");
    assert!(late.to_string().contains("statement timeout"), "the server's own: {late}");

    let mut writes = Session::open_to_write(&options).await.expect("it answers");
    for name in ["default_transaction_read_only", "statement_timeout", "lock_timeout"] {
        let set =
            format!("SELECT (setting = boot_val)::text FROM pg_settings WHERE name = '{name}'");
        assert_eq!(writes.rows(&set).await.expect("it answers"), [[Some("true".into())]], "{name}");
    }
    writes.run("BEGIN; CREATE TABLE orders (id INT); COMMIT").await.expect("it writes");
    looks.rows("SELECT id FROM orders").await.expect("the session is still good");
}

#[tokio::test]
async fn a_history_is_read_through_it_and_what_needs_a_session_of_its_own_is_refused() {
    let fresh = Fresh::of(Kind::Postgresql).await;
    let flyway = Flyway::of(&fresh);
    flyway.script("V1__one.sql", "CREATE TABLE one (id INT PRIMARY KEY);");
    flyway.succeed(&["migrate"]).await;
    let pooler = Pooler::before(&fresh).await;
    let seen = history(pooler.options(&fresh), "flyway_schema_history").look().await;
    assert!(matches!(&seen, Seen::Known(it) if it.current.as_deref() == Some("1")), "{seen:?}");
    let refused = Session::open_unshared(&pooler.options(&fresh)).await.expect_err("it is shared");
    assert_eq!(refused.problem, Problem::Pooled, "{refused}");
    assert!(refused.in_words().contains("name the server itself"), "{}", refused.in_words());
    Session::open_unshared(&fresh.options()).await.expect("the server's own is nobody else's");
}

//! What is said when a database cannot be asked, by real servers.

use std::{
    fs::{self, File},
    sync::Arc,
    time::{Duration, Instant},
};

use rollbackd::{
    databases::{Kind, Options, Problem, Session, Tls},
    units::{Secret, Span},
};

use super::server::{BOTH, Fresh, Server};

async fn fault(options: &Options) -> rollbackd::databases::Fault {
    let fault = Session::open(options).await.expect_err("it does not let us in");
    let said = format!("{fault} {fault:?} {}", fault.advice());
    for secret in [options.password.as_ref().map_or("hunter2", Secret::expose), "://"] {
        assert!(!said.contains(secret), "{said}");
    }
    fault
}

#[tokio::test]
async fn each_reason_not_to_be_let_in_has_a_name_and_none_tells_the_password() {
    for kind in BOTH {
        let fresh = Fresh::of(kind).await;
        let mut options = fresh.options();
        options.password = Some(Secret::new("wrong-hunter2"));
        assert_eq!(fault(&options).await.problem, Problem::WrongPassword, "{kind}");
        let mut options = fresh.options();
        options.database.name = "nowhere".into();
        assert_eq!(fault(&options).await.problem, Problem::UnknownDatabase, "{kind}");
        let mut options = fresh.options();
        options.database.port = 1;
        assert_eq!(fault(&options).await.problem, Problem::Unreachable, "{kind}");
        let mut options = fresh.options();
        options.database.host = "nowhere.invalid".into();
        assert_eq!(fault(&options).await.problem, Problem::Unreachable, "{kind}");
    }
}

#[tokio::test]
async fn a_certificate_is_verified_against_the_authority_and_the_name() {
    for kind in BOTH {
        let fresh = Fresh::of(kind).await;
        let mut options = Options { tls: Tls::Verify, ..fresh.options() };
        assert_eq!(fault(&options).await.problem, Problem::Untrusted, "{kind}: nobody we trust");
        options.ca_file = Some(fresh.server.other_authority());
        assert_eq!(fault(&options).await.problem, Problem::Untrusted, "{kind}: somebody else");
        options.ca_file = Some(fresh.server.authority());
        for host in ["127.0.0.1", "localhost"] {
            options.database.host = host.into();
            let mut session = Session::open(&options).await.expect("it is trusted");
            let encrypted = match kind {
                Kind::Postgresql => {
                    "SELECT ssl::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
                }
                Kind::Mysql => {
                    "SELECT variable_value <> '' FROM information_schema.session_status WHERE variable_name = 'Ssl_cipher'"
                }
            };
            let rows = session.rows(encrypted).await.expect("it answers");
            assert!(matches!(rows[0][0].as_deref(), Some("true" | "1")), "{kind}: {rows:?}");
        }
        // The certificate is not of that name, though it leads to the same machine.
        options.database.host = "127.0.0.2".into();
        let other = fault(&options).await.problem;
        assert!(matches!(other, Problem::Untrusted | Problem::Unreachable), "{kind}: {other:?}");
    }
}

#[tokio::test]
async fn a_server_that_wants_tls_says_so_to_who_comes_without() {
    let fresh = Fresh::of(Kind::Postgresql).await;
    fresh.run("DROP ROLE IF EXISTS secure; CREATE ROLE secure LOGIN PASSWORD 'hunter2'").await;
    let mut options = fresh.options();
    options.database.user = "secure".into();
    options.password = Some(Secret::new("hunter2"));
    assert_eq!(fault(&options).await.problem, Problem::TlsRequired);
    options.tls = Tls::Prefer;
    Session::open(&options).await.expect("with TLS it is let in");

    let server = tokio::task::spawn_blocking(|| Server::start(Kind::Mysql)).await.unwrap();
    let options = server.options("mysql");
    let mut admin = Session::open_to_write(&options).await.expect("it answers");
    admin.rows("SET GLOBAL require_secure_transport = ON").await.expect("it is set");
    let refused = fault(&options).await;
    assert_eq!(refused.problem, Problem::WrongPassword, "it does not tell");
    assert!(refused.to_string().contains("or it wants TLS"), "{refused}");
    Session::open(&Options { tls: Tls::Prefer, ..options }).await.expect("with TLS it is let in");
}

#[tokio::test]
async fn a_session_that_reads_cannot_write_and_is_called_rollbackd() {
    for kind in BOTH {
        let fresh = Fresh::of(kind).await;
        fresh.run("CREATE TABLE orders (id INT PRIMARY KEY)").await;
        let mut session = Session::open(&fresh.options()).await.expect("it answers");
        let refused = session.rows("INSERT INTO orders VALUES (1)").await.expect_err("it reads");
        assert_eq!(refused.problem, Problem::ReadOnly, "{kind}: {refused}");
        assert!(session.rows("SELECT id FROM orders").await.expect("it answers").is_empty());
        if kind == Kind::Postgresql {
            let name = session.rows("SELECT current_setting('application_name')").await;
            assert_eq!(name.expect("it answers"), [[Some("rollbackd".to_owned())]]);
        }
        session.close().await;
    }
}

#[tokio::test]
async fn an_answer_that_never_ends_is_ended_by_the_server_and_one_that_is_too_large_is_let_go() {
    for kind in BOTH {
        let fresh = Fresh::of(kind).await;
        let mut options = fresh.options();
        options.statement_timeout = Span::seconds(1);
        options.rows_max = 1_000;
        let mut session = Session::open(&options).await.expect("it answers");
        let (slow, numbers) = match kind {
            Kind::Postgresql => ("SELECT pg_sleep(60)", "SELECT generate_series(1, 10000000)"),
            // A sleep that is interrupted is no error there.
            Kind::Mysql => (
                "SELECT count(*) FROM seq_1_to_10000000 a, seq_1_to_10000000 b",
                "SELECT seq FROM seq_1_to_10000000",
            ),
        };
        let began = Instant::now();
        let fault = session.rows(slow).await.expect_err("it never ends");
        assert_eq!(fault.problem, Problem::Timeout, "{kind}: {fault}");
        assert!(began.elapsed() < Duration::from_secs(20), "{kind}");
        let one = session.rows("SELECT 1").await.expect("the session is still good");
        assert_eq!(one, [[Some("1".to_owned())]]);
        let fault = session.rows(numbers).await.expect_err("ten million");
        assert_eq!(fault.problem, Problem::TooLarge, "{kind}: {fault}");
    }
}

#[tokio::test]
async fn a_server_that_is_frozen_killed_or_started_again_is_told_apart() {
    for kind in BOTH {
        let server = tokio::task::spawn_blocking(move || Server::start(kind)).await.unwrap();
        let mut options = server.options(if kind == Kind::Mysql { "mysql" } else { "postgres" });
        options.connect_timeout = Span::seconds(1);
        options.statement_timeout = Span::seconds(1);
        let mut session = Session::open(&options).await.expect("it answers");
        server.tell("kill server");
        // PostgreSQL's sessions outlive its first process for as long as they have not noticed.
        let noticed = async {
            loop {
                if let Err(fault) = session.rows("SELECT 1").await {
                    return fault;
                }
            }
        };
        let noticed = tokio::time::timeout(Duration::from_secs(20), noticed).await;
        let fault_of_it = noticed.expect("it is gone");
        let problem = fault_of_it.problem;
        assert!(matches!(problem, Problem::Lost | Problem::Restarting), "{kind}: {fault_of_it}");
        assert_eq!(fault(&options).await.problem, Problem::Unreachable, "{kind}");
        server.tell("start server");
        drop(Session::open(&options).await.expect("it answers again"));
        server.tell("freeze server");
        let frozen = fault(&options).await;
        assert_eq!(frozen.problem, Problem::Timeout, "{kind}: {frozen}");
        assert!(frozen.problem.passes());
        server.tell("thaw server");
        Session::open(&options).await.expect("it goes on");
    }
}

/// The driver tells of each statement, and at the level of a warning of one that takes a second.
#[tokio::test]
async fn no_statement_reaches_the_log_however_slow_it_is() {
    let log = tempfile::NamedTempFile::new().expect("a file");
    let written = Arc::new(File::create(log.path()).expect("it is there"));
    let all = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(written);
    let _guard = tracing::subscriber::set_default(all.finish());
    for kind in BOTH {
        let fresh = Fresh::of(kind).await;
        let mut session = Session::open(&fresh.options()).await.expect("it answers");
        let slow = if kind == Kind::Mysql { "sleep(1.1)" } else { "pg_sleep(1.1)" };
        session.rows(&format!("SELECT 'hunter2', {slow}")).await.expect("it answers");
        session.close().await;
    }
    tracing::warn!("the log is written");
    let said = fs::read_to_string(log.path()).expect("it is read");
    assert!(said.contains("the log is written") && !said.contains("hunter2"), "{said}");
}

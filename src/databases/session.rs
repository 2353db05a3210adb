//! One connection, for one look.
//!
//! Nothing is set on a session of PostgreSQL that only reads, or writes in a transaction of its own: behind a pooler the server's session is
//! the next moment somebody else's, with all that was set on it. What holds for a statement is said in its transaction.

use std::{fmt, time::Duration};

use futures_util::{StreamExt, stream::BoxStream};
use sqlx::{
    AssertSqlSafe, Column, ColumnIndex, ConnectOptions, Connection, Decode, Error, Executor,
    MySqlConnection, PgConnection, Type,
    mysql::{MySqlConnectOptions, MySqlSslMode},
    postgres::{PgConnectOptions, PgSslMode},
};

use super::{
    access::{Kind, Options, Tls},
    classify,
    fault::{Fault, Problem},
};
use crate::tls;

/// As the server calls us in its list of sessions.
const PROGRAM: &str = "rollbackd";
/// A server that was told to stop by itself gets so much longer.
const GRACE: Duration = Duration::from_secs(2);

/// One row, each column as the server writes it.
pub type Row = Vec<Option<String>>;

/// An open connection. Dropping it closes it.
pub struct Session {
    connection: Inner,
    options: Options,
    only_reads: bool,
}

enum Inner {
    Postgresql(Box<PgConnection>),
    Mysql(Box<MySqlConnection>),
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({})", self.options.database)
    }
}

impl Session {
    /// Opens one that can only read.
    pub async fn open(options: &Options) -> Result<Self, Fault> {
        Self::opened(options, true).await
    }

    /// The rows of one statement, through a connection of its own that can only read.
    pub async fn once(options: &Options, sql: &str) -> Result<Vec<Row>, Fault> {
        let mut session = Self::open(options).await?;
        let rows = session.rows(sql).await;
        session.close().await;
        rows
    }

    /// Opens one that may write, for whoever has the right to: in transactions, of which each says its own limits.
    pub async fn open_to_write(options: &Options) -> Result<Self, Fault> {
        Self::opened(options, false).await
    }

    /// Opens one that may write what stands in no transaction, such as whole databases. Nobody may pass it on to others between two
    /// statements.
    pub async fn open_unshared(options: &Options) -> Result<Self, Fault> {
        let mut session = Self::opened(options, false).await?;
        if session.kind() == Kind::Postgresql {
            unpooled(&mut session).await?;
            let settings = limits(options, "SET");
            session.run(&settings).await?;
        }
        Ok(session)
    }

    async fn opened(options: &Options, only_reads: bool) -> Result<Self, Fault> {
        tls::install();
        let Some(follows) = &options.follows else {
            let connection = reached(options, only_reads).await?;
            return Ok(Self { connection, options: options.clone(), only_reads });
        };
        let options = follows.located(options).await?;
        // Whatever it is, another server may be meant by now.
        let connection = reached(&options, only_reads).await.inspect_err(|_| follows.doubt())?;
        Ok(Self { connection, options, only_reads })
    }

    /// Which family answers.
    pub fn kind(&self) -> Kind {
        self.options.database.kind
    }

    /// The rows of a statement, all of them or none: more than the limits let through is a fault. After a fault that is not the
    /// server's own answer the session is of no more use.
    pub async fn rows(&mut self, sql: &str) -> Result<Vec<Row>, Fault> {
        self.read(sql, false).await
    }

    /// The same with the names of its columns before them; nothing where there is no row.
    pub async fn headed(&mut self, sql: &str) -> Result<Vec<Row>, Fault> {
        self.read(sql, true).await
    }

    async fn read(&mut self, sql: &str, headed: bool) -> Result<Vec<Row>, Fault> {
        let options = self.options.clone();
        let within = options.statement_timeout.duration() + GRACE;
        let statement = sqlx::raw_sql(AssertSqlSafe(self.alone(sql)));
        let only_reads = self.only_reads;
        let rows = async {
            match &mut self.connection {
                Inner::Postgresql(it) => {
                    let rows = gathered(it.fetch(statement), &options, headed).await;
                    over(it, only_reads, rows).await
                }
                Inner::Mysql(it) => gathered(it.fetch(statement), &options, headed).await,
            }
        };
        tokio::time::timeout(within, rows).await.map_err(|_| late(&options))?
    }

    /// One that only reads, in a transaction that can do no more, by one message: it is over when it is answered.
    fn alone(&self, sql: &str) -> String {
        match self.kind() {
            Kind::Postgresql if self.only_reads => {
                // A comment at its end would swallow what follows on its line.
                format!("BEGIN READ ONLY; {};\n{sql}\n; COMMIT", limits(&self.options, "SET LOCAL"))
            }
            Kind::Postgresql | Kind::Mysql => sql.to_owned(),
        }
    }

    /// Carries out statements, and passes over whatever rows they return. After a fault the session is of no more use, unless it is the
    /// server's own answer.
    pub async fn run(&mut self, sql: &str) -> Result<(), Fault> {
        let options = self.options.clone();
        let within = options.statement_timeout.duration() + GRACE;
        let statements = sqlx::raw_sql(AssertSqlSafe(self.alone(sql)));
        let only_reads = self.only_reads;
        let ran = async {
            match &mut self.connection {
                Inner::Postgresql(it) => {
                    let ran = it.execute(statements).await.map(drop);
                    over(it, only_reads, ran.map_err(|error| classify::fault(&error, &options)))
                        .await
                }
                Inner::Mysql(it) => {
                    let ran = it.execute(statements).await.map(drop);
                    ran.map_err(|error| classify::fault(&error, &options))
                }
            }
        };
        tokio::time::timeout(within, ran).await.map_err(|_| late(&options))?
    }

    /// How many rows a statement returns, and not one more than `most`: none of them is kept. It is the last of its session, for whoever
    /// has heard enough hangs up.
    pub async fn counted(mut self, sql: &str, most: u64) -> Result<u64, Fault> {
        let options = self.options.clone();
        let within = options.statement_timeout.duration() + GRACE;
        let statement = sqlx::raw_sql(AssertSqlSafe(self.alone(sql)));
        let counted = async {
            match &mut self.connection {
                Inner::Postgresql(it) => counted(it.fetch(statement), &options, most).await,
                Inner::Mysql(it) => counted(it.fetch(statement), &options, most).await,
            }
        };
        let counted = tokio::time::timeout(within, counted).await;
        let rows = counted.map_err(|_| late(&options))??;
        if rows < most {
            self.close().await;
        }
        Ok(rows)
    }

    /// Tells the server that it is over. A server that does not listen is left.
    pub async fn close(self) {
        let closed = async {
            match self.connection {
                Inner::Postgresql(it) => drop(it.close().await),
                Inner::Mysql(it) => drop(it.close().await),
            }
        };
        drop(tokio::time::timeout(GRACE, closed).await);
    }
}

/// Within the time that a connection may take.
async fn reached(options: &Options, only_reads: bool) -> Result<Inner, Fault> {
    let within = options.connect_timeout.duration();
    let opened = tokio::time::timeout(within, connected(options, only_reads)).await;
    let late = |_| {
        let said = format!("no connection within {}", options.connect_timeout);
        Fault::new(Problem::Timeout, options, &said)
    };
    opened.map_err(late)?.map_err(|error| classify::fault(&error, options))
}

async fn connected(options: &Options, only_reads: bool) -> Result<Inner, Error> {
    let timeout_ms = options.statement_timeout.ms().max(1);
    match options.database.kind {
        Kind::Postgresql => {
            let it = PgConnection::connect_with(&postgresql(options)).await?;
            Ok(Inner::Postgresql(Box::new(it)))
        }
        Kind::Mysql => {
            let mut it = MySqlConnection::connect_with(&mysql(options)).await?;
            let seconds = (timeout_ms / 1000).max(1);
            let mut settings = format!(
                "SET SESSION lock_wait_timeout = {seconds}, innodb_lock_wait_timeout = {seconds}"
            );
            if only_reads {
                settings.push_str("; SET SESSION TRANSACTION READ ONLY");
            }
            it.execute(sqlx::raw_sql(AssertSqlSafe(settings))).await?;
            limit_statements(&mut it, timeout_ms).await?;
            Ok(Inner::Mysql(Box::new(it)))
        }
    }
}

/// How long PostgreSQL lets a statement take. Not as a parameter of the start, which connection poolers refuse.
fn limits(options: &Options, set: &str) -> String {
    let timeout_ms = options.statement_timeout.ms().max(1);
    ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"]
        .map(|name| format!("{set} {name} = {timeout_ms}"))
        .join("; ")
}

/// A transaction of ours that the server refused to go on with is ended, so that the session is good for the next.
async fn over<T>(it: &mut PgConnection, ours: bool, came: Result<T, Fault>) -> Result<T, Fault> {
    if ours && came.as_ref().is_err_and(Fault::leaves_open) {
        drop(it.execute(sqlx::raw_sql("ROLLBACK")).await);
    }
    came
}

/// A fault where a pooler gives the server's session to others between two statements: then a second connection that asks now is given the
/// same one, or this one another.
async fn unpooled(session: &mut Session) -> Result<(), Fault> {
    const ASKS: &str = "SELECT pg_catalog.pg_backend_pid()::text";
    let options = session.options.clone();
    let first = session.rows(ASKS).await?;
    let mut other = Session::opened(&options, false).await?;
    other.run("BEGIN").await?;
    let of_other = other.rows(ASKS).await?;
    // Given back first: where a pooler has but one, it is waited for.
    other.run("ROLLBACK").await?;
    let again = session.rows(ASKS).await?;
    other.close().await;
    if first == of_other || first != again {
        let said = "the server's session changes between two statements";
        return Err(Fault::new(Problem::Pooled, &options, said));
    }
    Ok(())
}

/// The two families call it differently, and an unknown name is an error.
async fn limit_statements(it: &mut MySqlConnection, timeout_ms: i64) -> Result<(), Error> {
    let seconds = format!("{}.{:03}", timeout_ms / 1000, timeout_ms % 1000);
    let of_mariadb = format!("SET SESSION max_statement_time = {seconds}");
    if it.execute(sqlx::raw_sql(AssertSqlSafe(of_mariadb))).await.is_ok() {
        return Ok(());
    }
    let of_mysql = format!("SET SESSION max_execution_time = {timeout_ms}");
    it.execute(sqlx::raw_sql(AssertSqlSafe(of_mysql))).await.map(drop)
}

fn postgresql(options: &Options) -> PgConnectOptions {
    let to = &options.database;
    let mode = match options.tls {
        Tls::Verify => PgSslMode::VerifyFull,
        Tls::Prefer => PgSslMode::Prefer,
        Tls::Off => PgSslMode::Disable,
    };
    let mut all = PgConnectOptions::new_without_pgpass()
        .host(&to.host)
        .port(to.port)
        .username(&to.user)
        .database(&to.name)
        .ssl_mode(mode)
        .application_name(PROGRAM)
        // Poolers do not know it either, and no number is read by it.
        .extra_float_digits(None)
        .statement_cache_capacity(0)
        .password(options.password.as_ref().map_or("", |it| it.expose()));
    if let Some(file) = &options.ca_file {
        all = all.ssl_root_cert(file);
    }
    // A statement holds what somebody wrote into it, and is nothing for a log, however slow it is.
    all.disable_statement_logging()
}

fn mysql(options: &Options) -> MySqlConnectOptions {
    let to = &options.database;
    let mode = match options.tls {
        Tls::Verify => MySqlSslMode::VerifyIdentity,
        Tls::Prefer => MySqlSslMode::Preferred,
        Tls::Off => MySqlSslMode::Disabled,
    };
    let mut all = MySqlConnectOptions::new()
        .host(&to.host)
        .port(to.port)
        .username(&to.user)
        .database(&to.name)
        .ssl_mode(mode)
        .statement_cache_capacity(0);
    if let Some(password) = &options.password {
        all = all.password(password.expose());
    }
    if let Some(file) = &options.ca_file {
        all = all.ssl_ca(file);
    }
    all.disable_statement_logging()
}

fn late(options: &Options) -> Fault {
    let said = format!("no answer within {}", options.statement_timeout);
    Fault::new(Problem::Timeout, options, &said)
}

async fn counted<R>(
    mut answers: BoxStream<'_, Result<R, Error>>,
    options: &Options,
    most: u64,
) -> Result<u64, Fault> {
    let mut rows = 0;
    while rows < most {
        match answers.next().await {
            Some(Ok(_)) => rows += 1,
            Some(Err(error)) => return Err(classify::fault(&error, options)),
            None => break,
        }
    }
    Ok(rows)
}

/// Reads row by row, and lets go as soon as there is too much.
async fn gathered<R>(
    mut answers: BoxStream<'_, Result<R, Error>>,
    options: &Options,
    headed: bool,
) -> Result<Vec<Row>, Fault>
where
    R: sqlx::Row,
    usize: ColumnIndex<R>,
    for<'r> String: Decode<'r, R::Database> + Type<R::Database>,
{
    let (mut rows, mut bytes) = (vec![], 0);
    while let Some(answer) = answers.next().await {
        let row = answer.map_err(|error| classify::fault(&error, options))?;
        let cell = |column: &<R::Database as sqlx::Database>::Column| {
            row.try_get_unchecked::<Option<String>, _>(column.ordinal())
        };
        let cells: Result<Row, Error> = row.columns().iter().map(cell).collect();
        let cells = cells.map_err(|error| classify::fault(&error, options))?;
        if headed && rows.is_empty() {
            rows.push(row.columns().iter().map(|column| Some(column.name().to_owned())).collect());
        }
        bytes += cells.iter().flatten().map(String::len).sum::<usize>();
        rows.push(cells);
        if rows.len() > options.rows_max || bytes > options.bytes_max {
            let said = format!(
                "more than {} rows or {} bytes of them",
                options.rows_max, options.bytes_max
            );
            return Err(Fault::new(Problem::TooLarge, options, &said));
        }
    }
    Ok(rows)
}

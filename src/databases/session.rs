//! One connection, for one look.

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

    /// Opens one that may write, for whoever has the right to.
    pub async fn open_to_write(options: &Options) -> Result<Self, Fault> {
        Self::opened(options, false).await
    }

    async fn opened(options: &Options, only_reads: bool) -> Result<Self, Fault> {
        tls::install();
        let within = options.connect_timeout.duration();
        let opened = tokio::time::timeout(within, connected(options, only_reads)).await;
        let late = |_| {
            let said = format!("no connection within {}", options.connect_timeout);
            Fault::new(Problem::Timeout, options, &said)
        };
        let connection = opened.map_err(late)?.map_err(|error| classify::fault(&error, options))?;
        Ok(Self { connection, options: options.clone() })
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
        let statement = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        let rows = async {
            match &mut self.connection {
                Inner::Postgresql(it) => gathered(it.fetch(statement), &options, headed).await,
                Inner::Mysql(it) => gathered(it.fetch(statement), &options, headed).await,
            }
        };
        tokio::time::timeout(within, rows).await.map_err(|_| late(&options))?
    }

    /// Carries out statements, and passes over whatever rows they return. After a fault the session is of no more use, unless it is the
    /// server's own answer.
    pub async fn run(&mut self, sql: &str) -> Result<(), Fault> {
        let options = self.options.clone();
        let within = options.statement_timeout.duration() + GRACE;
        let statements = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        let ran = async {
            match &mut self.connection {
                Inner::Postgresql(it) => it.execute(statements).await.map(drop),
                Inner::Mysql(it) => it.execute(statements).await.map(drop),
            }
        };
        let ran = tokio::time::timeout(within, ran).await.map_err(|_| late(&options))?;
        ran.map_err(|error| classify::fault(&error, &options))
    }

    /// How many rows a statement returns, and not one more than `most`: none of them is kept. It is the last of its session, for whoever
    /// has heard enough hangs up.
    pub async fn counted(mut self, sql: &str, most: u64) -> Result<u64, Fault> {
        let options = self.options.clone();
        let within = options.statement_timeout.duration() + GRACE;
        let statement = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
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

async fn connected(options: &Options, only_reads: bool) -> Result<Inner, Error> {
    let timeout_ms = options.statement_timeout.ms().max(1);
    match options.database.kind {
        Kind::Postgresql => {
            let mut it = PgConnection::connect_with(&postgresql(options)).await?;
            // Not as a parameter of the start, which connection poolers refuse.
            let mode = if only_reads { "on" } else { "off" };
            let settings = format!(
                "SET default_transaction_read_only = {mode}; SET statement_timeout = {timeout_ms}; \
                 SET lock_timeout = {timeout_ms}; SET idle_in_transaction_session_timeout = {timeout_ms}"
            );
            it.execute(sqlx::raw_sql(AssertSqlSafe(settings))).await?;
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

//! The one transaction in which a script is run: everything that is looked at before it may be committed is looked at inside of it.
//!
//! A script cannot leave it. What would is refused by its text; and the server itself refuses to commit until a row is gone that breaks a
//! deferred constraint, which is taken away when all was seen to be well.

use std::{collections::BTreeMap, fmt};

use super::Scripted;
use crate::{
    databases::{Fault, Options, Problem, Session, catalogue, history::Unreadable},
    domain::{
        integrity::{Answer, Before, COUNTED_MAX, Expects, Found, Meaning},
        schema::script::{Changes, ScriptRun},
    },
    executors::database::{Stands, Way, stands},
};

/// A larger catalogue is not compared.
const LINES_MAX: usize = 100_000;
/// The same in bytes.
const BYTES_MAX: usize = 32 << 20;
/// Tables whose rows are counted for people.
const TABLES_MAX: usize = 20;

/// Open, with everything done, and nothing of it to be seen by others yet.
pub(super) struct Open(Session);

/// Why there is nothing to commit.
pub(super) enum Ended {
    /// The schema is already where it should be.
    Already,
    /// All of it was taken back.
    Refused {
        /// Why, for people.
        why: String,
        /// Whether it may go well another time.
        passes: bool,
    },
    /// It was in no one transaction, and what of it stays nobody knows.
    Escaped(String),
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Already => f.write_str("the schema is already where it should go"),
            Self::Refused { why, .. } | Self::Escaped(why) => f.write_str(why),
        }
    }
}

impl From<Fault> for Ended {
    fn from(fault: Fault) -> Self {
        let why = format!("{fault}: {}", advice(&fault));
        Self::Refused { why, passes: fault.problem.passes() }
    }
}

/// What a person does about it where a script met it, which has its own limits and names its own tables.
fn advice(fault: &Fault) -> &'static str {
    match fault.problem {
        Problem::Timeout => {
            "see who holds what it waits for, or give it longer: lock_timeout of the script, undo_timeout"
        }
        Problem::MissingTable | Problem::MissingPart | Problem::Other => {
            "see what the script says, and whether it is of this release"
        }
        Problem::Unreachable
        | Problem::Unlocated
        | Problem::WrongPassword
        | Problem::TlsRequired
        | Problem::TlsMissing
        | Problem::Untrusted
        | Problem::UnknownDatabase
        | Problem::PermissionDenied
        | Problem::Restarting
        | Problem::TooManyConnections
        | Problem::InUse
        | Problem::ReadOnly
        | Problem::Pooled
        | Problem::TooLarge
        | Problem::Lost => fault.advice(),
    }
}

impl From<Unreadable> for Ended {
    fn from(unreadable: Unreadable) -> Self {
        Self::Refused { why: unreadable.to_string(), passes: unreadable.passes() }
    }
}

fn refused<T>(why: String) -> Result<T, Ended> {
    Err(Ended::Refused { why, passes: false })
}

impl Open {
    /// Makes it so.
    pub(super) async fn commit(mut self) -> Result<(), Fault> {
        let committed = self.0.run("COMMIT").await;
        self.0.close().await;
        committed
    }

    /// Leaves nothing of it.
    pub(super) async fn take_back(mut self) {
        // A session that is not there any more has left nothing either.
        drop(self.0.run("ROLLBACK").await);
        self.0.close().await;
    }
}

/// Runs a script, and looks at what it did. Whoever drops this future takes it back.
pub(super) async fn begun(
    scripted: &Scripted,
    of: &ScriptRun,
    text: &str,
) -> Result<(Open, Changes), Ended> {
    let options = Options {
        statement_timeout: of.timeout,
        rows_max: LINES_MAX,
        bytes_max: BYTES_MAX,
        ..scripted.through.clone()
    };
    let mut session = Session::open_to_write(&options).await?;
    match inside(&mut session, scripted, of, text).await {
        Ok(changes) => Ok((Open(session), changes)),
        Err(ended) => {
            session.close().await;
            Err(ended)
        }
    }
}

async fn inside(
    session: &mut Session,
    scripted: &Scripted,
    of: &ScriptRun,
    text: &str,
) -> Result<Changes, Ended> {
    let ScriptRun { from, to, undone, .. } = of;
    let way = Way { from, to, undone };
    session.run(&begin(of)).await?;
    // A server notices only so that nobody waits for an answer any more, and lets go of what is locked. From PostgreSQL 14 on.
    let gone = "SELECT set_config(name, '1000', true)::text FROM pg_catalog.pg_settings WHERE name = 'client_connection_check_interval'";
    session.rows(gone).await?;
    scripted.history.lock(session).await?;
    match stands(&scripted.history.read_by(session).await?, &way) {
        Stands::AtBegin => {}
        Stands::AtEnd => return Err(Ended::Already),
        Stands::Between(left) => {
            return refused(format!(
                "{} of what it takes back is still there, and not all: it begins elsewhere",
                left.join(", ")
            ));
        }
        Stands::Elsewhere(why) => return refused(why),
    }
    let number = transaction(session).await?;
    let path = search_path(session).await?;
    let before = catalogue::lines(session).await?;
    let passed = asked_all(session, &scripted.checks).await?;

    session.run(text).await?;
    if transaction(session).await? != number {
        let why = "it left the transaction in which it was run: what of it stays, nobody knows";
        return Err(Ended::Escaped(why.to_owned()));
    }
    session.run("DELETE FROM pg_temp.rollbackd_gate; SET CONSTRAINTS ALL IMMEDIATE").await?;
    // A script may have set its own.
    let back = format!("SET LOCAL search_path TO {path}");
    session.run(&back).await?;
    let rows = rows(session).await?;
    let after = catalogue::lines(session).await?;
    let history = scripted.history.read_by(session).await?;
    if stands(&history, &way) != Stands::AtEnd {
        return refused(format!(
            "after it the history is at {}, and must be at {to} without {}: see what it does to {}. Nothing of it stays",
            history.version(),
            undone.join(", "),
            history.table
        ));
    }
    let verified = verified(session, of).await?;
    let checks = unharmed(&passed, asked_all(session, &scripted.checks).await?)?;
    let checks = verified.into_iter().chain(checks).collect();
    Ok(Changes { rows, checks, ..Changes::between(&before, &after) })
}

/// The server lets nobody commit while a row is there that refers to none.
fn begin(of: &ScriptRun) -> String {
    let (lock_ms, all_ms) = (of.lock_timeout.ms().max(1), of.timeout.ms().max(1));
    format!(
        "BEGIN; SET LOCAL lock_timeout = {lock_ms}; SET LOCAL statement_timeout = {all_ms}; \
         SET LOCAL idle_in_transaction_session_timeout = {all_ms}; SET LOCAL standard_conforming_strings = on; \
         CREATE TEMPORARY TABLE rollbackd_gate (id int UNIQUE, opens int REFERENCES rollbackd_gate (id) DEFERRABLE INITIALLY DEFERRED) \
         ON COMMIT DROP; INSERT INTO pg_temp.rollbackd_gate VALUES (1, 2)"
    )
}

/// Which one this is: another number is another transaction.
async fn transaction(session: &mut Session) -> Result<Option<String>, Fault> {
    let rows = session.rows("SELECT pg_catalog.txid_current_if_assigned()::text").await?;
    Ok(rows.into_iter().flatten().next().flatten())
}

/// Where names without a schema are looked for, as it is written in a statement.
async fn search_path(session: &mut Session) -> Result<String, Fault> {
    let rows = session.rows("SHOW search_path").await?;
    Ok(rows.into_iter().flatten().next().flatten().unwrap_or_default())
}

/// How many rows of which table, as this transaction counts them.
async fn rows(session: &mut Session) -> Result<Vec<String>, Fault> {
    let sql = format!(
        "SELECT format('%I.%I: ', schemaname, relname) || concat_ws(', ', \
           CASE WHEN n_tup_ins > 0 THEN n_tup_ins || ' inserted' END, CASE WHEN n_tup_upd > 0 THEN n_tup_upd || ' updated' END, \
           CASE WHEN n_tup_del > 0 THEN n_tup_del || ' deleted' END) \
         FROM pg_catalog.pg_stat_xact_user_tables \
         WHERE n_tup_ins + n_tup_upd + n_tup_del > 0 AND schemaname !~ '^pg_' ORDER BY 1 LIMIT {TABLES_MAX}"
    );
    Ok(session.rows(&sql).await?.into_iter().flatten().flatten().collect())
}

/// What a query came to, and what kept it from coming to anything.
struct Asked {
    meaning: Meaning,
    fault: Option<Problem>,
}

/// Whatever a query does is taken back, and one that fails fails alone.
async fn asked(session: &mut Session, query: &str, expects: Expects) -> Result<Asked, Fault> {
    // A comment at the query's end would swallow what follows on its line.
    let sql = match expects {
        Expects::NoRow | Expects::ForeignKeys => format!(
            "SELECT count(*)::text FROM (SELECT 1 FROM (\n{query}\n) asked LIMIT {}) counted",
            COUNTED_MAX + 1
        ),
        Expects::Within { .. } | Expects::DropsAtMost { .. } | Expects::LagAtMost { .. } => {
            format!("SELECT CAST((\n{query}\n) AS text)")
        }
    };
    session.run("SAVEPOINT rollbackd").await?;
    let answer = session.rows(&sql).await;
    session.run("ROLLBACK TO SAVEPOINT rollbackd; RELEASE SAVEPOINT rollbackd").await?;
    let fault = answer.as_ref().err().map(|fault| fault.problem);
    let answer = match answer {
        Ok(rows) => {
            let said = rows.into_iter().flatten().next().flatten().unwrap_or_default();
            let found = match expects {
                Expects::NoRow | Expects::ForeignKeys => said.parse().ok().map(Found::Rows),
                Expects::Within { .. }
                | Expects::DropsAtMost { .. }
                | Expects::LagAtMost { .. } => said.trim().parse().ok().map(Found::Number),
            };
            found.map_or_else(|| Answer::Unknown("it gives no number".to_owned()), Answer::Known)
        }
        Err(fault) => Answer::Unknown(fault.to_string()),
    };
    Ok(Asked { meaning: expects.judge(&answer, Before::Unchanged), fault })
}

async fn asked_all(
    session: &mut Session,
    checks: &BTreeMap<String, (String, Expects)>,
) -> Result<BTreeMap<String, Asked>, Fault> {
    let mut all = BTreeMap::new();
    for (name, (query, expects)) in checks {
        all.insert(name.clone(), asked(session, query, *expects).await?);
    }
    Ok(all)
}

/// The script's own queries: what they say must be so, and known to be.
async fn verified(session: &mut Session, of: &ScriptRun) -> Result<Vec<String>, Ended> {
    let mut said = vec![];
    for (what, query) in &of.verify {
        match asked(session, query, Expects::NoRow).await?.meaning {
            Meaning::Passes => said.push(format!("{what}: passes after it")),
            Meaning::Violated(why) => {
                return refused(format!(
                    "after it `{what}` is violated: {why}. Nothing of it stays"
                ));
            }
            Meaning::Unknown(why) | Meaning::Incomparable(why) => {
                return refused(format!(
                    "after it nobody can tell `{what}`: {why}. Nothing of it stays"
                ));
            }
        }
    }
    Ok(said)
}

/// The service's checks: what passed before it and is violated after it was violated by it. One that asks for what is not there any more was
/// made for what goes; of another that passed before and cannot be asked nobody knows what the script did to it.
fn unharmed(
    before: &BTreeMap<String, Asked>,
    after: BTreeMap<String, Asked>,
) -> Result<Vec<String>, Ended> {
    let mut said = vec![];
    for (name, Asked { meaning, fault }) in after {
        let before = before.get(&name).map(|asked| &asked.meaning);
        let is_missing = fault.is_some_and(Problem::is_missing);
        said.push(match (meaning, before) {
            (Meaning::Violated(why), Some(Meaning::Passes)) => {
                return refused(format!(
                    "the check {name} passes before it and is violated after it: {why}. Nothing of it stays"
                ));
            }
            (Meaning::Unknown(why) | Meaning::Incomparable(why), Some(Meaning::Passes))
                if !is_missing =>
            {
                let passes = fault.is_some_and(Problem::passes);
                let why = format!(
                    "the check {name} passes before it, and after it nobody can tell: {why}. Nothing of it stays"
                );
                return Err(Ended::Refused { why, passes });
            }
            (Meaning::Violated(why), _) => {
                format!("the check {name} is violated after it, and did not pass before: {why}")
            }
            (Meaning::Passes, _) => format!("the check {name} passes after it"),
            (Meaning::Unknown(why) | Meaning::Incomparable(why), _) => {
                format!("the check {name} cannot be asked after it: {why}")
            }
        });
    }
    Ok(said)
}

//! How far a replica is behind its primary.
//!
//! PostgreSQL: whether the replica has replayed what the primary had written a moment before, which needs no right and is no guess of an
//! idle primary's clock; where it has not, how old the newest transaction is that it has. MariaDB and MySQL say it themselves.

use std::time::Duration;

use tokio::time::Instant;

use super::{Fault, Kind, Options, Row, Session, literal};
use crate::{
    domain::integrity::{Answer, Found},
    units::Span,
};

/// A replica that has not caught up by then is behind.
const WAIT: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(200);

/// What it is, or why nobody can tell.
pub(super) async fn ask(replica: &Options, primary: &Options) -> Result<Answer, Fault> {
    let lag = match replica.database.kind {
        Kind::Postgresql => of_postgresql(replica, primary).await?,
        Kind::Mysql => of_mysql(replica).await?,
    };
    Ok(match lag {
        Ok(lag) => Answer::Known(Found::Lag(lag)),
        Err(why) => Answer::Unknown(why.to_owned()),
    })
}

async fn of_postgresql(
    replica: &Options,
    primary: &Options,
) -> Result<Result<Span, &'static str>, Fault> {
    let mut session = Session::open(primary).await?;
    let written = session.rows("SELECT pg_catalog.pg_current_wal_lsn()::text").await;
    session.close().await;
    let written = written?.into_iter().flatten().flatten().next().unwrap_or_default();
    let begun = Instant::now();
    let sql = format!(
        "SELECT pg_catalog.pg_is_in_recovery()::text, \
         (pg_catalog.pg_last_wal_replay_lsn() >= {}::pg_catalog.pg_lsn)::text, \
         ceil(extract(epoch FROM clock_timestamp() - pg_catalog.pg_last_xact_replay_timestamp()) * 1000)::bigint::text",
        literal(Kind::Postgresql, &written)
    );
    let mut session = Session::open(replica).await?;
    let lag = loop {
        let stands = stands(session.rows(&sql).await?);
        match stands {
            Stands::CaughtUp => break Ok(Span::from(begun.elapsed())),
            Stands::Behind(_) if begun.elapsed() < WAIT => tokio::time::sleep(PAUSE).await,
            Stands::Behind(Some(lag)) => break Ok(lag.max(Span::from(WAIT))),
            Stands::Behind(None) => {
                break Err(
                    "it has not replayed a transaction since it started, and is behind its primary",
                );
            }
            Stands::NoReplica => break Err("it is no replica: it takes writes itself"),
        }
    };
    session.close().await;
    Ok(lag)
}

#[derive(Debug, PartialEq, Eq)]
enum Stands {
    CaughtUp,
    Behind(Option<Span>),
    NoReplica,
}

fn stands(rows: Vec<Row>) -> Stands {
    let row = rows.into_iter().next().unwrap_or_default();
    let cell = |at: usize| row.get(at).and_then(|cell| cell.as_deref());
    match (cell(0), cell(1)) {
        (Some("true"), Some("true")) => Stands::CaughtUp,
        (Some("true"), _) => Stands::Behind(cell(2).and_then(|ms| ms.parse().ok()).map(Span)),
        (_, _) => Stands::NoReplica,
    }
}

async fn of_mysql(replica: &Options) -> Result<Result<Span, &'static str>, Fault> {
    let mut session = Session::open(replica).await?;
    let rows = session.headed("SHOW REPLICA STATUS").await;
    session.close().await;
    Ok(behind(&rows?))
}

/// MariaDB calls it by the old name, MySQL by a new one. Of several sources the one that is furthest ahead counts.
fn behind(rows: &[Row]) -> Result<Span, &'static str> {
    let [names, rows @ ..] = rows else { return Err("it is no replica: it has no source") };
    let is_it = |name: &Option<String>| {
        matches!(name.as_deref(), Some("Seconds_Behind_Master" | "Seconds_Behind_Source"))
    };
    let Some(at) = names.iter().position(is_it) else {
        return Err("it does not say how far it is behind");
    };
    let seconds = |row: &Row| row.get(at).cloned().flatten().and_then(|it| it.parse().ok());
    let all: Option<Vec<i64>> = rows.iter().map(seconds).collect();
    let most = all.and_then(|all| all.into_iter().max());
    most.map(Span::seconds).ok_or("its replication does not run: see SHOW REPLICA STATUS there")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: &[Option<&str>]) -> Row {
        cells.iter().map(|cell| cell.map(str::to_owned)).collect()
    }

    #[test]
    fn a_replica_of_several_sources_is_as_far_behind_as_of_the_worst_and_one_that_stands_tells_nothing()
     {
        let names = row(&[Some("Host"), Some("Seconds_Behind_Master")]);
        let source = |seconds| row(&[Some("a"), seconds]);
        let both = [names.clone(), source(Some("3")), source(Some("90"))];
        assert_eq!(behind(&both), Ok(Span::seconds(90)));
        let stopped = [names, source(Some("3")), source(None)];
        assert!(behind(&stopped).unwrap_err().contains("does not run"));
        assert!(behind(&[]).unwrap_err().contains("no replica"));
    }

    #[test]
    fn what_takes_writes_itself_is_no_replica() {
        let said = |cells: &[Option<&str>]| stands(vec![row(cells)]);
        assert_eq!(said(&[Some("false"), None, None]), Stands::NoReplica);
        assert_eq!(said(&[Some("true"), Some("true"), None]), Stands::CaughtUp);
        let behind = said(&[Some("true"), Some("false"), Some("1500")]);
        assert_eq!(behind, Stands::Behind(Some(Span(1500))));
        assert_eq!(said(&[Some("true"), None, None]), Stands::Behind(None));
        assert_eq!(stands(vec![]), Stands::NoReplica);
    }
}

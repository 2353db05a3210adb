//! How far a replica is behind, asked of a real primary and a real replica.

use std::time::Duration;

use rollbackd::{
    databases::{
        Kind, Options, Session,
        checks::{Asks, Check},
    },
    domain::{
        integrity::{Answer, Before, Expects, Found, Meaning},
        schema::Seen,
    },
    units::Span,
};

use super::{
    histories::history,
    server::{BOTH, Server},
};
use crate::rig::patiently;

const MAX: Expects = Expects::LagAtMost { max: Span::seconds(3) };

async fn lag(replica: &Options, primary: &Options) -> Answer {
    let check = Check {
        options: replica.clone(),
        asks: Asks::Lag { primary: Box::new(primary.clone()) },
        expects: MAX,
        every: Span::minutes(1),
        every_watched: Span::minutes(1),
        shows_after: Span::ZERO,
        confirm_after: Span::seconds(10),
        share: 0.05,
    };
    check.ask().await
}

async fn run(options: &Options, sql: &str) {
    let mut session = Session::open_to_write(options).await.expect("it answers");
    session.rows(sql).await.unwrap_or_else(|fault| panic!("{sql}: {fault}"));
    session.close().await;
}

async fn both(kind: Kind) -> ([Server; 2], [Options; 2]) {
    let begun = tokio::task::spawn_blocking(move || Server::with_a_replica(kind));
    let servers = begun.await.expect("they start");
    let name = match kind {
        Kind::Postgresql => "postgres",
        Kind::Mysql => "mysql",
    };
    let options = [servers[0].options(name), servers[1].options(name)];
    (servers, options)
}

/// PostgreSQL's does by itself.
async fn replicate(kind: Kind, of: &Server, replica: &Options) {
    if kind == Kind::Mysql {
        let (port, password) = (of.port(), of.password());
        let told = format!(
            "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {port}, MASTER_USER = 'admin', \
             MASTER_PASSWORD = '{password}', MASTER_USE_GTID = slave_pos, MASTER_SSL = 0"
        );
        run(replica, &told).await;
        run(replica, "START SLAVE").await;
    }
}

fn is_within(answer: &Answer) -> bool {
    MAX.judge(answer, Before::Unchanged) == Meaning::Passes
}

#[tokio::test]
async fn a_replica_that_keeps_up_is_within_its_bound_and_one_that_stopped_is_not() {
    for kind in BOTH {
        let (servers, [primary, replica]) = both(kind).await;
        let alone = lag(&primary, &primary).await;
        assert!(
            matches!(&alone, Answer::Unknown(why) if why.contains("no replica")),
            "{kind}: {alone:?}"
        );
        replicate(kind, &servers[0], &replica).await;
        run(&primary, "CREATE TABLE orders (id INT PRIMARY KEY)").await;
        run(&primary, "INSERT INTO orders VALUES (1)").await;
        patiently("it keeps up", Duration::from_secs(60), async || {
            is_within(&lag(&replica, &primary).await).then_some(())
        })
        .await;
        let (stops, goes_on) = match kind {
            Kind::Postgresql => ("SELECT pg_wal_replay_pause()", "SELECT pg_wal_replay_resume()"),
            Kind::Mysql => ("STOP SLAVE SQL_THREAD", "START SLAVE"),
        };
        patiently("it is seen to be behind", Duration::from_secs(60), async || {
            // It stops a moment after it is told to, where it was not just starting: what is written now may be replayed yet.
            run(&replica, stops).await;
            run(&primary, "UPDATE orders SET id = id + 1").await;
            let answer = lag(&replica, &primary).await;
            let is_behind = match kind {
                Kind::Postgresql => {
                    matches!(&answer, Answer::Known(Found::Lag(_))) && !is_within(&answer)
                }
                Kind::Mysql => {
                    matches!(&answer, Answer::Unknown(why) if why.contains("does not run"))
                }
            };
            is_behind.then_some(())
        })
        .await;
        run(&replica, goes_on).await;
        patiently("it has caught up", Duration::from_secs(60), async || {
            is_within(&lag(&replica, &primary).await).then_some(())
        })
        .await;
    }
}

/// The lock of whoever migrates is on the primary alone, and what was applied comes later.
#[tokio::test]
async fn a_history_on_a_standby_is_unknown_and_its_primary_is_to_be_named() {
    for kind in BOTH {
        let (servers, [primary, replica]) = both(kind).await;
        replicate(kind, &servers[0], &replica).await;
        if kind == Kind::Mysql {
            run(&replica, "SET GLOBAL read_only = ON").await;
        }
        let why = async |options: &Options| match history(options.clone(), "flyway_schema_history")
            .look()
            .await
        {
            Seen::Unknown(why) => why,
            Seen::Known(schema) => panic!("{schema:?}"),
        };
        patiently("it replicates", Duration::from_secs(60), async || {
            why(&replica).await.contains("is a standby").then_some(())
        })
        .await;
        assert!(why(&primary).await.contains("there is no table"), "{kind}");
    }
}

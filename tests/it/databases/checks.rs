//! Checks of the data, asked of the real servers.

use std::time::{Duration, Instant};

use rollbackd::{
    databases::{Kind, Options, checks::Check},
    domain::integrity::{Answer, COUNTED_MAX, Expects, Found},
    units::Span,
};

use super::server::{BOTH, Fresh};

const WITHIN: Expects = Expects::Within { low: 1.0, high: 9.5 };

fn check(options: Options, query: &str, expects: Expects) -> Check {
    Check {
        options,
        query: query.to_owned(),
        expects,
        every: Span::minutes(5),
        confirm_after: Span::seconds(10),
        share: 0.05,
    }
}

async fn asked(options: &Options, query: &str, expects: Expects) -> Answer {
    check(options.clone(), query, expects).ask().await
}

async fn unknown(options: &Options, query: &str, expects: Expects) -> String {
    match asked(options, query, expects).await {
        Answer::Unknown(why) => why,
        Answer::Known(found) => panic!("{query}: {found:?}"),
    }
}

#[tokio::test]
async fn an_order_without_a_customer_is_found_and_counted() {
    const ORPHANS: &str = "SELECT o.*, c.* FROM orders o LEFT JOIN customers c ON c.id = o.customer WHERE c.id IS NULL -- all";
    for kind in BOTH {
        let fresh = Fresh::of(kind).await;
        fresh.run("CREATE TABLE customers (id INT PRIMARY KEY)").await;
        fresh.run("CREATE TABLE orders (id INT PRIMARY KEY, customer INT)").await;
        fresh.run("INSERT INTO customers VALUES (1)").await;
        fresh.run("INSERT INTO orders VALUES (1, 1)").await;
        let found = async || asked(&fresh.options(), ORPHANS, Expects::NoRow).await;
        assert_eq!(found().await, Answer::Known(Found::Rows(0)), "{kind}");
        fresh.run("INSERT INTO orders VALUES (2, 7), (3, 8)").await;
        assert_eq!(found().await, Answer::Known(Found::Rows(2)), "{kind}");
    }
}

#[tokio::test]
async fn a_number_is_read_whatever_its_type_and_what_is_none_tells_nothing() {
    for kind in BOTH {
        let fresh = Fresh::of(kind).await;
        fresh.run("CREATE TABLE orders (id INT PRIMARY KEY, total DECIMAL(10, 2))").await;
        fresh.run("INSERT INTO orders VALUES (1, 2.50), (2, 10.00), (3, NULL)").await;
        let options = fresh.options();
        for (query, number) in [
            ("SELECT count(*) FROM orders -- all of them", 3.0),
            ("SELECT sum(total) FROM orders", 12.5),
            ("SELECT total FROM orders WHERE id = 1", 2.5),
            ("SELECT -1", -1.0),
        ] {
            let answer = asked(&options, query, WITHIN).await;
            assert_eq!(answer, Answer::Known(Found::Number(number)), "{kind}: {query}");
        }
        for none in [
            "SELECT total FROM orders WHERE id = 3",
            "SELECT 1 FROM orders WHERE id = 9",
            "SELECT 'x'",
        ] {
            let why = unknown(&options, none, WITHIN).await;
            assert!(why.contains("no number"), "{kind}: {why}");
        }
        for many in ["SELECT id FROM orders", "SELECT 1, 2"] {
            unknown(&options, many, WITHIN).await;
        }
    }
}

#[tokio::test]
async fn a_query_that_never_ends_is_ended_and_ten_million_rows_are_not_waited_for() {
    for kind in BOTH {
        let fresh = Fresh::of(kind).await;
        let mut options = fresh.options();
        let (rests, many) = match kind {
            Kind::Postgresql => ("SELECT pg_sleep(600)", "SELECT generate_series(1, 10000000)"),
            Kind::Mysql => (
                "SELECT 1 FROM seq_1_to_1000000000 a JOIN seq_1_to_1000000000 b ON a.seq + b.seq = 0",
                "SELECT seq FROM seq_1_to_10000000",
            ),
        };
        let begun = Instant::now();
        let answer = asked(&options, many, Expects::NoRow).await;
        assert_eq!(answer, Answer::Known(Found::Rows(COUNTED_MAX + 1)), "{kind}");
        assert!(begun.elapsed() < Duration::from_secs(30), "{kind}");
        options.statement_timeout = Span::seconds(1);
        for expects in [Expects::NoRow, WITHIN] {
            let why = unknown(&options, rests, expects).await;
            assert!(why.contains("did not answer in time"), "{kind}: {why}");
        }
    }
}

#[tokio::test]
async fn who_may_not_read_it_and_who_would_write_is_refused_and_nothing_is_changed() {
    for kind in BOTH {
        let fresh = Fresh::of(kind).await;
        fresh.run("CREATE TABLE orders (id INT PRIMARY KEY)").await;
        fresh.run("INSERT INTO orders VALUES (1)").await;
        let other = match kind {
            Kind::Postgresql => vec![],
            Kind::Mysql => {
                fresh.run("CREATE TABLE other (id INT PRIMARY KEY)").await;
                vec![&*format!("GRANT SELECT ON {}.other TO {{}}", fresh.name).leak()]
            }
        };
        let reader = fresh.user("checker", &other).await;
        let why = unknown(&reader, "SELECT id FROM orders", Expects::NoRow).await;
        assert!(why.contains("may not do that") && !why.contains("hunter2"), "{kind}: {why}");
        let writes = match kind {
            Kind::Postgresql => {
                "WITH gone AS (DELETE FROM orders RETURNING id) SELECT id FROM gone"
            }
            Kind::Mysql => "DELETE FROM orders",
        };
        unknown(&fresh.options(), writes, Expects::NoRow).await;
        assert_eq!(fresh.run("SELECT id FROM orders").await.len(), 1, "{kind}");
        let wrong = check(fresh.options(), "SELECT nothing FROM orders", WITHIN);
        assert!(wrong.explain().await.is_err(), "{kind}");
        check(fresh.options(), "SELECT id FROM orders", WITHIN).explain().await.unwrap();
    }
}

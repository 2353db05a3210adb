//! Checks of the data, asked of the real servers.

use std::time::{Duration, Instant};

use rollbackd::{
    databases::{
        Kind, Options, Session,
        checks::{Asks, Check},
    },
    domain::integrity::{Answer, Broken, COUNTED_MAX, Expects, ForeignKeys, Found},
    units::Span,
};

use super::server::{BOTH, Fresh};

const WITHIN: Expects = Expects::Within { low: 1.0, high: 9.5 };

fn check(options: Options, query: &str, expects: Expects) -> Check {
    Check {
        options,
        asks: Asks::Query(query.to_owned()),
        expects,
        every: Span::minutes(5),
        every_watched: Span::minutes(1),
        shows_after: Span::ZERO,
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

async fn foreign_keys(options: &Options, most: usize) -> Answer {
    let asks = Asks::ForeignKeys { schema: None, most };
    Check { asks, ..check(options.clone(), "", Expects::ForeignKeys) }.ask().await
}

/// A row that nothing checked while it was written, as a dump is restored.
async fn unchecked(fresh: &Fresh<'_>, sql: &str) {
    let off = match fresh.kind {
        Kind::Postgresql => "SET session_replication_role = replica",
        Kind::Mysql => "SET foreign_key_checks = 0",
    };
    fresh.run(&format!("{off}; {sql}")).await;
}

#[tokio::test]
async fn a_row_that_refers_to_what_is_not_there_is_found_by_the_catalogue_alone() {
    for kind in BOTH {
        let fresh = Fresh::of(kind).await;
        let none = foreign_keys(&fresh.options(), 10).await;
        assert!(
            matches!(&none, Answer::Unknown(why) if why.contains("no foreign key")),
            "{none:?}"
        );
        fresh.run("CREATE TABLE customers (land INT, id INT, PRIMARY KEY (land, id))").await;
        fresh
            .run(
                "CREATE TABLE orders (id INT PRIMARY KEY, land INT, customer INT, after INT, \
                 CONSTRAINT whose FOREIGN KEY (land, customer) REFERENCES customers (land, id), \
                 CONSTRAINT after_which FOREIGN KEY (after) REFERENCES orders (id))",
            )
            .await;
        fresh.run("INSERT INTO customers VALUES (1, 1)").await;
        fresh
            .run("INSERT INTO orders VALUES (1, 1, 1, NULL), (2, 1, NULL, 1), (3, NULL, 9, NULL)")
            .await;
        let found = async || match foreign_keys(&fresh.options(), 10).await {
            Answer::Known(Found::ForeignKeys(found)) => found,
            answer @ (Answer::Known(_) | Answer::Unknown(_)) => panic!("{kind}: {answer:?}"),
        };
        let whole = ForeignKeys { count: 2, ..ForeignKeys::default() };
        assert_eq!(found().await, whole, "{kind}");
        unchecked(&fresh, "INSERT INTO orders VALUES (4, 1, 7, 1), (5, 2, 1, NULL)").await;
        let broken = vec![Broken { key: "whose".into(), table: "orders".into(), rows: 2 }];
        assert_eq!(found().await, ForeignKeys { broken, ..whole }, "{kind}");
        let answer = foreign_keys(&fresh.options(), 1).await;
        assert!(
            matches!(&answer, Answer::Unknown(why) if why.contains("raise foreign_keys_max")),
            "{kind}: {answer:?}"
        );
    }
}

#[tokio::test]
async fn a_constraint_that_postgresql_was_told_not_to_validate_is_validated() {
    let fresh = Fresh::of(Kind::Postgresql).await;
    fresh.run("CREATE TABLE customers (id INT PRIMARY KEY)").await;
    fresh.run("CREATE TABLE orders (id INT, customer INT)").await;
    fresh.run("INSERT INTO orders SELECT n, n FROM generate_series(1, 500) n").await;
    fresh
        .run("ALTER TABLE orders ADD CONSTRAINT whose FOREIGN KEY (customer) REFERENCES customers NOT VALID")
        .await;
    let Answer::Known(Found::ForeignKeys(found)) = foreign_keys(&fresh.options(), 10).await else {
        panic!("nobody can tell")
    };
    assert_eq!(found.broken[0].rows, COUNTED_MAX + 1);
}

/// Of what the user may not read nobody can tell: that is not well.
#[tokio::test]
async fn a_table_that_may_not_be_read_is_not_taken_for_well() {
    for kind in BOTH {
        let fresh = Fresh::of(kind).await;
        fresh.run("CREATE TABLE customers (id INT PRIMARY KEY)").await;
        fresh
            .run("CREATE TABLE orders (id INT, customer INT, CONSTRAINT whose FOREIGN KEY (customer) REFERENCES customers (id))")
            .await;
        let grant = match kind {
            Kind::Postgresql => "GRANT SELECT ON orders TO {}".to_owned(),
            Kind::Mysql => format!("GRANT SELECT ON {}.orders TO {{}}", fresh.name),
        };
        let half = fresh.user("keys", &[&grant]).await;
        let answer = foreign_keys(&half, 10).await;
        let untold = match &answer {
            Answer::Unknown(_) => true,
            Answer::Known(Found::ForeignKeys(found)) => {
                found.broken.is_empty() && found.untold[0].contains("may not do that")
            }
            Answer::Known(_) => false,
        };
        assert!(untold, "{kind}: {answer:?}");
        let rest = match kind {
            Kind::Postgresql => "GRANT SELECT ON customers TO {}".to_owned(),
            Kind::Mysql => format!("GRANT SELECT ON {}.customers TO {{}}", fresh.name),
        };
        fresh
            .run(&rest.replace(
                "{}",
                &match kind {
                    Kind::Postgresql => half.database.user.clone(),
                    Kind::Mysql => format!("{}@'127.0.0.1'", half.database.user),
                },
            ))
            .await;
        let answer = foreign_keys(&half, 10).await;
        let whole = ForeignKeys { count: 1, ..ForeignKeys::default() };
        assert_eq!(
            answer,
            Answer::Known(Found::ForeignKeys(whole)),
            "{kind}: whoever may read sees them"
        );
    }
}

/// The servers quote what they cannot read.
#[tokio::test]
async fn a_query_that_fails_over_a_value_does_not_tell_the_value() {
    for kind in BOTH {
        let fresh = Fresh::of(kind).await;
        fresh.run("CREATE TABLE customers (id INT PRIMARY KEY, name VARCHAR(40))").await;
        fresh.run("INSERT INTO customers VALUES (1, 'Ada Lovelace')").await;
        let reads = match kind {
            Kind::Postgresql => "SELECT 1 FROM customers WHERE name::int = 7",
            Kind::Mysql => "SELECT extractvalue('<a/>', concat('~', name)) FROM customers",
        };
        let why = unknown(&fresh.options(), reads, Expects::NoRow).await;
        assert!(!why.contains("Ada") && why.contains("SQLSTATE"), "{kind}: {why}");
        let mut writes = Session::open_to_write(&fresh.options()).await.expect("it answers");
        for sql in [
            "INSERT INTO customers (id) SELECT 'Ada Lovelace' FROM customers",
            "INSERT INTO customers SELECT * FROM customers",
            "UPDATE customers SET name = repeat(name, 40)",
        ] {
            let why = writes.run(sql).await.expect_err("it is none").in_words();
            assert!(!why.contains("Ada"), "{kind}: {why}");
        }
    }
}

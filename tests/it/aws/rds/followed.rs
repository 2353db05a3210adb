//! The daemon's own looks at a database go where its service is led, without a restart; and no secret is told.

use rollbackd::{
    aws::address::Keys,
    databases::{Fault, Follows, Options, Problem, Session, history::History},
    domain::{rds::Endpoint, run::Outcome},
    units::Span,
};

use super::{
    bench::schema,
    switched::{Shop, endpoint},
};
use crate::{aws::proxy::Twist, databases::histories::history};

const READ: &str = "GetSecretValue";

fn follows(shop: &Shop, refresh: Span) -> Follows {
    let keys = Keys { host: "host".into(), port: "port".into() };
    Follows::new(shop.bench.access.clone(), shop.bench.secret.clone(), keys, refresh)
}

/// Nothing of where the URL leads is a database.
fn options(shop: &Shop, refresh: Span) -> Options {
    let follows = Some(follows(shop, refresh));
    Options { follows, ..shop.old.options().at("of-the-url.invalid", 1) }
}

async fn holds(history: &History) -> String {
    history.read().await.map(|seen| seen.revision().version).unwrap_or_else(|why| why.to_string())
}

async fn put(shop: &Shop, held: &str) {
    let put = shop.bench.clients.secrets().put_secret_value().secret_id(&shop.bench.secret);
    put.secret_string(held).send().await.unwrap();
}

#[tokio::test]
async fn after_a_restore_the_daemon_looks_at_what_its_service_is_led_to() {
    let shop = Shop::open("followed").await;
    let own = history(options(&shop, Span::hours(1)), "flyway_schema_history");
    assert_eq!(holds(&own).await, shop.from.version);
    shop.bench.executor.histories.adopt([(schema(), own.clone())].into());
    let report = shop.switches(false).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    assert_eq!(holds(&own).await, shop.to.version, "in this very moment, whatever it had read");
}

#[tokio::test]
async fn whoever_else_leads_it_elsewhere_is_followed_once_what_was_read_is_old_or_nobody_answers() {
    let shop = Shop::open("elsewhere").await;
    let own = history(options(&shop, Span(1)), "flyway_schema_history");
    assert_eq!(holds(&own).await, shop.from.version);
    let Endpoint { host, port } = endpoint(shop.new.server);
    put(&shop, &serde_json::json!({ "host": host, "port": port.to_string() }).to_string()).await;
    assert_eq!(holds(&own).await, shop.to.version);
    shop.bench.proxy.twist(
        READ,
        1,
        Twist::Refuse { status: 400, code: "ThrottlingException", said: "" },
    );
    assert_eq!(
        holds(&own).await,
        shop.to.version,
        "what was read counts where nobody can be asked"
    );
}

async fn fault(shop: &Shop) -> Fault {
    Session::open(&options(shop, Span(1))).await.unwrap_err()
}

#[tokio::test]
async fn where_it_cannot_be_told_where_it_is_the_reason_is_said_and_nothing_of_the_secret() {
    let shop = Shop::open("untold").await;
    for (held, told) in [
        (r#"{"password":"hunter2","port":5432}"#, "host"),
        (r#"{"password":"hunter2","host":["x"]}"#, "host"),
        (r#"{"password":"hunter2","host":"x","port":"many"}"#, "port"),
        ("hunter2", "JSON"),
    ] {
        put(&shop, held).await;
        let fault = fault(&shop).await;
        let said = fault.in_words();
        assert_eq!(fault.problem, Problem::Unlocated, "{said}");
        assert!(said.contains(told) && !said.contains("hunter2"), "{said}");
    }
    shop.bench.proxy.twist(
        READ,
        1,
        Twist::Refuse { status: 400, code: "AccessDeniedException", said: "" },
    );
    let said = fault(&shop).await.in_words();
    assert!(said.contains("the right secretsmanager:GetSecretValue is missing"), "{said}");
    let gone = shop.bench.clients.secrets().delete_secret().secret_id(&shop.bench.secret);
    gone.force_delete_without_recovery(true).send().await.unwrap();
    let said = fault(&shop).await.in_words();
    assert!(said.contains("nobody can tell where it is"), "{said}");
}

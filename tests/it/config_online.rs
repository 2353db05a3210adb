//! `check --online` against a real Prometheus: its own words, under the query.

use std::{os::unix::fs::PermissionsExt, process::Command, time::Duration};

use rollbackd::{
    config::{Level, Problem, check_online, load_text, preflight},
    databases::Kind,
    domain::service::ServiceId,
};

use crate::databases::{flyway::Flyway, server::Fresh};
use crate::rig::{MetricsPage, Prometheus, prometheus_config};

/// What is wrong once the servers were asked, in the order of the file; by itself the file is right.
async fn asked(text: &str) -> Vec<Problem> {
    let (config, problems) = load_text("rollbackd.toml", text).unwrap();
    assert_eq!(problems, []);
    let mut problems = check_online(&config, "rollbackd.toml", text).await.problems;
    problems.sort_by_key(|problem| problem.line);
    problems
}

#[tokio::test]
async fn a_query_that_prometheus_refuses_is_shown_with_its_own_words() {
    let prometheus =
        Prometheus::start(&prometheus_config("shop", &[], None), &[("rules.yml", "groups: []")])
            .await;
    let text = format!(
        r#"
[prometheus.main]
url = "{}"
[prometheus.gone]
url = "http://127.0.0.1:1"
[service.shop]
watch_only = true
[service.shop.signal.error_rate.prometheus]
from = "main"
bad = 'sum by (pod) (http_errors_total'
total = 'vector(1)'
[service.shop.signal.latency.prometheus]
from = "gone"
value = 'p95'
[service.shop.signal.cpu.prometheus]
from = "main"
value = 'no_such_series'
"#,
        prometheus.url()
    );
    let problems = asked(&text).await;
    let told: Vec<(usize, Level)> = problems.iter().map(|p| (p.line, p.level)).collect();
    assert_eq!(told, [(10, Level::Error), (14, Level::Warning), (17, Level::Warning)]);
    let words = problems.iter().map(Problem::to_string).collect::<Vec<_>>();
    assert!(words[0].contains("unclosed left parenthesis"), "{}", words[0]);
    assert!(words[1].contains("was not tried"), "{}", words[1]);
    assert!(words[2].contains("no such series"), "{}", words[2]);
}

/// Labels that do not match give 0 % for ever, or no data at all, and nobody sees why.
#[tokio::test]
async fn labels_that_do_not_match_are_told_before_the_daemon_runs() {
    let prometheus =
        Prometheus::start(&prometheus_config("shop", &[], None), &[("rules.yml", "groups: []")])
            .await;
    let text = format!(
        r#"
[prometheus.main]
url = "{}"
[service.shop]
watch_only = true
[service.shop.signal.error_rate.prometheus]
bad = 'label_replace(vector(1), "code", "500", "", "")'
total = 'vector(7)'
[service.shop.signal.latency.prometheus]
value = 'label_replace(vector(1), "service", "blog", "", "") or vector(2)'
label = "service"
"#,
        prometheus.url()
    );
    let problems = asked(&text).await;
    let told: Vec<(usize, Level)> = problems.iter().map(|p| (p.line, p.level)).collect();
    assert_eq!(told, [(7, Level::Error), (10, Level::Warning), (10, Level::Warning)]);
    let words = problems.iter().map(Problem::to_string).collect::<Vec<_>>();
    assert!(
        words[0].contains("errors have the labels code, and the total has no labels"),
        "{words:?}"
    );
    assert!(words[1].contains("1 of 2 rows have no label `service`"), "{words:?}");
    assert!(words[2].contains("no row has service=\"shop\""), "{words:?}");
}

const FOUND: &str = r#"
http_requests_total{service="cart",code="200"} 7
http_requests_total{service="checkout",code="200"} 7
http_requests_total{service="mail",code="200"} 7
http_requests_total{service="my shop",code="200"} 7
http_requests_total{service="search",code="200"} 7
http_requests_total{code="200"} 7
busy{service="checkout"} NaN
busy{service="queue"} 0.5
"#;

const FINDING: &str = r#"
[prometheus.main]
url = "URL"
[service.cart]
watch_only = true
[service.cart.signal.latency.prometheus]
value = 'vector(0.1)'
[discover.web]
template = "web"
query = 'count by (service) (http_requests_total)'
label = "service"
services_max = 3
[discover.busy]
template = "web"
query = 'busy'
label = "service"
[discover.wrong]
template = "web"
query = 'count by (code) (http_requests_total)'
label = "service"
[template.web]
watch_only = true
[template.web.signal.error_rate.prometheus]
label = "service"
bad = 'sum by (service) (http_requests_total{code="500"})'
total = 'sum by (service) (http_requests_total)'
[template.web.signal.cpu.prometheus]
value = 'busy{service="{service}"}'
"#;

/// `check` alone cannot know whom a query will find: asked online, it says so before a daemon is let loose on it.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_query_for_services_finds_is_told_before_the_daemon_runs() {
    let page = MetricsPage::start(FOUND).await;
    let config = prometheus_config("shop", &[page.port()], None);
    let prometheus = Prometheus::start(&config, &[("rules.yml", "groups: []")]).await;
    prometheus.value("busy{service=\"queue\"}", Duration::from_secs(30)).await;
    let text = FINDING.replace("URL", &prometheus.url());
    let (config, problems) = load_text("rollbackd.toml", &text).unwrap();
    assert_eq!(problems, []);
    let online = check_online(&config, "rollbackd.toml", &text).await;
    let says: Vec<String> = online.finds.iter().flat_map(|finds| finds.says()).collect();
    assert_eq!(
        says,
        [
            "discover.busy finds 2 services now: checkout, queue",
            "  of 2 of 2 a signal's query has no row now: checkout, queue",
            "discover.web finds 1 service now: mail",
            "  left out: my shop: a name is letters, digits and . _ -, at most 100 of them",
            "  left out: 1 of those it names are not watched: services_max is 3; raise it, or narrow the query",
            "  left out: cart: written in the file, and watched as it is written",
            "  left out: checkout: found by another query before, whose template is followed",
            "  of 1 of 1 a signal's query has no row now: mail",
            "discover.wrong finds nobody to watch now"
        ]
    );
    let mut told: Vec<(usize, Level, &str)> =
        online.problems.iter().map(|p| (p.line, p.level, p.what.as_str())).collect();
    told.sort_unstable_by_key(|(line, ..)| *line);
    assert_eq!(
        told,
        [
            (0, Level::Warning, "cpu of checkout/production: Prometheus knows no such series now"),
            (0, Level::Warning, "cpu of mail/production: Prometheus knows no such series now"),
            (10, Level::Warning, "1 of 6 rows have no label `service`: they name nobody"),
            (19, Level::Error, "none of 1 rows has the label `service`: they have code"),
            (26, Level::Warning, "1 of 6 rows have no label `service`"),
            (26, Level::Warning, "1 of 3 services have no row by `service` now: queue"),
        ]
    );

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("rollbackd.toml");
    std::fs::write(&file, text).unwrap();
    let check = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rollbackd"));
        let output = command.arg("check").arg(&file).args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let usable = check(&[]);
    assert!(usable.contains("is usable: 1 service, 1 signal, 1 channel"), "{usable}");
    assert!(check(&["--online"]).contains("discover.web finds 1 service now: mail"));
    assert!(
        usable.contains(
            "and the services found by discover.web, at most 3: by label `service` of \
             `count by (service) (http_requests_total)` of prometheus main, each with the 2 signals of template web"
        ),
        "{usable}"
    );
}

/// A server that is away may be there when the daemon runs; a table that is not there is a mistake.
#[tokio::test]
async fn a_history_of_migrations_that_cannot_be_read_is_told_under_its_address() {
    let fresh = Fresh::of(Kind::Postgresql).await;
    let home = tempfile::TempDir::new().unwrap();
    let password = home.path().join("password");
    std::fs::write(&password, fresh.server.password()).unwrap();
    let text = format!(
        r#"
[database.gone]
url = "postgres://rollbackd@127.0.0.1:1/shop"
[database.shop]
url = "postgres://postgres@127.0.0.1:{}/{}"
password = {{ file = "{}" }}
tls = "off"
[service.cart]
watch_only = true
signal.health.http.url = "http://127.0.0.1:1/health"
database.from = "gone"
[service.shop]
watch_only = true
signal.health.http.url = "http://127.0.0.1:1/health"
database.from = "shop"
[service.shop.database.check.wrong]
query = "SELECT nothing FROM nowhere"
no_row = true
"#,
        fresh.server.port(),
        fresh.name,
        password.display()
    );
    let problems = asked(&text).await;
    let told: Vec<(usize, Level)> = problems.iter().map(|p| (p.line, p.level)).collect();
    assert_eq!(told, [(3, Level::Warning), (5, Level::Error), (17, Level::Error)], "{problems:?}");
    let words = problems[1].to_string();
    assert!(words.contains("there is no table `flyway_schema_history`"), "{words}");
    let of_check = problems[2].to_string();
    assert!(of_check.contains("the check wrong of shop/production cannot be asked"), "{of_check}");
    assert!(!format!("{words}{of_check}").contains(fresh.server.password()));
    // The file is in order: whoever goes by 64 must not give up.
    let file = home.path().join("rollbackd.toml");
    for (text, code) in [(text.clone(), 1), (text.replace("no_row = true", "no_row = 7"), 64)] {
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_rollbackd"));
        let output = command.arg("check").arg(&file).arg("--online").output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{output:?}");
    }
}

const UNDOING: &str = r#"
state_dir = "HOME/state"
mode = "approve"
[database.shop]
url = "postgres://postgres@127.0.0.1:PORT/NAME"
password = { file = "HOME/password" }
tls = "off"
[service.shop]
signal.health.http.url = "http://127.0.0.1:1/health"
database.from = "shop"
[service.shop.rollback.application.release]
root = "HOME/shop"
restart = { command = { argv = ["/bin/true"] } }
running = { unit = "shop.service" }
[service.shop.rollback.database]
undo = ["HOME/undo", "{last}"]
env = { DATABASE_URL = { file = "HOME/url" } }
stop = ["HOME/undo", "stop"]
"#;

/// What an undo would only find missing at night.
#[tokio::test(flavor = "multi_thread")]
async fn what_takes_migrations_back_is_looked_at_before_there_is_need() {
    let fresh = Fresh::of(Kind::Postgresql).await;
    let flyway = Flyway::of(&fresh);
    flyway.script("V1__orders.sql", "CREATE TABLE orders (id INT PRIMARY KEY);");
    flyway.succeed(&["migrate"]).await;
    let home = tempfile::TempDir::new().unwrap();
    let at = |name: &str| home.path().join(name);
    std::fs::write(at("password"), fresh.server.password()).unwrap();
    let text = UNDOING
        .replace("HOME", home.path().to_str().unwrap())
        .replace("PORT", &fresh.server.port().to_string())
        .replace("NAME", &fresh.name);
    let (config, problems) = load_text("rollbackd.toml", &text).unwrap();
    // Of the file alone that is no fault: the daemon may be elsewhere.
    assert!(problems.iter().all(|it| it.level == Level::Warning), "{problems:?}");
    let looked = async |what: &str| {
        let online = check_online(&config, "rollbackd.toml", &text).await;
        let all = preflight(&config, &online.histories).await;
        let check = all[0].checks.iter().find(|check| check.what == what).cloned();
        check.unwrap_or_else(|| panic!("{what}: {all:?}"))
    };
    let undo = "what takes its migrations back can be run";
    std::fs::write(at("url"), "postgres://").unwrap();
    let check = looked(undo).await;
    assert!(!check.ok && check.why.contains("was not found"), "{check:?}");
    std::fs::write(at("undo"), "#!/bin/sh\n").unwrap();
    let check = looked(undo).await;
    assert!(
        !check.ok && check.why.contains("is not executable") && check.why.contains("chmod"),
        "{check:?}"
    );
    std::fs::set_permissions(at("undo"), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::remove_file(at("url")).unwrap();
    let check = looked(undo).await;
    assert!(
        !check.ok && check.why.contains("the variable DATABASE_URL cannot be set"),
        "{check:?}"
    );
    assert!(!looked("what keeps it from writing can be run").await.ok);
    std::fs::write(at("url"), "postgres://").unwrap();
    assert!(looked(undo).await.ok && looked("what keeps it from writing can be run").await.ok);

    // Nobody ran the daemon yet, whose own directory would be the program's.
    let check = looked("there is a place for the daemon's state").await;
    assert!(check.ok && check.why.contains("`rollbackd run` makes it"), "{check:?}");

    let writes = "its migrations can be taken back on that server";
    assert!(looked(writes).await.ok);
    let name = &fresh.name;
    fresh.run(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on")).await;
    let check = looked(writes).await;
    assert!(
        !check.ok && check.why.contains("takes no writes: default_transaction_read_only is on"),
        "{check:?}"
    );

    // What was read is not read again.
    let (service, told) = (ServiceId::new("shop", "production").unwrap(), "as it was read");
    let all = preflight(&config, &[(service, Err(told.to_owned()))].into()).await;
    let check =
        all[0].checks.iter().find(|check| check.what == "the history of its migrations is read");
    assert_eq!(check.map(|it| (it.ok, it.why.as_str())), Some((false, told)));
}

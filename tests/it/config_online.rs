//! `check --online` against a real Prometheus: its own words, under the query.

use rollbackd::config::{Level, Problem, check_online, load_text};

use crate::rig::{Prometheus, prometheus_config};

/// What is wrong once the servers were asked, in the order of the file; by itself the file is right.
async fn asked(text: &str) -> Vec<Problem> {
    let (config, problems) = load_text("rollbackd.toml", text).unwrap();
    assert_eq!(problems, []);
    let mut problems = check_online(&config, "rollbackd.toml", text).await;
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

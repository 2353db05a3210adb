//! The rig itself, and what we believe about the real programs.

use std::{path::Path, process::Command};

use k8s_openapi::api::apps::v1::ReplicaSet;
use kube::{Api, api::ListParams};

use crate::{
    kubernetes::{
        cluster::Cluster,
        place::{Place, SOON},
    },
    rig::{
        Alertmanager, MetricsPage, Prometheus, Webhook, alertmanager_config, client, eventually,
        prometheus_config,
    },
};

const TOO_MANY_ERRORS: &str = r#"
groups:
  - name: shop
    rules:
      - alert: TooManyErrors
        expr: shop_error_ratio > 0.05
        labels: { severity: page, service: shop }
        annotations: { summary: "{{ $value }} of the requests fail" }
"#;

#[tokio::test]
async fn prometheus_starts_scrapes_and_comes_back_on_the_same_port_with_its_data() {
    let page = MetricsPage::start("sold_total 41\n").await;
    let config = prometheus_config("shop", &[page.port()], None);
    let mut prometheus = Prometheus::start(&config, &[("rules.yml", "groups: []")]).await;
    assert!((prometheus.value("sold_total", SOON).await - 41.0).abs() < 1e-9);

    let url = prometheus.url();
    prometheus.kill();
    let refused = client().get(format!("{url}/-/ready")).send().await;
    assert!(refused.is_err_and(|fault| fault.is_connect()), "a killed server does not answer");

    page.say("sold_total 42\n");
    prometheus.restart().await;
    assert_eq!(prometheus.url(), url);
    // Both lives are in the series.
    assert!(prometheus.value("count_over_time(sold_total[5m]) > 1", SOON).await > 1.0);
    assert!((prometheus.value("min_over_time(sold_total[5m])", SOON).await - 41.0).abs() < 1e-9);
}

#[tokio::test]
async fn an_alert_goes_from_a_scrape_to_a_webhook_in_version_4_and_resolves() {
    let mut webhook = Webhook::start().await;
    let config = alertmanager_config(&webhook.url(), Some("s3cret"));
    let alertmanager = Alertmanager::start(&config).await;
    let page = MetricsPage::start("shop_error_ratio 0.25\n").await;
    let config = prometheus_config("shop", &[page.port()], Some(&alertmanager));
    let prometheus = Prometheus::start(&config, &[("rules.yml", TOO_MANY_ERRORS)]).await;

    let post = webhook.next(SOON).await;
    assert_eq!(post.headers["content-type"], "application/json");
    assert_eq!(post.headers["authorization"], "Bearer s3cret");
    let body = post.json();
    assert_eq!(body["version"], "4");
    assert_eq!(body["status"], "firing");
    assert_eq!(body["receiver"], "webhook");
    assert_eq!(body["truncatedAlerts"], 0);
    assert!(body["groupKey"].as_str().is_some_and(|key| !key.is_empty()));
    assert_eq!(body["commonLabels"]["service"], "shop");
    let alert = &body["alerts"][0];
    assert_eq!(alert["status"], "firing");
    assert_eq!(alert["labels"]["alertname"], "TooManyErrors");
    assert_eq!(alert["labels"]["instance"], format!("127.0.0.1:{}", page.port()));
    assert_eq!(alert["annotations"]["summary"], "0.25 of the requests fail");
    assert_eq!(alert["endsAt"], "0001-01-01T00:00:00Z", "the zero time while it fires");
    let (fingerprint, starts_at) = (alert["fingerprint"].clone(), alert["startsAt"].clone());
    assert_eq!(fingerprint.as_str().map(str::len), Some(16));
    assert!(alert["generatorURL"].as_str().is_some_and(|url| url.contains("/graph?")));

    page.say("shop_error_ratio 0.01\n");
    let resolved = loop {
        let body = webhook.next(SOON).await.json();
        if body["status"] == "resolved" {
            break body;
        }
    };
    let alert = &resolved["alerts"][0];
    assert_eq!(alert["status"], "resolved");
    assert_eq!(alert["fingerprint"], fingerprint, "the same alert");
    assert_eq!(alert["startsAt"], starts_at, "the same firing");
    assert_ne!(alert["endsAt"], "0001-01-01T00:00:00Z");

    // The API polls as we expect it: values are strings, an empty vector is a success.
    let answer = prometheus.query("shop_error_ratio > 7").await;
    assert_eq!(answer["status"], "success");
    assert_eq!(answer["data"]["result"], serde_json::json!([]));
    let listed = client().get(format!("{}/api/v2/status", alertmanager.url())).send().await;
    assert!(listed.is_ok_and(|answer| answer.status().is_success()));
}

#[tokio::test]
#[should_panic(expected = "if it is missing run `tests/rig/prometheus install`")]
async fn a_server_that_does_not_start_fails_the_test_and_says_why() {
    Prometheus::start("scrape_configs: nonsense", &[]).await;
}

#[tokio::test]
async fn the_scripts_start_a_server_to_poke_at_and_stop_it() {
    let home = tempfile::TempDir::new().expect("a temporary directory");
    for server in ["prometheus", "alertmanager"] {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rig").join(server);
        let run = |command: &str| {
            let output = Command::new(&script).arg(command).env("RIG_DIR", home.path()).output();
            let output = output.expect("the script can be started");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{server} {command}: {said}");
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        };
        let url = run("up");
        assert_eq!(run("up"), url, "up again finds the one that runs");
        let ready = client().get(format!("{url}/-/ready")).send().await.expect("it answers");
        assert!(ready.status().is_success());
        run("down");
        assert!(client().get(format!("{url}/-/ready")).send().await.is_err(), "it is gone");
        run("down");
    }
}

#[tokio::test]
async fn a_machine_is_booted_answers_and_leaves_nothing_behind() {
    let home = tempfile::TempDir::new().expect("a temporary directory");
    let run = |command: &[&str]| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rig/machine");
        let output = Command::new(script).args(command).env("RIG_DIR", home.path()).output();
        output.expect("the script can be started")
    };
    let said = |command: &[&str]| {
        let output = run(command);
        let wrong = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{command:?}: {wrong}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    said(&["up"]);
    assert_eq!(said(&["run", "systemctl", "is-system-running"]), "running");
    let first = said(&["run", "cat", "/etc/machine-id"]);
    said(&["up"]);
    let again = said(&["run", "cat", "/etc/machine-id"]);
    assert_eq!(again, first, "up again finds the one that runs");
    assert_eq!(run(&["run", "sh", "-c", "exit 7"]).status.code(), Some(7));
    said(&["run", "touch", "/etc/of-the-machine"]);
    assert!(!Path::new("/etc/of-the-machine").exists(), "what is written in it stays in it");
    let pid = std::fs::read_to_string(home.path().join("machine/pid")).expect("a pid");
    said(&["down"]);
    assert!(!Path::new("/proc").join(pid.trim()).exists(), "its processes are gone");
    assert!(!run(&["run", "true"]).status.success(), "nothing answers any more");
    said(&["down"]);
}

#[tokio::test]
async fn kubernetes_makes_a_replica_set_and_pods_of_a_deployment() {
    let place = Place::new(Cluster::shared()).await;
    place.deploy("1.4.1").await;
    let client = Cluster::shared().client().await;
    let sets = Api::<ReplicaSet>::namespaced(client, &place.namespace);
    let ready = eventually("a ReplicaSet with three ready pods", SOON, async || {
        let sets = sets.list(&ListParams::default()).await.ok()?;
        sets.items.first()?.status.as_ref()?.ready_replicas.filter(|ready| *ready == 3)
    });
    assert_eq!(ready.await, 3);
}

#[tokio::test]
async fn a_kubernetes_to_poke_at_is_started_found_again_and_leaves_nothing_behind() {
    let home = tempfile::TempDir::new().expect("a temporary directory");
    let run = |command: &str| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rig/kubernetes");
        let output = Command::new(script).arg(command).env("RIG_DIR", home.path()).output();
        let output = output.expect("the script can be started");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{command}: {said}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    let said = run("up");
    assert_eq!(run("up"), said, "up again finds the one that runs");
    let told = |name: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_else(|| panic!("no {name}: {said}")).to_owned()
    };
    let programs = ["etcd", "apiserver", "controllers"].map(|name| {
        let pid = Path::new(&told("kubeconfig")).with_file_name(format!("{name}.pid"));
        std::fs::read_to_string(pid).expect("a pid").trim().to_owned()
    });
    let there = |pid: &String| Path::new("/proc").join(pid).exists();
    assert!(programs.iter().all(there));
    assert!(told("url").starts_with("https://127.0.0.1:") && Path::new(&told("ca")).exists());
    assert!(!told("token").is_empty());
    run("down");
    assert!(!programs.iter().any(there), "its processes are gone");
    run("down");
}

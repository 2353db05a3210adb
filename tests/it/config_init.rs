//! `rollbackd init` against a real Prometheus: what it writes can be used, and asks for series that are there.

use std::{fmt::Write, process::Command, time::Duration};

use crate::rig::{MetricsPage, Prometheus, prometheus_config};

/// What a shop's monitoring looks like: Spring Boot behind Istio and Envoy, something in Go, and Prometheus's own.
fn metrics() -> String {
    let mut text = String::new();
    for service in ["checkout", "cart"] {
        for status in [200, 500] {
            let labels = format!("application=\"{service}\",status=\"{status}\"");
            for uri in ["/orders/{id}", "/actuator/health"] {
                let series = format!("{{{labels},uri=\"{uri}\"}}");
                let _ = writeln!(text, "http_server_requests_seconds_count{series} 7");
            }
            for le in ["0.1", "+Inf"] {
                let series = format!("{{{labels},uri=\"/\",le=\"{le}\"}}");
                let _ = writeln!(text, "http_server_requests_seconds_bucket{series} 7");
            }
        }
    }
    for (to, reporter) in
        [("checkout", "source"), ("rev\\\"iews", "source"), ("rev\\\"iews", "destination")]
    {
        let labels = format!("destination_service_name=\"{to}\",reporter=\"{reporter}\"");
        let _ = writeln!(text, "istio_requests_total{{{labels},response_code=\"200\"}} 9");
        let le = "le=\"+Inf\"";
        let _ = writeln!(text, "istio_request_duration_milliseconds_bucket{{{labels},{le}}} 9");
    }
    for class in [2, 5] {
        let labels =
            format!("envoy_cluster_name=\"billing\",envoy_response_code_class=\"{class}\"");
        let _ = writeln!(text, "envoy_cluster_upstream_rq_xx{{{labels}}} 3");
    }
    text + "http_requests_total{code=\"200\"} 3\npromhttp_metric_handler_requests_total{code=\"200\"} 3\n"
}

fn rollbackd(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_rollbackd")).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_configuration_asks_for_series_that_are_there() {
    let page = MetricsPage::start(&metrics()).await;
    let config = prometheus_config("shop", &[page.port()], None);
    let prometheus = Prometheus::start(&config, &[("rules.yml", "groups: []")]).await;
    prometheus.value("http_requests_total", Duration::from_secs(30)).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rollbackd.toml").display().to_string();
    let url = prometheus.url();

    let (code, stdout, told) = rollbackd(&["init", "--prometheus", &url, "-o", &file]);
    assert_eq!((code, stdout.as_str()), (Some(0), ""), "{told}");
    for says in [
        "Spring Boot (Micrometer): requests and response times of cart, checkout",
        "http_requests_total (Go, Node, Python): requests of shop (by the label `job`)",
        "Istio: requests and response times of rev\\\"iews",
        "Envoy: requests of billing",
        "no histogram of response times of billing",
        "promhttp_metric_handler_requests_total is left out",
    ] {
        assert!(told.contains(says), "no `{says}` in:\n{told}");
    }
    let (code, stdout, stderr) = rollbackd(&["check", &file, "--online"]);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert!(stdout.contains("is usable: 5 services, 8 signals"), "{stdout}");
    assert!(!stdout.contains("warning"), "{stdout}");

    let written = std::fs::read_to_string(&file).unwrap();
    let one = ["init", "--prometheus", &url, "--service", "cart", "-o", &file];
    let (code, _, stderr) = rollbackd(&one);
    assert_eq!(code, Some(64), "it was written over: {stderr}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), written);
    let (code, _, stderr) = rollbackd(&[&one[..], &["--force"]].concat());
    assert_eq!(code, Some(0), "{stderr}");
    let (_, stdout, _) = rollbackd(&["check", &file, "--online"]);
    assert!(stdout.contains("1 service, 2 signals"), "{stdout}");

    let scrape = format!("http://127.0.0.1:{}/metrics", page.port());
    let (code, stdout, stderr) = rollbackd(&["init", "--service", "shop", "--scrape", &scrape]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(
        !stdout.contains("A guess") && stderr.contains("in its own metrics"),
        "{stdout}{stderr}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prometheus_that_knows_nothing_is_said_and_nothing_is_written() {
    let page = MetricsPage::start("up_and_running 1\n").await;
    let config = prometheus_config("backup", &[page.port()], None);
    let prometheus = Prometheus::start(&config, &[("rules.yml", "groups: []")]).await;
    prometheus.value("up_and_running", Duration::from_secs(30)).await;
    let (code, stdout, stderr) = rollbackd(&["init", "--prometheus", &prometheus.url()]);
    assert_eq!((code, stdout.as_str()), (Some(1), ""), "{stderr}");
    assert!(stderr.contains("in the jobs backup"), "{stderr}");
}

mod hostile;

use super::*;
use crate::{
    sources::{
        http::fake::Fake,
        reading::{Class, Fold, Reading},
        selector::Selector,
    },
    units::Span,
};

const NOW: UnixMs = UnixMs(1_795_376_433_805);

fn options(url: &str) -> Options {
    Options {
        url: url.parse().expect("a URL"),
        series: "pod-1".into(),
        http: http::Options { attempt: Span(500), total: Span(900), ..http::Options::default() },
        limits: Limits::default(),
        freshness: Freshness::default(),
        revision: Some(Revision {
            of: Selector::metric("app_build_info"),
            label: "version".into(),
        }),
    }
}

fn selector(text: &str) -> Selector {
    text.parse().expect("a selector")
}

fn ratio(bad: &str, total: &str, by: &[&str]) -> Spec {
    let by = by.iter().map(|label| (*label).to_owned()).collect();
    Spec::Ratio(RatioSpec { bad: vec![selector(bad)], total: vec![selector(total)], by })
}

fn errors() -> Spec {
    ratio(r#"http_requests_total{code=~"5.."}"#, "http_requests_total", &[])
}

fn poll(body: &str, spec: Spec) -> Poll {
    let options = options("http://localhost/metrics");
    extract(body.as_bytes(), Format::Text, &options, &[spec], NOW).remove(0)
}

fn counter(series: &str, bad: impl Into<Option<f64>>, total: f64) -> Reading {
    let (series, bad) = (series.into(), bad.into());
    Reading::Counter { series, revision: None, at: NOW, bad, total, born: None }
}

fn reasons(poll: &Poll) -> Vec<&'static str> {
    poll.faults.iter().map(Fault::reason).collect()
}

#[test]
fn a_recorded_app_gives_its_ratio_and_its_histogram() {
    let body = std::fs::read_to_string("tests/fixtures/metrics/2.53-app_metrics.txt").expect("it");
    let latency = Spec::Histogram(HistogramSpec {
        family: selector("http_request_duration_seconds"),
        by: vec![],
    });
    let options = options("http://localhost/metrics");
    let polls = extract(body.as_bytes(), Format::Text, &options, &[errors(), latency], NOW);
    assert_eq!(polls[0].readings, [counter("pod-1", 714.0, 3460.0)]);
    let Reading::Histogram { buckets, .. } = &polls[1].readings[0] else { panic!("{polls:?}") };
    assert_eq!(buckets.len(), 7);
    assert_eq!((buckets[0], buckets[6]), ((0.05, 1005.0), (f64::INFINITY, 3460.0)));
    assert!(polls.iter().all(|poll| !poll.partial && poll.faults.is_empty()), "{polls:?}");
}

#[test]
fn errors_that_are_absent_are_none_and_a_total_that_is_absent_is_unknown() {
    let poll_of = |body: &str| poll(body, ratio("errors_total", "requests_total", &[]));
    assert_eq!(poll_of("requests_total 7\n").readings, [counter("pod-1", None, 7.0)]);
    for body in ["errors_total 3\n", "other 1\n", "", "requests_total NaN\n", "requests_total -1\n"]
    {
        let poll = poll_of(body);
        assert!(poll.readings.is_empty() && !poll.faults.is_empty(), "{body}: {poll:?}");
    }
}

#[test]
fn one_unusable_series_spoils_its_group_only() {
    let body = "r{s=\"a\"} 1\nr{s=\"a\",c=\"2\"} NaN\nr{s=\"b\"} 5\n";
    let poll = poll(body, ratio("e", "r", &["s"]));
    assert_eq!(poll.readings, [counter("pod-1{s=\"b\"}", None, 5.0)]);
    assert_eq!(reasons(&poll), ["not_a_number"]);
}

/// Labels that do not match were 0 % for ever.
#[test]
fn errors_that_are_a_part_of_no_total_leave_nothing_known() {
    let body = "r{s=\"a\"} 9\nr{s=\"b\"} 5\nerrors{zone=\"x\"} 4\n";
    let poll = poll(body, ratio("errors", "r", &["s"]));
    assert!(poll.partial && poll.readings.is_empty(), "{poll:?}");
    assert_eq!(reasons(&poll), ["no_total"]);
}

#[test]
fn a_partial_body_gives_no_half_sums() {
    for body in [
        "r{c=\"200\"} 7\nr{c=\"500\" 3\n",
        "r{c=\"200\"} 7\nr{c=\"500\"} 3",
        "r{c=\"200\"} 7\nr{c=\"\u{1}\n",
    ] {
        let poll = poll(body, ratio(r#"r{c="500"}"#, "r", &[]));
        assert!(poll.partial && poll.readings.is_empty(), "{poll:?}");
        assert!(!poll.faults.is_empty());
    }
    let body = "r 7\nother-metric 1\nother{ 1\n";
    let poll = poll(body, ratio("e", "r", &[]));
    assert_eq!(poll.readings, [counter("pod-1", None, 7.0)]);
    assert_eq!(reasons(&poll), ["bad_line", "bad_line"]);
}

#[test]
fn what_the_process_says_of_itself_is_read() {
    let body = "r 7\nprocess_start_time_seconds 1.7953764e+09\n\
                app_build_info{version=\"2.4.1\",go=\"1.26\"} 1\n";
    let one = poll(body, ratio("e", "r", &[]));
    let Reading::Counter { born, revision, .. } = &one.readings[0] else { panic!("{one:?}") };
    assert_eq!(*born, Some(UnixMs(1_795_376_400_000)));
    assert_eq!(revision.as_deref(), Some("2.4.1"));
    let two = poll(&format!("{body}app_build_info{{version=\"3\"}} 1\n"), ratio("e", "r", &[]));
    assert_eq!(two.faults[0].reason(), "revisions");
    let Reading::Counter { revision, .. } = &two.readings[0] else { panic!("{two:?}") };
    assert_eq!(*revision, None);
}

#[test]
fn since_when_series_are_there_stands_for_when_the_process_began() {
    let born = |body: &str| {
        let poll = poll(body, ratio("e", "r_total", &[]));
        let Reading::Counter { born, .. } = &poll.readings[0] else { panic!("{poll:?}") };
        born.map(|at| at.0)
    };
    let two = "r_total{c=\"1\"} 7\nr_total{c=\"2\"} 1\nr_created{c=\"1\"} 20\n";
    assert_eq!(born(two), None, "the other one may be older");
    assert_eq!(born(&format!("{two}r_created{{c=\"2\"}} 10\n")), Some(10_000));
    assert_eq!(born("r_total 7\nr_created 20\nprocess_start_time_seconds 5\n"), Some(5000));
    let body = "h_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_created 30\n";
    let spec = HistogramSpec { family: selector("h"), by: vec![] };
    let poll_of = poll(body, Spec::Histogram(spec));
    let Reading::Histogram { born, .. } = &poll_of.readings[0] else { panic!("{poll_of:?}") };
    assert_eq!(*born, Some(UnixMs(30_000)));
    // A counter that is gone, and whose creation is still told, is not there.
    assert!(poll("e_created 1\nr_created 1\n", ratio("e", "r", &[])).readings.is_empty());
}

/// A program names its counter `errors`; where OpenMetrics is spoken its client adds `_total`.
#[test]
fn a_counter_is_found_by_its_own_name_in_both_formats() {
    let options = options("http://localhost/metrics");
    let spec = ratio("errors", "requests", &[]);
    let (text, open) = ("errors 2\nrequests 9\n", "errors_total 2\nrequests_total 9\n# EOF\n");
    for (body, format) in [(text, Format::Text), (open, Format::OpenMetrics)] {
        let polls = extract(body.as_bytes(), format, &options, std::slice::from_ref(&spec), NOW);
        assert_eq!(polls[0].readings, [counter("pod-1", 2.0, 9.0)], "{format:?}");
    }
    let cut =
        extract(b"errors_total 2\nrequests_total 9\n", Format::OpenMetrics, &options, &[spec], NOW);
    assert!(cut[0].partial && cut[0].readings.is_empty());
}

#[test]
fn a_summary_is_read_by_its_quantile_and_its_count() {
    let body = "# TYPE rpc summary\nrpc{quantile=\"0.5\"} 0.1\nrpc{quantile=\"0.95\"} 0.4\n\
                rpc_sum 30\nrpc_count 90\n";
    let n = Some(selector("rpc_count"));
    let value = selector(r#"rpc{quantile="0.95"}"#);
    let spec = GaugeSpec { value, fold: Fold::Max, n, by: vec![] };
    let gauge = Reading::Gauge { series: "pod-1".into(), at: NOW, value: 0.4, n: Some(90.0) };
    assert_eq!(poll(body, Spec::Gauge(spec)).readings, [gauge]);
    assert_eq!(poll(body, ratio("e", "rpc_count", &[])).readings, [counter("pod-1", None, 90.0)]);
}

#[test]
fn more_labels_or_series_than_allowed_cost_no_more_than_allowed() {
    let labels: String = (0..1_000_000).map(|n| format!("l{n}=\"\",")).collect();
    let one = poll(&format!("r 7\nr{{{labels}}} 1\n"), ratio("e", "r", &[]));
    assert!(one.partial && reasons(&one) == ["bad_line"], "{:?}", reasons(&one));
    let series: String = (0..1_000_000).map(|n| format!("r{{n=\"{n}\"}} 1\n")).collect();
    let many = poll(&series, ratio("e", "r", &[]));
    assert!(many.partial && reasons(&many) == ["limit"], "{:?}", reasons(&many));
}

#[test]
fn timestamps_of_the_target_are_kept_to() {
    let at = |ms: i64| poll(&format!("r 7 {ms}\n"), ratio("e", "r", &[]));
    let fresh = at(NOW.0 - 20_000);
    assert!(matches!(fresh.readings[0], Reading::Counter { at, .. } if at.0 == NOW.0 - 20_000));
    assert_eq!(reasons(&at(NOW.0 - 600_000)), ["stale"]);
    assert_eq!(reasons(&at(NOW.0 + 600_000)), ["future"]);
}

#[test]
fn a_histogram_is_summed_only_where_its_buckets_fit() {
    let poll_of = |body: &str| {
        let spec = HistogramSpec { family: selector(r#"h{m="GET"}"#), by: vec![] };
        poll(body, Spec::Histogram(spec))
    };
    let sum = poll_of(
        "h_bucket{m=\"GET\",u=\"a\",le=\"0.1\"} 1\nh_bucket{m=\"GET\",u=\"a\",le=\"+Inf\"} 2\n\
         h_bucket{m=\"GET\",u=\"b\",le=\"0.1\"} 3\nh_bucket{m=\"GET\",u=\"b\",le=\"+Inf\"} 4\n\
         h_bucket{m=\"PUT\",u=\"b\",le=\"+Inf\"} 9\n",
    );
    let Reading::Histogram { buckets, .. } = &sum.readings[0] else { panic!("{sum:?}") };
    assert_eq!(*buckets, [(0.1, 4.0), (f64::INFINITY, 6.0)]);
    for body in [
        "h_bucket{m=\"GET\",le=\"0.1\"} 1\n",
        "h_bucket{m=\"GET\",le=\"0.1\"} 3\nh_bucket{m=\"GET\",le=\"+Inf\"} 2\n",
        "h_bucket{m=\"GET\",le=\"x\"} 3\nh_bucket{m=\"GET\",le=\"+Inf\"} 2\n",
        "h_bucket{m=\"GET\",u=\"a\",le=\"0.1\"} 3\nh_bucket{m=\"GET\",le=\"+Inf\"} 4\n\
         h_bucket{m=\"GET\",u=\"b\",le=\"+Inf\"} 4\n",
    ] {
        assert_eq!(reasons(&poll_of(body)), ["buckets"], "{body}");
    }
    assert_eq!(reasons(&poll_of("h_count 3\n")), ["absent"]);
}

#[test]
fn gauges_are_folded() {
    let spec = |fold| {
        let n = Some(selector("n"));
        Spec::Gauge(GaugeSpec { value: selector("g"), fold, n, by: vec![] })
    };
    for (fold, value) in [(Fold::Max, 3.0), (Fold::Min, 1.0), (Fold::Sum, 4.0)] {
        let poll = poll("g{a=\"1\"} 1\ng{a=\"2\"} 3\nn 50\n", spec(fold));
        let gauge = Reading::Gauge { series: "pod-1".into(), at: NOW, value, n: Some(50.0) };
        assert_eq!(poll.readings, [gauge]);
    }
    assert_eq!(reasons(&poll("g NaN\n", spec(Fold::Max))), ["not_a_number"]);
}

#[tokio::test]
async fn a_target_is_scraped_over_http() {
    let body = "http_requests_total{code=\"200\"} 5\nhttp_requests_total{code=\"500\"} 2\n";
    let mut fake = Fake::answers(200, "Content-Type: text/plain; version=0.0.4\r\n", body).await;
    let target =
        Target::new(options(fake.url.as_str()), &mut http::Clients::default()).expect("a target");
    let polls = target.poll(&[errors()], NOW).await;
    assert_eq!(polls[0].readings, [counter("pod-1", 2.0, 7.0)]);
    let asked = fake.asked().await;
    assert!(asked.starts_with(
        "GET /metrics HTTP/1.1\r\naccept: application/openmetrics-text;version=1.0.0,"
    ));
    assert!(!asked.contains("escaping"), "{asked}");
    let quoted = ratio(r#"{"http.errors"}"#, r#"{"http.requests"}"#, &[]);
    target.poll(&[quoted], NOW).await;
    assert!(fake.asked().await.contains("version=1.0.0;escaping=allow-utf-8,"));
}

#[tokio::test]
async fn whatever_else_answers_is_told_and_never_a_zero() {
    for (status, body, class, says) in [
        (200, "<html>Sign in</html>", Class::Unknown, "looks like HTML"),
        (200, "{\"status\":\"UP\"}\n", Class::Unknown, "does not look like metrics"),
        (401, "", Class::Unknown, "answered 401"),
        (302, "", Class::Unknown, "answered 302"),
        (503, "overloaded", Class::Down, "answered 503: `overloaded`"),
    ] {
        let fake = Fake::answers(status, "", body).await;
        let target = Target::new(options(fake.url.as_str()), &mut http::Clients::default())
            .expect("a target");
        let polls = target.poll(&[errors(), errors()], NOW).await;
        assert_eq!(polls.len(), 2);
        for poll in polls {
            assert!(poll.partial && poll.readings.is_empty());
            let Fault::Failed { class: got, why } = &poll.faults[0] else { panic!("{poll:?}") };
            assert!(*got == class && why.contains(says), "{status}: {why}");
        }
    }
}

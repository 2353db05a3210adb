use std::path::Path;

use super::*;
use crate::sources::{
    http::fake::Fake,
    reading::{Poll, Reading},
};

fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new("tests/fixtures/prometheus").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn rows(name: &str) -> Rows {
    envelope::rows(200, &fixture(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn says(name: &str, status: u16) -> String {
    envelope::rows(status, &fixture(name)).expect_err("an error").to_string()
}

fn vector(results: &str) -> Rows {
    let body =
        format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{results}]}}}}"#);
    envelope::rows(200, body.as_bytes()).expect("rows")
}

#[test]
fn recorded_answers_are_read() {
    for version in ["2.42", "2.53"] {
        let healthy = rows(&format!("{version}/prom_instant_vector_healthy.json"));
        assert_eq!(healthy.rows.len(), 2, "{version}");
        assert!(healthy.faults.is_empty() && !healthy.partial);
        let codes: Vec<_> = healthy.rows.iter().filter_map(|row| row.labels.get("code")).collect();
        assert_eq!(codes, ["200", "500"]);
        assert!(rows(&format!("{version}/prom_instant_vector_failing.json")).rows[0].value > 0.05);
        assert_eq!(rows(&format!("{version}/prom_instant_empty.json")), Rows::default());
        for unusable in ["nan", "inf"] {
            let answer = rows(&format!("{version}/prom_instant_{unusable}.json"));
            assert!(answer.rows.is_empty(), "{answer:?}");
            assert_eq!(answer.faults[0].reason(), "not_a_number");
        }
        let all = tracks(200, &fixture(&format!("{version}/prom_range_matrix.json")));
        assert_eq!(all.expect("tracks")[0].points.len(), 5);
        let none = tracks(200, &fixture(&format!("{version}/prom_range_empty.json")));
        assert_eq!(none.expect("tracks"), []);
    }
    for version in ["victoriametrics-1.79", "victoriametrics-debian13"] {
        assert_eq!(rows(&format!("{version}/vm_instant.json")).rows.len(), 2);
        assert_eq!(rows(&format!("{version}/vm_scalar.json")).rows.len(), 1, "a vector there");
        for empty in ["empty", "nan", "zero_div"] {
            assert_eq!(rows(&format!("{version}/vm_{empty}.json")), Rows::default());
        }
        let all = tracks(200, &fixture(&format!("{version}/vm_range.json")));
        assert_eq!(all.expect("tracks")[0].points.len(), 6);
    }
}

#[test]
fn a_shape_that_is_not_rows_says_what_to_do() {
    for version in ["2.42", "2.53"] {
        for (name, expected) in [
            (
                "matrix_selector",
                "the query yields a matrix, and a vector is needed: take the range `[...]` off",
            ),
            (
                "scalar",
                "the query yields a scalar, and a vector is needed: write it as `vector(...)`",
            ),
            ("string", "the query yields a string, and a vector is needed"),
        ] {
            assert_eq!(says(&format!("{version}/prom_instant_{name}.json"), 200), expected);
        }
    }
}

#[test]
fn errors_are_prometheus_own_words() {
    for version in ["2.42", "2.53"] {
        for (name, status, part) in [
            ("bad_duration", 400, "(bad_data, status 400): invalid parameter \"end\""),
            ("exec_manytomany", 422, "(execution, status 422): found duplicate series"),
            ("parse", 400, "1:10: parse error: unclosed left parenthesis"),
            ("timeout", 503, "(timeout, status 503): query timed out"),
            ("too_many_points", 400, "exceeded maximum resolution of 11,000 points"),
        ] {
            let text = says(&format!("{version}/prom_error_{name}.json"), status);
            assert!(text.contains(part), "{version} {name}: {text}");
        }
    }
    let text = says("victoriametrics-1.79/vm_error.json", 422);
    assert!(text.contains("(422, status 422): error when executing query"), "{text}");
}

#[test]
fn a_warning_makes_it_partial_and_a_remark_does_not() {
    for version in ["2.42", "2.53"] {
        let remarked = rows(&format!("{version}/prom_warnings_info.json"));
        assert!(!remarked.partial && remarked.rows.len() == 1, "{version}: {remarked:?}");
    }
    let remarked = rows("2.53/prom_warnings_info.json");
    assert!(remarked.infos[0].starts_with("PromQL info: metric might not be a counter"));
    let warned = rows("2.53/prom_warnings_badbucket.json");
    assert!(warned.partial && warned.faults[0].reason() == "warned", "{warned:?}");
    assert!(rows("2.53/prom_warnings_quantile.json").partial);
    let infos = br#"{"status":"success","data":{"resultType":"vector","result":[]},"infos":["x"]}"#;
    let infos = envelope::rows(200, infos).expect("rows");
    assert_eq!((infos.partial, infos.infos), (false, vec!["x".to_owned()]));
}

#[test]
fn whatever_is_no_whole_answer_is_an_error() {
    let whole = fixture("2.53/prom_instant_vector_healthy.json");
    for cut in 1..whole.len() {
        let error = envelope::rows(200, &whole[..cut]).expect_err("cut");
        assert!(matches!(error, QueryError::Cut), "{cut}: {error:?}");
    }
    for (status, body) in [
        (200, "<html>Sign in</html>"),
        (200, ""),
        (200, "{}"),
        (200, r#"{"status":"success"}"#),
        (200, r#"{"status":"success","data":{"resultType":"tensor","result":[]}}"#),
        (
            200,
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,2]}]}}"#,
        ),
        (502, "Bad Gateway"),
        (502, r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#),
    ] {
        let error = envelope::rows(status, body.as_bytes()).expect_err(body);
        assert!(matches!(error, QueryError::NotPrometheus { .. }), "{body}: {error:?}");
        assert_eq!(error.class(), if status == 502 { Class::Down } else { Class::Unknown });
    }
}

#[test]
fn a_native_histogram_is_told() {
    let rows = vector(
        r#"{"metric":{"pod":"a"},"histogram":[1795376433.6,{"count":"1","sum":"2","buckets":[]}]},
           {"metric":{"pod":"b"},"value":[1795376433.6,"3"]}"#,
    );
    assert_eq!(rows.rows.len(), 1);
    assert_eq!(rows.faults, [Fault::NativeHistogram { series: "{pod=\"a\"}".into() }]);
}

fn row(service: &str, pod: &str, value: &str) -> String {
    format!(
        r#"{{"metric":{{"service":"{service}","pod":"{pod}"}},"value":[1795376433.6,"{value}"]}}"#
    )
}

fn counts(poll: &Poll) -> Vec<(&str, Option<f64>, f64)> {
    let one = |reading| match reading {
        &Reading::Counter { ref series, bad, total, .. } => (series.as_str(), bad, total),
        Reading::Histogram { .. } | Reading::Gauge { .. } => panic!("{reading:?}"),
    };
    poll.readings.iter().map(one).collect()
}

#[test]
fn one_query_serves_many_services() {
    let total = [("shop", "b", "10"), ("shop", "a", "20"), ("blog", "c", "5")];
    let total = vector(&total.map(|(s, p, v)| row(s, p, v)).join(","));
    let bad = [row("shop", "a", "2"), row("gone", "d", "1")].join(",");
    let nobodys = r#"{"metric":{"pod":"x"},"value":[1,"1"]}"#;
    let bad = vector(&format!("{bad},{nobodys}"));
    let polls = counters(&bad, &total, Some("service"), None);
    assert!(polls["shop"].partial, "nobody knows whose errors those of pod x are");
    let total = Rows { rows: [total.rows, vector(nobodys).rows].concat(), ..Rows::default() };
    let polls = counters(&bad, &total, Some("service"), Some("pod"));
    let shop = [("{pod=\"a\"}", Some(2.0), 20.0), ("{pod=\"b\"}", None, 10.0)];
    assert_eq!(counts(&polls["shop"]), shop);
    assert_eq!(counts(&polls["blog"]), [("{pod=\"c\"}", None, 5.0)]);
    let told = |poll: &Poll| match &poll.readings[0] {
        Reading::Counter { revision, .. } => revision.clone(),
        Reading::Histogram { .. } | Reading::Gauge { .. } => None,
    };
    assert_eq!(told(&polls["blog"]).as_deref(), Some("c"), "the label that tells the version");
    assert!(polls["gone"].faults.iter().any(|fault| fault.reason() == "no_total"));
    assert!(polls["shop"].faults.iter().any(|fault| fault.reason() == "no_label"));
}

/// `bad = sum by (pod, code)`, `total = sum by (pod)`: this was 0 % for ever.
#[test]
fn errors_that_are_a_part_of_no_total_leave_nothing_known() {
    let total = vector(&[row("shop", "a", "20"), row("blog", "c", "5")].join(","));
    let bad = vector(
        r#"{"metric":{"service":"shop","pod":"a","code":"500"},"value":[1795376433.6,"9"]}"#,
    );
    let polls = counters(&bad, &total, Some("service"), None);
    assert!(polls["shop"].partial && polls["shop"].readings.is_empty());
    assert!(matches!(polls["shop"].faults[0], Fault::NoTotal { .. }), "{polls:?}");
    assert_eq!(counts(&polls["blog"]), [("{pod=\"c\"}", None, 5.0)]);
    let unusable = vector(
        r#"{"metric":{"service":"shop","pod":"a","code":"500"},"value":[1795376433.6,"NaN"]}"#,
    );
    let polls = counters(&unusable, &total, Some("service"), None);
    assert!(polls["shop"].partial && !polls["blog"].partial);
}

#[test]
fn two_rows_of_one_series_that_differ_are_as_if_it_were_missing() {
    let named = |name: &str, value: &str| {
        format!(
            r#"{{"metric":{{"__name__":"{name}","pod":"a"}},"value":[1795376433.6,"{value}"]}}"#
        )
    };
    let total = |second: &str| vector(&[named("a", "7"), named("b", second)].join(","));
    assert!(counters(&vector(""), &total("8"), None, None)[""].partial);
    assert!(gauges(&total("8"), None, None)[""].partial);
    assert_eq!(counters(&vector(""), &total("7"), None, None)[""].readings.len(), 1);
}

#[test]
fn errors_that_could_not_be_used_are_not_taken_for_none() {
    let total = vector(&[row("shop", "a", "20"), row("shop", "b", "10")].join(","));
    let bad = vector(&row("shop", "a", "NaN"));
    let polls = counters(&bad, &total, Some("service"), None);
    assert_eq!(counts(&polls["shop"]), [("{pod=\"b\"}", None, 10.0)]);
    let pods: Vec<String> = (0..50).map(|pod| format!("pod-{pod}")).collect();
    let of = |value: &str| {
        vector(&pods.iter().map(|pod| row("shop", pod, value)).collect::<Vec<_>>().join(","))
    };
    let polls = counters(&of("NaN"), &of("5"), Some("service"), None);
    assert_eq!(counts(&polls["shop"]), [], "though not all of them are told one by one");
    let partial = Rows { partial: true, ..vector("") };
    let polls = counters(&partial, &total, Some("service"), None);
    assert!(polls["shop"].partial && polls["shop"].readings.is_empty());
    let nothing = counters(&vector(""), &vector(""), None, None);
    assert_eq!(nothing[""], Poll::default());
}

#[test]
fn gauges_know_how_many_requests_they_stand_on() {
    let p95 = vector(&[row("shop", "a", "0.4"), row("shop", "b", "0.1")].join(","));
    let n = vector(&row("shop", "a", "250"));
    let polls = gauges(&p95, Some(&n), Some("service"));
    let n: Vec<_> = polls["shop"]
        .readings
        .iter()
        .map(|reading| match reading {
            Reading::Gauge { n, .. } => *n,
            Reading::Counter { .. } | Reading::Histogram { .. } => None,
        })
        .collect();
    assert_eq!(n, [Some(250.0), None]);
}

fn client(fake: &Fake) -> Prometheus {
    let url = fake.url.join("/prom/").expect("a URL");
    Prometheus::new(Options::at(url)).expect("a client")
}

#[tokio::test]
async fn a_query_carries_its_time_and_its_timeout() {
    let at = UnixMs(1_795_376_433_617);
    let mut fake = Fake::answers(200, "", fixture("2.53/prom_instant_vector_healthy.json")).await;
    let prometheus = client(&fake);
    let rows = prometheus.instant("sum by (code) (x{a=\"&b\"})", at).await.expect("rows");
    assert_eq!((rows.rows.len(), rows.rows[0].at), (2, at));
    let asked = fake.asked().await;
    assert!(asked.starts_with("POST /prom/api/v1/query HTTP/1.1\r\n"), "{asked}");
    let form =
        "query=sum+by+%28code%29+%28x%7Ba%3D%22%26b%22%7D%29&time=1795376433.617&timeout=10000ms";
    assert!(asked.ends_with(form), "{asked}");

    let late = prometheus.instant("x", at + Span::hours(1)).await.expect("rows");
    assert!(late.rows.is_empty() && late.faults[0].reason() == "stale", "{late:?}");
    let early = prometheus.instant("x", at - Span::hours(1)).await.expect("rows");
    assert_eq!(early.faults[1].reason(), "future");
}

#[tokio::test]
async fn history_is_asked_for_in_pieces() {
    let mut fake = Fake::answers(200, "", fixture("2.53/prom_range_matrix.json")).await;
    let (from, step) = (UnixMs(1_795_300_000_000), Span::seconds(1));
    let to = from + step * 24_999;
    let tracks = client(&fake).range("x", from, to, step).await.expect("tracks");
    assert_eq!((tracks.len(), tracks[0].points.len()), (1, 15), "three pieces of one series");
    for (start, end) in [
        ("1795300000.000", "1795309999.000"),
        ("1795310000.000", "1795319999.000"),
        ("1795320000.000", "1795324999.000"),
    ] {
        let asked = fake.asked().await;
        let form = format!("query=x&start={start}&end={end}&step=1&timeout=10000ms");
        assert!(asked.starts_with("POST /prom/api/v1/query_range ") && asked.ends_with(&form));
    }
}

#[tokio::test]
async fn checking_a_query_tells_what_prometheus_says() {
    let fake = Fake::answers(400, "", fixture("2.53/prom_error_parse.json")).await;
    let error = client(&fake).check_online("sum(rate(", UnixMs(0)).await.expect_err("an error");
    assert!(matches!(&error, QueryError::Refused { kind, .. } if kind == "bad_data"));
    let Fault::Failed { class, why } = error.fault() else { panic!("{error:?}") };
    assert!(class == Class::Unknown && why.contains("unclosed left parenthesis"), "{why}");
}

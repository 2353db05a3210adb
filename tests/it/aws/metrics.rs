//! CloudWatch, asked for whole periods of several services at once.

use std::{collections::BTreeMap, process::Command};

use aws_sdk_cloudwatch::types::{Dimension, MetricDatum, StandardUnit};
use aws_smithy_types::DateTime;
use rollbackd::{
    sources::{
        cloudwatch::{Metric, Options, Reader, Spec, Term, Wants},
        reading::{Class, Fault, Poll, Reading},
    },
    units::{Span, UnixMs},
};

use super::{
    proxy::{Proxy, Twist, cbor_text},
    server::{Server, unique},
};

const PERIOD: Span = Span::minutes(1);

/// Metrics that no other test has, through whatever stands before AWS.
struct Shop {
    proxy: Proxy,
    options: Options,
    namespace: String,
    /// Some whole minute, an hour ago.
    begin: UnixMs,
}

impl Shop {
    async fn open(name: &str) -> Self {
        let server = Server::shared().await;
        let proxy = Proxy::before(&server.url()).await;
        let mut access = server.access_through(name, &proxy.url());
        access.attempts = 1;
        let options = Options { access, period: PERIOD, lag: Options::LAG };
        let now_ms = jiff::Timestamp::now().as_millisecond();
        let begin = UnixMs(now_ms.div_euclid(60_000) * 60_000) - Span::hours(1);
        Self { proxy, options, namespace: unique(name), begin }
    }

    fn metric(&self, service: &str, name: &str, stat: &str) -> Metric {
        Metric {
            namespace: self.namespace.clone(),
            name: name.to_owned(),
            dimensions: BTreeMap::from([("Service".to_owned(), service.to_owned())]),
            stat: stat.to_owned(),
        }
    }

    fn ratio(&self, service: &str) -> Spec {
        let term = |name| Term::Metric(self.metric(service, name, "Sum"));
        let wants = Wants::Ratio { bad: term("errors"), total: term("requests") };
        Spec { named: BTreeMap::new(), wants }
    }

    /// Within that minute since the beginning, twice half of it.
    async fn count(&self, service: &str, name: &str, minute: i64, value: f64) {
        let clients = Server::shared().await.clients().await;
        for second in [1, 59] {
            let at = self.begin + PERIOD * minute + Span::seconds(second);
            let datum = MetricDatum::builder()
                .metric_name(name)
                .dimensions(Dimension::builder().name("Service").value(service).build())
                .timestamp(DateTime::from_millis(at.0))
                .value(value / 2.0)
                .unit(StandardUnit::Count);
            let put = clients.cloudwatch().put_metric_data().namespace(&self.namespace);
            put.metric_data(datum.build()).send().await.expect("it takes data");
        }
    }

    /// When that minute may be asked for.
    fn after(&self, minute: i64) -> UnixMs {
        self.begin + PERIOD * (minute + 1) + self.options.lag
    }

    fn requests(&self) -> usize {
        self.proxy.asked("GetMetricData").len()
    }
}

/// Bad and all since the beginning.
fn counted(poll: &Poll) -> (f64, f64) {
    match poll.readings.as_slice() {
        [Reading::Counter { bad: Some(bad), total, .. }] => (*bad, *total),
        _ => panic!("no counts: {poll:?}"),
    }
}

#[tokio::test]
async fn counts_of_whole_periods_of_several_services_are_asked_for_at_once() {
    let shop = Shop::open("counts").await;
    let specs = vec![shop.ratio("checkout"), shop.ratio("cart")];
    let mut reader = Reader::new(shop.options.clone(), specs);
    shop.count("checkout", "requests", 0, 80.0).await;
    let polls = reader.poll(shop.after(0)).await.expect("a period has ended");
    assert_eq!(counted(&polls[0]), (0.0, 0.0), "what was before is nothing new");
    shop.count("checkout", "requests", 1, 100.0).await;
    shop.count("checkout", "errors", 1, 6.0).await;
    shop.count("cart", "requests", 1, 10.0).await;
    shop.count("cart", "requests", 2, 99.0).await;
    assert_eq!(reader.poll(shop.after(0) + Span::seconds(59)).await, None, "it has not ended");
    let polls = reader.poll(shop.after(1)).await.expect("a period has ended");
    assert_eq!((counted(&polls[0]), counted(&polls[1])), ((6.0, 100.0), (0.0, 10.0)));
    let Reading::Counter { at, .. } = polls[0].readings[0] else { panic!("{polls:?}") };
    assert_eq!(at, shop.begin + PERIOD * 2, "it speaks of the whole period");
    assert_eq!(shop.requests(), 2, "one for all services, and none before a period has ended");
}

#[tokio::test]
async fn a_percentile_stands_on_the_requests_of_its_period() {
    let shop = Shop::open("percentile").await;
    let value = Term::Metric(shop.metric("checkout", "seconds", "p95"));
    let requests = Some(Term::Metric(shop.metric("checkout", "seconds", "SampleCount")));
    let spec = Spec { named: BTreeMap::new(), wants: Wants::Gauge { value, requests } };
    let mut reader = Reader::new(shop.options.clone(), vec![spec]);
    shop.count("checkout", "seconds", 0, 0.8).await;
    let polls = reader.poll(shop.after(0)).await.unwrap();
    let [Reading::Gauge { value, n, .. }] = polls[0].readings[..] else { panic!("{polls:?}") };
    assert!((value - 0.4).abs() < 1e-9 && n == Some(2.0), "{value} of {n:?}");
    let polls = reader.poll(shop.after(1)).await.unwrap();
    assert!(matches!(polls[0].faults[..], [Fault::Absent { .. }]), "{polls:?}");
}

#[tokio::test]
async fn what_was_not_answered_is_unknown_and_counted_once_it_is() {
    let shop = Shop::open("silence").await;
    let mut reader = Reader::new(shop.options.clone(), vec![shop.ratio("checkout")]);
    reader.poll(shop.after(0)).await.unwrap();
    let refusals =
        [(400, "ThrottlingException", Class::Down), (403, "AccessDenied", Class::Unknown)];
    for (minute, (status, code, expected)) in (1..).zip(refusals) {
        shop.count("checkout", "requests", minute, 10.0).await;
        let twist = Twist::Refuse { status, code, said: "" };
        shop.proxy.twist("GetMetricData", 1, twist);
        let polls = reader.poll(shop.after(minute)).await.unwrap();
        let [Fault::Failed { class, why }] = &polls[0].faults[..] else { panic!("{polls:?}") };
        assert!(*class == expected && why.contains("cloudwatch:GetMetricData"), "{code}: {why}");
        assert!(polls[0].partial && polls[0].readings.is_empty());
    }
    shop.count("checkout", "requests", 3, 10.0).await;
    let polls = reader.poll(shop.after(3)).await.unwrap();
    assert_eq!(counted(&polls[0]), (0.0, 30.0));
}

/// What this machine's AWS cannot do: its words are CloudWatch's.
#[tokio::test]
async fn metric_maths_is_sent_with_names_of_its_own_and_what_is_not_complete_is_not_known() {
    let shop = Shop::open("maths").await;
    let named = ["edge", "own"].map(|name| (name.to_owned(), shop.metric("checkout", name, "Sum")));
    let bad = Term::Expression("FILL(edge, 0) + FILL(own, 0)".to_owned());
    let total = Term::Metric(shop.metric("checkout", "requests", "Sum"));
    let spec = Spec { named: named.into(), wants: Wants::Ratio { bad, total } };
    let mut reader = Reader::new(shop.options.clone(), vec![spec]);
    let say = |minute: i64, status: &str| {
        let start_s = (shop.begin + PERIOD * minute).0 / 1000;
        let bad = result("q2", status, &[(start_s, 7.0)]);
        let body = answer(&[bad, result("q3", "Complete", &[(start_s, 50.0)])]);
        shop.proxy.twist("GetMetricData", 1, Twist::Answer(body));
    };
    say(0, "Complete");
    reader.poll(shop.after(0)).await.unwrap();
    let sent = shop.proxy.asked("GetMetricData")[0].text();
    assert!(sent.contains("FILL(q0, 0) + FILL(q1, 0)"), "{sent}");
    assert!(sent.contains("TimestampAscending"), "{sent}");
    for (minute, status) in (1..).zip(["PartialData", "InternalError", "Forbidden", "NewWord"]) {
        say(minute, status);
        let polls = reader.poll(shop.after(minute)).await.unwrap();
        assert!(polls[0].partial && polls[0].readings.is_empty(), "{status}: {polls:?}");
    }
    say(5, "Complete");
    assert_eq!(counted(&reader.poll(shop.after(5)).await.unwrap()[0]), (7.0, 50.0));
}

/// CloudWatch refuses a whole request for one wrong expression: 500 queries of others were unknown, and nobody knew for whose.
#[tokio::test]
async fn a_question_that_is_refused_makes_nothing_unknown_but_its_own_signal() {
    let shop = Shop::open("refused").await;
    let mut specs: Vec<Spec> = (0..9).map(|n| shop.ratio(&format!("service-{n}"))).collect();
    specs[5] = shop.ratio("misspelt");
    let said = "Error in expression 'q0': it is nonsense";
    let twist = Twist::RefuseOf { having: "misspelt", code: "ValidationError", said };
    shop.proxy.twist("GetMetricData", usize::MAX, twist);
    let mut reader = Reader::new(shop.options.clone(), specs);
    for (minute, most) in [(0, 9), (1, 1), (2, 1)] {
        let before = shop.requests();
        let polls = reader.poll(shop.after(minute)).await.unwrap();
        for (number, poll) in polls.iter().enumerate() {
            let is_refused = poll.faults.iter().any(|it| it.to_string().contains("'bad'"));
            assert_eq!(is_refused, number == 5, "{minute}: {number}: {poll:?}");
            assert_eq!(is_refused, poll.partial, "{minute}: {number}: {poll:?}");
        }
        let took = shop.requests() - before;
        assert!(took <= most, "{took} requests in minute {minute}");
    }
    shop.proxy.straighten();
    let polls = reader.poll(shop.after(15)).await.unwrap();
    assert_eq!(counted(&polls[5]), (0.0, 0.0), "it is asked for again after a while");
}

#[test]
fn what_it_costs_is_told_before_it_is_paid() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rollbackd.toml");
    let of = |name: &str| format!("{{ namespace = 'Shop', metric = '{name}' }}");
    let text = format!(
        "[aws.main]\nregion = 'eu-central-1'\n[service.shop]\nwatch_only = true\n\
         [service.shop.signal.error_rate.cloudwatch]\nbad = {}\ntotal = {}\n",
        of("errors"),
        of("requests")
    );
    let text = format!(
        "{text}[service.shop.signal.cpu.cloudwatch]\n\
         value = {{ expression = \"MAX(SEARCH('{{AWS/EC2,InstanceId}} CPUUtilization', 'Average', 60))\" }}\n"
    );
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollbackd"));
    let output = command.arg("check").arg(&file).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("2 metrics every 1m: about 0.86 USD in 30 days"), "{said}");
    assert!(said.contains("what one expression finds beside them"), "{said}");
}

/// A result as rpc-v2-cbor has it.
fn result(id: &str, status: &str, points: &[(i64, f64)]) -> Vec<u8> {
    let count = u8::try_from(points.len()).expect("a few points");
    let mut bytes = vec![0xa4];
    for text in ["Id", id, "StatusCode", status, "Timestamps"] {
        bytes.extend(cbor_text(text));
    }
    bytes.push(0x80 + count);
    for (at_s, _) in points {
        bytes.extend([0xc1, 0x1b]);
        bytes.extend(at_s.to_be_bytes());
    }
    bytes.extend(cbor_text("Values"));
    bytes.push(0x80 + count);
    for (_, value) in points {
        bytes.push(0xfb);
        bytes.extend(value.to_be_bytes());
    }
    bytes
}

fn answer(results: &[Vec<u8>]) -> Vec<u8> {
    let count = u8::try_from(results.len()).expect("a few results");
    [vec![0xa1], cbor_text("MetricDataResults"), vec![0x80 + count], results.concat()].concat()
}

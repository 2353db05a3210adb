//! A day that a real Prometheus remembers, with a bad release in it, replayed through a server that goes away in the middle.

use std::{
    fmt::Write as _,
    fs,
    process::Output,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    body::Bytes,
    http::{StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::any,
};
use rollbackd::units::{Span, UnixMs};
use tempfile::TempDir;

use crate::rig::{Prometheus, Small, client};

/// A Monday at midnight.
const FROM: UnixMs = UnixMs(1_767_571_200_000);
const HOURS: i64 = 24;
const STEP: Span = Span::seconds(15);
/// When Prometheus itself read nothing for half an hour.
const AWAY: std::ops::Range<i64> = 6 * 240..6 * 240 + 120;
/// When v2 was deployed, of whose requests a third fails, and when it was taken back.
const BAD: std::ops::Range<i64> = 18 * 240..18 * 240 + 80;

/// Ten requests a second, and the scrapes themselves.
fn history() -> String {
    let (mut up, mut good, mut bad) = (String::new(), String::new(), String::new());
    let (mut total, mut failed, mut served) = (0, 0, String::new());
    for index in 0..HOURS * 240 {
        total += 150;
        failed += if BAD.contains(&index) { 50 } else { i64::from(index % 20 == 0) };
        if AWAY.contains(&index) {
            continue;
        }
        let at = (FROM + STEP * index).as_seconds();
        _ = writeln!(up, "up{{job=\"shop\"}} 1 {at}");
        let version = if BAD.contains(&index) { "v2" } else { "v1" };
        _ = writeln!(served, "app_info{{job=\"shop\",version=\"{version}\"}} 1 {at}");
        let ok = total - failed;
        _ = writeln!(good, "http_requests_total{{job=\"shop\",code=\"200\"}} {ok} {at}");
        _ = writeln!(bad, "http_requests_total{{job=\"shop\",code=\"500\"}} {failed} {at}");
    }
    format!(
        "# TYPE up gauge\n{up}# TYPE app_info gauge\n{served}# TYPE http_requests counter\n{good}{bad}# EOF\n"
    )
}

const CONFIG: &str = r#"
state_dir = "/nonexistent"
[prometheus.main]
url = "http://127.0.0.1:9090"
[service.shop.signal.error_rate.prometheus]
bad = 'sum by (job) (http_requests_total{code=~"5.."})'
total = 'sum by (job) (http_requests_total)'
[service.shop.rollback.application.release]
root = "/srv/shop"
restart = { unit = "shop.service" }
running = { unit = "shop.service" }
[service.shop.signal.health.http]
url = "http://127.0.0.1:9/health"
[notify.log]
audiences = ["on_call"]
"#;

/// Stands before a Prometheus, counts what is asked, and answers only so many questions.
async fn before(prometheus: &Prometheus, asked: Arc<AtomicUsize>, most: Arc<AtomicUsize>) -> Small {
    let to = prometheus.url();
    let passed = async move |uri: Uri, body: Bytes| -> Response {
        if asked.fetch_add(1, Ordering::SeqCst) >= most.load(Ordering::SeqCst) {
            return (StatusCode::BAD_GATEWAY, "upstream is gone").into_response();
        }
        let form = "application/x-www-form-urlencoded";
        let request = client().post(format!("{to}{uri}")).header(header::CONTENT_TYPE, form);
        let answer = request.body(body).send().await.expect("Prometheus answers");
        let status = answer.status();
        (status, answer.bytes().await.expect("a body")).into_response()
    };
    Small::start(Router::new().fallback(any(passed))).await
}

struct Replays {
    home: TempDir,
    port: u16,
}

impl Replays {
    async fn run(&self, more: &[&str]) -> (String, String, Option<i32>) {
        let file = |name: &str| self.home.path().join(name);
        let Output { status, stdout, stderr } =
            tokio::process::Command::new(env!("CARGO_BIN_EXE_rollbackd"))
                .arg("replay")
                .arg(file("rollbackd.toml"))
                .args(["--from", &format!("http://127.0.0.1:{}", self.port), "--since", "24h"])
                .args(["--until", &(FROM + Span::hours(HOURS) - STEP).to_string()])
                .arg("--keep")
                .arg(file("kept"))
                .args(more)
                .output()
                .await
                .expect("it ends");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        (text(stdout), text(stderr), status.code())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_release_of_the_past_is_replayed_across_a_server_that_goes_away() {
    let prometheus = Prometheus::remembering(&history()).await;
    let (asked, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(8)));
    let proxy = before(&prometheus, asked.clone(), most.clone()).await;
    let home = TempDir::new().expect("a temporary directory");
    let change = |index: i64, version: &str| {
        let at = FROM + STEP * index;
        format!("{{\"service\":\"shop\",\"at\":\"{at}\",\"version\":\"{version}\"}}\n")
    };
    let changes = [change(-240, "v1"), change(BAD.start, "v2"), change(BAD.end, "v1")].concat();
    fs::write(home.path().join("changes.jsonl"), changes).expect("written");
    fs::write(home.path().join("rollbackd.toml"), CONFIG).expect("written");
    let replays = Replays { home, port: proxy.port };

    let file = replays.home.path().join("changes.jsonl").display().to_string();
    let changes = ["--changes", &file];

    let (told, said, code) = replays.run(&changes).await;
    assert_eq!((told.as_str(), code), ("", Some(1)), "{said}");
    assert!(said.contains("8 of 18 answers are there; the same again goes on"), "{said}");
    assert!(said.contains("status 502") && said.contains("upstream is gone"), "{said}");

    most.store(usize::MAX, Ordering::SeqCst);
    asked.store(0, Ordering::SeqCst);
    let (told, said, code) = replays.run(&changes).await;
    assert_eq!(asked.load(Ordering::SeqCst), 10, "what was answered is not asked again");
    assert!(told.contains("would be rolled back: application v2 -> v1"), "{told}");
    assert_eq!(told.matches("would be rolled back:").count(), 1, "{told}");
    assert!(!told.contains("traffic"), "a server that was away is nobody's collapse: {told}");
    assert!(said.contains("health of shop"), "what no Prometheus keeps is named: {said}");
    // Half an hour of a day, but for two minutes, is more than one in a hundred.
    assert!(said.contains("this may mislead: 1.9 % of error_rate of shop"), "{said}");
    assert_eq!(code, Some(65));

    let (again, _, code) = replays.run(&[&changes[..], &["--allow-partial"]].concat()).await;
    assert_eq!((&again, code), (&told, Some(0)));
    assert_eq!(asked.load(Ordering::SeqCst), 10, "everything is kept");

    let versions = ["--versions", "app_info == 1", "--version-label", "version"];
    let (again, said, _) = replays.run(&versions).await;
    assert!(again.contains("would be rolled back: application v2 -> v1"), "{again}\n{said}");
    let (alone, said, _) = replays.run(&[]).await;
    assert!(!alone.contains("would be rolled back:"), "{alone}");
    assert!(
        said.contains("no deployment is known, so that nothing could be rolled back"),
        "{said}"
    );
}

/// What it told as JSON, and what it said beside.
fn printed(output: Output) -> (serde_json::Value, String) {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    let (told, said) = (text(output.stdout), text(output.stderr));
    let told = serde_json::from_str(&told).unwrap_or_else(|fault| panic!("{fault}: {told}{said}"));
    (told, said)
}

/// Two hours; in the last half an hour v2 has half of the requests, of which a third fails.
fn canary() -> String {
    const BEGINS: i64 = 90 * 4;
    let mut lines = ["", "", ""].map(str::to_owned);
    let (mut v1, mut v2) = ((0, 0), (0, 0));
    for index in 0..120 * 4 {
        let at = (FROM + STEP * index).as_seconds();
        v1 = (v1.0 + i64::from(index % 20 == 0), v1.1 + 60);
        let mut told = vec![("v1", v1)];
        if index >= BEGINS {
            v2 = (v2.0 + 20, v2.1 + 60);
            told.push(("v2", v2));
        }
        _ = writeln!(lines[0], "up{{job=\"shop\"}} 1 {at}");
        for (version, (failed, total)) in told {
            let ok = total - failed;
            let series = |code| {
                format!("http_requests_total{{job=\"shop\",version=\"{version}\",code=\"{code}\"}}")
            };
            let place = if version == "v1" { 1 } else { 2 };
            _ = writeln!(lines[place], "{} {ok} {at}\n{} {failed} {at}", series(200), series(500));
        }
    }
    let [up, v1, v2] = lines;
    format!("# TYPE up gauge\n{up}# TYPE http_requests counter\n{v1}{v2}# EOF\n")
}

/// Off by default until it was tried on the past: so it can be.
#[tokio::test(flavor = "multi_thread")]
async fn a_canary_of_the_past_is_compared_with_what_served_beside_it() {
    let prometheus = Prometheus::remembering(&canary()).await;
    let home = TempDir::new().expect("a temporary directory");
    let file = |name: &str, text: &str| {
        let path = home.path().join(name);
        fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    let by_version = CONFIG
        .replace("sum by (job)", "sum by (job, version)")
        .replace("code=~\"5..\"})'", "code=~\"5..\"})'\nversion_label = \"version\"");
    let on = "[trigger.worse-than-old]\nenabled = true\n";
    let compares = file("on.toml", &format!("{by_version}{on}"));
    let apart = file("apart.toml", &format!("{CONFIG}{on}"));
    let at = |minute: i64| FROM + Span::minutes(minute);
    let change = |at: UnixMs, version: &str| {
        format!("{{\"service\":\"shop\",\"at\":\"{at}\",\"version\":\"{version}\"}}\n")
    };
    let changes = [change(at(-60), "v1"), change(at(90), "v2")].concat();
    let changes = file("changes.jsonl", &changes);
    let (url, kept) = (prometheus.url(), home.path().join("kept").display().to_string());
    let until = at(119).to_string();
    let replay = async |config: &str| {
        let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_rollbackd"))
            .args(["replay", config, "--from", &url, "--since", "118m", "--until", &until])
            .args(["--keep", &kept, "--changes", &changes, "--json"])
            .output()
            .await
            .expect("it ends");
        printed(output)
    };
    let (told, said) = replay(&compares).await;
    assert!(!said.contains("nothing to compare"), "{said}");
    let first = |trigger: &str| {
        let fired = told[0]["fired"].as_array().expect("what fired");
        let fired = fired.iter().find(|fired| fired["trigger"] == trigger);
        let at = fired.unwrap_or_else(|| panic!("{trigger}: {told}"))["at"].clone();
        serde_json::from_value::<UnixMs>(at).expect("a time")
    };
    let gained = first("critical-errors").since(first("worse-than-old"));
    assert!(gained >= Span::minutes(4), "{gained}: {told}");
    let incident = &told[0]["incidents"][0];
    assert_eq!(incident["trigger"], "worse-than-old", "{told}");
    assert!(incident.to_string().contains("application v2 -> v1"), "{told}");
    let (told, said) = replay(&apart).await;
    assert!(!told.to_string().contains("worse-than-old"), "{told}");
    assert!(said.contains("worse-than-old had nothing to compare in 1 of 1 series"), "{said}");
}

/// Four hours of minutes: one service, which goes wrong in the last of them, and another, which is gone by then.
fn two_jobs() -> String {
    let (mut up, mut good, mut bad) = (String::new(), String::new(), String::new());
    for minute in 0..240 {
        let at = (FROM + Span::minutes(minute)).as_seconds();
        for job in ["shop", "old"].into_iter().filter(|job| *job == "shop" || minute < 120) {
            let failed = minute + (minute - 200).max(0) * 200;
            let ok = minute * 600 - failed;
            _ = writeln!(up, "up{{job=\"{job}\"}} 1 {at}");
            _ = writeln!(good, "http_requests_total{{job=\"{job}\",code=\"200\"}} {ok} {at}");
            _ = writeln!(bad, "http_requests_total{{job=\"{job}\",code=\"500\"}} {failed} {at}");
        }
    }
    format!("# TYPE up gauge\n{up}# TYPE http_requests counter\n{good}{bad}# EOF\n")
}

/// A fleet that a query finds could not be tried on its past, and those that left it least of all.
#[tokio::test(flavor = "multi_thread")]
async fn whom_a_query_would_have_found_is_replayed_also_who_is_gone() {
    let prometheus = Prometheus::remembering(&two_jobs()).await;
    let home = TempDir::new().expect("a temporary directory");
    let config = home.path().join("rollbackd.toml");
    let text = r#"
state_dir = "/nonexistent"
[prometheus.main]
url = "http://127.0.0.1:9090"
[discover.web]
template = "web"
query = 'count by (job) (up)'
label = "job"
[template.web]
watch_only = true
[template.web.signal.error_rate]
every = "60s"
[template.web.signal.error_rate.prometheus]
label = "job"
bad = 'sum by (job) (http_requests_total{code=~"5.."})'
total = 'sum by (job) (http_requests_total)'
[notify.log]
audiences = ["on_call"]
"#;
    fs::write(&config, text).expect("written");
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_rollbackd"))
        .arg("replay")
        .arg(&config)
        .args(["--from", &prometheus.url(), "--since", "230m", "--json", "--allow-partial"])
        .args(["--until", &(FROM + Span::minutes(239)).to_string()])
        .arg("--keep")
        .arg(home.path().join("kept"))
        .output()
        .await
        .expect("it ends");
    let (told, said) = printed(output);
    let stories = told.as_array().cloned().unwrap_or_default();
    let incidents: Vec<(&str, &str)> = stories
        .iter()
        .filter_map(|story| {
            Some((story["service"].as_str()?, story["incidents"][0]["trigger"].as_str()?))
        })
        .collect();
    let both = [("old/production", "traffic-collapse"), ("shop/production", "critical-errors")];
    assert_eq!(incidents, both, "{said}{told}");
    assert!(said.contains("discover.web: 2 services of the record are replayed"), "{said}");
    assert!(!said.contains("not replayed: the services"), "{said}");
}

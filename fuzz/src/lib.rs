//! What must hold whatever the bytes are, one function for each parser of bytes from outside.
//!
//! Not only that nothing panics: what is taken is within its limits, printable, and the same when it is written and
//! read again. The fuzz targets call these with random bytes, `tests/pure/hostile.rs` with the corpora.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use rollbackd::{
    aws::notification::Notification,
    config::{self, HttpLimits, Mapping},
    daemon::recovery,
    domain::{
        event::Alert,
        fact,
        frontend::{Manifest, copies, invalidated},
        policy::ServicePolicy,
        watch,
    },
    http::{posted, problem::Problem},
    sources::{
        alertmanager,
        exposition::{Format, Limits, Wanted, scan},
        prometheus,
        registry::{Challenge, Credential, Name},
    },
    store::{Draft, Record},
    units::UnixMs,
};
use serde::de::IgnoredAny;

/// When everything arrives: 2026-03-02, 12:00 UTC.
const NOW: UnixMs = UnixMs(1_772_452_800_000);
/// A text that is kept, with the mark that it was cut, in characters.
const TEXT_MAX: usize = 501;

const CONFIG: &str = r#"
state_dir = "/nonexistent"
[prometheus.main]
url = "http://127.0.0.1:9090"
[service.shop]
watch_only = true
[service.shop.signal.errors]
kind = "error_rate"
[service.shop.signal.errors.prometheus]
from = "main"
bad = 'sum(http_requests_total{code=~"5.."})'
total = 'sum(http_requests_total)'
[notify.log]
audiences = ["on_call"]
"#;

fn refused(problem: &Problem) {
    assert!((400..500).contains(&problem.status), "it is the sender's fault: {problem:?}");
    assert!(!problem.detail.is_empty(), "it says what to send instead");
}

fn printable(text: &str) {
    assert!(!text.chars().any(char::is_control), "a control character in {text:?}");
}

/// POST /v1/alertmanager
pub fn webhook(bytes: &[u8]) {
    let limits = HttpLimits::default();
    let read = match posted::webhook(bytes, &Mapping::default(), &limits) {
        Ok(read) => read,
        Err(problem) => return refused(&problem),
    };
    assert!(read.alerts.len() <= limits.alerts_max && read.strays.len() <= limits.alerts_max);
    let begins = |(_, alert): &(_, Alert)| alert.firing;
    assert!(read.alerts.is_sorted_by_key(begins), "ends come before beginnings");
    for (service, alert) in &read.alerts {
        assert_eq!(service.to_string().parse().as_ref(), Ok(service), "a name is read as written");
        assert!(!alert.fingerprint.is_empty() && alert.labels.len() <= limits.labels_max);
        let texts = [&alert.fingerprint, &alert.name, &alert.summary];
        for text in texts.into_iter().chain(&alert.trigger).chain(alert.labels.values()) {
            printable(text);
            assert!(text.chars().count() <= TEXT_MAX, "too long: {text}");
        }
    }
    for (_, stray) in &read.strays {
        printable(&stray.why);
        assert!(stray.labels.len() <= 16 && !stray.why.is_empty());
    }
}

/// POST /v1/sns
pub fn alarm(bytes: &[u8]) {
    let limits = HttpLimits::default();
    let text = match Notification::parse(bytes) {
        Ok(message) => {
            let pem = include_bytes!("../../tests/fixtures/sns/certificate.pem");
            let _ = message.check(pem, NOW);
            let _ = message.is_of_sns(&message.signing_cert_url, None);
            message.message
        }
        Err(_) => String::from_utf8_lossy(bytes).into_owned(),
    };
    match posted::alarm(&text, &Mapping::default(), &limits) {
        Ok(Some(read)) => {
            assert_eq!(read.alerts.len() + read.strays.len(), 1, "an alarm is one alert");
            for (_, alert) in &read.alerts {
                assert!(Alert::is_of_cloudwatch(&alert.fingerprint));
                for text in [&alert.name, &alert.summary].into_iter().chain(alert.labels.values()) {
                    printable(text);
                    assert!(text.chars().count() <= TEXT_MAX, "too long: {text}");
                }
            }
        }
        Ok(None) => {}
        Err(problem) => refused(&problem),
    }
}

/// GET /api/v2/alerts of Alertmanager.
pub fn alerts(bytes: &[u8]) {
    assert!(alertmanager::parse(503, bytes).is_err(), "only a 200 says anything");
    if let Ok(firing) = alertmanager::parse(200, bytes) {
        // What nobody reads of an alert may be no text at all.
        let told: Vec<IgnoredAny> = serde_json::from_slice(bytes).expect("they were read");
        assert!(firing.active.len() + firing.suppressed.len() <= told.len(), "each counts once");
    }
}

/// What decides which registry is asked for an image, and what it is shown.
pub fn registry(bytes: &[u8]) {
    // Whose it is may be seen.
    let names_it = |file: serde_json::Value| {
        let entries = file.get("auths").unwrap_or(&file).as_object();
        entries.is_some_and(|all| all.keys().any(|key| key.contains("hunter2")))
    };
    if !serde_json::from_slice(bytes).is_ok_and(names_it) {
        let seen = format!("{:?}", Credential::all(bytes));
        assert!(!seen.contains("hunter2"), "a secret can be seen: {seen}");
    }
    let text = String::from_utf8_lossy(bytes);
    if let Some(Challenge::Bearer { realm, service }) = Challenge::of(&text) {
        assert!(realm.len() + service.map_or(0, |it| it.len()) <= text.len());
    }
    if let Some(name) = Name::of(&text) {
        let Name { registry, repository, reference } = name;
        let leads_elsewhere = |part: &str| part.contains(['?', '#', '@', '\\', '%', ' ']);
        assert!(![&registry, &repository, &reference].into_iter().any(|it| leads_elsewhere(it)));
        assert!(!registry.contains('/') && !reference.contains('/'));
        assert!(repository.split('/').all(|part| !part.is_empty() && part != ".." && part != "."));
    }
}

/// What was recorded of a version of a site, as anybody may have written it who writes to its bucket.
pub fn manifest(bytes: &[u8]) {
    let manifest = match Manifest::parse(bytes) {
        Ok(manifest) => manifest,
        Err(why) => return printable(&why),
    };
    assert_eq!(Manifest::parse(&manifest.bytes()).as_ref(), Ok(&manifest));
    assert!(!manifest.version.contains('/') && !manifest.pages().is_empty());
    for name in manifest.objects.keys() {
        printable(name);
        let leads_out = name.starts_with('/') || name.split('/').any(|part| part == "..");
        assert!(!name.is_empty() && !leads_out, "{name:?} leads out of its site");
    }
    let all =
        copies(None, &manifest, &BTreeMap::new()).expect("nothing is there that is another's");
    assert_eq!(all.len(), manifest.objects.len());
    let paths = invalidated(None, &manifest, ("/", &[]), 20);
    assert!(paths.len() <= 20 && paths.iter().all(|path| path.starts_with('/') && path.is_ascii()));
}

/// A target's metrics, in both formats.
pub fn exposition(bytes: &[u8]) {
    let limits =
        Limits { body_bytes: 1 << 20, series: 1_000, labels: 8, line_bytes: 4_096, told: 10 };
    for format in [Format::Text, Format::OpenMetrics] {
        let mut given = 0;
        let scanned = scan(bytes, format, &limits, &Wanted::all(), |series| {
            given += 1;
            assert!(series.labels.len() <= limits.labels && series.line > 0);
        });
        let Ok(scanned) = scanned else { continue };
        assert_eq!(scanned.given, given, "every series that is counted was handed over");
        assert!(scanned.given <= limits.series as u64);
        assert!(scanned.told.len() <= limits.told);
        // Whoever wants one name gets no other's series.
        let one = Wanted::names(["http_requests_total"]);
        let _ = scan(bytes, format, &limits, &one, |series| {
            assert!(series.name == *"http_requests_total", "nobody asked for {:?}", series.name);
        });
    }
}

/// Prometheus's answers to queries of an instant and of a range.
pub fn prometheus(bytes: &[u8]) {
    for status in [200, 400, 503] {
        if let Ok(rows) = prometheus::rows(status, bytes) {
            let of_all = prometheus::histograms(&rows, None);
            let of_each = prometheus::histograms(&rows, Some("service"));
            assert!(of_all.len() <= 1, "one service: {:?}", of_each.keys());
            let _ = prometheus::gauges(&rows, Some(&rows), Some("service"));
            let _ = prometheus::counters(&rows, &rows, None, Some("service"));
        }
        if let Ok(tracks) = prometheus::tracks(status, bytes) {
            let points: usize = tracks.iter().map(|track| track.points.len()).max().unwrap_or(0);
            assert!(prometheus::at_each_time(vec![tracks]).len() >= points.min(1));
        }
    }
}

/// The configuration file.
pub fn config(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    // Files that it names are another matter.
    if text.contains("/dev") || text.contains("/proc") {
        return;
    }
    if let Err(problems) = config::load_text("fuzz.toml", text) {
        assert!(!problems.is_empty(), "what is refused has a fault");
        problems.iter().for_each(|problem| assert!(!problem.to_string().is_empty()));
    }
}

/// A record of the journal: what is understood is written as it was read.
pub fn record(bytes: &[u8]) {
    let Ok(body) = str::from_utf8(bytes) else { return };
    let fact = Draft {
        stream: "shop/production".to_owned(),
        incident: None,
        at: NOW,
        steady_ms: NOW.0,
        kind: String::new(),
        fact_version: fact::VERSION,
        cause: String::new(),
        config_hash: String::new(),
        policy_version: String::new(),
        body: body.to_owned(),
    };
    let mut record = Record::following(&(0, String::new()), 1, 1, &fact);
    let Ok((_, fact)) = recovery::parse(&record) else { return };
    record.fact.body = serde_json::to_string(&fact).expect("a fact is JSON");
    let (_, again) = recovery::parse(&record).expect("what is written can be read");
    let written = serde_json::to_string(&again).expect("a fact is JSON");
    assert_eq!(written, record.fact.body, "what is read again says the same");
}

/// What somebody watches: errors and health.
fn policy() -> &'static ServicePolicy {
    static POLICY: LazyLock<Arc<ServicePolicy>> = LazyLock::new(|| {
        let (config, _) =
            config::load_text("fuzz.toml", CONFIG).expect("the configuration is sound");
        let mut services = config.policy.services.values();
        Arc::clone(services.next().expect("one service is watched"))
    });
    &POLICY
}

/// Windows as an earlier daemon wrote them down.
pub fn snapshot(bytes: &[u8]) {
    let Ok(snapshot) = serde_json::from_slice::<watch::Snapshot>(bytes) else { return };
    let policy = policy();
    let mut fresh = watch::ServiceWatch::new(policy);
    fresh.restore(snapshot, policy);
    let written = serde_json::to_string(&fresh.snapshot()).expect("windows are JSON");
    assert!(serde_json::from_str::<watch::Snapshot>(&written).is_ok(), "{written}");
}

/// POST /v1/changes
pub fn change(bytes: &[u8]) {
    let understood = posted::change(bytes).and_then(|posted| posted.understood(None, "me", NOW));
    match understood {
        Ok(change) => {
            printable(&change.id);
            printable(&change.to.version);
            assert!(change.ended_at.is_none_or(|ended| ended >= change.started_at));
        }
        Err(problem) => refused(&problem),
    }
}

/// POST /v1/evidence
pub fn evidence(bytes: &[u8]) {
    match posted::evidence(bytes) {
        Ok(evidence) => {
            printable(evidence.note());
            assert!(!evidence.note().is_empty() && !evidence.trigger().is_empty());
        }
        Err(problem) => refused(&problem),
    }
}

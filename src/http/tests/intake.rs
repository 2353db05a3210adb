//! What others tell: alerts, changes, evidence.

use std::sync::atomic::Ordering;

use reqwest::Method;
use serde_json::{Value, json};

use super::world::{World, answer};
use crate::{
    config::Http,
    domain::{
        change::{Migrations, Origin},
        event::What,
    },
    handle::Handle,
    http::{Interface, auth::Tokens},
    units::Span,
};

fn alert(service: &str, status: &str) -> Value {
    json!({"status": status, "startsAt": "2026-11-22T19:40:48Z", "endsAt": "0001-01-01T00:00:00Z",
        "labels": {"alertname": "Errors", "service": service, "severity": "critical"},
        "annotations": {"summary": "many errors"}, "fingerprint": format!("f-{service}")})
}

fn webhook(alerts: &[Value]) -> String {
    json!({"version": "4", "status": "firing", "alerts": alerts, "truncatedAlerts": 0}).to_string()
}

#[tokio::test]
async fn every_recorded_webhook_is_taken() {
    let world = World::with(|options| options.mapping.service_label = "namespace".into()).await;
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/webhook");
    let mut seen = 0;
    for file in std::fs::read_dir(dir).unwrap() {
        let body = std::fs::read(file.unwrap().path()).unwrap();
        let sent: Value = serde_json::from_slice(&body).unwrap();
        let (status, receipt) = world.post("/v1/alertmanager", "alerts", body).await;
        assert_eq!(status, 200);
        assert_eq!(receipt["unmatched"], sent["alerts"].as_array().unwrap().len());
        assert_eq!(receipt["refused"], 0);
        assert_eq!(receipt["truncated"], sent["truncatedAlerts"]);
        seen += 1;
    }
    assert!(seen >= 29, "{seen} recorded bodies");
    let (_, strays) = world.get("/v1/unmatched", "view").await;
    assert!(strays["truncated"].as_u64().unwrap() > 0);
    let why = strays["alerts"][0]["why"].as_str().unwrap();
    assert!(why.contains("prod/production") || why.contains("no label"), "{why}");
}

#[tokio::test]
async fn an_alert_reaches_its_service_and_an_unknown_one_is_kept() {
    let world = World::new().await;
    let body = webhook(&[alert("checkout", "firing"), alert("elsewhere", "firing")]);
    let (status, receipt) = world.post("/v1/alertmanager", "alerts", body.clone()).await;
    assert_eq!(status, 200);
    assert_eq!((&receipt["accepted"], &receipt["unmatched"]), (&json!(1), &json!(1)));
    let (_, services) = world.get("/v1/services/checkout", "view").await;
    assert_eq!(services["incident"]["severity"], "P1");
    assert_eq!(services["told"][0], "alert:Errors (P1): Alertmanager: Errors - many errors");
    world.post("/v1/alertmanager", "alerts", body).await;
    let (_, strays) = world.get("/v1/unmatched", "view").await;
    assert_eq!(strays["alerts"][0]["why"], "no service elsewhere/production is configured");
    assert_eq!(strays["alerts"][0]["times"], 2);
    let resolved = webhook(&[alert("checkout", "resolved")]);
    world.post("/v1/alertmanager", "alerts", resolved).await;
    let What::Alerted { alert, .. } = world.told().pop().unwrap() else { panic!("not an alert") };
    assert!(!alert.firing);
}

/// It was taken without a word, and its guard said that "this trigger only pages".
#[tokio::test]
async fn an_alert_that_names_no_trigger_is_taken_and_shown() {
    let world = World::new().await;
    let mut sent = alert("cart", "firing");
    sent["labels"]["rollbackd_trigger"] = json!("critical-erors");
    let (status, receipt) = world.post("/v1/alertmanager", "alerts", webhook(&[sent])).await;
    assert_eq!(status, 200);
    assert_eq!((&receipt["accepted"], &receipt["unmatched"]), (&json!(1), &json!(0)));
    let (_, strays) = world.get("/v1/unmatched", "view").await;
    let why = strays["alerts"][0]["why"].as_str().unwrap();
    assert!(why.contains("no trigger of that name: rollbackd_trigger=\"critical-erors\""), "{why}");
    let (_, view) = world.get("/v1/services/cart/production/explain", "view").await;
    let mode = view["guards"][0].to_string();
    assert!(mode.contains("no trigger is called critical-erors"), "{mode}");
}

#[tokio::test]
async fn what_cannot_be_written_down_is_answered_with_503() {
    let world = World::new().await;
    world.unwritable.store(true, Ordering::Relaxed);
    let body = webhook(&[alert("checkout", "firing")]);
    let (status, problem) = world.post("/v1/alertmanager", "alerts", body.clone()).await;
    assert_eq!(status, 503);
    assert_eq!(problem["detail"], "the journal cannot be written: disk full");
    world.unwritable.store(false, Ordering::Relaxed);
    assert_eq!(world.post("/v1/alertmanager", "alerts", body).await.0, 200);
}

/// "Nothing was done; send it again", and then it was done twice.
#[tokio::test]
async fn what_is_not_answered_in_time_may_still_take_effect_and_says_so() {
    let (handle, _queue) = Handle::channel(1);
    let mut options = Http::default();
    options.limits.answer_timeout = Span(10);
    let metrics = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let interface =
        Interface::new(handle, metrics.handle(), Tokens::default(), &options).expect("one");
    let problem = interface.tell(What::Tick).await.expect_err("nobody answers");
    assert_eq!((problem.status, problem.kind.as_str()), (503, "urn:rollbackd:problem:in-doubt"));
    assert!(problem.title.contains("may still take effect"), "{problem:?}");
    // The queue is full of what still waits: of this one nothing happens.
    let problem = interface.tell(What::Tick).await.expect_err("the queue is full");
    assert_eq!(problem.kind, "urn:rollbackd:problem:unavailable");
}

#[tokio::test]
async fn bodies_that_are_no_webhook_are_told_what_to_send() {
    let world = World::new().await;
    for body in ["<html>", r#"{"version":"5","alerts":[]}"#, r#"{"my":"payload"}"#] {
        let (status, problem) = world.post("/v1/alertmanager", "alerts", body).await;
        assert_eq!(status, 400, "{body}");
        assert_eq!(problem["instance"], "/v1/alertmanager");
    }
    let (status, _) = world.post("/v1/alertmanager", "alerts", webhook(&[])).await;
    assert_eq!(status, 200, "an empty group says nothing, and is no fault");
}

async fn post_with_key(world: &World, key: &str, body: &Value) -> (u16, Value) {
    let request = world.request(Method::POST, "/v1/changes", "changes");
    let request = request.header("idempotency-key", key).body(body.to_string());
    let (status, answer) = answer(request).await;
    (status.as_u16(), answer)
}

#[tokio::test]
async fn a_change_posted_twice_is_one_change() {
    let world = World::new().await;
    let body = json!({"service": "checkout", "environment": "production", "from": "v1", "to": "v2",
        "started_at": "2026-11-22T21:30:00Z", "migrations": "compatible"});
    let (status, first) = post_with_key(&world, "build-7", &body).await;
    assert_eq!(status, 200, "{first}");
    assert_eq!(first["id"], "build-7");
    assert_eq!(post_with_key(&world, "build-7", &body).await, (200, first));
    let told = world.told();
    let [What::ChangePosted { change, .. }] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!(change.origin, Origin::Posted { by: "changes-sender".into() });
    assert_eq!(change.migrations, Migrations::Compatible);
    let other = json!({"service": "checkout", "environment": "production", "to": "v3"});
    let (status, problem) = post_with_key(&world, "build-7", &other).await;
    assert_eq!(status, 409);
    assert!(problem["detail"].as_str().unwrap().contains("another body"));
}

#[tokio::test]
async fn the_end_of_a_change_is_told_under_its_id_and_another_target_is_not() {
    let world = World::new().await;
    let post = async |body: Value| {
        let (status, answer) = world.post("/v1/changes", "changes", body.to_string()).await;
        (status.as_u16(), answer)
    };
    let begun = json!({"service": "checkout", "id": "build-8", "to": "v2",
        "started_at": "2026-11-22T21:30:00Z"});
    assert_eq!(post(begun).await.0, 200);
    let ended = json!({"service": "checkout", "id": "build-8", "to": "v2", "checks_passed": true,
        "started_at": "2026-11-22T21:30:00Z", "ended_at": "2026-11-22T21:31:00Z"});
    assert_eq!(post(ended).await.0, 200);
    let (_, service) = world.get("/v1/services/checkout", "view").await;
    assert_eq!(service["last_change"]["ended_at"], "2026-11-22T21:31:00.000Z");
    let other = json!({"service": "checkout", "id": "build-8", "to": "v3"});
    let (status, problem) = post(other).await;
    assert_eq!(status, 409);
    assert!(problem["detail"].as_str().unwrap().contains("use a new id"), "{problem}");
}

#[tokio::test]
async fn a_change_that_cannot_be_is_refused_with_the_reason() {
    let world = World::new().await;
    for (body, status, says) in [
        (json!({"service": "chekcout", "to": "v2"}), 404, "did you mean checkout/production?"),
        (json!({"service": "cart", "to": "v2"}), 404, "several environments"),
        (json!({"service": "checkout"}), 422, "missing field `to`"),
        (json!({"service": "checkout", "to": ""}), 422, "1 to 200 characters"),
        (
            json!({"service": "checkout", "to": "v2", "version": "v2"}),
            422,
            "unknown field `version`",
        ),
        (json!({"service": "checkout", "to": "v2", "started_at": "now"}), 422, "is not a time"),
        (
            json!({"service": "checkout", "to": "v2", "started_at": "2030-01-01T00:00:00Z"}),
            422,
            "ahead",
        ),
        (json!({"service": "checkout", "to": "v2", "migrations": "maybe"}), 422, "unknown variant"),
    ] {
        let (got, problem) = world.post("/v1/changes", "changes", body.to_string()).await;
        assert_eq!(got, status, "{body}");
        assert!(problem["detail"].as_str().unwrap().contains(says), "{body}: {problem}");
    }
    assert_eq!(world.post("/v1/changes", "changes", "{").await.0, 400);
    assert!(world.told().is_empty());
}

#[tokio::test]
async fn evidence_fires_with_the_senders_name() {
    let world = World::new().await;
    let body =
        json!({"service": "checkout", "kind": "data-corruption", "note": "orders\nwithout lines"});
    let (status, reply) = world.post("/v1/evidence", "evidence", body.to_string()).await;
    assert_eq!(status, 200, "{reply}");
    assert_eq!(reply["said"], "data-corruption of checkout/production fires as P0");
    let (_, service) = world.get("/v1/services/checkout", "view").await;
    assert_eq!(service["told"][0], "data-corruption (P0): evidence-sender: orders without lines");
    let unknown = json!({"service": "checkout", "kind": "security-breach", "note": "x"});
    let (status, problem) = world.post("/v1/evidence", "evidence", unknown.to_string()).await;
    assert_eq!(status, 409, "this service has no such trigger: {problem}");
    let empty = json!({"service": "checkout", "kind": "data-corruption", "note": " "});
    assert_eq!(world.post("/v1/evidence", "evidence", empty.to_string()).await.0, 422);
}

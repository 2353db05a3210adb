//! The interface over real sockets.

mod intake;
mod looking;
mod sns;
mod world;

use std::fmt::Write;

use reqwest::Method;
use serde_json::Value;

use self::world::World;
use super::{Interface, Server, auth::Tokens};
use crate::{
    config::{Http, Tls},
    units::Span,
};

const ROUTES: [(&str, &str, &str); 19] = [
    ("POST", "/v1/alertmanager", "alerts"),
    ("POST", "/v1/sns", "alerts"),
    ("POST", "/v1/changes", "changes"),
    ("POST", "/v1/evidence", "evidence"),
    ("GET", "/metrics", "view"),
    ("GET", "/v1/services", "view"),
    ("GET", "/v1/services/checkout", "view"),
    ("GET", "/v1/services/checkout/production", "view"),
    ("GET", "/v1/services/checkout/production/explain", "view"),
    ("GET", "/v1/services/checkout/production/plan", "view"),
    ("GET", "/v1/incidents", "view"),
    ("GET", "/v1/incidents/x", "view"),
    ("GET", "/v1/incidents/x/report", "view"),
    ("GET", "/v1/unmatched", "view"),
    ("POST", "/v1/services/checkout/production/ack", "operate"),
    ("POST", "/v1/services/checkout/production/hold", "operate"),
    ("POST", "/v1/services/checkout/production/rollback", "operate"),
    ("POST", "/v1/services/checkout/production/approve", "operate"),
    ("POST", "/v1/services/checkout/production/lift", "operate"),
];

#[tokio::test]
async fn nobody_without_the_scope_gets_anywhere() {
    let world = World::new().await;
    let reaches = |token: &str, scope: &str| {
        token == scope || token == "admin" || (token == "operate" && scope == "view")
    };
    for (method, path, scope) in ROUTES {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        for token in ["", "guessed", "alerts", "changes", "evidence", "view", "operate", "admin"] {
            let request = world.request(method.clone(), path, token).body("not json");
            let (status, body) = world::answer(request).await;
            let wanted = match token {
                "" | "guessed" => Some(401),
                token if !reaches(token, scope) => Some(403),
                _ => None,
            };
            match wanted {
                Some(wanted) => {
                    assert_eq!(status, wanted, "{method} {path} with {token:?}");
                    assert_eq!(body["status"], wanted, "{path} answers with a problem");
                    assert_eq!(body["instance"], path);
                }
                None => assert!(status != 401 && status != 403, "{method} {path} with {token}"),
            }
        }
    }
    assert!(world.told().is_empty());
}

#[tokio::test]
async fn monitors_need_no_credential_and_numbers_need_one_unless_they_are_open() {
    let world = World::new().await;
    assert_eq!(world.get("/healthz", "").await.0, 200);
    assert_eq!(world.get("/readyz", "").await.0, 200);
    assert_eq!(world.get("/metrics", "").await.0, 401);
    assert_eq!(world.get("/metrics", "view").await.0, 200);
    let open = World::with(|options| options.open_metrics = true).await;
    assert_eq!(open.get("/metrics", "").await.0, 200);
    assert_eq!(open.get("/v1/services", "").await.0, 401);
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_too() {
    let world = World::new().await;
    let (status, body) = world.get("/v2/anything", "admin").await;
    assert_eq!(
        (status.as_u16(), &body["type"]),
        (404, &Value::from("urn:rollbackd:problem:not-found"))
    );
    let (status, body) = world.get("/v1/changes", "admin").await;
    assert_eq!((status.as_u16(), &body["status"]), (405, &Value::from(405)));
    let response = world.request(Method::GET, "/v2/anything", "").send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/problem+json");
}

#[tokio::test]
async fn plain_http_stays_on_loopback_unless_the_operator_says_so() {
    let world = World::new().await;
    let bind = async |change: &dyn Fn(&mut Http)| {
        let mut options = Http { listen: ([0, 0, 0, 0], 0).into(), ..Http::default() };
        change(&mut options);
        let metrics = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let interface =
            Interface::new(world.handle.clone(), metrics.handle(), Tokens::default(), &options);
        Server::bind(&options, &interface.unwrap()).await.map(drop).map_err(|e| e.to_string())
    };
    let fault = bind(&|_| {}).await.unwrap_err();
    assert!(fault.contains("beyond loopback"), "{fault}");
    assert_eq!(bind(&|o| o.allow_plain_beyond_loopback = true).await, Ok(()));
    let missing = Tls { cert: "/nowhere/cert.pem".into(), key: "/nowhere/key.pem".into() };
    let fault = bind(&|o| o.tls = Some(missing.clone())).await.unwrap_err();
    assert!(fault.contains("/nowhere/cert.pem"), "{fault}");
}

#[tokio::test]
async fn tls_is_spoken_with_the_operators_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let tls = Tls { cert: dir.path().join("cert.pem"), key: dir.path().join("key.pem") };
    std::fs::write(&tls.cert, made.cert.pem()).unwrap();
    std::fs::write(&tls.key, made.signing_key.serialize_pem()).unwrap();
    let world = World::with(|options| options.tls = Some(tls)).await;
    assert_eq!(world.get("/v1/services", "view").await.0, 200);
}

#[tokio::test]
async fn a_sender_that_dawdles_is_let_go() {
    let world = World::with(|options| {
        options.limits.read_timeout = Span(200);
    })
    .await;
    let head = "POST /v1/alertmanager HTTP/1.1\r\nhost: x\r\nauthorization: Bearer alerts\r\n\
                content-length: 100\r\nconnection: close\r\n\r\n{\"version\"";
    let answer = world.raw(head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("too-slow"), "{answer}");
    let silent = world.raw(b"POST /v1/alertmanager HTTP/1.1\r\nhost: ").await;
    assert_eq!(silent, "", "a head that never ends is cut");
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused_and_the_next_request_is_served() {
    let world = World::new().await;
    let (status, body) = world.post("/v1/alertmanager", "alerts", vec![b' '; 10 << 20]).await;
    assert_eq!(status, 413);
    assert!(body["detail"].as_str().unwrap().contains("1048576 bytes"), "{body}");
    let mut labels = String::new();
    for n in 0..100_000 {
        write!(labels, "\"l{n}\":\"\",").unwrap();
    }
    let many = format!(
        r#"{{"version":"4","alerts":[{{"status":"firing","startsAt":"2026-11-22T19:40:48Z","labels":{{{labels}"a":"b"}}}}]}}"#
    );
    assert_eq!(world.post("/v1/alertmanager", "alerts", many.clone()).await.0, 413);
    let roomy = World::with(|options| options.limits.body_max_bytes = 4 << 20).await;
    let (status, body) = roomy.post("/v1/alertmanager", "alerts", many).await;
    assert_eq!(status, 422, "{body}");
    let (_, strays) = roomy.get("/v1/unmatched", "view").await;
    assert_eq!(strays["alerts"][0]["why"], "100001 labels; 64 are taken");
    assert_eq!(world.get("/healthz", "").await.0, 200);
}

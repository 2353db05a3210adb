//! Channels against real sockets: a receiver that answers as told, and remembers what it was sent.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, Response, StatusCode, Uri},
};
use rollbackd::{
    domain::notice::{Audience, Choice, Kind, Notice, Urgency},
    notifiers::{Channel, DeliveryError, Notifier, heartbeat::Heartbeat, http, slack, webhook},
    units::{Secret, Span, UnixMs},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// The part of every URL that nobody may ever read.
const CREDENTIAL: &str = "T0hunter2";

#[tokio::test]
async fn slack_takes_a_notice() {
    let receiver = Receiver::answering(200, "ok").await;
    assert_eq!(deliver(slack_at(receiver.address)).await, Ok(()));
    let sent = receiver.sent();
    assert_eq!(sent.len(), 1);
    let body: serde_json::Value = serde_json::from_slice(&sent[0].body).expect("JSON");
    assert_eq!(body, slack::payload(&notice(), None));
    assert_eq!(sent[0].path, format!("/services/{CREDENTIAL}"));
    assert_eq!(sent[0].headers["content-type"], "application/json");
}

#[tokio::test]
async fn slack_says_200_but_not_ok() {
    let why = refusal(Receiver::answering(200, "invalid_payload").await).await;
    assert_eq!(why, "it answered 200 OK `invalid_payload`");
    let page = format!("<html>captive portal for /services/{CREDENTIAL}</html>");
    let why = refusal(Receiver::answering(200, page).await).await;
    assert_eq!(why, "it answered 200 OK and a body that is not Slack's");
}

#[tokio::test]
async fn slack_refuses_for_good() {
    for (status, body, expected) in [
        (400, "invalid_blocks", "it answered 400 Bad Request `invalid_blocks`"),
        (403, "action_prohibited", "it answered 403 Forbidden `action_prohibited`"),
        (404, "no_service", "it answered 404 Not Found `no_service`"),
        (410, "channel_is_archived", "it answered 410 Gone `channel_is_archived`"),
    ] {
        assert_eq!(refusal(Receiver::answering(status, body).await).await, expected);
    }
}

#[tokio::test]
async fn a_busy_receiver_is_left_alone_for_as_long_as_it_asks() {
    for (asked, expected) in [
        (Some("30"), Some(Span::seconds(30))),
        (Some("nonsense"), Some(http::RETRY_AFTER_DEFAULT)),
        (None, Some(http::RETRY_AFTER_DEFAULT)),
    ] {
        let receiver = Receiver::start(move |_| {
            let mut response = Response::builder().status(429);
            if let Some(asked) = asked {
                response = response.header("retry-after", asked);
            }
            response.body(Body::from("rate_limited")).expect("a response")
        })
        .await;
        let (why, after) = retry(slack_at(receiver.address)).await;
        assert_eq!(after, expected);
        assert_eq!(why, "it answered 429 Too Many Requests `rate_limited`");
    }
}

#[tokio::test]
async fn a_receiver_in_trouble_is_tried_again() {
    for status in [500, 502, 503, 504, 408] {
        let receiver = Receiver::answering(status, "<html>sorry</html>").await;
        for notifier in [slack_at(receiver.address), webhook_at(receiver.address)] {
            let (_, after) = retry(notifier).await;
            assert_eq!(after, None, "{status}");
        }
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Receiver::answering(200, "ok").await;
    let to = format!("http://{}/services/{CREDENTIAL}", elsewhere.address);
    let receiver = Receiver::start(move |_| {
        Response::builder().status(307).header("location", &to).body(Body::empty()).expect("it")
    })
    .await;
    let address = receiver.address;
    for notifier in [slack_at(address), webhook_at(address)] {
        let why = refused(notifier).await;
        assert!(why.contains("307") && why.ends_with("redirects are not followed"), "{why}");
    }
    assert!(elsewhere.sent().is_empty());
}

#[tokio::test]
async fn a_body_without_end_is_not_read() {
    let address = stuck(true).await;
    let why = refused(slack_at(address)).await;
    assert_eq!(why, "it answered 200 OK and a body that is not Slack's");
    assert_eq!(deliver(webhook_at(address)).await, Ok(()));
}

#[tokio::test]
async fn a_receiver_that_never_answers_costs_the_deadline_and_no_more() {
    // Accepted by the kernel, answered by nobody.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    for notifier in [slack_at(address), webhook_at(address)] {
        let began = Instant::now();
        let (why, _) = retry(notifier).await;
        assert_eq!(why, "no whole answer in time");
        assert!(began.elapsed() < Duration::from_secs(5), "took {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn half_an_answer_is_no_success() {
    let (why, _) = retry(slack_at(stuck(false).await)).await;
    assert_eq!(why, "no whole answer in time");
}

#[tokio::test]
async fn a_connection_that_breaks_is_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let closing = tokio::spawn(async move {
        loop {
            drop(listener.accept().await);
        }
    });
    let (why, after) = retry(slack_at(address)).await;
    assert!(!why.is_empty());
    assert_eq!(after, None);
    closing.abort();
    let _ = closing.await;

    let (why, _) = retry(slack_at(address)).await;
    assert!(why.starts_with("no connection: "), "{why}");
}

#[tokio::test]
async fn a_url_that_is_none_is_refused_unseen() {
    for url in [CREDENTIAL, "ftp://h/T0hunter2", "http://T0hunter2:x/y"] {
        refused(Notifier::Slack(slack::Options::new(Secret::new(url)))).await;
    }
}

#[tokio::test]
async fn a_webhook_gets_the_envelope_its_headers_and_a_signature() {
    let receiver = Receiver::answering(202, "").await;
    let mut options = webhook_options(receiver.address);
    options.auth = Some(webhook::Auth::Basic {
        user: "rollbackd".to_owned(),
        password: Secret::new(CREDENTIAL),
    });
    options.headers = vec![
        ("X-Api-Key".to_owned(), Secret::new("k1")),
        ("Idempotency-Key".to_owned(), Secret::new("not this one")),
    ];
    options.signing_key = Some(Secret::new("signing-key"));
    assert_eq!(deliver(Notifier::Webhook(options)).await, Ok(()));

    let sent = receiver.sent().remove(0);
    let expected = serde_json::to_vec(&webhook::envelope(&notice())).expect("JSON");
    assert_eq!(sent.body, expected);
    let header = |name: &str| sent.headers[name].to_str().expect("text").to_owned();
    assert_eq!(header("idempotency-key"), "checkout/production#41");
    assert_eq!(header("x-api-key"), "k1");
    assert_eq!(header("content-type"), "application/json");
    assert_eq!(header("authorization"), "Basic cm9sbGJhY2tkOlQwaHVudGVyMg==");
    let at_s: i64 = header("x-rollbackd-timestamp").parse().expect("seconds");
    assert_eq!(
        header("x-rollbackd-signature"),
        webhook::signature(&Secret::new("signing-key"), at_s, &sent.body)
    );
}

#[tokio::test]
async fn a_webhook_bears_a_token() {
    let receiver = Receiver::answering(204, "").await;
    let mut options = webhook_options(receiver.address);
    options.auth = Some(webhook::Auth::Bearer(Secret::new("t1")));
    assert_eq!(deliver(Notifier::Webhook(options)).await, Ok(()));
    assert_eq!(receiver.sent()[0].headers["authorization"], "Bearer t1");
}

#[tokio::test]
async fn a_heartbeat_is_heard_or_says_why_not() {
    let beat = |receiver: &Receiver| Heartbeat {
        url: Secret::new(format!("http://{}/ping/{CREDENTIAL}", receiver.address)),
        every: Span::minutes(1),
    };
    let client = http::client(http::CONNECT).expect("a client");
    let receiver = Receiver::answering(200, "OK").await;
    assert_eq!(beat(&receiver).ping(&client).await, Ok(()));
    assert_eq!(receiver.sent()[0].path, format!("/ping/{CREDENTIAL}"));
    let gone = Receiver::answering(404, format!("no /ping/{CREDENTIAL} here")).await;
    let error = beat(&gone).ping(&client).await.expect_err("gone");
    assert_eq!(error.to_string(), "not delivered: it answered 404 Not Found");
}

#[tokio::test]
async fn the_log_always_takes_a_notice_and_a_channel_only_its_audience() {
    assert_eq!(deliver(Notifier::Log).await, Ok(()));
    let channel = channel(Notifier::Log);
    assert!(channel.takes(&notice()));
    assert!(!channel.takes(&Notice { audience: Audience::Stakeholders, ..notice() }));
}

/// One request as the receiver got it.
#[derive(Clone)]
struct Sent {
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

struct Receiver {
    address: SocketAddr,
    sent: Arc<Mutex<Vec<Sent>>>,
}

impl Receiver {
    async fn answering(status: u16, body: impl Into<String>) -> Self {
        let body = body.into();
        let status = StatusCode::from_u16(status).expect("a status");
        Self::start(move |_| {
            let mut response = Response::new(Body::from(body.clone()));
            *response.status_mut() = status;
            response
        })
        .await
    }

    async fn start(
        answer: impl Fn(&Uri) -> Response<Body> + Clone + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let sent = Arc::new(Mutex::new(vec![]));
        let memory = sent.clone();
        let app = Router::new().fallback(move |uri: Uri, headers: HeaderMap, body: Bytes| {
            let response = answer(&uri);
            let path = uri.path().to_owned();
            memory.lock().expect("unpoisoned").push(Sent { path, headers, body });
            async move { response }
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, sent }
    }

    fn sent(&self) -> Vec<Sent> {
        self.sent.lock().expect("unpoisoned").clone()
    }
}

/// A receiver whose body never ends: always more of it, or nothing after the headers.
async fn stuck(endless: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 8192]).await;
                let head = "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n";
                let mut written = stream.write_all(head.as_bytes()).await;
                while endless && written.is_ok() {
                    written = stream.write_all(&[b'a'; 16 * 1024]).await;
                }
                // Until the other side has had enough.
                let _ = stream.read_to_end(&mut vec![]).await;
            });
        }
    });
    address
}

fn slack_at(address: SocketAddr) -> Notifier {
    let url = Secret::new(format!("http://{address}/services/{CREDENTIAL}"));
    Notifier::Slack(slack::Options::new(url))
}

fn webhook_options(address: SocketAddr) -> webhook::Options {
    webhook::Options::new(Secret::new(format!("http://{address}/hook?key={CREDENTIAL}")))
}

fn webhook_at(address: SocketAddr) -> Notifier {
    Notifier::Webhook(webhook_options(address))
}

fn channel(notifier: Notifier) -> Channel {
    Channel {
        name: "ops".to_owned(),
        notifier,
        audiences: BTreeSet::from([Audience::OnCall]),
        deadline: Span(700),
    }
}

async fn deliver(notifier: Notifier) -> Result<(), DeliveryError> {
    let client = http::client(http::CONNECT).expect("a client");
    let result = channel(notifier).deliver(&client, &notice()).await;
    if let Err(error) = &result {
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("hunter2"), "the credential is shown: {shown}");
    }
    result
}

async fn refused(notifier: Notifier) -> String {
    match deliver(notifier).await {
        Err(DeliveryError::Refused { why }) => why,
        other => panic!("not refused but {other:?}"),
    }
}

async fn refusal(receiver: Receiver) -> String {
    refused(slack_at(receiver.address)).await
}

async fn retry(notifier: Notifier) -> (String, Option<Span>) {
    match deliver(notifier).await {
        Err(DeliveryError::Retry { why, after }) => (why, after),
        other => panic!("not to be tried again but {other:?}"),
    }
}

fn notice() -> Notice {
    Notice {
        id: "checkout/production#41".to_owned(),
        service: Some("checkout/production".parse().expect("a service")),
        incident: Some("inc-7".to_owned()),
        severity: None,
        audience: Audience::OnCall,
        urgency: Urgency::Page,
        kind: Kind::RollbackInProgress,
        subject: "URGENT - Rollback in Progress - production".to_owned(),
        fields: vec![("Action".to_owned(), "Rolling back to version v1".to_owned())],
        lines: vec![],
        choices: vec![Choice {
            label: "acknowledge".to_owned(),
            command: "rollbackd ack inc-7".to_owned(),
        }],
        at: UnixMs(1_795_383_652_123),
    }
}

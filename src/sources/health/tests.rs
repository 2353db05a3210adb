use super::*;
use crate::{
    sources::http::fake::{Fake, Send, closed_port},
    units::Span,
};

async fn ask(fake: &Fake, change: impl FnOnce(&mut Options)) -> Health {
    let mut options = Options::at(fake.url.clone());
    options.http.attempt = Span(300);
    options.http.total = Span(500);
    change(&mut options);
    Probe::new(options, &mut http::Clients::default()).expect("a probe").poll().await.0
}

fn spring(options: &mut Options) {
    options.body = Some(BodyIs::Json { pointer: "/status".into(), equals: "UP".into() });
}

#[tokio::test]
async fn what_the_service_says_is_believed() {
    let up = Fake::answers(200, "", "{\"status\":\"UP\"}").await;
    assert_eq!(ask(&up, |_| {}).await, Health::Up);
    assert_eq!(ask(&up, spring).await, Health::Up);
    let teapot = |options: &mut Options| options.status = "418".parse().expect("a status");
    let why = "answered 200, expected 418: `{\"status\":\"UP\"}`".to_owned();
    assert_eq!(ask(&up, teapot).await, Health::Down { why, answered: true });

    let down = Fake::answers(503, "", "{\"status\":\"DOWN\"}").await;
    let why = "answered 503, expected 200-299: `{\"status\":\"DOWN\"}`".to_owned();
    assert_eq!(ask(&down, spring).await, Health::Down { why: why.clone(), answered: true });
    assert_eq!(ask(&down, |_| {}).await, Health::Down { why, answered: true });

    // Spring answers 200 for a status of its own making.
    let custom = Fake::answers(200, "", "{\"status\":\"DEGRADED\"}").await;
    assert_eq!(ask(&custom, |_| {}).await, Health::Up);
    assert!(matches!(ask(&custom, spring).await, Health::Down { .. }));
    assert!(matches!(ask(&Fake::answers(404, "", "").await, |_| {}).await, Health::Down { .. }));
}

#[tokio::test]
async fn what_may_be_our_own_fault_is_unknown() {
    for status in [301, 302, 401, 403, 407, 429] {
        let fake = Fake::answers(status, "Location: /login\r\n", "").await;
        let health = ask(&fake, |_| {}).await;
        assert!(matches!(health, Health::Unknown { .. }), "{status}: {health:?}");
    }
}

#[tokio::test]
async fn silence_and_refusal_are_down() {
    let silent = Fake::sends(vec![Send::Wait(Duration::from_secs(3))]).await;
    let why = "no answer within 300ms".to_owned();
    assert_eq!(ask(&silent, |_| {}).await, Health::Down { why, answered: false });
    let closed = closed_port().await;
    let health = ask(&silent, |options| options.url = closed).await;
    assert!(
        matches!(&health, Health::Down { why, answered: false } if why.starts_with("the connection was refused"))
    );
    let garbage = Fake::sends(vec![Send::Bytes(b"\0\0\0garbage\r\n".to_vec())]).await;
    assert!(matches!(ask(&garbage, |_| {}).await, Health::Down { .. }));
}

#[tokio::test]
async fn a_long_body_costs_nothing_where_only_the_status_is_asked() {
    let long = Fake::answers(200, "", vec![b'x'; 10 << 20]).await;
    assert_eq!(ask(&long, |_| {}).await, Health::Up);
    let health = ask(&long, |options| options.body = Some(BodyIs::Contains("y".into()))).await;
    assert!(
        matches!(&health, Health::Unknown { why } if why.contains("larger than")),
        "{health:?}"
    );
}

/// nginx answers for a dead backend: that was "the service itself answered", and never an outage.
#[tokio::test]
async fn what_a_proxy_says_in_its_place_is_no_answer_of_the_service() {
    let answered = |health: Health| match health {
        Health::Down { answered, .. } => answered,
        Health::Up | Health::Unknown { .. } => panic!("{health:?}"),
    };
    for (status, by_itself) in [(502, false), (504, false), (503, true), (500, true)] {
        let fake = Fake::answers(status, "", "").await;
        assert_eq!(answered(ask(&fake, |_| {}).await), by_itself, "{status}");
        assert_eq!(answered(ask(&fake, spring).await), by_itself, "{status}");
    }
    let own = Fake::answers(502, "", "").await;
    let none = |options: &mut Options| options.proxy_status = "none".parse().expect("a set");
    assert!(answered(ask(&own, none).await));
}

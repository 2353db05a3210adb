//! Alarms of CloudWatch, signed as SNS signs.

use serde_json::{Value, json};

use super::world::World;
use crate::{
    aws::notification::tests::{PEM, signed},
    config::SnsTopics,
    domain::event::{Alert, What},
    sources::http::fake::Fake,
};

const TOPIC: &str = "arn:aws:sns:eu-central-1:123456789012:alarms";

/// Who stands for SNS, and an interface that takes one topic's alarms.
async fn with_a_topic() -> (Fake, String, World) {
    let sns = Fake::answers(200, "", PEM).await;
    let endpoint = sns.url.as_str().trim_end_matches("/metrics").to_owned();
    let topics = SnsTopics {
        arns: [TOPIC.to_owned()].into(),
        endpoint: Some(endpoint.clone()),
        ca_pem: None,
    };
    let world = World::with(|options| options.topics = topics).await;
    (sns, endpoint, world)
}

fn posted(endpoint: &str, kind: &str, message: &str) -> Value {
    json!({
        "Type": kind, "MessageId": "m-1", "TopicArn": TOPIC, "Message": message, "Token": "t-1",
        "Timestamp": jiff::Timestamp::now().to_string(), "SignatureVersion": "2", "Signature": "",
        "SubscribeURL": format!("{endpoint}/?Action=ConfirmSubscription&Token=t-1"),
        "SigningCertURL": format!("{endpoint}/SimpleNotificationService-1.pem"),
    })
}

fn alarm(state: &str, at: &str) -> String {
    json!({
        "AlarmName": "checkout-5xx", "AlarmDescription": "service=checkout severity=critical",
        "AlarmArn": "arn:aws:cloudwatch:eu-central-1:123456789012:alarm:checkout-5xx", "NewStateValue": state,
        "NewStateReason": "Threshold Crossed", "StateChangeTime": format!("2026-11-22T{at}.000+0000"),
    })
    .to_string()
}

#[tokio::test]
async fn an_alarm_begins_an_incident_and_its_end_ends_it() {
    let (mut sns, endpoint, world) = with_a_topic().await;
    let send = async |state: &str, at: &str| {
        let message = signed(posted(&endpoint, "Notification", &alarm(state, at)));
        world.post("/v1/sns", "alerts", message.to_string()).await
    };
    let (status, receipt) = send("ALARM", "19:40:48").await;
    assert_eq!((status.as_u16(), &receipt["accepted"]), (200, &json!(1)), "{receipt}");
    assert!(sns.asked().await.starts_with("GET /SimpleNotificationService-1.pem"));
    let (_, service) = world.get("/v1/services/checkout", "view").await;
    assert_eq!(
        service["told"][0],
        "alert:checkout-5xx (P1): CloudWatch: checkout-5xx - Threshold Crossed"
    );
    let (status, receipt) = send("INSUFFICIENT_DATA", "19:41:48").await;
    assert_eq!((status.as_u16(), &receipt["accepted"]), (200, &json!(0)), "that says nothing");
    let (status, _) = send("OK", "19:42:48").await;
    assert_eq!(status, 200);
    let told: Vec<(bool, bool)> = world
        .told()
        .into_iter()
        .filter_map(|what| {
            let What::Alerted { alert, .. } = what else { return None };
            Some((alert.firing, Alert::is_of_cloudwatch(&alert.fingerprint)))
        })
        .collect();
    assert_eq!(told, [(true, true), (false, true)]);
    let (_, service) = world.get("/v1/services/checkout", "view").await;
    assert_eq!(service["told"], json!([]), "it is over: {service}");
}

#[tokio::test]
async fn a_subscription_to_a_topic_of_ours_is_confirmed_at_sns() {
    let (mut sns, endpoint, world) = with_a_topic().await;
    let asks =
        signed(posted(&endpoint, "SubscriptionConfirmation", "You have chosen to subscribe"));
    let (status, _) = world.post("/v1/sns", "alerts", asks.to_string()).await;
    assert_eq!(status, 200);
    assert!(sns.asked().await.starts_with("GET /SimpleNotificationService-1.pem"));
    assert!(sns.asked().await.starts_with("GET /?Action=ConfirmSubscription&Token=t-1"));
}

#[tokio::test]
async fn what_sns_did_not_sign_or_nobody_asked_for_is_refused_and_nothing_else_is_fetched() {
    let (_sns, endpoint, world) = with_a_topic().await;
    let nobody = Fake::answers(200, "", PEM).await;
    let fires = || posted(&endpoint, "Notification", &alarm("ALARM", "19:40:48"));
    let with = |key: &str, value: &str| {
        let mut other = fires();
        other[key] = value.into();
        signed(other)
    };
    let elsewhere = nobody.url.as_str();
    let mut forged = signed(fires());
    forged["Message"] = alarm("OK", "19:40:48").into();
    let mut asks = posted(&endpoint, "SubscriptionConfirmation", "");
    asks["SubscribeURL"] = elsewhere.into();
    for (message, status) in [
        (forged, 403),
        (with("SigningCertURL", elsewhere), 403),
        (with("Timestamp", "2020-01-01T00:00:00Z"), 403),
        (with("TopicArn", "arn:aws:sns:eu-central-1:123456789012:other"), 422),
        (with("Message", "hello"), 400),
        (signed(asks), 403),
        (json!({}), 400),
    ] {
        let (answered, problem) = world.post("/v1/sns", "alerts", message.to_string()).await;
        assert_eq!(answered, status, "{message}: {problem}");
    }
    let alarms = world.told().into_iter().filter(|what| matches!(what, What::Alerted { .. }));
    assert_eq!(alarms.count(), 0);
    assert!(nobody.unasked(), "whoever is named in a forged message is not visited");
}

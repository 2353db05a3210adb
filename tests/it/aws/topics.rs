//! Notices on topics of SNS, as their subscribers get them.

use std::{collections::BTreeSet, time::Duration};

use rollbackd::{
    aws::Clients,
    domain::{
        notice::{Audience, Kind, Notice, Urgency},
        severity::Severity,
    },
    notifiers::{Channel, DeliveryError, Notifier, http, sns},
    units::{Span, UnixMs},
};
use serde_json::Value;

use super::{
    proxy::{Proxy, Twist},
    server::{Server, unique},
};
use crate::rig::{self, Webhook};

const WAIT: Duration = Duration::from_secs(20);

fn notice(number: u32, subject: &str) -> Notice {
    Notice {
        id: format!("checkout/production#{number}"),
        service: Some("checkout/production".parse().expect("a service")),
        incident: Some("inc-7".to_owned()),
        severity: Some(Severity::P1),
        audience: Audience::OnCall,
        urgency: Urgency::Page,
        kind: Kind::RollbackInProgress,
        subject: subject.to_owned(),
        fields: vec![("Action".to_owned(), "Rolling back to version v1".to_owned())],
        lines: vec![],
        choices: vec![],
        at: UnixMs(1_795_383_652_123),
    }
}

/// A topic, spoken to through whatever stands before AWS.
async fn topic(name: &str) -> (Clients, Proxy, sns::Options) {
    let server = Server::shared().await;
    let clients = server.clients().await;
    let mut create = clients.sns().create_topic();
    let (stem, is_fifo) = match name.strip_suffix(".fifo") {
        Some(stem) => (stem, true),
        None => (name, false),
    };
    let mut unique = unique(stem);
    if is_fifo {
        unique.push_str(".fifo");
        create = create.attributes("FifoTopic", "true");
    }
    let topic = create.name(unique).send().await.expect("a topic is made");
    let proxy = Proxy::before(&server.url()).await;
    let access = server.access_through(name, &proxy.url());
    let topic_arn = topic.topic_arn().expect("it has a name").to_owned();
    (clients, proxy, sns::Options { access, topic_arn })
}

async fn deliver(options: &sns::Options, notice: &Notice) -> Result<(), DeliveryError> {
    let client = http::client(http::CONNECT).expect("a client");
    let channel = Channel {
        name: "topic".to_owned(),
        notifier: Notifier::Sns(options.clone()),
        audiences: BTreeSet::from([Audience::OnCall]),
        deadline: Span::seconds(5),
    };
    channel.deliver(&client, notice).await
}

#[tokio::test]
async fn a_program_that_subscribed_gets_the_envelope_with_what_to_filter_by() {
    let (clients, _proxy, options) = topic("programs").await;
    assert_eq!(sns::Options::problems(&options), [] as [String; 0]);
    let mut receiver = Webhook::start().await;
    let subscribe = clients.sns().subscribe().topic_arn(&options.topic_arn);
    subscribe.protocol("http").endpoint(receiver.url()).send().await.unwrap();
    let asked = receiver.next(WAIT).await.json();
    assert_eq!(asked["Type"], "SubscriptionConfirmation");
    let token = asked["Token"].as_str().unwrap();
    let confirm = clients.sns().confirm_subscription().topic_arn(&options.topic_arn);
    confirm.token(token).send().await.unwrap();
    assert_eq!(deliver(&options, &notice(41, "URGENT – Rollback\nin Progress")).await, Ok(()));
    let told = receiver.next(WAIT).await.json();
    assert_eq!(told["Type"], "Notification");
    assert_eq!(told["Subject"], "URGENT - Rollback in Progress");
    let envelope: Value = serde_json::from_str(told["Message"].as_str().unwrap()).unwrap();
    assert_eq!(
        (&envelope["version"], &envelope["id"]),
        (&1.into(), &"checkout/production#41".into())
    );
    let attribute =
        |name: &str| told["MessageAttributes"][name]["Value"].as_str().map(str::to_owned);
    assert_eq!(attribute("kind").as_deref(), Some("rollback_in_progress"));
    assert_eq!(attribute("service").as_deref(), Some("checkout/production"));
    assert_eq!(attribute("urgency").as_deref(), Some("page"));
    assert_eq!(attribute("severity").as_deref(), Some("P1"));
}

/// An answer that is lost makes the outbox tell it again; a topic with an order takes it once.
#[tokio::test]
async fn a_topic_with_an_order_takes_a_notice_once_that_is_told_twice_and_the_end_after_it() {
    let (clients, proxy, options) = topic("ordered.fifo").await;
    let queue = Queue::subscribed(&clients, &options.topic_arn).await;
    proxy.twist("Publish", 1, Twist::Lost);
    let lost = deliver(&options, &notice(41, "it begins")).await;
    assert!(matches!(lost, Err(DeliveryError::Retry { .. })), "{lost:?}");
    assert_eq!(deliver(&options, &notice(41, "it begins")).await, Ok(()));
    assert_eq!(deliver(&options, &notice(42, "it ends")).await, Ok(()));
    let subjects = [queue.next().await, queue.next().await].map(|told| told["Subject"].clone());
    assert_eq!(subjects, ["it begins", "it ends"]);
    let sent = proxy.asked("Publish");
    assert_eq!(sent.len(), 3);
    assert!(sent[0].text().contains("MessageGroupId=checkout%2Fproduction"), "{}", sent[0].text());
}

#[tokio::test]
async fn what_may_work_later_is_told_again_and_what_cannot_is_refused() {
    let (_clients, proxy, options) = topic("refused").await;
    let told = notice(41, "it begins");
    for (status, code, again) in [
        (400, "Throttling", Some(Some(http::RETRY_AFTER_DEFAULT))),
        (400, "KMSThrottling", Some(Some(http::RETRY_AFTER_DEFAULT))),
        (500, "InternalError", Some(None)),
        (403, "ExpiredToken", Some(None)),
        (403, "AuthorizationError", None),
        (404, "NotFound", None),
        (400, "InvalidParameter", None),
        (400, "KMSDisabled", None),
    ] {
        proxy.twist("Publish", 1, Twist::Refuse { status, code, said: "" });
        let said = match deliver(&options, &told).await {
            Err(DeliveryError::Retry { after, .. }) => Some(after),
            Err(DeliveryError::Refused { .. }) => None,
            Ok(()) => panic!("{code} is no success"),
        };
        assert_eq!(said, again, "{code}");
    }
    let sent = proxy.asked("Publish").len();
    proxy.twist("Publish", 1, Twist::Silent);
    let late = deliver(&options, &told).await;
    assert!(matches!(late, Err(DeliveryError::Retry { .. })), "{late:?}");
    assert_eq!(proxy.asked("Publish").len(), sent + 1, "the outbox tries again, nobody else");
}

/// A queue of SQS that a topic feeds.
struct Queue {
    url: String,
    endpoint: String,
}

impl Queue {
    async fn subscribed(clients: &Clients, topic_arn: &str) -> Self {
        let endpoint = Server::shared().await.url();
        let name = format!("{}.fifo", unique("queue"));
        let form = [
            ("Action", "CreateQueue"),
            ("QueueName", name.as_str()),
            ("Attribute.1.Name", "FifoQueue"),
            ("Attribute.1.Value", "true"),
        ];
        let text = ask(&endpoint, &form).await;
        let url = between(&text, "<QueueUrl>", "</QueueUrl>").expect("a queue is made").to_owned();
        let arn = format!("arn:aws:sqs:eu-central-1:000000000000:{name}");
        let subscribe = clients.sns().subscribe().topic_arn(topic_arn).protocol("sqs");
        subscribe.endpoint(arn).send().await.expect("it can be subscribed");
        Self { url, endpoint }
    }

    /// The next message, as SNS wraps it.
    async fn next(&self) -> Value {
        rig::eventually("a message in the queue", WAIT, async || {
            let form = [("Action", "ReceiveMessage"), ("QueueUrl", self.url.as_str())];
            let text = ask(&self.endpoint, &form).await;
            let body =
                between(&text, "<Body>", "</Body>")?.replace("&quot;", "\"").replace("&amp;", "&");
            let handle = between(&text, "<ReceiptHandle>", "</ReceiptHandle>")?;
            let form = [
                ("Action", "DeleteMessage"),
                ("QueueUrl", self.url.as_str()),
                ("ReceiptHandle", handle),
            ];
            ask(&self.endpoint, &form).await;
            Some(serde_json::from_str(&body).expect("SNS wraps it in JSON"))
        })
        .await
    }
}

async fn ask(endpoint: &str, form: &[(&str, &str)]) -> String {
    // Nobody checks the signature; its region says where the queue is.
    let who = "AWS4-HMAC-SHA256 Credential=test/20261128/eu-central-1/sqs/aws4_request, SignedHeaders=host, Signature=0";
    let request = rig::client().post(endpoint).header("authorization", who).form(form);
    request.send().await.expect("it answers").text().await.expect("in text")
}

fn between<'t>(text: &'t str, before: &str, after: &str) -> Option<&'t str> {
    text.split_once(before)?.1.split_once(after).map(|(inside, _)| inside)
}

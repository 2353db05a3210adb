//! What becomes of a request that AWS does not answer as one would like.

use std::time::{Duration, Instant};

use rollbackd::{
    aws::{Access, Account, Clients, Fault, Kind},
    demo::port::ReservedPort,
    units::Span,
};

use super::{
    proxy::{Proxy, Twist},
    server::{Server, unique},
};

const WHAT: &str = "secretsmanager:CreateSecret";

async fn before_it(name: &str) -> (Proxy, Access) {
    let server = Server::shared().await;
    let proxy = Proxy::before(&server.url()).await;
    let access = server.access_through(name, &proxy.url());
    (proxy, access)
}

async fn create(clients: &Clients, name: &str) -> Result<(), Fault> {
    let answer = clients.secrets().create_secret().name(name).secret_string("one").send().await;
    answer.map(|_| ()).map_err(|fault| clients.fault(WHAT, fault))
}

fn refuse(status: u16, code: &'static str) -> Twist {
    Twist::Refuse { status, code, said: "" }
}

#[tokio::test]
async fn what_changes_something_is_sent_once_and_what_looks_as_often_as_is_said() {
    let (proxy, mut access) = before_it("once").await;
    access.attempts = 2;
    let account = Account::of(&access).unwrap();
    proxy.twist("GetCallerIdentity", 99, refuse(400, "Throttling"));
    let fault = account.to_look().await.identity().await.unwrap_err();
    assert_eq!((fault.kind, proxy.asked("GetCallerIdentity").len()), (Kind::Throttled, 2));
    proxy.twist("CreateSecret", 99, refuse(500, "InternalServiceError"));
    let fault = create(&account.to_act().await, &unique("once")).await.unwrap_err();
    assert_eq!((&fault.kind, proxy.asked("CreateSecret").len()), (&Kind::Broken, 1));
    assert_eq!(fault.request.as_deref(), Some("rig-1"));
}

/// As of a region that there is not: nothing was sent, whatever was asked for.
#[tokio::test]
async fn a_name_that_nobody_resolves_reaches_nobody() {
    let (_proxy, mut access) = before_it("unresolved").await;
    access.endpoint = Some("http://sts.eu-nowhere-1.invalid".to_owned());
    access.attempts = 1;
    let fault = create(&Account::of(&access).unwrap().to_act().await, "none").await.unwrap_err();
    assert_eq!(fault.kind, Kind::Unreachable, "{fault}");
    assert!(fault.advice().contains("the region, the endpoint and the network"), "{fault}");
}

#[tokio::test]
async fn an_answer_that_is_lost_after_the_effect_is_not_taken_for_a_failure() {
    let (proxy, access) = before_it("lost").await;
    let clients = Account::of(&access).unwrap().to_act().await;
    let (lost, cut) = (unique("lost"), unique("cut"));
    proxy.twist("CreateSecret", 1, Twist::Lost);
    let fault = create(&clients, &lost).await.unwrap_err();
    assert!(fault.may_be_done(), "{fault}");
    assert!(
        clients.secrets().describe_secret().secret_id(&lost).send().await.is_ok(),
        "it is there"
    );
    proxy.twist("CreateSecret", 1, Twist::Cut);
    let fault = create(&clients, &cut).await.unwrap_err();
    assert!(fault.may_be_done(), "from here both look alike: {fault}");
    assert!(clients.secrets().describe_secret().secret_id(&cut).send().await.is_err());
}

#[tokio::test]
async fn nobody_is_waited_for_longer_than_is_said() {
    let (proxy, mut access) = before_it("silent").await;
    (access.attempt_timeout, access.operation_timeout) = (Span(300), Span(500));
    let account = Account::of(&access).unwrap();
    proxy.twist("", 99, Twist::Silent);
    let begun = Instant::now();
    let fault = account.to_look().await.identity().await.unwrap_err();
    assert_eq!(fault.kind, Kind::Unanswered, "{fault}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn where_nobody_listens_nothing_can_have_been_done() {
    let port = ReservedPort::reserve().unwrap();
    let nowhere = format!("http://127.0.0.1:{}", port.number);
    let access = Server::shared().await.access_through("nowhere", &nowhere);
    let fault = create(&Account::of(&access).unwrap().to_act().await, "x").await.unwrap_err();
    assert_eq!(fault.kind, Kind::Unreachable, "{fault}");
    assert!(!fault.may_be_done());
}

#[tokio::test]
async fn each_protocols_refusal_is_understood() {
    let (proxy, access) = before_it("refused").await;
    let clients = Account::of(&access).unwrap().to_act().await;
    proxy.twist("", 99, refuse(403, "AccessDenied"));
    let denied = |action: &str| Kind::Denied { right: action.to_owned(), resource: None };
    let fault = create(&clients, "x").await.unwrap_err();
    assert_eq!(fault.kind, denied(WHAT), "json");
    let answer = clients.sns().list_topics().send().await.unwrap_err();
    assert_eq!(clients.fault("sns:ListTopics", answer).kind, denied("sns:ListTopics"), "query");
    let answer = clients.s3().get_object().bucket("b").key("k").send().await.unwrap_err();
    assert_eq!(clients.fault("s3:GetObject", answer).kind, denied("s3:GetObject"), "S3");
    let answer = clients.cloudfront().list_distributions().send().await.unwrap_err();
    let fault = clients.fault("cloudfront:ListDistributions", answer);
    assert_eq!(fault.kind, denied("cloudfront:ListDistributions"), "CloudFront");
    let answer = clients.cloudwatch().list_metrics().send().await.unwrap_err();
    let fault = clients.fault("cloudwatch:ListMetrics", answer);
    assert_eq!(fault.kind, denied("cloudwatch:ListMetrics"), "CBOR");
    let answer = clients.rds().describe_db_snapshots().send().await.unwrap_err();
    let fault = clients.fault("rds:DescribeDBSnapshots", answer);
    assert_eq!(fault.kind, denied("rds:DescribeDBSnapshots"), "RDS");
}

/// What other tests stand on.
#[tokio::test]
async fn what_stands_before_aws_says_what_it_is_told_and_then_hands_on_again() {
    let (proxy, access) = before_it("told").await;
    let account = Account::of(&access).unwrap();
    let who = async || account.to_look().await.identity().await.unwrap().account;
    proxy.twist(
        "GetCallerIdentity",
        1,
        Twist::Rewrite(|said| said.replace("000000000000", "111111111111")),
    );
    assert_eq!(who().await, "111111111111");
    let other = "<GetCallerIdentityResponse><GetCallerIdentityResult><Account>222222222222</Account>\
                 </GetCallerIdentityResult></GetCallerIdentityResponse>";
    proxy.twist("GetCallerIdentity", 99, Twist::Answer(other.into()));
    assert_eq!(who().await, "222222222222");
    proxy.straighten();
    assert_eq!(who().await, "000000000000");
}

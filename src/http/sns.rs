//! POST /v1/sns: CloudWatch's alarms, by way of a topic of SNS that was subscribed to it.
//!
//! Only topics that are configured, and only what SNS signed. A subscription to one of them is confirmed; nothing else is ever
//! fetched on somebody's word.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use axum::{Json, body::Body, extract::State, http::HeaderMap};

use super::{
    Shared,
    alertmanager::{Receipt, take},
    body, posted,
    problem::Problem,
};
use crate::{
    aws::notification::{Kind, Notification},
    config::SnsTopics,
    sources::http::{Client, Options},
    units::{Span, UnixMs},
};

/// SNS has a few certificates, and changes them seldom.
const CERTIFICATES_MAX: usize = 16;
const CERTIFICATE_BYTES_MAX: usize = 64 << 10;

/// Certificates that were fetched, by where they were.
#[derive(Debug, Default)]
pub(super) struct Certificates(Mutex<BTreeMap<String, Vec<u8>>>);

/// POST /v1/sns
pub(super) async fn receive(
    State(shared): State<Shared>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Receipt>, Problem> {
    let settings = shared.settings();
    let bytes = body::read(&headers, body, &settings.limits).await?;
    let message = Notification::parse(&bytes).map_err(Problem::unreadable)?;
    let topic = message.topic_arn.clone();
    if !settings.topics.arns.contains(&topic) {
        return Err(Problem::invalid(format!(
            "the topic {} is not one of [http.sns] topics",
            body::clean(&topic, 300)
        )));
    }
    verified(&shared, &settings.topics, &message).await?;
    match message.kind {
        Kind::Notification => {
            match posted::alarm(&message.message, &settings.mapping, &settings.limits)? {
                Some(sorted) => take(&shared, sorted).await,
                None => {
                    tracing::info!("an alarm of {topic} has too little data: that says nothing");
                    Ok(Json(Receipt::default()))
                }
            }
        }
        Kind::SubscriptionConfirmation => {
            confirm(&settings.topics, &message).await?;
            tracing::info!(
                "the subscription to {topic} is confirmed: its alarms arrive from now on"
            );
            Ok(Json(Receipt::default()))
        }
        Kind::UnsubscribeConfirmation => {
            tracing::warn!("somebody ended the subscription to {topic}: its alarms arrive no more");
            Ok(Json(Receipt::default()))
        }
    }
}

/// Refuses what SNS did not sign.
async fn verified(
    shared: &Shared,
    topics: &SnsTopics,
    message: &Notification,
) -> Result<(), Problem> {
    let url = &message.signing_cert_url;
    let forged = |why: &str| Problem::forged(format!("{why}: this is not from SNS"));
    if !message.is_certificate_of_sns(topics.endpoint.as_deref()) {
        return Err(forged("its certificate is nowhere where SNS keeps them"));
    }
    let now = UnixMs(jiff::Timestamp::now().as_millisecond());
    message.is_timely(now).map_err(|why| forged(&why))?;
    let known = || shared.certificates.0.lock().unwrap_or_else(PoisonError::into_inner);
    let cached = known().get(url).cloned();
    let pem = match cached {
        Some(pem) => pem,
        None => fetched(topics, url).await?,
    };
    message.check(&pem, now).map_err(|why| forged(&why))?;
    // Only one that was of use is kept.
    let mut known = known();
    if known.len() >= CERTIFICATES_MAX && !known.contains_key(url) {
        known.pop_first();
    }
    known.insert(url.clone(), pem);
    Ok(())
}

/// Whoever subscribed us had to name a topic of ours; what is visited is SNS's.
async fn confirm(topics: &SnsTopics, message: &Notification) -> Result<(), Problem> {
    let url = message.subscribe_url.as_deref().unwrap_or_default();
    let is_confirmation = url.contains("Action=ConfirmSubscription");
    if !message.is_of_sns(url, topics.endpoint.as_deref()) || !is_confirmation {
        return Err(Problem::forged(
            "its SubscribeURL does not confirm anything at SNS".to_owned(),
        ));
    }
    fetched(topics, url).await.map(drop)
}

/// SNS tries again what is answered with 503.
async fn fetched(topics: &SnsTopics, url: &str) -> Result<Vec<u8>, Problem> {
    let failed = |why: String| Problem::unavailable(format!("SNS could not be asked: {why}"));
    let options = Options {
        total: Span::seconds(10),
        body_bytes: CERTIFICATE_BYTES_MAX,
        ca_pem: topics.ca_pem.clone(),
        ..Options::default()
    };
    let client = Client::new(options).map_err(|fault| failed(fault.to_string()))?;
    let url = url.parse().map_err(|_| Problem::forged("an address in it is none".to_owned()))?;
    let answer = client.send(client.request(reqwest::Method::GET, url)).await;
    let answer = answer.map_err(|fault| failed(fault.story()))?;
    if answer.status != 200 {
        return Err(failed(format!("status {}", answer.status)));
    }
    Ok(answer.body)
}

//! Publishes one message, and says what became of it.

use super::{Message, Options, message};
use crate::{
    aws::{Fault, Kind},
    domain::notice::Notice,
    notifiers::{DeliveryError, http},
    units::Span,
};

/// Publishes the notice once, within the deadline.
pub(in crate::notifiers) async fn send(
    options: &Options,
    deadline: Span,
    notice: &Notice,
) -> Result<(), DeliveryError> {
    let message = message(options, notice);
    match tokio::time::timeout(deadline.duration(), publish(options, message)).await {
        Ok(published) => published.map_err(failed),
        Err(_) => {
            Err(DeliveryError::Retry { why: "no whole answer in time".to_owned(), after: None })
        }
    }
}

/// Rights that are missing and topics that are not there stay so.
fn failed(fault: Fault) -> DeliveryError {
    let why = fault.to_string();
    let after = (fault.kind == Kind::Throttled).then_some(http::RETRY_AFTER_DEFAULT);
    if fault.is_worth_another_try() {
        DeliveryError::Retry { why, after }
    } else {
        DeliveryError::Refused { why }
    }
}

#[cfg(not(feature = "aws"))]
async fn publish(_: &Options, _: Message) -> Result<(), Fault> {
    Err(Fault::not_built_in("sns:Publish"))
}

#[cfg(feature = "aws")]
async fn publish(options: &Options, message: Message) -> Result<(), Fault> {
    use aws_sdk_sns::types::MessageAttributeValue;

    let clients = crate::aws::Account::of(&options.access)?.to_act().await;
    let mut request = clients
        .sns()
        .publish()
        .topic_arn(&options.topic_arn)
        .subject(message.subject)
        .message(message.body)
        .message_structure("json");
    for (name, value) in message.attributes {
        let value =
            MessageAttributeValue::builder().data_type("String").string_value(value).build();
        let value = value.map_err(|fault| {
            let code = "before it was sent".to_owned();
            Fault::new("sns:Publish", Kind::Refused { code }, &fault.to_string())
        })?;
        request = request.message_attributes(name, value);
    }
    if let Some((group, id)) = message.order {
        request = request.message_group_id(group).message_deduplication_id(id);
    }
    let answer = request.send().await;
    answer.map(drop).map_err(|fault| clients.fault("sns:Publish", fault))
}

/// Whether the topic is there, without telling anybody anything; and under which key of KMS, where it has one.
#[cfg(feature = "aws")]
pub async fn look(options: &Options) -> Result<Option<String>, Fault> {
    let clients = crate::aws::Account::of(&options.access)?.to_look().await;
    let asked = clients.sns().get_topic_attributes().topic_arn(&options.topic_arn).send().await;
    let seen = asked.map_err(|fault| clients.fault("sns:GetTopicAttributes", fault))?;
    let key = seen.attributes().and_then(|all| all.get("KmsMasterKeyId")).cloned();
    Ok(key.filter(|key| !key.is_empty()))
}

/// Whether the topic is there, without telling anybody anything.
#[cfg(not(feature = "aws"))]
pub async fn look(_: &Options) -> Result<Option<String>, Fault> {
    Err(Fault::not_built_in("sns:GetTopicAttributes"))
}

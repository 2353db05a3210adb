//! A topic of SNS: one message in the words of each kind of subscriber, within what SNS takes.
//!
//! Mail and telephones get text, programs (HTTPS, SQS, Lambda) the webhook's envelope. Attributes let subscribers filter. A
//! topic whose name ends in `.fifo` keeps the order within a service, and drops a notice that comes twice within five minutes.

mod sending;

use std::collections::BTreeMap;

use serde::Serialize;
use sha2::{Digest, Sha256};

pub use self::sending::look;
pub(super) use self::sending::send;
use super::{
    text::{cut, lines, one_line},
    webhook::{Bounds, envelope_within},
};
use crate::{
    aws::Access,
    domain::{
        notice::{Audience, Notice, Urgency},
        plan::hex,
    },
};

/// With its attributes; SNS takes 262,144 bytes of them all.
const MESSAGE_BYTES_MAX: usize = 256_000;
/// SNS takes fewer than 100.
const SUBJECT_MAX: usize = 99;
/// Two parts of a text message or so: the rest is read elsewhere.
const SMS_MAX: usize = 280;
const TEXT_MAX: usize = 16_000;
/// Of a group or what tells one message from another.
const ID_MAX: usize = 128;

/// One topic, and as whom it is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The account, in the topic's region.
    pub access: Access,
    /// Which topic.
    pub topic_arn: String,
}

impl Options {
    /// Everything that would make each delivery fail.
    pub fn problems(&self) -> Vec<String> {
        let parts: Vec<&str> = self.topic_arn.splitn(6, ':').collect();
        let ["arn", partition, "sns", region, account, name] = parts[..] else {
            return vec![format!("`{}` is not the ARN of a topic", self.topic_arn)];
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if !partition.starts_with("aws")
            || account.len() != 12
            || name.is_empty()
            || !name.chars().all(is_name)
        {
            return vec![format!("`{}` is not the ARN of a topic", self.topic_arn)];
        }
        if region != self.access.region {
            return vec![format!("the topic is in {region}, and {} is not", self.access.place())];
        }
        vec![]
    }

    fn is_fifo(&self) -> bool {
        self.topic_arn.ends_with(".fifo")
    }
}

/// What is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// For mail alone.
    pub subject: String,
    /// The words for each protocol, as JSON.
    pub body: String,
    /// By what subscribers filter.
    pub attributes: BTreeMap<&'static str, String>,
    /// Group and deduplication id, where the topic keeps an order.
    pub order: Option<(String, String)>,
}

/// As `MessageStructure` `json` has it.
#[derive(Serialize)]
struct Words<'w> {
    default: &'w str,
    email: &'w str,
    sms: &'w str,
    http: &'w str,
    https: &'w str,
    sqs: &'w str,
    lambda: &'w str,
}

/// The message for a notice.
pub fn message(options: &Options, notice: &Notice) -> Message {
    let attributes = attributes(notice);
    let beside: usize =
        attributes.iter().map(|(name, value)| name.len() + value.len() + "String".len()).sum();
    let mut body = String::new();
    for bounds in Bounds::NARROWING {
        body = words(notice, &bounds);
        if body.len() + beside <= MESSAGE_BYTES_MAX {
            break;
        }
    }
    let group = notice.service.as_ref().map_or_else(|| "rollbackd".to_owned(), ToString::to_string);
    let order = options.is_fifo().then(|| (id(&group), id(&notice.id)));
    Message { subject: subject(&notice.subject), body, attributes, order }
}

fn words(notice: &Notice, bounds: &Bounds) -> String {
    let text = cut(&lines(&notice.plain()), TEXT_MAX.min(bounds.text));
    let envelope = serde_json::to_string(&envelope_within(notice, bounds)).unwrap_or_default();
    let first = notice.fields.first().map(|(name, value)| format!(". {name}: {value}"));
    let said = format!("{}{}", notice.subject, first.unwrap_or_default());
    let sms = cut(&one_line(&said), SMS_MAX);
    let program = envelope.as_str();
    let words = Words {
        default: &text,
        email: &text,
        sms: &sms,
        http: program,
        https: program,
        sqs: program,
        lambda: program,
    };
    serde_json::to_string(&words).unwrap_or_default()
}

/// SNS refuses a message whose subject has anything but printable ASCII, or begins with a space.
fn subject(text: &str) -> String {
    let plain: String = one_line(text)
        .replace('…', "...")
        .replace(['–', '—'], "-")
        .chars()
        .map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' })
        .collect();
    let plain = plain.trim();
    match plain.len() {
        0 => "rollbackd".to_owned(),
        length if length > SUBJECT_MAX => format!("{}...", plain[..SUBJECT_MAX - 3].trim_end()),
        _ => plain.to_owned(),
    }
}

fn attributes(notice: &Notice) -> BTreeMap<&'static str, String> {
    let word = |value: serde_json::Value| value.as_str().map(str::to_owned);
    let kind = serde_json::to_value(notice.kind).ok().and_then(word);
    let audience = match notice.audience {
        Audience::OnCall => "on_call",
        Audience::Stakeholders => "stakeholders",
    };
    let urgency = match notice.urgency {
        Urgency::Page => "page",
        Urgency::Info => "info",
    };
    let said = [
        ("id", Some(id(&notice.id))),
        ("kind", kind),
        ("audience", Some(audience.to_owned())),
        ("urgency", Some(urgency.to_owned())),
        ("severity", notice.severity.map(|it| it.to_string())),
        ("service", notice.service.as_ref().map(ToString::to_string)),
        ("incident", notice.incident.as_deref().map(|it| cut(&one_line(it), ID_MAX))),
    ];
    let said = said.into_iter().filter_map(|(name, value)| Some((name, value?)));
    said.filter(|(_, value)| !value.is_empty()).collect()
}

/// What tells messages apart is unique whatever it is: where SNS would not take it, its hash is.
fn id(text: &str) -> String {
    let is_taken =
        text.len() <= ID_MAX && !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
    if is_taken { text.to_owned() } else { hex(&Sha256::digest(text)) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::notifiers::tests as samples;

    fn at(topic_arn: &str) -> Options {
        Options { access: Access::new("main", "eu-central-1"), topic_arn: topic_arn.to_owned() }
    }

    const TOPIC: &str = "arn:aws:sns:eu-central-1:123456789012:ops";
    const FIFO: &str = "arn:aws:sns:eu-central-1:123456789012:ops.fifo";

    #[test]
    fn each_kind_of_subscriber_gets_its_own_words() {
        let message = message(&at(TOPIC), &samples::in_progress());
        assert_eq!(message.subject, "URGENT - Rollback in Progress - production");
        assert_eq!(message.order, None);
        let words: BTreeMap<String, String> = serde_json::from_str(&message.body).unwrap();
        assert!(
            words["default"].starts_with("URGENT - Rollback in Progress - production\n- Issue: ")
        );
        assert_eq!(words["default"], words["email"]);
        assert!(words["sms"].len() < 300 && !words["sms"].contains('\n'), "{}", words["sms"]);
        for program in ["http", "https", "sqs", "lambda"] {
            let envelope: serde_json::Value = serde_json::from_str(&words[program]).unwrap();
            assert_eq!(envelope["id"], "checkout/production#41");
            assert_eq!(envelope["version"], 1);
        }
        let said: Vec<String> =
            message.attributes.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            said.join(" "),
            "audience=on_call id=checkout/production#41 incident=inc-7 kind=rollback_in_progress service=checkout/production severity=P0 urgency=page"
        );
    }

    /// With the group's name as its id, the end of an incident within five minutes was dropped without a word.
    #[test]
    fn a_topic_with_an_order_keeps_it_within_a_service_and_takes_each_notice_once() {
        let options = at(FIFO);
        let (begun, over) =
            (message(&options, &samples::in_progress()), message(&options, &samples::complete()));
        let (one, other) = (begun.order.unwrap(), over.order.unwrap());
        assert_eq!(
            (one.0.as_str(), other.0.as_str()),
            ("checkout/production", "checkout/production")
        );
        assert_eq!(
            (one.1.as_str(), other.1.as_str()),
            ("checkout/production#41", "checkout/production#58")
        );
        let mut of_all = samples::complete();
        (of_all.service, of_all.id) = (None, "ä".repeat(90));
        let (group, id) = message(&options, &of_all).order.unwrap();
        assert_eq!((group.as_str(), id.len()), ("rollbackd", 64));
    }

    #[test]
    fn a_subject_is_one_short_line_of_plain_letters() {
        assert_eq!(subject("a\nb\u{1b}[2J – c… ü"), "a b [2J - c... ?");
        assert_eq!(subject(" \n"), "rollbackd");
        let long = subject(&"word ".repeat(50));
        assert!(long.len() < 100 && long.ends_with("..."), "{long}");
    }

    #[test]
    fn a_topic_is_known_by_its_form_and_its_region() {
        assert_eq!(at(TOPIC).problems(), [] as [String; 0]);
        let elsewhere = at("arn:aws:sns:us-east-1:123456789012:ops").problems();
        assert!(
            elsewhere[0].contains("us-east-1") && elsewhere[0].contains("aws main"),
            "{elsewhere:?}"
        );
        for odd in [
            "ops",
            "arn:aws:sqs:eu-central-1:123456789012:ops",
            "arn:aws:sns:eu-central-1:1:ops",
            &format!("{TOPIC}:sub"),
        ] {
            assert!(at(odd).problems()[0].contains("not the ARN"), "{odd}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]
        #[test]
        fn any_notice_fits(notice in samples::any_notice()) {
            let message = message(&at(FIFO), &notice);
            let beside: usize = message.attributes.iter().map(|(name, value)| name.len() + value.len() + 6).sum();
            prop_assert!(message.body.len() + beside <= 262_144);
            prop_assert!(!message.subject.is_empty() && message.subject.len() < 100);
            prop_assert!(message.subject.bytes().all(|b| (b' '..=b'~').contains(&b)));
            let (group, id) = message.order.unwrap();
            for id in [group, id] {
                prop_assert!(!id.is_empty() && id.len() <= 128 && id.bytes().all(|b| b.is_ascii_graphic()));
            }
            let words: BTreeMap<String, String> = serde_json::from_str(&message.body).unwrap();
            prop_assert!(words.contains_key("default"));
        }
    }
}

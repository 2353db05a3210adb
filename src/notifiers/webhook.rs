//! A generic JSON POST, for every receiver that we do not know by name.
//!
//! The body is [`Envelope`]. Any 2xx means received; its body is not read. Headers that a receiver can rely on:
//! `Idempotency-Key` (the notice's id: the same notice may come twice), `X-Rollbackd-Timestamp` (seconds since
//! 1970) and, when there is a signing key, `X-Rollbackd-Signature: v1=HEX`, the HMAC-SHA256 of
//! `TIMESTAMP.BODY`. A receiver should refuse timestamps more than five minutes away from its own clock.

use hmac::{Hmac, KeyInit, Mac};
use reqwest::{
    Client, RequestBuilder,
    header::{CONTENT_TYPE, HeaderName, HeaderValue},
};
use serde::Serialize;
use sha2::Sha256;

use super::{
    DeliveryError, http,
    text::{cut, lines, one_line},
};
use crate::{
    domain::{
        notice::{Audience, Choice, Kind, Notice, Urgency},
        severity::Severity,
    },
    units::{Secret, Span, UnixMs},
};

/// How to reach one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where to POST; often a credential itself.
    pub url: Secret,
    /// How to log in, if the endpoint asks for it.
    pub auth: Option<Auth>,
    /// Further headers, such as an API key.
    pub headers: Vec<(String, Secret)>,
    /// The key that the receiver checks our signature with.
    pub signing_key: Option<Secret>,
}

/// How to log in at the endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// `Authorization: Bearer …`.
    Bearer(Secret),
    /// `Authorization: Basic …`.
    Basic {
        /// The user's name.
        user: String,
        /// The user's password.
        password: Secret,
    },
}

/// The documented body, version 1. Fields may be added; none changes its meaning or goes away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Envelope {
    /// Always 1.
    pub version: u8,
    /// The notice's id; also the `Idempotency-Key`.
    pub id: String,
    /// `checkout/production`; null when the daemon itself or the whole fleet is meant.
    pub service: Option<String>,
    /// The incident that the notice belongs to.
    pub incident: Option<String>,
    /// `P0` to `P3` of that incident when this was told; absent where it belongs to none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// `on_call` or `stakeholders`.
    pub audience: Audience,
    /// `page` (a person must acknowledge it) or `info`.
    pub urgency: Urgency,
    /// What it is about: `incident`, `rollback_in_progress`, `rollback_complete`, …
    pub kind: Kind,
    /// One line.
    pub subject: String,
    /// Named facts, in the order to show them.
    pub fields: Vec<Field>,
    /// Sentences below them.
    pub lines: Vec<String>,
    /// What a person can do, with the command to type.
    pub choices: Vec<Choice>,
    /// All of the above as plain text, for receivers that only show a message.
    pub text: String,
    /// When it was decided to tell, in RFC 3339.
    pub at: UnixMs,
}

/// One named fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Field {
    /// `Issue`, `Impact`, …
    pub name: String,
    /// Its value in words.
    pub value: String,
}

/// How much of a notice is told: a body is bounded whatever a log line or an annotation brought in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) string: usize,
    pub(super) text: usize,
    pub(super) list: usize,
}

impl Bounds {
    const GENEROUS: Self = Self { string: 4000, text: 16_000, list: 50 };
    /// For receivers that take less: the first that fits. The last always does.
    pub(super) const NARROWING: [Self; 4] = [
        Self::GENEROUS,
        Self { string: 1000, text: 8000, list: 30 },
        Self { string: 300, text: 2000, list: 15 },
        Self { string: 100, text: 500, list: 5 },
    ];
}

impl Options {
    /// An endpoint without login, further headers or signature.
    pub const fn new(url: Secret) -> Self {
        Self { url, auth: None, headers: vec![], signing_key: None }
    }

    /// Everything that would make each delivery fail.
    pub fn problems(&self) -> Vec<String> {
        let bearer = match &self.auth {
            Some(Auth::Bearer(token)) => vec![("Authorization".to_owned(), token.clone())],
            Some(Auth::Basic { .. }) | None => vec![],
        };
        let url = http::url(&self.url).err();
        let headers = http::header_problems(&self.headers);
        url.into_iter().chain(headers).chain(http::header_problems(&bearer)).collect()
    }
}

/// The body for a notice. Strings are cut with an ellipsis; a command that is too long is left out.
pub fn envelope(notice: &Notice) -> Envelope {
    envelope_within(notice, &Bounds::GENEROUS)
}

/// The same with no more than so much of everything.
pub(super) fn envelope_within(notice: &Notice, bounds: &Bounds) -> Envelope {
    let short = |text: &str| cut(text, bounds.string);
    let fits = |choice: &&Choice| {
        choice.command.len() <= bounds.string && choice.label.len() <= bounds.string
    };
    Envelope {
        version: 1,
        id: notice.id.clone(),
        service: notice.service.as_ref().map(ToString::to_string),
        incident: notice.incident.as_deref().map(short),
        severity: notice.severity,
        audience: notice.audience,
        urgency: notice.urgency,
        kind: notice.kind,
        subject: short(&one_line(&notice.subject)),
        fields: notice
            .fields
            .iter()
            .take(bounds.list)
            .map(|(name, value)| Field { name: short(name), value: short(value) })
            .collect(),
        lines: notice.lines.iter().take(bounds.list).map(|line| short(line)).collect(),
        choices: notice.choices.iter().filter(fits).take(bounds.list).cloned().collect(),
        text: cut(&lines(&notice.plain()), bounds.text),
        at: notice.at,
    }
}

/// The signature over `TIMESTAMP.BODY`, as the header has it.
pub fn signature(key: &Secret, timestamp_s: i64, body: &[u8]) -> String {
    // HMAC takes keys of every length; the type of the error is a relic of other MACs.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.expose().as_bytes()) else {
        unreachable!("HMAC takes keys of every length")
    };
    mac.update(format!("{timestamp_s}.").as_bytes());
    mac.update(body);
    let hex: String =
        mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("v1={hex}")
}

/// Sends the envelope once.
pub(super) async fn send(
    client: &Client,
    options: &Options,
    deadline: Span,
    notice: &Notice,
) -> Result<(), DeliveryError> {
    let url = http::url(&options.url).map_err(DeliveryError::refused)?;
    let body = serde_json::to_vec(&envelope(notice))
        .map_err(|fault| DeliveryError::refused(format!("it cannot be written: {fault}")))?;
    let now_s = jiff::Timestamp::now().as_second();
    let request = with_headers(client.post(url), options, notice, now_s, &body)?;
    http::tell(request.body(body), deadline).await
}

/// Ours come last: no configured header replaces them.
fn with_headers(
    mut request: RequestBuilder,
    options: &Options,
    notice: &Notice,
    now_s: i64,
    body: &[u8],
) -> Result<RequestBuilder, DeliveryError> {
    if let Some(problem) = http::header_problems(&options.headers).first() {
        return Err(DeliveryError::refused(problem));
    }
    let mut headers = reqwest::header::HeaderMap::new();
    for (name, value) in &options.headers {
        if let (Ok(name), Ok(mut value)) =
            (HeaderName::try_from(name.as_str()), HeaderValue::from_str(value.expose()))
        {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("x-rollbackd-timestamp", HeaderValue::from(now_s));
    if let Ok(key) = HeaderValue::from_str(&notice.id) {
        headers.insert("idempotency-key", key);
    }
    if let Some(key) = &options.signing_key
        && let Ok(value) = HeaderValue::from_str(&signature(key, now_s, body))
    {
        headers.insert("x-rollbackd-signature", value);
    }
    // Before the login, which adds to them.
    request = request.headers(headers);
    Ok(match &options.auth {
        Some(Auth::Bearer(token)) => request.bearer_auth(token.expose()),
        Some(Auth::Basic { user, password }) => request.basic_auth(user, Some(password.expose())),
        None => request,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::notifiers::tests as samples;

    fn pretty(notice: &Notice) -> String {
        serde_json::to_string_pretty(&envelope(notice)).expect("JSON")
    }

    #[test]
    fn the_rollback_in_progress_notice_as_json() {
        insta::assert_snapshot!(pretty(&samples::in_progress()), @r#"
        {
          "version": 1,
          "id": "checkout/production#41",
          "service": "checkout/production",
          "incident": "inc-7",
          "severity": "P0",
          "audience": "on_call",
          "urgency": "page",
          "kind": "rollback_in_progress",
          "subject": "URGENT - Rollback in Progress - production",
          "fields": [
            {
              "name": "Issue",
              "value": "critical-errors: 12.4% of 1,204 requests failed for 5m, limit > 5%"
            },
            {
              "name": "Impact",
              "value": "1 in 8 requests to checkout fails"
            },
            {
              "name": "Action",
              "value": "Rolling back to version v1"
            },
            {
              "name": "ETA",
              "value": "7 to 15 min"
            }
          ],
          "lines": [
            "P0: 12.4% > 5% & rising since v2 went out at 21:34:02",
            "All 14 guards passed"
          ],
          "choices": [
            {
              "label": "acknowledge",
              "command": "rollbackd ack inc-7"
            },
            {
              "label": "hold",
              "command": "rollbackd hold checkout/production"
            }
          ],
          "text": "URGENT - Rollback in Progress - production\n- Issue: critical-errors: 12.4% of 1,204 requests failed for 5m, limit > 5%\n- Impact: 1 in 8 requests to checkout fails\n- Action: Rolling back to version v1\n- ETA: 7 to 15 min\nP0: 12.4% > 5% & rising since v2 went out at 21:34:02\nAll 14 guards passed\nacknowledge: rollbackd ack inc-7\nhold: rollbackd hold checkout/production",
          "at": "2026-11-22T21:40:52.123Z"
        }
        "#);
    }

    #[test]
    fn the_rollback_complete_notice_as_json() {
        insta::assert_snapshot!(pretty(&samples::complete()), @r#"
        {
          "version": 1,
          "id": "checkout/production#58",
          "service": "checkout/production",
          "incident": "inc-7",
          "severity": "P0",
          "audience": "stakeholders",
          "urgency": "info",
          "kind": "rollback_complete",
          "subject": "Rollback Complete - production",
          "fields": [
            {
              "name": "Rollback status",
              "value": "Success"
            },
            {
              "name": "Current version",
              "value": "v1"
            },
            {
              "name": "System status",
              "value": "Operational"
            },
            {
              "name": "Root cause analysis",
              "value": "In progress"
            }
          ],
          "lines": [],
          "choices": [],
          "text": "Rollback Complete - production\n- Rollback status: Success\n- Current version: v1\n- System status: Operational\n- Root cause analysis: In progress",
          "at": "2026-11-22T21:50:52.000Z"
        }
        "#);
    }

    #[test]
    fn the_signature_is_what_openssl_makes_of_it() {
        // printf '%s' '1795383652.{"a":1}' | openssl dgst -sha256 -hmac signing-key
        assert_eq!(
            signature(&Secret::new("signing-key"), 1_795_383_652, br#"{"a":1}"#),
            "v1=759a2f7f21c29ba8dcf4117f681b3c010d87598add562c1804d8775f9be3b8fd"
        );
    }

    #[test]
    fn problems_name_the_header_but_not_its_value() {
        let mut options = Options::new(Secret::new("https://ops.example/hook"));
        options.auth = Some(Auth::Bearer(Secret::new("hunter2\n")));
        options.headers = vec![
            ("X Key".to_owned(), Secret::new("hunter2")),
            ("Content-Length".to_owned(), Secret::new("7")),
        ];
        assert_eq!(
            options.problems(),
            [
                "`X Key` cannot name a header",
                "the header `Content-Length` belongs to the connection",
                "the value of the header `Authorization` has characters no header may"
            ]
        );
        assert!(!format!("{options:?}").contains("hunter2"));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]
        #[test]
        fn any_notice_makes_a_bounded_body(notice in samples::any_notice()) {
            let body = serde_json::to_vec(&envelope(&notice)).expect("JSON");
            prop_assert!(body.len() < 4_000_000);
            let read: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
            prop_assert_eq!(&read["version"], 1);
            prop_assert_eq!(&read["id"], &notice.id);
        }
    }
}

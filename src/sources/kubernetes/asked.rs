//! What a watch does not tell of a Deployment and the API server has to be asked for, poll by poll: the end of its pods'
//! logs,
//! and what they use.
//!
//! Only what is really read counts: a log that nobody could read is unknown, neither clean nor bad.

mod events;
mod logs;
mod usage;

use std::{fmt, time::Duration};

use http_body_util::{BodyExt, Limited};
use hyper::Request;
use kube::{Client, client::Body, core::Status};
use tokio::time::timeout;

pub(super) use self::events::Events;
pub use self::{
    events::{About, NoEvents},
    logs::{Lines, Logs},
    usage::{Of, Resource, Usage},
};
use super::{objects::Key, watched::Watched};
use crate::{causes::chain, kubernetes::access};

/// For one request.
pub(super) const REQUEST: Duration = Duration::from_secs(5);
/// So much of what is told of a failure.
const TEXT_MAX: usize = 300;

/// What one poll gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The value, where it is known.
    pub value: Option<f64>,
    /// Why it is not, or what stands behind it, for people.
    pub note: Option<String>,
}

impl Answer {
    fn unknown(why: String) -> Self {
        Self { value: None, note: Some(why) }
    }
}

/// What is asked about a Deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// What the last lines of its pods' logs say.
    Lines(Lines),
    /// What its pods use.
    Usage(Usage),
}

/// Somebody who asks about one Deployment.
#[derive(Clone)]
pub struct Asking {
    /// Where it is known which pods are its.
    pub watched: Watched,
    /// Which one.
    pub key: Key,
    /// What.
    pub question: Question,
    /// Kept from poll to poll, until it fails.
    client: Option<Client>,
}

impl fmt::Debug for Asking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asking").field("key", &self.key).finish_non_exhaustive()
    }
}

impl Asking {
    /// Nothing is asked yet.
    pub fn new(watched: Watched, key: Key, question: Question) -> Self {
        Self { watched, key, question, client: None }
    }

    /// Asks once.
    pub async fn poll(&mut self) -> Answer {
        let pods = match self.watched.pods_of(&self.key) {
            Ok(pods) => pods,
            Err(why) => return Answer::unknown(why),
        };
        let client = match self.client.take() {
            Some(client) => client,
            None => match self.client().await {
                Ok(client) => client,
                Err(why) => return Answer::unknown(why),
            },
        };
        let answer = match &self.question {
            Question::Lines(lines) => logs::look(&client, &self.key, &pods, lines).await,
            Question::Usage(usage) => usage::look(&client, &self.key, &pods, *usage).await,
        };
        // Whatever proves who the daemon is, is read anew after a failure.
        self.client = answer.value.is_some().then_some(client);
        answer
    }

    async fn client(&self) -> Result<Client, String> {
        let built = access::client(self.watched.options(), REQUEST, Client::try_from);
        let built = timeout(REQUEST, built).await;
        let built = built.unwrap_or_else(|_| Err("its credential did not come in time".to_owned()));
        let place = self.watched.options().place();
        built.map_err(|why| format!("{place} cannot be reached: {why}"))
    }
}

/// Why there is no text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoText {
    /// The API server says so.
    Refused { code: u16, why: String },
    /// Nobody answered.
    Silent(String),
}

impl fmt::Display for NoText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { code: 403, why } => {
                write!(f, "the daemon is not permitted to read it: {why}")
            }
            Self::Refused { why, .. } | Self::Silent(why) => f.write_str(why),
        }
    }
}

/// Reads a text of at most so many bytes.
pub(super) async fn text(client: &Client, uri: &str, max_bytes: usize) -> Result<Vec<u8>, NoText> {
    let silent = |fault: &dyn std::error::Error| NoText::Silent(shortened(&chain(fault)));
    let answer = async {
        let request = Request::get(uri).body(Body::empty()).map_err(|fault| silent(&fault))?;
        let (head, body) = client.send(request).await.map_err(|fault| silent(&fault))?.into_parts();
        let body = Limited::new(body, max_bytes).collect().await;
        let body = body.map_err(|fault| silent(&*fault))?.to_bytes();
        if head.status.is_success() {
            return Ok(body.to_vec());
        }
        let said = serde_json::from_slice::<Status>(&body).map(|status| status.message);
        let why = said.unwrap_or_else(|_| String::from_utf8_lossy(&body).into_owned());
        Err(NoText::Refused { code: head.status.as_u16(), why: shortened(&why) })
    };
    let silent = || NoText::Silent(format!("no answer within {} s", REQUEST.as_secs()));
    timeout(REQUEST, answer).await.unwrap_or_else(|_| Err(silent()))
}

fn shortened(text: &str) -> String {
    text.trim()[..text.trim().floor_char_boundary(TEXT_MAX)].replace(['\n', '\r'], " ")
}

//! Channels that carry notices to people: pure renderers, thin senders.
//!
//! A delivery is one attempt. Nothing here retries, waits for its turn or keeps anything: the outbox does,
//! by [`DeliveryError`] and [`pace::Pace`]. No error and no `Debug` text shows a URL, which is a credential.

pub mod heartbeat;
pub mod http;
pub mod log;
pub mod pace;
pub mod slack;
pub mod sns;
#[cfg(test)]
mod tests;
mod text;
pub mod webhook;

use std::collections::BTreeSet;

use crate::{
    domain::notice::{Audience, Notice},
    units::Span,
};

/// What kind of channel it is, with what that kind needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notifier {
    /// The daemon's own log.
    Log,
    /// A Slack incoming webhook.
    Slack(slack::Options),
    /// Any HTTP endpoint that takes our JSON envelope.
    Webhook(webhook::Options),
    /// A topic of SNS.
    Sns(sns::Options),
}

impl Notifier {
    /// How fast the channel may be sent to; `None` where there is no limit.
    pub fn rate(&self) -> Option<pace::Rate> {
        match self {
            Self::Log => None,
            Self::Slack(_) => Some(pace::Rate::SLACK),
            Self::Webhook(_) | Self::Sns(_) => Some(pace::Rate::WEBHOOK),
        }
    }

    /// Everything that would make each delivery fail, in words for whoever wrote the configuration.
    pub fn problems(&self) -> Vec<String> {
        match self {
            Self::Log => vec![],
            Self::Slack(options) => options.problems(),
            Self::Webhook(options) => options.problems(),
            Self::Sns(options) => options.problems(),
        }
    }
}

/// A named way to reach some audiences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// As configured; shown in logs, metrics and the report.
    pub name: String,
    /// How it is reached.
    pub notifier: Notifier,
    /// Whom it reaches.
    pub audiences: BTreeSet<Audience>,
    /// How long one delivery may take in all; [`http::TOTAL`] by default.
    pub deadline: Span,
}

impl Channel {
    /// Whether the notice is meant for somebody whom this channel reaches.
    pub fn takes(&self, notice: &Notice) -> bool {
        self.audiences.contains(&notice.audience)
    }

    /// Tries once to deliver the notice, within the channel's deadline.
    ///
    /// A failure may have been delivered all the same (the answer was lost): receivers see the notice's id.
    /// `client` comes from [`http::client`], so that it follows no redirect and connects in time.
    pub async fn deliver(
        &self,
        client: &reqwest::Client,
        notice: &Notice,
    ) -> Result<(), DeliveryError> {
        match &self.notifier {
            Notifier::Log => {
                log::write(&self.name, notice);
                Ok(())
            }
            Notifier::Slack(options) => slack::send(client, options, self.deadline, notice).await,
            Notifier::Webhook(options) => {
                webhook::send(client, options, self.deadline, notice).await
            }
            Notifier::Sns(options) => sns::send(options, self.deadline, notice).await,
        }
    }
}

/// Why a notice was not delivered, by what can be done about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// The network, a 429 or a 5xx: the outbox tries again.
    #[error("not delivered yet: {why}")]
    Retry {
        /// In words, without the URL.
        why: String,
        /// When the receiver asked for silence: the whole channel stays closed for so long.
        after: Option<Span>,
    },
    /// Trying again cannot help; the escalation goes on, and the other channels tell of it.
    #[error("not delivered: {why}")]
    Refused {
        /// In words, without the URL.
        why: String,
    },
}

impl DeliveryError {
    fn refused(why: impl Into<String>) -> Self {
        Self::Refused { why: why.into() }
    }
}

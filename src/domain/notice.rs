//! What people are told, with no provider in sight. Notifiers render this; they add nothing to it.

use serde::{Deserialize, Serialize};

use super::{service::ServiceId, severity::Severity};
use crate::units::UnixMs;

/// Who a notice is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    /// Those who can act: everything, with numbers and choices.
    OnCall,
    /// Those who must know: what, impact, action, when it is over.
    Stakeholders,
}

/// What a notice asks of its reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Urgency {
    /// A person must acknowledge it.
    Page,
    /// To be read.
    Info,
}

/// What a notice is about; each kind is rendered by one function of the domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An incident opened, joined, or rose.
    Incident,
    /// A rollback began: the runbook's "in progress".
    RollbackInProgress,
    /// A rollback was verified: the runbook's "complete".
    RollbackComplete,
    /// A person is asked to decide.
    Ask,
    /// The daemon will not act by itself, and why.
    Refused,
    /// A rollback halted, failed to verify, or is late.
    Trouble,
    /// A page repeated because nobody acknowledged it.
    Reminder,
    /// An incident closed.
    Closed,
    /// A source, a channel or the daemon itself is not well.
    Health,
    /// The root cause analysis is due.
    Followup,
}

/// Something a person can do now, and the command that does it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// `approve`, `acknowledge`, …
    pub label: String,
    /// What to type: `rollbackd approve checkout/production 3f9a…`.
    pub command: String,
}

/// One thing to tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Unique in the journal; also the idempotency key towards channels that take one.
    pub id: String,
    /// The service; absent when the daemon itself or the whole fleet is meant.
    pub service: Option<ServiceId>,
    /// The incident; orders notices and threads them.
    pub incident: Option<String>,
    /// How bad the incident is at the time; absent where it belongs to none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// Who is told.
    pub audience: Audience,
    /// Whether it must be acknowledged.
    pub urgency: Urgency,
    /// What it is about.
    pub kind: Kind,
    /// One line, under 100 characters.
    pub subject: String,
    /// Named facts, in the order to show them: `("Issue", "critical-errors: 12.4% of 1,204 requests …")`.
    pub fields: Vec<(String, String)>,
    /// Sentences below the fields: reasons, guards, numbers.
    pub lines: Vec<String>,
    /// What a person can do.
    pub choices: Vec<Choice>,
    /// When it was decided to tell.
    pub at: UnixMs,
}

impl Notice {
    /// The whole notice as plain text: the log's and the generic fallback's rendering.
    pub fn plain(&self) -> String {
        let mut text = self.subject.clone();
        for (name, value) in &self.fields {
            text.push_str(&format!("\n- {name}: {value}"));
        }
        for line in &self.lines {
            text.push_str(&format!("\n{line}"));
        }
        for choice in &self.choices {
            text.push_str(&format!("\n{}: {}", choice.label, choice.command));
        }
        text
    }
}

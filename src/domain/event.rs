//! What happened outside, as the shell gathered it. An event decides nothing; it is the cause of facts.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    change::Change, integrity, inventory::Inventory, rds, run::Report, schema, service::ServiceId,
    severity::Severity, watch::Raw,
};
use crate::units::{Span, UnixMs};

/// The two times of a turn.
///
/// `wall` is what people and sources call the time. `steady` never steps: deadlines run on it. It continues across
/// restarts from the journal's last reading, so that a clock step neither extends nor skips a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Now {
    /// Wall-clock time.
    pub wall: UnixMs,
    /// Monotonic time on the journal's own scale.
    pub steady: UnixMs,
}

/// An alert as Alertmanager sent it, mapped to a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// Alertmanager's fingerprint of the labels.
    pub fingerprint: String,
    /// When it fired, after its own `for`.
    pub starts_at: UnixMs,
    /// Whether it is firing.
    pub firing: bool,
    /// Its name.
    pub name: String,
    /// The trigger it stands for, from the label `rollbackd_trigger`; without one it only pages.
    pub trigger: Option<String>,
    /// The severity it pages with when it stands for no trigger.
    pub severity: Severity,
    /// Its summary or description, bounded.
    pub summary: String,
    /// Its labels, bounded.
    pub labels: BTreeMap<String, String>,
}

impl Alert {
    /// With this the fingerprint of an alarm of CloudWatch begins: its end does not say when it began, and Alertmanager, asked,
    /// does not know it.
    pub const CLOUDWATCH: &str = "cloudwatch:";

    /// Whether an alert of this fingerprint is an alarm of CloudWatch.
    pub fn is_of_cloudwatch(fingerprint: &str) -> bool {
        fingerprint.starts_with(Self::CLOUDWATCH)
    }

    /// Who says so, for people.
    pub fn teller(&self) -> &'static str {
        if Self::is_of_cloudwatch(&self.fingerprint) { "CloudWatch" } else { "Alertmanager" }
    }

    /// The identity of one firing of one alert.
    pub fn key(&self) -> String {
        format!("{}@{}", self.fingerprint, self.starts_at.0)
    }
}

/// What a person, or a tool in a person's name, says about a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "said")]
pub enum Said {
    /// "I have seen it": stops the pages, decides nothing.
    Acknowledge,
    /// "Do exactly this plan."
    Approve {
        /// The plan's hash.
        plan: String,
    },
    /// "Do not roll back."
    Reject {
        /// Why.
        reason: String,
    },
    /// "This is not an incident", or "I have dealt with it".
    Dismiss {
        /// Why.
        reason: String,
    },
    /// "Do nothing by yourself to this service."
    Hold {
        /// Why.
        reason: String,
    },
    /// Lifts the hold.
    Unhold,
    /// "Roll back now", to a version or to the last known good.
    RollBack {
        /// To which version; the last known good when absent.
        to: Option<String>,
        /// To the one that its platform says was before.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        to_previous: bool,
        /// By exactly this plan, by its hash; whichever it is when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        plan: Option<String>,
        /// Why.
        reason: String,
    },
    /// Lifts the quarantine of a version.
    Lift {
        /// Which version.
        version: String,
    },
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum What {
    /// A signal was read, successfully or not.
    Polled {
        /// Whose.
        service: ServiceId,
        /// Which signal.
        signal: String,
        /// What was read, series by series.
        readings: Vec<Raw>,
        /// Why the source could not be read, when it could not.
        fault: Option<String>,
    },
    /// What a signal was while nobody looked, told by a source that remembers; it decides nothing by itself.
    Backfilled {
        /// Whose.
        service: ServiceId,
        /// Which signal.
        signal: String,
        /// When it would have been read, ascending, and what would have been read.
        polls: Vec<(UnixMs, Vec<Raw>)>,
    },
    /// A platform was looked at.
    Seen {
        /// Whose.
        service: ServiceId,
        /// What was seen.
        inventory: Inventory,
    },
    /// A database's history of migrations was looked at.
    SchemaSeen {
        /// Whose.
        service: ServiceId,
        /// What was seen.
        seen: schema::Seen,
    },
    /// It was looked at which copies of a database there are.
    SnapshotsSeen {
        /// Whose.
        service: ServiceId,
        /// What there is; or why nobody can tell.
        seen: Result<schema::snapshot::Snapshots, String>,
    },
    /// It was looked at which snapshots RDS has of a database.
    RdsSeen {
        /// Whose.
        service: ServiceId,
        /// What there is; or why nobody can tell.
        seen: Result<Box<rds::Seen>, String>,
    },
    /// It was looked at which scripts there are that take its schema back.
    ScriptsSeen {
        /// Whose.
        service: ServiceId,
        /// What there is; or why nobody can tell.
        seen: Result<Vec<schema::script::Script>, String>,
    },
    /// Somebody had one of them tried.
    ScriptTried {
        /// Whose.
        service: ServiceId,
        /// What came of it.
        trial: Box<schema::script::Trial>,
    },
    /// A check of a database's data was asked.
    IntegritySeen {
        /// Whose.
        service: ServiceId,
        /// Its name.
        check: String,
        /// What the database answered.
        answer: integrity::Answer,
        /// How long that took.
        took: Span,
    },
    /// A pipeline or a person told of a change.
    ChangePosted {
        /// Whose.
        service: ServiceId,
        /// What.
        change: Change,
    },
    /// Alertmanager told of an alert.
    Alerted {
        /// Whose.
        service: ServiceId,
        /// What.
        alert: Alert,
    },
    /// Alertmanager was asked which alerts are active.
    AlertsActive {
        /// Whose alerts.
        service: ServiceId,
        /// Fingerprints of those that are.
        fingerprints: BTreeSet<String>,
        /// Fingerprints of those that fire and are silenced or inhibited: they are not over, and confirm nothing.
        #[serde(default)]
        suppressed: BTreeSet<String>,
    },
    /// Somebody with the right to it told of data corruption, a breach of security, a failed migration.
    EvidencePosted {
        /// Whose.
        service: ServiceId,
        /// The trigger it stands for.
        trigger: String,
        /// The sender's name.
        by: String,
        /// What was found.
        note: String,
        /// Whether data is half changed; raises a migration failure to P0.
        partial: bool,
    },
    /// An executor finished an attempt.
    StepReported {
        /// Whose.
        service: ServiceId,
        /// Which run.
        run: String,
        /// Which step.
        step: usize,
        /// Which attempt.
        attempt: u32,
        /// Whether it was the fallback.
        fallback: bool,
        /// What the executor saw.
        report: Report,
    },
    /// An attempt that runs says how far it is.
    StepGoesOn {
        /// Whose.
        service: ServiceId,
        /// Which run.
        run: String,
        /// Which step.
        step: usize,
        /// Which attempt.
        attempt: u32,
        /// How far it is, in its own words; empty where it does not say.
        said: String,
    },
    /// A person spoke.
    Spoke {
        /// About which service.
        service: ServiceId,
        /// Who.
        by: String,
        /// What.
        said: Said,
    },
    /// A notice does not arrive on a channel.
    Undelivered {
        /// The service it was about.
        service: Option<ServiceId>,
        /// The notice's subject.
        subject: String,
        /// On which channel.
        channel: String,
        /// Why.
        why: String,
        /// Whether it is tried again.
        again: bool,
    },
    /// The kill switch changed: the reason in it, or none.
    KillSwitch {
        /// The first line of the `HOLD` file.
        reason: Option<String>,
    },
    /// The wall clock was set while the daemon ran: what it said would have gone on as `from`, and is `to`.
    ClockSet {
        /// What it would say had it not been set.
        from: UnixMs,
        /// What it says.
        to: UnixMs,
    },
    /// The operator decided something else; the policy is swapped already.
    Configured {
        /// What differs, a sentence each.
        changes: Vec<String>,
    },
    /// A query that finds services answered otherwise than before; what follows from it is followed already.
    Discovered {
        /// Its name in the configuration.
        of: String,
        /// Who came and who went, a sentence each.
        changes: Vec<String>,
        /// What is odd about the answer, a sentence each; `None` where that is as it was.
        odd: Option<Vec<String>>,
    },
    /// Another configuration was offered and could not be taken; the one before goes on.
    ConfigRefused {
        /// What is wrong with it, a sentence each.
        why: Vec<String>,
    },
    /// The daemon started, or took over; every service is looked at again.
    Started,
    /// Time passed for the services that are due.
    Tick,
}

/// What happened, with its identity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Stands as the cause in every fact that follows from it.
    pub id: String,
    /// What happened.
    pub what: What,
}

impl What {
    /// The service that it is about, if one.
    pub fn service(&self) -> Option<&ServiceId> {
        match self {
            Self::Polled { service, .. }
            | Self::Backfilled { service, .. }
            | Self::Seen { service, .. }
            | Self::SchemaSeen { service, .. }
            | Self::SnapshotsSeen { service, .. }
            | Self::RdsSeen { service, .. }
            | Self::ScriptsSeen { service, .. }
            | Self::ScriptTried { service, .. }
            | Self::IntegritySeen { service, .. }
            | Self::ChangePosted { service, .. }
            | Self::Alerted { service, .. }
            | Self::AlertsActive { service, .. }
            | Self::EvidencePosted { service, .. }
            | Self::StepReported { service, .. }
            | Self::StepGoesOn { service, .. }
            | Self::Spoke { service, .. } => Some(service),
            Self::Undelivered { service, .. } => service.as_ref(),
            Self::KillSwitch { .. }
            | Self::ClockSet { .. }
            | Self::Configured { .. }
            | Self::ConfigRefused { .. }
            | Self::Discovered { .. }
            | Self::Started
            | Self::Tick => None,
        }
    }
}

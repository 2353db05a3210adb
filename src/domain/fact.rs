//! A fact: what we decided, as the journal keeps it. Each machine owns its facts; this only wraps them.

use serde::{Deserialize, Serialize};

use super::{
    change::Change, firing, incident, ledger, maintenance, notice::Notice, owner::SetAgain, run,
    service::ServiceId,
};
use crate::units::UnixMs;

/// The version of the facts' shape that this daemon writes. Older ones stay readable.
pub const VERSION: u32 = 1;

/// What is now true of a service as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "service")]
pub enum Service {
    /// A change became known, or more of it did.
    Changed(Change),
    /// A person said no to everything automatic.
    Held {
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// The hold is lifted.
    Unheld {
        /// Who.
        by: String,
    },
    /// A page that belongs to no incident was seen.
    Acknowledged {
        /// Who.
        by: String,
    },
    /// What was rolled away from is set again.
    SetAgain(SetAgain),
    /// A page that belongs to no incident is due again.
    Reminded,
    /// The root cause analysis of a closed incident is due.
    FollowedUp {
        /// Which incident.
        incident: String,
    },
}

/// What is now true of the fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "fleet")]
pub enum Fleet {
    /// The kill switch was set or lifted.
    KillSwitch {
        /// The reason in the `HOLD` file; absent when lifted.
        reason: Option<String>,
    },
    /// A notice does not arrive on a channel.
    Undelivered {
        /// Its subject.
        subject: String,
        /// On which channel.
        channel: String,
        /// Why.
        why: String,
        /// Whether it is tried again.
        #[serde(default)]
        again: bool,
    },
    /// The wall clock was set: what was noted by it is a moment of the new one from here on.
    ClockSet {
        /// What it would have said.
        from: UnixMs,
        /// What it says.
        to: UnixMs,
    },
    /// The operator decided something else.
    Configured {
        /// What differs, a sentence each.
        changes: Vec<String>,
    },
    /// A query that finds services answered otherwise than before.
    Discovered {
        /// Its name in the configuration.
        of: String,
        /// Who came and who went, a sentence each.
        changes: Vec<String>,
        /// What is odd about the answer, a sentence each; `None` where that is as it was.
        odd: Option<Vec<String>>,
    },
    /// Another configuration could not be taken.
    ConfigRefused {
        /// What is wrong with it, a sentence each.
        why: Vec<String>,
    },
    /// Nobody asks for these any more. What is true of them stays for a while.
    Left {
        /// Who.
        services: Vec<ServiceId>,
    },
    /// They left so long ago that nothing of them is kept.
    Forgotten {
        /// Who.
        services: Vec<ServiceId>,
    },
    /// The daemon began to act under this epoch.
    Started {
        /// The lease's number.
        epoch: u64,
        /// The daemon's version.
        version: String,
    },
}

/// What we decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "about", content = "fact")]
pub enum Fact {
    /// A service as a whole.
    Service(Service),
    /// Its revisions.
    Ledger(ledger::Fact),
    /// Its triggers.
    Trigger(firing::Fact),
    /// Its incident.
    Incident(incident::Fact),
    /// Its incident's run.
    Run(run::Fact),
    /// What a run switched on, and is to be off again.
    Maintenance(maintenance::Fact),
    /// All services.
    Fleet(Fleet),
    /// People are told.
    Told(Box<Notice>),
}

impl Fact {
    /// A short name for the journal's `kind` column and for metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Service(_) => "service",
            Self::Ledger(_) => "ledger",
            Self::Trigger(_) => "trigger",
            Self::Incident(_) => "incident",
            Self::Run(_) => "run",
            Self::Maintenance(_) => "maintenance",
            Self::Fleet(_) => "fleet",
            Self::Told(_) => "told",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        change::{Component, Revision},
        run,
    };

    #[test]
    fn a_fact_is_called_by_what_it_is_about() {
        let (component, revision) = (Component::Application, Revision::named("v1"));
        let known_good =
            Fact::Ledger(ledger::Fact::KnownGood { component, revision, images: vec![] });
        assert_eq!(known_good.kind(), "ledger");
        assert_eq!(Fact::Run(run::Fact::Finished).kind(), "run");
    }
}

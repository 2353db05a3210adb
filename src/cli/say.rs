//! What a person says about a service: `ack`, `approve`, `reject`, `dismiss`, `hold`, `unhold`, `rollback`, `lift`.

use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use super::{Client, Fault, Out, Reach};
use crate::http::views::Replied;

/// Which service, and in whose name.
#[derive(Debug, Args)]
pub(crate) struct About {
    /// Which service: checkout, or checkout/production.
    service: String,
    /// In whose name, where a credential is shared.
    #[arg(long = "as", value_name = "NAME", env = "ROLLBACKD_AS")]
    person: Option<String>,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Say {
    /// I have seen it: stops the pages, decides nothing.
    Ack {
        #[command(flatten)]
        about: About,
    },
    /// Do exactly this plan.
    Approve {
        #[command(flatten)]
        about: About,
        /// The plan's hash, as `rollbackd plan` and the page show it.
        plan: String,
    },
    /// Do not roll back.
    Reject {
        #[command(flatten)]
        about: About,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// This is not an incident, or it is dealt with.
    Dismiss {
        #[command(flatten)]
        about: About,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Do nothing by yourself to this service.
    Hold {
        #[command(flatten)]
        about: About,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Lifts the hold.
    Unhold {
        #[command(flatten)]
        about: About,
    },
    /// Roll back now.
    Rollback {
        #[command(flatten)]
        about: About,
        /// To which version; to the last known good without.
        #[arg(long, value_name = "VERSION")]
        to: Option<String>,
        /// To the one that its Deployment's annotation `previous-version` names.
        #[arg(long, conflicts_with = "to")]
        to_previous_version: bool,
        /// By exactly this plan, or not at all; must be said where it runs a script.
        #[arg(long, value_name = "HASH")]
        plan: Option<String>,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// A version that was rolled away from may serve again.
    Lift {
        #[command(flatten)]
        about: About,
        /// Which version.
        version: String,
    },
}

impl Say {
    pub(super) async fn run(self, out: &Out) -> Result<(), Fault> {
        let (verb, about, mut words) = self.words();
        if let Some(person) = about.person {
            words.insert("as".to_owned(), Value::String(person));
        }
        let client = Client::new(&about.reach)?;
        let path = format!("{}/{verb}", client.service(&about.service).await?);
        let replied: Replied = client.post(&path, &words).await?;
        if about.reach.json { out.json(&replied) } else { out.text(&replied.said) }
    }

    fn words(self) -> (&'static str, About, Map<String, Value>) {
        let with = |pairs: Vec<(&str, Option<String>)>| -> Map<String, Value> {
            let said = pairs.into_iter().filter_map(|(name, value)| Some((name, value?)));
            said.map(|(name, value)| (name.to_owned(), Value::String(value))).collect()
        };
        match self {
            Self::Ack { about } => ("ack", about, with(vec![])),
            Self::Approve { about, plan } => ("approve", about, with(vec![("plan", Some(plan))])),
            Self::Reject { about, reason } => {
                ("reject", about, with(vec![("reason", Some(reason))]))
            }
            Self::Dismiss { about, reason } => {
                ("dismiss", about, with(vec![("reason", Some(reason))]))
            }
            Self::Hold { about, reason } => ("hold", about, with(vec![("reason", Some(reason))])),
            Self::Unhold { about } => ("unhold", about, with(vec![])),
            Self::Rollback { about, to, to_previous_version, plan, reason } => {
                let mut words = with(vec![("to", to), ("plan", plan), ("reason", Some(reason))]);
                if to_previous_version {
                    words.insert("to_previous_version".to_owned(), Value::Bool(true));
                }
                ("rollback", about, words)
            }
            Self::Lift { about, version } => {
                ("lift", about, with(vec![("version", Some(version))]))
            }
        }
    }
}

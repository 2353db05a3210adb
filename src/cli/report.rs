//! `rollbackd report INCIDENT`

use clap::Args;
use serde_json::json;

use super::{Client, Fault, Out, Reach, client::segment};

/// The report of an incident.
#[derive(Debug, Args)]
pub(crate) struct Report {
    /// Which incident; `rollbackd incidents` lists them.
    incident: String,
    #[command(flatten)]
    reach: Reach,
}

impl Report {
    pub(super) async fn run(self, out: &Out) -> Result<(), Fault> {
        let client = Client::new(&self.reach)?;
        let path = format!("/v1/incidents/{}/report", segment(&self.incident));
        let markdown = client.text(&path).await?;
        if self.reach.json {
            return out.json(&json!({"incident": self.incident, "markdown": markdown}));
        }
        out.text(&markdown)
    }
}

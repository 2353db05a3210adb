//! `rollbackd dry-run SERVICE`

use std::time::Duration;

use clap::Args;
use serde_json::{Map, Value};

use super::{Client, Fault, Out, Reach, paint::Paint, plan};
use crate::http::views::TrialAnswer;

/// As long as a script may take to be tried.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Run the script that takes a service's schema back, in a transaction that is taken back, and show what it would change.
///
/// What the script locks is locked for as long as it runs. Nobody approves a script that was not tried.
#[derive(Debug, Args)]
pub(crate) struct DryRun {
    /// Which service: checkout, or checkout/production.
    service: String,
    /// Of a rollback to which version; to the last known good without.
    #[arg(long, value_name = "VERSION")]
    to: Option<String>,
    #[command(flatten)]
    reach: Reach,
}

impl DryRun {
    pub(super) async fn run(self, out: &Out) -> Result<(), Fault> {
        let client = Client::patient(&self.reach, PATIENCE)?;
        let path = format!("{}/dry-run", client.service(&self.service).await?);
        let to = self.to.clone().map(|to| ("to".to_owned(), Value::String(to)));
        let words: Map<String, Value> = to.into_iter().collect();
        let answer: TrialAnswer = client.post(&path, &words).await?;
        if self.reach.json {
            out.json(&answer)?;
        } else {
            let wanted = self.to.as_ref().map_or_else(String::new, |to| format!(" --to {to}"));
            out.text(&text(&answer, &wanted, out.paint))?;
        }
        match &answer.trial.came {
            Ok(_) => Ok(()),
            Err(why) => Err(Fault::Other(format!("the script cannot be run: {why}"))),
        }
    }
}

/// What came of it, and the plan that can be approved now.
pub(super) fn text(answer: &TrialAnswer, wanted: &str, paint: Paint) -> String {
    let trial = &answer.trial;
    let script = &trial.of;
    let mut text = format!(
        "{} (sha256 {})\n  from {} to {}, without {}; tried for {}, and taken back\n",
        paint.bold(&script.file),
        script.sha256,
        script.from,
        script.to,
        script.undone.join(", "),
        trial.took.to_read()
    );
    match &trial.came {
        Ok(changes) => {
            for line in changes.in_words().iter().chain(&changes.rows).chain(&changes.checks) {
                text.push_str(&format!("  {line}\n"));
            }
        }
        Err(why) => text.push_str(&format!("  {} {why}\n", paint.warn("it cannot be run:"))),
    }
    text.push('\n');
    match (&answer.plan, &answer.no_plan) {
        (Some(answer), _) => text += &plan::text(answer, wanted, paint),
        (None, Some(why)) => text.push_str(&format!("there is no plan: {why}\n")),
        (None, None) => {}
    }
    text
}

//! `rollbackd check FILE`: every problem of a configuration at once.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{client::Fault, out::Out, outlook::Outlook};
use crate::{
    config::{self, Level, Problem},
    units::UnixMs,
};

/// Checks a configuration; ends with 64 when it cannot be used.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// The configuration.
    file: PathBuf,
    /// Ask each Prometheus whether it understands its queries.
    #[arg(long)]
    online: bool,
    /// Say in words what will happen when.
    #[arg(long)]
    explain: bool,
    /// Print the problems as JSON.
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(super) async fn run(self, out: &Out) -> Result<(), Fault> {
        let (mut problems, config) = match config::load(&self.file) {
            Ok((config, warnings)) => (warnings, Some(config)),
            Err(problems) => (problems, None),
        };
        let text = std::fs::read_to_string(&self.file).unwrap_or_default();
        let name = self.file.display().to_string();
        if let Some(config) = &config {
            problems.extend(config::check_lists(config, &name, &text));
        }
        if let (true, Some(config)) = (self.online, &config) {
            crate::tls::install();
            problems.extend(config::check_online(config, &name, &text).await);
        }
        let errors = problems.iter().filter(|p| p.level == Level::Error).count();
        let now = UnixMs(jiff::Timestamp::now().as_millisecond());
        let usable = config.as_ref().filter(|_| self.explain && errors == 0);
        let outlook = usable.map(|config| Outlook::of(config, now));
        if self.json {
            let mut answer =
                json!({ "file": self.file, "usable": errors == 0, "problems": problems });
            if let Some(outlook) = outlook {
                answer["outlook"] = json!(outlook);
            }
            out.json(&answer)?;
        } else {
            if !problems.is_empty() {
                out.text(&listed(&problems))?;
            }
            if let Some(outlook) = outlook {
                out.text(&format!("{}\n", outlook.text(out.paint)))?;
            }
            if let (0, Some(config)) = (errors, &config) {
                out.text(&format!(
                    "{} is usable: {} services, {} signals, {} channels",
                    self.file.display(),
                    config.policy.services.len(),
                    config.polls.len(),
                    config.channels.len()
                ))?;
            }
        }
        if errors == 0 {
            return Ok(());
        }
        let plural = if errors == 1 { "problem" } else { "problems" };
        Err(Fault::Usage(format!("{}: {errors} {plural}", self.file.display())))
    }
}

/// All problems, one after the other.
pub(super) fn listed(problems: &[Problem]) -> String {
    let each: Vec<String> = problems.iter().map(ToString::to_string).collect();
    each.join("\n")
}

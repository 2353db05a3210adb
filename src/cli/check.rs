//! `rollbackd check FILE`: every problem of a configuration at once.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::{
    client::Fault,
    out::Out,
    outlook::{Outlook, costs::costs},
};
use crate::{
    config::{self, Config, Discovery, Finding, Level, Preflight, Problem},
    units::UnixMs,
};

/// Checks a configuration; ends with 64 when it cannot be used, and with 1 when a rollback would not find what it needs.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// The configuration.
    file: PathBuf,
    /// Ask each Prometheus whether it understands its queries, and look whether each rollback would find what it needs.
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
        let (mut finds, mut accounts) = (None, vec![]);
        let mut preflights = vec![];
        if let (true, Some(config)) = (self.online, &config) {
            crate::tls::install();
            let online = config::check_online(config, &name, &text).await;
            problems.extend(online.problems);
            (finds, accounts) = (Some(online.finds), online.accounts);
            preflights = config::preflight(config, &online.histories).await;
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
            if let Some(finds) = finds {
                answer["finds"] = json!(finds);
                answer["preflight"] = json!(preflights);
                answer["accounts"] = json!(accounts);
            }
            out.json(&answer)?;
        } else {
            if !problems.is_empty() {
                out.text(&listed(&problems))?;
            }
            if let Some(outlook) = outlook {
                out.text(&format!("{}\n", outlook.text(out.paint)))?;
            }
            let found = finds.iter().flatten().flat_map(config::Finds::says);
            for line in found.chain(accounts) {
                out.text(&line)?;
            }
            for line in preflights.iter().flat_map(Preflight::says) {
                out.text(&line)?;
            }
            if let (0, Some(config)) = (errors, &config) {
                // An explanation has said it already.
                for line in costs(config).into_iter().filter(|_| !self.explain) {
                    out.text(&line)?;
                }
                out.text(&format!("{} is usable: {}", self.file.display(), amounts(config)))?;
            }
        }
        ended(&self.file, &problems, &preflights)
    }
}

/// How it ends, for whoever looks at nothing else.
fn ended(file: &Path, problems: &[Problem], preflights: &[Preflight]) -> Result<(), Fault> {
    let errors: Vec<&Problem> = problems.iter().filter(|it| it.level == Level::Error).collect();
    if !errors.is_empty() {
        let plural = if errors.len() == 1 { "problem" } else { "problems" };
        let what = format!("{}: {} {plural}", file.display(), errors.len());
        // Whoever starts the daemon by this must not give up because a server is not as it should be now.
        let is_of_the_file = errors.iter().any(|it| !it.is_outside);
        return Err(if is_of_the_file { Fault::Usage(what) } else { Fault::Other(what) });
    }
    let barred: Vec<String> =
        preflights.iter().filter(|it| it.bars()).map(|it| it.service.to_string()).collect();
    match barred.as_slice() {
        [] => Ok(()),
        barred => Err(Fault::Other(format!(
            "a rollback would not find what it needs: {}",
            barred.join(", ")
        ))),
    }
}

/// How much there is in it, and who else would be watched.
fn amounts(config: &Config) -> String {
    let count =
        |many: usize, what: &str| format!("{many} {what}{}", if many == 1 { "" } else { "s" });
    let mut text = [
        count(config.policy.services.len(), "service"),
        count(config.polls.len(), "signal"),
        count(config.channels.len(), "channel"),
    ]
    .join(", ");
    for discovery in &config.discoveries {
        let Discovery { name, template, finding, options, .. } = discovery;
        let most = options.services_max;
        let how = match finding {
            Finding::Query { server, query, label } => {
                format!("by label `{label}` of `{query}` of prometheus {server}")
            }
            Finding::Annotation { options, annotation } => {
                format!("the Deployments with {annotation}: \"true\" in {}", options.place())
            }
        };
        let signals = config.each_found.get(name).map_or(0, |each| each.polls.len());
        let signals = count(signals, "signal");
        text += &format!(
            "\nand the services found by discover.{name}, at most {most}: {how}, each with the {signals} of template {template}"
        );
    }
    text
}

/// All problems, one after the other.
pub(super) fn listed(problems: &[Problem]) -> String {
    let each: Vec<String> = problems.iter().map(ToString::to_string).collect();
    each.join("\n")
}

//! `rollbackd plan SERVICE`

use clap::Args;

use super::{Client, Fault, Out, Reach, client::segment, paint::Paint};
use crate::{
    domain::plan::{Action, Step},
    http::views::{PlanAnswer, PlanView},
};

/// What a rollback of a service would do.
#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// Which service: checkout, or checkout/production.
    service: String,
    /// To which version; to the last known good without.
    #[arg(long, value_name = "VERSION")]
    to: Option<String>,
    /// To the one that its Deployment's annotation `previous-version` names.
    #[arg(long, conflicts_with = "to")]
    to_previous_version: bool,
    #[command(flatten)]
    reach: Reach,
}

impl Plan {
    pub(super) async fn run(self, out: &Out) -> Result<(), Fault> {
        let client = Client::new(&self.reach)?;
        let mut path = format!("{}/plan", client.service(&self.service).await?);
        if let Some(to) = &self.to {
            path.push_str(&format!("?to={}", segment(to)));
        }
        if self.to_previous_version {
            path.push_str("?to_previous_version=true");
        }
        let answer: PlanAnswer = client.get(&path).await?;
        if self.reach.json {
            return out.json(&answer);
        }
        out.text(&text(&answer, &self.wanted(), out.paint))
    }

    /// As `rollbackd rollback` takes it.
    fn wanted(&self) -> String {
        match &self.to {
            _ if self.to_previous_version => " --to-previous-version".to_owned(),
            Some(to) => format!(" --to {to}"),
            None => String::new(),
        }
    }
}

/// The plan, and the commands that would be taken now; where there is none, why.
pub(super) fn text(answer: &PlanAnswer, wanted: &str, paint: Paint) -> String {
    let mut text = steps(&answer.view, paint);
    for owner in &answer.owners {
        text.push_str(&format!("  {} {owner}\n", paint.warn("owner")));
    }
    for image in &answer.images {
        text.push_str(&format!("  {} {image}\n", paint.dim("image")));
    }
    text.push('\n');
    let (service, hash) = (&answer.view.plan.service, &answer.view.hash);
    if answer.no_approval.is_none() {
        text.push_str(&format!("approve it: rollbackd approve {service} {hash}\n"));
    }
    let runs_a_script = |step: &Step| matches!(step.action, Action::ReverseScript { .. });
    let named = match answer.view.plan.steps.iter().any(runs_a_script) {
        true => format!(" --plan {hash}"),
        false => String::new(),
    };
    match &answer.no_rollback {
        None => {
            text.push_str(&format!(
                "run it now: rollbackd rollback {service}{wanted}{named} --reason '…'\n"
            ));
        }
        Some(why) => text.push_str(&format!("it cannot be run now: {why}\n")),
    }
    text
}

fn listed(what: &str, lines: &[String], paint: Paint) -> String {
    let line = |line: &String| format!("     {}\n", paint.dim(&format!("{what}: {line}")));
    lines.iter().map(line).collect()
}

/// A plan, step by step.
pub(super) fn steps(view: &PlanView, paint: Paint) -> String {
    let plan = &view.plan;
    let mut text =
        format!("  plan {}: {}, about {}\n", paint.bold(&view.hash), view.summary, plan.estimate);
    if !plan.scope.is_empty() {
        text.push_str(&format!("  {}\n", plan.scope));
    }
    for (index, step) in plan.steps.iter().enumerate() {
        text.push_str(&format!("  {}. {}\n", index + 1, step.title));
        let tries = if step.attempts == 1 { "once" } else { "tried again if it fails" };
        text.push_str(&paint.dim(&format!("     at most {}, {tries}", step.timeout)));
        text.push('\n');
        if let Action::ReverseScript { head, changes, .. } = &step.action {
            text.push_str(&listed("it begins", head, paint));
            text.push_str(&listed("it changes", changes, paint));
        }
        for need in &step.needs {
            text.push_str(&paint.dim(&format!("     needs {need}")));
            text.push('\n');
        }
        if let Some(fallback) = &step.fallback {
            text.push_str(&format!("     or else: {}\n", fallback.title));
        }
    }
    let resources: Vec<&str> = plan.resources.iter().map(String::as_str).collect();
    text.push_str(&format!("  locks {}\n", resources.join(", ")));
    text
}

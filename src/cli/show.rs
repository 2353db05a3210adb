//! `rollbackd show INCIDENT`

use clap::Args;

use super::{
    Client, Fault, Out, Reach,
    client::segment,
    paint::{Paint, columns},
    plan,
};
use crate::{
    domain::verification::Standing,
    http::views::{ClockView, IncidentView},
};

/// One incident.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// Which incident; `rollbackd incidents` lists them.
    incident: String,
    #[command(flatten)]
    reach: Reach,
}

impl Show {
    pub(super) async fn run(self, out: &Out) -> Result<(), Fault> {
        let client = Client::new(&self.reach)?;
        let path = format!("/v1/incidents/{}", segment(&self.incident));
        let view: IncidentView = client.get(&path).await?;
        if self.reach.json { out.json(&view) } else { out.text(&text(&view, out.paint)) }
    }
}

/// Everything about it but the report.
pub(super) fn text(view: &IncidentView, paint: Paint) -> String {
    let line = &view.line;
    let because = line.because.as_ref().map_or_else(String::new, |why| format!(": {why}"));
    let mut text = format!(
        "{}  {}  {}  {}{because}\n",
        paint.bold(&line.id),
        line.service,
        paint.severity(line.severity),
        line.phase
    );
    let seen = match (&view.acknowledged_by, line.unacknowledged) {
        (Some(by), _) => format!("acknowledged by {by}"),
        (None, true) => paint.warn("nobody has acknowledged"),
        (None, false) if view.pages > 0 => {
            format!("paged {} times, over before anybody acknowledged", view.pages)
        }
        (None, false) => "nobody was paged".to_owned(),
    };
    let rows = vec![
        vec!["  onset".to_owned(), view.onset.to_string()],
        vec!["  fired".to_owned(), line.fired.to_string()],
        vec!["  action".to_owned(), clock(view.acted, paint)],
        vec!["  verified".to_owned(), clock(view.verified, paint)],
        vec!["  people".to_owned(), seen],
    ];
    text.push_str(&columns(&rows));
    if let Some(decision) = &view.decision {
        text.push_str(&format!("\n{} {}\n", paint.bold("Decided:"), decision.verdict));
        for because in &decision.because {
            text.push_str(&format!("  {because}\n"));
        }
        let refused = decision.guards.iter().filter_map(|v| Some((v.guard, v.refusal()?)));
        for (guard, why) in refused {
            text.push_str(&format!("  {} {guard}: {why}\n", paint.bad("refuses")));
        }
    }
    if let Some(plan) = view.plan.as_ref().or(view.offered.as_ref()) {
        let heading = if view.plan.is_some() { "Plan" } else { "Offered" };
        text.push_str(&format!("\n{}\n{}", paint.bold(heading), plan::steps(plan, paint)));
    }
    if let Some(runs) = &view.runs {
        text.push_str(&format!("  {} {runs}\n", paint.bold("now:")));
    }
    if !view.checks.is_empty() {
        text.push_str(&format!("\n{}\n", paint.bold("Verification")));
    }
    for check in &view.checks {
        let mark = match check.standing {
            Standing::Passed => paint.good("ok"),
            Standing::Failed => paint.bad("failed"),
            Standing::Thin => paint.dim("thin"),
            Standing::Unknown => paint.warn("unknown"),
        };
        text.push_str(&format!("  {mark} {}: {}\n", check.name, check.note));
    }
    text.push_str(&format!("\n{}\n", paint.bold("Timeline")));
    for entry in &view.timeline {
        text.push_str(&format!("  {} {}\n", paint.dim(&entry.at.clock()), entry.what));
    }
    text
}

fn clock(clock: ClockView, paint: Paint) -> String {
    let late = if clock.late { format!(" {}", paint.bad("late")) } else { String::new() };
    match (clock.done, clock.by) {
        (Some(done), Some(by)) => format!("{done} (by {}){late}", by.clock()),
        (Some(done), None) => format!("{done}{late}"),
        (None, Some(by)) => format!("not yet, by {}{late}", by.clock()),
        (None, None) => "-".to_owned(),
    }
}

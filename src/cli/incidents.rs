//! `rollbackd incidents`

use clap::Args;

use super::{
    Client, Fault, Out, Reach,
    paint::{Paint, columns},
};
use crate::http::views::IncidentLine;

/// The open incidents, and the recent ones.
#[derive(Debug, Args)]
pub(crate) struct Incidents {
    #[command(flatten)]
    reach: Reach,
}

impl Incidents {
    pub(super) async fn run(self, out: &Out) -> Result<(), Fault> {
        let client = Client::new(&self.reach)?;
        let all: Vec<IncidentLine> = client.get("/v1/incidents").await?;
        if self.reach.json { out.json(&all) } else { out.text(&text(&all, out.paint)) }
    }
}

/// One line for each.
pub(super) fn text(all: &[IncidentLine], paint: Paint) -> String {
    if all.is_empty() {
        return "no incident is open, and none is remembered\n".to_owned();
    }
    let head = ["INCIDENT", "SERVICE", "", "FIRED", "STATE", "TRIGGERS"];
    let mut rows = vec![head.map(|name| paint.dim(name)).to_vec()];
    rows.extend(all.iter().map(|line| {
        let state = match &line.because {
            Some(why) => format!("{}: {why}", line.phase),
            None => line.phase.clone(),
        };
        let state = if line.closed.is_some() { paint.dim(&state) } else { state };
        vec![
            paint.bold(&line.id),
            line.service.to_string(),
            paint.severity(line.severity),
            line.fired.to_string(),
            state,
            line.triggers.join(", "),
        ]
    }));
    columns(&rows)
}

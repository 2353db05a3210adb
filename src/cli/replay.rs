//! `rollbackd replay`: what would have been done, from recorded history, before anybody gives it the keys.

mod inputs;

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::{check::listed, client::Fault, out::Out};
use crate::{
    config,
    domain::policy::{Policy, ServicePolicy},
    replay::{self, Labelled, Replayed, Tape},
};

/// By these the series of a labelled file are judged where no configuration is named: the runbook's defaults.
const DEFAULTS: &str = r#"
state_dir = "/nonexistent"
[prometheus.main]
url = "http://127.0.0.1:9090"
[service.series.signal.error_rate.prometheus]
bad = 'http_requests_total{code=~"5.."}'
total = 'http_requests_total'
[service.series.signal.latency.prometheus]
value = 'p95_seconds'
requests = 'requests'
[service.series.rollback.application.release]
root = "/srv/series"
restart = { unit = "series.service" }
running = { unit = "series.service" }
[notify.log]
audiences = ["on_call"]
"#;

/// Replays recorded history through the same rules that decide live, and says what would have been done.
#[derive(Debug, Args)]
pub(super) struct Replay {
    /// The configuration to judge by; without one, the runbook's defaults.
    config: Option<PathBuf>,
    #[command(flatten)]
    inputs: inputs::Inputs,
    /// Labelled series, a JSON object a line.
    #[arg(long, value_name = "FILE", required_unless_present_any = ["since", "csv", "openmetrics"], conflicts_with_all = ["since", "csv", "openmetrics", "changes", "journal"])]
    labelled: Option<PathBuf>,
    /// Series without a fault, likewise.
    #[arg(long, value_name = "FILE", requires = "labelled")]
    healthy: Option<PathBuf>,
    /// Which service of the configuration judges labelled series; the first one when not given.
    #[arg(long, value_name = "SERVICE", requires = "labelled")]
    like: Option<String>,
    /// Say how well the labelled series were judged.
    #[arg(long, requires = "labelled")]
    score: bool,
    /// Another configuration: what it would make different.
    #[arg(long, value_name = "CONFIG", conflicts_with = "score")]
    against: Option<PathBuf>,
    /// Write a page with a chart of each incident, too.
    #[arg(long, value_name = "FILE", conflicts_with = "score")]
    html: Option<PathBuf>,
    /// Print everything as JSON.
    #[arg(long)]
    json: bool,
}

impl Replay {
    pub(super) async fn run(self, out: &Out) -> Result<(), Fault> {
        let Some(labelled) = &self.labelled else { return self.recorded(out).await };
        let policy = policy(self.config.as_deref())?;
        let like = like(&policy, self.like.as_deref())?;
        let labelled = read(labelled)?;
        let healthy = self.healthy.as_deref().map(read).transpose()?.unwrap_or_default();
        if self.score {
            let judged = |series: &Labelled| at_step(&like, series);
            let all = labelled.iter().chain(&healthy).map(|series| (&series.tape, &like));
            replay::uncompared(all).iter().for_each(|said| out.aside(said));
            let score = replay::score(&labelled, &healthy, judged, &policy.fleet);
            if self.json {
                return out.json(&score);
            }
            return out.text(&replay::score_table(&score));
        }
        let all: Vec<&Labelled> = labelled.iter().chain(&healthy).collect();
        let played = |policy: &Policy| {
            let like = self::like(policy, self.like.as_deref())?;
            let recorded = all.iter().map(|series| (series.tape.clone(), at_step(&like, series)));
            Ok(Replayed::play(recorded.collect(), &policy.fleet))
        };
        self.tell(&policy, played, out)
    }

    /// What was recorded of the configuration's own services.
    async fn recorded(&self, out: &Out) -> Result<(), Fault> {
        let file = self.config.as_deref().unwrap_or(Path::new("rollbackd.toml"));
        let read = self.inputs.read(file, out).await?;
        let recorded = &read.recorded;
        let played = |policy: &Policy| {
            // Whom another configuration does not watch, it does nothing about.
            let mine = |tape: &Tape| {
                let service = policy.services.get(&tape.service)?;
                Some((tape.clone(), recorded.judged_by(service)))
            };
            Ok(Replayed::play(recorded.tapes.iter().filter_map(mine).collect(), &policy.fleet))
        };
        self.tell(&read.config.policy, played, out)?;
        read.believed()
    }

    fn tell(
        &self,
        policy: &Policy,
        played: impl Fn(&Policy) -> Result<Replayed, Fault>,
        out: &Out,
    ) -> Result<(), Fault> {
        let replayed = played(policy)?;
        let mut differences = None;
        let mut uncompared = replayed.uncompared();
        if let Some(other) = &self.against {
            let others = played(&self::policy(Some(other))?)?;
            differences = Some(replay::compare(&replayed.stories, &others.stories));
            let more = others.uncompared();
            let known = uncompared.clone();
            uncompared.extend(more.into_iter().filter(|said| !known.contains(said)));
        }
        uncompared.iter().for_each(|said| out.aside(said));
        if let Some(file) = &self.html {
            let page = replay::page(&replayed, differences.as_deref());
            std::fs::write(file, page).map_err(|fault| {
                Fault::Usage(format!("{} cannot be written: {fault}", file.display()))
            })?;
        }
        match (self.json, &differences) {
            (true, None) => out.json(&replayed.stories),
            (true, Some(differences)) => {
                out.json(&json!({ "stories": replayed.stories, "differences": differences }))
            }
            (false, None) => out.text(&replay::stories_table(&replayed)),
            (false, Some(differences)) => out.text(&replay::differences_table(differences)),
        }
    }
}

fn policy(file: Option<&Path>) -> Result<Policy, Fault> {
    let loaded = match file {
        Some(file) => config::load(file),
        None => config::load_text("the defaults", DEFAULTS),
    };
    loaded.map(|(config, _)| config.policy).map_err(|problems| Fault::Usage(listed(&problems)))
}

fn like(policy: &Policy, name: Option<&str>) -> Result<ServicePolicy, Fault> {
    let found = match name {
        Some(name) => policy
            .services
            .iter()
            .find(|(id, _)| id.name() == name || id.to_string() == name)
            .map(|(_, service)| service),
        None => policy.services.values().next(),
    };
    let names: Vec<String> = policy.services.keys().map(ToString::to_string).collect();
    found.map(|service| ServicePolicy::clone(service)).ok_or_else(|| {
        let name = name.unwrap_or("a service");
        Fault::Usage(format!("the configuration has no {name}; it has: {}", names.join(", ")))
    })
}

fn at_step(like: &ServicePolicy, series: &Labelled) -> ServicePolicy {
    let recorded = |name: &str| series.tape.tracks.iter().any(|(track, _)| track == name);
    replay::read_as(like, |name| recorded(name).then_some(series.step))
}

fn read(file: &Path) -> Result<Vec<Labelled>, Fault> {
    let (name, text) = (file.display().to_string(), inputs::text_of(file)?);
    replay::read_labelled(&name, &text).map_err(|wrong| Fault::Usage(wrong.join("\n")))
}

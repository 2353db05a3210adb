//! `rollbackd replay`: what would have been done, from recorded history, before anybody gives it the keys.

mod found;
mod inputs;

use std::{
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::json;

use super::{check::listed, client::Fault, out::Out};
use crate::{
    config::{self, Config},
    domain::policy::{FleetPolicy, Policy, ServicePolicy},
    replay::{self, Drawing, Labelled, Picture, Replayed, Story, Tape, Uncompared},
};

/// So much of a file is read at once.
const READ_BYTES: usize = 1 << 18;

/// What would have happened to one service, and by the other configuration.
type Played = (Option<(Story, Vec<Picture>)>, Option<Story>, Uncompared);

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
[service.series.signal.health.http]
url = "http://127.0.0.1:9091"
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
        let policy = policy_of(self.config.as_deref())?;
        let like = like(&policy, self.like.as_deref())?;
        let files: Vec<_> = [Some(labelled), self.healthy.as_ref()].into_iter().flatten().collect();
        // What cannot be opened is said before the others are read.
        let files = files.into_iter().map(|file| Ok((file, opened(file)?)));
        let files: Vec<_> = files.collect::<Result<_, Fault>>()?;
        if self.score {
            let judged = |series: Labelled| {
                let like = at_step(&like, &series);
                let uncompared = Uncompared::of(&series.tape, &like);
                (replay::judge(series, &like, &policy.fleet), uncompared)
            };
            let mut uncompared = Uncompared::default();
            let mut all = vec![];
            for (file, lines) in files {
                let (judged, more): (Vec<_>, Vec<_>) =
                    each(file, lines, judged)?.into_iter().unzip();
                more.into_iter().for_each(|more| uncompared.join(more));
                all.push(judged.into_iter().flatten().collect());
            }
            uncompared.says().iter().for_each(|said| out.aside(said));
            let mut judged = all.into_iter();
            let score =
                replay::score(judged.next().unwrap_or_default(), judged.next().unwrap_or_default());
            if self.json {
                return out.json(&score);
            }
            return out.text(&replay::score_table(&score));
        }
        let other = self.against.as_deref().map(|file| policy_of(Some(file))).transpose()?;
        let other = match &other {
            Some(other) => Some((self::like(other, self.like.as_deref())?, other.fleet)),
            None => None,
        };
        let played = |series: Labelled| {
            let by = |(like, fleet): (&ServicePolicy, FleetPolicy)| (at_step(like, &series), fleet);
            let others = other.as_ref().map(|(like, fleet)| by((like, *fleet)));
            self.play(&series.tape, by((&like, policy.fleet)), others)
        };
        let mut all = vec![];
        for (file, lines) in files {
            all.extend(each(file, lines, played)?);
        }
        self.tell(all, out)
    }

    /// What was recorded of the configuration's own services.
    async fn recorded(&self, out: &Out) -> Result<(), Fault> {
        let file = self.config.as_deref().unwrap_or(Path::new("rollbackd.toml"));
        let other = self.against.as_deref().map(|file| loaded(Some(file))).transpose()?;
        let mut read = self.inputs.read(file, out).await?;
        if let Some(other) = &other {
            self.inputs.compared(&mut read, other, out);
        }
        let played = self.play_fleet(&read, other.map(|config| config.policy).as_ref());
        self.tell(played, out)?;
        read.believed()
    }

    /// The services of one configuration, and of another: those that suffered at once are played together.
    fn play_fleet(&self, read: &inputs::Read, other: Option<&Policy>) -> Vec<Played> {
        let (recorded, ours) = (&read.recorded, &read.config.policy);
        // Whom another configuration does not watch, it does nothing about.
        let judged_by = |policy: &Policy, tape: &Tape| {
            policy.services.get(&tape.service).map(|service| recorded.judged_by(service))
        };
        let play = |policy: &Policy| {
            let by = |tape: &Tape| judged_by(policy, tape);
            replay::play_all(&recorded.tapes, by, policy.fleet, policy.services.len())
        };
        let (stories, others) = (play(ours), other.map(play).unwrap_or_default());
        let drawn = replay::each_tape(&recorded.tapes, |place, tape| {
            let by = [Some(ours), other].map(|policy| judged_by(policy?, tape));
            let story = stories[place].as_ref().zip(by[0].as_ref());
            let pictures = story.map(|(story, by)| replay::draw(tape, story, by, self.drawing()));
            (pictures, uncompared(tape, by.iter().flatten()))
        });
        let others = others.into_iter().chain(std::iter::repeat(None));
        let told = stories.into_iter().zip(others).zip(drawn);
        told.map(|((story, other), (pictures, more))| (story.zip(pictures), other, more)).collect()
    }

    fn drawing(&self) -> Drawing {
        let blocks = !self.json && self.against.is_none();
        Drawing { blocks, charts: self.html.is_some() }
    }

    fn play(
        &self,
        tape: &Tape,
        (policy, fleet): (ServicePolicy, FleetPolicy),
        other: Option<(ServicePolicy, FleetPolicy)>,
    ) -> Played {
        let more = uncompared(tape, [&policy].into_iter().chain(other.as_ref().map(|(o, _)| o)));
        let these = replay::play(tape, &policy, fleet).map(|story| {
            let pictures = replay::draw(tape, &story, &policy, self.drawing());
            (story, pictures)
        });
        let others = other.and_then(|(policy, fleet)| replay::play(tape, &policy, fleet));
        (these, others, more)
    }

    fn tell(&self, played: Vec<Played>, out: &Out) -> Result<(), Fault> {
        let (mut replayed, mut others) = (Replayed::default(), vec![]);
        let mut uncompared = Uncompared::default();
        for (these, other, more) in played {
            replayed.extend(these);
            others.extend(other);
            uncompared.join(more);
        }
        uncompared.says().iter().for_each(|said| out.aside(said));
        let differences =
            self.against.is_some().then(|| replay::compare(&replayed.stories, &others));
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

/// What could not be compared of the two, as that one has it which asks for it: most often the other one tries it.
fn uncompared<'p>(tape: &Tape, by: impl Iterator<Item = &'p ServicePolicy>) -> Uncompared {
    let mut each = by.map(|policy| Uncompared::of(tape, policy));
    each.find(Uncompared::was_asked).unwrap_or_default()
}

fn policy_of(file: Option<&Path>) -> Result<Policy, Fault> {
    loaded(file).map(|config| config.policy)
}

fn loaded(file: Option<&Path>) -> Result<Config, Fault> {
    let loaded = match file {
        Some(file) => config::load(file),
        None => config::load_text("the defaults", DEFAULTS),
    };
    loaded.map(|(config, _)| config).map_err(|problems| Fault::Usage(listed(&problems)))
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

fn opened(file: &Path) -> Result<BufReader<File>, Fault> {
    let cannot = |fault| Fault::Usage(format!("{} cannot be read: {fault}", file.display()));
    // A line is half a megabyte for a month of minutes.
    File::open(file).map(|file| BufReader::with_capacity(READ_BYTES, file)).map_err(cannot)
}

fn each<T: Send>(
    file: &Path,
    lines: BufReader<File>,
    each: impl Fn(Labelled) -> T + Sync,
) -> Result<Vec<T>, Fault> {
    replay::each_labelled(&file.display().to_string(), lines, each)
        .map_err(|wrong| Fault::Usage(wrong.join("\n")))
}

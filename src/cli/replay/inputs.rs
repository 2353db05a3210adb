//! What `rollbackd replay CONFIG` reads the past from, beside labelled series.

use std::{
    cell::Cell,
    collections::BTreeMap,
    env,
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use clap::Args;
use reqwest::Url;

use super::found::found;
use crate::{
    cli::{check::listed, client::Fault, journal, out::Out},
    config::{self, Config},
    daemon::{clock, past},
    domain::service::ServiceId,
    replay::inputs::{
        Asking, Changes, Kept, Labels, Progress, Recorded, read_changes, read_csv, read_journal,
        read_openmetrics,
    },
    sources::{http, prometheus::Prometheus},
    units::{Span, UnixMs},
};

/// How often a line is printed where nobody watches a terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// How long a server may work on one question about the past.
const TIMEOUT: Span = Span::seconds(60);
/// The largest answer about the past.
const BODY_BYTES: usize = 64 << 20;
/// What names no service is told so many times.
const TOLD_MAX: usize = 20;

/// The record of the past.
#[derive(Debug, Args)]
pub(super) struct Inputs {
    /// The Prometheus to ask instead of the configuration's own; NAME=URL where that has several.
    #[arg(long, value_name = "[NAME=]URL", requires = "since")]
    from: Vec<String>,
    /// How far back the configuration's signals are asked for: 30d, 12h.
    #[arg(long, value_name = "SPAN", requires = "config")]
    since: Option<Span>,
    /// Until when; now, where not given.
    #[arg(long, value_name = "TIME", requires = "since")]
    until: Option<UnixMs>,
    /// From one reading to the next; otherwise as each signal is polled.
    #[arg(long, value_name = "SPAN", requires = "since")]
    step: Option<Span>,
    /// Where answers are kept, so that a run that was broken off goes on.
    #[arg(long, value_name = "DIR", requires = "since")]
    keep: Option<PathBuf>,
    /// Counts of whole intervals: `service,time,bad,total`, and `p95_ms` where it is known.
    #[arg(long, value_name = "FILE", requires = "config", conflicts_with = "since")]
    csv: Option<PathBuf>,
    /// What targets exposed, each line with its time: OpenMetrics, or Prometheus text.
    #[arg(long, value_name = "FILE", requires = "config", conflicts_with_all = ["since", "csv"])]
    openmetrics: Option<PathBuf>,
    /// What was deployed when, a JSON object a line: service, at, version.
    #[arg(long, value_name = "FILE", requires = "config")]
    changes: Option<PathBuf>,
    /// A state directory, whose journal tells what was deployed when.
    #[arg(long, value_name = "DIR", requires = "config")]
    journal: Option<PathBuf>,
    /// A query with a series for each version that serves: one is deployed where it first appears.
    #[arg(long, value_name = "QUERY", requires_all = ["since", "version_label"])]
    versions: Option<String>,
    /// The label of `--versions` that tells the version.
    #[arg(long, value_name = "LABEL", requires = "versions")]
    version_label: Option<String>,
    /// The label of `--versions` or `--openmetrics` that tells the service; needed where there are several.
    #[arg(long, value_name = "LABEL", conflicts_with = "csv")]
    service_label: Option<String>,
    /// Which server of the configuration answers `--versions`; needed where there are several.
    #[arg(long, value_name = "NAME", requires = "versions")]
    versions_from: Option<String>,
    /// End with 0 also where the record has holes by which the result may mislead.
    #[arg(long)]
    allow_partial: bool,
}

/// What was read, and what is judged by.
pub(super) struct Read {
    /// The tapes.
    pub recorded: Recorded,
    /// The configuration.
    pub config: Config,
    unknown: usize,
    read_otherwise: usize,
    allow_partial: bool,
}

impl Inputs {
    /// Reads everything that was asked for, and says what was wrong with it.
    pub(super) async fn read(&self, file: &Path, out: &Out) -> Result<Read, Fault> {
        let config = self.load(file, out).await?;
        let known: Vec<ServiceId> = config.policy.services.keys().cloned().collect();
        // What is wrong with a file is said before a server is asked for an hour.
        let mut changes = self.deployments(&known)?;
        let mut recorded = match self.since {
            Some(since) => {
                let (recorded, more) = self.ask(&config, since, &known, out).await?;
                changes.join(more);
                recorded
            }
            None => self.files(&config)?,
        };
        changes.onto(&mut recorded.tapes);
        tell(out, &changes.unknown, "lines that name no service");
        let said = changes.said.iter().cloned().chain(recorded.said(&config));
        said.for_each(|said| out.aside(&said));
        let (unknown, allow_partial) = (changes.unknown.len(), self.allow_partial);
        Ok(Read { recorded, config, unknown, read_otherwise: 0, allow_partial })
    }

    /// The configuration, with those whom its queries for services would have found.
    async fn load(&self, file: &Path, out: &Out) -> Result<Config, Fault> {
        let whole = |loaded: config::Loaded| {
            loaded.map(|(config, _)| config).map_err(|all| Fault::Usage(listed(&all)))
        };
        let config = whole(config::load(file))?;
        let Some(since) = self.since.filter(|_| !config.discoveries.is_empty()) else {
            return Ok(config);
        };
        let until = self.until.unwrap_or_else(clock::wall);
        match found(&config, &self.servers(&config)?, (until - since, until), out).await? {
            Some(found) => whole(config::load_with(file, &found)),
            None => Ok(config),
        }
    }

    /// What another configuration would have read otherwise is not in the record: it is judged by what was read.
    pub(super) fn compared(&self, read: &mut Read, other: &Config, out: &Out) {
        // A table has a column for each signal, whatever the daemon would ask for it.
        if self.csv.is_some() {
            return;
        }
        let otherwise: Vec<String> = read.config.read_otherwise(other).collect();
        tell(out, &otherwise, "signals that are read otherwise");
        read.read_otherwise = otherwise.len();
    }

    fn files(&self, config: &Config) -> Result<Recorded, Fault> {
        let Some(file) = self.csv.as_ref().or(self.openmetrics.as_ref()) else {
            return Ok(Recorded::default());
        };
        let (name, text) = (file.display().to_string(), text_of(file)?);
        let read = match self.csv {
            Some(_) => read_csv(&name, &text, &config.policy),
            None => read_openmetrics(&name, &text, config, self.service_label.as_deref()),
        };
        read.map_err(Fault::Usage)
    }

    fn deployments(&self, known: &[ServiceId]) -> Result<Changes, Fault> {
        let mut changes = Changes::default();
        if let Some(file) = &self.changes {
            let (name, text) = (file.display().to_string(), text_of(file)?);
            let read = read_changes(&name, &text, known);
            changes.join(read.map_err(|wrong| Fault::Usage(wrong.join("\n")))?);
        }
        if let Some(dir) = &self.journal {
            changes.join(read_journal(dir, known).map_err(journal::fault)?);
        }
        Ok(changes)
    }

    async fn ask(
        &self,
        config: &Config,
        since: Span,
        known: &[ServiceId],
        out: &Out,
    ) -> Result<(Recorded, Changes), Fault> {
        if since == Span::ZERO || self.step.is_some_and(|step| step < Span::seconds(1)) {
            return Err(Fault::Usage(
                "`--since` is longer than nothing, and `--step` 1s or more".to_owned(),
            ));
        }
        let servers = self.servers(config)?;
        let dir = self.keep.clone().unwrap_or_else(kept_by_default);
        let kept = Kept::open(&dir)
            .map_err(|why| Fault::Usage(format!("--keep {}: {why}", dir.display())))?;
        let until = self.until.unwrap_or_else(clock::wall);
        let (from, step) = (until - since, self.step);
        let asking = Asking { servers: &servers, from, until, step, kept: &kept };
        let bar = Bar::new();
        let questions = past::questions(config);
        let versions = self.asked_for_versions(config, known)?;
        let ask = async {
            let changes = match &versions {
                Some((server, query, labels)) => {
                    let show = |progress| bar.show(progress);
                    let asked = asking.versions((server, query), labels, known, show);
                    asked.await.map_err(|why| {
                        let so_far = bar.came_so_far(&kept);
                        Fault::Other(format!("--versions: {why}\n{so_far}"))
                    })?
                }
                None => Changes::default(),
            };
            bar.counted();
            let asked = asking.ask(&questions, |progress| bar.show(progress)).await;
            let recorded = asked
                .map_err(|broken| Fault::Other(format!("{broken}\n{}", bar.came_so_far(&kept))))?;
            Ok((recorded, changes))
        };
        let asked = tokio::select! {
            asked = ask => asked,
            _ = tokio::signal::ctrl_c() => {
                bar.end();
                return Err(Fault::Other(format!("stopped; {}", bar.came_so_far(&kept))));
            }
        };
        bar.end();
        if asked.is_ok() {
            out.aside(&bar.summary(&kept));
        }
        asked
    }

    /// Whom to ask for versions, and what.
    fn asked_for_versions(
        &self,
        config: &Config,
        known: &[ServiceId],
    ) -> Result<Option<(String, String, Labels)>, Fault> {
        let (Some(query), Some(version)) = (&self.versions, &self.version_label) else {
            return Ok(None);
        };
        let names: Vec<&str> = config.servers.keys().map(String::as_str).collect();
        let server = match (&self.versions_from, &names[..]) {
            (Some(name), names) if names.contains(&name.as_str()) => name.as_str(),
            (None, [only]) => only,
            (Some(_) | None, _) => {
                let names = names.join(", ");
                return Err(Fault::Usage(format!("`--versions-from` needs one of: {names}")));
            }
        };
        if self.service_label.is_none() && known.len() != 1 {
            return Err(Fault::Usage(
                "the configuration has several services: `--service-label` says which label of `--versions` tells them apart"
                    .to_owned(),
            ));
        }
        let labels = Labels { version: version.clone(), service: self.service_label.clone() };
        Ok(Some((server.to_owned(), query.clone(), labels)))
    }

    /// The configuration's servers, at the addresses that were given.
    fn servers(&self, config: &Config) -> Result<BTreeMap<String, Arc<Prometheus>>, Fault> {
        crate::tls::install();
        let mut all = config.servers.clone();
        for from in &self.from {
            let (name, url) = match from.split_once('=') {
                Some((name, url)) if !name.contains(':') => (Some(name), url),
                Some(_) | None => (None, from.as_str()),
            };
            let url: Url =
                url.parse().ok().filter(|url: &Url| url.has_host()).ok_or_else(|| {
                    Fault::Usage(format!(
                        "`{url}` is not an address; write it like http://127.0.0.1:9090"
                    ))
                })?;
            let names: Vec<String> = all.keys().cloned().collect();
            let wanted: Vec<_> =
                all.iter_mut().filter(|(own, _)| name.is_none_or(|name| name == *own)).collect();
            let [(_, server)] = &mut { wanted }[..] else {
                let names = names.join(", ");
                return Err(Fault::Usage(format!(
                    "`--from {from}` could be any or none of the configuration's servers ({names}); write --from NAME=URL"
                )));
            };
            server.url = url;
        }
        let server = |(name, mut options): (String, crate::sources::prometheus::Options)| {
            options.timeout = TIMEOUT;
            options.http = http::Options {
                attempt: TIMEOUT + Span::seconds(10),
                total: TIMEOUT * 2,
                body_bytes: BODY_BYTES,
                ..options.http
            };
            let server = Prometheus::new(options)
                .map_err(|why| Fault::Usage(format!("prometheus {name}: {why}")))?;
            Ok((name, Arc::new(server)))
        };
        all.into_iter().map(server).collect()
    }
}

impl Read {
    /// Whether what was made of it may be believed.
    pub(super) fn believed(&self) -> Result<(), Fault> {
        let mut misleads = self.recorded.misleads();
        if self.unknown > 0 {
            misleads.push(format!("{} deployments name no service that is replayed", self.unknown));
        }
        if self.read_otherwise > 0 {
            misleads.push(format!(
                "{} signals of the other configuration are judged by what this one reads",
                self.read_otherwise
            ));
        }
        if misleads.is_empty() || self.allow_partial {
            return Ok(());
        }
        Err(Fault::Damaged(format!(
            "this may mislead: {}; --allow-partial takes it as it is",
            misleads.join("; ")
        )))
    }
}

/// The first of them, and how many more there are of `what`.
fn tell(out: &Out, all: &[String], what: &str) {
    all.iter().take(TOLD_MAX).for_each(|said| out.aside(said));
    if let Some(more) = all.len().checked_sub(TOLD_MAX).filter(|more| *more > 0) {
        out.aside(&format!("and {more} more {what}"));
    }
}

pub(super) fn text_of(file: &Path) -> Result<String, Fault> {
    std::fs::read_to_string(file)
        .map_err(|fault| Fault::Usage(format!("{} cannot be read: {fault}", file.display())))
}

fn kept_by_default() -> PathBuf {
    let named = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = named("XDG_CACHE_HOME").or_else(|| Some(named("HOME")?.join(".cache")));
    cache.unwrap_or_else(env::temp_dir).join("rollbackd").join("replay")
}

/// How far it is, on standard error: one line that changes on a terminal, elsewhere a line now and then.
struct Bar {
    terminal: bool,
    shown: Cell<Option<Instant>>,
    last: Cell<Progress>,
    /// What was asked before, of questions that are done with.
    earlier: Cell<Progress>,
}

impl Bar {
    fn new() -> Self {
        let terminal = io::stderr().is_terminal();
        Self { terminal, shown: Cell::new(None), last: Cell::default(), earlier: Cell::default() }
    }

    /// What comes now is counted beside what was.
    fn counted(&self) {
        self.earlier.set(self.last.get());
    }

    fn show(&self, progress: Progress) {
        let earlier = self.earlier.get();
        let progress = Progress {
            done: earlier.done + progress.done,
            kept: earlier.kept + progress.kept,
            total: earlier.total + progress.total,
            took: earlier.took + progress.took,
        };
        self.last.set(progress);
        let now = Instant::now();
        let every = if self.terminal { Duration::from_millis(100) } else { LINE_EVERY };
        let recently = |shown: Instant| now.duration_since(shown) < every;
        let begun = self.shown.get().unwrap_or_else(|| {
            self.shown.set(Some(now));
            now
        });
        if recently(begun) {
            return;
        }
        self.shown.set(Some(now));
        let Progress { done, total, .. } = progress;
        let left = progress.remaining().map_or_else(String::new, |left| {
            format!(", {} left", Span::seconds(left.as_secs_f64().ceil() as i64))
        });
        let percent = (done * 100).checked_div(total).unwrap_or(100);
        let text = format!("{done} of {total} answers ({percent} %){left}");
        let mut stderr = io::stderr().lock();
        // Where that cannot be written, it goes on all the same.
        let _ = match self.terminal {
            true => write!(stderr, "\r\x1b[K{text}").and_then(|()| stderr.flush()),
            false => writeln!(stderr, "{text}"),
        };
    }

    /// Leaves the line to what comes next.
    fn end(&self) {
        if self.terminal {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }

    fn came_so_far(&self, kept: &Kept) -> String {
        let Progress { done, total, .. } = self.last.get();
        format!(
            "{done} of {total} answers are there; the same again goes on from them (kept in {})",
            kept.dir().display()
        )
    }

    fn summary(&self, kept: &Kept) -> String {
        let Progress { done, kept: before, took, .. } = self.last.get();
        let took = Span::from(took).to_read();
        let dir = kept.dir().display();
        format!(
            "{} answers of the server in {took}, {before} from before; all are kept in {dir}",
            done - before
        )
    }
}

//! Plays one story: real processes, real load, the real daemon, and a verdict on whether it went as it should.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};

use super::{
    eye::Eye,
    load::{self, Load},
    port::ReservedPort,
    scenario::{Ending, Scenario},
    screen::Screen,
    stage::{Ports, Stage},
    wire::Wire,
};
use crate::http::views::{Explain, IncidentView};

/// The whole story must be over by then.
const ENDS_WITHIN: Duration = Duration::from_secs(38);
/// How long a story that must change nothing is watched after the deployment.
const WATCHED_FOR: Duration = Duration::from_secs(14);
/// Requests a second.
const LOAD: u32 = 80;

/// Plays a scenario in `dir`; an error says what went otherwise than it should.
pub async fn play(scenario: Scenario, dir: std::path::PathBuf) -> anyhow::Result<()> {
    let begun = Instant::now();
    let screen = Screen::new(begun);
    screen.say(&format!("scenario {scenario}: {}", scenario.promise()));
    let (for_shop, for_daemon) = (ReservedPort::reserve()?, ReservedPort::reserve()?);
    let shop = for_shop.number;
    let mut metrics = Some(Wire::to(shop).await?);
    let mut health = Some(Wire::to(shop).await?);
    let port = |wire: &Option<Wire>| wire.as_ref().map_or(0, Wire::port);
    let ports =
        Ports { shop, metrics: port(&metrics), health: port(&health), http: for_daemon.number };
    let program = std::env::current_exe().context("the demo's own program")?;
    let releases = [scenario.first(), scenario.second()];
    let mut stage = Stage::set(dir, program, releases, ports)?;
    screen.say(&format!("everything is in {}", stage.dir().display()));
    stage.deploy("v1")?;
    crate::tls::install();
    let client = reqwest::Client::builder().no_proxy().build()?;
    let url = format!("http://127.0.0.1:{shop}/checkout");
    let load = Load::start(client, load::Options::new(url, LOAD));
    stage.start_daemon()?;
    let eye = Eye::open(ports.http, &stage.dir().join("state")).await.map_err(|fault| {
        let log = std::fs::read_to_string(stage.daemon_log()).unwrap_or_default();
        fault.context(format!("the daemon did not come up; it said:\n{log}"))
    })?;
    screen.say("v1 serves, with real load; rollbackd watches it");

    let mut story = Story { scenario, screen, eye, told: BTreeSet::new(), last: None };
    story
        .until(Instant::now() + Duration::from_secs(15), "v1 settled", |seen| {
            settled(seen, scenario)
        })
        .await?;
    story.screen.say("── v2 is deployed ──");
    stage.deploy("v2")?;
    let deployed = Instant::now();
    if scenario == Scenario::MonitoringDown {
        let pending = |seen: &Seen| seen.incident.is_some();
        story.until(begun + ENDS_WITHIN, "the incident opened", pending).await?;
        story.screen.say("── the monitoring goes down: nobody can see the shop any more ──");
        drop((metrics.take(), health.take()));
    }
    match scenario.ending() {
        Ending::RolledBack => {
            story.until(begun + ENDS_WITHIN, "v1 restored and verified", restored).await?;
        }
        Ending::LeftAlone => story.watch_until(deployed + WATCHED_FOR).await?,
    }
    let counts = load.counts();
    story.screen.say(&format!(
        "the load saw {} requests: {} well, {} failed, {} unanswered",
        counts.sent(),
        counts.ok,
        counts.failed,
        counts.unanswered
    ));
    if stage.daemon_has_ended() {
        bail!("the daemon has ended, which it must not: see {}", stage.daemon_log().display());
    }
    story.verdict(&stage).await
}

/// What was seen at one look.
struct Seen {
    explain: Explain,
    incident: Option<IncidentView>,
}

fn settled(seen: &Seen, scenario: Scenario) -> bool {
    match scenario {
        // v1 never becomes known good: it is enough that its errors have opened an incident.
        Scenario::BadBeforeDeploy => seen.incident.is_some(),
        Scenario::Errors
        | Scenario::Latency
        | Scenario::Outage
        | Scenario::Blips
        | Scenario::MonitoringDown => {
            // What is normal must be known before it can be judged against.
            let latency =
                seen.explain.triggers.iter().find(|t| t.name == "performance-degradation");
            let learned = latency.is_none_or(|t| t.state != crate::domain::trigger::State::NoData);
            seen.explain.service.serving_is_known_good && learned
        }
    }
}

fn restored(seen: &Seen) -> bool {
    let over = seen.incident.as_ref().is_some_and(|i| i.line.closed.is_some());
    over && seen.explain.service.serving.as_deref() == Some("v1")
}

struct Story {
    scenario: Scenario,
    screen: Screen,
    eye: Eye,
    told: BTreeSet<String>,
    last: Option<Seen>,
}

impl Story {
    async fn look(&mut self) -> anyhow::Result<()> {
        let explain = self.eye.explain().await.context("the daemon stopped answering")?;
        let incident = match self.eye.incidents().await?.first() {
            Some(line) => Some(self.eye.incident(&line.id).await?),
            None => None,
        };
        self.screen.show(&explain);
        for line in incident.iter().flat_map(|i| &i.timeline) {
            if self.told.insert(format!("{}{}", line.at.0, line.what)) {
                self.screen.tell(line.at, &line.what);
            }
        }
        self.last = Some(Seen { explain, incident });
        Ok(())
    }

    async fn until(
        &mut self,
        deadline: Instant,
        what: &str,
        done: impl Fn(&Seen) -> bool,
    ) -> anyhow::Result<()> {
        loop {
            self.look().await?;
            if self.last.as_ref().is_some_and(&done) {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("it did not come to this in time: {what}");
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    async fn watch_until(&mut self, deadline: Instant) -> anyhow::Result<()> {
        while Instant::now() < deadline {
            self.look().await?;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        Ok(())
    }

    async fn verdict(&mut self, stage: &Stage) -> anyhow::Result<()> {
        self.look().await?;
        let serving = stage.linked().unwrap_or_default();
        let Some(seen) = &self.last else { bail!("nothing was seen") };
        let rolled_back = seen.incident.as_ref().is_some_and(|i| i.plan.is_some());
        match self.scenario.ending() {
            Ending::RolledBack => {
                let Some(incident) = &seen.incident else { bail!("no incident was seen") };
                if serving != "v1" || !rolled_back {
                    bail!("v1 should serve again, and {serving} does");
                }
                let report = stage.dir().join("reports").join(format!("{}.md", incident.line.id));
                wait_for(&report).await?;
                self.screen.say("as it should be: rolled back to v1, verified, closed");
                self.screen.say(&format!("the report: {}", report.display()));
            }
            Ending::LeftAlone => {
                if serving != "v2" || rolled_back {
                    bail!("nothing should have been rolled back, and {serving} serves");
                }
                let why = why_not(seen);
                if why.is_empty() {
                    bail!("the daemon did not say why it left v2 alone");
                }
                self.screen.say("as it should be: not rolled back. The daemon says why:");
                why.iter().for_each(|line| self.screen.say(&format!("  {line}")));
            }
        }
        Ok(())
    }
}

/// Why nothing was done, in the daemon's own words: guards that refused, or what the triggers wait for.
fn why_not(seen: &Seen) -> Vec<String> {
    let guards = seen.incident.as_ref().and_then(|i| i.decision.as_ref()).map(|d| &d.guards);
    let refused = guards.into_iter().flatten().filter(|v| v.refusal().is_some());
    let mut why: Vec<String> = refused.map(ToString::to_string).collect();
    let blind = seen.explain.service.blind.iter();
    why.extend(blind.map(|b| format!("{} tells nothing: {}", b.signal, b.why)));
    if seen.incident.is_none() {
        let errors = seen.explain.triggers.iter().filter(|t| t.name == "critical-errors");
        why.extend(errors.map(|t| {
            format!("{} sees {}; to fire it waits for {}", t.name, t.sees, t.waits_for.join(", "))
        }));
    }
    why
}

async fn wait_for(path: &std::path::Path) -> anyhow::Result<()> {
    for _ in 0..50 {
        if path.exists() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("the report {} was not written", path.display())
}

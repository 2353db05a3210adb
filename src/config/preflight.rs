//! Whether a rollback of each service would find what it needs: `check --online`.

mod database;
mod state_dir;

use std::path::{Path, PathBuf};

use serde::Serialize;
use tokio::task::JoinSet;

use super::{Config, Histories, Platform, Read, pullable};
use crate::{
    domain::{
        inventory::Check,
        maintenance::Commands,
        schema::undo::UndoBy,
        service::{Mode, ServiceId},
    },
    executors::{
        self, Also, Looked, deployment_preflight, frontend::frontend_preflight,
        maintenance_preflight, preflight::release_preflight, secret_preflight,
    },
    kubernetes::access::Options,
    sources::kubernetes::Question,
};

/// So many services are looked at together.
const AT_ONCE: usize = 16;

/// Of one service.
#[derive(Clone, Debug, Serialize)]
pub struct Preflight {
    /// Whose.
    pub service: ServiceId,
    /// Whether anything would be done there.
    pub mode: Mode,
    /// What was looked at.
    pub checks: Vec<Check>,
}

impl Preflight {
    /// Whether a rollback that may come would fail.
    pub fn bars(&self) -> bool {
        self.mode != Mode::Observe && self.checks.iter().any(|check| !check.ok)
    }

    /// For people, a line each.
    pub fn says(&self) -> Vec<String> {
        let Self { service, mode, checks } = self;
        let missing = checks.iter().filter(|check| !check.ok).count();
        let how = match (missing, mode) {
            (0, _) => "a rollback would find what it needs".to_owned(),
            (_, Mode::Observe) => format!(
                "{missing} of {} things are missing for a rollback, of which none is done: it is only observed",
                checks.len()
            ),
            (_, Mode::Approve | Mode::Auto) => {
                format!("{missing} of {} things are missing for a rollback", checks.len())
            }
        };
        let line = |Check { what, ok, why }: &Check| {
            format!("  {}: {what}: {why}", if *ok { "ok" } else { "missing" })
        };
        std::iter::once(format!("{service}: {how}")).chain(checks.iter().map(line)).collect()
    }
}

/// Looks at everything that a rollback of each service in the file would need.
///
/// What is looked at is as it is for whoever runs this, and not for the daemon. `histories` are those that were read a moment ago.
pub async fn preflight(config: &Config, histories: &Histories) -> Vec<Preflight> {
    let mut all = vec![];
    let (dir, made) = state_dir::place(&config.store.dir);
    let services: Vec<_> = config.platforms.iter().collect();
    for some in services.chunks(AT_ONCE) {
        let mut looking = JoinSet::new();
        for (service, platform) in some {
            let mode = config.policy.services.get(*service).map(|policy| policy.mode);
            let (service, mode) = ((*service).clone(), mode.unwrap_or_default());
            let asks = |is: fn(&Question) -> bool| {
                config.polls.iter().any(|poll| match &poll.read {
                    Read::Asked(_, question) => poll.service == service && is(question),
                    Read::Scrape { .. }
                    | Read::Prometheus { .. }
                    | Read::Health(_)
                    | Read::Kubernetes(_)
                    | Read::CloudWatch(..) => false,
                })
            };
            let logs = asks(|question| matches!(question, Question::Lines(_)));
            let usage = asks(|question| matches!(question, Question::Usage(_)));
            let runbook = config.policy.services.get(&service).and_then(|s| s.runbook.as_ref());
            let jobs = runbook.map(|runbook| runbook.jobs.as_slice()).unwrap_or_default();
            let undo = runbook.and_then(|it| it.database.as_ref()?.undo.as_ref());
            let undo = undo.and_then(|undo| match undo {
                UndoBy::Job(job) => Some(job.cron_job.clone()),
                UndoBy::Run(_) => None,
            });
            let smoke = jobs.iter().map(|job| job.cron_job.clone());
            let cron_jobs = smoke.chain(undo).collect();
            let manifest = match platform {
                Platform::Kubernetes(platform) => platform.manifest.as_ref(),
                Platform::Release(_) | Platform::Frontend(_) => None,
            };
            let maintenance = runbook.and_then(|runbook| runbook.maintenance.as_ref());
            let commands = maintenance.and_then(|it| it.mode.commands.clone());
            let maintenance = maintenance
                .zip(manifest)
                .map(|(it, manifest)| (it.mode.clone(), manifest.objects.clone()));
            let also = Also { logs, usage, cron_jobs, maintenance };
            let looked = look(config, platform, dir.clone(), also, commands);
            let database = config.databases.get(&service).cloned();
            let history = histories.get(&service).cloned();
            let secrets = config.secrets.get(&service).cloned().unwrap_or_default();
            let (runbook, dir, made) = (runbook.cloned(), dir.clone(), made.clone());
            looking.spawn(async move {
                let mut checks = looked.await;
                if let Some(database) = database {
                    let looked = database::of_database(database, history, runbook, &dir);
                    checks.extend(Box::pin(looked).await);
                }
                checks.extend(made);
                for read in secrets {
                    let looked = secret_preflight(&read.access, &read.at, read.even_if_rotated);
                    checks.extend(looked.await);
                }
                Preflight { service, mode, checks }
            });
        }
        all.extend(looking.join_all().await);
    }
    all.sort_by(|a, b| a.service.cmp(&b.service));
    all
}

/// Whatever is looked at is taken out of the configuration first.
fn look(
    config: &Config,
    platform: &Platform,
    dir: PathBuf,
    also: Also,
    commands: Option<Box<Commands>>,
) -> impl Future<Output = Vec<Check>> + use<> {
    let platform = platform.clone();
    let state_dir = config.store.dir.clone();
    let cluster = match &platform {
        Platform::Kubernetes(platform) => config.cluster_of(&platform.at).cloned(),
        Platform::Release(_) | Platform::Frontend(_) => None,
    };
    async move {
        let mut checks = of_platform(platform, cluster, (&dir, &state_dir), also).await;
        if let Some(commands) = commands {
            checks.push(match executors::Options::new(dir) {
                Ok(options) => maintenance_preflight(&commands, &options).await,
                Err(fault) => Check {
                    what: "its maintenance mode may be switched on and off".to_owned(),
                    ok: false,
                    why: fault.to_string(),
                },
            });
        }
        checks
    }
}

async fn of_platform(
    platform: Platform,
    cluster: Option<Options>,
    (dir, state_dir): (&Path, &Path),
    also: Also,
) -> Vec<Check> {
    let failed =
        |why: String| vec![Check { what: "it can be looked at".to_owned(), ok: false, why }];
    match (platform, cluster) {
        (Platform::Release(platform), _) => match executors::Options::new(dir.to_owned()) {
            Ok(options) => release_preflight(&platform.runbook, &options).await,
            Err(fault) => failed(fault.to_string()),
        },
        (Platform::Frontend(platform), _) => match executors::Options::new(dir.to_owned()) {
            Ok(options) => Box::pin(frontend_preflight(&platform.site, &options)).await,
            Err(fault) => failed(fault.to_string()),
        },
        (Platform::Kubernetes(platform), Some(cluster)) => {
            let looked = deployment_preflight(&platform.runbook, &cluster, state_dir, also).await;
            let Looked { mut checks, pulls } = looked;
            checks.extend(pullable::check(&cluster, &platform.at.key, &pulls).await);
            checks
        }
        (Platform::Kubernetes(platform), None) => {
            failed(format!("{} is in no cluster that is watched", platform.at.key))
        }
    }
}

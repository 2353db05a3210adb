//! Another configuration for a daemon that runs: checked whole, then taken whole or refused, and told either way.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context;
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
};
use tracing::{error, info, warn};

use super::{clock, delivery, platforms, poller, supervise, wiring};
use crate::{
    config::{self, Config},
    domain::{
        event::{Event, What},
        incident::Incident,
        service::ServiceId,
    },
    executors,
    handle::Handle,
    http::{
        Interface,
        auth::{self, Tokens},
    },
    notifiers::Channel,
    sources::alertmanager::Alertmanager,
};

/// Faults told in one notice; the log has them all.
const TOLD_MAX: usize = 10;

/// Everything that follows the configuration, and is begun anew with another one.
#[derive(Debug)]
pub(super) struct Followers {
    /// Its tasks; one that ends unexpectedly ends the daemon.
    pub tasks: JoinSet<()>,
    /// Who is told what cannot be written down.
    pub channels: watch::Sender<Vec<Arc<Channel>>>,
    handle: Handle,
    client: reqwest::Client,
    executor: executors::Options,
    outbox: watch::Receiver<u64>,
    watched: watch::Receiver<BTreeSet<ServiceId>>,
}

impl Followers {
    pub(super) fn new(
        handle: Handle,
        client: reqwest::Client,
        executor: executors::Options,
        outbox: watch::Receiver<u64>,
        watched: watch::Receiver<BTreeSet<ServiceId>>,
    ) -> Self {
        let (channels, _) = watch::channel(vec![]);
        Self { tasks: JoinSet::new(), channels, handle, client, executor, outbox, watched }
    }

    /// Ends what followed another configuration and begins what follows this one. Whatever can fail is done first:
    /// on an error all goes on as it was.
    pub(super) async fn follow(&mut self, config: &Config) -> anyhow::Result<()> {
        let sources = wiring::sources(config)?;
        let asks = config.alertmanager.as_ref().map(|asks| {
            let asked = Alertmanager::new(asks.url.clone(), asks.http.clone());
            asked.map(|asked| (Arc::new(asked), asks.ask_every.duration()))
        });
        let asks = asks.transpose().context("the client of Alertmanager")?;
        self.tasks.shutdown().await;

        let permits = Arc::new(Semaphore::new(config.limits.polls_at_once));
        for (seed, paced) in (1..).zip(sources) {
            let (handle, watched) = (self.handle.clone(), self.watched.clone());
            self.tasks.spawn(poller::poll(paced, seed, handle, watched, permits.clone()));
        }
        for platform in wiring::platforms(config) {
            let (executor, handle) = (self.executor.clone(), self.handle.clone());
            self.tasks.spawn(platforms::look(platform, executor, handle, self.watched.clone()));
        }
        if let Some((asked, every)) = asks {
            self.tasks.spawn(supervise::confirm_alerts(asked, every, self.handle.clone()));
        }
        if let Some(heartbeat) = config.heartbeat.clone() {
            let (client, handle) = (self.client.clone(), self.handle.clone());
            self.tasks.spawn(supervise::heartbeat(heartbeat, client, handle));
        }
        self.deliver(config);
        Ok(())
    }

    fn deliver(&mut self, config: &Config) {
        let channels: Vec<Arc<Channel>> = config.channels.iter().cloned().map(Arc::new).collect();
        let permits = Arc::new(Semaphore::new(config.limits.deliveries_at_once));
        for channel in &channels {
            self.tasks.spawn(delivery::deliver(
                channel.clone(),
                self.client.clone(),
                self.handle.clone(),
                self.outbox.clone(),
                permits.clone(),
            ));
        }
        self.channels.send_replace(channels);
    }
}

/// What a reload works on.
#[derive(Debug)]
pub(super) struct Reload {
    /// The file.
    pub path: PathBuf,
    /// What the daemon runs on.
    pub config: Config,
    /// The interface, whose tokens may change.
    pub interface: Option<Arc<Interface>>,
}

impl Reload {
    /// Reads the file anew. What is wrong with it, or what changed, is in the journal and told when this returns.
    pub(super) async fn reload(&mut self, handle: &Handle, followers: &mut Followers) {
        let at = clock::wall().0;
        let what = match self.attempt(handle, followers).await {
            Ok(changes) => {
                info!("another configuration is followed: {}", changes.join("; "));
                What::Configured { changes }
            }
            Err(mut why) => {
                error!("the configuration is refused, the one before goes on:\n{}", why.join("\n"));
                let more = why.len().saturating_sub(TOLD_MAX);
                why.truncate(TOLD_MAX);
                if more > 0 {
                    why.push(format!("and {more} more, in the log"));
                }
                What::ConfigRefused { why }
            }
        };
        if let Err(fault) = handle.tell(Event { id: format!("reload-{at}"), what }).await {
            error!("the reload could not be written down: {fault}");
        }
    }

    async fn attempt(
        &mut self,
        handle: &Handle,
        followers: &mut Followers,
    ) -> Result<Vec<String>, Vec<String>> {
        let new = read(&self.path).await?;
        let (next, difference) = self.config.followed_by(new);
        let one = |fault: anyhow::Error| vec![format!("{fault:#}")];
        must_go_on(handle, &next).await?;
        let tokens = next.http.as_ref().map(|http| tokens(&next, http)).transpose().map_err(one)?;
        followers.follow(&next).await.map_err(one)?;
        let routing = wiring::routing(&next.channels);
        let adopted = handle.adopt(next.policy.clone(), routing).await;
        adopted.map_err(|fault| vec![fault.to_string()])?;
        if let (Some(interface), Some(http), Some(tokens)) = (&self.interface, &next.http, tokens) {
            interface.adopt(tokens, http);
        }
        self.config = next;
        for kept in &difference.needs_restart {
            warn!("{kept}");
        }
        Ok(difference.taken.into_iter().chain(difference.needs_restart).collect())
    }
}

async fn read(path: &Path) -> Result<Config, Vec<String>> {
    let path = path.to_owned();
    let loaded = tokio::task::spawn_blocking(move || config::load(&path)).await;
    match loaded.map_err(|fault| vec![fault.to_string()])? {
        Ok((config, warnings)) => {
            for warning in warnings {
                warn!("{warning}");
            }
            Ok(config)
        }
        Err(problems) => Err(problems.iter().map(ToString::to_string).collect()),
    }
}

/// A service with an open incident cannot be dropped: nobody would go on with it, remind people of it, or let go of
/// what its rollback holds.
async fn must_go_on(handle: &Handle, next: &Config) -> Result<(), Vec<String>> {
    let kept: BTreeSet<ServiceId> = next.policy.services.keys().cloned().collect();
    let dropped = handle.look(move |fleet, _| {
        let known = |id: &ServiceId| fleet.policy.services.contains_key(id);
        let gone = fleet.open().filter(|(id, _)| known(id) && !kept.contains(*id));
        let why = |(id, incident): (&ServiceId, &Incident)| {
            format!(
                "{id} has the open incident {} ({}): drop it when that is over, or end it with \
                 `rollbackd dismiss {id} --reason '…'`",
                incident.id,
                incident.phase.name()
            )
        };
        gone.map(why).collect::<Vec<_>>()
    });
    let dropped = dropped.await.map_err(|fault| vec![fault.to_string()])?;
    if dropped.is_empty() { Ok(()) } else { Err(dropped) }
}

/// Who may do what: the tokens of the file, and the one of this machine.
pub(super) fn tokens(config: &Config, http: &config::Http) -> anyhow::Result<Tokens> {
    let local = auth::local_token(&config.state_dir).context("the token of this machine")?;
    Ok(Tokens::new(http.tokens.iter().cloned().chain([local])))
}

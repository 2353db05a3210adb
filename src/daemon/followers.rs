//! Everything that follows the configuration: what reads, what looks, what delivers.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use anyhow::Context;
use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::{AbortHandle, JoinSet},
    time::Instant,
};

use super::{
    backfill::Owed,
    checks, delivery,
    discovery::{self, Answer},
    migrations, platforms, poller, rds, scripts, snapshots, supervise, wiring,
};
use crate::{
    config::{Config, Discovery, Finding},
    domain::service::ServiceId,
    executors,
    handle::Handle,
    notifiers::Channel,
    sources::{alertmanager::Alertmanager, http, kubernetes, prometheus::Prometheus},
    store::Lease,
    units::Secret,
};

/// Answers of discoveries that may wait: one of each is enough, and they come once a minute.
const ANSWERS_MAX: usize = 16;

/// Everything that follows the configuration. Another file begins all of it anew; other services only what is theirs.
#[derive(Debug)]
pub(super) struct Followers {
    /// Its tasks; one that ends unexpectedly ends the daemon.
    pub tasks: JoinSet<()>,
    /// Who is told what cannot be written down.
    pub channels: watch::Sender<Vec<Arc<Channel>>>,
    /// What queries for services found.
    pub answers: mpsc::Receiver<Answer>,
    answering: mpsc::Sender<Answer>,
    handle: Handle,
    client: reqwest::Client,
    executor: executors::Options,
    lease: Lease,
    outbox: watch::Receiver<u64>,
    watched: watch::Receiver<BTreeSet<ServiceId>>,
    /// What is read and looked at, by what it is: begun once, however often services come and go.
    begun: BTreeMap<u64, AbortHandle>,
    /// Through whom sources are asked. What goes on, and what is as what goes on, needs no new one.
    clients: http::Clients,
    servers: wiring::Servers,
    clusters: wiring::Clusters,
    registries: wiring::Asked,
    permits: Arc<Semaphore>,
    /// What was missed before the start; none before it is known what is read.
    owed: Option<Owed>,
    /// Polls keep to the same beat when they are begun again.
    since: Instant,
}

impl Followers {
    pub(super) fn new(
        handle: Handle,
        client: reqwest::Client,
        (executor, lease): (executors::Options, Lease),
        outbox: watch::Receiver<u64>,
        watched: watch::Receiver<BTreeSet<ServiceId>>,
    ) -> Self {
        let (channels, _) = watch::channel(vec![]);
        let (answering, answers) = mpsc::channel(ANSWERS_MAX);
        Self {
            tasks: JoinSet::new(),
            channels,
            answers,
            answering,
            handle,
            client,
            executor,
            lease,
            outbox,
            watched,
            begun: BTreeMap::new(),
            clients: http::Clients::default(),
            servers: wiring::Servers::new(),
            clusters: wiring::Clusters::new(),
            registries: wiring::Asked::new(),
            permits: Arc::new(Semaphore::new(1)),
            owed: None,
            since: Instant::now(),
        }
    }

    /// Ends what followed another configuration and begins what follows this one. Whatever can fail is done first:
    /// on an error all goes on as it was. In between `adopted` has it decided by: what is answered sooner is taken for nobody's.
    pub(super) async fn follow(
        &mut self,
        config: &Config,
        adopted: impl Future<Output = anyhow::Result<()>>,
    ) -> anyhow::Result<()> {
        let mut clients = http::Clients::default();
        let servers = wiring::servers(config, &wiring::Servers::new())?;
        let clusters = wiring::clusters(config, &wiring::Clusters::new());
        let sources = wiring::sources(config, &servers, &clusters, &mut clients)?;
        let registries = wiring::registries(config, &self.registries)?;
        let deployments = wiring::deployments(config, &clusters, &registries)?;
        let asks = config.alertmanager.as_ref().map(|asks| {
            let asked = Alertmanager::new(asks.url.clone(), asks.http.clone());
            asked.map(|asked| (Arc::new(asked), asks.ask_every.duration()))
        });
        let asks = asks.transpose().context("the client of Alertmanager")?;
        let discoveries = discoveries(config, &servers)?;
        self.tasks.shutdown().await;
        adopted.await?;

        self.begun.clear();
        (self.clients, self.servers, self.clusters) = (clients, servers, clusters);
        self.registries = registries;
        self.permits = Arc::new(Semaphore::new(config.limits.polls_at_once));
        self.read(config, sources, deployments);
        for (discovery, server) in discoveries {
            self.tasks.spawn(discovery::discover(discovery, server, self.answering.clone()));
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

    /// Follows other services of the same file: what is read already goes on without missing a poll.
    pub(super) async fn follow_found(
        &mut self,
        config: &Config,
        adopted: impl Future<Output = anyhow::Result<()>>,
    ) -> anyhow::Result<()> {
        self.servers = wiring::servers(config, &self.servers)?;
        self.clusters = wiring::clusters(config, &self.clusters);
        let (servers, clusters) = (&self.servers, &self.clusters);
        let sources = wiring::sources(config, servers, clusters, &mut self.clients)?;
        self.registries = wiring::registries(config, &self.registries)?;
        let deployments = wiring::deployments(config, clusters, &self.registries)?;
        adopted.await?;
        self.read(config, sources, deployments);
        self.clients.let_go_unused();
        Ok(())
    }

    /// Begins what is not read or looked at yet, and ends what is no longer.
    fn read(
        &mut self,
        config: &Config,
        sources: Vec<poller::Paced>,
        deployments: Vec<platforms::Deployment>,
    ) {
        self.adopt(config);
        let mut before = std::mem::take(&mut self.begun);
        let owed = self.owed.get_or_insert_with(|| Owed::to(&sources)).clone();
        for (seed, paced) in (1..).zip(sources) {
            let key = hashed(&paced.source.identity());
            let task = before.remove(&key).unwrap_or_else(|| {
                let (handle, watched) = (self.handle.clone(), self.watched.clone());
                let beat = poller::Beat { since: self.since, seed };
                let (permits, owed) = (self.permits.clone(), owed.clone());
                self.tasks.spawn(poller::poll(paced, beat, handle, watched, permits, owed))
            });
            self.begun.insert(key, task);
        }
        for platform in wiring::platforms(config) {
            let key = hashed(&("platform", &platform.service, format!("{platform:?}")));
            let task = before.remove(&key).unwrap_or_else(|| {
                let (executor, handle) = (self.executor.clone(), self.handle.clone());
                let (watched, lease) = (self.watched.clone(), self.lease.clone());
                self.tasks.spawn(platforms::look(platform, executor, handle, watched, lease))
            });
            self.begun.insert(key, task);
        }
        self.look_at_frontends(config, &mut before);
        for watched in self.clusters.values() {
            let key = hashed(&("cluster", watched.options()));
            let task = before.remove(&key).unwrap_or_else(|| {
                let (watched, told) = (watched.clone(), watched.clone());
                self.tasks.spawn(async move {
                    tokio::join!(kubernetes::watch(watched), platforms::tell_cluster(told));
                })
            });
            self.begun.insert(key, task);
        }
        for deployment in deployments {
            let options = deployment.watched.options();
            let platforms::Deployment { key, container, left_out, previous, every, .. } =
                &deployment;
            let place = (key, container, left_out, previous, every, &deployment.read_secrets);
            let key = hashed(&("deployment", &deployment.service, options, format!("{place:?}")));
            let task = before.remove(&key).unwrap_or_else(|| {
                let (executor, handle) = (self.executor.clone(), self.handle.clone());
                let also = (self.watched.clone(), self.lease.clone());
                self.tasks.spawn(platforms::look_at_deployment(deployment, executor, handle, also))
            });
            self.begun.insert(key, task);
        }
        for (service, database) in &config.databases {
            // Another password is another way to look, and is printed nowhere.
            let password = database.history().and_then(|it| it.options.password.as_ref());
            let password = password.map(Secret::expose);
            let key = hashed(&("database", service, password, format!("{database:?}")));
            let task = before.remove(&key).unwrap_or_else(|| {
                let (service, database) = (service.clone(), database.clone());
                let told = (self.handle.clone(), self.watched.clone());
                self.tasks.spawn(migrations::look(service, database, self.executor.clone(), told))
            });
            self.begun.insert(key, task);
        }
        self.look_for_snapshots(config, &mut before);
        self.look_at_rds(config, &mut before);
        self.look_for_scripts(config, &mut before);
        for (place, asked) in checks::by_database(config) {
            let key = hashed(&("checks", &place, checks::identity(&asked)));
            let task = before.remove(&key).unwrap_or_else(|| {
                let (handle, watched) = (self.handle.clone(), self.watched.clone());
                self.tasks.spawn(checks::ask(asked, handle, watched))
            });
            self.begun.insert(key, task);
        }
        before.into_values().for_each(|task| task.abort());
    }

    /// What steps find by its name in the file.
    fn adopt(&self, config: &Config) {
        self.executor.clusters.adopt(wiring::reached(config));
        self.executor.accounts.adopt(config.accounts.clone());
        self.executor.manifests.adopt(wiring::manifests(config));
        self.executor.histories.adopt(wiring::histories(config));
        self.executor.keepers.adopt(wiring::keepers(config));
        self.executor.scripts.adopt(wiring::scripts(config));
        self.executor.sites.adopt(wiring::sites(config));
    }

    fn look_at_frontends(&mut self, config: &Config, before: &mut BTreeMap<u64, AbortHandle>) {
        for frontend in wiring::frontends(config) {
            let key = hashed(&("frontend", &frontend.service, format!("{frontend:?}")));
            let task = before.remove(&key).unwrap_or_else(|| {
                let (executor, handle) = (self.executor.clone(), self.handle.clone());
                let watched = self.watched.clone();
                self.tasks.spawn(platforms::look_at_frontend(frontend, executor, handle, watched))
            });
            self.begun.insert(key, task);
        }
    }

    fn look_for_scripts(&mut self, config: &Config, before: &mut BTreeMap<u64, AbortHandle>) {
        let all = config.databases.iter().filter_map(|(id, it)| Some((id, it.reversed.as_ref()?)));
        for (service, reversed) in all {
            let key = hashed(&(
                "scripts",
                service,
                &reversed.files,
                reversed.every,
                reversed.every_watched,
            ));
            let task = before.remove(&key).unwrap_or_else(|| {
                let (service, reversed) = (service.clone(), reversed.clone());
                let told = (self.handle.clone(), self.watched.clone());
                self.tasks.spawn(scripts::look(service, reversed, told))
            });
            self.begun.insert(key, task);
        }
    }

    fn look_for_snapshots(&mut self, config: &Config, before: &mut BTreeMap<u64, AbortHandle>) {
        let kept =
            config.databases.iter().filter_map(|(id, it)| Some((id, it.snapshots.as_ref()?)));
        for (service, kept) in kept {
            let through = &kept.keeper.through;
            let passwords = [through, &kept.keeper.history.options]
                .map(|options| options.password.as_ref().map(Secret::expose));
            let key = hashed(&("snapshots", service, passwords, format!("{kept:?}")));
            let task = before.remove(&key).unwrap_or_else(|| {
                let (executor, kept) = (self.executor.clone(), kept.clone());
                let told = (self.handle.clone(), self.watched.clone());
                self.tasks.spawn(snapshots::look(service.clone(), kept, executor, told))
            });
            self.begun.insert(key, task);
        }
    }

    fn look_at_rds(&mut self, config: &Config, before: &mut BTreeMap<u64, AbortHandle>) {
        let kept = config.databases.iter().filter_map(|(id, it)| Some((id, it.rds.as_ref()?)));
        for (service, kept) in kept {
            let password = kept.place.history.options.password.as_ref().map(Secret::expose);
            let key = hashed(&("rds", service, password, format!("{kept:?}")));
            let task = before.remove(&key).unwrap_or_else(|| {
                let told = (self.handle.clone(), self.watched.clone());
                self.tasks.spawn(rds::look(service.clone(), kept.clone(), told))
            });
            self.begun.insert(key, task);
        }
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

/// Each that finds services, with the server that it asks.
fn discoveries(
    config: &Config,
    servers: &wiring::Servers,
) -> anyhow::Result<Vec<(Discovery, Option<Arc<Prometheus>>)>> {
    let with_server = |discovery: &Discovery| {
        let server = match &discovery.finding {
            Finding::Query { server, .. } => {
                Some(servers.get(server).context("no such Prometheus")?.clone())
            }
            Finding::Annotation { .. } => None,
        };
        Ok((discovery.clone(), server))
    };
    config.discoveries.iter().map(with_server).collect()
}

fn hashed(what: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config,
        store::{self, Store},
    };

    const FILE: &str = r#"
[prometheus.main]
url = "http://127.0.0.1:9"
[template.web]
signal.health.http.url = "http://{service}.invalid/health"
scrape.url = "http://{service}.invalid/metrics"
signal.error_rate.scrape = { bad = 'bad', total = 'total' }
[discover.web]
template = "web"
query = 'count by (service) (requests)'
label = "service"
"#;

    fn with(found: &[&str]) -> Config {
        let names = found.iter().map(|name| (*name).to_owned()).collect();
        let found = [("web".to_owned(), names)].into();
        let loaded = config::load_text_with("rollbackd.toml", FILE, &found);
        loaded.unwrap_or_else(|problems| panic!("{problems:?}")).0
    }

    /// Each discovery built every client anew: TLS roots for each service, once a minute.
    #[tokio::test]
    async fn what_is_found_builds_no_client_for_what_is_as_the_others() {
        let (handle, _asks) = Handle::channel(1);
        let dir = tempfile::tempdir().unwrap();
        let executor = executors::Options::new(dir.path().to_owned()).unwrap();
        let (_outbox, outbox) = watch::channel(0);
        let (_watched, watched) = watch::channel(BTreeSet::new());
        let client = reqwest::Client::new();
        let store = Store::open(store::Options::new(dir.path())).unwrap();
        let executor = (executor, store.lease().clone());
        let mut followers = Followers::new(handle, client, executor, outbox, watched);
        // What nothing is decided by yet is not read either: its first answer would be nobody's.
        let refused = async { anyhow::bail!("the event loop has gone") };
        assert!(followers.follow(&with(&["cart"]), refused).await.is_err());
        assert!(followers.begun.is_empty());
        followers.follow(&with(&["cart", "shop"]), async { Ok(()) }).await.unwrap();
        let (built, server) = (followers.clients.count(), followers.servers["main"].clone());
        assert_eq!((built, followers.begun.len()), (2, 4), "one for probes, one for metrics");
        let three = with(&["cart", "mail", "shop"]);
        followers.follow_found(&three, async { Ok(()) }).await.unwrap();
        assert_eq!((followers.clients.count(), followers.begun.len()), (built, 6));
        assert!(Arc::ptr_eq(&server, &followers.servers["main"]));
    }
}

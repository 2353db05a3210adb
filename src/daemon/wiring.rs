//! From a configuration to the sources, platforms and channels that run.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use anyhow::Context;

use super::{
    platforms::{Deployment, Frontend, Platform},
    poller::{Paced, Source, Wanted},
    query::Query,
};
use crate::{
    config::{self, Ask, Config, DeploymentAt, Migrated, Read},
    databases::history::History,
    domain::{frontend::SiteAt, plan::SchemaAt, service::ServiceId},
    executors::{frontend::Site, script::Scripted, snapshot::Keeper},
    handle::Routing,
    kubernetes::access,
    notifiers::Channel,
    sources::{
        cloudwatch,
        health::Probe,
        http,
        kubernetes::{Asking, Watched},
        prometheus::{self, Prometheus},
        registry::Registries,
        scrape,
    },
    telemetry,
    units::Span,
};

/// The Prometheus servers, by their names in the file.
pub(super) type Servers = BTreeMap<String, Arc<Prometheus>>;

/// A client of each server, for all who ask it: the one from before, where it would be built of the same.
pub(super) fn servers(config: &Config, before: &Servers) -> anyhow::Result<Servers> {
    let server = |(name, options): (&String, &prometheus::Options)| {
        let same = before.get(name).filter(|server| server.options() == options);
        if let Some(same) = same {
            return Ok((name.clone(), same.clone()));
        }
        let server = Prometheus::new(options.clone());
        Ok((name.clone(), Arc::new(server.with_context(|| format!("prometheus {name}"))?)))
    };
    config.servers.iter().map(server).collect()
}

/// What is known of the clusters' namespaces, by cluster and namespace.
pub(super) type Clusters = BTreeMap<(String, Option<String>), Watched>;

/// How the clusters are reached, for whoever changes something in them.
pub(super) fn reached(config: &Config) -> BTreeMap<String, access::Options> {
    let all = config.clusters.iter();
    all.map(|((name, _), options)| (name.clone(), options.clone())).collect()
}

/// What maintenance mode makes, by its hash.
pub(super) fn manifests(config: &Config) -> BTreeMap<String, Arc<[serde_json::Value]>> {
    let manifest = |platform: &config::Platform| match platform {
        config::Platform::Release(_) | config::Platform::Frontend(_) => None,
        config::Platform::Kubernetes(platform) => platform.manifest.clone(),
    };
    let all = config.platforms.values().filter_map(manifest);
    all.map(|manifest| (manifest.hash, manifest.objects)).collect()
}

/// Everything that is watched of clusters: what is known already stays known, where it would be asked for in the same way.
pub(super) fn clusters(config: &Config, before: &Clusters) -> Clusters {
    let known = |place: &(String, Option<String>), options: &access::Options| {
        let same = before.get(place).filter(|watched| watched.options() == options);
        same.cloned().unwrap_or_else(|| Watched::new(options.clone()))
    };
    let all = config.clusters.iter();
    all.map(|(place, options)| (place.clone(), known(place, options))).collect()
}

/// Who is asked about the images of each cluster, by its name in the file; what is known stays known.
pub(super) type Asked = BTreeMap<String, Registries>;

/// A client for the registries of each cluster's images, where they are to be asked.
pub(super) fn registries(config: &Config, before: &Asked) -> anyhow::Result<Asked> {
    let all = config.clusters.iter().filter(|(_, options)| options.registries.ask);
    let mut asked = Asked::new();
    for ((name, _), options) in all {
        let same = before.get(name).filter(|known| *known.options() == options.registries);
        let known = match (asked.get(name), same) {
            (Some(_), _) => continue,
            (None, Some(same)) => same.clone(),
            (None, None) => Registries::new(options.registries.clone())
                .with_context(|| format!("the registries of {name}"))?,
        };
        asked.insert(name.clone(), known);
    }
    Ok(asked)
}

fn watched(clusters: &Clusters, at: &DeploymentAt) -> anyhow::Result<Watched> {
    let namespace = Some(at.key.namespace.to_string());
    let found = clusters
        .get(&(at.cluster.clone(), namespace))
        .or_else(|| clusters.get(&(at.cluster.clone(), None)));
    found.cloned().with_context(|| format!("{} is in no cluster that is watched", at.key))
}

/// Everything that is read, with what one answer serves asked for once. What is asked in one way shares one of the
/// clients.
pub(super) fn sources(
    config: &Config,
    servers: &Servers,
    clusters: &Clusters,
    clients: &mut http::Clients,
) -> anyhow::Result<Vec<Paced>> {
    let mut scrapes: BTreeMap<ScrapeKey, Vec<(Wanted, scrape::Spec)>> = BTreeMap::new();
    let mut queries: BTreeMap<QueryKey, Vec<(Wanted, String)>> = BTreeMap::new();
    let mut measured: Vec<Measured> = vec![];
    let mut all = vec![];
    for poll in &config.polls {
        let wanted = Wanted {
            service: poll.service.clone(),
            signal: poll.signal.clone(),
            unit: poll.unit,
            polls: telemetry::Polls::default(),
        };
        match &poll.read {
            Read::Scrape { targets, spec } => {
                let key = (poll.service.clone(), targets.clone(), poll.every, poll.every_watched);
                scrapes.entry(key).or_default().push((wanted, spec.clone()));
            }
            Read::Prometheus { server, ask, rows } => {
                let (key, value) = QueryKey::of(poll, server, ask, rows.as_ref());
                queries.entry(key).or_default().push((wanted, value));
            }
            Read::Health(options) => {
                let probe = Probe::new((**options).clone(), clients)
                    .with_context(|| format!("the probe of {}", poll.service))?;
                all.push(Paced {
                    source: Source::Health { probe, wanted },
                    every: poll.every,
                    every_watched: poll.every_watched,
                });
            }
            Read::Kubernetes(at) => {
                let (watched, key) = (watched(clusters, at)?, at.key.clone());
                all.push(Paced {
                    source: Source::Kubernetes { watched, key, wanted },
                    every: poll.every,
                    every_watched: poll.every_watched,
                });
            }
            Read::CloudWatch(options, spec) => Measured::add(&mut measured, options, wanted, spec),
            Read::Asked(at, question) => {
                let watched = watched(clusters, at)?;
                let asking = Asking::new(watched, at.key.clone(), question.clone());
                all.push(Paced {
                    source: Source::Asked { asking, wanted },
                    every: poll.every,
                    every_watched: poll.every_watched,
                });
            }
        }
    }
    for ((service, targets, every, every_watched), wants) in scrapes {
        let targets = scraped(config, &targets, clients)
            .with_context(|| format!("the targets of {service}"))?;
        all.push(Paced { source: Source::Scrape { targets, wants }, every, every_watched });
    }
    for (key, wants) in queries {
        let server = servers.get(key.server.as_str()).context("a poll names no known server")?;
        let (every, every_watched) = key.pace;
        let source =
            Source::Query { server: server.clone(), query: key.query, label: key.label, wants };
        all.push(Paced { source, every, every_watched });
    }
    all.extend(measured.into_iter().map(Measured::paced));
    Ok(all)
}

/// Signals that one account of AWS is asked for at one pace.
struct Measured {
    options: cloudwatch::Options,
    wants: Vec<Wanted>,
    specs: Vec<cloudwatch::Spec>,
}

impl Measured {
    fn add(
        all: &mut Vec<Self>,
        options: &cloudwatch::Options,
        wanted: Wanted,
        spec: &cloudwatch::Spec,
    ) {
        let at = all.iter().position(|it| it.options == *options).unwrap_or_else(|| {
            all.push(Self { options: options.clone(), wants: vec![], specs: vec![] });
            all.len() - 1
        });
        all[at].wants.push(wanted);
        all[at].specs.push(spec.clone());
    }

    fn paced(self) -> Paced {
        let period = self.options.period;
        let reader = Box::new(cloudwatch::Reader::new(self.options, self.specs));
        let source = Source::CloudWatch { reader, wants: self.wants };
        Paced { source, every: period, every_watched: period }
    }
}

/// Signals of one service that are scraped together.
type ScrapeKey = (ServiceId, Vec<String>, Span, Span);

/// Signals that one answer serves.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct QueryKey {
    /// Key of the configuration's servers.
    pub server: String,
    /// What is asked.
    pub query: Query,
    /// The label that tells services apart.
    pub label: Option<String>,
    /// How often, and how often while watched.
    pub pace: (Span, Span),
    alone: Option<(ServiceId, String)>,
}

impl QueryKey {
    /// Of a signal, with its value of the label.
    pub(super) fn of(
        poll: &config::Poll,
        server: &str,
        ask: &Ask,
        rows: Option<&config::Rows>,
    ) -> (Self, String) {
        let label = rows.map(|rows| rows.label.clone());
        // Without a label the whole answer is one service's: it is not shared.
        let alone = label.is_none().then(|| (poll.service.clone(), poll.signal.clone()));
        let pace = (poll.every, poll.every_watched);
        let key = Self { server: server.to_owned(), query: query(ask), label, pace, alone };
        (key, rows.map(|rows| rows.value.clone()).unwrap_or_default())
    }
}

fn query(ask: &Ask) -> Query {
    match ask {
        Ask::Ratio { bad, total, version_label } => Query::Counters {
            bad: bad.clone(),
            total: total.clone(),
            version: version_label.clone(),
        },
        Ask::Histogram { buckets } => Query::Buckets(buckets.clone()),
        Ask::Gauge { value, requests, fold } => {
            Query::Gauge(value.clone(), requests.clone(), *fold)
        }
    }
}

/// A list stands alone; targets that are known are asked together.
fn scraped(
    config: &Config,
    names: &[String],
    clients: &mut http::Clients,
) -> anyhow::Result<scrape::Targets> {
    let mut fixed = vec![];
    for name in names {
        match config.targets.get(name).context("a poll names no known target")? {
            scrape::Place::At(options) => {
                fixed.push(scrape::Target::new(options.clone(), clients)?)
            }
            scrape::Place::Listed(options) => {
                let listing = scrape::Listing::new(options.clone(), clients)?;
                return Ok(scrape::Targets::Listed(Box::new(listing)));
            }
        }
    }
    Ok(scrape::Targets::Fixed(fixed))
}

/// Every platform that is asked.
pub(super) fn platforms(config: &Config) -> Vec<Platform> {
    let platform = |(service, platform): (&ServiceId, &config::Platform)| match platform {
        config::Platform::Release(platform) => Some(Platform {
            service: service.clone(),
            runbook: platform.runbook.clone(),
            every: platform.look_every,
            every_watched: platform.look_every_watched,
            secrets: read_secrets(config, service),
        }),
        config::Platform::Kubernetes(_) | config::Platform::Frontend(_) => None,
    };
    config.platforms.iter().filter_map(platform).collect()
}

/// Every site that is looked at.
pub(super) fn frontends(config: &Config) -> Vec<Frontend> {
    let frontend = |(service, platform): (&ServiceId, &config::Platform)| match platform {
        config::Platform::Release(_) | config::Platform::Kubernetes(_) => None,
        config::Platform::Frontend(platform) => Some(Frontend {
            service: service.clone(),
            site: platform.site.clone(),
            every: platform.look_every,
            every_watched: platform.look_every_watched,
        }),
    };
    config.platforms.iter().filter_map(frontend).collect()
}

/// The sites that may be touched, by where they are.
pub(super) fn sites(config: &Config) -> BTreeMap<SiteAt, Site> {
    let sites = frontends(config).into_iter().map(|it| (it.site.runbook.at.clone(), it.site));
    sites.collect()
}

/// Every Deployment that is looked at.
pub(super) fn deployments(
    config: &Config,
    clusters: &Clusters,
    registries: &Asked,
) -> anyhow::Result<Vec<Deployment>> {
    let deployment = |(service, platform): (&ServiceId, &config::Platform)| match platform {
        config::Platform::Release(_) | config::Platform::Frontend(_) => None,
        config::Platform::Kubernetes(platform) => {
            Some(watched(clusters, &platform.at).map(|watched| Deployment {
                service: service.clone(),
                watched,
                key: platform.at.key.clone(),
                runbook: platform.runbook.clone(),
                container: platform.container.clone(),
                left_out: platform.left_out.clone(),
                previous: platform.previous.clone(),
                registries: registries.get(&platform.at.cluster).cloned(),
                every: platform.look_every,
                read_secrets: read_secrets(config, service),
            }))
        }
    };
    config.platforms.iter().filter_map(deployment).collect()
}

fn read_secrets(config: &Config, service: &ServiceId) -> Vec<config::ReadSecret> {
    config.secrets.get(service).cloned().unwrap_or_default()
}

/// Which channels take what.
pub(super) fn routing(channels: &[Channel]) -> Routing {
    let route = |channel: &Channel| {
        let audiences: BTreeSet<_> = channel.audiences.iter().copied().collect();
        (channel.name.clone(), audiences)
    };
    channels.iter().map(route).collect()
}

/// The histories of migrations, by whose they are.
pub(super) fn histories(config: &Config) -> BTreeMap<SchemaAt, History> {
    let histories = config.databases.values().filter_map(Migrated::history);
    histories.map(|history| (history.at(), history.clone())).collect()
}

/// Whose databases can be restored, and from what.
pub(super) fn keepers(config: &Config) -> BTreeMap<SchemaAt, Keeper> {
    let kept = config.databases.values().filter_map(|it| Some((it, it.snapshots.as_ref()?)));
    kept.filter_map(|(it, kept)| Some((it.history()?.at(), kept.keeper.clone()))).collect()
}

/// Whose schema goes back by scripts, and through whom.
pub(super) fn scripts(config: &Config) -> BTreeMap<SchemaAt, Scripted> {
    let all = config.databases.values().filter_map(|it| Some((it, it.reversed.as_ref()?)));
    all.filter_map(|(it, reversed)| Some((it.history()?.at(), reversed.scripted.clone()))).collect()
}

//! From what was written to what the daemon runs on. Nothing stops at the first problem.

mod address;
mod aws;
mod channels;
mod database;
mod discover;
mod found;
mod frontend;
mod holds;
mod intake;
mod jobs;
mod kinds;
mod kubernetes;
mod maintenance;
mod migrations;
mod platform;
mod policy;
mod rds;
mod reach;
mod scripts;
mod secrets;
mod service;
mod shared;
mod signal;
mod snapshots;
mod tellers;
mod trigger;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use sha2::{Digest, Sha256};

use self::{
    found::Found,
    service::{Checked, Common},
};
use crate::{
    config::{
        Alertmanager, Config, DeploymentAt, Each, KubernetesPlatform, Limits, Loaded, Platform,
        Poll, Read, document::Shape, raw,
    },
    domain::{plan::hex, policy::Policy, service::ServiceId},
    kubernetes::access,
    sources::{exposition, http, prometheus},
    store,
    units::Span,
};

const STATE_DIR: &str = "/var/lib/rollbackd";
const ENVIRONMENT: &str = "production";

/// Checks the whole file. Also which services are at fault, by their keys, and why.
pub(super) fn check(
    file: &str,
    text: &str,
    raw: raw::Raw,
    shape: Shape,
) -> (Loaded, BTreeMap<String, String>) {
    let mut found = Found::new(file, text, shape);
    let config = build(&mut found, &raw, text);
    let (problems, at_fault) = found.all();
    let is_unusable = problems.iter().any(|problem| problem.level == super::Level::Error);
    (if is_unusable { Err(problems) } else { Ok((config, problems)) }, at_fault)
}

fn build(found: &mut Found<'_>, raw: &raw::Raw, text: &str) -> Config {
    let state_dir = directory(found, &raw.state_dir).unwrap_or_else(|| PathBuf::from(STATE_DIR));
    let reports_dir =
        directory(found, &raw.reports_dir).unwrap_or_else(|| state_dir.join("reports"));
    let environment = raw.environment.as_ref().map_or(ENVIRONMENT, |e| e.get_ref()).to_owned();
    let servers = servers(found, raw);
    let accounts = aws::accounts(found, raw);
    let databases = database::databases(found, raw, &accounts);
    let common = Common {
        raw,
        databases: &databases,
        accounts: &accounts,
        environment: &environment,
        scrape_limits: exposition_limits(found, &raw.limits),
    };
    let (mut polls, mut targets) = (vec![], BTreeMap::new());
    let mut platforms = BTreeMap::new();
    let mut migrated = BTreeMap::new();
    let mut secrets = BTreeMap::new();
    let mut each_found = BTreeMap::new();
    let store = store_options(found, &raw.store, &state_dir);
    let reached = kubernetes::clusters(found, raw);
    let mut policy = Policy {
        fleet: policy::fleet(&raw.fleet, store.journal_keep),
        config_hash: hex(&Sha256::digest(text)),
        freezes: intake::freezes(found, &raw.freeze),
        ..Policy::default()
    };
    trigger::check_names(found, &raw.trigger);
    for checked in service::services(found, &common) {
        let Checked { policy: service, polls: read, targets: scraped, platform, .. } = checked;
        let (database, its) = (checked.database, checked.secrets);
        if let Some(of) = found.stands_for(&service.id) {
            let each = Each { policy: service, polls: read, platform };
            each_found.entry(of.to_owned()).or_insert(each);
            continue;
        }
        migrated.extend(database.map(|database| (service.id.clone(), database)));
        platforms.extend(platform.map(|platform| (service.id.clone(), platform)));
        if !its.is_empty() {
            secrets.insert(service.id.clone(), its);
        }
        polls.extend(read);
        targets.extend(scraped);
        policy.services.insert(service.id.clone(), Arc::new(service));
    }
    let mut clusters = watched(&reached, &polls, &platforms);
    let found_ones = each_found.values().filter_map(|each| each.platform.as_ref());
    read_annotations(&mut clusters, platforms.values().chain(found_ones));
    Config {
        clusters,
        store,
        channels: channels::channels(found, raw, &accounts),
        heartbeat: channels::heartbeat(found, raw.heartbeat.as_ref()),
        http: intake::http(found, raw, &environment, &accounts),
        alertmanager: alertmanager(found, &raw.alertmanager),
        limits: limits(found, &raw.limits),
        discoveries: discover::discoveries(found, raw, &reached),
        each_found,
        policy,
        state_dir,
        reports_dir,
        polls,
        servers,
        targets,
        platforms,
        databases: migrated,
        secrets,
        accounts,
    }
}

fn servers(found: &mut Found<'_>, raw: &raw::Raw) -> BTreeMap<String, prometheus::Options> {
    let all = raw.prometheus.iter();
    all.filter_map(|(name, server)| {
        Some((name.get_ref().clone(), reach::prometheus(found, server)?))
    })
    .collect()
}

/// Of each cluster the namespaces that somebody looks into, or the whole of it where that is said.
fn watched(
    reached: &BTreeMap<String, (access::Options, bool)>,
    polls: &[Poll],
    platforms: &BTreeMap<ServiceId, Platform>,
) -> BTreeMap<(String, Option<String>), access::Options> {
    let of_polls = polls.iter().filter_map(|poll| match &poll.read {
        Read::Kubernetes(at) | Read::Asked(at, _) => Some(at),
        Read::Scrape { .. } | Read::Prometheus { .. } | Read::Health(_) | Read::CloudWatch(..) => {
            None
        }
    });
    let of_platforms = platforms.values().filter_map(|platform| match platform {
        Platform::Kubernetes(platform) => Some(&platform.at),
        Platform::Release(_) | Platform::Frontend(_) => None,
    });
    let scope = |at: &DeploymentAt| {
        let (options, all) = reached.get(&at.cluster)?;
        let namespace = (!all).then(|| at.key.namespace.to_string());
        let options = access::Options { namespace: namespace.clone(), ..options.clone() };
        Some(((at.cluster.clone(), namespace), options))
    };
    of_polls.chain(of_platforms).filter_map(scope).collect()
}

/// Of each cluster one list, whatever of it is watched: a service that is found later reads what its template says already.
fn read_annotations<'p>(
    clusters: &mut BTreeMap<(String, Option<String>), access::Options>,
    platforms: impl Iterator<Item = &'p Platform>,
) {
    let mut all: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for platform in platforms {
        let Platform::Kubernetes(KubernetesPlatform { at, previous, .. }) = platform else {
            continue;
        };
        let annotation = previous.iter().map(|it| it.annotation.clone());
        all.entry(&at.cluster).or_default().extend(annotation);
    }
    for ((cluster, _), options) in clusters {
        options.previous = all.get(cluster.as_str()).cloned().unwrap_or_default();
    }
}

fn directory(found: &mut Found<'_>, path: &raw::Placed<String>) -> Option<PathBuf> {
    let path = path.as_ref()?;
    if !path.get_ref().starts_with('/') {
        let what = format!("`{}` is not an absolute path", path.get_ref());
        found.error(path.span(), what, "write it from the root: \"/var/lib/rollbackd\"");
        return None;
    }
    Some(PathBuf::from(path.get_ref()))
}

fn exposition_limits(found: &mut Found<'_>, raw: &raw::Limits) -> exposition::Limits {
    let default = exposition::Limits::default();
    exposition::Limits {
        body_bytes: found.at_least_one(&raw.scrape_body_max_bytes, default.body_bytes),
        series: found.at_least_one(&raw.scrape_series_max, default.series),
        ..default
    }
}

fn limits(found: &mut Found<'_>, raw: &raw::Limits) -> Limits {
    let default = Limits::default();
    Limits {
        polls_at_once: found.at_least_one(&raw.polls_at_once, default.polls_at_once),
        deliveries_at_once: found.at_least_one(&raw.deliveries_at_once, default.deliveries_at_once),
    }
}

fn store_options(found: &mut Found<'_>, raw: &raw::Store, dir: &std::path::Path) -> store::Options {
    let default = store::Options::new(dir);
    store::Options {
        journal_keep: found.positive(&raw.journal_keep, default.journal_keep),
        lease_wait: raw.lease_wait.unwrap_or(default.lease_wait),
        busy_wait: raw.busy_wait.unwrap_or(default.busy_wait),
        outbox_max: found.at_least_one(&raw.outbox_max, default.outbox_max),
        settled_max: raw.settled_max.unwrap_or(default.settled_max),
        answer_keep: raw.answer_keep.unwrap_or(default.answer_keep),
        answers_max: raw.answers_max.unwrap_or(default.answers_max),
        snapshot_every: found.positive(&raw.snapshot_every, default.snapshot_every),
        snapshot_keep: raw.snapshot_keep.unwrap_or(default.snapshot_keep),
        ..default
    }
}

fn alertmanager(found: &mut Found<'_>, raw: &raw::Alertmanager) -> Option<Alertmanager> {
    let ask_every = found.positive(&raw.ask_every, Span::seconds(30));
    let url = found.url(raw.url.as_ref()?)?;
    let options = http::Options { body_bytes: 8 << 20, ..http::Options::default() };
    Some(Alertmanager { url, http: reach::options(found, &raw.reach(), options), ask_every })
}

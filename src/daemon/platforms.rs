//! Looks at each service's platform again and again: what is deployed, and what really serves. A machine with releases and
//! a site are asked; of a Deployment it is known, and looked at when there is news.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::sync::watch;
use tracing::{info, warn};

use super::{
    clock,
    keeping::{Keeper, KnownGood},
    listening::Listener,
    pace,
    pulling::Puller,
    secrets::{Kept, Secrets},
};
use crate::{
    config::ReadSecret,
    domain::{
        event::{Event, What},
        inventory::Inventory,
        runbook::{DeploymentRunbook, ReleaseRunbook},
        service::ServiceId,
    },
    executors::{
        self,
        frontend::{Known, Site, frontend_inventory},
        inventory,
    },
    handle::Handle,
    kubernetes::previous,
    sources::{
        kubernetes::{Key, Kind, NOT_LISTED_YET, Wanted, Watched},
        registry::Registries,
    },
    store::Lease,
    units::Span,
};

/// A rollout is a dozen events within a moment: so long is waited for the rest of them.
const TOGETHER: Duration = Duration::from_millis(50);

/// A platform to look at.
#[derive(Clone, Debug)]
pub(super) struct Platform {
    /// Whose.
    pub service: ServiceId,
    /// How it is rolled back, and where it is.
    pub runbook: ReleaseRunbook,
    /// How often to look.
    pub every: Span,
    /// How often to look while the service is watched.
    pub every_watched: Span,
    /// Secrets of AWS that it reads.
    pub secrets: Vec<ReadSecret>,
}

/// Looks until the event loop has gone.
pub(super) async fn look(
    platform: Platform,
    options: executors::Options,
    handle: Handle,
    watched: watch::Receiver<BTreeSet<ServiceId>>,
    lease: Lease,
) {
    let mut hashed = inventory::Hashed::default();
    let Platform { service, runbook, every, every_watched, secrets } = platform;
    let mut secrets =
        (!secrets.is_empty()).then(|| Secrets::begin(&service, secrets, &watched, lease));
    let mut kept = Kept::of(&service, &options);
    let mut pace = Pace { service, every: (every, every_watched), handle, watched, last: None };
    loop {
        let mut seen = inventory::release_inventory(&runbook, &options, &mut hashed).await;
        if let Some(secrets) = &secrets {
            let started = inventory::started_at(&runbook, &options).await;
            let started = started.or(seen.switched_at);
            secrets.add_to(&mut seen, started);
            kept.add_to(&mut seen).await;
            secrets.tell_gone(&mut seen);
        }
        if !pace.tell(seen.clone()).await {
            return;
        }
        if let Some(secrets) = &mut secrets {
            let service = pace.service.clone();
            let known = pace.handle.look(move |fleet, _| KnownGood::of(fleet, &service)).await;
            let Ok(known) = known else { return };
            kept.tend(&seen, &known).await;
            secrets.label(&seen, &known).await;
        }
        tokio::select! {
            goes_on = pace.wait() => if !goes_on { return },
            () = moved(&mut secrets) => {}
        }
    }
}

/// A site to look at.
#[derive(Clone, Debug)]
pub(super) struct Frontend {
    /// Whose.
    pub service: ServiceId,
    /// Where it is, and what is kept of it.
    pub site: Site,
    /// How often to look.
    pub every: Span,
    /// How often to look while the service is watched.
    pub every_watched: Span,
}

/// Looks until the event loop has gone.
pub(super) async fn look_at_frontend(
    frontend: Frontend,
    options: executors::Options,
    handle: Handle,
    watched: watch::Receiver<BTreeSet<ServiceId>>,
) {
    let mut known = Known::default();
    let Frontend { service, site, every, every_watched } = frontend;
    let mut pace = Pace { service, every: (every, every_watched), handle, watched, last: None };
    loop {
        let seen = Box::pin(frontend_inventory(&site, &options, &mut known)).await;
        if !pace.tell(seen).await || !pace.wait().await {
            return;
        }
    }
}

/// Look after look at what is asked, faster while its service is watched.
struct Pace {
    service: ServiceId,
    every: (Span, Span),
    handle: Handle,
    watched: watch::Receiver<BTreeSet<ServiceId>>,
    last: Option<Inventory>,
}

impl Pace {
    /// Hands over what was seen; `false` where nobody wants another look.
    async fn tell(&mut self, seen: Inventory) -> bool {
        tell_faults(&self.service, self.last.as_ref(), &seen);
        self.last = Some(seen.clone());
        let id = format!("seen:{}:{}", self.service, clock::wall().0);
        let what = What::Seen { service: self.service.clone(), inventory: seen };
        self.handle.report(Event { id, what }).await.is_ok()
    }

    /// Waits for the next look; `false` where nobody wants one.
    async fn wait(&mut self) -> bool {
        pace::wait(&mut self.watched, &self.service, self.every).await
    }
}

/// A Deployment to look at.
#[derive(Clone, Debug)]
pub(super) struct Deployment {
    /// Whose.
    pub service: ServiceId,
    /// Where it is known.
    pub watched: Watched,
    /// Which.
    pub key: Key,
    /// How it is rolled back.
    pub runbook: DeploymentRunbook,
    /// The container whose image is the version.
    pub container: Option<String>,
    /// What its template refers to and is no part of its configuration.
    pub left_out: Vec<String>,
    /// How it is read what the version before was; nobody does where that is not wanted.
    pub previous: Option<previous::Options>,
    /// Who is asked whether its images can be pulled; nobody where that is not wanted.
    pub registries: Option<Registries>,
    /// How often to look without news.
    pub every: Span,
    /// Secrets of AWS that its pods read.
    pub read_secrets: Vec<ReadSecret>,
}

/// Looks until the event loop has gone: at once when there is news, and now and then, for what is known also gets old.
pub(super) async fn look_at_deployment(
    deployment: Deployment,
    options: executors::Options,
    handle: Handle,
    (watched_ones, lease): (watch::Receiver<BTreeSet<ServiceId>>, Lease),
) {
    let Deployment { service, watched, key, runbook, container, left_out, .. } = deployment;
    let Deployment { previous, registries, every, read_secrets, .. } = deployment;
    let elsewhere = !read_secrets.is_empty();
    let mut aws = elsewhere.then(|| Secrets::begin(&service, read_secrets, &watched_ones, lease));
    let mut listener =
        (watched.options().events_max > 0).then(|| Listener::new(&service, &watched, &key));
    let mut puller = registries.map(|it| Puller::new(&service, &watched, &key, it));
    let secrets = watched.options().secrets.clone();
    let mut keeper = Keeper::new(&service, &runbook, &options, (left_out.clone(), secrets));
    let mut news = watched.news(&key);
    let mut last: Option<Inventory> = None;
    loop {
        news.mark_unchanged();
        let now = clock::wall();
        let said = Wanted { left_out: &left_out, elsewhere, previous: previous.as_ref() };
        let mut seen = watched.see_but(&key, container.as_deref(), said, now).inventory;
        // Of a Deployment that nobody can see nothing is said.
        let aws_seen = aws.as_ref().filter(|_| seen.deployed.is_some());
        if let Some(aws) = aws_seen {
            aws.add_to(&mut seen, None);
        }
        keeper.add_to(&mut seen).await;
        if let Some(aws) = aws_seen {
            aws.tell_gone(&mut seen);
        }
        if let Some(configuration) = seen.configuration_mut() {
            watched.look_beside(&key, configuration);
        }
        if let Some(puller) = &puller {
            puller.add_to(&mut seen);
        }
        if let Some(listener) = &listener {
            listener.add_to(&mut seen);
        }
        // What is wrong with the cluster is told once, and not for each of its services.
        if watched.unknown().is_none() {
            tell_faults(&service, last.as_ref(), &seen);
        }
        last = Some(seen.clone());
        let id = format!("seen:{service}:{}", clock::wall().0);
        let what = What::Seen { service: service.clone(), inventory: seen.clone() };
        if handle.report(Event { id, what }).await.is_err() {
            return;
        }
        keeper.tend(&seen, &handle).await;
        if let Some(aws) = &mut aws {
            aws.label(&seen, keeper.known_good()).await;
        }
        if let Some(puller) = &mut puller {
            puller.tend(&seen, &mut keeper).await;
        }
        if let Some(listener) = &mut listener {
            listener.tend(&seen, keeper.is_alarmed());
        }
        tokio::select! {
            () = tokio::time::sleep(every.duration()) => continue,
            () = answered(&mut puller) => {}
            () = heard(&mut listener) => {}
            () = moved(&mut aws) => {}
            changed = news.changed() => if changed.is_err() { return },
        }
        // More of it may be on its way, in the middle of a rollout.
        tokio::time::sleep(TOGETHER).await;
    }
}

/// Returns when registries have answered; never where nobody asks them.
async fn answered(puller: &mut Option<Puller>) {
    match puller {
        Some(puller) => puller.answered().await,
        None => std::future::pending().await,
    }
}

/// The same of what the cluster warns of.
async fn heard(listener: &mut Option<Listener>) {
    match listener {
        Some(listener) => listener.heard().await,
        None => std::future::pending().await,
    }
}

/// The same of secrets of AWS.
async fn moved(secrets: &mut Option<Secrets>) {
    match secrets {
        Some(secrets) => secrets.changed().await,
        None => std::future::pending().await,
    }
}

/// Says once when a cluster is not heard any more, and once when it is again; until it is not watched any more.
pub(super) async fn tell_cluster(watched: Watched) {
    let place = watched.options().place();
    let mut faults = watched.faults();
    let mut said: BTreeMap<Kind, String> = BTreeMap::new();
    let mut is_begun = false;
    while faults.changed().await.is_ok() {
        let now = faults.borrow_and_update().clone();
        let is_news =
            |kind: &Kind, why: &String| said.get(kind) != Some(why) && why != NOT_LISTED_YET;
        for (kind, why) in now.iter().filter(|(kind, why)| is_news(kind, why)) {
            warn!("the {} in {place} cannot be watched: {why}{}", kind.name(), meaning(*kind));
        }
        let serves =
            |faults: &BTreeMap<Kind, String>| !faults.keys().any(|kind| Kind::ALL.contains(kind));
        if serves(&now) && (!serves(&said) || !is_begun) {
            is_begun = true;
            let [deployments, sets, pods] = watched.counts().map(|(_, count)| count);
            info!(deployments, sets, pods, "{place} is watched");
        }
        said = now;
    }
}

/// What does not keep what serves from being known is told with what it does.
fn meaning(kind: Kind) -> &'static str {
    match kind {
        Kind::Deployments | Kind::ReplicaSets | Kind::Pods => "",
        Kind::ConfigMaps => {
            "; what pods read is unknown, and only applications are rolled back (config_maps = false in [kubernetes.NAME] asks for them no more)"
        }
        Kind::Secrets => {
            "; what pods read is unknown, and only applications are rolled back (secrets = \"off\" in [kubernetes.NAME] asks for them no more)"
        }
    }
}

/// Once when it begins, and once when it is over.
fn tell_faults(service: &ServiceId, last: Option<&Inventory>, seen: &Inventory) {
    let before = last.map(|last| last.faults.as_slice()).unwrap_or_default();
    for fault in seen.faults.iter().filter(|fault| !before.contains(fault)) {
        warn!(%service, "the platform of {service} is not as it should be: {fault}");
    }
    if seen.faults.is_empty() && !before.is_empty() {
        info!(%service, "the platform of {service} is as it should be again");
    }
}

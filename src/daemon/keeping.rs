//! Keeps what served well of each Deployment: its cluster forgets, and a release may take the history away.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::{task::spawn_blocking, time::Instant};
use tracing::{info, warn};

use super::clock;
use crate::{
    domain::{
        change::{Component, Revision},
        configuration,
        fleet::Fleet,
        image::Good,
        inventory::{Available, Inventory},
        plan::DeploymentAt,
        runbook::DeploymentRunbook,
        service::{Mode, ServiceId},
    },
    executors::{self, Clusters},
    handle::Handle,
    kubernetes::{
        maps::{Configuration, KEPT_MAX, Maps},
        pulls::Pulls,
        seal::Secrets,
        shelf::{Kept, Shelf},
    },
};

/// Of one service.
#[derive(Debug)]
pub(super) struct Keeper {
    service: ServiceId,
    at: DeploymentAt,
    clusters: Clusters,
    shelf: Shelf,
    maps: Maps,
    /// What is kept; read when it is first needed.
    kept: Option<Vec<Kept>>,
    /// The same of what its pods read.
    configurations: Option<Vec<Configuration>>,
    /// What could not be kept, so that it is told once, and when that was.
    failed: Failed,
    failed_configuration: Failed,
    /// What of it could not be read, as it was told.
    unreadable: BTreeMap<&'static str, String>,
    /// What its template refers to and is no part of its configuration.
    left_out: Vec<String>,
    /// What is kept of Secrets, and by which key.
    secrets: Secrets,
    /// What of them this key does not open, as it was told.
    closed: Vec<String>,
    /// Where a rollback would go to that nobody named a version for.
    target: Option<Revision>,
    /// How its images were when it was known good.
    target_images: Vec<Good>,
    /// Whether an incident is open, or something is about to fire.
    is_alarmed: bool,
    /// What the ledger says of what its pods read, as last seen.
    known: KnownGood,
}

type Failed = Option<(String, Instant)>;

/// What could not be kept is tried again after so long, however much news there is of the Deployment.
const AGAIN_AFTER: Duration = Duration::from_secs(30);

impl Keeper {
    pub(super) fn new(
        service: &ServiceId,
        runbook: &DeploymentRunbook,
        executor: &executors::Options,
        (left_out, secrets): (Vec<String>, Secrets),
    ) -> Self {
        let at = runbook.at(None);
        Self {
            service: service.clone(),
            clusters: executor.clusters.clone(),
            shelf: Shelf::of(&executor.state_dir, &at),
            maps: Maps::of(&executor.state_dir, &at),
            at,
            kept: None,
            configurations: None,
            failed: None,
            failed_configuration: None,
            unreadable: BTreeMap::new(),
            left_out,
            secrets,
            closed: vec![],
            target: None,
            target_images: vec![],
            is_alarmed: false,
            known: KnownGood::default(),
        }
    }

    /// What the ledger says of what its pods read, as last seen.
    pub(super) fn known_good(&self) -> &KnownGood {
        &self.known
    }

    /// Whether an incident was open when it was last looked, or something was about to fire.
    pub(super) fn is_alarmed(&self) -> bool {
        self.is_alarmed
    }

    /// Where a rollback would go to, as last seen.
    pub(super) fn target(&self) -> Option<&Revision> {
        self.target.as_ref()
    }

    /// How the images of that one were when it was known good.
    pub(super) fn target_images(&self) -> &[Good] {
        &self.target_images
    }

    /// What pods of a version need of registries, where that is kept.
    pub(super) async fn pulls_of(&mut self, digest: &str) -> Option<Pulls> {
        let mut all = self.kept().await.iter();
        let kept = all.find(|kept| kept.revision.digest.as_deref() == Some(digest))?;
        Some(kept.pulls.clone())
    }

    /// Says of an inventory what is kept: also what the cluster has not any more can be gone back to.
    pub(super) async fn add_to(&mut self, seen: &mut Inventory) {
        // Of a Deployment that nobody can see nothing is said.
        if seen.deployed.is_none() {
            return;
        }
        if let Some(found) = seen.configuration_mut() {
            let kept: Vec<_> =
                self.configurations().await.iter().map(Configuration::in_short).collect();
            // What must be left alone since then is no part of what can be gone back to.
            let is_ours = |kept: &configuration::Kept| {
                !kept.items.iter().any(|item| self.left_out.contains(&item.name))
            };
            found.kept = kept.into_iter().filter(is_ours).collect();
        }
        for Kept { revision, kept_at, is_whole, .. } in self.kept().await {
            let known = seen.available.iter_mut().find(|a| a.revision.digest == revision.digest);
            match known {
                Some(known) => known.kept = *is_whole,
                None => seen.available.push(Available {
                    revision: revision.clone(),
                    modified_at: Some(*kept_at),
                    held_in: None,
                    kept: *is_whole,
                    images: vec![],
                    differs: None,
                }),
            }
        }
    }

    /// Keeps what has come to be known good, and forgets what is that no more.
    pub(super) async fn tend(&mut self, seen: &Inventory, handle: &Handle) {
        let service = self.service.clone();
        let Ok(known) = handle.look(move |fleet, _| known(fleet, &service)).await else { return };
        let Known { good, digests, configurations, target, target_images, is_alarmed } = known;
        (self.target, self.target_images) = (target, target_images);
        self.is_alarmed = is_alarmed;
        self.known = configurations.clone();
        self.tend_configurations(configurations, seen).await;
        // A service that is called otherwise, or a journal that was lost, has nothing to say of what is kept.
        if good.is_empty() {
            return;
        }
        let mut is_news = false;
        for (revision, is_earned) in good {
            is_news |= self.keep(&revision, is_earned, seen).await;
        }
        let stale =
            |kept: &Kept| kept.revision.digest.as_ref().is_none_or(|d| !digests.contains(d));
        if self.kept().await.iter().any(stale) {
            let shelf = self.shelf.clone();
            let forgotten = spawn_blocking(move || shelf.retain(&digests)).await;
            if let Err(fault) = forgotten.unwrap_or_else(|fault| Err(fault.into())) {
                warn!(service = %self.service, "what is not known good any more is still kept: {fault}");
            }
            is_news = true;
        }
        if is_news {
            self.kept = None;
        }
    }

    /// Whether anything is kept that was not before.
    async fn keep(&mut self, revision: &Revision, is_earned: bool, seen: &Inventory) -> bool {
        let is_set = seen.linked.as_ref().is_some_and(|linked| linked.digest == revision.digest);
        let known = self.kept().await.iter().find(|m| m.revision.digest == revision.digest);
        // A template alone becomes the whole when it is set again.
        if known.is_some_and(|known| known.is_whole || !is_set) {
            return false;
        }
        // What else the Deployment is to be now is not what it was when this version earned it.
        if is_set && !(is_earned && seen.is_settled()) {
            return false;
        }
        let held = seen.available.iter().find(|a| a.revision.digest == revision.digest);
        let replica_set = held.and_then(|a| a.held_in.as_ref()).map(|h| h.replica_set.as_str());
        if !is_set && replica_set.is_none() {
            return false;
        }
        if self.failed.as_ref().is_some_and(|(_, at)| at.elapsed() < AGAIN_AFTER) {
            return false;
        }
        let uid = seen.deployed.as_ref().map(|deployed| deployed.uid.clone());
        let at = DeploymentAt { uid, ..self.at.clone() };
        let which = (revision, replica_set);
        let done = executors::keep(&self.clusters, &at, which, &self.shelf, clock::wall()).await;
        note_kept(&self.service, revision, done, &mut self.failed)
    }

    /// Keeps what its pods read once that is known good, and forgets what is that no more.
    async fn tend_configurations(&mut self, known: KnownGood, seen: &Inventory) {
        let KnownGood { good, digests, .. } = known;
        // As of versions: a journal that was lost has nothing to say of what is kept.
        if good.is_empty() {
            return;
        }
        let found = seen.configuration().filter(|found| good.contains(&found.revision));
        let mut is_news = false;
        if let Some(found) = found {
            is_news = self.keep_configuration(found).await;
        }
        let kept = self.configurations().await;
        let is_stale = |kept: &Configuration| {
            kept.revision.digest.as_ref().is_none_or(|digest| !digests.contains(digest))
        };
        if kept.len() > KEPT_MAX || kept.iter().any(is_stale) {
            let maps = self.maps.clone();
            let forgotten = spawn_blocking(move || maps.retain(&digests)).await;
            if let Err(fault) = forgotten.unwrap_or_else(|fault| Err(fault.into())) {
                warn!(service = %self.service, "what its pods read, and is not known good any more, is still kept: {fault}");
            }
            is_news = true;
        }
        if is_news {
            self.configurations = None;
        }
    }

    /// Whether it was tried: where it failed a part of it may be kept all the same.
    async fn keep_configuration(&mut self, found: &configuration::Configuration) -> bool {
        let revision = &found.revision;
        let is_by_key = self.secrets.key().is_some();
        // By another key than before it is kept anew.
        let is_whole = |kept: &Configuration| {
            let mut secrets = kept.items.iter().filter(|it| it.kind == configuration::Kind::Secret);
            !is_by_key || secrets.all(|it| it.sealed || it.digest.is_none())
        };
        let known = self.configurations().await;
        if known.iter().any(|kept| kept.revision.agrees_with(revision) && is_whole(kept)) {
            return false;
        }
        if self.failed_configuration.as_ref().is_some_and(|(_, at)| at.elapsed() < AGAIN_AFTER) {
            return false;
        }
        let (clusters, maps) = (&self.clusters, &self.maps);
        let done =
            executors::keep_configuration(clusters, &self.at, found, maps, clock::wall()).await;
        note_kept(&self.service, revision, done, &mut self.failed_configuration);
        true
    }

    /// What cannot be read now is read again with the next look, and told once.
    async fn configurations(&mut self) -> &[Configuration] {
        if self.configurations.is_none() {
            let (maps, key) = (self.maps.clone(), self.secrets.key().cloned());
            let read = spawn_blocking(move || match key {
                Some(key) => maps.opened(&key),
                None => maps.all().map(|all| (all, vec![])),
            });
            let read = self.readable("its pods read", read.await);
            self.configurations = read.map(|(all, closed)| {
                tell_closed(&self.service, &self.closed, &closed);
                self.closed = closed;
                all
            });
        }
        self.configurations.as_deref().unwrap_or_default()
    }

    async fn kept(&mut self) -> &[Kept] {
        if self.kept.is_none() {
            let shelf = self.shelf.clone();
            let read = spawn_blocking(move || shelf.all()).await;
            self.kept = self.readable("was known good", read);
        }
        self.kept.as_deref().unwrap_or_default()
    }

    fn readable<T>(
        &mut self,
        what: &'static str,
        read: Result<std::io::Result<T>, tokio::task::JoinError>,
    ) -> Option<T> {
        match read.unwrap_or_else(|fault| Err(fault.into())) {
            Ok(read) => {
                self.unreadable.remove(what);
                Some(read)
            }
            Err(fault) => {
                let fault = fault.to_string();
                if self.unreadable.get(what) != Some(&fault) {
                    warn!(service = %self.service, "what is kept of what {what} cannot be read: {fault}");
                    self.unreadable.insert(what, fault);
                }
                None
            }
        }
    }
}

/// Each once.
fn tell_closed(service: &ServiceId, told: &[String], closed: &[String]) {
    let news: Vec<&str> =
        closed.iter().filter(|it| !told.contains(it)).map(String::as_str).collect();
    if !news.is_empty() {
        let closed = news.join(", ");
        warn!(%service, "secrets_key does not open what is kept of {closed}: another key, or a damaged file; it counts as not kept");
    }
}

/// Whether it was kept only now; what could not be is told once.
fn note_kept(
    service: &ServiceId,
    revision: &Revision,
    done: Result<(), String>,
    failed: &mut Failed,
) -> bool {
    let Err(why) = done else {
        info!(%service, "{revision} is known good, and kept");
        *failed = None;
        return true;
    };
    if failed.as_ref().is_none_or(|(said, _)| *said != why) {
        warn!(%service, "{revision} is known good, and could not be kept: {why}");
    }
    *failed = Some((why, Instant::now()));
    false
}

/// What the ledger knows of a service.
struct Known {
    /// What has served healthily for long enough and was not rolled away from since; whether it earned that since it last
    /// began to serve.
    good: Vec<(Revision, bool)>,
    /// Every version that it remembers: one that is quarantined can be lifted.
    digests: BTreeSet<String>,
    /// The same of what its pods read.
    configurations: KnownGood,
    /// The one to go back to.
    target: Option<Revision>,
    /// How its images were when it was known good.
    target_images: Vec<Good>,
    /// Whether an incident is open, or something is about to fire.
    is_alarmed: bool,
}

/// What the ledger knows of what a service reads beside its code.
#[derive(Clone, Debug, Default)]
pub(super) struct KnownGood {
    /// What has earned it, and was not rolled away from since.
    pub(super) good: Vec<Revision>,
    /// Every revision that it remembers.
    pub(super) digests: BTreeSet<String>,
    /// Whether anything may be done to this service: who only observes labels nothing, either.
    pub(super) may_act: bool,
}

impl KnownGood {
    /// Of a service.
    pub(super) fn of(fleet: &Fleet, service: &ServiceId) -> Self {
        let policy = fleet.policy.services.get(service);
        let may_act = policy.is_some_and(|policy| policy.mode != Mode::Observe);
        let shelf = fleet
            .states
            .get(service)
            .and_then(|state| state.ledger.shelves.get(&Component::Configuration));
        let Some(shelf) = shelf else { return Self { may_act, ..Self::default() } };
        let good = shelf
            .entries
            .iter()
            .filter(|entry| entry.quarantine.is_none() && entry.known_good_at.is_some());
        let all = shelf.entries.iter().filter_map(|entry| entry.revision.digest.clone());
        let good = good.map(|entry| entry.revision.clone()).collect();
        Self { good, digests: all.collect(), may_act }
    }
}

fn known(fleet: &Fleet, service: &ServiceId) -> Known {
    let state = fleet.states.get(service);
    let watch = fleet.watches.get(service);
    let is_alarmed =
        state.is_some_and(|it| it.incident.is_some()) || watch.is_some_and(|it| it.is_alarmed());
    let shelf = state.and_then(|state| state.ledger.shelves.get(&Component::Application));
    let entries = || shelf.into_iter().flat_map(|shelf| &shelf.entries);
    let good = entries().filter(|entry| entry.quarantine.is_none()).filter_map(|entry| {
        let earned_at = entry.known_good_at?;
        Some((entry.revision.clone(), earned_at >= entry.serving_since))
    });
    let target = state.and_then(|it| it.ledger.target(Component::Application).ok());
    let entry = target.and_then(|it| state?.ledger.entry(Component::Application, it));
    Known {
        good: good.collect(),
        digests: entries().filter_map(|entry| entry.revision.digest.clone()).collect(),
        configurations: KnownGood::of(fleet, service),
        is_alarmed,
        target: target.cloned(),
        target_images: entry.map(|it| it.images.clone()).unwrap_or_default(),
    }
}

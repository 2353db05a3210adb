//! Keeps what served well of each Deployment: its cluster forgets, and a release may take the history away.

use std::{collections::BTreeSet, time::Duration};

use tokio::{task::spawn_blocking, time::Instant};
use tracing::{info, warn};

use super::clock;
use crate::{
    domain::{
        change::{Component, Revision},
        fleet::Fleet,
        inventory::{Available, Inventory},
        plan::DeploymentAt,
        runbook::DeploymentRunbook,
        service::ServiceId,
    },
    executors::{self, Clusters},
    handle::Handle,
    kubernetes::shelf::{Kept, Shelf},
};

/// Of one service.
#[derive(Debug)]
pub(super) struct Keeper {
    service: ServiceId,
    at: DeploymentAt,
    clusters: Clusters,
    shelf: Shelf,
    /// What is kept; read when it is first needed.
    kept: Option<Vec<Kept>>,
    /// What could not be kept, so that it is told once, and when that was.
    failed: Option<(String, Instant)>,
}

/// What could not be kept is tried again after so long, however much news there is of the Deployment.
const AGAIN_AFTER: Duration = Duration::from_secs(30);

impl Keeper {
    pub(super) fn new(
        service: &ServiceId,
        runbook: &DeploymentRunbook,
        executor: &executors::Options,
    ) -> Self {
        let at = runbook.at(None);
        Self {
            service: service.clone(),
            clusters: executor.clusters.clone(),
            shelf: Shelf::of(&executor.state_dir, &at),
            at,
            kept: None,
            failed: None,
        }
    }

    /// Says of an inventory what is kept: also what the cluster has not any more can be gone back to.
    pub(super) async fn add_to(&mut self, seen: &mut Inventory) {
        // Of a Deployment that nobody can see nothing is said.
        if seen.deployed.is_none() {
            return;
        }
        for Kept { revision, kept_at, is_whole } in self.kept().await {
            let known = seen.available.iter_mut().find(|a| a.revision.digest == revision.digest);
            match known {
                Some(known) => known.kept = *is_whole,
                None => seen.available.push(Available {
                    revision: revision.clone(),
                    modified_at: Some(*kept_at),
                    held_in: None,
                    kept: *is_whole,
                }),
            }
        }
    }

    /// Keeps what has come to be known good, and forgets what is that no more.
    pub(super) async fn tend(&mut self, seen: &Inventory, handle: &Handle) {
        let service = self.service.clone();
        let Ok(known) = handle.look(move |fleet, _| known(fleet, &service)).await else { return };
        let Known { good, digests } = known;
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
        match executors::keep(&self.clusters, &at, which, &self.shelf, clock::wall()).await {
            Ok(()) => {
                info!(service = %self.service, "{revision} is known good, and kept");
                self.failed = None;
                true
            }
            Err(why) => {
                if self.failed.as_ref().is_none_or(|(said, _)| *said != why) {
                    warn!(service = %self.service, "{revision} is known good, and could not be kept: {why}");
                }
                self.failed = Some((why, Instant::now()));
                false
            }
        }
    }

    async fn kept(&mut self) -> &[Kept] {
        if self.kept.is_none() {
            let (shelf, service) = (self.shelf.clone(), &self.service);
            let read = spawn_blocking(move || shelf.all()).await;
            self.kept =
                Some(read.unwrap_or_else(|fault| Err(fault.into())).unwrap_or_else(|fault| {
                    warn!(%service, "what is kept of it cannot be read: {fault}");
                    vec![]
                }));
        }
        self.kept.as_deref().unwrap_or_default()
    }
}

/// What the ledger knows of a service.
struct Known {
    /// What has served healthily for long enough and was not rolled away from since; whether it earned that since it last
    /// began to serve.
    good: Vec<(Revision, bool)>,
    /// Every version that it remembers: one that is quarantined can be lifted.
    digests: BTreeSet<String>,
}

fn known(fleet: &Fleet, service: &ServiceId) -> Known {
    let state = fleet.states.get(service);
    let shelf = state.and_then(|state| state.ledger.shelves.get(&Component::Application));
    let entries = || shelf.into_iter().flat_map(|shelf| &shelf.entries);
    let good = entries().filter(|entry| entry.quarantine.is_none()).filter_map(|entry| {
        let earned_at = entry.known_good_at?;
        Some((entry.revision.clone(), earned_at >= entry.serving_since))
    });
    Known {
        good: good.collect(),
        digests: entries().filter_map(|entry| entry.revision.digest.clone()).collect(),
    }
}

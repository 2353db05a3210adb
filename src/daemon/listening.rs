//! What the cluster warns of a Deployment, while something is wrong with it: asked for beside everything else, and never
//! waited for.

use std::time::Duration;

use tokio::{task::JoinSet, time::Instant};
use tracing::{info, warn};

use crate::{
    domain::{
        inventory::Inventory,
        service::ServiceId,
        warning::{self, Warning},
    },
    sources::kubernetes::{Key, NoEvents, Watched},
};

/// While something is wrong, events are asked for no more often.
const AGAIN_AFTER: Duration = Duration::from_secs(30);

/// Of one service.
#[derive(Debug)]
pub(super) struct Listener {
    service: ServiceId,
    watched: Watched,
    key: Key,
    /// The newest, newest first.
    known: Vec<Warning>,
    asked_at: Option<Instant>,
    /// At most one round at a time; ends with its owner.
    asking: JoinSet<Result<Vec<Warning>, NoEvents>>,
    /// Why there are none, so that it is told once.
    told: Option<NoEvents>,
}

impl Listener {
    pub(super) fn new(service: &ServiceId, watched: &Watched, key: &Key) -> Self {
        Self {
            service: service.clone(),
            watched: watched.clone(),
            key: key.clone(),
            known: vec![],
            asked_at: None,
            asking: JoinSet::new(),
            told: None,
        }
    }

    /// Says of an inventory what is warned of.
    pub(super) fn add_to(&self, seen: &mut Inventory) {
        if let Some(deployed) = &mut seen.deployed {
            deployed.warnings.clone_from(&self.known);
        }
    }

    /// Asks where something is wrong, now and then.
    pub(super) fn tend(&mut self, seen: &Inventory, is_alarmed: bool) {
        if !is_alarmed && seen.faults.is_empty() {
            // Of what is over nothing is said the next time.
            self.known.clear();
            return;
        }
        let is_early = self.asked_at.is_some_and(|at| at.elapsed() < AGAIN_AFTER);
        // One that is not heard has trouble enough.
        if is_early || !self.asking.is_empty() || self.watched.unknown().is_some() {
            return;
        }
        self.asked_at = Some(Instant::now());
        let (watched, key) = (self.watched.clone(), self.key.clone());
        let about = watched.warned_of(&key);
        self.asking.spawn(async move { watched.warnings(&key, &about).await });
    }

    /// Returns when there are answers.
    pub(super) async fn heard(&mut self) {
        let Some(answer) = self.asking.join_next().await else {
            return std::future::pending().await;
        };
        let most = self.watched.options().events_max;
        match answer.unwrap_or_else(|fault| Err(NoEvents::Unknown(fault.to_string()))) {
            Ok(all) => {
                self.known = warning::latest(all, most);
                self.told = None;
            }
            Err(why) => {
                if self.told.as_ref() != Some(&why) {
                    self.tell(&why);
                }
                self.told = Some(why);
            }
        }
    }

    fn tell(&self, why: &NoEvents) {
        let service = &self.service;
        match why {
            NoEvents::Forbidden(why) => info!(
                %service,
                "the cluster's warnings are told nobody, for the daemon may not list events: {why} (events_max = 0 asks for none)"
            ),
            NoEvents::Unknown(why) => warn!(%service, "the cluster's warnings are unknown: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::access::{Access, Options};

    #[tokio::test]
    async fn a_cluster_that_is_not_heard_is_not_asked_for_events_either() {
        let access = Access::Kubeconfig { path: "/nowhere".into(), context: None };
        let watched = Watched::new(Options::new("main", access));
        assert!(watched.unknown().is_some());
        let service = ServiceId::new("shop", "test").unwrap();
        let mut listener = Listener::new(&service, &watched, &Key::new("shop", "web"));
        let seen = Inventory {
            faults: vec!["nothing is known".into()],
            ..watched.see(&Key::new("shop", "web"), None, crate::units::UnixMs(0)).inventory
        };
        listener.tend(&seen, true);
        assert!(listener.asking.is_empty() && listener.asked_at.is_none());
    }
}

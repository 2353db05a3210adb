//! Looks at each service's platform again and again: what is deployed, and what really serves.

use std::collections::BTreeSet;

use tokio::sync::watch;
use tracing::{info, warn};

use super::clock;
use crate::{
    domain::{
        event::{Event, What},
        inventory::Inventory,
        runbook::ReleaseRunbook,
        service::ServiceId,
    },
    executors::{self, inventory},
    handle::Handle,
    units::Span,
};

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
}

/// Looks until the event loop has gone.
pub(super) async fn look(
    platform: Platform,
    options: executors::Options,
    handle: Handle,
    mut watched: watch::Receiver<BTreeSet<ServiceId>>,
) {
    let mut last: Option<Inventory> = None;
    let mut hashed = inventory::Hashed::default();
    loop {
        let seen = inventory::release_inventory(&platform.runbook, &options, &mut hashed).await;
        tell_faults(&platform.service, last.as_ref(), &seen);
        last = Some(seen.clone());
        let id = format!("seen:{}:{}", platform.service, clock::wall().0);
        let what = What::Seen { service: platform.service.clone(), inventory: seen };
        if handle.report(Event { id, what }).await.is_err() {
            return;
        }
        let fast = watched.borrow_and_update().contains(&platform.service);
        let pause = if fast { platform.every_watched } else { platform.every };
        let own = |watched: &BTreeSet<ServiceId>| watched.contains(&platform.service) != fast;
        tokio::select! {
            () = tokio::time::sleep(pause.duration()) => {}
            // What is watched of other services is none of its business.
            changed = watched.wait_for(own) => if changed.is_err() { return },
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

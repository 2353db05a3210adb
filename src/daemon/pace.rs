//! How often something of a service is looked at: faster while it is watched.

use std::collections::BTreeSet;

use tokio::{sync::watch, time::sleep};

use crate::{domain::service::ServiceId, units::Span};

/// Waits for the next look, so long usually and so long while it is watched; `false` where nobody wants one any more.
pub(super) async fn wait(
    watched: &mut watch::Receiver<BTreeSet<ServiceId>>,
    service: &ServiceId,
    (every, every_watched): (Span, Span),
) -> bool {
    let fast = watched.borrow_and_update().contains(service);
    let pause = if fast { every_watched } else { every };
    // What is watched of other services is none of its business.
    let own = |watched: &BTreeSet<ServiceId>| watched.contains(service) != fast;
    tokio::select! {
        () = sleep(pause.duration()) => true,
        changed = watched.wait_for(own) => changed.is_ok(),
    }
}

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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;
    use crate::domain::examples;

    const SOON: Duration = Duration::from_secs(10);
    const MOMENT: Span = Span(1);
    const LONG: Span = Span::hours(1);

    #[tokio::test]
    async fn what_nobody_watches_is_looked_at_seldom_and_at_once_when_it_begins_to_be_watched() {
        let (tell, mut watched) = watch::channel(BTreeSet::new());
        let (shop, other) = (examples::id("shop/production"), examples::id("cart/production"));
        assert_eq!(timeout(SOON, wait(&mut watched, &shop, (MOMENT, LONG))).await, Ok(true));
        let told = async {
            tell.send_replace([other.clone()].into());
            tokio::task::yield_now().await;
            tell.send_replace([other, shop.clone()].into());
        };
        let looks = timeout(SOON, wait(&mut watched, &shop, (LONG, LONG)));
        assert_eq!(tokio::join!(looks, told).0, Ok(true), "it begins to be watched");
        assert_eq!(timeout(SOON, wait(&mut watched, &shop, (LONG, MOMENT))).await, Ok(true));
        drop(tell);
        assert_eq!(timeout(SOON, wait(&mut watched, &shop, (LONG, LONG))).await, Ok(false));
    }
}

//! Looks again and again which snapshots RDS has of a service's database: seldom while nothing is watched, for what would be lost is counted
//! in what serves.

use std::collections::BTreeSet;

use tokio::sync::watch;
use tracing::{info, warn};

use super::{clock, pace};
use crate::{
    config::KeptByRds,
    domain::{
        event::{Event, What},
        rds::{AVAILABLE, Seen},
        service::ServiceId,
    },
    executors,
    handle::Handle,
};

/// Looks until the event loop has gone.
pub(super) async fn look(
    service: ServiceId,
    kept: KeptByRds,
    (handle, mut watched): (Handle, watch::Receiver<BTreeSet<ServiceId>>),
) {
    let mut last: Option<Result<Box<Seen>, String>> = None;
    loop {
        let seen = Box::pin(executors::rds::seen(&kept.place)).await.map(Box::new);
        tell(&service, last.as_ref(), &seen);
        last = Some(seen.clone());
        let what = What::RdsSeen { service: service.clone(), seen };
        let id = format!("rds:{service}:{}", clock::wall().0);
        if handle.report(Event { id, what }).await.is_err() {
            return;
        }
        let every = (kept.every, kept.every_watched);
        if !pace::wait(&mut watched, &service, every).await {
            return;
        }
    }
}

type Looked = Result<Box<Seen>, String>;

/// What is new, once. By a request's id no fault is the same as another.
fn tell(service: &ServiceId, last: Option<&Looked>, seen: &Looked) {
    let before = last.and_then(|last| last.as_ref().ok());
    let seen = match seen {
        Ok(seen) => seen,
        Err(why) => {
            if !matches!(last, Some(Err(_))) {
                warn!(%service, "which snapshots RDS has of the database of {service} is unknown: {why}");
            }
            return;
        }
    };
    if let Err(why) = &seen.pointer
        && before.is_none_or(|before| before.pointer.is_ok())
    {
        warn!(%service, "where {service} is told that its database is, is unknown: {why}");
    }
    let was_told = |arn: &str, status: &str| {
        before
            .is_some_and(|all| all.snapshots.iter().any(|it| it.arn == arn && it.status == status))
    };
    for it in seen.snapshots.iter().filter(|it| !was_told(&it.arn, &it.status)) {
        let at = it.taken_at.map(|at| at.to_string()).unwrap_or_default();
        match it.status.as_str() {
            AVAILABLE => info!(%service, "the snapshot {} of {at} is there", it.arn),
            status => info!(%service, "the snapshot {} is `{status}`", it.arn),
        }
    }
    if seen.snapshots.is_empty() && before.is_none_or(|before| !before.snapshots.is_empty()) {
        warn!(%service, "RDS has no snapshot of the database of {service}");
    }
}

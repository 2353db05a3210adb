//! Looks again and again which snapshots of a service's database there are: seldom while nothing is watched, for what would be lost is
//! counted in what serves.

use std::collections::BTreeSet;

use tokio::sync::watch;
use tracing::{info, warn};

use super::{clock, pace};
use crate::{
    config::Kept,
    domain::{
        event::{Event, What},
        schema::snapshot::Snapshots,
        service::ServiceId,
    },
    executors::{self, snapshot::Known},
    handle::Handle,
};

/// Looks until the event loop has gone.
pub(super) async fn look(
    service: ServiceId,
    kept: Kept,
    executor: executors::Options,
    (handle, mut watched): (Handle, watch::Receiver<BTreeSet<ServiceId>>),
) {
    let (mut known, mut last) = (Known::default(), None);
    loop {
        let now = clock::wall();
        let at = (executor.state_dir.as_path(), &mut known);
        let seen = executors::snapshot::snapshots(&kept.keeper, at, now).await;
        tell(&service, last.as_ref(), &seen);
        last = Some(seen.clone());
        let what = What::SnapshotsSeen { service: service.clone(), seen };
        let id = format!("snapshots:{service}:{}", now.0);
        if handle.report(Event { id, what }).await.is_err() {
            return;
        }
        let every = (kept.every, kept.every_watched);
        if !pace::wait(&mut watched, &service, every).await {
            return;
        }
    }
}

type Seen = Result<Snapshots, String>;

/// Each file once, and once that nobody can tell.
fn tell(service: &ServiceId, last: Option<&Seen>, seen: &Seen) {
    let all = match seen {
        Ok(all) => all,
        Err(why) => {
            if !matches!(last, Some(Err(before)) if before == why) {
                warn!(%service, "which snapshots of its database {service} has is unknown: {why}");
            }
            return;
        }
    };
    let was_told = |file: &str, schema: &Result<_, String>| {
        let before = last.and_then(|last| last.as_ref().ok());
        before
            .is_some_and(|all| all.newest.iter().any(|it| it.file == file && it.schema == *schema))
    };
    for it in all.newest.iter().filter(|it| !was_told(&it.file, &it.schema)) {
        let (file, taken_at) = (&it.file, it.taken_at);
        match &it.schema {
            Ok(schema) => info!(%service, "the snapshot {file} of {taken_at} holds {schema}"),
            Err(why) => warn!(%service, "the snapshot {file} cannot be used: {why}"),
        }
    }
    if all.newest.is_empty()
        && last.is_none_or(|last| last.as_ref().is_ok_and(|it| !it.newest.is_empty()))
    {
        warn!(%service, "there is no snapshot of the database of {service}");
    }
}

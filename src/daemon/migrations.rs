//! Looks at each service's history of migrations again and again, and at once when a change or an incident begins to be watched.

use std::collections::BTreeSet;

use tokio::sync::watch;
use tracing::{info, warn};

use super::{clock, pace};
use crate::{
    config::{Migrated, Teller},
    domain::{
        event::{Event, What},
        schema::Seen,
        service::ServiceId,
    },
    executors,
    handle::Handle,
    sources::migrations::told,
};

/// What `flyway info` prints of ten thousand migrations is 5 MB.
const INFO_MAX: usize = 16 << 20;

/// Looks until the event loop has gone.
pub(super) async fn look(
    service: ServiceId,
    database: Migrated,
    executor: executors::Options,
    (handle, mut watched): (Handle, watch::Receiver<BTreeSet<ServiceId>>),
) {
    let mut last: Option<Seen> = None;
    loop {
        let seen = looked(&database.teller, &executor).await;
        tell(&service, last.as_ref(), &seen);
        let id = format!("schema:{service}:{}", clock::wall().0);
        let what = What::SchemaSeen { service: service.clone(), seen: seen.clone() };
        if handle.report(Event { id, what }).await.is_err() {
            return;
        }
        last = Some(seen);
        let every = (database.every, database.every_watched);
        if !pace::wait(&mut watched, &service, every).await {
            return;
        }
    }
}

async fn looked(teller: &Teller, executor: &executors::Options) -> Seen {
    match teller {
        Teller::Table(history) => history.look().await,
        Teller::Actuator(actuator) => actuator.look().await,
        Teller::Info(info) => {
            let printed = executors::printed(&info.line, &executor.state_dir, INFO_MAX).await;
            let told = printed.and_then(|text| told(&text, info.rows_max));
            told.map_or_else(Seen::Unknown, |schema| Seen::Known(Box::new(schema)))
        }
    }
}

/// Once when it cannot be read, and once when it can again.
fn tell(service: &ServiceId, last: Option<&Seen>, seen: &Seen) {
    match (last, seen) {
        (Some(Seen::Unknown(before)), Seen::Unknown(why)) if before == why => {}
        (_, Seen::Unknown(why)) => {
            warn!(%service, "the history of migrations of {service} cannot be read: {why}");
        }
        (Some(Seen::Known(_)), Seen::Known(_)) => {}
        (_, Seen::Known(schema)) => {
            let (table, rows, version) = (&schema.table, schema.rows, schema.version());
            info!(%service, rows, "the history of migrations of {service} is read: {version} in {table}");
        }
    }
}

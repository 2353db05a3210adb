//! Looks at each service's history of migrations again and again.

use tracing::{info, warn};

use super::clock;
use crate::{
    config::Migrated,
    domain::{
        event::{Event, What},
        schema::Seen,
        service::ServiceId,
    },
    handle::Handle,
};

/// Looks until the event loop has gone.
pub(super) async fn look(service: ServiceId, database: Migrated, handle: Handle) {
    let mut last: Option<Seen> = None;
    loop {
        let seen = database.history.look().await;
        tell(&service, last.as_ref(), &seen);
        let id = format!("schema:{service}:{}", clock::wall().0);
        let what = What::SchemaSeen { service: service.clone(), seen: seen.clone() };
        if handle.report(Event { id, what }).await.is_err() {
            return;
        }
        last = Some(seen);
        tokio::time::sleep(database.every.duration()).await;
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

//! Whom a configuration's queries for services would have found: asked as of each day of the record.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    cli::{client::Fault, out::Out},
    config::{Config, Discovered, Discovery, Finding},
    domain::roster::is_usable,
    sources::prometheus::Prometheus,
    units::{Span, UnixMs},
};

/// So often a query is asked whom it finds. Who came and went between two of these is not replayed.
const EVERY: Span = Span::hours(24);
/// A record is asked for so many times at most, evenly.
const TIMES_MAX: i64 = 60;

/// Everybody whom any of the queries found at any of the times. `None` where the configuration has no query for services.
pub(super) async fn found(
    config: &Config,
    servers: &BTreeMap<String, Arc<Prometheus>>,
    record: (UnixMs, UnixMs),
    out: &Out,
) -> Result<Option<Discovered>, Fault> {
    let (mut all, mut known) = (Discovered::new(), BTreeSet::new());
    for discovery in &config.discoveries {
        let Finding::Query { server, query, label } = &discovery.finding else {
            out.aside(&format!(
                "not replayed: whom discover.{} finds, for a cluster does not tell who was there before",
                discovery.name
            ));
            continue;
        };
        let Some(server) = servers.get(server) else { continue };
        let each = config.each_found.get(&discovery.name);
        let environment = each.map_or("", |each| each.policy.id.environment()).to_owned();
        let (mut names, mut at_once) = (BTreeSet::new(), 0);
        for at in times(record) {
            let rows = server.instant(query, at).await.map_err(|why| {
                Fault::Other(format!("discover.{}, as of {at}: {why}", discovery.name))
            })?;
            let found = rows.values_of(label);
            at_once = at_once.max(found.len());
            names.extend(found.into_iter().map(str::to_owned));
        }
        if names.len() > at_once {
            out.aside(&format!(
                "discover.{}: {} were found in all and {at_once} at once at most: for the guard storm all of them are the fleet",
                discovery.name,
                names.len()
            ));
        }
        // Whom several queries find follows the template of the first.
        names.retain(|name| known.insert((environment.clone(), name.clone())));
        all.insert(discovery.name.clone(), taken(discovery, names, out));
    }
    Ok((!all.is_empty()).then_some(all))
}

/// From the first moment of the record to the last.
fn times((from, until): (UnixMs, UnixMs)) -> Vec<UnixMs> {
    let span = until.since(from).ms();
    let parts = (span / EVERY.ms()).clamp(1, TIMES_MAX - 1);
    (0..=parts).map(|part| from + Span(span * part / parts)).collect()
}

/// Those of them who can be services, and no more than the daemon would follow.
fn taken(discovery: &Discovery, names: BTreeSet<String>, out: &Out) -> Vec<String> {
    let name = &discovery.name;
    let (mut usable, odd): (Vec<String>, Vec<String>) =
        names.into_iter().partition(|name| is_usable(name));
    let too_many = usable.len().saturating_sub(discovery.options.services_max);
    usable.truncate(discovery.options.services_max);
    out.aside(&format!("discover.{name}: {} services of the record are replayed", usable.len()));
    if !odd.is_empty() {
        out.aside(&format!("discover.{name}: {} names that no service can have", odd.len()));
    }
    if too_many > 0 {
        out.aside(&format!(
            "discover.{name}: {too_many} more than `services_max` are not replayed"
        ));
    }
    usable
}

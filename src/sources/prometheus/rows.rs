//! From rows to readings, for many services at once: one label tells the service, the others the series.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    time::Duration,
};

use super::envelope::{Row, Rows, key};
use crate::sources::reading::{Fault, Poll, Reading};

/// A service, or the empty string where one query is for one service.
type ByService<Value> = BTreeMap<String, Value>;

/// The rows of one answer, by service and series.
#[derive(Default)]
struct Grouped<'rows> {
    services: ByService<BTreeMap<String, &'rows Row>>,
    /// Rows of which nobody knows whose they are.
    nameless: BTreeSet<String>,
    /// Services with two rows of one series that say different things.
    torn: BTreeSet<String>,
}

/// Bad and total, asked for the same time, as counter readings of each service. `version` is the label that tells
/// which version a row is about.
///
/// Errors absent where the total is there are no new ones. Errors that are a part of no total make the poll partial:
/// their labels do not match, and what looks free of errors is not known to be. Where either answer is partial, so is
/// every poll; a partial one has no readings. A service that is missing from the result has no data.
pub fn counters(
    bad: &Rows,
    total: &Rows,
    service: Option<&str>,
    version: Option<&str>,
) -> ByService<Poll> {
    let mut faults: Vec<Fault> = bad.faults.iter().chain(&total.faults).cloned().collect();
    let mut errors = grouped(&bad.rows, service, &mut faults);
    let totals = grouped(&total.rows, service, &mut faults);
    let stray = errors.nameless.iter().any(|series| !totals.nameless.contains(series));
    let partial = bad.partial || total.partial || stray;
    let mut lost = lost(bad, service);
    let known = mentioned(total, service);
    let mut polls = ByService::<Poll>::new();
    for (name, series) in &lost {
        // Nobody knows of which total they are a part.
        if series.iter().any(|series| !known.contains(&(name.clone(), series.clone()))) {
            polls.entry(name.clone()).or_default().partial = true;
        }
    }
    for name in errors.torn.iter().chain(&totals.torn) {
        polls.entry(name.clone()).or_default().partial = true;
    }
    for (name, rows) in totals.services {
        let mut errors = errors.services.remove(&name).unwrap_or_default();
        let lost = lost.remove(&name).unwrap_or_default();
        let poll = polls.entry(name).or_default();
        for (series, row) in rows {
            let bad = errors.remove(&series).map(|row| row.value);
            // A series whose errors could not be used is unknown, not free of errors.
            if lost.contains(&series) {
                continue;
            }
            let least = bad.unwrap_or(0.0).min(row.value);
            if least < 0.0 {
                poll.faults.push(Fault::NotANumber { series, value: least });
                continue;
            }
            let revision = version.and_then(|label| row.labels.get(label)).map(str::to_owned);
            let (at, total) = (row.at, row.value);
            poll.readings.push(Reading::Counter { series, revision, at, bad, total, born: None });
        }
        mateless(poll, errors);
    }
    for (name, rows) in errors.services {
        mateless(polls.entry(name).or_default(), rows);
    }
    finish(polls, partial, &faults, bad.took + total.took, service)
}

/// Told in a few words: one wrong label in a query makes as many of these as there are rows.
fn mateless(poll: &mut Poll, errors: BTreeMap<String, &Row>) {
    const TOLD: usize = 5;
    poll.faults.extend(errors.into_keys().take(TOLD).map(|series| Fault::NoTotal { series }));
    poll.without_mates();
}

/// What could not be used, by service and series.
fn lost(rows: &Rows, service: Option<&str>) -> ByService<BTreeSet<String>> {
    let mut lost = ByService::<BTreeSet<String>>::new();
    for labels in &rows.unusable {
        let name = service.map_or(Some(""), |label| labels.get(label));
        let series = key(labels, service.unwrap_or_default());
        lost.entry(name.unwrap_or_default().to_owned()).or_default().insert(series);
    }
    lost
}

/// Every service and series that an answer mentions, usable or not.
fn mentioned(rows: &Rows, service: Option<&str>) -> BTreeSet<(String, String)> {
    let all = rows.rows.iter().map(|row| &row.labels).chain(&rows.unusable);
    all.map(|labels| {
        let name = service.and_then(|label| labels.get(label)).unwrap_or_default().to_owned();
        (name, key(labels, service.unwrap_or_default()))
    })
    .collect()
}

/// Rows as gauge readings of each service; `n` says how many requests each stands on.
pub fn gauges(rows: &Rows, n: Option<&Rows>, service: Option<&str>) -> ByService<Poll> {
    let partial = rows.partial || n.is_some_and(|n| n.partial);
    let mut faults = rows.faults.clone();
    faults.extend(n.iter().flat_map(|n| n.faults.iter().cloned()));
    let counts = n.map(|n| grouped(&n.rows, service, &mut faults)).unwrap_or_default();
    let values = grouped(&rows.rows, service, &mut faults);
    let mut polls = ByService::<Poll>::new();
    for name in &values.torn {
        polls.entry(name.clone()).or_default().partial = true;
    }
    for (name, rows) in values.services {
        let counts = counts.services.get(&name);
        let poll = polls.entry(name).or_default();
        for (series, row) in rows {
            let n = counts.and_then(|counts| counts.get(&series)).map(|row| row.value);
            poll.readings.push(Reading::Gauge { series, at: row.at, value: row.value, n });
        }
    }
    let took = rows.took + n.map(|n| n.took).unwrap_or_default();
    finish(polls, partial, &faults, took, service)
}

fn finish(
    mut polls: ByService<Poll>,
    partial: bool,
    faults: &[Fault],
    took: Duration,
    service: Option<&str>,
) -> ByService<Poll> {
    if service.is_none() {
        polls.entry(String::new()).or_default();
    }
    for poll in polls.values_mut() {
        poll.faults.extend(faults.iter().cloned());
        poll.took = took;
        poll.partial |= partial;
        if poll.partial {
            poll.readings.clear();
        }
    }
    polls
}

fn grouped<'rows>(
    rows: &'rows [Row],
    service: Option<&str>,
    faults: &mut Vec<Fault>,
) -> Grouped<'rows> {
    let mut groups = Grouped::default();
    let (mut nameless, mut twins) = (0, Vec::new());
    for row in rows {
        let series = key(&row.labels, service.unwrap_or_default());
        let name = match service {
            None => "",
            Some(label) => match row.labels.get(label) {
                Some(name) => name,
                None => {
                    nameless += 1;
                    groups.nameless.insert(series);
                    continue;
                }
            },
        };
        match groups.services.entry(name.to_owned()).or_default().entry(series) {
            Entry::Vacant(free) => {
                free.insert(row);
            }
            Entry::Occupied(first) => {
                twins.push(first.key().clone());
                if first.get().value != row.value {
                    groups.torn.insert(name.to_owned());
                }
            }
        }
    }
    if let (Some(label), 1..) = (service, nameless) {
        faults.push(Fault::NoLabel { label: label.to_owned(), rows: nameless });
    }
    if let Some(first) = twins.first() {
        faults.push(Fault::Duplicate { count: twins.len() as u64, first: first.clone() });
    }
    groups
}

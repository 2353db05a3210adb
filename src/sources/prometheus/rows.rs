//! From rows to readings, for many services at once: one label tells the service, the others the series.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    time::Duration,
};

use super::envelope::{Row, Rows, key};
use crate::sources::reading::{Fault, Poll, Reading};

/// A service, or the empty string where one query is for one service.
type ByService<Value> = BTreeMap<String, Value>;

/// Bad and total, asked for the same time, as counter readings of each service.
///
/// Errors absent where the total is there are zero. Where either answer is partial, so is every poll, and none has
/// readings. A service that is missing from the result has no data.
pub fn counters(bad: &Rows, total: &Rows, service: Option<&str>) -> ByService<Poll> {
    let partial = bad.partial || total.partial;
    let mut faults: Vec<Fault> = bad.faults.iter().chain(&total.faults).cloned().collect();
    // A series whose errors could not be used is unknown, not free of errors.
    let unusable: Vec<&str> = bad.faults.iter().filter_map(series_of).collect();
    let mut errors = grouped(&bad.rows, service, &mut faults);
    let totals = grouped(&total.rows, service, &mut faults);
    let mut polls = ByService::new();
    for (name, rows) in totals {
        let poll: &mut Poll = polls.entry(name.clone()).or_default();
        let mut errors = errors.remove(&name).unwrap_or_default();
        for (series, row) in rows {
            let bad = errors.remove(&series).map_or(0.0, |row| row.value);
            if !unusable.is_empty() && unusable.contains(&key(&row.labels, "").as_str()) {
                continue;
            }
            if row.value < 0.0 || bad < 0.0 {
                let value = row.value.min(bad);
                poll.faults.push(Fault::NotANumber { series, value });
                continue;
            }
            let (at, total) = (row.at, row.value);
            poll.readings.push(Reading::Counter { series, at, bad, total, born: None });
        }
        poll.faults.extend(errors.into_keys().map(|series| Fault::NoTotal { series }));
    }
    for (name, rows) in errors {
        let poll = polls.entry(name).or_default();
        poll.faults.extend(rows.into_keys().map(|series| Fault::NoTotal { series }));
    }
    finish(polls, partial, &faults, bad.took + total.took, service)
}

/// Rows as gauge readings of each service; `n` says how many requests each stands on.
pub fn gauges(rows: &Rows, n: Option<&Rows>, service: Option<&str>) -> ByService<Poll> {
    let partial = rows.partial || n.is_some_and(|n| n.partial);
    let mut faults = rows.faults.clone();
    faults.extend(n.iter().flat_map(|n| n.faults.iter().cloned()));
    let counts = n.map(|n| grouped(&n.rows, service, &mut faults)).unwrap_or_default();
    let mut polls = ByService::new();
    for (name, rows) in grouped(&rows.rows, service, &mut faults) {
        let counts = counts.get(&name);
        let poll: &mut Poll = polls.entry(name).or_default();
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
        poll.partial = partial;
        if partial {
            poll.readings.clear();
        }
    }
    polls
}

fn grouped<'rows>(
    rows: &'rows [Row],
    service: Option<&str>,
    faults: &mut Vec<Fault>,
) -> ByService<BTreeMap<String, &'rows Row>> {
    let mut groups: ByService<BTreeMap<String, &Row>> = BTreeMap::new();
    let (mut nameless, mut twins) = (0, Vec::new());
    for row in rows {
        let name = match service {
            None => "",
            Some(label) => match row.labels.get(label) {
                Some(name) => name,
                None => {
                    nameless += 1;
                    continue;
                }
            },
        };
        let series = key(&row.labels, service.unwrap_or_default());
        let group = groups.entry(name.to_owned()).or_default();
        match group.entry(series) {
            Entry::Vacant(free) => {
                free.insert(row);
            }
            Entry::Occupied(first) => twins.push(first.key().clone()),
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

fn series_of(fault: &Fault) -> Option<&str> {
    match fault {
        Fault::NotANumber { series, .. }
        | Fault::Stale { series, .. }
        | Fault::Future { series, .. }
        | Fault::NativeHistogram { series } => Some(series),
        Fault::Failed { .. }
        | Fault::BadLine(_)
        | Fault::BadLines { .. }
        | Fault::Duplicate { .. }
        | Fault::Cut
        | Fault::Over(_)
        | Fault::Absent { .. }
        | Fault::NoTotal { .. }
        | Fault::Buckets { .. }
        | Fault::Warned(_)
        | Fault::NoLabel { .. }
        | Fault::Revisions(_) => None,
    }
}

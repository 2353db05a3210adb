//! What the queries for services find now, and what the daemon would make of it.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{Asking, Told, verdict};
use crate::{
    config::{Config, Discovery, Finding, Level, init::propose::listed},
    domain::{
        roster::{Odd, Roster, is_usable},
        service::ServiceId,
    },
    sources::{
        kubernetes::{self, Key},
        prometheus::{Labels, Rows},
    },
};

/// What one query for services finds.
#[derive(Clone, Debug, Serialize)]
pub struct Finds {
    /// Which `[discover.NAME]`.
    pub discovery: String,
    /// Who would be watched because of it.
    pub names: Vec<String>,
    /// Names that are not watched because of it, a sentence each.
    pub left_out: Vec<String>,
    /// Those of whom there is a row in the answer to each of their signals' queries.
    pub with_rows: Vec<String>,
    /// Those with a signal of which there is none: it would be blind.
    pub without_rows: Vec<String>,
    /// How many were not tried: each has queries of its own.
    pub untried: usize,
    #[serde(skip)]
    environment: String,
}

/// Asks each query for services once.
pub(super) async fn finds(
    config: &Config,
    asking: &mut Asking<'_>,
    told: &mut Told<'_>,
) -> Vec<Finds> {
    let mut all: Vec<Finds> = vec![];
    for discovery in &config.discoveries {
        let name = &discovery.name;
        let whose = format!("discover.{name}");
        let environment = config.each_found.get(name).map_or("", |e| e.policy.id.environment());
        let (server, query, label) = match &discovery.finding {
            Finding::Query { server, query, label } => (server, query, label),
            Finding::Annotation { options, annotation } => {
                match kubernetes::annotated(options, annotation).await {
                    Ok(keys) => {
                        let named: Vec<String> = keys.iter().map(Key::as_service).collect();
                        all.push(found(config, discovery, environment, &named, &all));
                    }
                    Err(why) => {
                        let instead =
                            "see that the API server is there, and that deployments may be listed";
                        told.add(&whose, annotation, (Level::Error, why, instead));
                    }
                }
                continue;
            }
        };
        asking.try_query(server, query).await;
        let Some(answer) = asking.answer(server, query) else { continue };
        match answer {
            Ok(rows) => {
                for (level, what, instead) in doubts(label, rows) {
                    told.add(&whose, query, (level, what, instead));
                }
                let named: Vec<String> =
                    rows.values_of(label).into_iter().map(str::to_owned).collect();
                all.push(found(config, discovery, environment, &named, &all));
            }
            Err(_) => {
                if let Some(verdict) = verdict("query", answer) {
                    told.add(&whose, query, verdict);
                }
            }
        }
    }
    all
}

/// Why the daemon would not follow an answer, or not all of it.
fn doubts(label: &str, rows: &Rows) -> Vec<(Level, String, &'static str)> {
    let total = rows.labels().count();
    let without: Vec<&Labels> = rows.labels().filter(|row| row.get(label).is_none()).collect();
    let mut doubts = vec![];
    if rows.partial {
        doubts.push((
            Level::Warning,
            "the answer is partial: the daemon lets nobody come or go by it".to_owned(),
            "look at the warnings in Prometheus's own page",
        ));
    }
    if total == 0 {
        doubts.push((
            Level::Warning,
            "it finds no service now".to_owned(),
            "compare the metric's name and its labels with what Prometheus shows",
        ));
    } else if without.len() == total {
        let labels = without.iter().flat_map(|row| row.iter()).map(|(name, _)| name);
        let labels: BTreeSet<&str> = labels.filter(|name| *name != "__name__").collect();
        let have = match labels.len() {
            0 => "they have none at all".to_owned(),
            _ => format!("they have {}", listed(labels.into_iter())),
        };
        doubts.push((
            Level::Error,
            format!("none of {total} rows has the label `{label}`: {have}"),
            "sum by the label that names the service, and name that one in `label`",
        ));
    } else if !without.is_empty() {
        doubts.push((
            Level::Warning,
            format!("{} of {total} rows have no label `{label}`: they name nobody", without.len()),
            "leave those series out of the query, or give them that label",
        ));
    }
    doubts
}

/// What the first answer of a daemon that knows nobody would lead to.
fn found(
    config: &Config,
    discovery: &Discovery,
    environment: &str,
    named: &[String],
    before: &[Finds],
) -> Finds {
    let nobody = BTreeSet::new();
    let (question, at) = (discovery.question(), crate::units::UnixMs(0));
    let mut roster = Roster::default();
    let taken = roster.take(&question, named, &nobody, at, &discovery.options);
    let mut left_out = vec![];
    let unusable: Vec<&str> =
        named.iter().map(String::as_str).filter(|name| !is_usable(name)).collect();
    if !unusable.is_empty() {
        let names = listed(unusable.into_iter());
        left_out.push(format!("{names}: a name is letters, digits and . _ -, at most 100 of them"));
    }
    for odd in taken.odd.iter().flatten() {
        if let Odd::TooMany { .. } = odd {
            left_out.push(odd.says());
        }
    }
    let written = |name: &&String| {
        let id = ServiceId::new(name, environment);
        id.is_ok_and(|id| config.policy.services.contains_key(&id))
    };
    let twice = |name: &&String| {
        before.iter().any(|other| other.environment == environment && other.names.contains(name))
    };
    let mut leave_out = |which: &dyn Fn(&&String) -> bool, why: &str| {
        let names: Vec<&str> = taken.came.iter().filter(which).map(String::as_str).collect();
        if !names.is_empty() {
            left_out.push(format!("{}: {why}", listed(names.into_iter())));
        }
    };
    leave_out(&written, "written in the file, and watched as it is written");
    leave_out(&twice, "found by another query before, whose template is followed");
    let names = taken.came.iter().filter(|name| !written(name) && !twice(name)).cloned().collect();
    Finds {
        discovery: discovery.name.clone(),
        names,
        left_out,
        with_rows: vec![],
        without_rows: vec![],
        untried: 0,
        environment: environment.to_owned(),
    }
}

impl Finds {
    /// Of whom there are rows, now that the signals' queries were tried.
    pub(super) fn note_rows(
        &mut self,
        answered: &BTreeSet<&ServiceId>,
        without: &BTreeSet<&ServiceId>,
        untried: &BTreeSet<&ServiceId>,
    ) {
        for name in &self.names {
            let Ok(id) = ServiceId::new(name, &self.environment) else { continue };
            if untried.contains(&id) {
                self.untried += 1;
            } else if without.contains(&id) {
                self.without_rows.push(name.clone());
            } else if answered.contains(&id) {
                self.with_rows.push(name.clone());
            }
        }
    }

    /// The same in sentences.
    pub fn says(&self) -> Vec<String> {
        let listed = |names: &[String]| listed(names.iter().map(String::as_str));
        let services = match self.names.len() {
            0 => "nobody to watch now".to_owned(),
            1 => format!("1 service now: {}", listed(&self.names)),
            many => format!("{many} services now: {}", listed(&self.names)),
        };
        let mut says = vec![format!("discover.{} finds {services}", self.discovery)];
        says.extend(self.left_out.iter().map(|names| format!("  left out: {names}")));
        let all = self.with_rows.len() + self.without_rows.len();
        if !self.without_rows.is_empty() {
            let (some, names) = (self.without_rows.len(), listed(&self.without_rows));
            says.push(format!("  of {some} of {all} a signal's query has no row now: {names}"));
        } else if all > 0 {
            says.push(format!("  each of {all} has rows in its signals' answers"));
        }
        if self.untried > 0 {
            let untried = self.untried;
            says.push(format!("  {untried} more were not tried, for each has queries of its own"));
        }
        says
    }
}

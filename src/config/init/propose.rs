//! From the metrics that are there to the signals that can be read. Pure: whoever asks is [`super::survey`].

use std::collections::{BTreeMap, BTreeSet};

use super::conventions::{CONVENTIONS, Convention};

/// A set of labels under which a known metric has series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// The metric's name.
    pub(super) metric: String,
    /// Those of its labels that matter to its convention.
    pub(super) labels: BTreeMap<String, String>,
}

/// What was seen of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Survey {
    /// Series of known metrics.
    pub(super) seen: Vec<Seen>,
    /// Metrics that have series without the label `instance`.
    pub(super) without_instance: BTreeSet<String>,
    /// Every job that is scraped.
    pub(super) jobs: BTreeSet<String>,
    /// Jobs that have a series of a known metric.
    pub(super) known_jobs: BTreeSet<String>,
}

/// A service, and what can be read of it.
#[derive(Clone, Debug)]
pub(super) struct Proposal {
    /// The value that tells it: its name.
    pub(super) service: String,
    /// The rest, which services may share.
    pub(super) by: By,
}

/// How services are read that are read alike.
#[derive(Clone, Debug)]
pub(super) struct By {
    /// How its metrics are named.
    pub(super) convention: &'static Convention,
    /// The label whose value tells the service.
    pub(super) label: &'static str,
    /// Whether other series of the metric lack that label.
    pub(super) label_may_lack: bool,
    /// The label that tells failures, and what it then is.
    pub(super) failed: (&'static str, &'static str),
    /// Whether response times are there.
    pub(super) histogram: bool,
    /// The label that tells one process from another.
    pub(super) process: &'static str,
}

impl By {
    /// Equal for services that one query serves.
    pub(super) fn key(&self) -> (&'static str, &'static str, &'static str, bool) {
        (self.convention.key, self.label, self.failed.0, self.histogram)
    }
}

/// What is proposed, and what people should know about the rest.
#[derive(Clone, Debug, Default)]
pub(super) struct Proposals {
    /// By convention, then by name; a service stands here once.
    pub(super) services: Vec<Proposal>,
    /// One sentence each.
    pub(super) notes: Vec<String>,
}

/// What can be read of which services.
pub(super) fn propose(survey: &Survey) -> Proposals {
    let mut all = Proposals::default();
    let mut taken: BTreeMap<String, &'static str> = BTreeMap::new();
    for convention in CONVENTIONS {
        let rows: Vec<&Seen> =
            survey.seen.iter().filter(|seen| seen.metric == convention.requests).collect();
        if rows.is_empty() {
            continue;
        }
        if let Some(why) = convention.unusable {
            all.notes.push(format!("{} is left out: {why}", convention.requests));
            continue;
        }
        let mut elsewhere = BTreeSet::new();
        for proposal in of_convention(survey, convention, &rows, &mut all.notes) {
            match taken.get(&proposal.service) {
                Some(other) if *other == convention.key => {}
                Some(_) => drop(elsewhere.insert(proposal.service)),
                None => {
                    taken.insert(proposal.service.clone(), convention.key);
                    all.services.push(proposal);
                }
            }
        }
        if !elsewhere.is_empty() {
            let names = listed(elsewhere.iter().map(String::as_str));
            let name = convention.name;
            all.notes
                .push(format!("{name} tells of {names} too: what they say themselves is taken"));
        }
    }
    let others: Vec<&str> =
        survey.jobs.difference(&survey.known_jobs).map(String::as_str).collect();
    if !others.is_empty() {
        let jobs = listed(others.into_iter());
        all.notes.push(format!("no request counter with a known name in the jobs {jobs}"));
    }
    all
}

fn of_convention(
    survey: &Survey,
    convention: &'static Convention,
    rows: &[&Seen],
    notes: &mut Vec<String>,
) -> Vec<Proposal> {
    let has = |seen: &Seen, label: &str| seen.labels.get(label).is_some_and(|v| !v.is_empty());
    let first = |seen: &Seen| convention.service.iter().copied().find(|label| has(seen, label));
    let failed =
        |seen: &Seen| convention.failed.iter().copied().find(|(label, _)| has(seen, label));
    // Of each service the labels that its series have.
    let mut found: BTreeMap<(&'static str, &str), Option<(&'static str, &'static str)>> =
        BTreeMap::new();
    for seen in rows {
        let Some(label) = first(seen) else { continue };
        let Some(value) = seen.labels.get(label) else { continue };
        if !convention.not_services.contains(&value.as_str()) {
            let entry = found.entry((label, value)).or_default();
            *entry = entry.or(failed(seen));
        }
    }
    let (metric, name) = (convention.requests, convention.name);
    if found.is_empty() {
        let labels = convention.service.join(", ");
        notes.push(format!("{metric} ({name}) has no label that tells a service: {labels}"));
    }
    let process = process(survey, convention);
    let (mut silent, mut untimed) = (vec![], vec![]);
    let mut proposals = vec![];
    for ((label, value), failed) in found {
        let Some(failed) = failed else {
            silent.push(value);
            continue;
        };
        let times = |seen: &&Seen| {
            convention.histogram.is_some_and(|(histogram, _)| seen.metric == histogram)
                && seen.labels.get(label).is_some_and(|found| found == value)
        };
        let histogram = survey.seen.iter().any(|seen| times(&seen));
        if !histogram {
            untimed.push(value);
        }
        let label_may_lack = rows.iter().any(|seen| !has(seen, label));
        let by = By { convention, label, label_may_lack, failed, histogram, process };
        proposals.push(Proposal { service: value.to_owned(), by });
    }
    if !silent.is_empty() {
        let labels: Vec<&str> = convention.failed.iter().map(|(label, _)| *label).collect();
        let (services, labels) = (listed(silent.into_iter()), labels.join(", "));
        notes.push(format!("{metric} of {services} cannot tell failures: it has none of {labels}"));
    }
    if !untimed.is_empty() {
        let (services, how) = (listed(untimed.into_iter()), convention.no_histogram);
        notes.push(format!("no histogram of response times of {services}: {how}"));
    }
    proposals
}

/// Counters are summed within a process, so that a restart of one is not a reset of all.
fn process(survey: &Survey, convention: &Convention) -> &'static str {
    let histogram = convention.histogram.map(|(name, _)| name);
    let lacks = |metric: &str| survey.without_instance.contains(metric);
    let lacking = lacks(convention.requests) || histogram.is_some_and(lacks);
    if lacking { "pod" } else { "instance" }
}

/// A handful of names, and how many more.
pub(in crate::config) fn listed<'n>(names: impl ExactSizeIterator<Item = &'n str>) -> String {
    const TOLD: usize = 10;
    let all = names.len();
    // Names come from outside: what would break a line is shown escaped.
    let mut told: Vec<String> =
        names.take(TOLD).map(|name| name.escape_debug().to_string()).collect();
    if all > TOLD {
        told.push(format!("and {} more", all - TOLD));
    }
    told.join(", ")
}

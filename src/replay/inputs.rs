//! Where tapes come from: each input reads one kind of record, and says of every series what it could not use.

mod changes;
mod csv;
mod heard;
mod journal;
mod kept;
mod openmetrics;
mod prometheus;
mod steady;
mod versions;

use std::collections::{BTreeMap, BTreeSet};

pub use self::{
    changes::{Changes, read as read_changes},
    csv::read as read_csv,
    heard::Heard,
    journal::read as read_journal,
    kept::Kept,
    openmetrics::read as read_openmetrics,
    prometheus::{Asking, Broken, Progress, Unanswered},
    versions::Labels,
};
use super::tape::{Tape, Track, read_as};
use crate::{
    config::Config,
    domain::{policy::ServicePolicy, service::ServiceId},
    units::Span,
};

/// What was recorded of the services of a configuration.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    /// A tape for each service of which anything was recorded.
    pub tapes: Vec<Tape>,
    /// How each signal was heard, those of which nothing was recorded among them.
    pub heard: Vec<Heard>,
    /// How often each signal was read.
    pub steps: BTreeMap<(ServiceId, String), Span>,
    /// What was odd about the record as a whole.
    pub odd: Vec<String>,
    /// Why it misleads as a whole.
    pub misleading: Vec<String>,
}

impl Recorded {
    /// Takes what was recorded of one signal.
    fn take(&mut self, heard: Heard, track: Track, step: Span) {
        if !track.is_empty() {
            let service = &heard.service;
            let place = self.tapes.iter().position(|tape| tape.service == *service);
            let tracks = match place.and_then(|place| self.tapes.get_mut(place)) {
                Some(tape) => &mut tape.tracks,
                None => {
                    let (service, deployments) = (service.clone(), vec![]);
                    self.tapes.push(Tape { service, tracks: vec![], deployments });
                    &mut self.tapes.last_mut().expect("just pushed").tracks
                }
            };
            tracks.push((heard.signal.clone(), track));
            self.steps.insert((heard.service.clone(), heard.signal.clone()), step);
        }
        self.heard.push(heard);
    }

    /// Lines of a file that belong to no series, of all that it has.
    fn unplaced(&mut self, name: &str, lines: usize, of: usize) {
        if lines as f64 > of as f64 * heard::UNUSABLE_MAX {
            self.misleading.push(format!("{lines} of {of} lines of {name} could not be used"));
        }
    }

    /// A service's policy for its tape.
    pub fn judged_by(&self, policy: &ServicePolicy) -> ServicePolicy {
        read_as(policy, |name| self.steps.get(&(policy.id.clone(), name.to_owned())).copied())
    }

    /// What is to be said of the record: of every series that was not as it should be, and of signals that nobody recorded.
    pub fn said(&self, config: &Config) -> Vec<String> {
        let series = self.heard.iter().filter_map(Heard::says);
        let mut said: Vec<String> = self.odd.iter().cloned().chain(series).collect();
        let heard: BTreeSet<_> = self.heard.iter().map(|h| (&h.service, &h.signal)).collect();
        let unheard = config.polls.iter().map(|poll| (&poll.service, &poll.signal));
        let unheard: BTreeSet<String> = unheard
            .filter(|key| !heard.contains(key))
            .map(|(service, signal)| format!("{signal} of {service}"))
            .collect();
        if !unheard.is_empty() {
            let names = unheard.into_iter().collect::<Vec<_>>().join(", ");
            said.push(format!("not replayed, for this record does not hold them: {names}"));
        }
        // A server that is asked is asked whom they found, too.
        let stands_in = |name: &String| config.each_found.contains_key(name);
        let names = config.discoveries.iter().map(|d| &d.name);
        let found: Vec<&str> = names.filter(|n| stands_in(n)).map(String::as_str).collect();
        if !found.is_empty() {
            let names = found.join(", ");
            said.push(format!("not replayed: the services that these queries find: {names}"));
        }
        if self.tapes.iter().all(|tape| tape.deployments.is_empty()) {
            said.push(
                "no deployment is known, so that nothing could be rolled back; --changes, --journal or --versions tells of them"
                    .to_owned(),
            );
        }
        said
    }

    /// The series for which the result would mislead, each with why.
    pub fn misleads(&self) -> Vec<String> {
        let series = self.heard.iter().filter_map(Heard::misleads);
        self.misleading.iter().cloned().chain(series).collect()
    }
}

//! What a configuration's queries would have read at each poll of a time that has passed: grouped and read as the daemon does.

mod scraped;

use std::collections::BTreeMap;

pub(crate) use self::scraped::{Scraped, scraped};

use super::{query::Query, reading, wiring::QueryKey};
use crate::{
    config::{Config, Read},
    domain::{service::ServiceId, watch::Raw},
    sources::{
        prometheus::{History, at_each_time},
        reading::{Fault, Poll, TimeUnit},
    },
    units::{Span, UnixMs},
};

/// A signal, and what of a shared answer is its own.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// Whose.
    pub service: ServiceId,
    /// Which signal.
    pub signal: String,
    value: String,
    unit: TimeUnit,
}

/// One question that serves one or more signals.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    /// Key of the configuration's servers.
    pub server: String,
    /// How often it is asked.
    pub every: Span,
    /// The signals that it serves.
    pub wants: Vec<Wanted>,
    query: Query,
    label: Option<String>,
}

/// What one signal was read to be, poll by poll.
pub(crate) type Polls = Vec<(UnixMs, Vec<Raw>)>;

/// Every question of a configuration, with what one answer serves asked for once.
pub(crate) fn questions(config: &Config) -> Vec<Question> {
    let mut all: BTreeMap<QueryKey, Vec<Wanted>> = BTreeMap::new();
    for poll in &config.polls {
        let Read::Prometheus { server, ask, rows } = &poll.read else { continue };
        let (key, value) = QueryKey::of(poll, server, ask, rows.as_ref());
        all.entry(key).or_default().push(Wanted {
            service: poll.service.clone(),
            signal: poll.signal.clone(),
            value,
            unit: poll.unit,
        });
    }
    let question = |(key, wants): (QueryKey, Vec<Wanted>)| Question {
        server: key.server,
        every: key.pace.0,
        wants,
        query: key.query,
        label: key.label,
    };
    all.into_iter().map(question).collect()
}

impl Question {
    /// What is sent, one after the other.
    pub(crate) fn texts(&self) -> Vec<&str> {
        self.query.texts()
    }

    /// What each signal reads at each of the times, from the answers to the texts. Where the answer is not known to be one
    /// (`known`), and where it is partial, every signal is unknown.
    pub(crate) fn read(
        &self,
        answers: Vec<History>,
        times: &[UnixMs],
        known: impl Fn(UnixMs) -> bool,
    ) -> Vec<Polls> {
        let warning = answers.iter().find_map(|answer| answer.warnings.first()).cloned();
        let mut answered = at_each_time(answers.into_iter().map(|answer| answer.tracks).collect());
        let mut told: Vec<Polls> = vec![vec![]; self.wants.len()];
        for at in times.iter().copied() {
            let mut polls = match (&warning, answered.remove(&at)) {
                (Some(_), _) | (None, None) => BTreeMap::new(),
                (None, Some(rows)) => self.query.polls(&rows, self.label.as_deref()),
            };
            for (wanted, told) in self.wants.iter().zip(&mut told) {
                let value = &wanted.value;
                let poll = match &warning {
                    Some(warning) => Poll::failed(Fault::Warned(warning.clone())),
                    None if known(at) => {
                        polls.remove(value).unwrap_or_else(|| reading::absent(value))
                    }
                    None => Poll::failed(Fault::Stale { series: value.clone(), age: Span::ZERO }),
                };
                let poll = poll.in_seconds(wanted.unit);
                told.push((at, reading::raw(poll, self.query.fold(), at).0));
            }
        }
        told
    }
}

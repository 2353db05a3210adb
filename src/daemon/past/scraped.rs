//! What a configuration's scrapes would have read, from bodies that somebody kept.

use std::collections::BTreeMap;

use crate::{
    config::{Config, Read},
    daemon::reading,
    domain::{service::ServiceId, watch::Raw},
    sources::{
        exposition::{Format, Wanted},
        reading::{Fault, Poll, TimeUnit},
        scrape::{self, Options, Place, Spec},
        selector::Selector,
    },
    units::{Span, UnixMs},
};

/// The signals of one service that are scraped.
#[derive(Clone, Debug)]
pub(crate) struct Scraped {
    /// Whose.
    pub service: ServiceId,
    /// Their names, and how often each is scraped.
    pub signals: Vec<(String, Span)>,
    specs: Vec<Spec>,
    units: Vec<TimeUnit>,
    target: Options,
}

/// Every service of a configuration that is scraped. How its targets are reached says nothing about the past; what a body may
/// cost and where it tells its version does, and is the same for all of them.
pub(crate) fn scraped(config: &Config) -> Vec<Scraped> {
    let mut all: BTreeMap<&ServiceId, Scraped> = BTreeMap::new();
    for poll in &config.polls {
        let Read::Scrape { targets, spec } = &poll.read else { continue };
        let Some(place) = targets.iter().find_map(|key| config.targets.get(key)) else { continue };
        let one = all.entry(&poll.service).or_insert_with(|| Scraped {
            service: poll.service.clone(),
            signals: vec![],
            specs: vec![],
            units: vec![],
            target: match place {
                Place::At(options) => options.clone(),
                Place::Listed(list) => list.like_all(),
            },
        });
        one.signals.push((poll.signal.clone(), poll.every));
        one.specs.push(spec.clone());
        one.units.push(poll.unit);
    }
    all.into_values().collect()
}

impl Scraped {
    /// The names that are looked for in its bodies.
    pub(crate) fn wanted(&self, format: Format) -> Wanted {
        scrape::wanted(format, &self.target, &self.specs)
    }

    /// What picks the series that its signals are read from.
    pub(crate) fn picking(&self, format: Format) -> Vec<Selector> {
        scrape::picking(format, &self.specs)
    }

    /// What each signal reads when its targets, by name, answer with these bodies; and what was wrong with them. Each body is as
    /// fresh as it was when it was scraped, however long before the last of them.
    pub(crate) fn read(
        &self,
        bodies: &BTreeMap<&str, (UnixMs, String)>,
        format: Format,
        at: UnixMs,
    ) -> Vec<(Vec<Raw>, Option<String>)> {
        let polls = bodies.iter().map(|(target, (scraped, body))| {
            let target = Options { series: (*target).to_owned(), ..self.target.clone() };
            scrape::extract(body.as_bytes(), format, &target, &self.specs, *scraped)
        });
        let mut polls = polls.fold(vec![], reading::joined);
        polls.resize(self.specs.len(), Poll::default());
        let each = polls.into_iter().zip(self.specs.iter().zip(&self.units));
        let raw = each.map(|(poll, (spec, unit))| {
            // Live the first of two is taken. Of a record nobody knows which of them was.
            let twice = |fault: &&Fault| matches!(fault, Fault::Duplicate { .. });
            let poll = match poll.faults.iter().find(twice) {
                Some(fault) => Poll::failed(fault.clone()),
                None => poll.in_seconds(*unit),
            };
            reading::raw(poll, spec.fold(), at)
        });
        raw.collect()
    }
}

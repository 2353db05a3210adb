//! From a body to readings: what each spec picks, summed by group.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use super::{Options, Revision, Spec, group::Group, spec};
use crate::{
    sources::{
        exposition::{Format, Scan, Series, Wanted, scan},
        reading::{Class, Fault, Poll},
        selector::Selector,
    },
    units::UnixMs,
};

/// The standard name under which a process says when it was started.
const BORN: &str = "process_start_time_seconds";
/// Faults of one kind that are told one by one; what matters is in the first few.
const TOLD: usize = 10;

/// Reads a body, and answers each spec with its own poll, in their order. `now` is when the scrape began.
pub fn extract(
    body: &[u8],
    format: Format,
    target: &Options,
    specs: &[Spec],
    now: UnixMs,
) -> Vec<Poll> {
    let revision = target.revision.as_ref();
    let specs = written_in(format, specs);
    let wanted = names(&specs, revision);
    let mut about = About::default();
    let mut gathers: Vec<Gather<'_>> = specs.iter().map(|spec| Gather::new(spec)).collect();
    let scanned = scan(body, format, &target.limits, &wanted, |series| {
        about.see(series, revision);
        for gather in &mut gathers {
            gather.see(series);
        }
    });
    match scanned {
        Ok(seen) => gathers
            .into_iter()
            .map(|gather| gather.finish(target, &about, &seen, &wanted, now))
            .collect(),
        Err(error) => {
            let fault = Fault::Failed { class: Class::Unknown, why: error.to_string() };
            specs.iter().map(|_| Poll::failed(fault.clone())).collect()
        }
    }
}

/// The names that are looked for in a body.
pub fn wanted(format: Format, target: &Options, specs: &[Spec]) -> Wanted {
    names(&written_in(format, specs), target.revision.as_ref())
}

/// What picks the series that readings are made of, of all those that are looked for.
pub fn picking(format: Format, specs: &[Spec]) -> Vec<Selector> {
    written_in(format, specs).iter().flat_map(|spec| spec.selectors()).collect()
}

fn written_in(format: Format, specs: &[Spec]) -> Vec<Cow<'_, Spec>> {
    match format {
        Format::Text => specs.iter().map(Cow::Borrowed).collect(),
        Format::OpenMetrics => specs.iter().map(|s| Cow::Owned(s.in_openmetrics())).collect(),
    }
}

fn names(specs: &[Cow<'_, Spec>], revision: Option<&Revision>) -> Wanted {
    let created = specs.iter().flat_map(|spec| spec.created());
    let created = created.map(|selector| selector.name().to_owned());
    let names = specs.iter().flat_map(|spec| spec.names()).chain(created);
    let names = names.chain(revision.map(|revision| revision.of.name().to_owned()));
    Wanted::names(names.chain([BORN.to_owned()]))
}

/// What the body says about the process itself.
#[derive(Default)]
struct About {
    born: Option<UnixMs>,
    revisions: BTreeSet<String>,
}

impl About {
    /// The one version that is told.
    fn revision(&self) -> Option<&str> {
        self.revisions.first().filter(|_| self.revisions.len() == 1).map(String::as_str)
    }

    fn see(&mut self, series: &Series<'_, '_>, revision: Option<&Revision>) {
        if series.name == *BORN {
            self.born = UnixMs::from_seconds(series.value);
        }
        if let Some(revision) = revision
            && self.revisions.len() < TOLD
            && revision.of.picks(series)
            && let Some(value) = series.label(&revision.label)
        {
            self.revisions.insert(value.text().into_owned());
        }
    }
}

struct Gather<'spec> {
    spec: &'spec Spec,
    buckets: Option<Selector>,
    created: Vec<Selector>,
    groups: BTreeMap<String, Group>,
}

impl<'spec> Gather<'spec> {
    fn new(spec: &'spec Spec) -> Self {
        let buckets = match spec {
            Spec::Histogram(spec) => Some(spec.buckets()),
            Spec::Ratio(_) | Spec::Gauge(_) => None,
        };
        Self { spec, buckets, created: spec.created(), groups: BTreeMap::new() }
    }

    fn see(&mut self, series: &Series<'_, '_>) {
        if spec::any_picks(&self.created, series) {
            self.group(series).created(series);
        }
        match self.spec {
            Spec::Ratio(ratio) => {
                let bad = spec::any_picks(&ratio.bad, series);
                let total = spec::any_picks(&ratio.total, series);
                if bad || total {
                    self.group(series).count(series, bad, total);
                }
            }
            Spec::Histogram(_) => {
                if self.buckets.as_ref().is_some_and(|buckets| buckets.picks(series)) {
                    self.group(series).bucket(series);
                }
            }
            Spec::Gauge(gauge) => {
                if gauge.value.picks(series) {
                    self.group(series).gauge(series, gauge.fold);
                }
                if gauge.n.as_ref().is_some_and(|n| n.picks(series)) {
                    let group = self.group(series);
                    group.n = Some(group.n.unwrap_or(0.0) + series.value);
                }
            }
        }
    }

    fn group(&mut self, series: &Series<'_, '_>) -> &mut Group {
        let mut key = String::new();
        for label in self.spec.by() {
            let value = series.label(label).map(|value| value.text()).unwrap_or_default();
            let gap = if key.is_empty() { "{" } else { "," };
            key.push_str(&format!("{gap}{label}={value:?}"));
        }
        if !key.is_empty() {
            key.push('}');
        }
        self.groups.entry(key).or_default()
    }

    fn finish(
        self,
        target: &Options,
        about: &About,
        seen: &Scan,
        wanted: &Wanted,
        now: UnixMs,
    ) -> Poll {
        let mine = self.spec.names();
        let lost = |name: &String| wanted.index(name).is_some_and(|at| seen.partial_of(at));
        let mut poll = Poll { partial: mine.iter().any(lost), ..Poll::default() };
        tell(seen, &mut poll.faults);
        if about.revisions.len() > 1 {
            let all: Vec<_> = about.revisions.iter().map(String::as_str).collect();
            poll.faults.push(Fault::Revisions(all.join(", ")));
        }
        if poll.partial {
            return poll;
        }
        if !self.groups.values().any(|group| group.has_main()) {
            poll.faults.push(Fault::Absent { wanted: self.spec.needs() });
        }
        let mut mateless = 0;
        // When something was created says nothing of it where it is not there itself.
        for (key, group) in self.groups.into_iter().filter(|(_, group)| group.is_counted()) {
            let series = format!("{}{key}", target.series);
            let at = group.at.unwrap_or(now);
            let read = match target.freshness.fault(&series, at, now) {
                Some(fault) => Err(fault),
                None => group.reading(self.spec, series, at, about.born, about.revision()),
            };
            match read {
                Ok(reading) => poll.readings.push(reading),
                // Of all faults this one is never left out: it makes the poll partial.
                Err(fault @ Fault::NoTotal { .. }) if mateless < TOLD => {
                    mateless += 1;
                    poll.faults.push(fault);
                }
                Err(fault) if poll.faults.len() < 4 * TOLD => poll.faults.push(fault),
                Err(_) => {}
            }
        }
        poll.without_mates();
        poll
    }
}

fn tell(seen: &Scan, faults: &mut Vec<Fault>) {
    faults.extend(seen.told.iter().map(|line| Fault::BadLine(line.to_string())));
    if seen.bad > seen.told.len() as u64 {
        faults.push(Fault::BadLines { count: seen.bad });
    }
    if let Some(first) = &seen.first_duplicate {
        faults.push(Fault::Duplicate { count: seen.duplicates, first: first.clone() });
    }
    if seen.cut {
        faults.push(Fault::Cut);
    }
    if let Some(over) = seen.over {
        faults.push(Fault::Over(over.to_string()));
    }
}

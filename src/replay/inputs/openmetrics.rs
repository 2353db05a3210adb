//! What targets exposed, from a file in OpenMetrics or Prometheus text whose every line has its time: as `promtool tsdb
//! dump-openmetrics` writes it. It is put together again to the bodies that each target had, and read as the daemon reads those.

mod times;
mod together;

use std::collections::{BTreeMap, BTreeSet};

use self::together::{Line, Targets, are_several, together};
use super::{Recorded, changes::named, heard::Heard};
use crate::{
    config::Config,
    daemon::past::{self, Scraped},
    domain::{service::ServiceId, signal::Unknown, watch::Raw},
    sources::{
        exposition::{Format, Limits, Wanted, Why, scan},
        selector::Selector,
    },
    units::UnixMs,
};

/// The label by which Prometheus tells a service's targets apart.
const TARGET: &str = "instance";
/// The label by which it tells apart what is scraped for different reasons.
const JOB: &str = "job";
/// Lines that are told one by one.
const TOLD_MAX: usize = 5;
/// Jobs that are told by name.
const JOBS_TOLD_MAX: usize = 3;

/// Reads a file called `name`. `by` is the label whose value names the service; needed where several are scraped.
pub fn read(name: &str, text: &str, config: &Config, by: Option<&str>) -> Result<Recorded, String> {
    let services = past::scraped(config);
    let known: Vec<ServiceId> = services.iter().map(|s| s.service.clone()).collect();
    let only = match (&known[..], by) {
        ([], _) => {
            return Err(format!(
                "{name}: no service of the configuration is scraped; what queries read can be asked of a Prometheus that has this file (`promtool tsdb create-blocks-from openmetrics`, then --from)"
            ));
        }
        ([only], None) => Some(only.clone()),
        (_, None) => {
            return Err(format!(
                "{name}: several services are scraped: `--service-label` says which label tells them apart"
            ));
        }
        (_, Some(_)) => None,
    };
    let (format, odd) = times::format_of(name, text);
    let picking = services.iter().flat_map(|service| service.picking(format)).collect();
    let is_ended = times::is_ended(text);
    let mut sorted =
        Sorted { name, format, by, only, known, picking, is_ended, ..Sorted::default() };
    let wanted = Wanted::union(services.iter().map(|service| service.wanted(format)));
    for (number, line) in (1_usize..).zip(text.split_inclusive('\n')) {
        sorted.line(number, line, &wanted);
    }
    let mut recorded = Recorded::default();
    let (wrong, count) = (sorted.wrong, sorted.count);
    recorded.odd.extend(odd);
    recorded.odd.append(&mut sorted.told);
    if let Some(more) = wrong.checked_sub(TOLD_MAX).filter(|more| *more > 0) {
        recorded.odd.push(format!("{name}: and {more} more such lines"));
    }
    recorded.unplaced(name, wrong, count);
    recorded.misleading.extend(sorted.added_up());
    for service in &services {
        let mut targets = sorted.targets.remove(&service.service).unwrap_or_default();
        if targets.values().any(|target| target.is_read) {
            targets.retain(|_, target| target.is_read);
        }
        nameless(&mut recorded, name, &service.service, &targets);
        take(&mut recorded, service, &targets, format);
    }
    Ok(recorded)
}

/// Says of lines that do not name their target what is made of them.
fn nameless(recorded: &mut Recorded, name: &str, service: &ServiceId, targets: &Targets<'_>) {
    let Some(target) = targets.get("") else { return };
    let lines = format!("{name}: lines of {service} without a label `{TARGET}`");
    if are_several(target) || targets.len() > 1 {
        recorded.misleading.push(format!(
            "{lines} seem to be of several targets and were read as one; write the dump with that label"
        ));
    } else {
        recorded.odd.push(format!("{lines} are read as one target's"));
    }
}

/// A file, line by line.
#[derive(Default)]
struct Sorted<'t> {
    name: &'t str,
    format: Format,
    by: Option<&'t str>,
    only: Option<ServiceId>,
    known: Vec<ServiceId>,
    /// What the signals are read from.
    picking: Vec<Selector>,
    /// Whether the end is there, so that the last line is whole.
    is_ended: bool,
    targets: BTreeMap<ServiceId, Targets<'t>>,
    /// Whose lines are read, by their label.
    jobs: BTreeSet<String>,
    told: Vec<String>,
    /// Lines that could not be used, and all that are no comments.
    wrong: usize,
    count: usize,
}

impl<'t> Sorted<'t> {
    fn line(&mut self, number: usize, line: &'t str, wanted: &Wanted) {
        if line.trim().is_empty() || line.starts_with('#') {
            return;
        }
        self.count += 1;
        if let Err(why) = self.place(line, wanted) {
            self.wrong += 1;
            if self.wrong <= TOLD_MAX {
                self.told.push(format!("{}:{number}: {why}", self.name));
            }
        }
    }

    /// Puts a line to the scrape that it is of.
    fn place(&mut self, line: &'t str, wanted: &Wanted) -> Result<(), String> {
        let mut seen = None;
        let body = line.as_bytes();
        let whole = line.ends_with('\n');
        let ended = if whole { body.to_vec() } else { [body, b"\n"].concat() };
        let scanned = scan(&ended, self.format, &Limits::default(), wanted, |series| {
            let label = |name: &str| series.label(name).map(|value| value.text().into_owned());
            let is_read = self.picking.iter().any(|selector| selector.picks(series));
            let job = if is_read { label(JOB) } else { None };
            let value = series.value;
            seen = Some((series.at, value, label(TARGET), self.by.map(label), is_read, job));
        });
        let scanned = scanned.map_err(|why| why.to_string())?;
        if let Some(bad) = scanned.told.first() {
            let time = times::other(line, self.format).filter(|_| bad.why == Why::Timestamp);
            return Err(time.map_or_else(|| bad.why.to_string(), str::to_owned));
        }
        let Some((at, value, target, service, is_read, job)) = seen else { return Ok(()) };
        let at = at.ok_or("there is no time in it")?;
        if let Some(why) = times::other(line, self.format) {
            return Err(why.to_owned());
        }
        if !whole && !self.is_ended {
            return Err("the file ends within it: it may be cut off".to_owned());
        }
        let service = match (&self.only, service) {
            (Some(only), _) => only.clone(),
            (None, Some(Some(value))) => named(&value, &self.known)?,
            (None, Some(None) | None) => {
                return Err(format!("it has no label {}", self.by.unwrap_or_default()));
            }
        };
        self.jobs.extend(job);
        let targets = self.targets.entry(service).or_default();
        let target = targets.entry(target.unwrap_or_default()).or_default();
        target.is_read |= is_read;
        let line = Line { text: line, is_nan: value.is_nan() };
        target.scrapes.entry(at).or_default().push(line);
        Ok(())
    }

    /// Why everything that is there is more than the one service, if it seems to be.
    fn added_up(&self) -> Option<String> {
        let only = self.only.as_ref().filter(|_| self.jobs.len() > 1)?;
        let mut jobs = self.jobs.iter().take(JOBS_TOLD_MAX).cloned().collect::<Vec<_>>().join(", ");
        if let Some(more) = self.jobs.len().checked_sub(JOBS_TOLD_MAX).filter(|more| *more > 0) {
            jobs.push_str(&format!(" and {more} more"));
        }
        Some(format!(
            "{}: lines of {} jobs ({jobs}) were all read as {only}; use `--service-label {JOB}` where a job is called as its service, or leave the others out of the dump",
            self.name,
            self.jobs.len()
        ))
    }
}

/// Makes the scrapes of a service's targets the readings of its signals.
fn take(recorded: &mut Recorded, service: &Scraped, targets: &Targets<'_>, format: Format) {
    let polled = together(targets, format);
    let mut heards: Vec<Heard> = service
        .signals
        .iter()
        .map(|(signal, _)| Heard::nothing(service.service.clone(), signal.clone()))
        .collect();
    let mut told: Vec<Vec<(UnixMs, Vec<Raw>)>> = vec![vec![]; heards.len()];
    // What was wrong beside readings: told where nothing was worse.
    let mut beside: Vec<Option<String>> = vec![None; heards.len()];
    for (at, bodies) in polled.polls {
        let read = match bodies.is_empty() {
            true => vec![(vec![Raw::Unknown { at, why: Unknown::Absent }], None); heards.len()],
            false => service.read(&bodies, format, at),
        };
        let each = heards.iter_mut().zip(&mut told).zip(&mut beside);
        for ((readings, fault), ((heard, told), beside)) in read.into_iter().zip(each) {
            let is_nothing = matches!(readings[..], [Raw::Unknown { .. }]);
            if fault.is_some() && !is_nothing {
                *heard.mended.entry("with a fault of one target").or_default() += 1;
            }
            let why = if is_nothing { &mut heard.why } else { beside };
            *why = why.take().or(fault);
            told.push((at, readings));
        }
    }
    let each = heards.into_iter().zip(told).zip(beside).zip(&service.signals);
    for (((mut heard, told), beside), (_, every)) in each {
        let counted =
            [("told again (left out)", polled.again), ("other steps", polled.other_steps)];
        heard.mended.extend(counted.into_iter().filter(|(_, times)| *times > 0));
        heard.why = heard.why.or(beside);
        let track = heard.polls(told);
        recorded.take(heard, track, polled.step.unwrap_or(*every));
    }
}

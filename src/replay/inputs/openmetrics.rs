//! What targets exposed, from a file in OpenMetrics or Prometheus text whose every line has its time: as `promtool tsdb
//! dump-openmetrics` writes it. It is put together again to the bodies that each target had, and read as the daemon reads those.

use std::collections::BTreeMap;

use super::{Recorded, changes::named, heard::Heard};
use crate::{
    config::Config,
    daemon::past::{self, Scraped},
    domain::{service::ServiceId, signal::Unknown, watch::Raw},
    sources::exposition::{Format, Limits, Wanted, scan},
    units::{Span, UnixMs},
};

/// The label by which Prometheus tells a service's targets apart.
const TARGET: &str = "instance";
/// Lines that are told one by one.
const TOLD_MAX: usize = 5;
/// Scrapes that are made up for one gap, at most.
const GAP_MAX: i64 = 10_000;

/// The lines of each scrape of each target.
type Scrapes<'t> = BTreeMap<String, BTreeMap<UnixMs, Vec<&'t str>>>;

/// One scrape of each target.
type Bodies<'s> = BTreeMap<&'s str, String>;

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
    let ended = text.lines().next_back().is_some_and(|line| line.trim_end() == "# EOF");
    let format = if ended { Format::OpenMetrics } else { Format::Text };
    let mut sorted = Sorted { name, format, by, only, known, ..Sorted::default() };
    let wanted = Wanted::union(services.iter().map(|service| service.wanted(format)));
    for (number, line) in (1_usize..).zip(text.split_inclusive('\n')) {
        sorted.line(number, line, &wanted);
    }
    let mut recorded = Recorded::default();
    let (wrong, count) = (sorted.wrong, sorted.count);
    recorded.odd.append(&mut sorted.told);
    if let Some(more) = wrong.checked_sub(TOLD_MAX).filter(|more| *more > 0) {
        recorded.odd.push(format!("{name}: and {more} more such lines"));
    }
    recorded.unplaced(name, wrong, count);
    for service in &services {
        let scrapes = sorted.scrapes.remove(&service.service).unwrap_or_default();
        take(&mut recorded, service, scrapes, format);
    }
    Ok(recorded)
}

/// A file, line by line.
#[derive(Default)]
struct Sorted<'t> {
    name: &'t str,
    format: Format,
    by: Option<&'t str>,
    only: Option<ServiceId>,
    known: Vec<ServiceId>,
    scrapes: BTreeMap<ServiceId, Scrapes<'t>>,
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
        let ended = if line.ends_with('\n') { body.to_vec() } else { [body, b"\n"].concat() };
        let scanned = scan(&ended, self.format, &Limits::default(), wanted, |series| {
            let label = |name: &str| series.label(name).map(|value| value.text().into_owned());
            seen = Some((series.at, label(TARGET), self.by.map(label)));
        });
        let scanned = scanned.map_err(|why| why.to_string())?;
        if let Some(bad) = scanned.told.first() {
            return Err(bad.why.to_string());
        }
        let Some((at, target, service)) = seen else { return Ok(()) };
        let at = at.ok_or("there is no time in it")?;
        let service = match (&self.only, service) {
            (Some(only), _) => only.clone(),
            (None, Some(Some(value))) => named(&value, &self.known)?,
            (None, Some(None) | None) => {
                return Err(format!("it has no label {}", self.by.unwrap_or_default()));
            }
        };
        let targets = self.scrapes.entry(service).or_default();
        targets.entry(target.unwrap_or_default()).or_default().entry(at).or_default().push(line);
        Ok(())
    }
}

/// Makes the scrapes of a service's targets the readings of its signals.
fn take(recorded: &mut Recorded, service: &Scraped, scrapes: Scrapes<'_>, format: Format) {
    let mut again = 0;
    let (step, polls) = together(&scrapes, format, &mut again);
    let mut heards: Vec<Heard> = service
        .signals
        .iter()
        .map(|(signal, _)| Heard::nothing(service.service.clone(), signal.clone()))
        .collect();
    let mut told: Vec<Vec<(UnixMs, Vec<Raw>)>> = vec![vec![]; heards.len()];
    for (at, bodies) in polls {
        let read = match bodies.is_empty() {
            true => vec![(vec![Raw::Unknown { at, why: Unknown::Absent }], None); heards.len()],
            false => service.read(&bodies, format, at),
        };
        for ((readings, fault), (heard, told)) in
            read.into_iter().zip(heards.iter_mut().zip(&mut told))
        {
            if matches!(readings[..], [Raw::Unknown { .. }]) && heard.why.is_none() {
                heard.why = fault;
            }
            told.push((at, readings));
        }
    }
    for ((mut heard, told), (_, every)) in heards.into_iter().zip(told).zip(&service.signals) {
        if again > 0 {
            heard.mended.insert("told again (left out)", again);
        }
        let track = heard.polls(told);
        recorded.take(heard, track, step.unwrap_or(*every));
    }
}

/// The scrapes of all targets that belong together, at the step that is there most often. A scrape comes a little sooner or later than it
/// should; which one it is of its target is counted from that target's first.
fn together<'s>(
    scrapes: &'s Scrapes<'_>,
    format: Format,
    again: &mut usize,
) -> (Option<Span>, Vec<(UnixMs, Bodies<'s>)>) {
    let mut steps: BTreeMap<i64, usize> = BTreeMap::new();
    for times in scrapes.values().map(|all| all.keys().copied().collect::<Vec<_>>()) {
        for pair in times.windows(2) {
            *steps.entry((pair[1].since(pair[0]).as_seconds()).round() as i64).or_default() += 1;
        }
    }
    let most = steps.iter().filter(|(step, _)| **step > 0).max_by_key(|(step, n)| (**n, -**step));
    let step = most.map(|(step, _)| Span::seconds(*step));
    let width_ms = step.unwrap_or(Span::minutes(1)).ms() as f64;
    let begins = scrapes.values().filter_map(|all| all.keys().next().copied()).min();
    let Some(begins) = begins else { return (step, vec![]) };
    let nearest = |at: UnixMs, from: UnixMs| (at.since(from).ms() as f64 / width_ms).round() as i64;
    let mut ticks: BTreeMap<i64, (UnixMs, Bodies<'s>)> = BTreeMap::new();
    for (target, all) in scrapes {
        let first = all.keys().next().copied().unwrap_or(begins);
        for (at, lines) in all {
            let tick = ticks.entry(nearest(first, begins) + nearest(*at, first)).or_default();
            tick.0 = tick.0.max(*at);
            tick.1.insert(target, body(lines, format, again));
        }
    }
    let mut polls: Vec<(UnixMs, Bodies<'s>)> = vec![];
    let mut before = None;
    for (number, (at, bodies)) in ticks {
        let missed = before.map_or(0, |before: i64| (number - before - 1).min(GAP_MAX));
        let last = polls.last().map(|(at, _)| *at);
        let width = Span(width_ms as i64);
        polls.extend(
            last.into_iter()
                .flat_map(|last| {
                    (1..=missed)
                        .map(move |n| (last + width * n, BTreeMap::new()))
                        .filter(|(t, _)| *t < at)
                })
                .collect::<Vec<_>>(),
        );
        polls.push((at, bodies));
        before = Some(number);
    }
    (step, polls)
}

/// What a target answered. What stands there twice was written twice.
fn body(lines: &[&str], format: Format, again: &mut usize) -> String {
    let mut lines: Vec<&str> = lines.iter().map(|line| line.trim_end()).collect();
    let count = lines.len();
    lines.sort_unstable();
    lines.dedup();
    *again += count - lines.len();
    let end = if format == Format::OpenMetrics { "\n# EOF\n" } else { "\n" };
    lines.join("\n") + end
}

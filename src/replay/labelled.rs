//! Labelled series, a JSON object a line: counts step by step, and what should be made of them.

use std::{
    io::BufRead,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use serde::Deserialize;

use super::{
    cores::on_all_cores,
    tape::{Counts, Deployment, Steps, Tape, Track},
};
use crate::{
    domain::service::ServiceId,
    units::{Span, UnixMs},
};

/// When every series begins: 2026-01-05, 00:00 UTC, a Monday. The files tell no dates.
const FROM: UnixMs = UnixMs(1_767_571_200_000);
/// The environment of whatever is named in such a file.
const ENVIRONMENT: &str = "replay";
/// The most series of one file.
const SERIES_MAX: usize = 100_000;

/// What should be made of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expect {
    /// Bad enough to be rolled back.
    Rollback,
    /// Worse than normal, and a person's to judge.
    Page,
    /// Nothing.
    None,
}

/// A label.
#[derive(Clone, Debug, PartialEq)]
pub enum Label {
    /// A fault.
    Fault {
        /// When it begins. It is taken for the doing of a deployment at that moment.
        from: UnixMs,
        /// When it ends, where it does.
        until: Option<UnixMs>,
        /// The share of requests that truly fails.
        ratio: f64,
        /// What should be made of it.
        expect: Expect,
    },
    /// Recorded as it was, and nobody said what it is: it is replayed, and not scored.
    Unlabelled,
    /// No fault.
    Healthy {
        /// Whether it is well; one that is not always fails, and is not to be rolled back all the same.
        well_behaved: bool,
    },
}

/// A series and its label.
#[derive(Clone, Debug, PartialEq)]
pub struct Labelled {
    /// Its name in the file.
    pub id: String,
    /// How often it was read.
    pub step: Span,
    /// What was recorded.
    pub tape: Tape,
    /// What it is.
    pub label: Label,
}

#[derive(Deserialize)]
struct Line {
    id: String,
    interval_s: i64,
    n: Vec<Option<f64>>,
    e: Vec<Option<f64>>,
    #[serde(default)]
    p95_ms: Option<Vec<Option<f64>>>,
    #[serde(default)]
    up: Option<Vec<Option<f64>>>,
    fault_start_s: Option<i64>,
    fault_end_s: Option<i64>,
    truth_error_ratio: Option<f64>,
    expect: Option<Expect>,
    well_behaved: Option<bool>,
}

/// Does something with every series of a file called `name`, on all cores.
///
/// Each is let go of before its core reads the next: no more of them are held than there are cores. All that is wrong is told at once,
/// with its line, and nothing is done any more once something is.
pub fn each<T: Send>(
    name: &str,
    lines: impl BufRead + Send,
    each: impl Fn(Labelled) -> T + Sync,
) -> Result<Vec<T>, Vec<String>> {
    let lines = Mutex::new(Lines { lines, number: 0, series: 0, ended: false });
    let next = || {
        let (number, text) = lines.lock().unwrap_or_else(PoisonError::into_inner).next()?;
        Some((number, (number, text)))
    };
    let broken = AtomicBool::new(false);
    let results = on_all_cores(next, |(number, text)| {
        let series = text.and_then(|text| {
            let line = serde_json::from_str::<Line>(&text);
            line.map_err(|fault| format!("this is no labelled series: {fault}")).and_then(labelled)
        });
        match series {
            Ok(series) => Ok((!broken.load(Ordering::Relaxed)).then(|| each(series))),
            Err(why) => {
                broken.store(true, Ordering::Relaxed);
                Err(format!("{name}:{number}: {why}"))
            }
        }
    });
    let (mut all, mut wrong) = (vec![], vec![]);
    for result in results {
        match result {
            Ok(done) => all.extend(done),
            Err(why) => wrong.push(why),
        }
    }
    if all.is_empty() && wrong.is_empty() {
        wrong.push(format!("{name}: it names no series; each line is one, as a JSON object"));
    }
    if wrong.is_empty() { Ok(all) } else { Err(wrong) }
}

/// The lines of a file that are not empty, and why one cannot be had.
struct Lines<R> {
    lines: R,
    number: usize,
    series: usize,
    ended: bool,
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = (usize, Result<String, String>);

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            let mut text = String::new();
            self.number += 1;
            match self.lines.read_line(&mut text) {
                Ok(0) => self.ended = true,
                Ok(_) if text.trim().is_empty() => {}
                Ok(_) if self.series == SERIES_MAX => {
                    self.ended = true;
                    let why = format!("more than {SERIES_MAX} series; split the file");
                    return Some((self.number, Err(why)));
                }
                Ok(_) => {
                    self.series += 1;
                    return Some((self.number, Ok(text)));
                }
                Err(fault) => {
                    self.ended = true;
                    return Some((self.number, Err(format!("it cannot be read: {fault}"))));
                }
            }
        }
        None
    }
}

fn labelled(line: Line) -> Result<Labelled, String> {
    if !(1..=86_400).contains(&line.interval_s) {
        return Err(format!("`interval_s` is {}; write 1 to 86400 seconds", line.interval_s));
    }
    if line.n.len() != line.e.len() || line.n.is_empty() {
        let (n, e) = (line.n.len(), line.e.len());
        return Err(format!("`n` has {n} values and `e` has {e}; both need one for each step"));
    }
    let step = Span::seconds(line.interval_s);
    let at = |seconds: i64| FROM + Span::seconds(seconds);
    let label = match (line.fault_start_s, line.expect, line.well_behaved) {
        (Some(from), Some(expect), _) => {
            let long = line.interval_s * i64::try_from(line.n.len()).unwrap_or(i64::MAX);
            if !(0..long).contains(&from) {
                return Err(format!("`fault_start_s` is {from}, and the series lasts {long} s"));
            }
            let ratio = line.truth_error_ratio.unwrap_or(0.0);
            Label::Fault { from: at(from), until: line.fault_end_s.map(at), ratio, expect }
        }
        (None, None, Some(well_behaved)) => Label::Healthy { well_behaved },
        (None, None, None) => Label::Unlabelled,
        (_, _, _) => {
            return Err("its label is half there: write `fault_start_s` and `expect` (rollback, page or none) for a fault, \
                        or `well_behaved` for a series without one"
                .into());
        }
    };
    let deployments = match &label {
        Label::Fault { from, .. } => vec![Deployment { at: *from, version: "after".into() }],
        Label::Healthy { .. } | Label::Unlabelled => vec![],
    };
    let mut tracks = vec![("error_rate".to_owned(), counts(&line.n, &line.e, step)?)];
    if let Some(p95) = &line.p95_ms {
        tracks.push(("latency".to_owned(), quantiles(p95, &line.n, step)?));
    }
    if let Some(up) = &line.up {
        tracks.push(("health".to_owned(), probes(up, line.n.len(), step)?));
    }
    let service = ServiceId::new(&line.id.replace('/', ":"), ENVIRONMENT)?;
    Ok(Labelled { id: line.id, step, tape: Tape { service, tracks, deployments }, label })
}

fn counts(n: &[Option<f64>], e: &[Option<f64>], step: Span) -> Result<Track, String> {
    let each = (0..).zip(n.iter().zip(e)).map(|(index, (n, e))| {
        let (Some(n), Some(e)) = (n, e) else { return Ok(None) };
        if [n, e].into_iter().any(|v| !(0.0..=f64::from(u32::MAX)).contains(v)) || e > n {
            return Err(format!("value {index}: {e} errors of {n} requests are no counts"));
        }
        Ok(Some((e.round() as u32, n.round() as u32)))
    });
    let each = each.collect::<Result<_, _>>()?;
    Ok(Track::Counts(Counts { from: FROM, step, each }))
}

fn quantiles(p95: &[Option<f64>], n: &[Option<f64>], step: Span) -> Result<Track, String> {
    if p95.len() != n.len() {
        return Err(format!("`p95_ms` has {} values and `n` has {}", p95.len(), n.len()));
    }
    let known = (1..)
        .zip(p95.iter().zip(n))
        .filter_map(|(steps, (p95, n))| Some((steps, ((*p95)? / 1_000.0, n.map(|n| n as u32)))));
    Ok(Track::Values(Steps { from: FROM, step, each: known.collect() }))
}

fn probes(up: &[Option<f64>], steps: usize, step: Span) -> Result<Track, String> {
    if up.len() != steps {
        return Err(format!("`up` has {} values and `n` has {steps}", up.len()));
    }
    let known = (1..).zip(up).filter_map(|(steps, up)| Some((steps, (*up)?)));
    let known = known.map(|(steps, up)| match up {
        1.0 => Ok((steps, true)),
        0.0 => Ok((steps, false)),
        _ => Err(format!("value {}: `up` is {up}; write 1, 0 or null", steps - 1)),
    });
    Ok(Track::Probes(Steps { from: FROM, step, each: known.collect::<Result<_, _>>()? }))
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufReader, Read, Result},
        sync::atomic::AtomicUsize,
    };

    use super::*;

    const LINE: &[u8] =
        b"{\"id\":\"a\",\"interval_s\":60,\"n\":[1],\"e\":[0],\"well_behaved\":true}\n";

    /// So many lines, and how many of them were asked for.
    struct Asked<'a> {
        left: usize,
        asked: &'a AtomicUsize,
    }

    impl Read for Asked<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
            let Some(left) = self.left.checked_sub(1) else { return Ok(0) };
            self.left = left;
            self.asked.fetch_add(1, Ordering::SeqCst);
            buffer[..LINE.len()].copy_from_slice(LINE);
            Ok(LINE.len())
        }
    }

    /// A month of a thousand services is gigabytes once it is read.
    #[test]
    fn a_line_is_read_when_the_one_before_it_is_done_with() {
        let (asked, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let lines = BufReader::with_capacity(LINE.len(), Asked { left: 500, asked: &asked });
        let held = each("file", lines, |_| {
            // What is done with is counted before the next is asked for, so that this can only be too high by the own one.
            let held = asked.load(Ordering::SeqCst) - done.load(Ordering::SeqCst);
            done.fetch_add(1, Ordering::SeqCst);
            held
        });
        let held = held.unwrap();
        assert_eq!(held.len(), 500);
        assert!(held.iter().all(|held| *held <= cores * 2), "{:?} of {cores}", held.iter().max());
    }
}

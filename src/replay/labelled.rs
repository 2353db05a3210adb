//! Labelled series, a JSON object a line: counts step by step, and what should be made of them.

use serde::Deserialize;

use super::tape::{Counts, Deployment, Tape, Track};
use crate::{
    domain::{service::ServiceId, watch::Raw},
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
    fault_start_s: Option<i64>,
    fault_end_s: Option<i64>,
    truth_error_ratio: Option<f64>,
    expect: Option<Expect>,
    well_behaved: Option<bool>,
}

/// Reads every line of a file called `name`. All that is wrong is told at once, with its line.
pub fn read(name: &str, text: &str) -> Result<Vec<Labelled>, Vec<String>> {
    let (mut all, mut wrong) = (vec![], vec![]);
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    for (number, line) in lines {
        let parsed = serde_json::from_str::<Line>(line)
            .map_err(|fault| format!("this is no labelled series: {fault}"));
        match parsed.and_then(labelled) {
            Ok(_) if all.len() == SERIES_MAX => {
                wrong.push(format!(
                    "{name}:{number}: more than {SERIES_MAX} series; split the file"
                ));
                break;
            }
            Ok(series) => all.push(series),
            Err(why) => wrong.push(format!("{name}:{number}: {why}")),
        }
    }
    if all.is_empty() && wrong.is_empty() {
        wrong.push(format!("{name}: it names no series; each line is one, as a JSON object"));
    }
    if wrong.is_empty() { Ok(all) } else { Err(wrong) }
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
    let polls = (1..).zip(p95.iter().zip(n)).filter_map(|(index, (p95, n))| {
        let at = FROM + step * index;
        let value = (*p95)? / 1_000.0;
        Some((at, vec![Raw::Gauge { at, value, n: n.map(|n| n as u64) }]))
    });
    Ok(Track::Polls(polls.collect()))
}

//! The JSON that Prometheus answers with, read strictly.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    time::Duration,
};

use serde::{Deserialize, Deserializer, de::IgnoredAny};

use super::{
    QueryError,
    labels::{Labels, Text},
};
use crate::{
    sources::{
        exposition,
        reading::{Fault, Freshness},
    },
    units::UnixMs,
};

/// One value of one series.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its labels, with `__name__` if the query kept it.
    pub labels: Labels,
    /// Its value; always finite.
    pub value: f64,
    /// The time Prometheus gave it.
    pub at: UnixMs,
}

/// What an instant query yielded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// The usable rows, in Prometheus's order, which means nothing.
    pub rows: Vec<Row>,
    /// What became of the others; the first of them.
    pub faults: Vec<Fault>,
    /// The labels of all the others.
    pub unusable: Vec<Labels>,
    /// Prometheus warned: rows may be missing.
    pub partial: bool,
    /// Its remarks on the query.
    pub infos: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

/// The history of one series; a gap, or a value that is no number, is a point that is not there.
#[derive(Clone, Debug, PartialEq)]
pub struct Track {
    /// Its labels.
    pub labels: Labels,
    /// Time and value, ascending.
    pub points: Vec<(UnixMs, f64)>,
    /// When its value was no number: what is not there is zero errors, and this is not known.
    pub lost: Vec<UnixMs>,
    /// It has native histograms, which were left out.
    pub native: bool,
}

#[derive(Deserialize)]
struct Envelope {
    status: Status,
    data: Option<Data>,
    #[serde(rename = "errorType")]
    error_type: Option<String>,
    error: Option<String>,
    #[serde(default)]
    warnings: Vec<String>,
    #[serde(default)]
    infos: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Success,
    Error,
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Vector(Vec<Sample>),
    Matrix(Vec<Series>),
    Scalar(IgnoredAny),
    String(IgnoredAny),
}

/// Seconds, and a number in a string; NaN where it is none.
struct Point(f64, f64);

impl<'de> Deserialize<'de> for Point {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (at, value) = <(f64, Text<'de>)>::deserialize(deserializer)?;
        Ok(Self(at, value.0.parse().unwrap_or(f64::NAN)))
    }
}

#[derive(Deserialize)]
struct Sample {
    metric: Labels,
    value: Option<Point>,
    histogram: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Series {
    metric: Labels,
    #[serde(default)]
    values: Vec<Point>,
    #[serde(default)]
    histograms: Vec<IgnoredAny>,
}

impl Data {
    fn shape(&self) -> &'static str {
        match self {
            Self::Vector(_) => "vector",
            Self::Matrix(_) => "matrix",
            Self::Scalar(_) => "scalar",
            Self::String(_) => "string",
        }
    }
}

/// Reads the answer to an instant query.
pub fn rows(status: u16, body: &[u8]) -> Result<Rows, QueryError> {
    let (data, warnings, infos) = open(status, body)?;
    let samples = match data {
        Data::Vector(samples) => samples,
        other @ (Data::Matrix(_) | Data::Scalar(_) | Data::String(_)) => {
            return Err(shape(&other, "vector"));
        }
    };
    let mut answer = Rows { infos, partial: !warnings.is_empty(), ..Rows::default() };
    answer.faults.extend(warnings.into_iter().map(Fault::Warned));
    for Sample { metric, value, histogram } in samples {
        match (value, histogram) {
            (Some(point), _) => match number(&point) {
                Ok((at, value)) => answer.rows.push(Row { labels: metric, value, at }),
                Err(value) => answer.lose(metric, |series| Fault::NotANumber { series, value }),
            },
            (None, _) => answer.lose(metric, |series| Fault::NativeHistogram { series }),
        }
    }
    Ok(answer)
}

/// What a range query yielded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// Each series, in Prometheus's order, which means nothing.
    pub tracks: Vec<Track>,
    /// Where there are any, series may be missing.
    pub warnings: Vec<String>,
}

/// Reads the answer to a range query; one with warnings is refused.
pub fn tracks(status: u16, body: &[u8]) -> Result<Vec<Track>, QueryError> {
    let History { tracks, warnings } = history(status, body)?;
    match warnings.into_iter().next() {
        // History is asked for once: half of it is refused, not marked.
        Some(message) => Err(QueryError::Refused { status, kind: "warning".into(), message }),
        None => Ok(tracks),
    }
}

/// Reads the answer to a range query, and what Prometheus warned of.
pub fn history(status: u16, body: &[u8]) -> Result<History, QueryError> {
    let (data, warnings, _) = open(status, body)?;
    let series = match data {
        Data::Matrix(series) => series,
        other @ (Data::Vector(_) | Data::Scalar(_) | Data::String(_)) => {
            return Err(shape(&other, "matrix"));
        }
    };
    let tracks = series.into_iter().map(|series| Track {
        points: series.values.iter().filter_map(|point| number(point).ok()).collect(),
        lost: series.values.iter().filter_map(lost).collect(),
        native: !series.histograms.is_empty(),
        labels: series.metric,
    });
    Ok(History { tracks: tracks.collect(), warnings })
}

/// Appends the next piece of history.
pub fn merge(all: &mut Vec<Track>, next: Vec<Track>) {
    if all.is_empty() {
        *all = next;
        return;
    }
    let mut known: BTreeMap<Labels, usize> =
        all.iter().enumerate().map(|(at, track)| (track.labels.clone(), at)).collect();
    for track in next {
        match known.get(&track.labels).and_then(|at| all.get_mut(*at)) {
            Some(known) => {
                known.points.extend(track.points);
                known.lost.extend(track.lost);
                known.native |= track.native;
            }
            None => {
                known.insert(track.labels.clone(), all.len());
                all.push(track);
            }
        }
    }
}

/// The series in a word: its labels but one, as PromQL writes them.
pub(super) fn key(labels: &Labels, without: &str) -> String {
    key_of(labels.iter().filter(|(name, _)| *name != without))
}

pub(super) fn key_of<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::from("{");
    for (name, value) in labels.filter(|(name, _)| *name != "__name__") {
        let comma = if text.len() > 1 { "," } else { "" };
        // Writing to a string cannot fail.
        let _ = write!(text, "{comma}{name}={value:?}");
    }
    text.push('}');
    text
}

impl Rows {
    const TOLD: usize = 20;

    /// The labels of every row, also of those whose value cannot be used.
    pub fn labels(&self) -> impl Iterator<Item = &Labels> {
        self.rows.iter().map(|row| &row.labels).chain(&self.unusable)
    }

    /// The values of a label, each once; whatever number stands beside them.
    pub fn values_of(&self, label: &str) -> BTreeSet<&str> {
        self.labels().filter_map(|labels| labels.get(label)).collect()
    }

    pub(super) fn lose(&mut self, labels: Labels, fault: impl FnOnce(String) -> Fault) {
        if self.faults.len() < Self::TOLD {
            self.faults.push(fault(key(&labels, "")));
        }
        self.unusable.push(labels);
    }

    /// Takes out the rows whose time is too far from the time that was asked for.
    pub(super) fn drop_untimely(&mut self, freshness: Freshness, asked: UnixMs) {
        for row in std::mem::take(&mut self.rows) {
            // Rows are called by their names only where something is wrong with them.
            if freshness.fault("", row.at, asked).is_none() {
                self.rows.push(row);
            } else {
                let fault = freshness.fault(&key(&row.labels, ""), row.at, asked);
                fault.into_iter().for_each(|fault| self.lose(row.labels.clone(), |_| fault));
            }
        }
    }
}

fn open(status: u16, body: &[u8]) -> Result<(Data, Vec<String>, Vec<String>), QueryError> {
    let seen = || QueryError::NotPrometheus { status, seen: exposition::excerpt(body) };
    let envelope: Envelope = serde_json::from_slice(body).map_err(|error| {
        let json = body.trim_ascii_start().first() == Some(&b'{');
        if error.is_eof() && json { QueryError::Cut } else { seen() }
    })?;
    if envelope.status == Status::Error {
        return Err(QueryError::Refused {
            status,
            kind: envelope.error_type.unwrap_or_else(|| "unknown".into()),
            message: envelope.error.unwrap_or_default(),
        });
    }
    let data = envelope.data.filter(|_| status == 200).ok_or_else(seen)?;
    // Before it had `infos`, Prometheus sent its remarks among the warnings.
    let (remarks, warnings): (Vec<_>, Vec<_>) =
        envelope.warnings.into_iter().partition(|text| text.starts_with("PromQL info:"));
    Ok((data, warnings, envelope.infos.into_iter().chain(remarks).collect()))
}

fn shape(data: &Data, expected: &'static str) -> QueryError {
    let hint = match data {
        Data::Matrix(_) => ": take the range `[...]` off",
        Data::Scalar(_) => ": write it as `vector(...)`",
        Data::Vector(_) | Data::String(_) => "",
    };
    QueryError::Shape { got: data.shape(), expected, hint }
}

/// The time and the value, if that is finite; else the value.
fn lost(point: &Point) -> Option<UnixMs> {
    if number(point).is_ok() { None } else { UnixMs::from_seconds(point.0) }
}

fn number(Point(at, value): &Point) -> Result<(UnixMs, f64), f64> {
    let at = UnixMs::from_seconds(*at).filter(|_| value.is_finite());
    at.map(|at| (at, *value)).ok_or(*value)
}

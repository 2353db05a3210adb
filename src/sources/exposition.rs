//! The Prometheus text format 0.0.4 and OpenMetrics, scanned where they lie: names, labels and values are borrowed
//! from the body and nothing is allocated per series.
//!
//! Exact, and never silent: a line that cannot be read is counted and told, and where it is or could be of a wanted
//! series the outcome is *partial*, for a lost error counter reads as "no errors". It decides nothing and keeps
//! nothing: the caller names the series it wants, the others are only looked at far enough to step over them.

mod bytes;
mod grammar;
mod labels;
mod number;
mod told;
mod twins;
mod wanted;

#[cfg(test)]
mod tests;

pub use labels::{Label, Text};
pub(crate) use told::excerpt;
pub use told::{BadLine, Over, Scan, Unreadable, Why};
pub use wanted::Wanted;

use std::borrow::Cow;

use memchr::memchr;

use crate::units::UnixMs;

/// What one body may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole body, after decompression.
    pub body_bytes: usize,
    /// Wanted series in one body.
    pub series: usize,
    /// Labels of one series.
    pub labels: usize,
    /// Bytes of one line.
    pub line_bytes: usize,
    /// Bad lines that are told with their text; the others are only counted.
    pub told: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { body_bytes: 32 << 20, series: 200_000, labels: 64, line_bytes: 64 << 10, told: 10 }
    }
}

/// Which of the two formats a body is written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text 0.0.4: timestamps in milliseconds, no end marker.
    #[default]
    Text,
    /// OpenMetrics: timestamps in seconds, and `# EOF` ends the body.
    OpenMetrics,
}

impl Format {
    /// By the `Content-Type` of the response; text where it says nothing of use.
    pub fn of(content_type: Option<&str>) -> Self {
        match content_type {
            Some(kind) if kind.trim_start().starts_with("application/openmetrics-text") => {
                Self::OpenMetrics
            }
            Some(_) | None => Self::Text,
        }
    }
}

/// What a `# TYPE` line said of the family a series stands under.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// A cumulative count.
    Counter,
    /// A value that goes up and down.
    Gauge,
    /// Cumulative buckets.
    Histogram,
    /// Quantiles computed by the target.
    Summary,
    /// Untyped, or a type of OpenMetrics that is none of these.
    #[default]
    Untyped,
}

/// One series as it stands in the body.
#[derive(Clone, Copy, Debug)]
pub struct Series<'body, 'scan> {
    /// The sample's name, with `_total`, `_bucket` and the like.
    pub name: Text<'body>,
    /// The labels in the order of the body, each name once.
    pub labels: &'scan [Label<'body>],
    /// The value, which may be NaN or infinite.
    pub value: f64,
    /// The sample's own timestamp, where the target gave one.
    pub at: Option<UnixMs>,
    /// The type of its family.
    pub kind: Kind,
    /// The line it stands on, from 1.
    pub line: u64,
}

impl<'body> Series<'body, '_> {
    /// The value of a label, if the series has it.
    pub fn label(&self, name: &str) -> Option<Text<'body>> {
        self.labels.iter().find(|label| label.name == *name).map(|label| label.value)
    }
}

/// Reads `body` and hands every wanted series to `each`, once.
///
/// An `Err` means that this is no exposition at all. Everything less is in the returned [`Scan`], above all whether it
/// is [partial](Scan::partial); the series handed over before a fault stay handed over.
pub fn scan<'body>(
    body: &'body [u8],
    format: Format,
    limits: &Limits,
    wanted: &Wanted,
    each: impl FnMut(&Series<'body, '_>),
) -> Result<Scan, Unreadable> {
    if body.len() > limits.body_bytes {
        return Err(Unreadable::TooLarge { limit: limits.body_bytes });
    }
    told::recognise(body)?;
    let reader = Reader {
        format,
        limits,
        wanted,
        each,
        labels: Vec::with_capacity(16),
        twins: twins::Twins::new(body),
        family: (Cow::Borrowed(""), Kind::Untyped),
        last: b"",
        seen: Scan { bad_of: vec![0; wanted.len()], ..Scan::default() },
        ended: false,
    };
    let scan = reader.read(body);
    if scan.bad > 0 && scan.given + scan.skipped == 0 && !scan.comments {
        return Err(Unreadable::NotMetrics { seen: excerpt(body) });
    }
    Ok(scan)
}

struct Reader<'body, 'call, Each> {
    format: Format,
    limits: &'call Limits,
    wanted: &'call Wanted,
    each: Each,
    labels: Vec<Label<'body>>,
    twins: twins::Twins<'body>,
    family: (Cow<'body, str>, Kind),
    last: &'body [u8],
    seen: Scan,
    ended: bool,
}

impl<'body, Each: FnMut(&Series<'body, '_>)> Reader<'body, '_, Each> {
    fn read(mut self, body: &'body [u8]) -> Scan {
        let mut rest = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        let mut number = 0;
        while let Some(end) = memchr(b'\n', rest) {
            number += 1;
            self.line(number, rest.get(..end).unwrap_or_default());
            rest = rest.get(end + 1..).unwrap_or_default();
            if self.seen.over.is_some() {
                return self.seen;
            }
        }
        if grammar::is_end_marker(rest) && !self.ended {
            self.ended = true;
        } else if !rest.is_empty() {
            // Cut or only unfinished, nobody can tell: `17` may have been `1734`.
            self.seen.cut = true;
        }
        if self.format == Format::OpenMetrics && !self.ended {
            self.seen.cut = true;
        }
        self.seen
    }

    fn line(&mut self, number: u64, line: &'body [u8]) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Some(line) = grammar::skip_blanks(line) else { return };
        if line[0] == b'#' {
            return self.comment(number, line);
        }
        if self.ended {
            return self.bad(number, line, Why::AfterEnd, Suspect::Unsure);
        }
        let (name, tail) = grammar::bare_name(line, self.last);
        self.last = name;
        match self.wanted.of(name, tail) {
            Place::Skip => match grammar::glance(tail) {
                Ok(()) => self.seen.skipped += 1,
                Err(why) => self.bad(number, line, why, Suspect::No),
            },
            Place::Read(which) => self.series(number, line, name.len(), which),
            Place::Garbled => {
                self.bad(number, line, Why::Name, self.wanted.suspect(name, tail));
            }
        }
    }

    fn comment(&mut self, number: u64, line: &'body [u8]) {
        self.seen.comments = true;
        if self.ended {
            return self.bad(number, line, Why::AfterEnd, Suspect::Unsure);
        }
        if let Some(family) = grammar::type_line(line) {
            self.family = family;
        } else if self.format == Format::OpenMetrics && grammar::is_end_marker(line) {
            self.ended = true;
        }
    }

    fn series(&mut self, number: u64, line: &'body [u8], bare: usize, which: Option<usize>) {
        let suspect = which.map_or(Suspect::Unsure, Suspect::Of);
        if line.len() > self.limits.line_bytes {
            return self.bad(number, line, Why::TooLong, suspect);
        }
        let read = grammar::series(line, bare, self.format, self.limits.labels, &mut self.labels);
        let (name, value, at) = match read {
            Ok(read) => read,
            Err(why) => return self.bad(number, line, why, suspect),
        };
        if which.is_none() && !self.wanted.has(&name.text()) {
            self.seen.skipped += 1;
            return;
        }
        if self.seen.given >= self.limits.series as u64 {
            self.seen.over = Some(Over::Series { limit: self.limits.series });
            return;
        }
        let twin = self.twins.of(line, name, &self.labels, value);
        if twin != twins::Twin::None {
            return self.duplicate(line, twin, suspect);
        }
        self.seen.given += 1;
        let of_family = grammar::is_of(&name.text(), &self.family.0);
        let kind = if of_family { self.family.1 } else { Kind::Untyped };
        (self.each)(&Series { name, labels: &self.labels, value, at, kind, line: number });
    }

    /// Half of two contradicting series is not known: as if the line could not be read.
    #[cold]
    fn duplicate(&mut self, line: &[u8], twin: twins::Twin, suspect: Suspect) {
        self.seen.duplicates += 1;
        self.seen.first_duplicate.get_or_insert_with(|| excerpt(line));
        if twin == twins::Twin::Conflicting {
            self.missing(suspect);
        }
    }

    fn missing(&mut self, suspect: Suspect) {
        match suspect {
            Suspect::No => {}
            Suspect::Of(which) => {
                if let Some(count) = self.seen.bad_of.get_mut(which) {
                    *count += 1;
                }
            }
            Suspect::Unsure => self.seen.bad_unsure += 1,
        }
    }

    #[cold]
    fn bad(&mut self, line: u64, text: &[u8], why: Why, suspect: Suspect) {
        self.seen.bad += 1;
        self.missing(suspect);
        let wanted = suspect != Suspect::No;
        let told = &mut self.seen.told;
        if told.len() >= self.limits.told {
            // A line that matters is told in place of one that does not.
            match told.iter().rposition(|told| wanted && !told.wanted) {
                Some(lesser) => drop(told.remove(lesser)),
                None => return,
            }
        }
        told.push(BadLine { line, why, excerpt: excerpt(text), wanted });
    }
}

/// Where the name at the start of a line leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Skip,
    /// To be read; with its place in the list, unless all are wanted or the name is quoted, inside the braces.
    Read(Option<usize>),
    Garbled,
}

/// Which wanted series a bad line may have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Suspect {
    No,
    Of(usize),
    Unsure,
}

//! What is told of a body: how much was read, which lines were not, and what it was when it was no exposition at all.

use std::fmt;

const EXCERPT_CHARS: usize = 80;

/// How a scan went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// Series handed over.
    pub given: u64,
    /// Series of other names, stepped over.
    pub skipped: u64,
    /// Lines that could not be read.
    pub bad: u64,
    /// How many lines of the wanted name at this place of the list are lost: unreadable, or contradicting.
    pub bad_of: Vec<u64>,
    /// How many such lines could be of any wanted name.
    pub bad_unsure: u64,
    /// Series that were there before, with the same labels. With the same value it is counted once; with another one
    /// nobody knows which is true, and a wanted series is missing.
    pub duplicates: u64,
    /// The first of those.
    pub first_duplicate: Option<String>,
    /// The body ends within a line, or without the end marker of its format.
    pub cut: bool,
    /// A limit was reached and the rest was not read.
    pub over: Option<Over>,
    /// The first bad lines.
    pub told: Vec<BadLine>,
    pub(super) comments: bool,
}

impl Scan {
    /// Whether any wanted series may be missing.
    pub fn partial(&self) -> bool {
        self.cut
            || self.over.is_some()
            || self.bad_unsure > 0
            || self.bad_of.iter().any(|count| *count > 0)
    }

    /// Whether a series of the name at this place of the list of wanted names may be missing.
    pub fn partial_of(&self, which: usize) -> bool {
        let lines = self.bad_of.get(which).is_some_and(|count| *count > 0);
        self.cut || self.over.is_some() || self.bad_unsure > 0 || lines
    }
}

/// The limit that ended a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// More wanted series than that.
    Series {
        /// The limit.
        limit: usize,
    },
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Series { limit } => write!(f, "more than {limit} series"),
        }
    }
}

/// A line that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// Its number, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub why: Why,
    /// Its beginning.
    pub excerpt: String,
    /// It is or could be of a wanted series.
    pub wanted: bool,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}: `{}`", self.line, self.why, self.excerpt)
    }
}

/// What can be wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// No legal metric name.
    #[error("no metric name")]
    Name,
    /// A label name that is none.
    #[error("not a label name")]
    LabelName,
    /// Two labels of one name.
    #[error("a label is there twice")]
    LabelTwice,
    /// More labels than allowed.
    #[error("too many labels")]
    Labels,
    /// A value without quotes, or without its last one.
    #[error("a label value is not in quotes")]
    Quotes,
    /// No `=`, `,` or `}` where one must be.
    #[error("the labels do not end")]
    Braces,
    /// No value, or one that is no number.
    #[error("the value is not a number")]
    Value,
    /// A timestamp that is none.
    #[error("the timestamp is not a time")]
    Timestamp,
    /// Something after the value, the timestamp or the exemplar.
    #[error("something follows the value")]
    Tail,
    /// An exemplar that cannot be read.
    #[error("the exemplar cannot be read")]
    Exemplar,
    /// Bytes that are no text.
    #[error("not UTF-8")]
    Utf8,
    /// A line longer than allowed.
    #[error("the line is too long")]
    TooLong,
    /// A line after `# EOF`.
    #[error("it follows the end marker")]
    AfterEnd,
}

/// Why a body is no exposition at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Larger than the limit.
    #[error("the body is larger than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// A page for people: a login form, an error page, the wrong path.
    #[error("this looks like HTML, not metrics: `{seen}`")]
    Html {
        /// Its beginning.
        seen: String,
    },
    /// Compressed, protobuf, or a picture.
    #[error("this is binary, not metrics in text: `{seen}`")]
    Binary {
        /// Its beginning.
        seen: String,
    },
    /// Text in which not one line is a metric.
    #[error("this does not look like metrics: `{seen}`")]
    NotMetrics {
        /// Its beginning.
        seen: String,
    },
}

/// Refuses at once what is plainly something else.
pub(super) fn recognise(body: &[u8]) -> Result<(), Unreadable> {
    let head = body.get(..body.len().min(512)).unwrap_or_default();
    let head = head.trim_ascii_start();
    if head.first() == Some(&b'<') {
        return Err(Unreadable::Html { seen: excerpt(head) });
    }
    let first_line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if first_line.iter().any(|byte| *byte < b' ' && !b"\t\r".contains(byte)) {
        return Err(Unreadable::Binary { seen: excerpt(head) });
    }
    Ok(())
}

/// The beginning of what was seen, safe to print.
pub(crate) fn excerpt(bytes: &[u8]) -> String {
    let bytes = bytes.trim_ascii();
    let head = bytes.get(..bytes.len().min(4 * EXCERPT_CHARS)).unwrap_or_default();
    let lossy = String::from_utf8_lossy(head);
    let mut text: String =
        lossy.chars().map(|c| if c.is_control() { ' ' } else { c }).take(EXCERPT_CHARS).collect();
    if text.len() < bytes.len() {
        text.push('…');
    }
    text
}

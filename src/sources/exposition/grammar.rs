//! The grammar of one line.
//!
//! A line is bytes until it is known to be wanted; only then is it looked at closely.

use std::borrow::Cow;

use memchr::memchr;

use super::{
    Format, Kind, Label, Text, Why,
    bytes::{Known, name_length, quote_or_escape},
    number,
};
use crate::units::UnixMs;

type Rest<'body> = &'body [u8];

/// The line without blanks around it; `None` when nothing is left.
pub(super) fn skip_blanks(line: Rest<'_>) -> Option<Rest<'_>> {
    let line = blanks(line);
    (!line.is_empty()).then_some(line)
}

/// `# EOF`, and nothing else on the line.
pub(super) fn is_end_marker(line: Rest<'_>) -> bool {
    line.strip_prefix(b"# EOF").is_some_and(|rest| rest.trim_ascii().is_empty())
}

/// The longest bare metric name a line begins with, perhaps none, and what follows. It is likely the `last` line's.
pub(super) fn bare_name<'body>(line: Rest<'body>, last: Rest<'body>) -> (Rest<'body>, Rest<'body>) {
    match line.strip_prefix(last).and_then(<[u8]>::first) {
        Some(b'{' | b' ') => line.split_at(last.len()),
        Some(_) | None => line.split_at(name_length(line, true)),
    }
}

/// `# TYPE name kind`; the name may be quoted.
pub(super) fn type_line(line: Rest<'_>) -> Option<(Cow<'_, str>, Kind)> {
    let line = blanks(line.strip_prefix(b"#")?).strip_prefix(b"TYPE ")?;
    let mut cursor = Cursor { text: str::from_utf8(line).ok()?, at: 0 };
    cursor.blanks();
    let name = if cursor.take(b'"') {
        let name = cursor.until_quote().ok()?;
        cursor.blanks();
        name
    } else {
        Text::plain(cursor.word())
    };
    let kind = match cursor.word() {
        "" => return None,
        "counter" => Kind::Counter,
        "gauge" => Kind::Gauge,
        "histogram" | "gaugehistogram" => Kind::Histogram,
        "summary" => Kind::Summary,
        _ => Kind::Untyped,
    };
    Some((name.text(), kind))
}

/// Whether a sample of this name belongs to the family.
pub(super) fn is_of(name: &str, family: &str) -> bool {
    const SUFFIXES: [&str; 9] =
        ["", "_total", "_bucket", "_sum", "_count", "_created", "_info", "_gsum", "_gcount"];
    name.strip_prefix(family).is_some_and(|suffix| SUFFIXES.contains(&suffix))
}

/// Looks at an unwanted line just far enough to know that a series stands on it.
pub(super) fn glance(tail: Rest<'_>) -> Result<(), Why> {
    let tail = tail.trim_ascii_end();
    match tail.last() {
        // A number, `Inf`, `NaN`, or the labels of an exemplar without one.
        Some(b'0'..=b'9' | b'f' | b'N' | b'n' | b'F' | b'y' | b'Y' | b'.') => {}
        Some(_) | None => return Err(Why::Value),
    }
    if tail.first() == Some(&b'{') && memchr(b'}', tail).is_none() {
        return Err(Why::Braces);
    }
    Ok(())
}

/// Reads one series: its name, value and timestamp; the labels go to `labels`. The line begins with a bare name of
/// that length, perhaps none.
pub(super) fn series<'body>(
    line: Rest<'body>,
    name: usize,
    format: Format,
    most: usize,
    labels: &mut Vec<Label<'body>>,
) -> Result<(Text<'body>, f64, Option<UnixMs>), Why> {
    labels.clear();
    // Once for the whole line: a cut at an ASCII byte is a cut between characters.
    let line = str::from_utf8(line).map_err(|_| Why::Utf8)?;
    let (name, rest) = line.split_at_checked(name).ok_or(Why::Name)?;
    let mut name = Text::plain(name);
    let mut cursor = Cursor { text: rest, at: 0 };
    cursor.blanks();
    if cursor.take(b'{') {
        cursor.braces(&mut name, most, labels)?;
    }
    if name.raw().is_empty() {
        return Err(Why::Name);
    }
    let value = number::value(cursor.word()).ok_or(Why::Value)?;
    if cursor.is_done() {
        return Ok((name, value, None));
    }
    let at = match cursor.next() {
        Some(b'#') => None,
        Some(_) | None => {
            let at = number::timestamp(cursor.word(), format);
            Some(at.ok_or(Why::Timestamp)?)
        }
    };
    if cursor.take(b'#') {
        cursor.exemplar(format)?;
    }
    if cursor.is_done() { Ok((name, value, at)) } else { Err(Why::Tail) }
}

/// A place in a line.
struct Cursor<'body> {
    text: &'body str,
    at: usize,
}

impl<'body> Cursor<'body> {
    /// The labels from behind the opening brace; with a quoted metric name among them, that is taken out.
    fn braces(
        &mut self,
        name: &mut Text<'body>,
        most: usize,
        labels: &mut Vec<Label<'body>>,
    ) -> Result<(), Why> {
        let mut known = Known::default();
        self.blanks();
        while !self.take(b'}') {
            if let Some((label, after)) = usual(self.text, self.at) {
                self.at = after;
                known.add(label, most, labels)?;
                continue;
            }
            let quoted = self.take(b'"');
            let label = if quoted { self.until_quote()? } else { Text::plain(self.name()) };
            if label.raw().is_empty() && !quoted {
                return Err(if self.is_done() { Why::Braces } else { Why::LabelName });
            }
            self.blanks();
            if self.take(b'=') {
                self.blanks();
                if !self.take(b'"') {
                    return Err(Why::Quotes);
                }
                let value = self.until_quote()?;
                known.add(Label { name: label, value }, most, labels)?;
            } else if quoted && name.raw().is_empty() && labels.is_empty() {
                *name = label;
            } else {
                return Err(Why::LabelName);
            }
            self.blanks();
            if self.take(b',') {
                self.blanks();
            } else if self.next() != Some(b'}') {
                return Err(Why::Braces);
            }
        }
        self.blanks();
        Ok(())
    }

    /// Text up to its closing quote.
    fn until_quote(&mut self) -> Result<Text<'body>, Why> {
        let rest = &self.text[self.at..];
        let mut to = quote_or_escape(rest.as_bytes()).ok_or(Why::Quotes)?;
        let escaped = rest.as_bytes()[to] == b'\\';
        while rest.as_bytes()[to] == b'\\' {
            let after = rest.as_bytes().get(to + 2..).ok_or(Why::Quotes)?;
            to += 2 + quote_or_escape(after).ok_or(Why::Quotes)?;
        }
        self.at += to + 1;
        Ok(Text { raw: &rest[..to], escaped })
    }

    /// `{trace_id="..."} value [timestamp]`: read, that a broken one is told, and dropped.
    #[cold]
    fn exemplar(&mut self, format: Format) -> Result<(), Why> {
        self.blanks();
        if !self.take(b'{') {
            return Err(Why::Exemplar);
        }
        self.braces(&mut Text::plain("exemplar"), 64, &mut Vec::new())
            .map_err(|_| Why::Exemplar)?;
        let value = number::value(self.word());
        let timed = self.is_done() || number::timestamp(self.word(), format).is_some();
        if value.is_some() && timed && self.is_done() { Ok(()) } else { Err(Why::Exemplar) }
    }

    /// The longest label name from here.
    fn name(&mut self) -> &'body str {
        let rest = &self.text[self.at..];
        let length = name_length(rest.as_bytes(), false);
        self.at += length;
        &rest[..length]
    }

    /// Up to the next blank; the blanks are stepped over.
    fn word(&mut self) -> &'body str {
        let bytes = self.text.as_bytes();
        let from = self.at;
        while self.at < bytes.len() && !is_blank(bytes[self.at]) {
            self.at += 1;
        }
        let word = &self.text[from..self.at];
        self.blanks();
        word
    }

    fn blanks(&mut self) {
        while self.next().is_some_and(is_blank) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.next() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn next(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn is_done(&self) -> bool {
        self.at >= self.text.len()
    }
}

/// A label written the usual way, `name="value",` without a blank or an escape, and the place behind it; its last
/// comma may be a closing brace, which is left. Everything else is for the long way, which tells what is wrong.
#[inline]
fn usual(text: &str, at: usize) -> Option<(Label<'_>, usize)> {
    let rest = text.get(at..)?;
    let length = name_length(rest.as_bytes(), false);
    let value = rest.get(length..)?.strip_prefix("=\"").filter(|_| length > 0)?;
    let end = quote_or_escape(value.as_bytes())?;
    let (raw, after) = value.split_at(end);
    let after = match after.as_bytes() {
        [b'"', b',', ..] => at + length + end + 4,
        [b'"', b'}', ..] => at + length + end + 3,
        _ => return None,
    };
    Some((Label { name: Text::plain(&rest[..length]), value: Text::plain(raw) }, after))
}

fn blanks(text: Rest<'_>) -> Rest<'_> {
    match text.first() {
        Some(first) if is_blank(*first) => {
            let to = text.iter().position(|byte| !is_blank(*byte)).unwrap_or(text.len());
            text.split_at(to).1
        }
        Some(_) | None => text,
    }
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

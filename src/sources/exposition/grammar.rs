//! The grammar of one line.
//!
//! Lines are bytes until a piece of them is known to be wanted; every cut is made at an ASCII byte.

use memchr::{memchr, memchr2};

use super::{Format, Kind, Label, LabelValue, Why, number};
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

/// The longest bare metric name a line begins with, perhaps none, and what follows.
pub(super) fn bare_name(line: Rest<'_>) -> (&str, Rest<'_>) {
    let (name, rest) = name_bytes(line, true);
    (str::from_utf8(name).unwrap_or_default(), rest)
}

/// `# TYPE name kind`.
pub(super) fn type_line(line: Rest<'_>) -> Option<(&str, Kind)> {
    let line = blanks(line.strip_prefix(b"#")?).strip_prefix(b"TYPE ")?;
    let mut words = str::from_utf8(line).ok()?.split_ascii_whitespace();
    let name = words.next()?;
    let name = name.strip_prefix('"').and_then(|name| name.strip_suffix('"')).unwrap_or(name);
    let kind = match words.next()? {
        "counter" => Kind::Counter,
        "gauge" => Kind::Gauge,
        "histogram" | "gaugehistogram" => Kind::Histogram,
        "summary" => Kind::Summary,
        _ => Kind::Untyped,
    };
    Some((name, kind))
}

/// Whether a sample of this name belongs to the family.
pub(super) fn is_of(name: &str, family: &str) -> bool {
    const SUFFIXES: [&str; 5] = ["", "_total", "_bucket", "_sum", "_count"];
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

/// Reads one series: its name, value and timestamp; the labels go to `labels`.
pub(super) fn series<'body>(
    name: &'body str,
    tail: Rest<'body>,
    format: Format,
    most: usize,
    labels: &mut Vec<Label<'body>>,
) -> Result<(&'body str, f64, Option<UnixMs>), Why> {
    labels.clear();
    let mut name = name;
    let mut rest = blanks(tail);
    if let Some(inside) = rest.strip_prefix(b"{") {
        rest = braces(&mut name, inside, most, labels)?;
    }
    if name.is_empty() {
        return Err(Why::Name);
    }
    let (value, rest) = word(rest);
    let value = number::value(value).ok_or(Why::Value)?;
    if rest.is_empty() {
        return Ok((name, value, None));
    }
    let (at, rest) = ending(rest, format)?;
    if let Some(exemplar) = rest.strip_prefix(b"#") {
        self::exemplar(exemplar, format)?;
    } else if !rest.is_empty() {
        return Err(Why::Tail);
    }
    Ok((name, value, at))
}

/// The labels from behind the opening brace; with a quoted metric name among them, that is taken out.
fn braces<'body>(
    name: &mut &'body str,
    inside: Rest<'body>,
    most: usize,
    labels: &mut Vec<Label<'body>>,
) -> Result<Rest<'body>, Why> {
    let mut rest = blanks(inside);
    loop {
        if let Some(after) = rest.strip_prefix(b"}") {
            return Ok(blanks(after));
        }
        let label;
        let quoted = rest.strip_prefix(b"\"");
        (label, rest) = match quoted {
            Some(inside) => {
                let (text, after) = until_quote(inside)?;
                (text.raw, blanks(after))
            }
            None => {
                let (label, after) = name_bytes(rest, false);
                if label.is_empty() {
                    return Err(if rest.is_empty() { Why::Braces } else { Why::LabelName });
                }
                (str::from_utf8(label).map_err(|_| Why::Utf8)?, blanks(after))
            }
        };
        if let Some(after) = rest.strip_prefix(b"=") {
            let quoted = blanks(after).strip_prefix(b"\"").ok_or(Why::Quotes)?;
            let (value, after) = until_quote(quoted)?;
            if labels.len() >= most {
                return Err(Why::Labels);
            }
            if labels.iter().any(|other| other.name == label) {
                return Err(Why::LabelTwice);
            }
            labels.push(Label { name: label, value });
            rest = blanks(after);
        } else if quoted.is_some() && name.is_empty() && labels.is_empty() {
            *name = label;
        } else {
            return Err(Why::LabelName);
        }
        match rest.split_first() {
            Some((b',', after)) => rest = blanks(after),
            Some((b'}', _)) => {}
            Some(_) | None => return Err(Why::Braces),
        }
    }
}

/// Text up to its closing quote, and what follows the quote.
fn until_quote(text: Rest<'_>) -> Result<(LabelValue<'_>, Rest<'_>), Why> {
    let mut from = 0;
    let mut escaped = false;
    loop {
        let rest = text.get(from..).ok_or(Why::Quotes)?;
        let at = from + memchr2(b'"', b'\\', rest).ok_or(Why::Quotes)?;
        if text[at] == b'\\' {
            escaped = true;
            from = at + 2;
            continue;
        }
        let (raw, after) = text.split_at(at);
        let raw = str::from_utf8(raw).map_err(|_| Why::Utf8)?;
        return Ok((LabelValue { raw, escaped }, &after[1..]));
    }
}

/// What may follow a value: a timestamp, the `#` of an exemplar, or nothing.
fn ending(rest: Rest<'_>, format: Format) -> Result<(Option<UnixMs>, Rest<'_>), Why> {
    if rest.first() == Some(&b'#') {
        return Ok((None, rest));
    }
    let (at, rest) = word(rest);
    let at = number::timestamp(at, format).ok_or(Why::Timestamp)?;
    Ok((Some(at), rest))
}

/// `{trace_id="..."} value [timestamp]`: read, that a broken one is told, and dropped.
#[cold]
fn exemplar(rest: Rest<'_>, format: Format) -> Result<(), Why> {
    let inside = blanks(rest).strip_prefix(b"{").ok_or(Why::Exemplar)?;
    let mut labels = Vec::new();
    let rest = braces(&mut "exemplar", inside, 64, &mut labels).map_err(|_| Why::Exemplar)?;
    let (value, rest) = word(rest);
    number::value(value).ok_or(Why::Exemplar)?;
    let (at, rest) = word(rest);
    let timed = at.is_empty() || number::timestamp(at, format).is_some();
    if timed && rest.is_empty() { Ok(()) } else { Err(Why::Exemplar) }
}

/// Up to the next blank, and what follows the blanks.
fn word(text: Rest<'_>) -> (Rest<'_>, Rest<'_>) {
    let end = text.iter().position(|byte| is_blank(*byte)).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    (word, blanks(rest))
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

/// The longest name a text begins with; a metric's may hold `:`, a label's may not.
fn name_bytes(text: Rest<'_>, metric: bool) -> (Rest<'_>, Rest<'_>) {
    if text.first().is_some_and(u8::is_ascii_digit) {
        return text.split_at(0);
    }
    let legal = |byte: u8| IN_NAME[usize::from(byte)] || (metric && byte == b':');
    let end = text.iter().position(|byte| !legal(*byte)).unwrap_or(text.len());
    text.split_at(end)
}

static IN_NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric() || byte as u8 == b'_';
        byte += 1;
    }
    table
};

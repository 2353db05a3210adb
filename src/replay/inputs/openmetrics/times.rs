//! In what a file writes its times: seconds, as OpenMetrics does, or milliseconds, as Prometheus text does.

use crate::sources::exposition::Format;

/// Whole times below this are seconds: in milliseconds they were in 1973, in seconds they are in 5138.
const SECONDS_BELOW: f64 = 1e11;

/// What a file is written in, and what is odd about that.
pub(super) fn format_of(name: &str, text: &str) -> (Format, Option<String>) {
    if is_ended(text) {
        return (Format::OpenMetrics, None);
    }
    // Line for line: one that has no time, or half of one, does not decide for the others.
    let (mut seconds, mut millis) = (0_usize, 0_usize);
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        match in_seconds(line) {
            Some(true) => seconds += 1,
            Some(false) => millis += 1,
            None => {}
        }
    }
    if seconds > millis {
        let odd = format!(
            "{name} is read as OpenMetrics, for its times are seconds; it does not end with `# EOF`: it may be cut off"
        );
        return (Format::OpenMetrics, Some(odd));
    }
    (Format::Text, None)
}

/// Whether the last line that says anything is the end marker.
pub(super) fn is_ended(text: &str) -> bool {
    text.lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .is_some_and(|line| line.trim() == "# EOF")
}

/// Why the time of a line is none in the format that its file is written in, if it is one of the other.
pub(super) fn other(line: &str, format: Format) -> Option<&'static str> {
    match (in_seconds(line)?, format) {
        (true, Format::Text) => Some("its time is in seconds, and the file's are milliseconds"),
        (false, Format::OpenMetrics) => {
            Some("its time is in milliseconds, and the file's are seconds")
        }
        (true, Format::OpenMetrics) | (false, Format::Text) => None,
    }
}

fn in_seconds(line: &str) -> Option<bool> {
    let (_, rest) = parts(line);
    let time = rest.split_whitespace().nth(1)?;
    let number: f64 = time.parse().ok()?;
    Some(time.contains('.') || number.abs() < SECONDS_BELOW)
}

/// Which series a line is of, as it is written there, and what follows: the value and the time.
pub(super) fn parts(line: &str) -> (&str, &str) {
    // An exemplar has braces of its own.
    let line = line.split_once(" # ").map_or(line, |(sample, _)| sample).trim();
    let end = line.rfind('}').map(|brace| brace + 1);
    let end = end.or_else(|| line.find(char::is_whitespace)).unwrap_or(line.len());
    line.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_marker_decides_and_without_it_the_times_do() {
        for (text, format, is_odd) in [
            ("m{a=\"b\"} 1 1767571200\n# EOF\n", Format::OpenMetrics, false),
            ("m{a=\"b\"} 1 1767571200\n# EOF\n\n \n", Format::OpenMetrics, false),
            ("m{a=\"b\"} 1 1767571200\n", Format::OpenMetrics, true),
            ("m 1 1767571200.25\n", Format::OpenMetrics, true),
            ("m 1 1.7675712e+09 # {trace=\"a}\"} 1 1767571200000\n", Format::OpenMetrics, true),
            ("m{a=\"b\"} 1 1767571200000\n", Format::Text, false),
            ("m 1\nm 7\nm{a=\"b\"} 1 1767571200000\n", Format::Text, false),
            ("# HELP m 1 2\nm 1\n", Format::Text, false),
            ("", Format::Text, false),
        ] {
            let (read, odd) = format_of("dump.txt", text);
            assert_eq!((read, odd.is_some()), (format, is_odd), "{text}");
        }
    }
}

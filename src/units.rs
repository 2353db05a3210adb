//! Values with a unit, parsed once at the edge: percentages, multiples, spans of time, instants, secrets.
//!
//! Nothing here reads a clock. Every `FromStr` error says what was read and how to write it instead,
//! because these errors are shown to people under a caret in their configuration file.

use std::{fmt, ops, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

/// A wall-clock instant in milliseconds since 1970-01-01T00:00:00Z.
///
/// Written as RFC 3339 with milliseconds wherever people or other programs read it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMs(pub i64);

impl UnixMs {
    /// Whole seconds since the epoch, from a float as Prometheus writes it; `None` unless finite.
    pub fn from_seconds(seconds: f64) -> Option<Self> {
        (seconds.is_finite() && seconds.abs() < 1e13)
            .then(|| Self((seconds * 1000.0).round() as i64))
    }

    /// Seconds since the epoch with fraction, as Prometheus reads it.
    pub fn as_seconds(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub fn since(self, earlier: Self) -> Span {
        Span((self.0 - earlier.0).max(0))
    }

    /// The same moment after the clock was set by so much.
    #[must_use]
    pub fn set_by(self, by_ms: i64) -> Self {
        Self(self.0.saturating_add(by_ms))
    }

    /// `HH:MM:SS` in UTC, for timelines in which the day is clear.
    pub fn clock(self) -> String {
        let text = self.to_string();
        text.get(11..19).unwrap_or("??:??:??").to_owned()
    }
}

impl fmt::Display for UnixMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(at) => write!(f, "{at:.3}"),
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

impl FromStr for UnixMs {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        text.parse::<jiff::Timestamp>()
            .map(|at| Self(at.as_millisecond()))
            .map_err(|_| format!("`{text}` is not a time; write it like \"2026-11-22T21:40:00Z\""))
    }
}

impl ops::Add<Span> for UnixMs {
    type Output = Self;
    fn add(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl ops::Sub<Span> for UnixMs {
    type Output = Self;
    fn sub(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.0))
    }
}

/// A span of time in whole milliseconds, never negative when parsed. In words: `250ms`, `30s`, `5m`, `1h 30m`, `7d`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub i64);

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// A span of whole seconds.
    pub const fn seconds(seconds: i64) -> Self {
        Self(seconds * 1000)
    }

    /// A span of whole minutes.
    pub const fn minutes(minutes: i64) -> Self {
        Self::seconds(minutes * 60)
    }

    /// A span of whole hours.
    pub const fn hours(hours: i64) -> Self {
        Self::minutes(hours * 60)
    }

    /// Milliseconds.
    pub const fn ms(self) -> i64 {
        self.0
    }

    /// Seconds with fraction.
    pub fn as_seconds(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    /// For people: from ten seconds on the milliseconds are noise.
    #[must_use]
    pub fn to_read(self) -> Self {
        const SECOND: i64 = 1_000;
        if self.0.saturating_abs() < 10 * SECOND {
            return self;
        }
        Self(self.0.saturating_add(SECOND / 2).div_euclid(SECOND) * SECOND)
    }

    /// For timers and clients of the shell.
    pub fn duration(self) -> Duration {
        Duration::from_millis(self.0.max(0).unsigned_abs())
    }
}

impl ops::Add for Span {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl ops::Sub for Span {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0).max(0))
    }
}

impl ops::Mul<i64> for Span {
    type Output = Self;
    fn mul(self, times: i64) -> Self {
        Self(self.0.saturating_mul(times))
    }
}

impl From<Duration> for Span {
    fn from(duration: Duration) -> Self {
        Self(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
    }
}

const SPAN_UNITS: [(&str, i64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        if self.0 < 0 {
            f.write_str("-")?;
        }
        let mut rest = self.0.saturating_abs();
        let mut first = true;
        for (unit, ms) in SPAN_UNITS {
            let count = rest / ms;
            if count > 0 {
                let gap = if first { "" } else { " " };
                write!(f, "{gap}{count}{unit}")?;
                rest -= count * ms;
                first = false;
            }
        }
        Ok(())
    }
}

impl FromStr for Span {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let fault = || {
            format!("`{text}` is not a span of time; write it like \"30s\", \"5m\" or \"1h 30m\"")
        };
        let mut total: i64 = 0;
        let mut rest = text.trim();
        if rest == "0" {
            return Ok(Self::ZERO);
        }
        if rest.is_empty() {
            return Err(fault());
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(fault)?;
            let count: i64 = rest[..digits].parse().map_err(|_| fault())?;
            let tail = &rest[digits..];
            let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
            let (_, ms) = SPAN_UNITS
                .into_iter()
                .find(|(unit, _)| *unit == &tail[..letters])
                .ok_or_else(fault)?;
            total = count.checked_mul(ms).and_then(|x| total.checked_add(x)).ok_or_else(fault)?;
            rest = tail[letters..].trim_start();
        }
        Ok(Self(total))
    }
}

/// A share of a whole, kept as a fraction: `5%` is 0.05. Between 0 % and 100 %.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Percent(pub f64);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", trimmed(self.0 * 100.0))
    }
}

impl FromStr for Percent {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        text.trim()
            .strip_suffix('%')
            .and_then(|number| number.trim().parse::<f64>().ok())
            .filter(|percent| (0.0..=100.0).contains(percent))
            .map(|percent| Self(percent / 100.0))
            .ok_or_else(|| format!("`{text}` is not a percentage; write it like \"5%\""))
    }
}

/// How many times a baseline: `3x`. Positive.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Multiple(pub f64);

impl fmt::Display for Multiple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x", trimmed(self.0))
    }
}

impl FromStr for Multiple {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        text.trim()
            .strip_suffix('x')
            .and_then(|number| number.trim().parse::<f64>().ok())
            .filter(|times| times.is_finite() && *times > 0.0)
            .map(Self)
            .ok_or_else(|| format!("`{text}` is not a multiple; write it like \"3x\""))
    }
}

fn trimmed(number: f64) -> String {
    let text = format!("{number:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A value that must never be seen: it cannot be displayed, and `Debug` hides it.
#[derive(Clone, PartialEq, Eq, Hash, Deserialize)]
pub struct Secret(String);

impl Secret {
    /// Wraps what was read from a file or the environment.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself, for the one call that has to send or compare it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

/// The bytes of a text in base64, with or without what fills it up; none where it is no such text.
pub fn base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 3);
    let (mut bits, mut held) = (0_u32, 0);
    for c in text.trim_end_matches('=').bytes() {
        let value = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(value)) & 0xffff;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    Some(bytes)
}

macro_rules! serde_as_text {
    ($($kind:ty),+) => {$(
        impl Serialize for $kind {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $kind {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}

serde_as_text!(UnixMs, Span, Percent, Multiple);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_and_write_in_words() {
        for (text, ms) in [
            ("250ms", 250),
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h 30m", 5_400_000),
            ("7d", 604_800_000),
        ] {
            assert_eq!(text.parse(), Ok(Span(ms)));
            assert_eq!(Span(ms).to_string(), text);
        }
        assert_eq!("1h30m".parse(), Ok(Span(5_400_000)));
        assert_eq!(Span(0).to_string().parse(), Ok(Span(0)));
        for bad in ["", "5", "five minutes", "5 minutes", "-5m", "5m x", "99999999999999999999d"] {
            assert!(bad.parse::<Span>().is_err(), "{bad:?} was taken for a span");
        }
    }

    #[test]
    fn nobody_reads_the_milliseconds_of_minutes() {
        for (ms, read) in [(284_999, "4m 45s"), (9_950, "9s 950ms"), (10_400, "10s"), (0, "0s")] {
            assert_eq!(Span(ms).to_read().to_string(), read);
        }
    }

    #[test]
    fn percentages_and_multiples_say_how_to_write_them() {
        assert_eq!("5%".parse(), Ok(Percent(0.05)));
        assert_eq!("0.5 %".parse(), Ok(Percent(0.005)));
        assert_eq!(Percent(0.005).to_string(), "0.5%");
        assert_eq!(
            "0.05".parse::<Percent>(),
            Err("`0.05` is not a percentage; write it like \"5%\"".into())
        );
        assert!("101%".parse::<Percent>().is_err());
        assert_eq!("3x".parse(), Ok(Multiple(3.0)));
        assert!("NaNx".parse::<Multiple>().is_err());
    }

    #[test]
    fn instants_are_rfc_3339_with_milliseconds() {
        let at = UnixMs(1_795_383_652_123);
        assert_eq!(at.to_string(), "2026-11-22T21:40:52.123Z");
        assert_eq!(at.to_string().parse(), Ok(at));
        assert_eq!(at.clock(), "21:40:52");
        assert_eq!(UnixMs::from_seconds(f64::NAN), None);
    }

    #[test]
    fn a_secret_is_not_printed() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(hidden)");
    }
}

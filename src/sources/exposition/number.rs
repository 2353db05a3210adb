//! Values and timestamps, as Go writes them.

use crate::units::UnixMs;

use super::Format;

/// A sample's value; `None` when it is not one. Small whole numbers, which counters are, take the short way.
pub(super) fn value(text: &str) -> Option<f64> {
    if let Some(whole) = whole(text.as_bytes()) {
        return Some(whole as f64);
    }
    // Rust reads what Go's ParseFloat does, but for hexadecimal floats and underscores, which no exposition writes.
    text.parse().ok()
}

/// A sample's timestamp: whole milliseconds in text, seconds with fraction in OpenMetrics.
pub(super) fn timestamp(text: &str, format: Format) -> Option<UnixMs> {
    match format {
        Format::Text => text.parse().ok().map(UnixMs),
        Format::OpenMetrics => UnixMs::from_seconds(text.parse().ok()?),
    }
}

/// Up to 15 digits: exact in a float.
fn whole(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 15 {
        return None;
    }
    text.iter().try_fold(0_u64, |sum, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit < 10).then(|| sum * 10 + u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_go_writes_them() {
        for (text, number) in [
            ("0", 0.0),
            ("3460", 3460.0),
            ("999999999999999", 999_999_999_999_999.0),
            ("18446744073709551615", 18_446_744_073_709_551_615.0),
            ("-1", -1.0),
            ("1.5e+09", 1.5e9),
            (".5", 0.5),
            ("5e-324", 5e-324),
            ("+Inf", f64::INFINITY),
            ("-Inf", f64::NEG_INFINITY),
            ("inf", f64::INFINITY),
        ] {
            assert_eq!(value(text), Some(number), "{text}");
        }
        assert!(value("NaN").is_some_and(f64::is_nan));
        for bad in ["", " ", "1x", "0x10", "1_000", "one", "1 ", "--1", "1,5"] {
            assert_eq!(value(bad), None, "{bad:?} was taken for a number");
        }
    }

    #[test]
    fn timestamps_are_milliseconds_in_text_and_seconds_in_openmetrics() {
        assert_eq!(timestamp("1795376433805", Format::Text), Some(UnixMs(1_795_376_433_805)));
        assert_eq!(
            timestamp("1795376433.805", Format::OpenMetrics),
            Some(UnixMs(1_795_376_433_805))
        );
        assert_eq!(timestamp("1795376433.805", Format::Text), None);
        assert_eq!(timestamp("NaN", Format::OpenMetrics), None);
    }
}

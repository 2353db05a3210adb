//! Amounts as Kubernetes writes them: `250m`, `1.5`, `64Mi`, `12345678n`.

/// The number that a text stands for.
pub fn quantity(text: &str) -> Option<f64> {
    let digits = |c: char| c.is_ascii_digit() || "+-.".contains(c);
    let end = text.find(|c| !digits(c)).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: f64 = number.parse().ok()?;
    let scale = match unit {
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "" => 1.0,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024.0,
        "Mi" => 1024.0 * 1024.0,
        "Gi" => 1024.0 * 1024.0 * 1024.0,
        "Ti" => 1024.0_f64.powi(4),
        "Pi" => 1024.0_f64.powi(5),
        "Ei" => 1024.0_f64.powi(6),
        exponent => {
            let power: i32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
            10.0_f64.powi(power)
        }
    };
    Some(number * scale).filter(|value| value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_with_their_units() {
        for (text, value) in [
            ("0", 0.0),
            ("2", 2.0),
            ("1.5", 1.5),
            ("250m", 0.25),
            ("12345678n", 0.012_345_678),
            ("3u", 3e-6),
            ("64Mi", 67_108_864.0),
            ("1Ki", 1024.0),
            ("129e6", 129e6),
            ("1E3", 1e3),
            ("5E", 5e18),
            ("2k", 2000.0),
        ] {
            let read = quantity(text).unwrap();
            assert!((read - value).abs() <= value * 1e-12, "{text}: {read}");
        }
        for text in ["", "m", "1x", "1 Mi", "1ee3", "--1"] {
            assert_eq!(quantity(text), None, "{text}");
        }
    }
}

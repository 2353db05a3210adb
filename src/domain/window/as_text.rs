//! What a window keeps, as short text: each number as its difference from what was to be expected.

use serde::{Deserialize, Deserializer, Serializer};

use super::Kept;
use crate::domain::packed::{Packed, Pen};

/// Writes the entries.
pub fn serialize<S: Serializer>(entries: &[Kept], serializer: S) -> Result<S::Ok, S::Error> {
    let (mut pen, mut before) = (Pen::default(), Expected::default());
    for &(at, known, bad, total, judged) in entries {
        let step = at.wrapping_sub(before.at);
        pen.put(step.wrapping_sub(before.step));
        pen.put(i64::from(known).wrapping_sub(step));
        let judged = judged.map_or(0, |breach| 1 + i64::from(breach));
        pen.put(i64::from(bad) * 3 + judged);
        pen.put(i64::from(total) - before.total);
        before = Expected { at, step, total: i64::from(total) };
    }
    serializer.serialize_str(&pen.text())
}

/// Reads them, as far as they are whole.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Kept>, D::Error> {
    let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
    let mut numbers = Packed::new(&text);
    let mut before = Expected::default();
    let mut entries = vec![];
    while let Some(entry) = before.next(&mut numbers) {
        entries.push(entry);
    }
    Ok(entries)
}

#[derive(Default)]
struct Expected {
    at: i64,
    step: i64,
    total: i64,
}

impl Expected {
    fn next(&mut self, numbers: &mut Packed<'_>) -> Option<Kept> {
        self.step = self.step.wrapping_add(numbers.next()?);
        self.at = self.at.wrapping_add(self.step);
        let known = u32::try_from(numbers.next()?.wrapping_add(self.step)).ok()?;
        let marked = numbers.next()?;
        self.total = self.total.wrapping_add(numbers.next()?);
        let judged = match marked.rem_euclid(3) {
            0 => None,
            mark => Some(mark == 2),
        };
        let bad = u32::try_from(marked.div_euclid(3)).ok()?;
        Some((self.at, known, bad, u32::try_from(self.total).ok()?, judged))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Serialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Written(#[serde(with = "super")] Vec<Kept>);

    #[test]
    fn an_ordinary_interval_takes_a_few_characters() {
        let entry = |n: i64| (1_772_452_800_000 + n * 15_000, 15_000, 0, 150, Some(false));
        let text = serde_json::to_string(&Written((0..120).map(entry).collect())).unwrap();
        assert!(text.len() < 120 * 5, "{} bytes", text.len());
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(entries: Vec<(i64, u32, u32, u32, Option<bool>)>) {
            let written = Written(entries);
            let text = serde_json::to_string(&written).unwrap();
            prop_assert_eq!(serde_json::from_str::<Written>(&text).unwrap(), written);
        }
    }
}

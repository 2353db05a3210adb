//! The newest values of a signal, to be drawn as a line. Bounded, and never part of a decision.

/// How many newest values are kept.
pub const DRAWN: usize = 60;

/// The newest values, in the order they came, each as the upper half of an `f32`: a line on a screen has no use for more
/// than two digits, and a large fleet has hundreds of thousands of lines.
#[derive(Clone, Debug)]
pub(super) struct Drawn {
    values: Vec<u16>,
    next: usize,
}

impl Default for Drawn {
    fn default() -> Self {
        Self { values: Vec::with_capacity(DRAWN), next: 0 }
    }
}

impl Drawn {
    /// Bytes held beside the struct itself.
    pub(super) fn memory(&self) -> usize {
        self.values.capacity() * size_of::<u16>()
    }

    pub(super) fn push(&mut self, value: Option<f64>) {
        let value = half(value.map_or(f32::NAN, |value| value as f32));
        if self.values.len() < DRAWN {
            self.values.push(value);
        } else {
            self.values[self.next] = value;
            self.next = (self.next + 1) % DRAWN;
        }
    }

    pub(super) fn values(&self) -> impl Iterator<Item = Option<f32>> + '_ {
        let (newer, older) = self.values.split_at(self.next.min(self.values.len()));
        let whole = |half: &u16| f32::from_bits(u32::from(*half) << 16);
        older.iter().chain(newer).map(whole).map(|value| (!value.is_nan()).then_some(value))
    }
}

/// The upper half, rounded to the nearest.
fn half(value: f32) -> u16 {
    if value.is_nan() {
        return (f32::NAN.to_bits() >> 16) as u16;
    }
    (value.to_bits().saturating_add(0x8000) >> 16) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_sixty_are_drawn_in_the_order_they_came() {
        let mut drawn = Drawn::default();
        (0..200).for_each(|value| drawn.push(Some(f64::from(value))));
        let expected: Vec<Option<f32>> =
            (140_u8..200).map(|value| Some(f32::from(value))).collect();
        assert_eq!(drawn.values().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_value_is_kept_to_two_digits_and_nothing_known_stays_a_gap() {
        let mut drawn = Drawn::default();
        let values = [Some(0.1), None, Some(0.0), Some(12_345.0), Some(f64::from(f32::MAX))];
        values.into_iter().for_each(|value| drawn.push(value));
        let again: Vec<Option<f32>> = drawn.values().collect();
        assert_eq!(again.len(), values.len());
        for (value, again) in values.into_iter().zip(again) {
            let near = |again: f32, value: f64| {
                (f64::from(again) - value).abs() <= value * 0.004 || value > 1e38
            };
            assert!(
                matches!((value, again), (None, None))
                    || value.zip(again).is_some_and(|(value, again)| near(again, value)),
                "{value:?} {again:?}"
            );
        }
    }
}

//! The newest values of a signal, to be drawn as a line. Bounded, and never part of a decision.

/// How many newest values are kept.
pub const DRAWN: usize = 60;

/// The newest values, in the order they came.
#[derive(Clone, Debug)]
pub(super) struct Drawn {
    values: Vec<f32>,
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
        self.values.capacity() * size_of::<f32>()
    }

    pub(super) fn push(&mut self, value: Option<f64>) {
        let value = value.map_or(f32::NAN, |value| value as f32);
        if self.values.len() < DRAWN {
            self.values.push(value);
        } else {
            self.values[self.next] = value;
            self.next = (self.next + 1) % DRAWN;
        }
    }

    pub(super) fn values(&self) -> impl Iterator<Item = Option<f32>> + '_ {
        let (newer, older) = self.values.split_at(self.next.min(self.values.len()));
        older.iter().chain(newer).map(|value| (!value.is_nan()).then_some(*value))
    }
}

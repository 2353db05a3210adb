//! The world's dice: splitmix64. The same seed and the same name throw the same numbers, whatever others throw.

/// One stream of numbers.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64, u64);

impl Dice {
    /// A stream of its own for each purpose, so that leaving out one thing does not change the others.
    pub(crate) fn of(seed: u64, purpose: &str) -> Self {
        let bytes = purpose.bytes().chain(seed.to_le_bytes());
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self(hash, seed)
    }

    /// A stream for one thing of this world, whatever was thrown so far by others of the same origin.
    pub(crate) fn named(&self, purpose: &str) -> Self {
        Self::of(self.1, purpose)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to below `n`.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    /// From `a` to below `b`.
    pub(crate) fn between(&mut self, a: i64, b: i64) -> i64 {
        a + self.below((b - a).max(1).unsigned_abs()).cast_signed()
    }

    /// So many times of a hundred.
    pub(crate) fn percent(&mut self, n: u64) -> bool {
        self.below(100) < n
    }

    /// One of several.
    pub(crate) fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        let index = usize::try_from(self.below(of.len() as u64)).unwrap_or(0);
        of[index].clone()
    }
}

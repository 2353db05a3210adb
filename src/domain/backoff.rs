//! How long to wait before the next attempt: doubling, capped, and spread so that not everything returns at once.

use crate::units::Span;

const FIRST: Span = Span::seconds(1);
const LONGEST: Span = Span::minutes(5);

/// The pause after the `attempt`-th failure, counted from 1: between half of 1 s, 2 s, 4 s … 5 min and the whole.
/// The same seed always gives the same pauses.
pub fn backoff(attempt: u32, seed: &str) -> Span {
    let doublings = attempt.saturating_sub(1).min(20);
    let whole = (FIRST * (1 << doublings)).min(LONGEST);
    let half = whole.ms() / 2;
    let spread = spread(attempt, seed) % (half.unsigned_abs() + 1);
    Span(half + spread.cast_signed())
}

// FNV-1a, then a finalizer, because the low bits of FNV differ too little for texts that end alike.
fn spread(attempt: u32, seed: &str) -> u64 {
    let bytes = seed.bytes().chain(attempt.to_le_bytes());
    let mut hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_five_minutes() {
        for (attempt, whole) in [(1, 1_000), (2, 2_000), (5, 16_000), (9, 256_000), (10, 300_000)] {
            let pause = backoff(attempt, "n1/slack").ms();
            assert!((whole / 2..=whole).contains(&pause), "attempt {attempt}: {pause}ms");
        }
        assert!(backoff(u32::MAX, "n1/slack") <= Span::minutes(5));
        assert!(backoff(0, "n1/slack") <= Span::seconds(1));
    }

    #[test]
    fn pauses_are_the_same_for_a_seed_and_spread_over_seeds() {
        assert_eq!(backoff(7, "n1/slack"), backoff(7, "n1/slack"));
        let mut pauses: Vec<i64> = (0..100).map(|n| backoff(7, &format!("n{n}")).ms()).collect();
        pauses.sort_unstable();
        pauses.dedup();
        assert!(pauses.len() > 90, "only {} different pauses", pauses.len());
        let spread = pauses[pauses.len() - 1] - pauses[0];
        assert!(spread > 25_000, "all within {spread}ms of each other");
    }

    #[test]
    fn a_pause_may_be_anything_from_the_half_to_the_whole() {
        let pauses = || (0..10_000).map(|n| backoff(1, &format!("n{n}/slack")).ms());
        assert_eq!((pauses().min(), pauses().max()), (Some(500), Some(1_000)));
    }
}

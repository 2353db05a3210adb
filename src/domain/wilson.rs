//! The lower confidence bound of a share: what a decision to act stands on. People are paged on the estimate.

/// The z of a one-sided 99 % bound, the default wherever a bound is taken.
pub const Z: f64 = 2.33;

/// Wilson's lower bound of `bad / total`, in 0..=1; 0 when there is nothing to judge.
///
/// `[p + z²/2N - z √(p(1-p)/N + z²/4N²)] / (1 + z²/N)`. `bad` above `total` is read as `total`.
#[inline]
pub fn lower_bound(bad: u64, total: u64, z: f64) -> f64 {
    if total == 0 {
        return 0.0;
    }
    let n = total as f64;
    let p = bad.min(total) as f64 / n;
    let z2 = z * z;
    let spread = z * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    ((p + z2 / (2.0 * n) - spread) / (1.0 + z2 / n)).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_below_the_estimate_and_near_it_with_evidence() {
        assert!((lower_bound(5, 10, Z) - 0.203).abs() < 0.001);
        assert!((lower_bound(5, 36, Z) - 0.0524).abs() < 0.0001);
        assert!(lower_bound(1, 1, Z) < 0.2);
        assert!(lower_bound(500_000, 1_000_000, Z) > 0.498);
        assert!(lower_bound(0, 1_000_000, Z) < 1e-12);
    }

    #[test]
    fn nothing_or_nonsense_is_no_evidence_beyond_the_total() {
        assert!(lower_bound(0, 0, Z) < 1e-12);
        assert!((lower_bound(20, 10, Z) - lower_bound(10, 10, Z)).abs() < 1e-12);
    }
}

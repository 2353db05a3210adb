//! Cumulative histogram buckets: how many were slower than a limit, and the quantile as Prometheus would show it.

/// One cumulative bucket: how many were at most `bound`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// The upper bound, in the signal's unit; infinite for the last.
    pub bound: f64,
    /// Observations at or below it, within the interval or since the start.
    pub count: f64,
}

/// Requests that were slow, of all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slow {
    /// Those above `bound`.
    pub slow: f64,
    /// All of them.
    pub total: f64,
    /// The first bucket bound that is at least the limit: what "slow" really meant.
    pub bound: f64,
}

/// Counts what was above the first bound that is at least `limit`.
///
/// Works on cumulative counters and on their
/// deltas alike. `None` without an infinite bucket, or when no finite bound reaches the limit: then nobody can
/// tell. `buckets` are ascending by bound.
pub fn slow(buckets: &[Bucket], limit: f64) -> Option<Slow> {
    let total = buckets.last().filter(|last| last.bound == f64::INFINITY)?.count;
    let at = buckets.iter().find(|bucket| bucket.bound >= limit && bucket.bound.is_finite())?;
    if total.is_nan() || at.count.is_nan() {
        return None;
    }
    Some(Slow { slow: (total - at.count).max(0.0), total, bound: at.bound })
}

/// The `q` quantile (0..=1) by linear interpolation within its bucket, as Prometheus's `histogram_quantile`.
///
/// The highest finite bound when it falls into the infinite bucket. `None` where Prometheus says NaN, and for
/// a `q` out of range. `buckets` are ascending by bound.
pub fn quantile(buckets: &[Bucket], q: f64) -> Option<f64> {
    let last = buckets.last().filter(|last| last.bound == f64::INFINITY)?;
    if buckets.len() < 2 || !(0.0..=1.0).contains(&q) || last.count.is_nan() || last.count <= 0.0 {
        return None;
    }
    let rank = q * last.count;
    // Scrapes of many pods can make a count fall slightly; Prometheus reads such a bucket as the one before.
    let mut below = 0.0_f64;
    let mut lower = None;
    for bucket in buckets {
        let count = bucket.count.max(below);
        if count >= rank {
            if bucket.bound == f64::INFINITY {
                return lower;
            }
            let start = match lower {
                None if bucket.bound <= 0.0 => return Some(bucket.bound),
                None => 0.0,
                Some(lower) => lower,
            };
            let within = count - below;
            let share = if within > 0.0 { (rank - below) / within } else { 1.0 };
            return Some(start + (bucket.bound - start) * share);
        }
        below = count;
        lower = Some(bucket.bound);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(counts: &[(f64, f64)]) -> Vec<Bucket> {
        counts.iter().map(|&(bound, count)| Bucket { bound, count }).collect()
    }

    #[test]
    fn slow_is_above_the_first_bound_that_reaches_the_limit() {
        let some = buckets(&[(0.1, 50.0), (0.5, 90.0), (1.0, 97.0), (f64::INFINITY, 100.0)]);
        let at = |limit| slow(&some, limit).map(|slow| (slow.slow, slow.bound));
        assert_eq!(at(0.5), Some((10.0, 0.5)));
        assert_eq!(at(0.6), Some((3.0, 1.0)));
        assert_eq!(at(2.0), None, "no bound reaches the limit: not zero, unknown");
        assert_eq!(slow(&some[..3], 0.5), None, "without the infinite bucket there is no total");
    }

    #[test]
    fn the_quantile_is_prometheus_s() {
        let some = buckets(&[(0.1, 50.0), (0.5, 90.0), (1.0, 97.0), (f64::INFINITY, 100.0)]);
        let near =
            |q, value: f64| quantile(&some, q).is_some_and(|found| (found - value).abs() < 1e-12);
        assert!(near(0.25, 0.05));
        assert!(near(0.95, 0.5 + 0.5 * 5.0 / 7.0));
        assert!(near(0.99, 1.0), "in the infinite bucket: the highest finite bound");
        assert_eq!(quantile(&buckets(&[(0.1, 0.0), (f64::INFINITY, 0.0)]), 0.95), None);
        for out_of_range in [f64::NAN, -0.1, 1.1] {
            assert_eq!(quantile(&some, out_of_range), None, "{out_of_range}");
        }
    }
}

//! What asking costs: AWS bills each metric that is asked for, each time.

use std::collections::{BTreeMap, BTreeSet};

use super::{Metric, Spec};
use crate::units::Span;

/// When the price was looked up; it is the same in all regions but the Chinese ones.
pub const PRICE_AS_OF: &str = "November 2026";
const USD_PER_METRIC: f64 = 0.01 / 1000.0;
/// So many statistics of one metric are billed as one.
const STATS: usize = 5;
const MONTH_MS: f64 = 30.0 * 24.0 * 3600.0 * 1000.0;

/// Of what is asked of one account at one pace.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// Metrics that are asked for each time.
    pub metrics: usize,
    /// In thirty days.
    pub usd_a_month: f64,
}

/// Namespace, name and dimensions.
type Which<'m> = (&'m str, &'m str, &'m BTreeMap<String, String>);

/// What is billed for these signals. What a search finds is billed too, and nobody knows beforehand how many that are.
pub fn cost<'s>(specs: impl Iterator<Item = &'s Spec>, period: Span) -> Cost {
    let mut stats: BTreeMap<Which<'_>, BTreeSet<&str>> = BTreeMap::new();
    for metric in specs.flat_map(Spec::metrics) {
        let Metric { namespace, name, dimensions, stat } = metric;
        stats.entry((namespace, name, dimensions)).or_default().insert(stat);
    }
    let metrics = stats.values().map(|stats| stats.len().div_ceil(STATS)).sum();
    let polls = MONTH_MS / period.ms().max(1) as f64;
    Cost { metrics, usd_a_month: metrics as f64 * polls * USD_PER_METRIC }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::cloudwatch::{Term, Wants};

    #[test]
    fn ten_metrics_a_minute_are_four_dollars_a_month_and_statistics_of_one_are_one() {
        let metric = |name: String, stat: &str| Metric {
            namespace: "Shop".into(),
            name,
            dimensions: BTreeMap::new(),
            stat: stat.into(),
        };
        let gauge = |metric| Spec {
            named: BTreeMap::new(),
            wants: Wants::Gauge { value: Term::Metric(metric), requests: None },
        };
        let ten: Vec<Spec> = (0..10).map(|n| gauge(metric(format!("m{n}"), "p95"))).collect();
        let of = |specs: &[Spec], period| cost(specs.iter(), period);
        let a_minute = of(&ten, Span::minutes(1));
        assert_eq!(a_minute.metrics, 10);
        assert!((a_minute.usd_a_month - 4.32).abs() < 0.001, "{a_minute:?}");
        let stats = ["p50", "p90", "p95", "p99", "Sum"].map(|stat| gauge(metric("m".into(), stat)));
        assert_eq!(of(&stats, Span::minutes(1)).metrics, 1);
        let six = [stats.as_slice(), &[gauge(metric("m".into(), "Average"))]].concat();
        assert_eq!(of(&six, Span::minutes(1)).metrics, 2);
    }
}

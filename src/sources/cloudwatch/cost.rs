//! What asking costs: AWS bills each metric that is asked for, each time.

use std::collections::{BTreeMap, BTreeSet};

use super::{Metric, Spec, Term, request};
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
    /// Expressions that find metrics themselves: those are billed too, and nobody knows beforehand how many they are.
    pub searches: usize,
    /// In thirty days.
    pub usd_a_month: f64,
}

/// Namespace, name and dimensions.
type Which<'m> = (&'m str, &'m str, &'m BTreeMap<String, String>);

/// By these an expression asks for metrics that stand nowhere in the file.
const SEARCHES: [&str; 3] = ["SEARCH", "METRICS", "SELECT"];

/// What is billed for these signals, but for what searches find.
pub fn cost<'s>(specs: impl Iterator<Item = &'s Spec>, period: Span) -> Cost {
    let mut stats: BTreeMap<Which<'_>, BTreeSet<&str>> = BTreeMap::new();
    let mut searches = 0;
    for spec in specs {
        searches += spec.wants.terms().iter().filter(|(_, term)| is_search(spec, term)).count();
        for Metric { namespace, name, dimensions, stat } in spec.metrics() {
            stats.entry((namespace, name, dimensions)).or_default().insert(stat);
        }
    }
    let metrics = stats.values().map(|stats| stats.len().div_ceil(STATS)).sum();
    let polls = MONTH_MS / period.ms().max(1) as f64;
    Cost { metrics, searches, usd_a_month: metrics as f64 * polls * USD_PER_METRIC }
}

fn is_search(spec: &Spec, term: &Term) -> bool {
    let Term::Expression(text) = term else { return false };
    let mut words = request::words(text).into_iter().map(|(_, word)| word);
    words.any(|word| {
        SEARCHES.iter().any(|it| it.eq_ignore_ascii_case(word)) && !spec.named.contains_key(word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::cloudwatch::Wants;

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

    /// It was "0 metrics, about 0.00 USD".
    #[test]
    fn what_an_expression_finds_by_itself_is_told_apart_from_what_is_counted() {
        let searches = |text: &str, named: &[&str]| {
            let metric = |name: &&str| Metric {
                namespace: "Shop".into(),
                name: (*name).into(),
                dimensions: BTreeMap::new(),
                stat: "Sum".into(),
            };
            let named = named.iter().map(|name| ((*name).to_owned(), metric(name))).collect();
            let value = Term::Expression(text.to_owned());
            let spec = Spec { named, wants: Wants::Gauge { value, requests: None } };
            cost(std::iter::once(&spec), Span::minutes(1)).searches
        };
        for text in [
            "SUM(SEARCH('{AWS/EC2,a} CPU', 'Sum', 60))",
            "MAX(METRICS())",
            "SELECT AVG(CPUUtilization) FROM SCHEMA(\"AWS/EC2\", InstanceId)",
            "select max(x) from y",
        ] {
            assert_eq!(searches(text, &[]), 1, "{text}");
        }
        assert_eq!(searches("FILL(metrics, 0) / 100", &["metrics"]), 0, "a name of the file");
        assert_eq!(searches("1 + 'SEARCH'", &[]), 0, "in quotes");
    }
}

//! What is wanted of a body.

use crate::sources::{exposition::Series, reading::Fold, selector::Selector};

/// A signal, as a target exposes it.
#[derive(Clone, Debug, PartialEq)]
pub enum Spec {
    /// Bad of total.
    Ratio(RatioSpec),
    /// A histogram with classic buckets.
    Histogram(HistogramSpec),
    /// A value as it is.
    Gauge(GaugeSpec),
}

/// Bad of total, each the sum of all counters that its selectors pick.
#[derive(Clone, Debug, PartialEq)]
pub struct RatioSpec {
    /// What is bad; absent while the total is there is zero.
    pub bad: Vec<Selector>,
    /// What it is a part of; absent is unknown.
    pub total: Vec<Selector>,
    /// Labels that part the target's series; none sums them all.
    pub by: Vec<String>,
}

/// A histogram, summed over the series that the selector picks.
#[derive(Clone, Debug, PartialEq)]
pub struct HistogramSpec {
    /// The family, without `_bucket`.
    pub family: Selector,
    /// As in a ratio.
    pub by: Vec<String>,
}

/// A gauge.
#[derive(Clone, Debug, PartialEq)]
pub struct GaugeSpec {
    /// Which series.
    pub value: Selector,
    /// How several of them become one.
    pub fold: Fold,
    /// A gauge that says how many requests the value stands on.
    pub n: Option<Selector>,
    /// As in a ratio.
    pub by: Vec<String>,
}

/// Which label of which series tells the version that runs: `version` of `app_build_info`.
#[derive(Clone, Debug, PartialEq)]
pub struct Revision {
    /// The series.
    pub of: Selector,
    /// The label.
    pub label: String,
}

impl Spec {
    /// How several readings of it become one.
    pub fn fold(&self) -> Fold {
        match self {
            Self::Gauge(gauge) => gauge.fold,
            Self::Ratio(_) | Self::Histogram(_) => Fold::default(),
        }
    }

    pub(super) fn by(&self) -> &[String] {
        match self {
            Self::Ratio(spec) => &spec.by,
            Self::Histogram(spec) => &spec.by,
            Self::Gauge(spec) => &spec.by,
        }
    }

    /// Whether a name of it can only be written in quotes.
    pub(super) fn is_quoted(&self) -> bool {
        self.selectors().iter().any(Selector::is_quoted)
    }

    /// As the spec reads in a body of OpenMetrics: a counter that a program calls `errors` is `errors_total` there.
    pub(super) fn in_openmetrics(&self) -> Self {
        let Self::Ratio(spec) = self else { return self.clone() };
        let also = |selectors: &[Selector]| {
            let renamed = selectors.iter().filter_map(|selector| {
                let name = selector.name();
                let told = ["_total", "_count", "_bucket", "_sum"];
                let plain = !told.iter().any(|suffix| name.ends_with(suffix));
                plain.then(|| selector.renamed(format!("{name}_total")))
            });
            selectors.iter().cloned().chain(renamed).collect()
        };
        let (bad, total) = (also(&spec.bad), also(&spec.total));
        Self::Ratio(RatioSpec { bad, total, by: spec.by.clone() })
    }

    /// Which series say since when the counted ones are there.
    pub(super) fn created(&self) -> Vec<Selector> {
        let of = |selector: &Selector| {
            let name = selector.name();
            let told = ["_total", "_count", "_bucket", "_sum"];
            let family = told.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
            selector.renamed(format!("{family}_created"))
        };
        match self {
            Self::Ratio(spec) => spec.total.iter().map(of).collect(),
            Self::Histogram(spec) => vec![of(&spec.buckets())],
            Self::Gauge(_) => vec![],
        }
    }

    /// The names of the samples to look for.
    pub(super) fn names(&self) -> Vec<String> {
        self.selectors().iter().map(|selector| selector.name().to_owned()).collect()
    }

    /// What its series are.
    pub(super) fn selectors(&self) -> Vec<Selector> {
        match self {
            Self::Ratio(spec) => spec.bad.iter().chain(&spec.total).cloned().collect(),
            Self::Histogram(spec) => vec![spec.buckets()],
            Self::Gauge(spec) => std::iter::once(&spec.value).chain(&spec.n).cloned().collect(),
        }
    }

    /// What must be there for anything to be known, in words.
    pub(super) fn needs(&self) -> String {
        match self {
            Self::Ratio(spec) => {
                let all: Vec<_> = spec.total.iter().map(Selector::to_string).collect();
                all.join(" or ")
            }
            Self::Histogram(spec) => spec.buckets().to_string(),
            Self::Gauge(spec) => spec.value.to_string(),
        }
    }
}

impl HistogramSpec {
    pub(super) fn buckets(&self) -> Selector {
        self.family.renamed(format!("{}_bucket", self.family.name()))
    }
}

pub(super) fn any_picks(selectors: &[Selector], series: &Series<'_, '_>) -> bool {
    selectors.iter().any(|selector| selector.picks(series))
}

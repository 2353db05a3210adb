//! CloudWatch: counts and values of whole periods that have ended, for all signals of an account at once.
//!
//! What is asked (`request.rs`), whose question is refused (`search.rs`) and what follows from an answer (`kept.rs`) are pure; `asking.rs` sends. A period is asked for when
//! it has ended and `lag` has passed, for CloudWatch learns late. Counts of periods are added up to a counter as a process would
//! have: then everything that holds of counters holds here, and a period that arrives late is counted once. What is not
//! `Complete` is partial: it yields nothing, and its periods are asked for again.

mod asking;
mod cost;
mod kept;
mod request;
mod search;

use std::collections::{BTreeMap, BTreeSet};

pub use self::{
    asking::{Reader, asked_once, unseen},
    cost::{Cost, PRICE_AS_OF, cost},
};
use crate::{
    aws::Access,
    units::{Span, UnixMs},
};

/// So many queries are taken in one request.
pub const QUERIES_MAX: usize = 500;

/// How an account is asked, for signals of one pace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Which account.
    pub access: Access,
    /// How long a period is: one poll each.
    pub period: Span,
    /// So long after its end a period is asked for.
    pub lag: Span,
}

impl Options {
    /// How long after the end of a period, unless told.
    pub const LAG: Span = Span::minutes(2);
    /// How long a period is, unless told.
    pub const PERIOD: Span = Span::minutes(1);
}

/// One statistic of one metric.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Metric {
    /// `AWS/ApplicationELB`.
    pub namespace: String,
    /// `RequestCount`.
    pub name: String,
    /// All that it has: with fewer it is another metric.
    pub dimensions: BTreeMap<String, String>,
    /// `Sum`, `p95`, ...
    pub stat: String,
}

/// What stands for a number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Term {
    /// A metric.
    Metric(Metric),
    /// Metric maths, over the metrics that the signal names.
    Expression(String),
}

/// What is asked for one signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Metrics that expressions speak of, by the name that they have there.
    pub named: BTreeMap<String, Metric>,
    /// What it is read from.
    pub wants: Wants,
}

/// What a signal is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wants {
    /// Counts of bad requests and of all.
    Ratio {
        /// What is bad. Where there is none in a period that has a total, nothing was bad.
        bad: Term,
        /// What it is a part of.
        total: Term,
    },
    /// A value as it is.
    Gauge {
        /// The value.
        value: Term,
        /// How many requests it stands on.
        requests: Option<Term>,
    },
}

impl Wants {
    /// Each, with its key in the file.
    pub fn terms(&self) -> Vec<(&'static str, &Term)> {
        match self {
            Self::Ratio { bad, total } => vec![("bad", bad), ("total", total)],
            Self::Gauge { value, requests } => {
                let requests = requests.as_ref().map(|it| ("requests", it));
                std::iter::once(("value", value)).chain(requests).collect()
            }
        }
    }
}

impl Spec {
    /// Every metric that is asked for.
    pub fn metrics(&self) -> BTreeSet<&Metric> {
        self.metrics_named().into_iter().map(|(_, metric)| metric).collect()
    }

    /// The same with the name that each has in the file.
    pub fn metrics_named(&self) -> Vec<(&str, &Metric)> {
        let direct = self.wants.terms().into_iter().filter_map(|(key, term)| match term {
            Term::Metric(metric) => Some((key, metric)),
            Term::Expression(_) => None,
        });
        direct.chain(self.named.iter().map(|(name, metric)| (name.as_str(), metric))).collect()
    }

    /// For people: what it is read from.
    pub fn shown(&self) -> String {
        let shown = |(key, term): (&str, &Term)| match term {
            Term::Metric(metric) => format!("{key} {} {}", metric.stat, metric.name),
            Term::Expression(text) => format!("{key} {text}"),
        };
        self.wants.terms().into_iter().map(shown).collect::<Vec<_>>().join(", ")
    }
}

/// The names that an expression uses, where they stand. Not those of functions, nor what is in quotes.
pub fn names(expression: &str) -> Vec<(usize, &str)> {
    request::names(expression)
}

/// Periods that are asked for: whole ones, ended `lag` ago at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    /// The start of the first.
    from: UnixMs,
    /// The end of the last.
    until: UnixMs,
    period: Span,
}

impl Window {
    /// The end of the newest period that may be asked for.
    fn newest(options: &Options, now: UnixMs) -> UnixMs {
        let period_ms = options.period.ms().max(1);
        UnixMs((now - options.lag).0.div_euclid(period_ms) * period_ms)
    }

    /// The start of the newest period.
    fn last(&self) -> UnixMs {
        self.until - self.period
    }
}

/// What was answered for one query.
#[derive(Clone, Debug, Default, PartialEq)]
struct Series {
    /// How whole it is, with what CloudWatch says beside it.
    whole: Whole,
    /// By the start of their periods.
    points: BTreeMap<i64, f64>,
}

/// How whole an answer is.
#[cfg_attr(not(feature = "aws"), allow(dead_code, reason = "without the SDK nothing is answered"))]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Whole {
    /// All of it is there.
    Complete,
    /// Some of it may be missing.
    Partial(String),
    /// CloudWatch failed.
    Failed(String),
    /// We may not see it.
    Forbidden(String),
    /// The query was not answered at all.
    #[default]
    Unanswered,
}

//! Looks at a Prometheus, or at a service's own metrics: which of the known metrics are there, under which labels.
//!
//! It asks for groups and never for series: an answer is as long as there are services and status codes, however many
//! pods and addresses there are.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::{Method, Url};

use super::{
    conventions::{CONVENTIONS, Convention},
    propose::{Seen, Survey},
};
use crate::{
    sources::{
        exposition::{self, Format, Wanted},
        http,
        prometheus::{Options, Prometheus, QueryError, Row, Rows},
    },
    units::UnixMs,
};

/// What a Prometheus has.
pub(super) async fn of_prometheus(url: Url) -> Result<Survey, String> {
    let now = UnixMs(jiff::Timestamp::now().as_millisecond());
    let server = Prometheus::new(Options::at(url)).map_err(|fault| fault.to_string())?;
    let ask = async |query: &str| server.instant(query, now).await.map_err(told);
    let mut survey = Survey::default();
    let there = ask(&format!("count by (__name__) ({})", any_known())).await?;
    let there = values(&there, "__name__");
    for convention in CONVENTIONS.iter().filter(|c| there.contains(c.requests)) {
        let rows = ask(&grouped(convention)).await?;
        survey.see(convention.requests, rows);
        let mut metrics = vec![convention.requests];
        if let Some((histogram, _)) = convention.histogram.filter(|(h, _)| there.contains(*h)) {
            let labels = convention.service.join(", ");
            let only = selector(histogram, convention.only, &["le=\"+Inf\""]);
            let rows = ask(&format!("count by ({labels}) ({only})")).await?;
            survey.see(histogram, rows);
            metrics.push(histogram);
        }
        for metric in metrics {
            if !ask(&format!("count({metric}{{instance=\"\"}})")).await?.rows.is_empty() {
                survey.without_instance.insert(metric.to_owned());
            }
        }
    }
    survey.jobs = values(&ask("count by (job) (up)").await?, "job");
    survey.known_jobs = values(&ask(&format!("count by (job) ({})", any_known())).await?, "job");
    Ok(survey)
}

/// What a service's own metrics have. Its series are all of one service, whatever its labels say.
pub(super) async fn of_metrics(url: Url, service: &str) -> Result<Survey, String> {
    let client = http::Client::new(http::Options::default()).map_err(|fault| fault.to_string())?;
    let answer = client.send(client.request(Method::GET, url.clone())).await;
    let answer = answer.map_err(|failure| failure.story())?;
    if answer.status != 200 {
        return Err(format!("{} answered {}", http::shown(&url), answer.status));
    }
    let names = CONVENTIONS.iter().flat_map(Convention::metrics);
    let mut survey = Survey::default();
    let format = Format::of(answer.content_type.as_deref());
    let (limits, wanted) = (exposition::Limits::default(), Wanted::names(names));
    exposition::scan(&answer.body, format, &limits, &wanted, |series| {
        let metric = series.name.text().into_owned();
        let labels = series.labels.iter();
        let labels = labels.map(|l| (l.name.text().into_owned(), l.value.text().into_owned()));
        let mut labels: BTreeMap<String, String> = labels.collect();
        for label in CONVENTIONS.iter().filter(|c| c.names(&metric)).map(|c| c.service[0]) {
            labels.insert(label.to_owned(), service.to_owned());
        }
        survey.seen.push(Seen { metric, labels });
    })
    .map_err(|fault| fault.to_string())?;
    Ok(survey)
}

impl Survey {
    fn see(&mut self, metric: &str, rows: Rows) {
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let seen = |row: Row| Seen {
            metric: metric.to_owned(),
            labels: row.labels.iter().map(owned).collect(),
        };
        self.seen.extend(rows.rows.into_iter().map(seen));
    }
}

/// A metric with what every selector needs, and more.
pub(super) fn selector(metric: &str, only: &[&str], more: &[&str]) -> String {
    let matchers: Vec<&str> = only.iter().chain(more).copied().collect();
    if matchers.is_empty() {
        return metric.to_owned();
    }
    format!("{metric}{{{}}}", matchers.join(", "))
}

fn grouped(convention: &Convention) -> String {
    let labels = convention.labels().join(", ");
    format!("count by ({labels}) ({})", selector(convention.requests, convention.only, &[]))
}

/// Every series of a known metric; of a histogram one bucket.
fn any_known() -> String {
    let names: Vec<&str> = CONVENTIONS.iter().flat_map(Convention::metrics).collect();
    format!("{{__name__=~\"{}\", le=~\"|[+]Inf\"}}", names.join("|"))
}

fn values(rows: &Rows, label: &str) -> BTreeSet<String> {
    rows.rows.iter().filter_map(|row| row.labels.get(label)).map(str::to_owned).collect()
}

fn told(fault: QueryError) -> String {
    fault.fault().to_string()
}

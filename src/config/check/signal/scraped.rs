//! Signals that are read from a service's own metrics.

use std::collections::BTreeMap;

use reqwest::Url;
use toml::Spanned;

use crate::{
    config::{
        Read,
        check::{
            found::Found,
            reach,
            service::Common,
            signal::{
                Of,
                wanted::{Wanted, fold, wanted},
            },
        },
        raw,
    },
    domain::{policy::SignalKind, service::ServiceId},
    sources::{
        http,
        reading::Freshness,
        scrape::{self, GaugeSpec, HistogramSpec, RatioSpec, Revision, Spec},
        selector::Selector,
    },
    units::Span,
};

/// What is wanted of each body.
pub(super) fn scraped(
    found: &mut Found<'_>,
    of: &Of<'_>,
    kind: SignalKind,
    raw: &Spanned<raw::Scrape>,
) -> Option<Read> {
    let (at, raw) = (raw.span(), raw.get_ref());
    if of.raw.scrape.is_none() && !found.was_cut(&["service", of.key.get_ref(), "scrape"]) {
        let what = format!("nobody knows where the metrics of `{}` are", of.key.get_ref());
        let instead = format!("add a table [service.{}.scrape] with a url", of.key.get_ref());
        found.error(at.clone(), what, instead);
    }
    let one = |selector: &raw::Placed<raw::Word<Selector>>| {
        selector.as_ref().map(|selector| vec![selector.get_ref().0.clone()])
    };
    let all = |selectors: &raw::Placed<raw::One<raw::Word<Selector>>>| -> Option<Vec<Selector>> {
        Some(selectors.as_ref()?.get_ref().0.iter().map(|word| word.0.clone()).collect())
    };
    let said =
        [all(&raw.bad), all(&raw.total), one(&raw.histogram), one(&raw.value), one(&raw.requests)];
    let by = raw.by.clone();
    let wanted = wanted(found, kind, at, said)?;
    let fold = fold(found, &wanted, &raw.fold);
    let spec = match wanted {
        Wanted::Ratio { bad, total } => Spec::Ratio(RatioSpec { bad, total, by }),
        Wanted::Histogram(mut family) => {
            Spec::Histogram(HistogramSpec { family: family.pop()?, by })
        }
        Wanted::Gauge { mut value, requests } => {
            let n = requests.and_then(|mut requests| requests.pop());
            Spec::Gauge(GaugeSpec { value: value.pop()?, fold, n, by })
        }
    };
    Some(Read::Scrape { targets: of.targets.keys().cloned().collect(), spec })
}

/// Where the service's own metrics are, by names that polls refer to.
pub(in crate::config::check) fn targets(
    found: &mut Found<'_>,
    common: &Common<'_>,
    id: &ServiceId,
    raw: Option<&raw::Target>,
) -> BTreeMap<String, scrape::Options> {
    let mut targets = BTreeMap::new();
    let Some(raw) = raw else { return targets };
    let usual = http::Options { total: Span::seconds(10), ..http::Options::default() };
    let http = reach::options(found, &raw.reach(), usual);
    let freshness = Freshness::default();
    let freshness = Freshness {
        lag: raw.lag.unwrap_or(freshness.lag),
        ahead: raw.ahead.unwrap_or(freshness.ahead),
    };
    let revision = raw.version.as_ref().map(|of| Revision {
        of: of.0.clone(),
        label: raw.version_label.clone().unwrap_or_else(|| "version".to_owned()),
    });
    if raw.url.get_ref().0.is_empty() {
        found.error(raw.url.span(), "this names no target", "write at least one address");
    }
    let urls = raw.url.get_ref().0.iter();
    let urls: Vec<Url> =
        urls.filter_map(|url| found.url(&Spanned::new(raw.url.span(), url.clone()))).collect();
    for url in &urls {
        let short = place(url);
        // Two processes behind one port must not be one series: their counts would be each other's resets.
        let shared = urls.iter().filter(|other| place(other) == short).count() > 1;
        let series = if shared { http::shown(url) } else { short };
        let key = if shared { series.clone() } else { format!("{series}{}", url.path()) };
        let options = scrape::Options {
            series,
            http: http.clone(),
            limits: common.scrape_limits.clone(),
            freshness,
            revision: revision.clone(),
            url: url.clone(),
        };
        if targets.insert(format!("{id} {key}"), options).is_some() {
            found.error(raw.url.span(), "the same target is named twice", "name it once");
        }
    }
    targets
}

fn place(url: &Url) -> String {
    let port = url.port_or_known_default().unwrap_or_default();
    format!("{}:{port}", url.host_str().unwrap_or_default())
}

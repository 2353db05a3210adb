//! What is read of a service.

use std::{collections::BTreeMap, ops::Range};

use toml::Spanned;

use crate::{
    config::{
        Ask, Poll, Read, Rows,
        check::{found::Found, reach, service::Common},
        nearest::nearest,
        raw,
    },
    domain::{
        policy::{SignalKind, SignalPolicy},
        service::ServiceId,
    },
    sources::{
        health, http,
        prometheus::overlap::overlap,
        reading::Freshness,
        scrape::{self, Fold, GaugeSpec, HistogramSpec, RatioSpec, Revision, Spec},
        selector::Selector,
    },
    units::Span,
};

/// A signal, and where to complain about it.
pub(super) struct Signal {
    pub(super) name: String,
    pub(super) at: Range<usize>,
    pub(super) policy: SignalPolicy,
    pub(super) poll: Poll,
    /// Whether it tells how long each request took, not only a percentile.
    pub(super) histogram: bool,
}

/// The service that a signal belongs to.
pub(super) struct Of<'r> {
    pub(super) id: &'r ServiceId,
    pub(super) key: &'r Spanned<String>,
    pub(super) raw: &'r raw::Service,
    pub(super) targets: &'r BTreeMap<String, scrape::Options>,
    pub(super) quantile_window: Span,
}

const KINDS: [(&str, SignalKind); 5] = [
    ("error_rate", SignalKind::ErrorRate),
    ("latency", SignalKind::Latency),
    ("health", SignalKind::Health),
    ("cpu", SignalKind::Cpu),
    ("memory", SignalKind::Memory),
];

/// A signal, unless it is beyond use.
pub(super) fn signal(
    found: &mut Found<'_>,
    common: &Common<'_>,
    of: &Of<'_>,
    name: &Spanned<String>,
    raw: &raw::Signal,
) -> Option<Signal> {
    let kind = kind(found, name, raw)?;
    let path = ["service", of.key.get_ref(), "signal", name.get_ref()];
    let read = match (&raw.prometheus, &raw.scrape, &raw.http) {
        (Some(ask), None, None) => prometheus(found, common, of, kind, ask),
        (None, Some(scrape), None) => scraped(found, of, kind, scrape),
        (None, None, Some(http)) => probe(found, kind, http),
        (None, None, None) if found.was_cut(&path) => None,
        (None, None, None) => {
            let what = format!("nobody knows where `{name}` is read");
            let instead = format!(
                "add [service.{0}.signal.{name}.prometheus], [service.{0}.signal.{name}.scrape] \
                 or [service.{0}.signal.{name}.http]",
                of.key.get_ref()
            );
            found.error(name.span(), what, instead);
            None
        }
        _ => {
            let what = format!("`{name}` is read from more than one place");
            found.error(name.span(), what, "give each a name of its own, like `health_inside`");
            None
        }
    }?;
    let every = found.positive(&raw.every, Span::seconds(15));
    let (source, lag, watched) = match &read {
        Read::Prometheus { server, .. } => {
            (format!("prometheus {server}"), Span::seconds(30), Span::seconds(15))
        }
        Read::Scrape { targets, .. } => {
            (format!("scrape of {}", targets.join(", ")), Span::ZERO, Span::seconds(5))
        }
        Read::Health(probe) => {
            (format!("probe {}", http::shown(&probe.url)), Span::ZERO, Span::seconds(5))
        }
    };
    let every_watched = found.positive(&raw.every_watched, watched.min(every));
    if let Some(watched) = &raw.every_watched
        && every_watched > every
    {
        let what = format!("slower while it matters: otherwise it is read every {every}");
        found.error(watched.span(), what, format!("write \"{every}\" or less"));
    }
    let histogram = kind == SignalKind::Latency && tells_all(&read);
    let policy = SignalPolicy {
        kind,
        source,
        poll_every: every,
        lag: raw.lag.unwrap_or(lag),
        quantile_window: of.quantile_window,
    };
    let poll =
        Poll { service: of.id.clone(), signal: name.get_ref().clone(), every, every_watched, read };
    let at = raw.every.as_ref().map_or_else(|| name.span(), Spanned::span);
    Some(Signal { name: name.get_ref().clone(), at, policy, poll, histogram })
}

fn tells_all(read: &Read) -> bool {
    match read {
        Read::Scrape { spec: Spec::Histogram(_), .. }
        | Read::Prometheus { ask: Ask::Histogram { .. }, .. } => true,
        Read::Scrape { .. } | Read::Prometheus { .. } | Read::Health(_) => false,
    }
}

fn kind(found: &mut Found<'_>, name: &Spanned<String>, raw: &raw::Signal) -> Option<SignalKind> {
    if let Some(kind) = &raw.kind {
        return Some(*kind.get_ref());
    }
    let named = |word: &str| {
        name.get_ref()
            .strip_prefix(word)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
    };
    if let Some((_, kind)) = KINDS.iter().find(|(word, _)| named(word)) {
        return Some(*kind);
    }
    let words = KINDS.map(|(word, _)| word);
    let instead = match nearest(name.get_ref(), words) {
        Some(near) => format!("did you mean `{near}`? Otherwise add kind = \"{near}\""),
        None => format!("add a line kind = \"...\": one of {}", words.join(", ")),
    };
    found.error(name.span(), format!("nobody knows what `{name}` measures"), instead);
    None
}

/// What has to be asked, by what is measured; the keys that are said and those that are meant.
enum Wanted<T> {
    Ratio { bad: T, total: T },
    Histogram(T),
    Gauge { value: T, requests: Option<T> },
}

/// `said` is `bad`, `total`, `histogram`, `value`, `requests`.
fn wanted<T>(
    found: &mut Found<'_>,
    kind: SignalKind,
    at: Range<usize>,
    said: [Option<T>; 5],
) -> Option<Wanted<T>> {
    use SignalKind::{Cpu, ErrorRate, Health, Latency, Memory};
    let instead = match (kind, said) {
        (ErrorRate, [Some(bad), Some(total), None, None, None]) => {
            return Some(Wanted::Ratio { bad, total });
        }
        (Latency, [None, None, Some(buckets), None, None]) => {
            return Some(Wanted::Histogram(buckets));
        }
        (Latency | Cpu | Memory, [None, None, None, Some(value), requests]) => {
            return Some(Wanted::Gauge { value, requests });
        }
        (ErrorRate, _) => "write `bad` and `total`, and nothing else",
        (Latency, _) => {
            "write `histogram`, or `value` for a percentile in seconds, and nothing else"
        }
        (Cpu | Memory, _) => "write `value`, a share from 0 to 1, and nothing else",
        (Health, _) => "write [service.NAME.signal.health.http] with a url",
    };
    found.error(at, format!("this is not what {} is read from", word(kind)), instead);
    None
}

fn word(kind: SignalKind) -> &'static str {
    KINDS.iter().find(|(_, other)| *other == kind).map_or("", |(word, _)| word)
}

fn prometheus(
    found: &mut Found<'_>,
    common: &Common<'_>,
    of: &Of<'_>,
    kind: SignalKind,
    raw: &Spanned<raw::Ask>,
) -> Option<Read> {
    let (at, raw) = (raw.span(), raw.get_ref());
    let server = server(found, common, raw, &at);
    let said = [&raw.bad, &raw.total, &raw.histogram, &raw.value, &raw.requests];
    let ask = wanted(found, kind, at, said.map(|q| q.as_ref().map(|q| q.get_ref().clone())));
    for query in [&raw.bad, &raw.total, &raw.histogram].into_iter().flatten() {
        if let Some(problem) = overlap(query.get_ref()) {
            let place = found.within(query, problem.span.clone());
            let fault = problem.to_string();
            let (what, instead) = fault.split_once("; ").unwrap_or((&fault, ""));
            found.error(place, what, instead);
        }
    }
    for query in said.into_iter().flatten() {
        if query.get_ref().trim().is_empty() {
            found.error(query.span(), "this asks nothing", "write a query in PromQL");
        }
    }
    if let (None, Some(value)) = (&raw.label, &raw.label_value) {
        let what = "nobody knows which label must have this value";
        found.error(value.span(), what, "add label = \"service\"");
    }
    let rows = raw.label.as_ref().map(|label| Rows {
        label: label.get_ref().clone(),
        value: raw
            .label_value
            .as_ref()
            .map_or_else(|| of.id.name().to_owned(), |value| value.get_ref().clone()),
    });
    let ask = match ask? {
        Wanted::Ratio { bad, total } => Ask::Ratio { bad, total },
        Wanted::Histogram(buckets) => Ask::Histogram { buckets },
        Wanted::Gauge { value, requests } => Ask::Gauge { value, requests },
    };
    Some(Read::Prometheus { server: server?, ask, rows, revision_label: raw.version_label.clone() })
}

fn server(
    found: &mut Found<'_>,
    common: &Common<'_>,
    raw: &raw::Ask,
    at: &Range<usize>,
) -> Option<String> {
    let servers = &common.raw.prometheus;
    let names = || servers.keys().map(|name| name.get_ref().as_str());
    match &raw.from {
        Some(from) if servers.contains_key(from.get_ref().as_str()) => Some(from.get_ref().clone()),
        Some(from) if found.was_cut(&["prometheus", from.get_ref()]) => None,
        Some(from) => {
            let what = format!("there is no Prometheus server `{}`", from.get_ref());
            let instead = match nearest(from.get_ref(), names()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("add a table [prometheus.{}] with its url", from.get_ref()),
            };
            found.error(from.span(), what, instead);
            None
        }
        None if servers.len() == 1 => names().next().map(str::to_owned),
        None if found.was_cut(&["prometheus"]) => None,
        None => {
            let known: Vec<&str> = names().collect();
            let instead = if known.is_empty() {
                "add a table [prometheus.main] with its url".to_owned()
            } else {
                format!("add a line from = \"...\": one of {}", known.join(", "))
            };
            found.error(at.clone(), "nobody knows which Prometheus server is asked", instead);
            None
        }
    }
}

fn scraped(
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
    let spec = match wanted(found, kind, at, said)? {
        Wanted::Ratio { bad, total } => Spec::Ratio(RatioSpec { bad, total, by }),
        Wanted::Histogram(mut family) => {
            Spec::Histogram(HistogramSpec { family: family.pop()?, by })
        }
        Wanted::Gauge { mut value, requests } => {
            let fold = match raw.fold {
                None | Some(raw::Fold::Max) => Fold::Max,
                Some(raw::Fold::Min) => Fold::Min,
                Some(raw::Fold::Sum) => Fold::Sum,
            };
            let n = requests.and_then(|mut requests| requests.pop());
            Spec::Gauge(GaugeSpec { value: value.pop()?, fold, n, by })
        }
    };
    Some(Read::Scrape { targets: of.targets.keys().cloned().collect(), spec })
}

/// Where the service's own metrics are, by names that polls refer to.
pub(super) fn targets(
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
    for url in &raw.url.get_ref().0 {
        let Some(url) = found.url(&Spanned::new(raw.url.span(), url.clone())) else { continue };
        let port = url.port_or_known_default().unwrap_or_default();
        let series = format!("{}:{port}", url.host_str().unwrap_or_default());
        let options = scrape::Options {
            series: series.clone(),
            http: http.clone(),
            limits: common.scrape_limits.clone(),
            freshness,
            revision: revision.clone(),
            url,
        };
        if targets.insert(format!("{id} {series}{}", options.url.path()), options).is_some() {
            found.error(raw.url.span(), "the same target is named twice", "name it once");
        }
    }
    targets
}

fn probe(found: &mut Found<'_>, kind: SignalKind, raw: &Spanned<raw::Probe>) -> Option<Read> {
    let (at, raw) = (raw.span(), raw.get_ref());
    if kind != SignalKind::Health {
        let what = "a probe only tells whether the service is well";
        found.error(at, what, "call the signal `health`, or read it with prometheus or scrape");
        return None;
    }
    let url = found.url(&raw.url);
    let method = match &raw.method {
        None => reqwest::Method::GET,
        Some(method) => match method.get_ref().as_str() {
            "GET" => reqwest::Method::GET,
            "HEAD" => reqwest::Method::HEAD,
            "POST" => reqwest::Method::POST,
            other => {
                let what = format!("`{other}` is not a method to probe with");
                found.error(method.span(), what, "write \"GET\", \"HEAD\" or \"POST\"");
                return None;
            }
        },
    };
    let usual = health::Options::at(url?);
    let body = raw.body.as_ref().map(|body| match body {
        raw::BodyIs::Contains(text) => health::BodyIs::Contains(text.clone()),
        raw::BodyIs::Json { pointer, equals } => {
            health::BodyIs::Json { pointer: pointer.clone(), equals: equals.clone() }
        }
    });
    Some(Read::Health(Box::new(health::Options {
        method,
        status: raw.status.as_ref().map_or(usual.status, |status| status.0.clone()),
        body,
        http: reach::options(found, &raw.reach(), usual.http),
        url: usual.url,
    })))
}

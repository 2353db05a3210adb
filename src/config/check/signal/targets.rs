//! Where a service's own metrics are: at addresses that are written, or that a list holds.

use std::{collections::BTreeMap, ops::Range, path::PathBuf};

use reqwest::Url;
use toml::Spanned;

use crate::{
    config::{
        check::{found::Found, reach, service::Common},
        raw,
    },
    domain::service::ServiceId,
    sources::{
        exposition::Limits,
        http,
        reading::Freshness,
        scrape::{ListOptions, Options, Origin, Place, Revision, url_of},
    },
    units::Span,
};

/// Targets of one service, unless it says otherwise.
const TARGETS_MAX: usize = 100;
const WHERE: &str = "write one of `url`, `file` and `dns`";

/// Where the service's own metrics are, by names that polls refer to.
pub(in crate::config::check) fn targets(
    found: &mut Found<'_>,
    common: &Common<'_>,
    id: &ServiceId,
    key: &Spanned<String>,
    raw: Option<&Spanned<raw::Target>>,
) -> BTreeMap<String, Place> {
    let mut targets = BTreeMap::new();
    let Some((at, raw)) = raw.map(|raw| (raw.span(), raw.get_ref())) else { return targets };
    let usual = http::Options { total: Span::seconds(10), ..http::Options::default() };
    let freshness = Freshness::default();
    let each = Each {
        http: reach::options(found, &raw.reach(), usual),
        limits: &common.scrape_limits,
        freshness: Freshness {
            lag: raw.lag.unwrap_or(freshness.lag),
            ahead: raw.ahead.unwrap_or(freshness.ahead),
        },
        revision: raw.version.as_ref().map(|of| Revision {
            of: of.0.clone(),
            label: raw.version_label.clone().unwrap_or_else(|| "version".to_owned()),
        }),
    };
    let was_cut = found.was_cut(&["service", key.get_ref(), "scrape"]);
    match (&raw.url, origin(found, raw, (!was_cut).then_some(at))) {
        (Some(urls), None) => written(found, id, urls, &each, &mut targets),
        (None, Some((what, origin))) => {
            let listed = each.listed(found, raw, origin);
            targets.insert(format!("{id} {what}"), Place::Listed(listed));
        }
        (_, _) => {}
    }
    targets
}

/// How each target of a service is asked.
struct Each<'r> {
    http: http::Options,
    limits: &'r Limits,
    freshness: Freshness,
    revision: Option<Revision>,
}

impl Each<'_> {
    fn at(&self, series: String, url: &Url) -> Options {
        Options {
            series,
            http: self.http.clone(),
            limits: self.limits.clone(),
            freshness: self.freshness,
            revision: self.revision.clone(),
            url: url.clone(),
        }
    }

    fn listed(&self, found: &mut Found<'_>, raw: &raw::Target, origin: Origin) -> ListOptions {
        let said = |key: &raw::Placed<String>, usual: &str| {
            key.as_ref().map_or_else(|| usual.to_owned(), |key| key.get_ref().clone())
        };
        let (scheme, path) = (said(&raw.scheme, "http"), said(&raw.path, "/metrics"));
        for (key, scheme, path) in
            [(&raw.scheme, scheme.as_str(), "/"), (&raw.path, "http", path.as_str())]
        {
            if let (Some(key), Err(what)) = (key, url_of(scheme, "host", path)) {
                found.error(key.span(), what, "leave it out for http and /metrics");
            }
        }
        ListOptions {
            origin,
            scheme,
            path,
            targets_max: found.at_least_one(&raw.targets_max, TARGETS_MAX),
            http: self.http.clone(),
            limits: self.limits.clone(),
            freshness: self.freshness,
            revision: self.revision.clone(),
        }
    }
}

/// The list that is named, and what it is called; nothing where the targets are written, or something is wrong.
fn origin(
    found: &mut Found<'_>,
    raw: &raw::Target,
    at: Option<Range<usize>>,
) -> Option<(String, Origin)> {
    let of_lists = [
        raw.scheme.as_ref().map(Spanned::span),
        raw.path.as_ref().map(Spanned::span),
        raw.targets_max.as_ref().map(Spanned::span),
    ];
    match (&raw.url, &raw.file, &raw.dns) {
        (Some(_), None, None) => {
            for at in of_lists.into_iter().flatten() {
                found.error(at, "this is about a list of targets", "say it in the url");
            }
            None
        }
        (None, Some(file), None) => {
            let path = file.get_ref();
            if !path.starts_with('/') {
                let what = format!("`{path}` is not an absolute path");
                found.error(
                    file.span(),
                    what,
                    "write it from the root: \"/etc/rollbackd/targets/shop.json\"",
                );
            }
            Some((format!("every target in {path}"), Origin::File(PathBuf::from(path))))
        }
        (None, None, None) => {
            let at = at?;
            found.error(at, "nobody knows where the targets are", WHERE);
            None
        }
        (None, None, Some(dns)) => {
            let name = dns.get_ref();
            // No host is called so: it is what SRV records are about, and they say the port.
            if name.starts_with('_') {
                if name.contains(':') || url_of("http", name, "/").is_err() {
                    let what = format!("{name:?} is not the name of SRV records");
                    let instead = "write it without a port: \"_metrics._tcp.shop.internal\"";
                    found.error(dns.span(), what, instead);
                }
                let origin = Origin::Srv(name.trim_end_matches('.').to_owned());
                return Some((format!("every host and port of {name}"), origin));
            }
            if !url_of("http", name, "/").is_ok_and(|url| url.domain().is_some()) {
                let what = format!("{name:?} is not the name of a host");
                found.error(dns.span(), what, "write it like \"shop.internal:8080\"");
            }
            Some((format!("every address of {name}"), Origin::Dns(name.clone())))
        }
        (_, file, dns) => {
            let at = file.as_ref().or(dns.as_ref()).map_or(0..0, Spanned::span);
            found.error(at, "the targets are found in more than one way", WHERE);
            None
        }
    }
}

fn written(
    found: &mut Found<'_>,
    id: &ServiceId,
    raw: &Spanned<raw::One<String>>,
    each: &Each<'_>,
    targets: &mut BTreeMap<String, Place>,
) {
    if raw.get_ref().0.is_empty() {
        found.error(raw.span(), "this names no target", "write at least one address");
    }
    let urls = raw.get_ref().0.iter();
    let urls: Vec<Url> =
        urls.filter_map(|url| found.url(&Spanned::new(raw.span(), url.clone()))).collect();
    for url in &urls {
        let short = place(url);
        // Two processes behind one port must not be one series: their counts would be each other's resets.
        let shared = urls.iter().filter(|other| place(other) == short).count() > 1;
        let series = if shared { http::shown(url) } else { short };
        let key = if shared { series.clone() } else { format!("{series}{}", url.path()) };
        let options = Place::At(each.at(series, url));
        if targets.insert(format!("{id} {key}"), options).is_some() {
            found.error(raw.span(), "the same target is named twice", "name it once");
        }
    }
}

fn place(url: &Url) -> String {
    let port = url.port_or_known_default().unwrap_or_default();
    format!("{}:{port}", url.host_str().unwrap_or_default())
}

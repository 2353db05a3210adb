//! Probes.

use toml::Spanned;

use crate::{
    config::{
        Read,
        check::{found::Found, reach},
        raw,
    },
    domain::policy::SignalKind,
    sources::health,
};

/// What is asked, and what the answer must be.
pub(super) fn probed(
    found: &mut Found<'_>,
    kind: SignalKind,
    raw: &Spanned<raw::Probe>,
) -> Option<Read> {
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
    if let Some(status) = raw.status.as_ref().filter(|status| status.get_ref().0.is_empty()) {
        found.error(status.span(), "no answer would ever be well", "write \"200-299\"");
    }
    let usual = health::Options::at(url?);
    let body = raw.body.as_ref().map(|body| match body {
        raw::BodyIs::Contains(text) => health::BodyIs::Contains(text.clone()),
        raw::BodyIs::Json { pointer, equals } => {
            health::BodyIs::Json { pointer: pointer.clone(), equals: equals.clone() }
        }
    });
    Some(Read::Health(Box::new(health::Options {
        method,
        status: raw.status.as_ref().map_or(usual.status, |status| status.get_ref().0.clone()),
        proxy_status: raw
            .proxy_status
            .as_ref()
            .map_or(usual.proxy_status, |status| status.0.clone()),
        body,
        http: reach::options(found, &raw.reach(), usual.http),
        url: usual.url,
    })))
}

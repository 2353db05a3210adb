//! One entry of a list: where a target is, as strictly as it can be read.

use reqwest::Url;

/// Longer texts are no addresses.
const TEXT_MAX: usize = 1024;
/// An address is written without these. A parser of URLs forgives some of them, and strips others.
const NEVER: &str = "/?#@\\\"'`<>{}|^%";

/// Where a target's metrics are; `path` begins with a slash.
pub fn url_of(scheme: &str, target: &str, path: &str) -> Result<Url, String> {
    if !matches!(scheme, "http" | "https") {
        return Err(format!("{} is not a scheme: it is http or https", quoted(scheme)));
    }
    let blank = |c: char| c.is_control() || c.is_whitespace();
    if !path.starts_with('/')
        || path.len() > TEXT_MAX
        || path.contains(|c: char| blank(c) || matches!(c, '?' | '#' | '\\'))
    {
        return Err(format!("{} is not a path: it is written like /metrics", quoted(path)));
    }
    let no_target = || format!("{} is not a target: it is written like host:port", quoted(target));
    if target.is_empty()
        || target.len() > TEXT_MAX
        || target.contains(|c: char| blank(c) || NEVER.contains(c))
    {
        return Err(no_target());
    }
    let url = Url::parse(&format!("{scheme}://{target}{path}")).map_err(|_| no_target())?;
    if url.host().is_none() || target.ends_with(':') {
        return Err(no_target());
    }
    Ok(url)
}

/// What its series is called: where it is, whole, so that it is the same at each look.
pub(super) fn series(url: &Url) -> String {
    let (host, port) = (url.host_str().unwrap_or_default(), url.port_or_known_default());
    format!("{}://{host}:{}{}", url.scheme(), port.unwrap_or_default(), url.path())
}

/// A text from outside, on one line and not long.
fn quoted(text: &str) -> String {
    let short: String = text.chars().take(60).collect();
    format!("{short:?}")
}

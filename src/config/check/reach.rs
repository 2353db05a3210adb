//! How servers are reached: addresses, credentials, certificates, deadlines.

use crate::{
    config::{
        check::found::Found,
        raw::{self, OrOff},
    },
    sources::{http, prometheus, reading::Freshness},
};

/// What a table says of HTTP, over what is usual for its kind.
pub(super) fn options(
    found: &mut Found<'_>,
    raw: &raw::Reach,
    usual: http::Options,
) -> http::Options {
    let auth = match (&raw.bearer, &raw.basic) {
        (Some(bearer), None) => found.secret(bearer).map(http::Auth::Bearer),
        (None, Some(basic)) => {
            let basic = basic.get_ref();
            found
                .secret(&basic.password)
                .map(|password| http::Auth::Basic { user: basic.user.clone(), password })
        }
        (Some(_), Some(basic)) => {
            found.error(basic.span(), "only one of `bearer` and `basic` can be sent", "keep one");
            None
        }
        (None, None) => None,
    };
    let ca_pem = raw.ca_file.as_ref().and_then(|path| found.certificates(path));
    let total = found.positive(&raw.timeout, usual.total);
    http::Options {
        connect: usual.connect.min(total),
        attempt: if raw.timeout.is_some() { total } else { usual.attempt },
        total,
        auth,
        ca_pem,
        insecure: raw.insecure,
        ..usual
    }
}

/// A Prometheus server.
pub(super) fn prometheus(found: &mut Found<'_>, raw: &raw::Server) -> Option<prometheus::Options> {
    let usual = prometheus::Options::at(found.url(&raw.url)?);
    let http = options(found, &raw.reach(), usual.http);
    Some(prometheus::Options {
        timeout: found.positive(&raw.timeout, usual.timeout),
        freshness: Freshness {
            lag: raw.lag.unwrap_or(usual.freshness.lag),
            ahead: raw.ahead.unwrap_or(usual.freshness.ahead),
        },
        rows: raw.rows.unwrap_or(usual.rows),
        backfill: raw.backfill.as_ref().map_or(usual.backfill, |OrOff(most)| *most),
        http: http::Options { body_bytes: raw.body_max_bytes.unwrap_or(http.body_bytes), ..http },
        url: usual.url,
    })
}

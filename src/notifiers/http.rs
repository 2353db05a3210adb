//! What every HTTP channel shares: the client, one bounded request, and what its answer means.
//!
//! Nothing from an answer's body is quoted but a word of Slack's own: error pages like to repeat the path they
//! were asked for, and the path is the credential.

use std::error::Error as _;

use reqwest::{
    Client, RequestBuilder, Response, StatusCode, Url,
    header::{DATE, HeaderMap, HeaderName, RETRY_AFTER},
};

use super::DeliveryError;
use crate::{
    domain::delivery::PAUSE_MAX,
    units::{Secret, Span, UnixMs},
};

/// How long a connection (name lookup, TCP, TLS) may take by default.
pub const CONNECT: Span = Span::seconds(5);

/// How long one delivery may take in all by default.
pub const TOTAL: Span = Span::seconds(10);

/// The longest silence that a receiver may ask for: a mistaken header must not cost a page.
pub const RETRY_AFTER_MAX: Span = PAUSE_MAX;

/// How long a channel rests after a 429 that does not say.
pub const RETRY_AFTER_DEFAULT: Span = Span::seconds(10);

/// As much of an answer's body as is ever read.
const BODY_BYTES_MAX: usize = 4096;

/// The client for all channels: no redirects, no proxy from the environment, no hanging connection.
pub fn client(connect: Span) -> Result<Client, reqwest::Error> {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Losing this race means that somebody else installed one.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    Client::builder()
        .connect_timeout(connect.duration())
        .timeout(TOTAL.duration())
        .pool_idle_timeout(Span::seconds(30).duration())
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .no_gzip()
        .user_agent(concat!("rollbackd/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// The URL behind a secret, or what is wrong with it, without showing it.
pub fn url(secret: &Secret) -> Result<Url, String> {
    let url = Url::parse(secret.expose().trim())
        .map_err(|fault| format!("its URL cannot be read ({fault})"))?;
    match url.scheme() {
        "https" | "http" => Ok(url),
        _ => Err("its URL begins with neither https:// nor http://".to_owned()),
    }
}

/// An answer, with no more of its body than was asked for.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    response: Response,
}

impl Answer {
    /// The body's first bytes as text; the rest is never read.
    pub(super) async fn text(mut self) -> Result<String, DeliveryError> {
        let mut body = Vec::new();
        while body.len() < BODY_BYTES_MAX {
            match self.response.chunk().await {
                Ok(Some(chunk)) => {
                    let room = BODY_BYTES_MAX - body.len();
                    body.extend_from_slice(&chunk[..chunk.len().min(room)]);
                }
                Ok(None) => break,
                Err(error) => return Err(lost(error)),
            }
        }
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// What a status other than success means; `detail` is added to the reason.
    pub(super) fn failure(status: StatusCode, headers: &HeaderMap, detail: &str) -> DeliveryError {
        let why = format!("it answered {status}{detail}");
        let busy = status == StatusCode::TOO_MANY_REQUESTS;
        let passing = busy
            || status.is_server_error()
            || status == StatusCode::REQUEST_TIMEOUT
            || status == StatusCode::TOO_EARLY;
        if passing {
            let asked = retry_after(headers, UnixMs(jiff::Timestamp::now().as_millisecond()));
            DeliveryError::Retry { why, after: asked.or(busy.then_some(RETRY_AFTER_DEFAULT)) }
        } else if status.is_redirection() {
            DeliveryError::refused(format!("{why}, and redirects are not followed"))
        } else {
            DeliveryError::Refused { why }
        }
    }
}

/// Sends one request within `deadline`, which includes reading the answer's body.
pub(super) async fn ask(request: RequestBuilder, deadline: Span) -> Result<Answer, DeliveryError> {
    let response = request.timeout(deadline.duration()).send().await.map_err(lost)?;
    Ok(Answer { status: response.status(), headers: response.headers().clone(), response })
}

/// Sends one request of which only the status matters.
pub(super) async fn tell(request: RequestBuilder, deadline: Span) -> Result<(), DeliveryError> {
    let answer = ask(request, deadline).await?;
    if answer.status.is_success() {
        return Ok(());
    }
    Err(Answer::failure(answer.status, &answer.headers, ""))
}

/// The silence asked for by `Retry-After`, in seconds or as a date, at most [`RETRY_AFTER_MAX`].
///
/// A date is measured against the answer's own `Date`, for the two come from one clock; else against `now`.
pub fn retry_after(headers: &HeaderMap, now: UnixMs) -> Option<Span> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let asked = if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
        Span(text.parse::<i64>().unwrap_or(i64::MAX).saturating_mul(1000))
    } else {
        date(text)?.since(date_of(headers).unwrap_or(now))
    };
    Some(asked.min(RETRY_AFTER_MAX))
}

fn date_of(headers: &HeaderMap) -> Option<UnixMs> {
    date(headers.get(DATE)?.to_str().ok()?)
}

fn date(text: &str) -> Option<UnixMs> {
    let at = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(UnixMs(at.as_millisecond()))
}

/// A request that got no whole answer. Only one that could not even be built is hopeless.
fn lost(error: reqwest::Error) -> DeliveryError {
    let error = error.without_url();
    let (hopeless, late, unconnected) =
        (error.is_builder(), error.is_timeout(), error.is_connect());
    let mut why = match (late, unconnected) {
        (true, true) => "no connection in time".to_owned(),
        (true, false) => "no whole answer in time".to_owned(),
        (false, true) => "no connection".to_owned(),
        (false, false) => error.to_string(),
    };
    let mut source = error.source();
    while let (Some(cause), false) = (source, late) {
        why.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    if hopeless {
        DeliveryError::Refused { why }
    } else {
        DeliveryError::Retry { why, after: None }
    }
}

/// What would keep a request with these headers from being built, naming each header but not its value.
pub(super) fn header_problems(headers: &[(String, Secret)]) -> Vec<String> {
    let mut problems = vec![];
    for (name, value) in headers {
        if HeaderName::try_from(name.as_str()).is_err() {
            problems.push(format!("`{name}` cannot name a header"));
        } else if matches!(
            name.to_ascii_lowercase().as_str(),
            "content-length" | "transfer-encoding" | "connection"
        ) {
            problems.push(format!("the header `{name}` belongs to the connection"));
        }
        if reqwest::header::HeaderValue::from_str(value.expose()).is_err() {
            problems.push(format!("the value of the header `{name}` has characters no header may"));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(retry_after_text: &str, date_text: Option<&str>) -> Option<Span> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, retry_after_text.parse().expect("a header"));
        if let Some(text) = date_text {
            headers.insert(DATE, text.parse().expect("a header"));
        }
        retry_after(&headers, "2026-11-22T21:40:00Z".parse().expect("a time"))
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_never_more_than_the_limit() {
        assert_eq!(asked("30", None), Some(Span::seconds(30)));
        assert_eq!(asked("0", None), Some(Span::ZERO));
        assert_eq!(asked("86400", None), Some(RETRY_AFTER_MAX));
        assert_eq!(asked("99999999999999999999", None), Some(RETRY_AFTER_MAX));
        assert_eq!(asked("Sun, 22 Nov 2026 21:41:00 GMT", None), Some(Span::minutes(1)));
        assert_eq!(asked("Sun, 22 Nov 2026 21:00:00 GMT", None), Some(Span::ZERO));
        for nonsense in ["", "-5", "soon", "1.5", "2026-11-22T21:41:00Z"] {
            assert_eq!(asked(nonsense, None), None, "{nonsense:?}");
        }
    }

    #[test]
    fn a_retry_date_is_measured_by_the_clock_that_wrote_it() {
        assert_eq!(
            asked("Sun, 22 Nov 2026 19:00:20 GMT", Some("Sun, 22 Nov 2026 19:00:00 GMT")),
            Some(Span::seconds(20))
        );
    }

    #[test]
    fn an_unusable_url_is_described_but_not_shown() {
        for bad in ["", "hooks.example/T0/hunter2", "ftp://hunter2.example/", "http://[hunter2"] {
            let why = url(&Secret::new(bad)).expect_err("unusable");
            assert!(!why.contains("hunter2"), "{why}");
        }
        assert!(
            url(&Secret::new("https://hooks.example/T0/x\n")).is_ok(),
            "files end in a newline"
        );
    }
}

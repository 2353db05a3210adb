//! Bodies, read within a size and a time.

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, header},
};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;

use super::problem::Problem;
use crate::config::HttpLimits;

/// How much of a body that is too large anyway is read and forgotten, so that its sender reads the answer.
const FORGOTTEN_MAX: usize = 64 << 20;

/// The whole body, or 413, or 408.
pub(super) async fn read(
    headers: &HeaderMap,
    body: Body,
    limits: &HttpLimits,
) -> Result<Bytes, Problem> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse::<usize>().ok());
    let waits_for_leave = headers.contains_key(header::EXPECT);
    if waits_for_leave && announced.is_some_and(|bytes| bytes > limits.body_max_bytes) {
        return Err(Problem::too_large(limits.body_max_bytes));
    }
    let within = limits.read_timeout.duration();
    match tokio::time::timeout(within, collect(body, limits.body_max_bytes)).await {
        Ok(result) => result,
        Err(_) => Err(Problem::too_slow(within.as_secs())),
    }
}

async fn collect(mut body: Body, max: usize) -> Result<Bytes, Problem> {
    let (mut kept, mut seen) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Problem::unreadable("the body ended early"))?;
        let Some(data) = frame.data_ref() else { continue };
        seen += data.len();
        if seen <= max {
            kept.extend_from_slice(data);
        } else {
            kept = Vec::new();
        }
        if seen > FORGOTTEN_MAX.max(max) {
            break;
        }
    }
    if seen > max { Err(Problem::too_large(max)) } else { Ok(kept.into()) }
}

/// A body of ours: every field known, every value in its unit.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|fault| match fault.classify() {
        serde_json::error::Category::Data => Problem::invalid(fault.to_string()),
        serde_json::error::Category::Io
        | serde_json::error::Category::Syntax
        | serde_json::error::Category::Eof => {
            Problem::unreadable(format!("this is not JSON: {fault}"))
        }
    })
}

/// A sentence from outside: without control characters, at most `max` characters.
pub(super) fn clean(text: &str, max: usize) -> String {
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    let mut clean: String = text.trim().chars().take(max).map(printable).collect();
    if text.trim().chars().nth(max).is_some() {
        clean.push('…');
    }
    clean
}

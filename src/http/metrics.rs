//! What monitors ask: is it alive, can it take a turn, what are its numbers.

use std::time::Duration;

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};

use super::{Shared, problem::Problem};
use crate::store::Withheld;

/// A turn takes far less than a second; an event loop that cannot be looked at for this long is not ready.
const READY_WITHIN: Duration = Duration::from_secs(2);

/// GET /metrics
pub(super) async fn metrics(State(shared): State<Shared>) -> Response {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], shared.metrics.render()).into_response()
}

/// GET /healthz: the process answers.
pub(super) async fn alive() -> &'static str {
    "ok\n"
}

/// GET /readyz: the event loop answers.
pub(super) async fn ready(State(shared): State<Shared>) -> Result<&'static str, Problem> {
    let permits = shared.handle.store(|store, _| store.lease().permits());
    match tokio::time::timeout(READY_WITHIN, permits).await {
        // A person's HOLD is no fault: the daemon watches and tells.
        Ok(Ok(Ok(()) | Err(Withheld::Hold { .. }))) => Ok("ready\n"),
        Ok(Ok(Err(why))) => Err(Problem::unavailable(format!("nothing is acted upon: {why}"))),
        Ok(Err(why)) => Err(why.into()),
        Err(_) => Err(Problem::unavailable("the event loop does not answer")),
    }
}

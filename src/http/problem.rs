//! Refusals as RFC 9457 problems: what is wrong, where, and what to send instead.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};

use crate::handle::Unanswered;

/// A refusal, as the sender reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// A name for this kind of refusal that programs can compare.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: String,
    /// The HTTP status again, for whoever sees the body alone.
    pub status: u16,
    /// What is wrong with this request, and what to send instead.
    pub detail: String,
    /// The path of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
}

impl Problem {
    fn new(status: StatusCode, kind: &str, title: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:rollbackd:problem:{kind}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            instance: None,
        }
    }

    /// The body cannot be read as what this address takes.
    pub(crate) fn unreadable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "unreadable", "The body cannot be read", detail)
    }

    /// It can be read, and says something that cannot be.
    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        let title = "The body says something that cannot be";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", title, detail)
    }

    pub(crate) fn too_large(max: usize) -> Self {
        let detail = format!("a body may have {max} bytes; send less at once");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The body is too large", detail)
    }

    pub(crate) fn too_slow(seconds: u64) -> Self {
        let detail = format!("the body did not arrive within {seconds} s; send it again");
        Self::new(StatusCode::REQUEST_TIMEOUT, "too-slow", "The body came too slowly", detail)
    }

    pub(crate) fn no_credential(detail: impl Into<String>) -> Self {
        let title = "A credential is needed";
        Self::new(StatusCode::UNAUTHORIZED, "no-credential", title, detail)
    }

    pub(crate) fn out_of_scope(detail: impl Into<String>) -> Self {
        let title = "This credential does not reach that far";
        Self::new(StatusCode::FORBIDDEN, "out-of-scope", title, detail)
    }

    /// It does not come from whom it says.
    pub(crate) fn forged(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forged", "Nobody vouches for this message", detail)
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "There is no such thing", detail)
    }

    pub(crate) fn wrong_method(detail: impl Into<String>) -> Self {
        let title = "This address takes another method";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "wrong-method", title, detail)
    }

    /// The domain's no: it was understood and will not be done.
    pub(crate) fn refused(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "refused", "That is not possible now", detail)
    }

    /// Nothing of it happened; the same request can be sent again.
    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        let title = "Nothing was done; send it again";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", title, detail)
    }

    /// Nobody knows whether it happened, or still will.
    pub(crate) fn in_doubt(detail: impl Into<String>) -> Self {
        let title =
            "It may still take effect; look with `rollbackd status` before sending it again";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "in-doubt", title, detail)
    }

    fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl From<Unanswered> for Problem {
    fn from(why: Unanswered) -> Self {
        Self::unavailable(why.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        if self.status() == StatusCode::UNAUTHORIZED {
            let how = HeaderValue::from_static("Bearer realm=\"rollbackd\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, how);
            // SNS sends the password of its subscription once it is asked for one.
            let how = HeaderValue::from_static("Basic realm=\"rollbackd\"");
            response.headers_mut().append(header::WWW_AUTHENTICATE, how);
        }
        // Found again by the layer that knows the request's path.
        response.extensions_mut().insert(self);
        response
    }
}

//! POST /v1/changes: a pipeline says what it deployed.

use axum::{
    Extension,
    body::Body,
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};

use super::{Shared, answers::Known, auth::Caller, body, problem::Problem, services::resolved};
use crate::{
    domain::{
        change::{Change, Component, Migrations, Origin, Revision},
        event::What,
        service::ServiceId,
    },
    units::{Span, UnixMs},
};

/// How far ahead of ours a sender's clock may be.
const AHEAD_MAX: Span = Span::minutes(5);

/// What is posted.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Posted {
    service: String,
    environment: Option<String>,
    component: Option<Component>,
    id: Option<String>,
    from: Option<String>,
    to: String,
    digest: Option<String>,
    started_at: Option<UnixMs>,
    ended_at: Option<UnixMs>,
    checks_passed: Option<bool>,
    #[serde(default)]
    migrations: Migrations,
    #[serde(default)]
    is_rollback: bool,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Noted {
    id: String,
    service: String,
    said: String,
}

/// POST /v1/changes
pub(super) async fn receive(
    State(shared): State<Shared>,
    Extension(Caller(by)): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let bytes = body::read(&headers, body, &shared.settings().limits).await?;
    let key = idempotency_key(&headers)?;
    let posted: Posted = body::parse(&bytes)?;
    if let Some(key) = &key {
        match shared.recall(&by, key, &bytes).await? {
            Known::New => {}
            Known::Same(answer) => return Ok(json(answer)),
            Known::Other => {
                return Err(Problem::refused(format!(
                    "`{key}` was posted before with another body; use a new key for a new change"
                )));
            }
        }
    }
    let (name, environment) = (posted.service.clone(), posted.environment.clone());
    let (service, now) = resolved(&shared, name, environment).await?;
    let change = change(posted, key.clone(), &by, now)?;
    agrees_with_known(&shared, &service, &change).await?;
    let id = change.id.clone();
    let what = What::ChangePosted { service: service.clone(), change };
    let said = match shared.tell(what).await? {
        Some(Ok(said)) => said,
        Some(Err(why)) => return Err(Problem::refused(why)),
        None => return Err(Problem::not_found(format!("{service} is not watched any more"))),
    };
    let noted = Noted { id, service: service.to_string(), said };
    let answer = serde_json::to_string(&noted).unwrap_or_default();
    if let Some(key) = &key {
        shared.remember(&by, key, &bytes, &answer).await;
    }
    Ok(json(answer))
}

/// A later post with a known id tells more of that change: when it ended, whether its checks passed. It cannot make
/// another change of it.
async fn agrees_with_known(
    shared: &Shared,
    service: &ServiceId,
    change: &Change,
) -> Result<(), Problem> {
    let (service, id) = (service.clone(), change.id.clone());
    let known = shared
        .handle
        .look(move |fleet, _| {
            let changes = &fleet.states.get(&service)?.changes;
            changes.iter().find(|known| known.id == id).cloned()
        })
        .await?;
    match known {
        Some(k) if k.component != change.component || !k.to.agrees_with(&change.to) => {
            Err(Problem::refused(format!(
                "change `{}` is known as {} to {}; use a new id for a new change",
                k.id, k.component, k.to
            )))
        }
        Some(_) | None => Ok(()),
    }
}

fn json(body: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim().trim_matches('"');
    name("Idempotency-Key", text).map(Some)
}

/// A name that stands in the journal and in messages.
fn name(field: &str, text: &str) -> Result<String, Problem> {
    if text.is_empty() || text.len() > 200 || text.chars().any(char::is_control) {
        return Err(Problem::invalid(format!(
            "`{field}` must have 1 to 200 characters and no control characters"
        )));
    }
    Ok(text.to_owned())
}

fn change(posted: Posted, key: Option<String>, by: &str, now: UnixMs) -> Result<Change, Problem> {
    let component = posted.component.unwrap_or(Component::Application);
    let to = name("to", &posted.to)?;
    let from = posted.from.as_deref().map(|from| name("from", from)).transpose()?;
    let digest = posted.digest.as_deref().map(|digest| name("digest", digest)).transpose()?;
    let given = posted.id.as_deref().map(|id| name("id", id)).transpose()?;
    let started_at = posted.started_at.or(posted.ended_at).unwrap_or(now);
    if started_at > now + AHEAD_MAX || posted.ended_at.is_some_and(|at| at > now + AHEAD_MAX) {
        return Err(Problem::invalid(format!("the change lies ahead: here it is {now}")));
    }
    if posted.ended_at.is_some_and(|ended| ended < started_at) {
        return Err(Problem::invalid("`ended_at` is before `started_at`"));
    }
    let derived = || format!("{component}-{to}-{}", started_at.0);
    Ok(Change {
        id: given.or(key).unwrap_or_else(derived),
        component,
        from: from.as_deref().map(Revision::named),
        to: Revision { version: to.clone(), digest },
        started_at,
        ended_at: posted.ended_at,
        origin: Origin::Posted { by: by.to_owned() },
        migrations: posted.migrations,
        checks_passed: posted.checks_passed,
        is_rollback: posted.is_rollback,
    })
}

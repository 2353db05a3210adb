//! POST /v1/changes: a pipeline says what it deployed.

use axum::{
    Extension,
    body::Body,
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};

use super::{
    Shared, answers::Known, auth::Caller, body, posted, problem::Problem, services::resolved,
};
use crate::domain::{change::Change, event::What, service::ServiceId};

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
    let posted = posted::change(&bytes)?;
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
    let change = posted.understood(key.clone(), &by, now)?;
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
    posted::name("Idempotency-Key", text).map(Some)
}

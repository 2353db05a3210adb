//! POST /v1/evidence: somebody with the right to it tells of corrupt data, a breach, a failed migration.

use axum::{Extension, Json, body::Body, extract::State, http::HeaderMap};

use super::{
    Shared, auth::Caller, body, posted, problem::Problem, services::resolved, views::Replied,
};
use crate::domain::event::What;

/// POST /v1/evidence
pub(super) async fn receive(
    State(shared): State<Shared>,
    Extension(Caller(by)): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Replied>, Problem> {
    let bytes = body::read(&headers, body, &shared.settings().limits).await?;
    let posted = posted::evidence(&bytes)?;
    let (trigger, note) = (posted.trigger().to_owned(), posted.note().to_owned());
    let (service, _) = resolved(&shared, posted.service, posted.environment).await?;
    let what = What::EvidencePosted {
        service: service.clone(),
        trigger,
        by,
        note,
        partial: posted.partial,
    };
    match shared.tell(what).await? {
        Some(Ok(said)) => Ok(Json(Replied { service: service.to_string(), said })),
        Some(Err(why)) => Err(Problem::refused(why)),
        None => Err(Problem::not_found(format!("{service} is not watched any more"))),
    }
}

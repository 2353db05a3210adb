//! POST /v1/evidence: somebody with the right to it tells of corrupt data, a breach, a failed migration.

use axum::{Extension, Json, body::Body, extract::State, http::HeaderMap};
use serde::Deserialize;

use super::{Shared, auth::Caller, body, problem::Problem, services::resolved, views::Replied};
use crate::domain::event::What;

/// What is posted.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Posted {
    service: String,
    environment: Option<String>,
    kind: Kind,
    note: String,
    #[serde(default)]
    partial: bool,
}

/// The closed list of what can be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    DataCorruption,
    SecurityBreach,
    MigrationFailure,
}

impl Kind {
    /// The trigger that it stands for.
    fn trigger(self) -> &'static str {
        match self {
            Self::DataCorruption => "data-corruption",
            Self::SecurityBreach => "security-breach",
            Self::MigrationFailure => "migration-failure",
        }
    }
}

/// POST /v1/evidence
pub(super) async fn receive(
    State(shared): State<Shared>,
    Extension(Caller(by)): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Replied>, Problem> {
    let bytes = body::read(&headers, body, &shared.settings().limits).await?;
    let posted: Posted = body::parse(&bytes)?;
    let note = body::clean(&posted.note, 2000);
    if note.is_empty() {
        return Err(Problem::invalid("`note` is empty; say what was found, people will read it"));
    }
    let (service, _) = resolved(&shared, posted.service, posted.environment).await?;
    let what = What::EvidencePosted {
        service: service.clone(),
        trigger: posted.kind.trigger().to_owned(),
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

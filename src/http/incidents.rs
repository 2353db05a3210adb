//! Incidents: the open ones, the recent ones, and their reports.

use axum::{
    Json,
    extract::{Path, State},
    http::header,
    response::{IntoResponse, Response},
};

use super::{
    Shared, body,
    problem::Problem,
    views::{IncidentLine, IncidentView},
};
use crate::domain::{
    event::Now, fleet::Fleet, incident::Incident, report, service::ServiceId, situation::Situation,
    state::ServiceState,
};

/// Incidents in one list.
const LISTED_MAX: usize = 200;

/// GET /v1/incidents: the open ones first, then the newest.
pub(super) async fn list(State(shared): State<Shared>) -> Result<Json<Vec<IncidentLine>>, Problem> {
    let all = |fleet: &Fleet, now: Now| {
        let mut lines: Vec<IncidentLine> = vec![];
        for id in fleet.policy.services.keys() {
            let of_one = |s: &Situation<'_>| {
                let (open, past) = (s.state.incident.iter(), s.state.past.each());
                open.chain(past).map(|incident| IncidentLine::of(s, incident)).collect::<Vec<_>>()
            };
            lines.extend(fleet.look(id, now, |s, _| of_one(s)).unwrap_or_default());
        }
        lines.sort_by_key(|line| (line.closed.is_some(), std::cmp::Reverse(line.fired)));
        lines.truncate(LISTED_MAX);
        lines
    };
    Ok(Json(shared.handle.look(all).await?))
}

/// GET /v1/incidents/{id}
pub(super) async fn one(
    State(shared): State<Shared>,
    Path(id): Path<String>,
) -> Result<Json<IncidentView>, Problem> {
    find(&shared, id, IncidentView::of).await.map(Json)
}

/// GET /v1/incidents/{id}/report
pub(super) async fn report(
    State(shared): State<Shared>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let text = find(&shared, id, report::markdown).await?;
    Ok(([(header::CONTENT_TYPE, "text/markdown; charset=utf-8")], text).into_response())
}

/// A view of an incident by its name; a service's name stands for its open or newest one.
async fn find<T: Send + 'static>(
    shared: &Shared,
    id: String,
    view: impl FnOnce(&Situation<'_>, &Incident) -> T + Send + 'static,
) -> Result<T, Problem> {
    let missing = format!(
        "no incident {} is known; `rollbackd incidents` lists the open and the recent ones",
        body::clean(&id, 100)
    );
    let look = shared.handle.look(move |fleet, now| {
        let service = holder(fleet, &id)?;
        fleet.look(&service, now, |s, _| {
            let incidents = s.state.incident.iter().chain(s.state.past.each());
            incidents.into_iter().find(|i| i.id == id).map(|incident| view(s, incident))
        })?
    });
    look.await?.ok_or_else(|| Problem::not_found(missing))
}

fn holder(fleet: &Fleet, id: &str) -> Option<ServiceId> {
    let has =
        |state: &ServiceState| state.incident.iter().chain(state.past.each()).any(|i| i.id == id);
    fleet.states.iter().find(|(_, state)| has(state)).map(|(service, _)| service.clone())
}

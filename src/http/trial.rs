//! A script that takes a schema back is tried, because somebody asked for it: run in a transaction that is taken back.

use std::time::Instant;

use axum::{
    Extension, Json,
    body::Body,
    extract::{Path, State},
    http::HeaderMap,
};
use serde::Deserialize;

use super::{
    Shared,
    auth::Caller,
    body,
    problem::Problem,
    services::{look, resolved},
    views::{PlanAnswer, TrialAnswer},
};
use crate::{
    domain::{
        event::What,
        incident::{
            script,
            target::{self, To},
        },
        schema::script::Trial,
    },
    units::Span,
};

/// What may be said with it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    to: Option<String>,
}

/// POST /v1/services/{name}/{environment}/dry-run
pub(super) async fn dry_run(
    State(shared): State<Shared>,
    Path((name, environment)): Path<(String, String)>,
    Extension(Caller(caller)): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<TrialAnswer>, Problem> {
    let bytes = body::read(&headers, body, &shared.settings().limits).await?;
    let Wanted { to } = if bytes.is_empty() { Wanted::default() } else { body::parse(&bytes)? };
    let (service, _) = resolved(&shared, name, Some(environment)).await?;
    let wanted = to.clone();
    let asked = look(&shared, service.clone(), move |s| {
        script::to_try(s, To::said(wanted.as_deref(), false)).map(|run| (run, s.now.wall))
    });
    let (of, at) = asked.await?.map_err(Problem::refused)?;
    let trials = shared.trials.get();
    let trials = trials.ok_or_else(|| Problem::unavailable("nobody runs scripts here"))?;
    tracing::info!(service.id = %service, by = %caller, "{caller} has {} of {service} tried", of.in_words());
    let begun = Instant::now();
    let came = trials.try_out(of.clone()).await.map_err(Problem::refused)?;
    let took = Span(i64::try_from(begun.elapsed().as_millis()).unwrap_or(i64::MAX));
    let trial = Box::new(Trial { of, at, took, came });
    let what = What::ScriptTried { service: service.clone(), trial: trial.clone() };
    shared.tell(what).await?;
    let plan = look(&shared, service, move |s| {
        let plan = target::plan(s, To::said(to.as_deref(), false));
        plan.map(|plan| PlanAnswer::of(s, &plan, (to, false)))
    });
    let plan = plan.await?;
    Ok(Json(TrialAnswer { trial: *trial, plan: plan.as_ref().ok().cloned(), no_plan: plan.err() }))
}

//! Services: how each stands, why, what would be done; and what a person says about one.

use axum::{
    Extension, Json,
    body::Body,
    extract::{Path, Query, State},
    http::HeaderMap,
};
use serde::Deserialize;

use super::{
    Shared,
    auth::Caller,
    body,
    problem::Problem,
    views::{Explain, PlanAnswer, Replied, ServiceView},
};
use crate::{
    domain::{
        event::{Now, Said, What},
        fleet::Fleet,
        incident::target::{self, To},
        service::ServiceId,
        situation::Situation,
    },
    units::UnixMs,
};

/// The longest reason, and the longest name of a person.
const REASON_MAX: usize = 1000;
const PERSON_MAX: usize = 64;

/// GET /v1/services
pub(super) async fn list(State(shared): State<Shared>) -> Result<Json<Vec<ServiceView>>, Problem> {
    let all = |fleet: &Fleet, now: Now| {
        let ids = fleet.policy.services.keys();
        ids.filter_map(|id| fleet.look(id, now, |s, _| ServiceView::of(s))).collect()
    };
    Ok(Json(shared.handle.look(all).await?))
}

/// GET /v1/services/{name}: by its name alone, where only one environment has it.
pub(super) async fn one_of_that_name(
    State(shared): State<Shared>,
    Path(name): Path<String>,
) -> Result<Json<ServiceView>, Problem> {
    let (id, _) = resolved(&shared, name, None).await?;
    look(&shared, id, ServiceView::of).await.map(Json)
}

/// GET /v1/services/{name}/{environment}
pub(super) async fn one(
    State(shared): State<Shared>,
    Path((name, environment)): Path<(String, String)>,
) -> Result<Json<ServiceView>, Problem> {
    let (id, _) = resolved(&shared, name, Some(environment)).await?;
    look(&shared, id, ServiceView::of).await.map(Json)
}

/// GET /v1/services/{name}/{environment}/explain
pub(super) async fn explain(
    State(shared): State<Shared>,
    Path((name, environment)): Path<(String, String)>,
) -> Result<Json<Explain>, Problem> {
    let (id, _) = resolved(&shared, name, Some(environment)).await?;
    look(&shared, id, Explain::of).await.map(Json)
}

/// What may be asked of a plan.
#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    to: Option<String>,
    #[serde(default)]
    to_previous_version: bool,
}

/// GET /v1/services/{name}/{environment}/plan: what would run, step by step.
pub(super) async fn plan(
    State(shared): State<Shared>,
    Path((name, environment)): Path<(String, String)>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<PlanAnswer>, Problem> {
    one_way(wanted.to.as_deref(), wanted.to_previous_version)?;
    let (id, _) = resolved(&shared, name, Some(environment)).await?;
    let answer = move |s: &Situation<'_>| {
        let (to, to_previous) = (wanted.to, wanted.to_previous_version);
        let plan = target::plan(s, To::said(to.as_deref(), to_previous));
        plan.map(|plan| PlanAnswer::of(s, &plan, (to, to_previous)))
    };
    look(&shared, id, answer)
        .await?
        .map(Json)
        .map_err(|why| Problem::refused(format!("there is no plan: {why}")))
}

/// What a person says, beside the verb in the path.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Words {
    reason: Option<String>,
    plan: Option<String>,
    to: Option<String>,
    #[serde(default)]
    to_previous_version: bool,
    version: Option<String>,
    /// The person behind a shared credential.
    #[serde(rename = "as")]
    person: Option<String>,
}

/// POST /v1/services/{name}/{environment}/{verb}
pub(super) async fn speak(
    State(shared): State<Shared>,
    Path((name, environment, verb)): Path<(String, String, String)>,
    Extension(Caller(caller)): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Replied>, Problem> {
    let bytes = body::read(&headers, body, &shared.settings().limits).await?;
    let words: Words = if bytes.is_empty() { Words::default() } else { body::parse(&bytes)? };
    let person = words.person.as_deref().map(|p| body::clean(p, PERSON_MAX));
    let by = match person.filter(|p| !p.is_empty()) {
        Some(person) => format!("{person} via {caller}"),
        None => caller,
    };
    let said = said(&verb, words)?;
    let (service, _) = resolved(&shared, name, Some(environment)).await?;
    let what = What::Spoke { service: service.clone(), by: by.clone(), said };
    match shared.tell(what).await? {
        Some(Ok(said)) => {
            tracing::info!(service.id = %service, by = %by, "{by} said {verb} about {service}: {said}");
            Ok(Json(Replied { service: service.to_string(), said }))
        }
        Some(Err(why)) => Err(Problem::refused(why)),
        None => Err(Problem::not_found(format!("{service} is not watched any more"))),
    }
}

fn one_way(to: Option<&str>, to_previous: bool) -> Result<(), Problem> {
    match to {
        Some(to) if to_previous => Err(Problem::invalid(format!(
            "`to` and `to_previous_version` name two versions; leave one out, for example `to` ({})",
            body::clean(to, 100)
        ))),
        Some(_) | None => Ok(()),
    }
}

fn said(verb: &str, words: Words) -> Result<Said, Problem> {
    let needed = |field: &str, value: Option<String>| {
        let value = value.map(|text| body::clean(&text, REASON_MAX)).filter(|t| !t.is_empty());
        value.ok_or_else(|| Problem::invalid(format!("`{verb}` needs a {field}")))
    };
    Ok(match verb {
        "ack" => Said::Acknowledge,
        "approve" => Said::Approve { plan: needed("plan", words.plan)? },
        "reject" => Said::Reject { reason: needed("reason", words.reason)? },
        "dismiss" => Said::Dismiss { reason: needed("reason", words.reason)? },
        "hold" => Said::Hold { reason: needed("reason", words.reason)? },
        "unhold" => Said::Unhold,
        "rollback" => {
            one_way(words.to.as_deref(), words.to_previous_version)?;
            let (to, to_previous) = (words.to, words.to_previous_version);
            let plan = words.plan;
            Said::RollBack { to, to_previous, plan, reason: needed("reason", words.reason)? }
        }
        "lift" => Said::Lift { version: needed("version", words.version)? },
        other => {
            return Err(Problem::not_found(format!(
                "`{other}` cannot be said; use ack, approve, reject, dismiss, hold, unhold, rollback or lift"
            )));
        }
    })
}

/// A view of one service, taken on the event loop's thread.
pub(super) async fn look<T: Send + 'static>(
    shared: &Shared,
    id: ServiceId,
    view: impl FnOnce(&Situation<'_>) -> T + Send + 'static,
) -> Result<T, Problem> {
    let gone = Problem::not_found(format!("{id} is not watched any more"));
    let look = shared.handle.look(move |fleet, now| fleet.look(&id, now, |s, _| view(s)));
    look.await?.ok_or(gone)
}

/// The service that is meant, and the time.
pub(super) async fn resolved(
    shared: &Shared,
    name: String,
    environment: Option<String>,
) -> Result<(ServiceId, UnixMs), Problem> {
    let look = shared.handle.look(move |fleet, now| {
        meant(fleet.policy.services.keys(), &name, environment.as_deref()).map(|id| (id, now.wall))
    });
    look.await?.map_err(Problem::not_found)
}

/// The service that is meant, or why none is, with the names that come near.
fn meant<'a>(
    services: impl Iterator<Item = &'a ServiceId>,
    name: &str,
    environment: Option<&str>,
) -> Result<ServiceId, String> {
    let all: Vec<&ServiceId> = services.collect();
    let fits = |id: &&&ServiceId| {
        id.name() == name && environment.is_none_or(|wanted| id.environment() == wanted)
    };
    let found: Vec<&ServiceId> = all.iter().filter(fits).copied().collect();
    let joined = |ids: &[&ServiceId]| {
        ids.iter().take(5).map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    match found.as_slice() {
        [one] => Ok((*one).clone()),
        [] => {
            let asked = match environment {
                Some(environment) => format!("{name}/{environment}"),
                None => name.to_owned(),
            };
            let asked = body::clean(&asked, 100);
            let near = near(&all, name);
            Err(if near.is_empty() {
                format!("no service {asked} is configured; `rollbackd status` lists all")
            } else {
                format!("no service {asked} is configured; did you mean {}?", joined(&near))
            })
        }
        several => {
            Err(format!("{name} is in several environments; say which: {}", joined(several)))
        }
    }
}

fn near<'a>(all: &[&'a ServiceId], name: &str) -> Vec<&'a ServiceId> {
    if name.len() > 100 {
        return vec![];
    }
    let reach = 1 + name.chars().count() / 4;
    let mut near: Vec<(usize, &ServiceId)> = all
        .iter()
        .filter(|id| id.name().len().abs_diff(name.len()) <= reach)
        .map(|id| (edits(id.name(), name), *id))
        .filter(|(edits, _)| *edits <= reach)
        .collect();
    near.sort();
    near.into_iter().map(|(_, id)| id).collect()
}

/// How many letters must be added, dropped or replaced to make `b` of `a`.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let cost = corner + usize::from(from != *to);
            corner = row[j + 1];
            row[j + 1] = cost.min(corner + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_found_by_its_name_or_the_near_ones_are_offered() {
        let ids: Vec<ServiceId> = ["checkout/production", "cart/production", "cart/staging"]
            .map(|id| id.parse().unwrap())
            .into();
        let ask = |name, environment| meant(ids.iter(), name, environment);
        assert_eq!(ask("checkout", None), Ok(ids[0].clone()));
        assert_eq!(ask("cart", Some("staging")), Ok(ids[2].clone()));
        assert!(ask("cart", None).unwrap_err().contains("cart/production, cart/staging"));
        assert!(ask("chekcout", None).unwrap_err().contains("did you mean checkout/production?"));
        assert!(ask("cart", Some("prod")).unwrap_err().contains("did you mean cart/production"));
        assert!(ask("zebra", None).unwrap_err().contains("`rollbackd status` lists all"));
    }

    #[test]
    fn a_decision_needs_its_reason() {
        let problem = said("hold", Words::default()).unwrap_err();
        assert_eq!(problem.status, 422);
        assert_eq!(problem.detail, "`hold` needs a reason");
        assert_eq!(said("ack", Words::default()), Ok(Said::Acknowledge));
        let both = Words { to: Some("v1".into()), to_previous_version: true, ..Words::default() };
        assert!(said("rollback", both).unwrap_err().detail.contains("leave one out"));
        assert_eq!(said("resign", Words::default()).unwrap_err().status, 404);
    }
}

//! POST /v1/alertmanager: Alertmanager's webhook.
//!
//! It is answered with 200 only once everything is durable, with 503 when it cannot be, and never with 429, which
//! Alertmanager takes for the end.

use std::sync::PoisonError;

use axum::{Json, body::Body, extract::State, http::HeaderMap};
use serde::Serialize;

use super::{
    Shared, body,
    posted::{self, Loss, TRIGGER_LABEL, Webhook},
    problem::Problem,
    views::Stray,
};
use crate::{
    config::nearest,
    domain::{
        event::{Alert, What},
        service::ServiceId,
    },
    units::UnixMs,
};

/// What became of a webhook's alerts.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Receipt {
    accepted: usize,
    unmatched: usize,
    refused: usize,
    truncated: u64,
    beyond_limit: usize,
}

/// What is wrong with the trigger that an alert names.
fn mistyped(service: &ServiceId, alert: &Alert, triggers: &[String]) -> Option<String> {
    let named = alert.trigger.as_ref().filter(|name| !triggers.contains(name))?;
    let near = nearest(named, triggers.iter().map(String::as_str));
    let near = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
    Some(format!("{service} has no trigger of that name: {TRIGGER_LABEL}=\"{named}\"{near}"))
}

/// POST /v1/alertmanager
pub(super) async fn receive(
    State(shared): State<Shared>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Receipt>, Problem> {
    let settings = shared.settings();
    let bytes = body::read(&headers, body, &settings.limits).await.inspect_err(too_large)?;
    take(&shared, posted::webhook(&bytes, &settings.mapping, &settings.limits)?).await
}

/// Tells each service of its alerts, and keeps those of none.
pub(super) async fn take(shared: &Shared, mut sorted: Webhook) -> Result<Json<Receipt>, Problem> {
    let settings = shared.settings();
    let wanted = sorted.alerts.len() + sorted.strays.len() + sorted.beyond_limit;
    let (known, now) = {
        let ids: Vec<ServiceId> = sorted.alerts.iter().map(|(id, _)| id.clone()).collect();
        let look = shared.handle.look(move |fleet, now| {
            let triggers = |id: &ServiceId| {
                let service = fleet.policy.services.get(id)?;
                Some(service.triggers.keys().cloned().collect())
            };
            (ids.iter().map(triggers).collect::<Vec<Option<Vec<String>>>>(), now.wall)
        });
        look.await?
    };
    let mut receipt = Receipt {
        truncated: sorted.truncated,
        beyond_limit: sorted.beyond_limit,
        ..Receipt::default()
    };
    for ((service, alert), known) in std::mem::take(&mut sorted.alerts).into_iter().zip(known) {
        let Some(triggers) = known else {
            let why = format!("no service {service} is configured");
            sorted.strays.push((Loss::Unmatched, stray_of(alert, why)));
            continue;
        };
        if let Some(why) = mistyped(&service, &alert, &triggers) {
            sorted.strays.push((Loss::Trigger, stray_of(alert.clone(), why)));
        }
        shared.tell(What::Alerted { service, alert }).await?;
        receipt.accepted += 1;
    }
    keep(shared, sorted, &mut receipt, now);
    if receipt.refused == wanted && wanted > 0 {
        let limit = settings.limits.labels_max;
        return Err(Problem::invalid(format!(
            "none of the {wanted} alerts can be taken (each may have {limit} labels); GET /v1/unmatched says why"
        )));
    }
    Ok(Json(receipt))
}

/// Alertmanager does not send it again: until its next flush these alerts are lost.
fn too_large(problem: &Problem) {
    if problem.status == 413 {
        tracing::warn!(
            "a webhook of Alertmanager is lost: {}; raise [limits] body_max_bytes, or lower `max_alerts` of its receiver",
            problem.detail
        );
        metrics::counter!("rollbackd_alerts_received_total", "result" => "webhook_too_large")
            .increment(1);
    }
}

fn stray_of(alert: Alert, why: String) -> Stray {
    Stray {
        alert: alert.name,
        fingerprint: alert.fingerprint,
        why,
        labels: alert.labels.into_iter().take(16).collect(),
        times: 1,
        last_seen: UnixMs(0),
    }
}

/// Keeps what went to no service, and counts everything.
fn keep(shared: &Shared, sorted: Webhook, receipt: &mut Receipt, now: UnixMs) {
    let mut unmatched = shared.unmatched.lock().unwrap_or_else(PoisonError::into_inner);
    for (loss, stray) in sorted.strays {
        match loss {
            Loss::Unmatched => receipt.unmatched += 1,
            Loss::Refused => receipt.refused += 1,
            Loss::Trigger => {}
        }
        let (name, why) = (stray.alert.clone(), stray.why.clone());
        if unmatched.keep(Stray { last_seen: now, ..stray }) {
            let to = if loss == Loss::Trigger { "trigger" } else { "service" };
            tracing::warn!(alert.name = %name, "the alert {name} went to no {to}: {why}");
        }
    }
    unmatched.truncated += receipt.truncated;
    unmatched.beyond_limit += receipt.beyond_limit as u64;
    drop(unmatched);
    if receipt.truncated > 0 {
        let left_out = receipt.truncated;
        tracing::warn!(
            "Alertmanager left {left_out} alerts out of a webhook; raise `max_alerts` of its receiver"
        );
    }
    if receipt.beyond_limit > 0 {
        let beyond = receipt.beyond_limit;
        tracing::warn!(
            "{beyond} alerts of one webhook were not taken; raise [limits] alerts_max, or lower `max_alerts` of its receiver"
        );
    }
    let counts = [
        ("accepted", receipt.accepted as u64),
        ("unmatched", receipt.unmatched as u64),
        ("refused", receipt.refused as u64),
        ("truncated", receipt.truncated),
        ("beyond_limit", receipt.beyond_limit as u64),
    ];
    for (result, count) in counts {
        metrics::counter!("rollbackd_alerts_received_total", "result" => result).increment(count);
    }
}

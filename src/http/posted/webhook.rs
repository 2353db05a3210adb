//! Alertmanager's webhook, version 4, read: each alert by itself, never the group, by fingerprint and start.

use std::collections::BTreeMap;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::{
    config::{HttpLimits, Mapping},
    domain::{event::Alert, plan::hex, service::ServiceId, severity::Severity},
    http::{body, problem::Problem, views::Stray},
    units::UnixMs,
};

/// The longest value of a label that is kept, and the longest summary.
const TEXT_MAX: usize = 500;

/// The label by which an alert says which trigger it stands for.
pub(in crate::http) const TRIGGER_LABEL: &str = "rollbackd_trigger";

/// The body, as far as it is read; what is not named here is ignored.
#[derive(Debug, Deserialize)]
struct Sheet {
    alerts: Vec<serde_json::Value>,
    #[serde(default, rename = "truncatedAlerts")]
    truncated: u64,
}

/// One alert of it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sent {
    status: String,
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    starts_at: String,
    #[serde(default)]
    fingerprint: String,
}

/// A webhook, sorted.
#[derive(Debug, Default)]
pub struct Webhook {
    /// What goes to a service, ends first.
    pub alerts: Vec<(ServiceId, Alert)>,
    /// What goes to none, and why.
    pub strays: Vec<(Loss, Stray)>,
    /// Alerts that Alertmanager left out.
    pub truncated: u64,
    /// Alerts and strays that were left out here.
    pub beyond_limit: usize,
}

/// Why an alert went to no service, or to no trigger of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Its labels name no service that can be.
    Unmatched,
    /// It says something that cannot be, or too much.
    Refused,
    /// It is taken, and stands for nothing.
    Trigger,
}

/// Reads the body of a webhook.
pub fn webhook(bytes: &[u8], mapping: &Mapping, limits: &HttpLimits) -> Result<Webhook, Problem> {
    Ok(sort(sheet(bytes)?, mapping, limits))
}

/// Alerts that came in another way, each as Alertmanager would write it.
pub(super) fn of_alerts(
    alerts: Vec<serde_json::Value>,
    mapping: &Mapping,
    limits: &HttpLimits,
) -> Webhook {
    sort(Sheet { alerts, truncated: 0 }, mapping, limits)
}

fn sheet(bytes: &[u8]) -> Result<Sheet, Problem> {
    let value: serde_json::Value = serde_json::from_slice(bytes)
        .map_err(|fault| Problem::unreadable(format!("this is not JSON: {fault}")))?;
    match value.get("version").and_then(serde_json::Value::as_str) {
        Some("4") => {}
        Some(other) => {
            return Err(Problem::unreadable(format!(
                "webhook version \"{other}\" is not known; only Alertmanager's version \"4\" is"
            )));
        }
        None => {
            return Err(Problem::unreadable(
                "this has no `version`: send Alertmanager's own body, without a custom `payload`",
            ));
        }
    }
    serde_json::from_value(value).map_err(|fault| {
        Problem::unreadable(format!(
            "{fault}: send Alertmanager's own body, without a custom `payload`"
        ))
    })
}

/// Gives each alert its service, as far as labels tell. What is resolved goes first: in one body an alert can end
/// and begin anew, and the end belongs to the earlier one.
fn sort(sheet: Sheet, mapping: &Mapping, limits: &HttpLimits) -> Webhook {
    let mut sorted = Webhook { truncated: sheet.truncated, ..Webhook::default() };
    for value in &sheet.alerts {
        match take(value, mapping, limits) {
            Ok(taken) => sorted.alerts.push(taken),
            Err((loss, why)) => sorted.strays.push((loss, stray(value, why))),
        }
    }
    sorted.alerts.sort_by_key(|(_, alert)| (alert.firing, alert.starts_at));
    // Only now: an end that is cut off leaves an alert firing for ever.
    let most = limits.alerts_max;
    sorted.beyond_limit =
        sorted.alerts.len().saturating_sub(most) + sorted.strays.len().saturating_sub(most);
    sorted.alerts.truncate(most);
    sorted.strays.truncate(most);
    sorted
}

fn take(
    value: &serde_json::Value,
    mapping: &Mapping,
    limits: &HttpLimits,
) -> Result<(ServiceId, Alert), (Loss, String)> {
    let refused = |why: String| (Loss::Refused, why);
    let labels = value.get("labels").and_then(serde_json::Value::as_object).map_or(0, |l| l.len());
    if labels > limits.labels_max {
        return Err(refused(format!("{labels} labels; {} are taken", limits.labels_max)));
    }
    let sent = Sent::deserialize(value).map_err(|fault| refused(fault.to_string()))?;
    let firing = match sent.status.as_str() {
        "firing" => true,
        "resolved" => false,
        other => {
            return Err(refused(format!("its status `{other}` is neither firing nor resolved")));
        }
    };
    let starts_at: UnixMs = sent.starts_at.parse().map_err(refused)?;
    let unmatched = |why: String| (Loss::Unmatched, why);
    let name = sent.labels.get(&mapping.service_label).filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| unmatched(format!("no label `{}`", mapping.service_label)))?;
    let environment = sent.labels.get(&mapping.environment_label).filter(|e| !e.is_empty());
    let environment = environment.unwrap_or(&mapping.default_environment);
    let service = ServiceId::new(name, environment).map_err(unmatched)?;
    let severity = match sent.labels.get(&mapping.severity_label) {
        None => mapping.without_severity,
        Some(value) => mapping
            .severities
            .get(value)
            .copied()
            .unwrap_or(mapping.without_severity.worse(Severity::P2)),
    };
    Ok((service, alert(sent, firing, starts_at, severity)))
}

fn alert(sent: Sent, firing: bool, starts_at: UnixMs, severity: Severity) -> Alert {
    let label = |name: &str| sent.labels.get(name).map(|v| body::clean(v, TEXT_MAX));
    let said = ["summary", "description", "message"]
        .iter()
        .find_map(|name| sent.annotations.get(*name))
        .map(|text| body::clean(text, TEXT_MAX));
    Alert {
        fingerprint: fingerprint(&sent.fingerprint, &sent.labels),
        starts_at,
        firing,
        name: label("alertname").unwrap_or_else(|| "alert without a name".to_owned()),
        trigger: label(TRIGGER_LABEL).filter(|name| !name.is_empty()),
        severity,
        summary: said.unwrap_or_else(|| "no summary".to_owned()),
        labels: bounded(&sent.labels),
    }
}

fn bounded(labels: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let bound = |(name, value): (&String, &String)| {
        (body::clean(name, TEXT_MAX), body::clean(value, TEXT_MAX))
    };
    labels.iter().map(bound).collect()
}

/// Alertmanager's own, or a hash of the labels where a sender leaves it out.
fn fingerprint(sent: &str, labels: &BTreeMap<String, String>) -> String {
    // What is told of CloudWatch's alarms nobody says by way of Alertmanager.
    if !sent.is_empty() && !Alert::is_of_cloudwatch(sent) {
        return body::clean(sent, 64);
    }
    let bytes = serde_json::to_vec(labels).unwrap_or_default();
    hex(&Sha256::digest(&bytes)[..8])
}

fn stray(value: &serde_json::Value, why: String) -> Stray {
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    let sent = value.get("labels").and_then(serde_json::Value::as_object);
    let labels: BTreeMap<String, String> = sent
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some((name.clone(), text(value)?)))
        .take(16)
        .collect();
    let given = value.get("fingerprint").and_then(text).unwrap_or_default();
    Stray {
        alert: sent.and_then(|l| l.get("alertname")).and_then(text).unwrap_or_default(),
        fingerprint: fingerprint(&given, &labels),
        why: body::clean(&why, TEXT_MAX),
        labels: bounded(&labels),
        times: 1,
        last_seen: UnixMs(0),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: &str) -> Result<Webhook, Problem> {
        webhook(body.as_bytes(), &Mapping::default(), &HttpLimits::default())
    }

    fn sorted(alerts: serde_json::Value) -> Webhook {
        let body = json!({"version": "4", "alerts": alerts, "status": "firing", "new": {"a": 1}});
        read(&body.to_string()).unwrap()
    }

    fn one(status: &str, starts_at: &str, labels: serde_json::Value) -> serde_json::Value {
        json!({"status": status, "labels": labels, "startsAt": starts_at,
            "endsAt": "0001-01-01T00:00:00Z", "fingerprint": "f1"})
    }

    #[test]
    fn an_alert_finds_service_severity_and_trigger_by_its_labels() {
        let labels = json!({"alertname": "Errors", "service": "checkout", "severity": "critical",
            "rollbackd_trigger": "critical-errors"});
        let found = sorted(json!([one("firing", "2026-11-22T19:40:26.767Z", labels)]));
        let (service, alert) = &found.alerts[0];
        assert_eq!(service.to_string(), "checkout/production");
        assert_eq!(alert.severity, Severity::P1);
        assert_eq!(alert.trigger.as_deref(), Some("critical-errors"));
        assert!(alert.firing);
        assert_eq!(alert.key(), "f1@1795376426767");
    }

    #[test]
    fn the_end_of_an_alert_is_taken_before_its_next_beginning() {
        let labels = json!({"alertname": "Errors", "service": "checkout"});
        let found = sorted(json!([
            one("firing", "2026-11-22T19:50:00Z", labels.clone()),
            one("resolved", "2026-11-22T19:40:00Z", labels),
        ]));
        let order: Vec<bool> = found.alerts.iter().map(|(_, a)| a.firing).collect();
        assert_eq!(order, [false, true]);
        assert_eq!(found.alerts[0].1.severity, Severity::P3, "no severity is P3");
    }

    #[test]
    fn what_cannot_be_taken_is_kept_with_its_reason() {
        let many: BTreeMap<String, String> =
            (0..100).map(|n| (format!("l{n}"), String::new())).collect();
        let found = sorted(json!([
            one("firing", "2026-11-22T19:50:00Z", json!({"alertname": "NoService"})),
            one("firing", "yesterday", json!({"service": "checkout"})),
            one("pending", "2026-11-22T19:50:00Z", json!({"service": "checkout"})),
            one("firing", "2026-11-22T19:50:00Z", json!(many)),
            one("firing", "2026-11-22T19:50:00Z", json!({"service": "a/b"})),
            json!("nonsense"),
        ]));
        assert!(found.alerts.is_empty());
        let why: Vec<&str> = found.strays.iter().map(|(_, s)| s.why.as_str()).collect();
        assert_eq!(why[0], "no label `service`");
        assert!(why[1].contains("`yesterday` is not a time"), "{}", why[1]);
        assert!(why[2].contains("`pending` is neither"), "{}", why[2]);
        assert_eq!(why[3], "100 labels; 64 are taken");
        assert!(why[4].contains("cannot name a service"), "{}", why[4]);
        assert_eq!(why.len(), 6);
    }

    #[test]
    fn another_version_or_a_custom_payload_is_told_what_to_send() {
        for (body, says) in [
            ("hello", "not JSON"),
            (r#"{"version":"3","alerts":[]}"#, "only Alertmanager's version \"4\""),
            (r#"{"text":"an alert"}"#, "without a custom `payload`"),
            (r#"{"version":"4"}"#, "missing field `alerts`"),
            ("[]", "no `version`"),
        ] {
            let problem = read(body).unwrap_err();
            assert_eq!(problem.status, 400);
            assert!(problem.detail.contains(says), "{body}: {}", problem.detail);
        }
    }

    #[test]
    fn more_alerts_than_the_limit_are_counted() {
        let labels = json!({"service": "checkout"});
        let all: Vec<_> =
            (0..1005).map(|_| one("firing", "2026-11-22T19:50:00Z", labels.clone())).collect();
        let found = sorted(json!(all));
        assert_eq!((found.alerts.len(), found.beyond_limit), (1000, 5));
    }

    /// An end that was cut off left its alert firing.
    #[test]
    fn the_limit_cuts_no_end_while_it_takes_a_beginning() {
        let labels = json!({"service": "checkout"});
        let mut all: Vec<_> =
            (0..1000).map(|_| one("firing", "2026-11-22T19:50:00Z", labels.clone())).collect();
        all.push(one("resolved", "2026-11-22T19:40:00Z", labels));
        let found = sorted(json!(all));
        assert_eq!((found.alerts.len(), found.beyond_limit), (1000, 1));
        assert!(!found.alerts[0].1.firing);
    }
}

//! A CloudWatch alarm, as SNS carries it: it becomes what an alert of Alertmanager is.
//!
//! An alarm has no labels. What would stand in them stands in its description, as words like `service=checkout`; its metric's
//! dimensions are labels too.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::webhook::{Webhook, of_alerts};
use crate::{
    config::{HttpLimits, Mapping},
    domain::{event::Alert, plan::hex},
    http::problem::Problem,
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Sent {
    alarm_name: String,
    #[serde(default)]
    alarm_description: Option<String>,
    #[serde(default)]
    alarm_arn: String,
    #[serde(default, rename = "AWSAccountId")]
    account: String,
    #[serde(default)]
    region: String,
    new_state_value: State,
    #[serde(default)]
    new_state_reason: String,
    state_change_time: String,
    #[serde(default)]
    trigger: Option<Trigger>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum State {
    Alarm,
    Ok,
    InsufficientData,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Trigger {
    dimensions: Vec<Dimension>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Dimension {
    name: String,
    value: String,
}

/// Reads what a topic carries. Nothing where CloudWatch does not know: that neither begins nor ends an alert.
pub fn alarm(
    message: &str,
    mapping: &Mapping,
    limits: &HttpLimits,
) -> Result<Option<Webhook>, Problem> {
    let sent: Sent = serde_json::from_str(message)
        .map_err(|fault| Problem::unreadable(format!("this is no alarm of CloudWatch: {fault}")))?;
    let status = match sent.new_state_value {
        State::Alarm => "firing",
        State::Ok => "resolved",
        State::InsufficientData => return Ok(None),
    };
    let at = sent.state_change_time.replace("+0000", "Z");
    let which = match sent.alarm_arn.as_str() {
        "" => format!("{} {} {}", sent.account, sent.region, sent.alarm_name),
        arn => arn.to_owned(),
    };
    let fingerprint = format!("{}{}", Alert::CLOUDWATCH, hex(&Sha256::digest(which)[..8]));
    let summary = match sent.alarm_description.as_deref().map(without_labels) {
        Some(text) if !text.is_empty() => format!("{text} ({})", sent.new_state_reason),
        Some(_) | None => sent.new_state_reason.clone(),
    };
    let alert = json!({
        "status": status, "startsAt": at, "labels": labels(&sent), "annotations": { "summary": summary },
    });
    let mut sorted = of_alerts(vec![alert], mapping, limits);
    for (_, alert) in &mut sorted.alerts {
        alert.fingerprint.clone_from(&fingerprint);
    }
    for (_, stray) in &mut sorted.strays {
        stray.fingerprint.clone_from(&fingerprint);
    }
    Ok(Some(sorted))
}

fn labels(sent: &Sent) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    for Dimension { name, value } in sent.trigger.iter().flat_map(|trigger| &trigger.dimensions) {
        labels.insert(name.clone(), value.clone());
    }
    let description = sent.alarm_description.as_deref().unwrap_or_default();
    for (name, value) in description.split_whitespace().filter_map(label) {
        labels.insert(name.to_owned(), value.to_owned());
    }
    labels.insert("alertname".to_owned(), sent.alarm_name.clone());
    labels
}

/// `name=value`, both without spaces; a comma or a semicolon may end it.
fn label(word: &str) -> Option<(&str, &str)> {
    let (name, value) = word.trim_end_matches([',', ';']).split_once('=')?;
    let may_begin = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    (may_begin && is_name && !value.is_empty() && !value.starts_with('=')).then_some((name, value))
}

fn without_labels(description: &str) -> String {
    let words = description.split_whitespace().filter(|word| label(word).is_none());
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::severity::Severity, http::posted::Loss};

    fn sent(state: &str, description: &str) -> String {
        json!({
            "AlarmName": "checkout-5xx", "AlarmDescription": description, "AWSAccountId": "123456789012",
            "AlarmArn": "arn:aws:cloudwatch:eu-central-1:123456789012:alarm:checkout-5xx", "Region": "EU (Frankfurt)",
            "NewStateValue": state, "NewStateReason": "Threshold Crossed: 1 datapoint [7.0] was greater than 5.0",
            "StateChangeTime": "2026-11-22T21:40:52.123+0000", "OldStateValue": "OK",
            "Trigger": { "MetricName": "5xx", "Dimensions": [{ "name": "LoadBalancer", "value": "app/shop/1" }] },
        })
        .to_string()
    }

    fn read(state: &str, description: &str) -> Option<Webhook> {
        alarm(&sent(state, description), &Mapping::default(), &HttpLimits::default()).unwrap()
    }

    #[test]
    fn an_alarm_is_an_alert_whose_description_says_whose_it_is() {
        let description = "Too many errors, service=checkout environment=staging; severity=critical rollbackd_trigger=critical-errors";
        let fired = read("ALARM", description).unwrap();
        let [(service, alert)] = &fired.alerts[..] else { panic!("{fired:?}") };
        assert_eq!(service.to_string(), "checkout/staging");
        assert_eq!((alert.name.as_str(), alert.severity), ("checkout-5xx", Severity::P1));
        assert_eq!(alert.trigger.as_deref(), Some("critical-errors"));
        assert_eq!(alert.labels["LoadBalancer"], "app/shop/1");
        assert!(
            alert.summary.starts_with("Too many errors, (Threshold Crossed"),
            "{}",
            alert.summary
        );
        assert!(alert.firing && Alert::is_of_cloudwatch(&alert.fingerprint));
        let over = read("OK", description).unwrap().alerts.remove(0).1;
        assert_eq!((over.firing, &over.fingerprint), (false, &alert.fingerprint));
    }

    #[test]
    fn too_little_data_neither_begins_nor_ends_anything() {
        assert!(read("INSUFFICIENT_DATA", "service=checkout").is_none());
    }

    #[test]
    fn an_alarm_of_nobody_is_kept_and_shown_and_what_is_none_is_refused() {
        let stray = read("ALARM", "a=b=c 5=6 x==y").unwrap();
        assert!(stray.alerts.is_empty());
        assert_eq!(
            (stray.strays[0].0, stray.strays[0].1.alert.as_str()),
            (Loss::Unmatched, "checkout-5xx")
        );
        let refused =
            |text: &str| alarm(text, &Mapping::default(), &HttpLimits::default()).unwrap_err();
        assert_eq!(refused("hello").status, 400);
        assert_eq!(refused(r#"{"AlarmName":"x"}"#).status, 400);
    }
}

//! Asks Alertmanager which alerts are active: a lost resolve is normal, so an old alert alone proves nothing.

use std::collections::BTreeSet;

use reqwest::{Method, Url};
use serde::Deserialize;

use super::http;

/// Why Alertmanager did not say.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The address cannot be used.
    #[error("the address `{0}` cannot be an Alertmanager")]
    Address(String),
    /// It was not reached.
    #[error("alertmanager did not answer: {}", .0.story())]
    Transport(http::Failure),
    /// It answered something else.
    #[error("alertmanager answered {status}, which is no list of alerts")]
    NotAlerts {
        /// The HTTP status.
        status: u16,
    },
}

#[derive(Deserialize)]
struct Alert {
    fingerprint: String,
    status: Status,
}

#[derive(Deserialize)]
struct Status {
    state: String,
}

/// The fingerprints of the alerts that fire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Firing {
    /// Those that people are told of.
    pub active: BTreeSet<String>,
    /// Those that are silenced or inhibited. A silence says "do not tell me", not "it is over".
    pub suppressed: BTreeSet<String>,
}

/// One Alertmanager.
#[derive(Clone, Debug)]
pub struct Alertmanager {
    client: http::Client,
    url: Url,
}

impl Alertmanager {
    /// Builds the client.
    pub fn new(url: Url, options: http::Options) -> Result<Self, http::CannotBuild> {
        Ok(Self { client: http::Client::new(options)?, url })
    }

    /// The alerts that fire now.
    pub async fn firing(&self) -> Result<Firing, AskError> {
        let mut url = self.url.clone();
        url.path_segments_mut()
            .map_err(|()| AskError::Address(http::shown(&self.url)))?
            .pop_if_empty()
            .extend(["api", "v2", "alerts"]);
        url.set_query(Some("active=true&silenced=true&inhibited=true"));
        let request = self.client.request(Method::GET, url);
        let answer = self.client.send(request).await.map_err(AskError::Transport)?;
        parse(answer.status, &answer.body)
    }
}

/// Reads its answer.
pub fn parse(status: u16, body: &[u8]) -> Result<Firing, AskError> {
    let alerts: Vec<Alert> = Some(status)
        .filter(|status| *status == 200)
        .and_then(|_| serde_json::from_slice(body).ok())
        .ok_or(AskError::NotAlerts { status })?;
    let mut firing = Firing::default();
    for alert in alerts {
        match alert.status.state.as_str() {
            "suppressed" => firing.suppressed.insert(alert.fingerprint),
            // One that was not looked at yet is not known to be silenced either.
            "active" | "unprocessed" => firing.active.insert(alert.fingerprint),
            _ => false,
        };
    }
    Ok(firing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_answers_are_read() {
        let recorded = include_bytes!("../../tests/fixtures/am_api_v2_alerts.json");
        let firing = parse(200, recorded).unwrap();
        assert!(!firing.active.is_empty() && firing.suppressed.is_empty());
        assert!(firing.active.iter().all(|fingerprint| fingerprint.len() == 16), "{firing:?}");
        let silenced = String::from_utf8_lossy(recorded).replace("\"active\"", "\"suppressed\"");
        let hidden = parse(200, silenced.as_bytes()).unwrap();
        assert_eq!((&hidden.suppressed, hidden.active.len()), (&firing.active, 0));
    }

    #[test]
    fn anything_else_says_nothing() {
        for (status, body) in [(502, "bad gateway"), (200, "<html>"), (200, "{}")] {
            assert!(parse(status, body.as_bytes()).is_err(), "{status} {body}");
        }
    }
}

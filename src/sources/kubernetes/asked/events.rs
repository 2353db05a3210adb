//! The `Warning` events of one Deployment's objects, asked for when there is need. They are watched nowhere: there are many,
//! and they expire.

use k8s_openapi::api::core::v1::Event;
use kube::{Client, core::ObjectList};
use tokio::time::timeout;

use super::{NoText, REQUEST, struck::struck, text};
use crate::{
    domain::warning::Warning,
    kubernetes::access::{self, Options, encoded},
    sources::kubernetes::Key,
    units::UnixMs,
};

/// Of one object: what says the same is one event that counts.
const OF_ONE: usize = 50;
const BYTES_MAX: usize = 1 << 20;
/// So much of what is said is kept.
const SAYS_MAX: usize = 200;

/// Why there are none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoEvents {
    /// The API server does not let the daemon.
    Forbidden(String),
    /// Nobody can tell.
    Unknown(String),
}

/// An object that may be warned of: its kind and its name.
pub type About = (&'static str, String);

/// The warnings of each of these.
pub async fn warnings(
    options: &Options,
    key: &Key,
    about: &[About],
) -> Result<Vec<Warning>, NoEvents> {
    let built = timeout(REQUEST, access::client(options, REQUEST, Client::try_from)).await;
    let built = built.unwrap_or_else(|_| Err("its credential did not come in time".to_owned()));
    let client = built.map_err(NoEvents::Unknown)?;
    let mut all = vec![];
    for (kind, name) in about {
        let selector =
            format!("type=Warning,involvedObject.kind={kind},involvedObject.name={name}");
        let uri = format!(
            "/api/v1/namespaces/{}/events?fieldSelector={}&limit={OF_ONE}",
            key.namespace,
            encoded(&selector)
        );
        let said = text(&client, &uri, BYTES_MAX).await.map_err(|why| match why {
            NoText::Refused { code: 403, why } => NoEvents::Forbidden(why),
            NoText::Refused { why, .. } | NoText::Silent(why) => NoEvents::Unknown(why),
        })?;
        let list: ObjectList<Event> = serde_json::from_slice(&said)
            .map_err(|fault| NoEvents::Unknown(format!("its events cannot be read: {fault}")))?;
        all.extend(list.items.into_iter().filter_map(warning));
    }
    Ok(all)
}

/// Whoever writes an event says in one of several ways when it was, and how often.
fn warning(event: Event) -> Option<Warning> {
    let series = event.series.as_ref();
    let again = series.and_then(|series| series.last_observed_time.as_ref()).map(|it| it.0);
    let last = event.last_timestamp.as_ref().map(|it| it.0);
    let first = event.event_time.as_ref().map(|it| it.0);
    let made = event.metadata.creation_timestamp.as_ref().map(|it| it.0);
    let at = again.max(last).or(first).or(made)?;
    let times = series.and_then(|series| series.count).or(event.count).unwrap_or(1);
    let involved = event.involved_object;
    let [kind, name] = [involved.kind, involved.name].map(Option::unwrap_or_default);
    Some(Warning {
        at: UnixMs(at.as_millisecond()),
        about: format!("{kind} {name}"),
        reason: shown(&event.reason.unwrap_or_default()),
        says: shown(&event.message.unwrap_or_default()),
        times: u32::try_from(times).unwrap_or(1),
    })
}

/// Secrets are struck before it is cut: half of one is one.
fn shown(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let line = struck(line.trim());
    let end = line.floor_char_boundary(SAYS_MAX);
    if end == line.len() { line } else { format!("{}...", &line[..end]) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(event: serde_json::Value) -> Option<Warning> {
        warning(serde_json::from_value(event).unwrap())
    }

    #[test]
    fn an_event_says_when_it_was_last_so_however_its_writer_puts_it() {
        let involved = json!({ "kind": "Pod", "name": "shop-a" });
        let old = of(json!({
            "metadata": {}, "involvedObject": involved, "reason": "BackOff", "count": 7,
            "message": "back-off\nrestarting, password=hunter2",
            "firstTimestamp": "2026-11-27T12:00:00Z", "lastTimestamp": "2026-11-27T12:05:00Z",
        }));
        let old = old.unwrap();
        assert_eq!((old.times, old.about.as_str()), (7, "Pod shop-a"));
        assert_eq!(old.says, "back-off restarting, password=[hidden]");
        let new = of(json!({
            "metadata": {}, "involvedObject": involved, "reason": "FailedScheduling",
            "eventTime": "2026-11-27T12:00:00.000000Z",
            "series": { "count": 3, "lastObservedTime": "2026-11-27T12:05:00.000000Z" },
        }));
        let new = new.unwrap();
        assert_eq!((new.times, new.at), (3, old.at));
        let made = json!({ "creationTimestamp": "2026-11-27T12:05:00Z" });
        let bare = of(json!({ "metadata": made, "involvedObject": {} })).unwrap();
        assert_eq!((bare.times, bare.at), (1, old.at));
        assert_eq!(of(json!({ "metadata": {}, "involvedObject": {} })), None);
    }

    #[test]
    fn a_long_message_is_cut_where_a_character_ends() {
        let said = shown(&"ä".repeat(SAYS_MAX));
        assert!(said.ends_with("...") && said.len() <= SAYS_MAX + 3, "{said}");
    }
}

//! The `Warning` events of one Deployment's objects, asked for when there is need. They are watched nowhere: there are many,
//! and they expire.

use std::fmt;

use k8s_openapi::api::core::v1::Event;
use kube::{Client, core::ObjectList};
use tokio::{
    sync::{Mutex, Semaphore},
    time::timeout,
};

use super::{NoText, REQUEST, text};
use crate::{
    domain::{struck::struck, warning::Warning},
    kubernetes::access::{self, Options, encoded},
    sources::kubernetes::objects::{Key, Uid},
    units::UnixMs,
};

/// Of one object. The API server has no order for them, so that all are taken to know the newest; beyond so many those
/// that it gives first.
const OF_ONE: usize = 500;
const BYTES_MAX: usize = 2 << 20;
/// Deployments of one cluster that are asked about at once: in an outage it has enough to do.
const AT_ONCE: usize = 2;
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

/// An object that may be warned of: its kind, its name, and which of that name, as its cluster tells them apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// `Pod`, for one.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Its uid, where that name may have been another one's.
    pub(in crate::sources::kubernetes) uid: Option<Uid>,
}

/// Who asks one cluster: few at once, over one connection.
pub(in crate::sources::kubernetes) struct Events {
    turns: Semaphore,
    /// Kept until it fails: then whatever proves who the daemon is, is read anew.
    client: Mutex<Option<Client>>,
}

impl Default for Events {
    fn default() -> Self {
        Self { turns: Semaphore::new(AT_ONCE), client: Mutex::default() }
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

impl Events {
    /// The warnings of each of these.
    pub(in crate::sources::kubernetes) async fn warnings(
        &self,
        options: &Options,
        key: &Key,
        about: &[About],
    ) -> Result<Vec<Warning>, NoEvents> {
        // Closed never.
        let _turn = self.turns.acquire().await;
        let client = self.client(options).await.map_err(NoEvents::Unknown)?;
        let answer = warnings(&client, key, about).await;
        if matches!(answer, Err(NoEvents::Unknown(_))) {
            *self.client.lock().await = None;
        }
        answer
    }

    async fn client(&self, options: &Options) -> Result<Client, String> {
        let mut kept = self.client.lock().await;
        if let Some(client) = &*kept {
            return Ok(client.clone());
        }
        let built = timeout(REQUEST, access::client(options, REQUEST, Client::try_from)).await;
        let built = built.unwrap_or_else(|_| Err("its credential did not come in time".to_owned()));
        let client = built?;
        *kept = Some(client.clone());
        Ok(client)
    }
}

async fn warnings(client: &Client, key: &Key, about: &[About]) -> Result<Vec<Warning>, NoEvents> {
    let mut all = vec![];
    for About { kind, name, uid } in about {
        let selector =
            format!("type=Warning,involvedObject.kind={kind},involvedObject.name={name}");
        let uri = format!(
            "/api/v1/namespaces/{}/events?fieldSelector={}&limit={OF_ONE}",
            key.namespace,
            encoded(&selector)
        );
        let said = text(client, &uri, BYTES_MAX).await.map_err(|why| match why {
            NoText::Refused { code: 403, why } => NoEvents::Forbidden(why),
            NoText::Refused { why, .. } | NoText::Silent(why) => NoEvents::Unknown(why),
        })?;
        let list: ObjectList<Event> = serde_json::from_slice(&said)
            .map_err(|fault| NoEvents::Unknown(format!("its events cannot be read: {fault}")))?;
        let is_of_it = |event: &Event| is_of(event, *uid);
        all.extend(list.items.into_iter().filter(is_of_it).filter_map(warning));
    }
    Ok(all)
}

/// One of the same name that is gone is warned of by its own uid; who writes none means the name.
fn is_of(event: &Event, uid: Option<Uid>) -> bool {
    let said = event.involved_object.uid.as_deref().filter(|said| !said.is_empty());
    uid.zip(said).is_none_or(|(uid, said)| uid == Uid::of(said))
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
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use axum::{Router, routing::any};
    use serde_json::json;

    use super::*;
    use crate::kubernetes::access::Access;

    /// A real API server is not slow when a test wants it to be.
    #[tokio::test]
    async fn in_an_outage_few_ask_an_api_server_at_once_and_over_one_connection() {
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let both = Arc::new(tokio::sync::Barrier::new(AT_ONCE));
        let count = (now.clone(), most.clone(), both);
        let page = async move || {
            let (now, most, both) = count;
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            both.wait().await;
            // Whoever does not wait for a turn comes now.
            for _ in 0..1_000 {
                tokio::task::yield_now().await;
            }
            now.fetch_sub(1, Ordering::SeqCst);
            json!({ "apiVersion": "v1", "kind": "EventList", "metadata": {}, "items": [] })
                .to_string()
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let app = Router::new().fallback(any(page));
        let served = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("kubeconfig");
        let file = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "a",
            "clusters": [{ "name": "a", "cluster": { "server": format!("http://{at}") } }],
            "users": [{ "name": "a", "user": {} }],
            "contexts": [{ "name": "a", "context": { "cluster": "a", "user": "a" } }],
        });
        std::fs::write(&path, file.to_string()).unwrap();
        let options = Options::new("main", Access::Kubeconfig { path, context: None });
        let (events, key) = (Events::default(), Key::new("shop", "web"));
        let about = [About { kind: "Deployment", name: "web".into(), uid: None }];
        let ask = || events.warnings(&options, &key, &about);
        let answers = tokio::join!(ask(), ask(), ask(), ask(), ask(), ask());
        assert_eq!((answers.0, answers.5), (Ok(vec![]), Ok(vec![])));
        assert_eq!(most.load(Ordering::SeqCst), AT_ONCE);
        assert!(events.client.lock().await.is_some(), "it is kept");
        served.abort();
    }

    #[test]
    fn one_of_the_same_name_that_is_gone_is_not_meant() {
        let ours = "11111111-2222-3333-4444-555555555555";
        let of = |uid: Option<&str>| {
            let involved = json!({ "kind": "Deployment", "name": "shop", "uid": uid });
            let event = json!({ "metadata": {}, "involvedObject": involved });
            is_of(&serde_json::from_value(event).unwrap(), Some(Uid::of(ours)))
        };
        assert!(of(Some(ours)) && of(None) && of(Some("")));
        assert!(!of(Some("11111111-2222-3333-4444-666666666666")));
    }

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

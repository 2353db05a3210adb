//! Asks which services there are. What an answer is worth is the domain's to say.

use std::{collections::BTreeMap, sync::Arc};

use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};
use tracing::warn;

use super::clock;
use crate::{
    config::{Discovered, Discovery, Finding},
    domain::roster::Roster,
    sources::{
        kubernetes::{self, Key},
        prometheus::Prometheus,
        reading::Class,
    },
    store::{Snapshot, Store, StoreError},
    telemetry,
    units::UnixMs,
};

/// What a query found: the names of services, as they stand in its label.
#[derive(Debug)]
pub(super) struct Answer {
    /// Which `[discover.NAME]`.
    pub of: String,
    /// What it was asked, whole.
    pub question: String,
    /// The names, of a whole answer; or why there is none.
    pub named: Result<Vec<String>, String>,
}

impl Answer {
    /// Which discovery it is an answer to. One that waited while another file was taken may be nobody's any more.
    pub(super) fn to<'d>(&self, discoveries: &'d [Discovery]) -> Option<&'d Discovery> {
        let asked = discoveries.iter().find(|discovery| discovery.name == self.of)?;
        (asked.question() == self.question).then_some(asked)
    }
}

/// Asks one query again and again, until nobody listens.
pub(super) async fn discover(
    discovery: Discovery,
    server: Option<Arc<Prometheus>>,
    answers: mpsc::Sender<Answer>,
) {
    let mut tick = interval(discovery.every.duration());
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut again = interval(telemetry::SAID_FOR / 4);
    let (mut failed, mut newest) = (false, None);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            _ = again.tick() => {
                if let Some(named) = newest {
                    telemetry::discovered_last(&discovery.name, named);
                }
                continue;
            }
        }
        let named = match (&discovery.finding, &server) {
            (Finding::Query { query, label, .. }, Some(server)) => ask(query, label, server).await,
            (Finding::Query { server, .. }, None) => {
                Err(format!("there is no prometheus {server}"))
            }
            (Finding::Annotation { options, annotation }, _) => {
                let found = kubernetes::annotated(options, annotation).await;
                found.map(|keys| keys.iter().map(Key::as_service).collect())
            }
        };
        telemetry::discovered(&discovery.name, named.as_ref().ok().map(Vec::len));
        newest = named.as_ref().ok().map(Vec::len).or(newest);
        if let (Err(why), false) = (&named, failed) {
            warn!("discover.{} found nothing out, the services stay: {why}", discovery.name);
        }
        failed = named.is_err();
        let (of, question) = (discovery.name.clone(), discovery.question());
        if answers.send(Answer { of, question, named }).await.is_err() {
            return;
        }
    }
}

async fn ask(query: &str, label: &str, server: &Prometheus) -> Result<Vec<String>, String> {
    let rows = server.instant(query, clock::wall()).await.map_err(|fault| {
        let whose = match fault.class() {
            Class::Down => "Prometheus is down",
            Class::Unknown => "it cannot be asked",
        };
        format!("{whose}: {}", fault.fault())
    })?;
    if rows.partial {
        return Err("the answer is partial".to_owned());
    }
    let named = rows.values_of(label);
    let total = rows.labels().count();
    if named.is_empty() && total > 0 {
        return Err(format!("none of {total} rows has the label `{label}`"));
    }
    Ok(named.into_iter().map(str::to_owned).collect())
}

/// No service has a key like this: a service's begins with its name.
fn key(of: &str) -> String {
    format!("/roster/{of}")
}

/// What is known of each query from before.
pub(super) fn load(
    store: &Store,
    discoveries: &[Discovery],
) -> Result<BTreeMap<String, Roster>, StoreError> {
    let mut rosters = BTreeMap::new();
    for discovery in discoveries {
        let Some(kept) = store.view().load_snapshot(&key(&discovery.name))? else { continue };
        match serde_json::from_slice(&kept.body) {
            Ok(roster) => {
                rosters.insert(discovery.name.clone(), roster);
            }
            Err(fault) => warn!("discover.{} begins anew: {fault}", discovery.name),
        }
    }
    Ok(rosters)
}

/// What was written down of each query.
#[derive(Debug, Default)]
pub(super) struct Written(BTreeMap<String, Roster>);

impl Written {
    /// What to write down of one query; nothing where that stands there already.
    pub(super) fn due(&self, of: &str, roster: &Roster, at: UnixMs) -> Option<Snapshot> {
        if self.0.get(of).is_some_and(|written| !roster.is_news_after(written)) {
            return None;
        }
        // A roster is names and numbers: it can always be written.
        let body = serde_json::to_vec(roster).unwrap_or_default();
        Some(Snapshot { key: key(of), at, body })
    }

    /// It stands there now.
    pub(super) fn stands(&mut self, of: &str, roster: &Roster) {
        self.0.insert(of.to_owned(), roster.clone());
    }
}

/// The services of every query, as the configuration takes them.
pub(super) fn found(rosters: &BTreeMap<String, Roster>) -> Discovered {
    let names = |roster: &Roster| roster.names().map(str::to_owned).collect();
    rosters.iter().map(|(of, roster)| (of.clone(), names(roster))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::roster, units::Span};

    /// It was taken for an answer to the new question, and the new question's own was compared with it.
    #[test]
    fn an_answer_to_what_was_asked_before_a_reload_is_nobodys() {
        let discovery = |query: &str| Discovery {
            name: "web".into(),
            template: "web".into(),
            finding: Finding::Query {
                server: "main".into(),
                query: query.into(),
                label: "service".into(),
            },
            every: Span::minutes(1),
            options: roster::Options::default(),
        };
        let before = discovery("count by (service) (up)");
        let named = Ok(vec!["shop".to_owned()]);
        let answer = Answer { of: "web".into(), question: before.question(), named };
        assert_eq!(answer.to(&[discovery("count by (job) (up)")]), None);
        assert_eq!(answer.to(std::slice::from_ref(&before)), Some(&before));
        assert_eq!(answer.to(&[]), None);
    }
}

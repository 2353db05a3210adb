//! What was deployed when, as a daemon's own journal has it: seen on the platform, or posted by a pipeline.

use std::{collections::BTreeMap, path::Path};

use super::Changes;
use crate::{
    domain::{
        change::Component,
        fact::{Fact, Service},
        ledger,
        service::ServiceId,
    },
    replay::tape::Deployment,
    store::{StoreError, salvage::Salvage},
};

/// Reads the journal in a state directory, beside a running daemon or without one. Services that are not `known` are named.
pub fn read(state_dir: &Path, known: &[ServiceId]) -> Result<Changes, StoreError> {
    let salvage = Salvage::open(state_dir)?;
    let (mut changes, mut told) = (Changes::default(), Told::default());
    salvage.each(|readable| {
        let fact = serde_json::from_str::<Fact>(&readable.record.fact.body);
        match fact {
            Ok(fact) if readable.sound => told.hear(&readable.record.fact.stream, fact),
            Ok(_) | Err(_) => told.unreadable += 1,
        }
        Ok::<(), StoreError>(())
    })?;
    let path = state_dir.display();
    let mut strangers: BTreeMap<&str, usize> = BTreeMap::new();
    for ((stream, _), deployment) in &told.deployments {
        match known.iter().find(|id| id.to_string() == *stream) {
            Some(id) => changes.add(id.clone(), deployment.clone()),
            None => *strangers.entry(stream).or_default() += 1,
        }
    }
    for (service, count) in strangers {
        changes
            .said
            .push(format!("{path}: {count} deployments of {service}, which is not replayed"));
    }
    if told.unreadable > 0 || !salvage.verdict().whole {
        let count = told.unreadable;
        changes.said.push(format!(
            "{path}: the journal is not whole ({count} records cannot be used); deployments may be missing"
        ));
    }
    changes.sort();
    Ok(changes)
}

#[derive(Default)]
struct Told {
    /// By the stream, and by what tells one deployment of it from the others.
    deployments: BTreeMap<(String, String), Deployment>,
    unreadable: usize,
}

impl Told {
    fn hear(&mut self, stream: &str, fact: Fact) {
        let (key, deployment) = match fact {
            // Told again when more of it is known.
            Fact::Service(Service::Changed(change))
                if change.component == Component::Application =>
            {
                (change.id, Deployment { at: change.started_at, version: change.to.version })
            }
            Fact::Ledger(ledger::Fact::Serving {
                component: Component::Application,
                revision,
                since,
            }) => {
                (format!("since {}", since.0), Deployment { at: since, version: revision.version })
            }
            Fact::Service(_)
            | Fact::Ledger(_)
            | Fact::Trigger(_)
            | Fact::Incident(_)
            | Fact::Run(_)
            | Fact::Maintenance(_)
            | Fact::Fleet(_)
            | Fact::Told(_) => return,
        };
        self.deployments.insert((stream.to_owned(), key), deployment);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{
            change::{Change, Migrations, Origin, Revision},
            fact,
        },
        store::{Draft, Options, Store, Turn},
        units::UnixMs,
    };

    fn posted(at: i64, version: &str, component: Component) -> Fact {
        Fact::Service(Service::Changed(Change {
            id: format!("change of {version}"),
            component,
            from: None,
            to: Revision::named(version),
            started_at: UnixMs(at),
            ended_at: None,
            origin: Origin::Posted { by: "ci".to_owned() },
            migrations: Migrations::None,
            checks_passed: None,
            is_rollback: false,
            told: None,
        }))
    }

    fn seen(at: i64, version: &str) -> Fact {
        let (component, revision) = (Component::Application, Revision::named(version));
        Fact::Ledger(ledger::Fact::Serving { component, revision, since: UnixMs(at) })
    }

    #[test]
    fn the_deployments_that_a_daemon_wrote_down_are_found_once_each() {
        let home = tempfile::tempdir().unwrap();
        let mut store = Store::open(Options::new(home.path())).unwrap();
        let application = Component::Application;
        let facts = [
            ("shop/production", seen(10, "v1")),
            ("shop/production", posted(20, "v2", application)),
            ("shop/production", posted(21, "v2", application)),
            ("shop/production", seen(25, "v2")),
            ("shop/production", posted(30, "c1", Component::Configuration)),
            ("cart/production", seen(40, "v7")),
            ("shop/production", seen(50, "v1")),
        ];
        let draft = |(stream, fact): &(&str, Fact)| Draft {
            stream: (*stream).to_owned(),
            incident: None,
            at: UnixMs(99),
            steady_ms: 99,
            kind: fact.kind().to_owned(),
            fact_version: fact::VERSION,
            cause: "test".to_owned(),
            config_hash: String::new(),
            policy_version: String::new(),
            body: serde_json::to_string(fact).unwrap(),
        };
        let drafts: Vec<Draft> = facts.iter().map(draft).collect();
        store.append(&Turn { facts: &drafts, notices: &[], answers: &[] }).unwrap();
        let known: Vec<ServiceId> = vec!["shop/production".parse().unwrap()];
        // Beside the daemon, which holds the lease.
        let changes = read(home.path(), &known).unwrap();
        let deployments = changes.deployments[&known[0]].iter();
        let told: Vec<_> = deployments.map(|d| (d.at.0, d.version.as_str())).collect();
        assert_eq!(told, [(10, "v1"), (21, "v2"), (50, "v1")]);
        assert!(
            changes.said[0].ends_with("1 deployments of cart/production, which is not replayed")
        );
        assert_eq!((changes.said.len(), changes.unknown.len()), (1, 0));
    }

    #[test]
    fn where_there_is_no_journal_that_is_said() {
        let home = tempfile::tempdir().unwrap();
        assert!(matches!(read(home.path(), &[]), Err(StoreError::Absent { .. })));
    }
}

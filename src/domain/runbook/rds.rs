//! A database of RDS that goes back with everything in it: another instance or cluster is made of a snapshot, seen to hold what it
//! should, and the service is told its address. What was there stays.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::StopWrites;
use crate::{
    domain::{
        change::Revision,
        plan::{Action, SchemaAt, Step},
        planning::DatabaseMove,
        rds::{
            Candidate, Form, Pointer, RdsAt, RdsRestore, RdsSwitch, Restored, Seen, SnapshotKind,
            Wanted,
        },
        secret::SecretAt,
    },
    units::Span,
};

/// For a history of migrations and the operator's queries, where what is read first comes slowly: it is still on its way from the
/// snapshot.
const VERIFY: Span = Span::minutes(15);
/// For looks at RDS, at both databases and at the secret.
const SWITCH: Span = Span::minutes(3);
/// For the same looks.
const READY: Span = Span::minutes(3);

/// How a database is put back from a snapshot of RDS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RdsRunbook {
    /// Whose schema.
    pub schema: SchemaAt,
    /// Which instance or cluster.
    pub at: RdsAt,
    /// The secret that tells the service where its database is.
    pub secret: SecretAt,
    /// The key of the host there.
    pub host_key: String,
    /// The key of the port there.
    pub port_key: String,
    /// Which kind of snapshots; any where none is said.
    pub kind: Option<SnapshotKind>,
    /// How old one may be.
    pub age_max: Option<Span>,
    /// How many older ones may be tried.
    pub fallbacks: usize,
    /// How often is looked how far a restore is.
    pub look_every: Span,
    /// How long it may take, with all that are tried.
    pub restore_timeout: Span,
    /// Queries that must return no row in what was restored, by what each is about.
    pub verify: BTreeMap<String, String>,
    /// How the service is kept from writing meanwhile.
    pub stop_writes: StopWrites,
    /// Whether the daemon may do it by itself: what was written since is lost.
    pub automatic: bool,
}

/// What is made of what.
#[derive(Clone, Copy, Debug)]
pub struct Anew<'a> {
    /// Where the schema is.
    pub from: &'a Revision,
    /// Where it will be.
    pub to: &'a Revision,
    /// What was seen of it.
    pub seen: &'a Seen,
    /// Where the service finds it now.
    pub pointer: &'a Pointer,
    /// Of these, the first first.
    pub candidates: &'a [Candidate],
}

impl RdsRunbook {
    /// What is wanted of a snapshot.
    pub fn wanted(&self) -> Wanted<'_> {
        let Self { at, kind, age_max, fallbacks, .. } = self;
        Wanted { name: &at.name, kind: *kind, age_max: *age_max, fallbacks: *fallbacks }
    }

    /// What is done for it; `pods` are how many the service's Deployment has.
    pub fn back(&self, it: Anew<'_>, pods: Option<u32>) -> DatabaseMove {
        let stop = self.stop_writes.step();
        let steps = [self.restore(it), self.verify(it), self.switch(it)];
        DatabaseMove {
            from: it.from.clone(),
            to: it.to.clone(),
            before: vec![self.ready(it)],
            steps: stop.into_iter().chain(steps).collect(),
            start: self.stop_writes.start(),
            stopped_pods: self.stop_writes.scaled(pods),
            lost: String::new(),
            resource: format!("rds:{}", it.seen.source.arn),
            takes: self.restore_timeout,
        }
    }

    fn restored(&self, it: Anew<'_>) -> Restored {
        let names = it.candidates.iter().map(|candidate| candidate.restored.clone());
        Restored { at: self.at.clone(), names: names.collect() }
    }

    fn like(&self, it: Anew<'_>) -> RdsRestore {
        RdsRestore::like(&self.at, &it.seen.source, it.candidates.to_vec(), self.look_every)
    }

    /// Before anything is stopped for it.
    fn ready(&self, it: Anew<'_>) -> Step {
        let (schema, from) = (self.schema.clone(), it.from.clone());
        Step {
            title: format!(
                "see that the snapshots, {} and {} are as they were, and that another {} may be made",
                self.secret, self.schema, self.at.form
            ),
            action: Action::RdsReady {
                schema,
                from,
                restore: Box::new(self.like(it)),
                switch: Box::new(self.led(it)),
            },
            needs: vec![],
            timeout: READY,
            attempts: 3,
            fallback: None,
        }
    }

    fn led(&self, it: Anew<'_>) -> RdsSwitch {
        let Pointer { arn, version, endpoint } = it.pointer;
        RdsSwitch {
            restored: self.restored(it),
            secret: self.secret.clone(),
            arn: arn.clone(),
            version: version.clone(),
            old: endpoint.clone(),
            hosts: it.seen.source.hosts.clone(),
            host_key: self.host_key.clone(),
            port_key: self.port_key.clone(),
        }
    }

    fn restore(&self, it: Anew<'_>) -> Step {
        let RdsAt { account, form, name } = &self.at;
        let source = &it.seen.source;
        let each: Vec<String> = it
            .candidates
            .iter()
            .map(|Candidate { snapshot, taken_at, restored }| {
                format!("{snapshot}, taken at {taken_at}, as {restored}")
            })
            .collect();
        let rights = match form {
            Form::Instance => "rds:RestoreDBInstanceFromDBSnapshot and rds:AddTagsToResource",
            Form::Cluster => {
                "rds:RestoreDBClusterFromSnapshot, rds:CreateDBInstance and rds:AddTagsToResource"
            }
        };
        let mut settings = vec![source.settings.in_words()];
        settings.extend(
            source.members.iter().map(|it| format!("{}: {}", it.name, it.settings.in_words())),
        );
        let by_hand = match source.beside.as_slice() {
            [] => String::new(),
            beside => format!(
                ". Left to do by hand then, for no restore can be told of it: {}",
                beside.join("; ")
            ),
        };
        Step {
            title: format!(
                "make a new {form} of a snapshot of {name}, with its settings ({}), and wait until it is available: {}{by_hand}",
                settings.join(" | "),
                each.join("; where that fails, ")
            ),
            needs: vec![
                format!("the rights {rights} in aws {account}"),
                format!("room for another {form} in the quotas of aws {account}"),
                format!("nobody else's {form} of that name"),
            ],
            timeout: self.restore_timeout,
            action: Action::RdsRestore { what: Box::new(self.like(it)) },
            attempts: 1,
            fallback: None,
        }
    }

    fn verify(&self, it: Anew<'_>) -> Step {
        let queries: String = self.verify.keys().map(|what| format!(", {what}")).collect();
        let (restored, to) = (self.restored(it), it.to.clone());
        let names = restored.names.join(" or ");
        Step {
            title: format!("see over SQL that {names} is at {to}{queries}"),
            needs: vec![format!(
                "the user that looks at {}, and its password as it was then",
                self.schema
            )],
            timeout: VERIFY,
            action: Action::RdsVerify {
                schema: self.schema.clone(),
                restored,
                to,
                verify: self.verify.clone(),
            },
            attempts: 1,
            fallback: None,
        }
    }

    fn switch(&self, it: Anew<'_>) -> Step {
        let Pointer { version, endpoint, .. } = it.pointer;
        let (names, name) = (self.restored(it).names.join(" or "), &self.at.name);
        let SecretAt { account, secret } = &self.secret;
        Step {
            title: format!(
                "write the address of {names} into {}, in place of {endpoint}: from {} to {}. Version {version} of the secret and {name} itself are kept. Nobody else who reads this secret is stopped or restarted, and where something copies it for the pods they are led there once the copy is made anew",
                self.secret, it.from, it.to
            ),
            needs: vec![
                format!("version {version} of {secret}, still the current one"),
                format!(
                    "the rights secretsmanager:GetSecretValue, secretsmanager:PutSecretValue and secretsmanager:UpdateSecretVersionStage on {secret} in aws {account}"
                ),
            ],
            timeout: SWITCH,
            action: Action::RdsSwitch {
                schema: self.schema.clone(),
                from: it.from.clone(),
                to: it.to.clone(),
                what: Box::new(self.led(it)),
            },
            attempts: 3,
            fallback: None,
        }
    }
}

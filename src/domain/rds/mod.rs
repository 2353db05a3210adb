//! A database that RDS keeps: what it is, which snapshots of it there are, and which of them holds what is wanted.
//!
//! RDS never restores into what is there. It makes another instance (or cluster), with another address and, where nobody says
//! otherwise, with settings of its own; so a plan says all of them. A snapshot cannot be read before it is restored: what it holds
//! follows from when it was taken and from when the migrations were applied that are there now.

mod choice;
mod storage;
mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, Serialize};

pub use self::{
    choice::{Wanted, choose, window},
    support::Case,
};
use super::{
    schema::snapshot::{Lost, loss},
    secret::SecretAt,
};
use crate::units::{Span, UnixMs};

/// The tag by which a rollback knows what it made: its value is the id of the run.
pub const RUN_TAG: &str = "rollbackd:run";
/// As long as an identifier can be.
const NAME_MAX: usize = 63;
/// The status of what can be used.
pub const AVAILABLE: &str = "available";
/// In these it becomes available no more by itself.
const FAILED: [&str; 14] = [
    "deleted",
    "deleting",
    "failed",
    "restore-error",
    "incompatible-restore",
    "incompatible-parameters",
    "incompatible-option-group",
    "incompatible-network",
    "incompatible-credentials",
    "incompatible-create",
    "insufficient-capacity",
    "inaccessible-encryption-credentials",
    "storage-full",
    "cloning-failed",
];

/// One instance, or an Aurora cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// An instance that is of no cluster.
    Instance,
    /// A cluster, with its instances.
    Cluster,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Instance => "instance",
            Self::Cluster => "cluster",
        })
    }
}

/// Which one, of which account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RdsAt {
    /// The account's name in the configuration.
    pub account: String,
    /// What it is.
    pub form: Form,
    /// Its identifier.
    pub name: String,
}

impl fmt::Display for RdsAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the RDS {} {} of aws {}", self.form, self.name, self.account)
    }
}

/// Where a server answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its name.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// What an instance or a cluster is like, as far as a new one can be told to be like it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// `db.m6g.large`; none of a cluster, whose instances have it.
    pub class: Option<String>,
    /// Its subnets.
    pub subnet_group: Option<String>,
    /// Who reaches it.
    pub security_groups: Vec<String>,
    /// Of an instance, or of a cluster.
    pub parameter_group: Option<String>,
    /// Its options.
    pub option_group: Option<String>,
    /// Whether there is a standby in another zone.
    pub multi_az: Option<bool>,
    /// Where it listens.
    pub port: Option<u16>,
    /// Whether it has an address on the internet.
    pub public: Option<bool>,
    /// Whether AWS's own identities may log in.
    pub iam: Option<bool>,
    /// `gp3`.
    pub storage: Option<String>,
    /// How large, in GiB.
    pub storage_gib: Option<u32>,
    /// Of what is provisioned.
    pub iops: Option<u32>,
    /// Of what is provisioned, in MiB/s.
    pub throughput: Option<u32>,
    /// Whether nobody may delete it by mistake.
    pub deletion_protection: Option<bool>,
    /// Who signs its certificate.
    pub ca: Option<String>,
    /// Whether its snapshots have its tags.
    pub copy_tags: Option<bool>,
    /// Whether AWS updates it by itself.
    pub minor_upgrades: Option<bool>,
    /// Which logs go to CloudWatch.
    pub logs: Vec<String>,
    /// `IPV4` or `DUAL`.
    pub network: Option<String>,
    /// How many days backups are kept, and when they are made.
    pub backup: Option<(u32, String)>,
    /// Of a cluster without servers of its own: from how many to how many units, in thousandths.
    pub units: Option<(u32, u32)>,
    /// In which order instances of a cluster take over.
    pub tier: Option<u32>,
    /// Of everybody's but AWS's own.
    pub tags: BTreeMap<String, String>,
}

impl Settings {
    /// The most telling of them, for people.
    pub fn in_words(&self) -> String {
        let mut all: Vec<String> = self.class.iter().cloned().collect();
        all.extend(self.subnet_group.iter().map(|it| format!("subnet group {it}")));
        if !self.security_groups.is_empty() {
            all.push(format!("security groups {}", self.security_groups.join(", ")));
        }
        all.extend(self.parameter_group.iter().map(|it| format!("parameter group {it}")));
        all.extend(self.option_group.iter().map(|it| format!("option group {it}")));
        all.extend(self.multi_az.map(|is| if is { "Multi-AZ" } else { "Single-AZ" }.to_owned()));
        all.extend(self.storage.iter().map(|it| match self.storage_gib {
            Some(gib) => format!("{gib} GiB {it}"),
            None => it.clone(),
        }));
        all.join("; ")
    }
}

/// An instance of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its identifier.
    pub name: String,
    /// Whether it writes.
    pub writes: bool,
    /// What it is like.
    pub settings: Settings,
}

/// What is there now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Its ARN.
    pub arn: String,
    /// What AWS calls it whatever its name is.
    pub resource: Option<String>,
    /// `available`, or what AWS says instead.
    pub status: String,
    /// `postgres`, `aurora-postgresql`, `mariadb`…
    pub engine: String,
    /// Of the engine.
    pub version: String,
    /// Where it answers.
    pub endpoint: Option<Endpoint>,
    /// The names under which it is reached as well, and its instances and replicas: none of them leads to what is restored.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Whether what it keeps is encrypted.
    pub encrypted: bool,
    /// What a new one is told to be like.
    pub settings: Settings,
    /// What of it no restore can be told, in words: people do it afterwards.
    pub beside: Vec<String>,
    /// Those of a cluster, the writer first.
    pub members: Vec<Member>,
    /// Why nothing can take its place, where that is so.
    pub bars: Option<String>,
}

/// How a snapshot came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotKind {
    /// AWS takes them, each night, and deletes them.
    Automated,
    /// Somebody took it.
    Manual,
    /// Another service's, or whatever AWS will call them.
    Other,
}

/// A copy of all of it at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its ARN: its name may be another's tomorrow.
    pub arn: String,
    /// Its identifier.
    pub name: String,
    /// Of which resource, where AWS says so: another one may have had the name before.
    pub of: Option<String>,
    /// How it came to be.
    pub kind: SnapshotKind,
    /// `available`, or why not yet.
    pub status: String,
    /// When it was taken, also where this is a copy of it that was made later.
    pub taken_at: Option<UnixMs>,
    /// Of which engine.
    pub engine: String,
    /// The version of that, where AWS says it.
    #[serde(default)]
    pub version: Option<String>,
    /// Whether it is encrypted: what is restored from it is as well, or is not.
    pub encrypted: bool,
    /// How large what is restored is at least.
    pub storage_gib: Option<u32>,
    /// What was written since, as the operator's queries count it.
    pub lost: Vec<Lost>,
}

impl Snapshot {
    /// What is gone once it has taken the place of what is there at `now`.
    pub fn loss(&self, now: UnixMs) -> String {
        match self.taken_at {
            Some(taken_at) => loss(taken_at, &self.lost, now),
            None => "what was written since is lost".to_owned(),
        }
    }
}

/// The address that a service is given: where the secret's current version says that its database is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pointer {
    /// The secret's ARN.
    pub arn: String,
    /// The id of its current version.
    pub version: String,
    /// What that version says.
    pub endpoint: Endpoint,
}

/// What a look gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The region.
    pub region: String,
    /// What is there.
    pub source: Source,
    /// The newest first, bounded.
    pub snapshots: Vec<Snapshot>,
    /// The identifiers that are taken, of instances and clusters.
    pub names: BTreeSet<String>,
    /// Where the service is told that its database is; or why nobody can tell.
    pub pointer: Result<Pointer, String>,
}

impl Seen {
    /// `shop-production-restored-1` and so on: as many as are wanted that nobody has, the first first.
    pub fn free(&self, name: &str, many: usize) -> Vec<String> {
        let named = |number: usize| {
            let end = format!("-restored-{number}");
            let mut begin: String = name.chars().take(NAME_MAX - end.len()).collect();
            // Two hyphens running are no part of a name.
            begin.truncate(begin.trim_end_matches('-').len());
            begin + &end
        };
        // What is restored of a cluster has instances that are called after it.
        let is_free = |wanted: &String| {
            let of_it = format!("{wanted}-");
            !self.names.iter().any(|taken| taken == wanted || taken.starts_with(&of_it))
        };
        (1..=self.names.len() + many).map(named).filter(is_free).take(many).collect()
    }
}

/// A snapshot of which a new one can be made, and how that one is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// Its ARN.
    pub snapshot: String,
    /// When it was taken.
    pub taken_at: UnixMs,
    /// The identifier of what is made of it.
    pub restored: String,
}

impl Candidate {
    /// What an instance of the cluster that is made of it is called.
    pub fn member(&self, nth: usize) -> String {
        format!("{}-{}", self.restored, nth + 1)
    }
}

/// What a [`crate::domain::plan::Action::RdsRestore`] makes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RdsRestore {
    /// What it is of, which stays as it is.
    pub at: RdsAt,
    /// Its ARN.
    pub arn: String,
    /// Its engine.
    pub engine: String,
    /// The version of that, which a cluster is told.
    pub version: String,
    /// What the new one is told to be like.
    pub settings: Settings,
    /// Those of a cluster, the writer first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<Member>,
    /// What people do afterwards, for no restore can be told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beside: Vec<String>,
    /// The first is meant; each other one where those before it cannot be restored.
    pub candidates: Vec<Candidate>,
    /// How often is looked how far it is.
    pub look_every: Span,
}

impl RdsRestore {
    /// All of it as what is there is like.
    pub fn like(at: &RdsAt, source: &Source, candidates: Vec<Candidate>, look_every: Span) -> Self {
        let Source { arn, engine, version, settings, members, beside, .. } = source.clone();
        let at = at.clone();
        Self { at, arn, engine, version, settings, members, beside, candidates, look_every }
    }
}

/// Which of those that were restored is the one: the first that is there, by their names in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// What it is of.
    pub at: RdsAt,
    /// Their identifiers.
    pub names: Vec<String>,
}

/// What a [`crate::domain::plan::Action::RdsSwitch`] changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RdsSwitch {
    /// What was restored.
    pub restored: Restored,
    /// The secret in which the address is.
    pub secret: SecretAt,
    /// Its ARN: one that was deleted and made anew has another.
    pub arn: String,
    /// The id of the version that must be current now.
    pub version: String,
    /// The address that must stand there now.
    pub old: Endpoint,
    /// What may not stand there beside it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// The key of the host.
    pub host_key: String,
    /// The key of the port.
    pub port_key: String,
}

/// Whether it becomes available no more by itself.
pub fn is_failed(status: &str) -> bool {
    FAILED.contains(&status)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::domain) fn seen(snapshots: Vec<Snapshot>) -> Seen {
        let endpoint = Endpoint { host: "shop.eu.rds.amazonaws.com".into(), port: 5432 };
        Seen {
            region: "eu-central-1".into(),
            source: Source {
                arn: "arn:aws:rds:eu-central-1:123456789012:db:shop".into(),
                resource: Some("db-1".into()),
                status: AVAILABLE.into(),
                engine: "postgres".into(),
                version: "15.4".into(),
                endpoint: Some(endpoint.clone()),
                encrypted: true,
                settings: Settings { class: Some("db.m6g.large".into()), ..Settings::default() },
                beside: vec![],
                members: vec![],
                hosts: vec![],
                bars: None,
            },
            snapshots,
            names: ["shop".to_owned()].into(),
            pointer: Ok(Pointer { arn: "arn:secret".into(), version: "v1".into(), endpoint }),
        }
    }

    pub(in crate::domain) fn snapshot(name: &str, taken_at: UnixMs) -> Snapshot {
        Snapshot {
            arn: format!("arn:aws:rds:eu-central-1:123456789012:snapshot:{name}"),
            name: name.into(),
            of: Some("db-1".into()),
            kind: SnapshotKind::Automated,
            status: AVAILABLE.into(),
            taken_at: Some(taken_at),
            engine: "postgres".into(),
            encrypted: true,
            version: None,
            storage_gib: Some(100),
            lost: vec![],
        }
    }

    #[test]
    fn names_that_are_taken_are_not_taken_again_and_none_is_longer_than_rds_takes_it() {
        let mut all = seen(vec![]);
        all.names.extend(["shop-restored-1", "shop-restored-2-1"].map(str::to_owned));
        assert_eq!(all.free("shop", 2), ["shop-restored-3", "shop-restored-4"]);
        let long = "a".repeat(51) + "-bcdefghijkl";
        let names = all.free(&long, 1);
        assert!(names[0].len() <= NAME_MAX && !names[0].contains("--"), "{names:?}");
    }

    #[test]
    fn what_fails_is_told_from_what_takes_its_time() {
        for status in ["creating", "backing-up", "modifying", "available", "rebooting"] {
            assert!(!is_failed(status), "{status}");
        }
        for status in ["failed", "incompatible-restore", "storage-full", "deleting"] {
            assert!(is_failed(status), "{status}");
        }
    }
}

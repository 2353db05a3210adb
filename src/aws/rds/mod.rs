//! What RDS says of a database and its snapshots, and the two things that are asked of it.
//!
//! Another one from a snapshot, and an instance for a cluster that was restored. Nothing is ever deleted or changed that is there.

#[cfg(feature = "aws")]
mod asked;
#[cfg(feature = "aws")]
mod beside;
#[cfg(feature = "aws")]
mod like;
#[cfg(feature = "aws")]
mod made;

use std::collections::BTreeSet;

use super::{Access, Fault};
use crate::domain::rds::{Candidate, Endpoint, Form, RdsAt, RdsRestore, Snapshot, Source};

/// What a look asks, by the rights that it takes.
pub const LOOK: [&str; 4] = [
    "rds:DescribeDBInstances",
    "rds:DescribeDBClusters",
    "rds:DescribeDBSnapshots",
    "rds:DescribeDBClusterSnapshots",
];
/// What makes another instance.
pub const RESTORE_INSTANCE: &str = "rds:RestoreDBInstanceFromDBSnapshot";
/// What makes another cluster.
pub const RESTORE_CLUSTER: &str = "rds:RestoreDBClusterFromSnapshot";
/// What makes an instance for it.
pub const CREATE_INSTANCE: &str = "rds:CreateDBInstance";
/// What tells how much there may be.
pub const QUOTAS: &str = "rds:DescribeAccountAttributes";

/// What RDS calls a snapshot with this ARN, wherever one is asked for by its name.
#[cfg(feature = "aws")]
fn called(arn: &str) -> &str {
    arn.split_once("snapshot:").map_or(arn, |(_, name)| name)
}

/// All that is looked at together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What is there.
    pub source: Source,
    /// The newest first, bounded.
    pub snapshots: Vec<Snapshot>,
    /// The identifiers that are taken.
    pub names: BTreeSet<String>,
}

/// An instance or a cluster, as far as it matters for one that is being made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct There {
    /// Its ARN.
    pub arn: String,
    /// `creating`, `available`…
    pub status: String,
    /// How far that is, where AWS says so.
    pub percent: Option<String>,
    /// Where it answers, once it does.
    pub endpoint: Option<Endpoint>,
    /// The run that made it, as its tag says.
    pub run: Option<String>,
}

/// How much of something there is, and how much there may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// `DBInstances`, `AllocatedStorage`…
    pub name: String,
    /// How much is used.
    pub used: i64,
    /// How much may be.
    pub max: i64,
}

/// What there is of a database, with at most so many of the newest snapshots.
#[cfg(feature = "aws")]
pub async fn look(access: &Access, at: &RdsAt, snapshots_max: usize) -> Result<Found, Fault> {
    // The SDK's futures are large, and are held by whoever carries out anything.
    Box::pin(asked::look(access, at, snapshots_max)).await
}

/// One that may be there or not, of the form that is meant.
#[cfg(feature = "aws")]
pub async fn there(access: &Access, at: &RdsAt) -> Result<Option<There>, Fault> {
    Box::pin(asked::there(access, at)).await
}

/// A snapshot of that form, by its ARN, if it is there.
#[cfg(feature = "aws")]
pub async fn snapshot(access: &Access, form: Form, arn: &str) -> Result<Option<Snapshot>, Fault> {
    Box::pin(asked::snapshot(access, form, arn)).await
}

/// How much there may be of everything.
#[cfg(feature = "aws")]
pub async fn quotas(access: &Access) -> Result<Vec<Quota>, Fault> {
    Box::pin(asked::quotas(access)).await
}

/// Makes an instance or a cluster of a snapshot, tagged with the run; asked once.
#[cfg(feature = "aws")]
pub async fn restore(
    access: &Access,
    what: &RdsRestore,
    candidate: &Candidate,
    run: &str,
) -> Result<(), Fault> {
    Box::pin(made::restore(access, what, candidate, run)).await
}

/// Makes an instance of a cluster that was restored, like the one of that number; asked once.
#[cfg(feature = "aws")]
pub async fn add_member(
    access: &Access,
    what: &RdsRestore,
    (candidate, nth): (&Candidate, usize),
    run: &str,
) -> Result<(), Fault> {
    Box::pin(made::add_member(access, what, (candidate, nth), run)).await
}

/// Whether all of it may be made: of a snapshot, and in a cluster, that there is not, so that nothing is. Who may not is told so first.
#[cfg(feature = "aws")]
pub async fn may_restore(access: &Access, what: &RdsRestore, name: &str) -> Result<(), Fault> {
    Box::pin(made::may_restore(access, what, name)).await
}

/// What there is of a database.
#[cfg(not(feature = "aws"))]
pub async fn look(_: &Access, _: &RdsAt, _: usize) -> Result<Found, Fault> {
    Err(Fault::not_built_in(LOOK[0]))
}

/// One that may be there or not.
#[cfg(not(feature = "aws"))]
pub async fn there(_: &Access, _: &RdsAt) -> Result<Option<There>, Fault> {
    Err(Fault::not_built_in(LOOK[0]))
}

/// A snapshot, if it is there.
#[cfg(not(feature = "aws"))]
pub async fn snapshot(_: &Access, _: Form, _: &str) -> Result<Option<Snapshot>, Fault> {
    Err(Fault::not_built_in(LOOK[2]))
}

/// How much there may be of everything.
#[cfg(not(feature = "aws"))]
pub async fn quotas(_: &Access) -> Result<Vec<Quota>, Fault> {
    Err(Fault::not_built_in(QUOTAS))
}

/// Makes an instance or a cluster of a snapshot.
#[cfg(not(feature = "aws"))]
pub async fn restore(_: &Access, _: &RdsRestore, _: &Candidate, _: &str) -> Result<(), Fault> {
    Err(Fault::not_built_in(RESTORE_INSTANCE))
}

/// Makes an instance of a cluster that was restored.
#[cfg(not(feature = "aws"))]
pub async fn add_member(
    _: &Access,
    _: &RdsRestore,
    _: (&Candidate, usize),
    _: &str,
) -> Result<(), Fault> {
    Err(Fault::not_built_in(CREATE_INSTANCE))
}

/// Whether all of it may be made.
#[cfg(not(feature = "aws"))]
pub async fn may_restore(_: &Access, _: &RdsRestore, _: &str) -> Result<(), Fault> {
    Err(Fault::not_built_in(RESTORE_INSTANCE))
}

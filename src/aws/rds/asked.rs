//! What RDS is asked.

use std::collections::BTreeSet;

use aws_sdk_rds::types::{DbCluster, DbInstance};

use super::{Found, LOOK, QUOTAS, Quota, There, beside, called, like};
use crate::{
    aws::{Access, Account, Clients, Fault, Kind},
    domain::rds::{Form, RdsAt, Snapshot, Source},
};

/// As many as a page can have.
const PAGE: i32 = 100;
/// More pages than these are not read.
const PAGES_MAX: usize = 20;

pub(super) async fn look(
    access: &Access,
    at: &RdsAt,
    snapshots_max: usize,
) -> Result<Found, Fault> {
    let clients = Account::of(access)?.to_look().await;
    let instances = instances(&clients).await?;
    let mut names: BTreeSet<String> = instances.iter().map(like::name).collect();
    let (source, mut snapshots) = match at.form {
        Form::Instance => {
            let found = instances.iter().find(|it| like::name(it) == at.name);
            let found = found.ok_or_else(|| missing(LOOK[0], at))?;
            let source =
                Source { hosts: beside::hosts(found, &instances), ..like::instance(found) };
            (source, instance_snapshots(&clients, &at.name).await?)
        }
        Form::Cluster => {
            let clusters = clusters(&clients).await?;
            names.extend(clusters.iter().map(like::cluster_name));
            let found = clusters.iter().find(|it| like::cluster_name(it) == at.name);
            let found = found.ok_or_else(|| missing(LOOK[1], at))?;
            let own = like::cluster(found);
            let of_members = beside::beside_members(found, &instances);
            let source = Source {
                members: like::members(found, &instances),
                beside: own.beside.iter().cloned().chain(of_members).collect(),
                hosts: beside::cluster_hosts(found, (&clusters, &instances)),
                ..own
            };
            (source, cluster_snapshots(&clients, &at.name).await?)
        }
    };
    snapshots.sort_by_key(|it| std::cmp::Reverse(it.taken_at));
    snapshots.truncate(snapshots_max);
    Ok(Found { source, snapshots, names })
}

fn missing(action: &'static str, at: &RdsAt) -> Fault {
    Fault::new(action, Kind::NotFound, &format!("there is no {} {}", at.form, at.name))
}

fn too_many(action: &'static str) -> Fault {
    let said = format!("there are more than {PAGES_MAX} pages of them");
    Fault::new(action, Kind::Broken, &said)
}

async fn instances(clients: &Clients) -> Result<Vec<DbInstance>, Fault> {
    let (mut all, mut next) = (vec![], None);
    for _ in 0..PAGES_MAX {
        let asked = clients.rds().describe_db_instances().max_records(PAGE).set_marker(next);
        let page = asked.send().await.map_err(|fault| clients.fault(LOOK[0], fault))?;
        next = page.marker;
        all.extend(page.db_instances.unwrap_or_default());
        if next.is_none() {
            return Ok(all);
        }
    }
    Err(too_many(LOOK[0]))
}

async fn clusters(clients: &Clients) -> Result<Vec<DbCluster>, Fault> {
    let (mut all, mut next) = (vec![], None);
    for _ in 0..PAGES_MAX {
        let asked = clients.rds().describe_db_clusters().max_records(PAGE).set_marker(next);
        let page = asked.send().await.map_err(|fault| clients.fault(LOOK[1], fault))?;
        next = page.marker;
        all.extend(page.db_clusters.unwrap_or_default());
        if next.is_none() {
            return Ok(all);
        }
    }
    Err(too_many(LOOK[1]))
}

async fn instance_snapshots(clients: &Clients, name: &str) -> Result<Vec<Snapshot>, Fault> {
    let (mut all, mut next) = (vec![], None);
    for _ in 0..PAGES_MAX {
        let asked = clients.rds().describe_db_snapshots().db_instance_identifier(name);
        let page = asked.max_records(PAGE).set_marker(next).send().await;
        let page = page.map_err(|fault| clients.fault(LOOK[2], fault))?;
        all.extend(page.db_snapshots().iter().filter_map(like::snapshot));
        next = page.marker;
        if next.is_none() {
            return Ok(all);
        }
    }
    Err(too_many(LOOK[2]))
}

async fn cluster_snapshots(clients: &Clients, name: &str) -> Result<Vec<Snapshot>, Fault> {
    let (mut all, mut next) = (vec![], None);
    for _ in 0..PAGES_MAX {
        let asked = clients.rds().describe_db_cluster_snapshots().db_cluster_identifier(name);
        let page = asked.max_records(PAGE).set_marker(next).send().await;
        let page = page.map_err(|fault| clients.fault(LOOK[3], fault))?;
        all.extend(page.db_cluster_snapshots().iter().filter_map(like::cluster_snapshot));
        next = page.marker;
        if next.is_none() {
            return Ok(all);
        }
    }
    Err(too_many(LOOK[3]))
}

pub(super) async fn there(access: &Access, at: &RdsAt) -> Result<Option<There>, Fault> {
    let clients = Account::of(access)?.to_look().await;
    let found = match at.form {
        Form::Instance => {
            let asked = clients.rds().describe_db_instances().db_instance_identifier(&at.name);
            let answer = asked.send().await.map_err(|fault| clients.fault(LOOK[0], fault));
            answer.map(|it| it.db_instances().first().map(like::instance_there))
        }
        Form::Cluster => {
            let asked = clients.rds().describe_db_clusters().db_cluster_identifier(&at.name);
            let answer = asked.send().await.map_err(|fault| clients.fault(LOOK[1], fault));
            answer.map(|it| it.db_clusters().first().map(like::cluster_there))
        }
    };
    match found {
        Err(Fault { kind: Kind::NotFound, .. }) => Ok(None),
        other => other,
    }
}

pub(super) async fn snapshot(
    access: &Access,
    form: Form,
    arn: &str,
) -> Result<Option<Snapshot>, Fault> {
    let clients = Account::of(access)?.to_look().await;
    let found = match form {
        Form::Instance => {
            let asked = clients.rds().describe_db_snapshots().db_snapshot_identifier(called(arn));
            let answer = asked.send().await.map_err(|fault| clients.fault(LOOK[2], fault));
            answer.map(|it| it.db_snapshots().iter().find_map(like::snapshot))
        }
        Form::Cluster => {
            let asked = clients.rds().describe_db_cluster_snapshots();
            let asked = asked.db_cluster_snapshot_identifier(called(arn));
            let answer = asked.send().await.map_err(|fault| clients.fault(LOOK[3], fault));
            answer.map(|it| it.db_cluster_snapshots().iter().find_map(like::cluster_snapshot))
        }
    };
    match found {
        Err(Fault { kind: Kind::NotFound, .. }) => Ok(None),
        other => other.map(|found| found.filter(|it| it.arn == arn)),
    }
}

pub(super) async fn quotas(access: &Access) -> Result<Vec<Quota>, Fault> {
    let clients = Account::of(access)?.to_look().await;
    let answer = clients.rds().describe_account_attributes().send().await;
    let answer = answer.map_err(|fault| clients.fault(QUOTAS, fault))?;
    let quota = |it: &aws_sdk_rds::types::AccountQuota| {
        Some(Quota { name: it.account_quota_name()?.to_owned(), used: it.used()?, max: it.max()? })
    };
    Ok(answer.account_quotas().iter().filter_map(quota).collect())
}

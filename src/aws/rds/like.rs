//! From RDS's words to ours: what an instance or a cluster is like, so that another one can be told to be like it.

use std::collections::BTreeMap;

use aws_sdk_rds::types::{
    DbCluster, DbClusterSnapshot, DbInstance, DbSnapshot, Endpoint as Answers, Tag,
    VpcSecurityGroupMembership,
};
use aws_smithy_types::DateTime;

use super::{
    There,
    beside::{beside, beside_cluster},
};
use crate::{
    domain::rds::{Endpoint, Member, RUN_TAG, Settings, Snapshot, SnapshotKind, Source},
    units::UnixMs,
};

/// Tags that AWS itself puts there begin so, and nobody else may.
const OWN_TAGS: &str = "aws:";

pub(super) fn own(text: Option<&str>) -> Option<String> {
    text.filter(|text| !text.is_empty()).map(str::to_owned)
}

pub(super) fn number(number: Option<i32>) -> Option<u32> {
    number.and_then(|it| u32::try_from(it).ok()).filter(|it| *it > 0)
}

fn port(port: Option<i32>) -> Option<u16> {
    port.and_then(|it| u16::try_from(it).ok()).filter(|it| *it > 0)
}

fn at(date: Option<&DateTime>) -> Option<UnixMs> {
    date?.to_millis().ok().map(UnixMs)
}

fn endpoint(answers: Option<&Answers>) -> Option<Endpoint> {
    let answers = answers?;
    Some(Endpoint { host: own(answers.address())?, port: port(answers.port())? })
}

fn groups(all: &[VpcSecurityGroupMembership]) -> Vec<String> {
    all.iter().filter_map(|it| own(it.vpc_security_group_id())).collect()
}

fn tags(all: &[Tag]) -> BTreeMap<String, String> {
    let is_copied = |key: &str| !key.starts_with(OWN_TAGS) && key != RUN_TAG;
    let tag = |tag: &Tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or("").to_owned()));
    all.iter().filter_map(tag).filter(|(key, _)| is_copied(key)).collect()
}

fn run(all: &[Tag]) -> Option<String> {
    let own = all.iter().find(|tag| tag.key() == Some(RUN_TAG));
    own.and_then(|tag| tag.value()).map(str::to_owned)
}

fn backup(days: Option<i32>, window: Option<&str>) -> Option<(u32, String)> {
    Some((number(days)?, own(window)?))
}

/// Its identifier.
pub(super) fn name(it: &DbInstance) -> String {
    it.db_instance_identifier().unwrap_or_default().to_owned()
}

/// Its identifier.
pub(super) fn cluster_name(it: &DbCluster) -> String {
    it.db_cluster_identifier().unwrap_or_default().to_owned()
}

fn settings(it: &DbInstance) -> Settings {
    let parameters = it.db_parameter_groups().first();
    let options = it.option_group_memberships().first();
    let answers = it.endpoint().and_then(|it| port(it.port()));
    Settings {
        class: own(it.db_instance_class()),
        subnet_group: it.db_subnet_group().and_then(|it| own(it.db_subnet_group_name())),
        security_groups: groups(it.vpc_security_groups()),
        parameter_group: parameters.and_then(|it| own(it.db_parameter_group_name())),
        option_group: options.and_then(|it| own(it.option_group_name())),
        multi_az: it.multi_az(),
        port: answers.or(port(it.db_instance_port())),
        public: it.publicly_accessible(),
        iam: it.iam_database_authentication_enabled(),
        storage: own(it.storage_type()),
        storage_gib: number(it.allocated_storage()),
        iops: number(it.iops()),
        throughput: number(it.storage_throughput()),
        deletion_protection: it.deletion_protection(),
        ca: own(it.ca_certificate_identifier()),
        copy_tags: it.copy_tags_to_snapshot(),
        minor_upgrades: it.auto_minor_version_upgrade(),
        logs: it.enabled_cloudwatch_logs_exports().to_vec(),
        network: own(it.network_type()),
        backup: backup(it.backup_retention_period(), it.preferred_backup_window()),
        units: None,
        tier: it.promotion_tier().and_then(|it| u32::try_from(it).ok()),
        tags: tags(it.tag_list()),
    }
}

pub(super) fn instance(it: &DbInstance) -> Source {
    let replicates = own(it.read_replica_source_db_instance_identifier());
    let bars = match (own(it.db_cluster_identifier()), replicates) {
        (Some(cluster), _) => {
            Some(format!("it is an instance of a cluster: write cluster = \"{cluster}\""))
        }
        (None, Some(of)) => Some(format!("it is a replica of {of}: name that")),
        (None, None) => None,
    };
    Source {
        arn: it.db_instance_arn().unwrap_or_default().to_owned(),
        resource: own(it.dbi_resource_id()),
        status: it.db_instance_status().unwrap_or_default().to_owned(),
        engine: it.engine().unwrap_or_default().to_owned(),
        version: it.engine_version().unwrap_or_default().to_owned(),
        endpoint: endpoint(it.endpoint()),
        encrypted: it.storage_encrypted() == Some(true),
        settings: settings(it),
        beside: beside(it),
        hosts: vec![],
        members: vec![],
        bars,
    }
}

pub(super) fn cluster(it: &DbCluster) -> Source {
    let answers = |host: &str| Some(Endpoint { host: own(Some(host))?, port: port(it.port())? });
    let thousandths = |units: Option<f64>| {
        units.filter(|it| (0.0..1e6).contains(it)).map(|it| (it * 1000.0).round() as u32)
    };
    let units = it
        .serverless_v2_scaling_configuration()
        .and_then(|it| Some((thousandths(it.min_capacity())?, thousandths(it.max_capacity())?)));
    let bars = match (it.engine_mode(), own(it.db_cluster_instance_class())) {
        (Some("serverless"), _) => Some("it is of Aurora Serverless v1: restore it by hand"),
        (_, Some(_)) => Some("it is a Multi-AZ cluster that is not Aurora: restore it by hand"),
        (_, None) => None,
    };
    Source {
        arn: it.db_cluster_arn().unwrap_or_default().to_owned(),
        resource: own(it.db_cluster_resource_id()),
        status: it.status().unwrap_or_default().to_owned(),
        engine: it.engine().unwrap_or_default().to_owned(),
        version: it.engine_version().unwrap_or_default().to_owned(),
        endpoint: it.endpoint().and_then(answers),
        encrypted: it.storage_encrypted() == Some(true),
        settings: Settings {
            subnet_group: own(it.db_subnet_group()),
            security_groups: groups(it.vpc_security_groups()),
            parameter_group: own(it.db_cluster_parameter_group()),
            port: port(it.port()),
            iam: it.iam_database_authentication_enabled(),
            storage: own(it.storage_type()),
            deletion_protection: it.deletion_protection(),
            copy_tags: it.copy_tags_to_snapshot(),
            logs: it.enabled_cloudwatch_logs_exports().to_vec(),
            network: own(it.network_type()),
            backup: backup(it.backup_retention_period(), it.preferred_backup_window()),
            units,
            tags: tags(it.tag_list()),
            ..Settings::default()
        },
        beside: beside_cluster(it),
        hosts: vec![],
        members: vec![],
        bars: bars.map(str::to_owned),
    }
}

/// The instances of a cluster, the writer first.
pub(super) fn members(of: &DbCluster, instances: &[DbInstance]) -> Vec<Member> {
    let mut all: Vec<Member> = of
        .db_cluster_members()
        .iter()
        .filter_map(|member| {
            let called = member.db_instance_identifier()?;
            let found = instances.iter().find(|it| name(it) == called)?;
            let writes = member.is_cluster_writer() == Some(true);
            Some(Member { name: called.to_owned(), writes, settings: settings(found) })
        })
        .collect();
    all.sort_by(|a, b| b.writes.cmp(&a.writes).then_with(|| a.name.cmp(&b.name)));
    all
}

fn kind(said: Option<&str>) -> SnapshotKind {
    match said {
        Some("automated") => SnapshotKind::Automated,
        Some("manual") => SnapshotKind::Manual,
        Some(_) | None => SnapshotKind::Other,
    }
}

pub(super) fn snapshot(it: &DbSnapshot) -> Option<Snapshot> {
    // A copy was made later than what is in it.
    let taken = it.original_snapshot_create_time().or(it.snapshot_create_time());
    Some(Snapshot {
        arn: own(it.db_snapshot_arn())?,
        name: own(it.db_snapshot_identifier())?,
        of: own(it.dbi_resource_id()),
        kind: kind(it.snapshot_type()),
        status: it.status().unwrap_or_default().to_owned(),
        taken_at: at(taken),
        engine: it.engine().unwrap_or_default().to_owned(),
        version: own(it.engine_version()),
        encrypted: it.encrypted() == Some(true),
        storage_gib: number(it.allocated_storage()),
        lost: vec![],
    })
}

pub(super) fn cluster_snapshot(it: &DbClusterSnapshot) -> Option<Snapshot> {
    // Of a copy RDS says only when that was made.
    let is_copy = it.source_db_cluster_snapshot_arn().is_some_and(|it| !it.is_empty());
    Some(Snapshot {
        arn: own(it.db_cluster_snapshot_arn())?,
        name: own(it.db_cluster_snapshot_identifier())?,
        of: own(it.db_cluster_resource_id()),
        kind: kind(it.snapshot_type()),
        status: it.status().unwrap_or_default().to_owned(),
        taken_at: if is_copy { None } else { at(it.snapshot_create_time()) },
        engine: it.engine().unwrap_or_default().to_owned(),
        version: own(it.engine_version()),
        encrypted: it.storage_encrypted() == Some(true),
        storage_gib: number(it.allocated_storage()),
        lost: vec![],
    })
}

pub(super) fn instance_there(it: &DbInstance) -> There {
    There {
        arn: it.db_instance_arn().unwrap_or_default().to_owned(),
        status: it.db_instance_status().unwrap_or_default().to_owned(),
        percent: own(it.percent_progress()),
        endpoint: endpoint(it.endpoint()),
        run: run(it.tag_list()),
    }
}

pub(super) fn cluster_there(it: &DbCluster) -> There {
    let answers = |host: &str| Some(Endpoint { host: own(Some(host))?, port: port(it.port())? });
    There {
        arn: it.db_cluster_arn().unwrap_or_default().to_owned(),
        status: it.status().unwrap_or_default().to_owned(),
        percent: own(it.percent_progress()),
        endpoint: it.endpoint().and_then(answers),
        run: run(it.tag_list()),
    }
}

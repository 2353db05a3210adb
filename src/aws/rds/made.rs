//! What RDS is asked to make.

use aws_sdk_rds::types::{ServerlessV2ScalingConfiguration, Tag};

use super::{CREATE_INSTANCE, RESTORE_CLUSTER, RESTORE_INSTANCE, called};
use crate::{
    aws::{Access, Account, Clients, Fault},
    domain::rds::{Candidate, Form, RUN_TAG, RdsRestore, Settings},
    units::UnixMs,
};

/// No snapshot is called so, and no run.
const NOTHING: &str = "rollbackd-preflight";
/// So RDS calls a snapshot and a cluster that there is not.
const MISSING: [&str; 2] = ["SnapshotNotFound", "DBClusterNotFound"];

pub(super) async fn restore(
    access: &Access,
    what: &RdsRestore,
    candidate: &Candidate,
    run: &str,
) -> Result<(), Fault> {
    let clients = Account::of(access)?.to_act().await;
    match what.at.form {
        Form::Instance => instance(&clients, what, candidate, run).await,
        Form::Cluster => cluster(&clients, what, candidate, run).await,
    }
}

pub(super) async fn may_restore(
    access: &Access,
    what: &RdsRestore,
    name: &str,
) -> Result<(), Fault> {
    let nothing =
        Candidate { snapshot: NOTHING.to_owned(), taken_at: UnixMs(0), restored: name.to_owned() };
    refused(restore(access, what, &nothing, NOTHING).await)?;
    if what.at.form == Form::Instance {
        return Ok(());
    }
    // The cluster of that name, which is not there either.
    refused(add_member(access, what, (&nothing, 0), NOTHING).await)
}

/// Whoever is told that it is made of nothing may ask for it. Any other no would be said to a real one as well.
fn refused(asked: Result<(), Fault>) -> Result<(), Fault> {
    asked.or_else(|fault| if fault.is_called(&MISSING) { Ok(()) } else { Err(fault) })
}

async fn instance(
    clients: &Clients,
    what: &RdsRestore,
    Candidate { snapshot, restored, .. }: &Candidate,
    run: &str,
) -> Result<(), Fault> {
    let it = &what.settings;
    let (days, window) = it.backup.clone().unzip();
    let (iops, throughput) = it.provisioned(&what.engine);
    let asked = clients
        .rds()
        .restore_db_instance_from_db_snapshot()
        .db_instance_identifier(restored)
        .db_snapshot_identifier(called(snapshot))
        .set_db_instance_class(it.class.clone())
        .set_db_subnet_group_name(it.subnet_group.clone())
        .set_vpc_security_group_ids(some(&it.security_groups))
        .set_db_parameter_group_name(it.parameter_group.clone())
        .set_option_group_name(it.option_group.clone())
        .set_multi_az(it.multi_az)
        .set_port(it.port.map(i32::from))
        .set_publicly_accessible(it.public)
        .set_enable_iam_database_authentication(it.iam)
        .set_storage_type(it.storage.clone())
        .set_allocated_storage(signed(it.storage_gib))
        .set_iops(signed(iops))
        .set_storage_throughput(signed(throughput))
        .set_deletion_protection(it.deletion_protection)
        .set_ca_certificate_identifier(it.ca.clone())
        .set_copy_tags_to_snapshot(it.copy_tags)
        .set_auto_minor_version_upgrade(it.minor_upgrades)
        .set_enable_cloudwatch_logs_exports(some(&it.logs))
        .set_network_type(it.network.clone())
        .set_backup_retention_period(signed(days))
        .set_preferred_backup_window(window)
        .set_tags(Some(tags(it, run)));
    let answer = asked.send().await;
    answer.map(|_| ()).map_err(|fault| clients.fault(RESTORE_INSTANCE, fault))
}

async fn cluster(
    clients: &Clients,
    what: &RdsRestore,
    Candidate { snapshot, restored, .. }: &Candidate,
    run: &str,
) -> Result<(), Fault> {
    let it = &what.settings;
    let (days, window) = it.backup.clone().unzip();
    let units = it.units.map(|(min, max)| {
        let units = |thousandths: u32| f64::from(thousandths) / 1000.0;
        ServerlessV2ScalingConfiguration::builder()
            .min_capacity(units(min))
            .max_capacity(units(max))
            .build()
    });
    let asked = clients
        .rds()
        .restore_db_cluster_from_snapshot()
        .db_cluster_identifier(restored)
        .snapshot_identifier(called(snapshot))
        .engine(&what.engine)
        .set_engine_version(Some(what.version.clone()).filter(|it| !it.is_empty()))
        .set_db_subnet_group_name(it.subnet_group.clone())
        .set_vpc_security_group_ids(some(&it.security_groups))
        .set_db_cluster_parameter_group_name(it.parameter_group.clone())
        .set_port(it.port.map(i32::from))
        .set_enable_iam_database_authentication(it.iam)
        .set_storage_type(it.storage.clone())
        .set_deletion_protection(it.deletion_protection)
        .set_copy_tags_to_snapshot(it.copy_tags)
        .set_enable_cloudwatch_logs_exports(some(&it.logs))
        .set_network_type(it.network.clone())
        .set_serverless_v2_scaling_configuration(units)
        .set_backup_retention_period(signed(days))
        .set_preferred_backup_window(window)
        .set_tags(Some(tags(it, run)));
    let answer = asked.send().await;
    answer.map(|_| ()).map_err(|fault| clients.fault(RESTORE_CLUSTER, fault))
}

pub(super) async fn add_member(
    access: &Access,
    what: &RdsRestore,
    (candidate, nth): (&Candidate, usize),
    run: &str,
) -> Result<(), Fault> {
    let clients = Account::of(access)?.to_act().await;
    let unknown = Settings::default();
    let it = what.members.get(nth).map_or(&unknown, |member| &member.settings);
    let asked = clients
        .rds()
        .create_db_instance()
        .db_instance_identifier(candidate.member(nth))
        .db_cluster_identifier(&candidate.restored)
        .engine(&what.engine)
        .set_db_instance_class(it.class.clone())
        .set_db_parameter_group_name(it.parameter_group.clone())
        .set_publicly_accessible(it.public)
        .set_ca_certificate_identifier(it.ca.clone())
        .set_auto_minor_version_upgrade(it.minor_upgrades)
        .set_promotion_tier(it.tier.and_then(|it| i32::try_from(it).ok()))
        .set_tags(Some(tags(it, run)));
    let answer = asked.send().await;
    answer.map(|_| ()).map_err(|fault| clients.fault(CREATE_INSTANCE, fault))
}

fn tags(it: &Settings, run: &str) -> Vec<Tag> {
    let own = (RUN_TAG.to_owned(), run.to_owned());
    let tag = |(key, value): (String, String)| Tag::builder().key(key).value(value).build();
    it.tags.clone().into_iter().chain([own]).map(tag).collect()
}

fn signed(number: Option<u32>) -> Option<i32> {
    number.and_then(|it| i32::try_from(it).ok())
}

/// None is not the same as nothing at all, which would be asked for.
fn some(all: &[String]) -> Option<Vec<String>> {
    (!all.is_empty()).then(|| all.to_vec())
}

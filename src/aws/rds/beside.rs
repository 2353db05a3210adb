//! What of an instance or a cluster is beside what a restore can be told: what people do afterwards, and the other names that lead there.

use aws_sdk_rds::types::{DbCluster, DbInstance, DomainMembership};

use super::like::{cluster_name, name, number, own};

fn monitoring(interval_s: Option<i32>, role: Option<&str>) -> Option<String> {
    let (seconds, role) = (number(interval_s)?, role.unwrap_or("its role"));
    Some(format!("Enhanced Monitoring every {seconds} s by {role}"))
}

fn insights(enabled: Option<bool>) -> Option<String> {
    (enabled == Some(true)).then(|| "Performance Insights".to_owned())
}

fn role(arn: Option<&str>, feature: Option<&str>) -> Option<String> {
    Some(format!("the role {} for {}", arn?, feature.unwrap_or("it")))
}

fn domains(all: &[DomainMembership]) -> impl Iterator<Item = String> {
    let named = all.iter().filter_map(|it| it.domain());
    named.map(|domain| format!("its membership of the domain {domain}"))
}

const PASSWORD: &str = "a master password that RDS itself keeps";

/// What no restore of an instance can be told.
pub(super) fn beside(it: &DbInstance) -> Vec<String> {
    let mut all: Vec<String> =
        monitoring(it.monitoring_interval(), it.monitoring_role_arn()).into_iter().collect();
    all.extend(insights(it.performance_insights_enabled()));
    all.extend(
        number(it.max_allocated_storage()).map(|gib| format!("storage that grows up to {gib} GiB")),
    );
    all.extend(it.master_user_secret().map(|_| PASSWORD.to_owned()));
    let roles = it.associated_roles().iter();
    all.extend(roles.filter_map(|it| role(it.role_arn(), it.feature_name())));
    all.extend(domains(it.domain_memberships()));
    let replicas = it.read_replica_db_instance_identifiers();
    if !replicas.is_empty() {
        all.push(format!("its replicas {}", replicas.join(", ")));
    }
    all
}

/// What no restore of a cluster can be told.
pub(super) fn beside_cluster(it: &DbCluster) -> Vec<String> {
    let mut all: Vec<String> =
        monitoring(it.monitoring_interval(), it.monitoring_role_arn()).into_iter().collect();
    all.extend(insights(it.performance_insights_enabled()));
    all.extend(it.master_user_secret().map(|_| PASSWORD.to_owned()));
    let roles = it.associated_roles().iter();
    all.extend(roles.filter_map(|it| role(it.role_arn(), it.feature_name())));
    all.extend(domains(it.domain_memberships()));
    let global = own(it.global_cluster_identifier());
    all.extend(global.map(|it| format!("its place in the global cluster {it}")));
    let replicas = it.read_replica_identifiers();
    if !replicas.is_empty() {
        all.push(format!("its replicas {}", replicas.join(", ")));
    }
    all
}

fn members<'i>(of: &DbCluster, instances: &'i [DbInstance]) -> Vec<&'i DbInstance> {
    let is_one = |it: &&DbInstance| {
        let members = of.db_cluster_members().iter();
        members.filter_map(|member| member.db_instance_identifier()).any(|own| own == name(it))
    };
    instances.iter().filter(is_one).collect()
}

/// The same of the instances of a cluster, each by its name.
pub(super) fn beside_members(of: &DbCluster, instances: &[DbInstance]) -> Vec<String> {
    let each = members(of, instances).into_iter();
    each.flat_map(|it| beside(it).into_iter().map(move |what| format!("{}: {what}", name(it))))
        .collect()
}

fn host(it: &DbInstance) -> Option<String> {
    own(it.endpoint()?.address())
}

/// Where the replicas of an instance answer.
pub(super) fn hosts(of: &DbInstance, instances: &[DbInstance]) -> Vec<String> {
    let replicas = of.read_replica_db_instance_identifiers();
    let is_one = |it: &&DbInstance| {
        replicas.contains(&name(it))
            || it.read_replica_source_db_instance_identifier() == Some(&name(of))
    };
    instances.iter().filter(is_one).filter_map(host).collect()
}

/// Where else than at its writer a cluster answers: for readers, by endpoints of somebody's own, at its instances and its replicas.
pub(super) fn cluster_hosts(
    of: &DbCluster,
    (clusters, instances): (&[DbCluster], &[DbInstance]),
) -> Vec<String> {
    let mut all: Vec<String> = own(of.reader_endpoint()).into_iter().collect();
    all.extend(of.custom_endpoints().iter().cloned());
    all.extend(members(of, instances).into_iter().filter_map(host));
    let replicas = of.read_replica_identifiers();
    let is_replica = |it: &&DbCluster| {
        let (arn, own) = (it.db_cluster_arn().unwrap_or_default(), cluster_name(it));
        replicas.iter().any(|replica| replica == arn || *replica == own)
    };
    for replica in clusters.iter().filter(is_replica) {
        all.extend(own(replica.endpoint()).into_iter().chain(own(replica.reader_endpoint())));
    }
    all
}

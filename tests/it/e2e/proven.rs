//! What proves that a Deployment's rollback worked: a smoke test in the cluster, its pods, and what their logs say.

use rollbackd::{demo::shop::Behaviour, domain::verification::Standing, http::views::IncidentView};

use super::{
    deployments::{config, pods},
    world::{Setup, World},
};
use crate::kubernetes::{
    cluster::Cluster,
    jobs::{cron_job, jobs},
    logs::on_a_node,
};

#[tokio::test]
async fn a_rollback_is_verified_once_its_smoke_test_and_its_logs_say_so() {
    let cluster = Cluster::shared();
    let (place, node) = on_a_node(cluster).await;
    cron_job(&place, cluster, "smoke", "done-1").await;
    node.says(200, "all is well\n");
    let more = r#"
[service.pods.rollback.job.smoke]
cron_job = "smoke"
[service.pods.signal.logs]
every = "1s"
[service.pods.signal.logs.kubernetes]
patterns = ["^FATAL"]
"#;
    let config = format!("{}{more}", config(cluster, &place, "auto"));
    let mut world = World::open(&Setup::with(Behaviour::Healthy, &config)).await;
    world.start().await;
    pods(&world, "known good", |said| said["serving_is_known_good"] == true).await;

    node.says(200, "FATAL: no database, password=hunter2\n");
    place.set_image("crash-2", "release 42").await;
    let of_logs = |i: &IncidentView| i.checks.iter().find(|c| c.name == "logs").cloned();
    let is_bad = |i: &IncidentView| of_logs(i).is_some_and(|c| c.standing == Standing::Failed);
    let open = world.incident("its logs keep it open", is_bad).await;
    let note = of_logs(&open).unwrap().note;
    assert!(note.contains("`FATAL: no database, password=[hidden]`"), "{note}");
    let made = jobs(&place, cluster).await;
    assert_eq!(made.len(), 1, "its smoke test has run: {made:?}");
    node.says(200, "all is well\n");
    let over = world.incident("over", |i| i.line.closed.is_some()).await;
    assert_eq!(over.line.because.as_deref(), Some("rolled back and verified"), "{over:#?}");
    world.ended().await;
}

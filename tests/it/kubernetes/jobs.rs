//! Smoke tests that the cluster runs: Jobs of a real API server and the real controller, made once for each attempt.

use k8s_openapi::api::batch::v1::{CronJob, Job};
use kube::{Api, api::PostParams};
use rollbackd::{
    domain::{plan::Action, run::Outcome},
    units::Span,
};
use serde_json::json;

use super::{
    cluster::Cluster,
    kustomization::{Done, deploy},
    place::{Place, image},
    rights::Account,
    undo::{Hands, refusal},
};

fn check(place: &Place, cron_job: &str) -> Action {
    Action::CheckJob {
        cluster: "main".into(),
        namespace: place.namespace.clone(),
        cron_job: cron_job.to_owned(),
        timeout: Span::minutes(1),
        keep: Span::hours(1),
    }
}

/// A CronJob that runs by nobody's clock.
pub(crate) async fn cron_job(place: &Place, cluster: &Cluster, name: &str, tag: &str) {
    let pod = json!({ "restartPolicy": "Never", "containers": [{ "name": "smoke", "image": image(tag) }] });
    let cron_job = json!({
        "metadata": { "name": name },
        "spec": {
            "schedule": "0 0 1 1 *", "suspend": true,
            "jobTemplate": { "spec": { "backoffLimit": 0, "template": { "spec": pod } } },
        },
    });
    let all: Api<CronJob> = Api::namespaced(cluster.client().await, &place.namespace);
    let cron_job = serde_json::from_value(cron_job).unwrap();
    all.create(&PostParams::default(), &cron_job).await.unwrap();
}

pub(crate) async fn jobs(place: &Place, cluster: &Cluster) -> Vec<Job> {
    let all: Api<Job> = Api::namespaced(cluster.client().await, &place.namespace);
    all.list(&Default::default()).await.unwrap().items
}

#[tokio::test]
async fn a_smoke_test_runs_as_a_job_and_once_for_each_attempt() {
    let cluster = Cluster::shared();
    let place = Place::new(cluster).await;
    cron_job(&place, cluster, "smoke", "done-1").await;
    let hands = Hands::new(&place, cluster, None);
    let report = hands.carry_out(check(&place, "smoke"), Span::seconds(60), false).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    let made = jobs(&place, cluster).await;
    let [job] = made.as_slice() else { panic!("{made:?}") };
    let spec = job.spec.as_ref().unwrap();
    let times = (spec.active_deadline_seconds, spec.ttl_seconds_after_finished);
    assert_eq!(times, (Some(60), Some(3600)), "it ends, and goes, by itself");
    let annotations = job.metadata.annotations.as_ref().unwrap();
    assert_eq!(annotations["rollbackd.dev/run"], "run-7");
    // An earlier daemon had begun it.
    let again = hands.carry_out(check(&place, "smoke"), Span::seconds(60), true).await;
    assert_eq!(again.outcome, Outcome::Done, "{again:?}");
    assert_eq!(jobs(&place, cluster).await.len(), 1, "it was found, and not made again");
}

#[tokio::test]
async fn a_smoke_test_that_fails_does_not_end_or_is_not_there_says_so_and_may_be_tried_again() {
    let cluster = Cluster::shared();
    let place = Place::new(cluster).await;
    let hands = Hands::new(&place, cluster, None);
    cron_job(&place, cluster, "fails", "fails-1").await;
    let report = hands.carry_out(check(&place, "fails"), Span::seconds(60), false).await;
    let (why, retry) = refusal(&report);
    assert!(retry && why.contains("(BackoffLimitExceeded)"), "{why}");
    let logs = format!("see `kubectl logs -n {} job/fails-", place.namespace);
    assert!(why.contains(&logs), "{why}");
    cron_job(&place, cluster, "slow", "slow-1").await;
    let report = hands.carry_out(check(&place, "slow"), Span::seconds(3), false).await;
    let (why, retry) = refusal(&report);
    assert!(retry && why.contains("did not succeed in time: it has not ended"), "{why}");
    let report = hands.carry_out(check(&place, "nothing"), Span::seconds(5), false).await;
    let (why, _) = refusal(&report);
    assert!(why.contains("reading the CronJob: it is not there"), "{why}");
}

#[tokio::test]
async fn who_may_make_no_jobs_says_so_until_the_right_is_granted() {
    let cluster = Cluster::shared();
    let place = Place::new(cluster).await;
    cron_job(&place, cluster, "smoke", "done-1").await;
    let account = Account::with("rights/act", cluster, &place).await;
    let hands = Hands::new(&place, cluster, None);
    hands.options.clusters.adopt([("main".to_owned(), account.options())].into());
    let report = hands.carry_out(check(&place, "smoke"), Span::seconds(60), false).await;
    assert!(refusal(&report).0.contains("not permitted"), "{report:?}");
    deploy(&cluster.client().await, "rights/smoke", &place.namespace, Done::Really).await;
    let report = hands.carry_out(check(&place, "smoke"), Span::seconds(60), false).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
}

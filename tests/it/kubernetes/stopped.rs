//! A Deployment that has no pods while its database goes back, and has them again afterwards.

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::ListParams};
use rollbackd::{
    domain::{
        plan::Action,
        run::{Outcome, Report},
    },
    sources::kubernetes::Seen,
    units::Span,
};
use serde_json::{Value, json};

use super::{
    cluster::Cluster,
    kubelet::Fate,
    place::{Place, SOON},
    undo::{Hands, Planned, broken},
};
use crate::rig::eventually;

impl Hands {
    async fn stop(&self, plan: &Planned, timeout: Span) -> Report {
        self.carry_out(Action::DeploymentStop { at: plan.at.clone(), pods: 3 }, timeout, false)
            .await
    }

    async fn start(&self, plan: &Planned) -> Report {
        let action = Action::DeploymentStart { at: plan.at.clone(), pods: 7 };
        self.carry_out(action, Span::seconds(20), false).await
    }
}

impl Place {
    async fn wanted(&self) -> Option<i32> {
        self.deployments.get("shop").await.unwrap().spec.unwrap().replicas
    }

    async fn note(&self) -> Option<String> {
        let meta = self.deployments.get("shop").await.unwrap().metadata;
        meta.annotations.unwrap_or_default().remove("rollbackd.dev/stopped")
    }

    /// What its pods carry until somebody takes it off keeps them from going.
    async fn hold_pods(&self, finalizers: Value) {
        self.patch(json!({ "spec": { "template": { "metadata": { "finalizers": finalizers } } } }))
            .await;
    }
}

fn failed(report: &Report) -> &str {
    let Outcome::Failed { why, .. } = &report.outcome else { panic!("{report:?}") };
    why
}

#[tokio::test]
async fn it_goes_back_without_pods_and_then_has_those_that_it_had() {
    let cluster = Cluster::shared();
    let place = Place::new(cluster).await;
    let plan = broken(&place).await;
    let hands = Hands::new(&place, cluster, None);
    let report = hands.stop(&plan, Span::seconds(60)).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    assert_eq!(place.wanted().await, Some(0));
    assert_eq!(place.note().await.unwrap(), "from 3 pods by run run-7");
    // Once more, as after a crash.
    let report = hands.stop(&plan, Span::seconds(60)).await;
    assert_eq!(report.outcome, Outcome::AlreadyDone, "{report:?}");
    assert_eq!(place.note().await.unwrap(), "from 3 pods by run run-7", "it is not forgotten");
    let had = |seen: &Seen| seen.inventory.deployed.as_ref().unwrap().stopped;
    place.until("how many it had is seen", |seen| had(seen) == Some(3)).await;

    let report = hands.undo(&plan).await;
    assert_eq!(report.outcome, Outcome::Done, "this run stopped it: {report:?}");
    let report = hands.start(&plan).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    assert_eq!(place.wanted().await, Some(3), "what it had, and not what the plan thought");
    assert_eq!(place.note().await, None);
    let seen = place.until_serves("1.4.1").await;
    assert_eq!(had(&seen), None);
    let report = hands.start(&plan).await;
    assert_eq!(report.outcome, Outcome::AlreadyDone, "{report:?}");
}

#[tokio::test]
async fn one_that_somebody_else_scaled_to_nothing_is_not_set_back() {
    let cluster = Cluster::shared();
    let place = Place::new(cluster).await;
    let plan = broken(&place).await;
    let hands = Hands::new(&place, cluster, None);
    let note = "from 3 pods by run run-6";
    place
        .patch(json!({
            "metadata": { "annotations": { "rollbackd.dev/stopped": note } }, "spec": { "replicas": 0 },
        }))
        .await;
    let report = hands.undo(&plan).await;
    assert!(failed(&report).contains("scaled to 0 pods"), "{report:?}");
}

/// A rollback that halted after it had stopped it is not the last: the next one stops it for itself, and gives back what it had.
#[tokio::test]
async fn what_an_earlier_run_stopped_is_taken_over_by_the_next_with_what_it_had() {
    let cluster = Cluster::shared();
    let place = Place::new(cluster).await;
    let plan = broken(&place).await;
    let hands = Hands::new(&place, cluster, None);
    let note = "from 3 pods by run run-6";
    place
        .patch(json!({
            "metadata": { "annotations": { "rollbackd.dev/stopped": note } }, "spec": { "replicas": 0 },
        }))
        .await;
    let report = hands.stop(&plan, Span::seconds(60)).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    assert_eq!(place.note().await.unwrap(), "from 3 pods by run run-7");
    let report = hands.undo(&plan).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    hands.start(&plan).await;
    assert_eq!(place.wanted().await, Some(3));
}

#[tokio::test]
async fn a_pod_that_is_still_ending_may_write_and_who_scales_it_up_again_is_told() {
    let cluster = Cluster::shared();
    let place = Place::new(cluster).await;
    let plan = broken(&place).await;
    place.kubelet.let_be("crash-2", Fate::Ready);
    place.hold_pods(json!(["example.com/held"])).await;
    // Until all of them are held: those from before go at once.
    let pods: Api<Pod> = Api::namespaced(cluster.client().await, &place.namespace);
    eventually("all of them are held", SOON, async || {
        let all = pods.list(&ListParams::default()).await.ok()?.items;
        let held = |it: &Pod| it.metadata.finalizers.as_ref().is_some_and(|it| !it.is_empty());
        (all.len() == 3 && all.iter().all(held)).then_some(())
    })
    .await;
    place.until_serves("crash-2").await;
    let hands = Hands::new(&place, cluster, None);
    let report = hands.stop(&plan, Span::seconds(4)).await;
    assert!(failed(&report).contains("3 of its pods are not gone yet"), "{report:?}");

    hands.start(&plan).await;
    let (stopped, ()) = tokio::join!(hands.stop(&plan, Span::seconds(60)), async {
        let is_stopped = async || (place.wanted().await == Some(0)).then_some(());
        eventually("it is stopped", SOON, is_stopped).await;
        place.patch(json!({ "spec": { "replicas": 2 } })).await;
    });
    assert!(failed(&stopped).contains("somebody gave it 2 pods again"), "{stopped:?}");
}

//! A release and what its pods read go back together, and pods of the version before had been made in between.

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams},
};
use rollbackd::{
    domain::{
        configuration::Configuration,
        plan::Action,
        run::{Outcome, Report},
    },
    units::UnixMs,
};
use serde_json::json;

use super::{
    cluster::Cluster,
    place::{SOON, now},
    reading::{Reading, reads},
};
use crate::rig::eventually;

impl Reading {
    /// A release that crashes, and goes back with the map that was edited since `misread_since`.
    async fn goes_back(&self, good: &Configuration, misread_since: UnixMs, run: &str) -> Report {
        self.place.patch(reads("settings", "crash-2")).await;
        let is = |tag: &'static str| move |version: &str| version.starts_with(tag);
        let seen = self
            .place
            .until("the broken release", |seen| {
                let linked = seen.inventory.linked.as_ref();
                linked.is_some_and(|linked| is("crash-2+")(&linked.version))
                    && seen.inventory.available.len() > 1
            })
            .await
            .inventory;
        let restores = self.restores(good);
        let restore = Action::ConfigMapRestore { of: self.at(), what: restores[0].clone() };
        let report = self.carry_out(restore, run, false).await;
        assert_eq!(report.outcome, Outcome::Done, "{report:?}");
        let target = seen.available.iter().find(|it| is("1.4.1+")(&it.revision.version)).unwrap();
        let undo = Action::DeploymentUndo {
            at: self.at(),
            from: seen.linked.clone().unwrap(),
            to: target.revision.clone(),
            replica_set: seen.place(target).replica_set,
            misread_since: Some(misread_since),
        };
        let report = self.carry_out(undo, run, false).await;
        assert_eq!(report.outcome, Outcome::Done, "{report:?}");
        self.place.until_serves("1.4.1").await;
        report
    }

    /// Until every pod that is there is of the set template, and was made in an earlier second than this one.
    async fn at_rest(&self) {
        let rests = async || {
            let now = self.place.deployments.get("shop").await.unwrap();
            let (generation, status) = (now.metadata.generation, now.status?);
            let counts = [status.updated_replicas, status.replicas, status.available_replicas];
            let wanted = now.spec.unwrap().replicas;
            let is_new = status.observed_generation == generation;
            (is_new && counts.iter().all(|count| *count == wanted)).then_some(())
        };
        eventually("it is rolled out", SOON, rests).await;
        let rested = now();
        let is_later = async || (now().0 > rested.0 + 1_000).then_some(());
        eventually("the second is over", SOON, is_later).await;
    }

    async fn made_anew(&self) -> Option<String> {
        let template = self.place.deployments.get("shop").await.unwrap().spec.unwrap().template;
        template.metadata?.annotations?.remove("kubectl.kubernetes.io/restartedAt")
    }
}

#[tokio::test]
async fn pods_of_the_version_gone_back_to_start_anew_where_one_was_made_while_another_map_was_read()
{
    let reading = Reading::new(Cluster::shared()).await;
    let good = reading.keep().await;
    reading.at_rest().await;
    reading.edit("settings", json!({ "data": { "level": "debug" } })).await;
    let edited = async || reading.until("it", |found| found.revision != good.revision).await;
    let since = edited().await.written_at.unwrap();
    let report = reading.goes_back(&good, since, "run-7").await;
    assert_eq!(reading.made_anew().await, None, "its pods are older: {report:?}");

    reading.at_rest().await;
    reading.edit("settings", json!({ "data": { "level": "debug" } })).await;
    let since = edited().await.written_at.unwrap();
    // As when a node is drained.
    let client = Cluster::shared().client().await;
    let pods: Api<Pod> = Api::namespaced(client, &reading.place.namespace);
    let one = pods.list(&ListParams::default()).await.unwrap().items.remove(0).name_any();
    pods.delete(&one, &DeleteParams::default()).await.unwrap();
    let again = async || reading.place.kubelet.was_given("debug").then_some(());
    eventually("another one reads it", SOON, again).await;
    let report = reading.goes_back(&good, since, "run-8").await;
    assert!(report.output.contains("1 of its pods were made since"), "{report:?}");
    assert!(reading.made_anew().await.is_some());
    let gone = async || (!reading.place.kubelet.was_given("debug")).then_some(());
    eventually("no pod has what was read in between", SOON, gone).await;
}

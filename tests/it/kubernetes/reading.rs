//! Pods that read a ConfigMap on a real API server, and what is seen and kept of that.

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, api::core::v1::ConfigMap};
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use rollbackd::{
    domain::{
        configuration::Configuration,
        plan::{Action, DeploymentAt, Restore, Step},
        run::{Order, Report},
    },
    executors,
    kubernetes::maps::Maps,
    store::{self, Store},
    units::Span,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    cluster::Cluster,
    place::{Place, SOON, image, now, options},
};
use crate::rig::eventually;

/// A Deployment whose pods read a map, and what is seen of that.
pub(super) struct Reading {
    pub(super) place: Place,
    pub(super) maps: Api<ConfigMap>,
    pub(super) home: TempDir,
    store: Store,
    pub(super) executor: executors::Options,
}

pub(crate) fn map(name: &str, text: &str) -> ConfigMap {
    let labels = BTreeMap::from([("team".to_owned(), "payments".to_owned())]);
    let mut map = ConfigMap {
        data: Some([("level".to_owned(), text.to_owned())].into()),
        binary_data: Some([("bytes".to_owned(), ByteString(vec![0, 159, 146, 150]))].into()),
        ..ConfigMap::default()
    };
    map.metadata.name = Some(name.to_owned());
    map.metadata.labels = Some(labels);
    map
}

pub(crate) fn reads(name: &str, tag: &str) -> Value {
    json!({ "spec": { "template": { "spec": {
        "containers": [{ "name": "app", "image": image(tag), "envFrom": [{ "configMapRef": { "name": name } }] }],
    } } } })
}

impl Reading {
    /// Pods of `1.4.1` that read `settings`, well.
    pub(super) async fn new(cluster: &Cluster) -> Self {
        let place = Place::new(cluster).await;
        let maps = Api::namespaced(cluster.client().await, &place.namespace);
        maps.create(&PostParams::default(), &map("settings", "info")).await.unwrap();
        place.deploy("1.4.1").await;
        place.patch(reads("settings", "1.4.1")).await;
        place.until_serves("1.4.1").await;
        let home = TempDir::new().unwrap();
        let store = Store::open(store::Options::new(home.path())).unwrap();
        let executor = executors::Options::new(home.path().to_owned()).unwrap();
        executor
            .clusters
            .adopt([("main".to_owned(), options(cluster, &place.namespace, None))].into());
        let reading = Self { place, maps, home, store, executor };
        reading.until("it is read", |found| found.read_at.is_some()).await;
        reading
    }

    pub(super) fn at(&self) -> DeploymentAt {
        DeploymentAt {
            cluster: "main".into(),
            namespace: self.place.namespace.clone(),
            name: "shop".into(),
            uid: None,
        }
    }

    pub(super) fn kept(&self) -> Maps {
        Maps::of(self.home.path(), &self.at())
    }

    /// What is seen, with what is kept of it and how that is now.
    pub(super) fn seen(&self) -> Option<Configuration> {
        let mut found = self.place.seen().inventory.configuration()?.clone();
        found.kept = self.kept().all().unwrap().iter().map(|kept| kept.in_short()).collect();
        self.place.watched.look_beside(&self.place.key(), &mut found);
        Some(found)
    }

    pub(super) async fn until(
        &self,
        what: &str,
        is: impl Fn(&Configuration) -> bool,
    ) -> Configuration {
        eventually(what, SOON, async || self.seen().filter(&is)).await
    }

    pub(super) async fn keep(&self) -> Configuration {
        let found = self.seen().unwrap();
        let (clusters, maps) = (&self.executor.clusters, self.kept());
        executors::keep_configuration(clusters, &self.at(), &found, &maps, now()).await.unwrap();
        found
    }

    /// In another second than that in which pods were made: an API server's times are whole seconds.
    pub(super) async fn edit(&self, name: &str, patch: Value) {
        let made = self.seen().and_then(|found| found.read_at).map_or(0, |at| at.0);
        let is_later = async || (now().0 > made + 1_000).then_some(());
        eventually("the second is over", SOON, is_later).await;
        let params = PatchParams { field_manager: Some("pipeline".into()), ..Default::default() };
        self.maps.patch(name, &params, &Patch::Merge(patch)).await.unwrap();
    }

    /// What it takes to go back to `good` from what is seen now.
    pub(super) fn restores(&self, good: &Configuration) -> Vec<Restore> {
        let now = self.seen().unwrap();
        now.back_to(now.kept_of(&good.revision).unwrap()).unwrap()
    }

    pub(super) async fn carry_out(&self, action: Action, run: &str, resumed: bool) -> Report {
        let (title, needs, fallback) = ("a step".to_owned(), vec![], None);
        let timeout = Span::seconds(30);
        let what = Step { title, action, needs, timeout, attempts: 1, fallback };
        let run = run.to_owned();
        let order = Order { run, step: 0, attempt: 1, fallback: false, resumed, what };
        executors::carry_out(&order, &self.executor, self.store.lease()).await
    }

    pub(super) async fn restore(&self, what: &Restore, resumed: bool) -> Report {
        let action = Action::ConfigMapRestore { of: self.at(), what: what.clone() };
        self.carry_out(action, "run-7", resumed).await
    }
}

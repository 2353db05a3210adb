//! Rolling a Deployment back on a real API server: exactly, and only what was seen.

use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, PostParams},
};
use rollbackd::{
    domain::{
        change::Revision,
        plan::{Action, DeploymentAt, Step},
        run::{Order, Outcome, Report},
    },
    executors,
    kubernetes::shelf::Shelf,
    store::{self, Store},
    units::Span,
};
use serde_json::json;
use tempfile::TempDir;

use super::{
    cluster::Cluster,
    kubelet::Fate,
    place::{Place, options},
};

/// Who carries out, with a lease of its own.
pub(super) struct Hands {
    pub(super) options: executors::Options,
    store: Store,
    _dir: TempDir,
}

impl Hands {
    pub(super) fn new(place: &Place, cluster: &Cluster, context: Option<&str>) -> Self {
        let dir = TempDir::new().unwrap();
        let store = Store::open(store::Options::new(dir.path())).unwrap();
        let executor = executors::Options::new(dir.path().to_owned()).unwrap();
        let reached = options(cluster, &place.namespace, context);
        executor.clusters.adopt([("main".to_owned(), reached)].into());
        Self { options: executor, store, _dir: dir }
    }

    pub(super) async fn carry_out(&self, action: Action, timeout: Span, resumed: bool) -> Report {
        let (title, needs, fallback) = ("a step".to_owned(), vec![], None);
        let what = Step { title, action, needs, timeout, attempts: 1, fallback };
        let run = "run-7".to_owned();
        let order = Order { run, step: 0, attempt: 1, fallback: false, resumed, what };
        executors::carry_out(&order, &self.options, self.store.lease()).await
    }

    pub(super) async fn undo(&self, plan: &Planned) -> Report {
        self.carry_out(plan.undo(), Span::seconds(20), false).await
    }

    /// Keeps a version as the daemon does.
    async fn keep(&self, plan: &Planned, version: &Revision) {
        let which = (version, plan.replica_set.as_deref());
        let shelf = Shelf::of(&self.options.state_dir, &plan.at);
        let now = super::place::now();
        executors::keep(&self.options.clusters, &plan.at, which, &shelf, now).await.unwrap();
    }

    pub(super) async fn rollout(&self, plan: &Planned, timeout: Span) -> Report {
        let (at, to) = (plan.at.clone(), plan.to.clone());
        let action = Action::DeploymentRollout { at, to, stuck_after: Span::seconds(2) };
        self.carry_out(action, timeout, false).await
    }
}

/// What a plan names: made from what was seen, as the daemon makes it.
pub(super) struct Planned {
    pub(super) at: DeploymentAt,
    from: Revision,
    to: Revision,
    pub(super) replica_set: Option<String>,
}

impl Planned {
    /// From what is set now to the version of this tag.
    fn now(place: &Place, to: &str) -> Self {
        let seen = place.seen().inventory;
        let is_meant = |version: &str| version.starts_with(&format!("{to}+"));
        let target = seen.available.iter().find(|a| is_meant(&a.revision.version)).unwrap();
        let exact = seen.place(target);
        Self {
            at: DeploymentAt {
                cluster: "main".into(),
                namespace: place.namespace.clone(),
                name: "shop".into(),
                uid: exact.uid,
            },
            from: seen.linked.clone().unwrap(),
            to: target.revision.clone(),
            replica_set: exact.replica_set,
        }
    }

    pub(super) fn undo(&self) -> Action {
        let Self { at, from, to, replica_set } = self;
        Action::DeploymentUndo {
            at: at.clone(),
            from: from.clone(),
            to: to.clone(),
            replica_set: replica_set.clone(),
            misread_since: None,
        }
    }
}

/// A release that crashes, after one that served.
pub(super) async fn broken(place: &Place) -> Planned {
    place.deploy("1.4.1").await;
    place.until_serves("1.4.1").await;
    place.set_image("crash-2", "release 42").await;
    place
        .until("the broken release", |seen| {
            let linked = seen.inventory.linked.as_ref();
            linked.is_some_and(|linked| linked.version.starts_with("crash-2+"))
                && seen.inventory.available.len() > 1
        })
        .await;
    Planned::now(place, "1.4.1")
}

pub(super) async fn image_of(place: &Place) -> String {
    let deployment = place.deployments.get("shop").await.unwrap();
    let template = deployment.spec.unwrap().template.spec.unwrap();
    template.containers[0].image.clone().unwrap()
}

pub(super) fn refusal(report: &Report) -> (&str, bool) {
    let Outcome::Failed { why, retry } = &report.outcome else { panic!("{report:?}") };
    (why, *retry)
}

#[tokio::test]
async fn a_deployment_goes_back_to_the_very_replica_set_and_keeps_what_others_wrote() {
    let cluster = Cluster::shared();
    let place = Place::new(cluster).await;
    let plan = broken(&place).await;
    place.patch(json!({ "metadata": { "annotations": { "team": "payments" } } })).await;
    place.patch(json!({ "spec": { "replicas": 4 } })).await;
    let hands = Hands::new(&place, cluster, None);
    assert_eq!(hands.undo(&plan).await.outcome, Outcome::Done);
    let report = hands.rollout(&plan, Span::seconds(60)).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    let seen = place.until_serves("1.4.1").await.inventory;
    assert_eq!(seen.linked.as_ref(), Some(&plan.to));
    let called = seen.told.unwrap().called.unwrap();
    assert!(called.contains(plan.replica_set.as_deref().unwrap()), "{called}");
    let deployment = place.deployments.get("shop").await.unwrap();
    assert_eq!(deployment.spec.as_ref().unwrap().replicas, Some(4), "scaling is another matter");
    let annotation = |name: &str| deployment.annotations().get(name).map(String::as_str);
    assert_eq!(annotation("team"), Some("payments"));
    assert_eq!(
        annotation("kubernetes.io/change-cause"),
        None,
        "that of the release is gone with it"
    );
    assert!(annotation("rollbackd.dev/rolled-back").is_some_and(|note| note.contains("run-7")));

    // Twice is once.
    let generation = deployment.metadata.generation;
    assert_eq!(hands.undo(&plan).await.outcome, Outcome::AlreadyDone);
    let again = hands.carry_out(plan.undo(), Span::seconds(20), true).await;
    assert_eq!(again.outcome, Outcome::Done, "what an earlier daemon began is seen to be done");
    assert_eq!(hands.rollout(&plan, Span::seconds(60)).await.outcome, Outcome::AlreadyDone);
    assert_eq!(place.deployments.get("shop").await.unwrap().metadata.generation, generation);
}

#[tokio::test]
async fn whoever_deploys_or_undoes_in_between_wins_and_the_bad_version_never_comes_back() {
    let cluster = Cluster::shared();
    let place = Place::new(cluster).await;
    let plan = broken(&place).await;
    let hands = Hands::new(&place, cluster, None);
    place.set_image("1.4.3", "the fix").await;
    let report = hands.undo(&plan).await;
    let (why, retry) = refusal(&report);
    assert!(why.contains("somebody deployed in between") && why.contains("shop:1.4.3"), "{why}");
    assert!(!retry, "the plan is no longer right");
    let report = hands.rollout(&plan, Span::seconds(5)).await;
    assert!(refusal(&report).0.contains("somebody deployed in between"), "{report:?}");
    assert_eq!(image_of(&place).await, "registry.invalid/shop:1.4.3");
    // As `kubectl rollout undo` by a person: the plan finds its end reached.
    place.set_image("1.4.1", "by hand").await;
    assert_eq!(hands.undo(&plan).await.outcome, Outcome::AlreadyDone);
    assert_eq!(image_of(&place).await, "registry.invalid/shop:1.4.1");
}

/// A daemon that died right after its patch goes on with the same step; meanwhile somebody may have decided otherwise.
#[tokio::test]
async fn who_sets_it_again_after_this_rollback_set_it_back_is_not_overruled_by_the_same_rollback() {
    let cluster = Cluster::shared();
    let place = Place::new(cluster).await;
    let plan = broken(&place).await;
    let hands = Hands::new(&place, cluster, None);
    assert_eq!(hands.undo(&plan).await.outcome, Outcome::Done);
    let bad = json!({ "containers": [{ "name": "app", "image": super::place::image("crash-2") }] });
    place.patch(json!({ "spec": { "template": { "spec": bad } } })).await;
    let report = hands.carry_out(plan.undo(), Span::seconds(20), true).await;
    assert!(refusal(&report).0.contains("somebody set crash-2"), "{report:?}");
    assert_eq!(image_of(&place).await, super::place::image("crash-2"));
}

#[tokio::test]
async fn a_paused_rollout_is_left_alone_and_a_history_that_is_gone_is_said() {
    let cluster = Cluster::shared();
    let place = Place::new(cluster).await;
    let plan = broken(&place).await;
    let hands = Hands::new(&place, cluster, None);
    place.patch(json!({ "spec": { "paused": true } })).await;
    let report = hands.undo(&plan).await;
    assert!(refusal(&report).0.contains("`kubectl rollout resume`"), "{report:?}");
    place.patch(json!({ "spec": { "paused": false, "replicas": 0 } })).await;
    let report = hands.undo(&plan).await;
    assert!(refusal(&report).0.contains("scaled to 0 pods"), "{report:?}");
    place.patch(json!({ "spec": { "replicas": 3 } })).await;
    // A history of no revision: the controller forgets what does not serve any more.
    place
        .patch(json!({ "spec": { "paused": false, "revisionHistoryLimit": 0, "strategy": {
        "type": "Recreate", "rollingUpdate": null } } }))
        .await;
    let sets: Api<ReplicaSet> = Api::namespaced(cluster.client().await, &place.namespace);
    sets.delete(plan.replica_set.as_deref().unwrap(), &DeleteParams::default()).await.unwrap();
    let report = hands.undo(&plan).await;
    let (why, retry) = refusal(&report);
    assert!(why.contains(plan.replica_set.as_deref().unwrap()), "{why}");
    assert!(why.contains("it is not there") && !retry, "{why}");
    assert_eq!(image_of(&place).await, "registry.invalid/shop:crash-2");
}

/// The history is forgotten, and what served well is not.
#[tokio::test]
async fn what_was_kept_of_a_good_version_is_gone_back_to_where_its_replica_set_is_gone() {
    let cluster = Cluster::shared();
    let place = Place::new(cluster).await;
    let plan = broken(&place).await;
    let hands = Hands::new(&place, cluster, None);
    hands.keep(&plan, &plan.to).await;
    let sets: Api<ReplicaSet> = Api::namespaced(cluster.client().await, &place.namespace);
    sets.delete(plan.replica_set.as_deref().unwrap(), &DeleteParams::default()).await.unwrap();
    assert_eq!(hands.undo(&plan).await.outcome, Outcome::Done);
    let seen = place.until_serves("1.4.1").await.inventory;
    assert_eq!(seen.linked.as_ref(), Some(&plan.to), "the very same version");
}

/// With this, no pod is available for ages, whatever its template is.
#[tokio::test]
async fn what_a_release_changed_beside_the_template_goes_back_when_the_template_did_not_help() {
    let cluster = Cluster::shared();
    let place = Place::new(cluster).await;
    place.deploy("1.4.1").await;
    place.until_serves("1.4.1").await;
    let hands = Hands::new(&place, cluster, None);
    let good = Planned::now(&place, "1.4.1");
    hands.keep(&good, &good.to).await;
    place.patch(json!({ "spec": { "minReadySeconds": 2_000_000_000, "progressDeadlineSeconds": 2_100_000_000, "replicas": 4 } })).await;
    place.set_image("crash-2", "release 42").await;
    let set = |seen: &rollbackd::sources::kubernetes::Seen| {
        seen.inventory.linked.as_ref().is_some_and(|l| l.version.starts_with("crash-2+"))
    };
    place.until("the release", set).await;
    let plan = Planned::now(&place, "1.4.1");
    assert_eq!(hands.undo(&plan).await.outcome, Outcome::Done);
    let report = hands.rollout(&plan, Span::seconds(3)).await;
    assert!(refusal(&report).0.contains("did not come to serve in time"), "{report:?}");
    let at_noon = json!({ "kubectl.kubernetes.io/restartedAt": "2026-11-27T12:00:00Z" });
    let restart = json!({ "template": { "metadata": { "annotations": at_noon } } });
    place.patch(json!({ "spec": restart })).await;
    let (at, from, to) = (plan.at.clone(), plan.from.clone(), plan.to.clone());
    let apply = Action::DeploymentApply { at, from, to, stuck_after: Span::minutes(1) };
    let report = hands.carry_out(apply.clone(), Span::seconds(60), false).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    assert_eq!(report.before, "another minReadySeconds, progressDeadlineSeconds than then");
    let spec = place.deployments.get("shop").await.unwrap().spec.unwrap();
    assert_eq!((spec.min_ready_seconds, spec.progress_deadline_seconds), (None, Some(5)));
    assert_eq!(spec.replicas, Some(4), "scaling is another matter");
    let annotations = spec.template.metadata.and_then(|meta| meta.annotations);
    assert_eq!(json!(annotations), at_noon, "without it, it would be one rollout more");
    let again = hands.carry_out(apply.clone(), Span::seconds(60), true).await;
    assert_eq!(again.outcome, Outcome::Done, "seen to be done: {again:?}");
    // Who deployed in between is left alone, also with what was rolled away from.
    for tag in ["1.4.3", "crash-2"] {
        place.set_image(tag, "by hand").await;
        let report = hands.carry_out(apply.clone(), Span::seconds(5), false).await;
        assert!(refusal(&report).0.contains("somebody deployed in between"), "{report:?}");
        assert_eq!(image_of(&place).await, super::place::image(tag));
    }
}

#[tokio::test]
async fn another_deployment_of_the_same_name_and_one_that_is_gone_are_left_alone() {
    let cluster = Cluster::shared();
    let place = Place::new(cluster).await;
    let plan = broken(&place).await;
    let hands = Hands::new(&place, cluster, None);
    place.deployments.delete("shop", &DeleteParams::foreground()).await.unwrap();
    let gone = async || place.deployments.get_opt("shop").await.unwrap().is_none().then_some(());
    crate::rig::eventually("it is gone", super::place::SOON, gone).await;
    let report = hands.undo(&plan).await;
    assert!(refusal(&report).0.contains("not found"), "{report:?}");
    place.deploy("crash-2").await;
    let report = hands.undo(&plan).await;
    assert!(refusal(&report).0.contains("another Deployment shop was made"), "{report:?}");
    assert_eq!(image_of(&place).await, "registry.invalid/shop:crash-2");
}

#[tokio::test]
async fn who_may_not_and_who_is_denied_say_so_and_nothing_is_changed() {
    let cluster = Cluster::shared();
    let place = Place::new(cluster).await;
    let plan = broken(&place).await;
    let report = Hands::new(&place, cluster, Some("nobody")).undo(&plan).await;
    let (why, retry) = refusal(&report);
    assert!(why.contains("not permitted") && why.contains("deployments.apps") && !retry, "{why}");

    // The API server's own kind of admission webhook.
    let client = cluster.client().await;
    let name = format!("no-fridays-{}", place.namespace);
    let policy = json!({
        "metadata": { "name": name },
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": { "resourceRules": [{
                "apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["deployments"],
            }] },
            "validations": [{ "expression": "false", "message": "no changes on Fridays" }],
        },
    });
    let binding = json!({
        "metadata": { "name": name },
        "spec": {
            "policyName": name, "validationActions": ["Deny"],
            "matchResources": { "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": place.namespace } } },
        },
    });
    let policies: Api<k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy> =
        Api::all(client.clone());
    let bindings: Api<
        k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicyBinding,
    > = Api::all(client);
    policies
        .create(&PostParams::default(), &serde_json::from_value(policy).unwrap())
        .await
        .unwrap();
    bindings
        .create(&PostParams::default(), &serde_json::from_value(binding).unwrap())
        .await
        .unwrap();
    // It takes the API server a moment to know of it.
    let denied = async || {
        let touch = json!({ "metadata": { "annotations": { "touched": "yes" } } });
        let patch = kube::api::Patch::Merge(touch);
        let params = kube::api::PatchParams { dry_run: true, ..Default::default() };
        place.deployments.patch("shop", &params, &patch).await.is_err().then_some(())
    };
    crate::rig::eventually("the policy is in force", super::place::SOON, denied).await;
    let report = Hands::new(&place, cluster, None).undo(&plan).await;
    let (why, retry) = refusal(&report);
    assert!(why.contains("no changes on Fridays") && !retry, "{why}");
    bindings.delete(&name, &DeleteParams::default()).await.unwrap();
    policies.delete(&name, &DeleteParams::default()).await.unwrap();
    assert_eq!(image_of(&place).await, "registry.invalid/shop:crash-2");
}

#[tokio::test]
async fn an_autoscaler_that_writes_all_the_time_does_not_keep_it_from_going_back() {
    let cluster = Cluster::shared();
    let place = Place::new(cluster).await;
    let plan = broken(&place).await;
    let hands = Hands::new(&place, cluster, None);
    let deployments = place.deployments.clone();
    let autoscaler = tokio::spawn(async move {
        for replicas in [3, 4].into_iter().cycle() {
            let scale = kube::api::Patch::Merge(json!({ "spec": { "replicas": replicas } }));
            let _ = deployments.patch_scale("shop", &Default::default(), &scale).await;
        }
    });
    let report = hands.undo(&plan).await;
    autoscaler.abort();
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    assert_eq!(image_of(&place).await, "registry.invalid/shop:1.4.1");
}

/// What is set between its look and its patch is not overwritten: it is looked at again, and said.
#[tokio::test]
async fn a_pipeline_that_deploys_at_the_same_moment_is_never_overwritten_unseen() {
    let cluster = Cluster::shared();
    let place = Place::new(cluster).await;
    let plan = broken(&place).await;
    let hands = Hands::new(&place, cluster, None);
    let deployments = place.deployments.clone();
    let pipeline = tokio::spawn(async move {
        for tag in ["crash-3", "crash-2"].into_iter().cycle() {
            let containers = json!([{ "name": "app", "image": super::place::image(tag) }]);
            let image = json!({ "spec": { "template": { "spec": { "containers": containers } } } });
            let patch = kube::api::Patch::Strategic(image);
            let _ = deployments.patch("shop", &Default::default(), &patch).await;
        }
    });
    for _ in 0..10 {
        let report = hands.undo(&plan).await;
        if report.outcome != Outcome::Done {
            let (why, _) = refusal(&report);
            let is_told = why.contains("deployed in between") || why.contains("again since");
            assert!(is_told, "{why}");
        }
    }
    pipeline.abort();
}

#[tokio::test]
async fn a_version_that_does_not_come_to_serve_is_said_with_what_is_missing() {
    let cluster = Cluster::shared();
    let place = Place::new(cluster).await;
    let plan = broken(&place).await;
    place.kubelet.let_be("1.4.1", Fate::NotReady);
    let hands = Hands::new(&place, cluster, None);
    assert_eq!(hands.undo(&plan).await.outcome, Outcome::Done);
    let report = hands.rollout(&plan, Span::seconds(3)).await;
    let (why, _) = refusal(&report);
    assert!(why.contains("did not come to serve in time"), "{why}");
    place.kubelet.let_be("1.4.1", Fate::NoImage);
    let report = hands.rollout(&plan, Span::minutes(5)).await;
    let (why, _) = refusal(&report);
    assert!(why.contains("does not come to serve") && why.contains("ImagePullBackOff"), "{why}");
    place.kubelet.let_be("1.4.1", Fate::Ready);
    // They may be ready before anybody looks.
    let outcome = hands.rollout(&plan, Span::seconds(60)).await.outcome;
    assert!(matches!(outcome, Outcome::Done | Outcome::AlreadyDone), "{outcome:?}");
}

#[tokio::test]
async fn an_api_server_that_is_down_is_said_and_may_be_tried_again() {
    let mut cluster = Cluster::start();
    let place = Place::new(&cluster).await;
    let plan = broken(&place).await;
    let hands = Hands::new(&place, &cluster, None);
    cluster.tell("kill apiserver");
    let report = hands.carry_out(plan.undo(), Span::seconds(2), false).await;
    let (why, retry) = refusal(&report);
    assert!(retry && why.contains("looking at the Deployment"), "{why}");
    let resumed = hands.carry_out(plan.undo(), Span::seconds(2), true).await;
    assert!(
        matches!(resumed.outcome, Outcome::Unknown { .. }),
        "an earlier daemon may have done it"
    );
    cluster.tell("start apiserver");
    assert_eq!(hands.undo(&plan).await.outcome, Outcome::Done);
    // Whether it serves is not known while nobody answers, and nothing may follow from that.
    cluster.tell("kill apiserver");
    let unseen = hands.rollout(&plan, Span::seconds(2)).await;
    assert!(matches!(unseen.outcome, Outcome::Unknown { .. }), "{unseen:?}");
    cluster.tell("start apiserver");
    let outcome = hands.rollout(&plan, Span::seconds(60)).await.outcome;
    assert!(matches!(outcome, Outcome::Done | Outcome::AlreadyDone), "{outcome:?}");
    let deployment: Deployment = place.deployments.get("shop").await.unwrap();
    assert!(deployment.metadata.generation.is_some_and(|now| now >= 3));
    assert!(Duration::from_millis(u64::try_from(report.took_ms).unwrap()) < Duration::from_secs(5));
}

//! A Deployment that Argo CD or Flux sets, too, and puts back: their objects are real ones, and a task stands in for them.

use futures_util::StreamExt;
use hyper::Request;
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
    runtime::watcher::{Config, watcher},
};
use rollbackd::{
    domain::{
        change::Revision,
        owner::OwnerRule,
        plan::{Action, Step},
        planning::Moves,
        reconciler::{Kind, Reconciler},
        run::{Order, Outcome, Report},
        runbook::DeploymentRunbook,
    },
    executors::{self, Options},
    store::{self, Store},
    units::Span,
};
use serde_json::{Value, json};
use tokio::{sync::OnceCell, task::JoinHandle};

use super::{
    cluster::Cluster,
    place::{Place, SOON, image, options},
};
use crate::rig::eventually;

const CRDS: [&str; 3] = [
    include_str!("../../fixtures/kubernetes/crds/applications.yaml"),
    include_str!("../../fixtures/kubernetes/crds/kustomizations.yaml"),
    include_str!("../../fixtures/kubernetes/crds/helmreleases.yaml"),
];
const CRD_PATH: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const APPLICATION: (&str, &str) = ("argoproj.io/v1alpha1", "Application");
const KUSTOMIZATION: (&str, &str) = ("kustomize.toolkit.fluxcd.io/v1", "Kustomization");
const HELM_RELEASE: (&str, &str) = ("helm.toolkit.fluxcd.io/v2", "HelmRelease");

/// A place in which objects of Argo CD and Flux can be made, and a daemon's executors.
struct Owned {
    place: Place,
    client: Client,
    options: Options,
    store: Store,
    _dir: tempfile::TempDir,
}

impl Owned {
    async fn new() -> Self {
        static DEFINED: OnceCell<()> = OnceCell::const_new();
        let cluster = Cluster::shared();
        let place = Place::new(cluster).await;
        let client = cluster.client().await;
        DEFINED.get_or_init(|| define(&client)).await;
        let dir = tempfile::tempdir().unwrap();
        let executors = Options::new(dir.path().to_owned()).unwrap();
        let at = options(cluster, &place.namespace, None);
        executors.clusters.adopt([("main".to_owned(), at)].into());
        let store = Store::open(store::Options::new(dir.path())).unwrap();
        Self { place, client, options: executors, store, _dir: dir }
    }

    fn path(&self, (api, kind): (&str, &str), name: &str) -> String {
        let plural = format!("{}s", kind.to_lowercase());
        format!("/apis/{api}/namespaces/{}/{plural}/{name}", self.place.namespace)
    }

    /// An object `web`, with more in its metadata.
    async fn make(&self, of: (&str, &str), meta: Value, spec: Value) {
        let mut metadata = json!({ "name": "web" });
        metadata.as_object_mut().unwrap().extend(meta.as_object().unwrap().clone());
        let body = json!({ "apiVersion": of.0, "kind": of.1, "metadata": metadata, "spec": spec });
        let path = self.path(of, "");
        let post =
            Request::post(path.trim_end_matches('/')).header("content-type", "application/json");
        let made = post.body(body.to_string().into_bytes()).unwrap();
        self.client.request::<Value>(made).await.unwrap();
    }

    async fn spec(&self, of: (&str, &str)) -> Value {
        get(&self.client, &self.path(of, "web")).await.unwrap()["spec"].clone()
    }

    fn runbook(&self, owner: OwnerRule) -> DeploymentRunbook {
        DeploymentRunbook {
            cluster: "main".into(),
            namespace: self.place.namespace.clone(),
            name: "shop".into(),
            undo_timeout: Span::seconds(30),
            rollout_timeout: Span::minutes(1),
            stuck_after: Span::minutes(1),
            attempts: 1,
            owner,
            argocd_namespace: self.place.namespace.clone(),
            previous: None,
        }
    }

    /// The steps of a plan made from what is seen now.
    fn steps(&self, owner: OwnerRule, to: &Revision) -> Vec<Step> {
        let seen = self.place.seen().inventory;
        let there = seen.find(&to.version).expect("its ReplicaSet is there");
        let from = seen.linked.clone().expect("it is set to something");
        let moves = Moves { from: &from, to, configuration: None, database: None };
        self.runbook(owner).steps(&moves, &seen.place(there))
    }

    async fn carry_out(&self, what: Step) -> Report {
        let (run, step, attempt) = ("shop-1-r1".into(), 0, 1);
        let order = Order { run, step, attempt, fallback: false, resumed: false, what };
        executors::carry_out(&order, &self.options, self.store.lease()).await
    }

    async fn suspend(&self, kind: Kind, namespace: &str) -> Report {
        let reconciler = Reconciler { kind, namespace: namespace.into(), name: "web".into() };
        self.carry_out(Step {
            title: "suspend it".into(),
            action: Action::OwnerSuspend { cluster: "main".into(), reconciler },
            needs: vec![],
            timeout: Span::seconds(20),
            attempts: 1,
            fallback: None,
        })
        .await
    }

    /// `good` serves; then Argo CD, which syncs by itself, sets `crash-2`, and keeps to it.
    async fn syncs(&self) -> (Revision, JoinHandle<()>) {
        let (place, namespace) = (&self.place, &self.place.namespace);
        place.deploy("1.4.1").await;
        let id = format!("web:apps/Deployment:{namespace}/shop");
        place
            .patch(
                json!({ "metadata": { "annotations": { "argocd.argoproj.io/tracking-id": id } } }),
            )
            .await;
        let good = place.until_serves("1.4.1").await.inventory.linked.unwrap();
        let policy = json!({ "syncPolicy": { "automated": { "prune": true, "selfHeal": true }, "retry": { "limit": 2 } } });
        self.make(APPLICATION, json!({}), policy).await;
        let (client, application) = (self.client.clone(), self.path(APPLICATION, "web"));
        let fights =
            tokio::spawn(keep_to("crash-2", client, place.deployments.clone(), application));
        self.is_bad().await;
        (good, fights)
    }

    async fn is_bad(&self) {
        let seen = self.place.until("the bad version is set", |seen| {
            let linked = seen.inventory.linked.as_ref();
            linked.is_some_and(|linked| linked.version.starts_with("crash-2+"))
        });
        let told = seen.await.inventory.told.unwrap();
        assert_eq!(told.by.as_deref(), Some("argocd-controller"));
    }
}

/// As Argo CD heals: whatever is set otherwise is set back, unless the Application does not sync by itself.
async fn keep_to(tag: &str, client: Client, deployments: Api<Deployment>, application: String) {
    let template = json!({ "spec": { "containers": [{ "name": "app", "image": image(tag) }] } });
    let params =
        PatchParams { field_manager: Some("argocd-controller".into()), ..Default::default() };
    let mut events = std::pin::pin!(watcher(deployments.clone(), Config::default()));
    while let Some(event) = events.next().await {
        let Ok(object) = get(&client, &application).await else { return };
        if event.is_ok() && !object["spec"]["syncPolicy"]["automated"].is_null() {
            let patch = Patch::Strategic(json!({ "spec": { "template": template } }));
            let _ = deployments.patch("shop", &params, &patch).await;
        }
    }
}

async fn get(client: &Client, path: &str) -> kube::Result<Value> {
    client.request(Request::get(path).body(vec![]).unwrap()).await
}

async fn define(client: &Client) {
    for crd in CRDS {
        let post = Request::post(CRD_PATH).header("content-type", "application/yaml");
        let post = post.body(crd.as_bytes().to_vec()).unwrap();
        client.request::<Value>(post).await.unwrap();
    }
    for (api, kind) in [APPLICATION, KUSTOMIZATION, HELM_RELEASE] {
        let path = format!("/apis/{api}/{}s", kind.to_lowercase());
        eventually("the definition is served", SOON, async || get(client, &path).await.ok()).await;
    }
}

#[tokio::test]
async fn what_is_taken_over_stays_as_it_was_rolled_back_and_is_told_with_how_to_resume_it() {
    let owned = Owned::new().await;
    let (good, fights) = owned.syncs().await;
    for step in owned.steps(OwnerRule::TakeOver, &good) {
        let (title, report) = (step.title.clone(), owned.carry_out(step).await);
        let is_done = matches!(report.outcome, Outcome::Done | Outcome::AlreadyDone);
        assert!(is_done, "{title}: {report:?}");
    }
    owned.place.until_serves("1.4.1").await;
    assert_eq!(owned.spec(APPLICATION).await["syncPolicy"], json!({ "retry": { "limit": 2 } }));
    // What a daemon says that did not live to hear of it is what the first one said.
    let namespace = &owned.place.namespace;
    let again = owned.suspend(Kind::Application, namespace).await;
    assert_eq!((again.outcome, again.before.as_str()), (Outcome::AlreadyDone, "it is suspended"));
    let how = format!(
        "`argocd app set {namespace}/web --sync-policy automated --auto-prune --self-heal`"
    );
    assert!(again.left.contains(&how), "{}", again.left);
    fights.abort();
}

#[tokio::test]
async fn what_is_rolled_back_under_a_reconciler_that_goes_on_is_put_back_and_seen_to_be() {
    let owned = Owned::new().await;
    let (good, fights) = owned.syncs().await;
    let mut reports = vec![];
    for step in owned.steps(OwnerRule::Page, &good) {
        reports.push(owned.carry_out(step).await);
    }
    let [undo, rollout] = &reports[..] else { panic!("{reports:?}") };
    assert_eq!(undo.outcome, Outcome::Done);
    let Outcome::Failed { why, retry: false } = &rollout.outcome else { panic!("{rollout:?}") };
    assert!(why.contains("somebody deployed in between"), "{why}");
    owned.is_bad().await;
    fights.abort();
}

#[tokio::test]
async fn flux_is_suspended_and_what_cannot_be_is_named() {
    let owned = Owned::new().await;
    let namespace = owned.place.namespace.clone();
    for (of, kind, how) in [
        (KUSTOMIZATION, Kind::Kustomization, "kustomization"),
        (HELM_RELEASE, Kind::HelmRelease, "helmrelease"),
    ] {
        owned.make(of, json!({}), json!({ "interval": "1m" })).await;
        let report = owned.suspend(kind, &namespace).await;
        assert_eq!(report.outcome, Outcome::Done, "{report:?}");
        assert_eq!(owned.spec(of).await, json!({ "interval": "1m", "suspend": true }));
        let command = format!("`flux resume {how} web -n {namespace}`");
        assert!(report.left.contains(&command), "{}", report.left);
    }
    let failed = |report: Report| {
        let Outcome::Failed { why, retry: false } = &report.outcome else { panic!("{report:?}") };
        why.clone()
    };
    let none = failed(owned.suspend(Kind::Kustomization, "default").await);
    assert!(none.contains("\"web\" not found"), "{none}");
    let set = json!([{ "apiVersion": "argoproj.io/v1alpha1", "kind": "ApplicationSet", "name": "all", "uid": "u-1", "controller": true }]);
    let policy = json!({ "syncPolicy": { "automated": {} } });
    owned.make(APPLICATION, json!({ "ownerReferences": set }), policy.clone()).await;
    let made = failed(owned.suspend(Kind::Application, &namespace).await);
    assert!(made.contains("ApplicationSet all would put back how Application"), "{made}");
    assert_eq!(owned.spec(APPLICATION).await, policy);
}

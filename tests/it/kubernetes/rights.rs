//! By the rights of `deploy/kubernetes/`: what can be seen and done with them, and nothing else.

use std::{fs, path::PathBuf};

use hyper::Method;
use kube::{Client, Config, config::Kubeconfig};
use rollbackd::{
    domain::{
        change::Revision,
        inventory::Inventory,
        plan::{Action, DeploymentAt, Step},
        run::{Order, Outcome, Report},
    },
    executors::{self, carry_out},
    kubernetes::access::{Access, Options},
    sources::kubernetes::{self, Standing, Watched},
    store::{self, Store},
    units::Span,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    cluster::Cluster,
    kustomization::{Done, apply, ask, deploy, one, restricted},
    place::{Place, SOON, now, options},
};
use crate::rig::eventually;

/// Somebody with a ServiceAccount's own token, as the daemon is in its pod.
pub(crate) struct Account {
    home: TempDir,
    options: Options,
    client: Client,
}

impl Account {
    /// The token of a ServiceAccount, used in one namespace.
    async fn of(cluster: &Cluster, account: (&str, &str), namespace: &str) -> Self {
        let (of, name) = account;
        let at = format!("/api/v1/namespaces/{of}/serviceaccounts/{name}/token");
        let wanted = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": { "audiences": [] } });
        let answer = ask(&cluster.client().await, Method::POST, &at, &wanted).await;
        let token = answer.body["status"]["token"].as_str().expect("a token");
        let home = TempDir::new().unwrap();
        let path = home.path().join("kubeconfig");
        let admins = fs::read_to_string(cluster.kubeconfig()).unwrap();
        let (before, after) = admins.split_once("name: admin, user: { token: \"").unwrap();
        let (_, after) = after.split_once('"').unwrap();
        let text = format!("{before}name: admin, user: {{ token: \"{token}\"{after}");
        fs::write(&path, text).unwrap();
        let file = Kubeconfig::read_from(&path).unwrap();
        let config = Config::from_custom_kubeconfig(file, &Default::default()).await.unwrap();
        let access = Access::Kubeconfig { path, context: None };
        let options = Options { access, ..options(cluster, namespace, None) };
        Self { home, options, client: Client::try_from(config).unwrap() }
    }

    /// The daemon's account, with the rights of a directory in the place's namespace.
    pub(crate) async fn with(rights: &str, cluster: &Cluster, place: &Place) -> Self {
        let admin = cluster.client().await;
        deploy(&admin, "base", "", Done::Really).await;
        deploy(&admin, rights, &place.namespace, Done::Really).await;
        Self::of(cluster, ("rollbackd", "rollbackd"), &place.namespace).await
    }

    /// The same as an observer who may not look at what pods read.
    pub(crate) async fn without_maps(cluster: &Cluster, place: &Place) -> Self {
        Self::without("configmaps", cluster, place).await
    }

    /// An observer who may do nothing with objects of a kind.
    pub(crate) async fn without(plural: &str, cluster: &Cluster, place: &Place) -> Self {
        let account = Self::with("rights/observe", cluster, place).await;
        let mut role = one("rights/observe", "Role");
        let rules = role["rules"].as_array_mut().unwrap();
        rules.retain(|rule| rule["resources"][0] != plural);
        let admin = cluster.client().await;
        let answer = apply(&admin, &role, &place.namespace, Done::Really).await;
        assert_eq!(answer.code, 200, "{answer:?}");
        account
    }

    pub(crate) fn options(&self) -> Options {
        self.options.clone()
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.home.path().join("kubeconfig")
    }

    async fn code(&self, method: Method, path: &str) -> u16 {
        ask(&self.client, method, path, &json!({})).await.code
    }

    /// Sees a Deployment through its own watch.
    async fn sees(&self, place: &Place) -> Inventory {
        let watched = Watched::new(self.options.clone());
        let watching = tokio::spawn(kubernetes::watch(watched.clone()));
        let seen = eventually("it is seen", SOON, async || {
            let seen = watched.see(&place.key(), None, now());
            (seen.standing == Standing::Well && seen.inventory.is_settled()).then_some(seen)
        })
        .await;
        watching.abort();
        seen.inventory
    }

    /// The undo of a plan, carried out.
    async fn undo(&self, place: &Place, from: &Revision, to: &Revision, set: String) -> Report {
        let at = DeploymentAt {
            cluster: self.options.name.clone(),
            namespace: place.namespace.clone(),
            name: "shop".into(),
            uid: None,
        };
        let (from, to) = (from.clone(), to.clone());
        let what = Step {
            title: "set the template back".into(),
            action: Action::DeploymentUndo {
                at,
                from,
                to,
                replica_set: Some(set),
                misread_since: None,
            },
            needs: vec![],
            timeout: Span::seconds(30),
            attempts: 1,
            fallback: None,
        };
        let order = Order {
            run: "run-1".into(),
            step: 0,
            attempt: 1,
            fallback: false,
            resumed: false,
            what,
        };
        let directory = self.home.path().join("state");
        let store = Store::open(store::Options::new(&directory)).unwrap();
        let known = executors::Options::new(directory).unwrap();
        known.clusters.adopt([(self.options.name.clone(), self.options.clone())].into());
        carry_out(&order, &known, store.lease()).await
    }
}

/// A bad version in a Deployment that had a good one, seen by this account: from what, to what, and what holds it.
async fn broken(account: &Account, place: &Place) -> (Revision, Revision, String) {
    let good = account.sees(place).await.linked.unwrap();
    place.set_image("crash-2", "release 42").await;
    let bad = place.until("the crash loop", |seen| matches!(seen.standing, Standing::Unwell(_)));
    let bad = bad.await.inventory;
    let held = bad.find(&good.version).unwrap().held_in.clone().unwrap().replica_set;
    (bad.linked.unwrap(), good, held)
}

pub(crate) async fn serving(cluster: &Cluster) -> Place {
    let place = Place::new(cluster).await;
    place.deploy("1.4.1").await;
    place.until_serves("1.4.1").await;
    place
}

/// Where the objects of a kind are.
fn all_of(kind: &str, namespace: &str) -> String {
    let group =
        if matches!(kind, "deployments" | "replicasets") { "apis/apps/v1" } else { "api/v1" };
    format!("/{group}/namespaces/{namespace}/{kind}")
}

/// What nobody grants: whatever a rollback has no use for.
async fn may_do_nothing_else(account: &Account, namespace: &str, deployment: &str) {
    let of = |kind: &str| all_of(kind, namespace);
    let deployments = of("deployments");
    for (method, path) in [
        (Method::DELETE, format!("{deployments}/{deployment}?dryRun=All")),
        (Method::PATCH, format!("{deployments}/{deployment}/scale?fieldManager=x")),
        (Method::POST, format!("{deployments}?dryRun=All")),
        (Method::DELETE, format!("{}/any", of("replicasets"))),
        (Method::DELETE, format!("{}/any", of("pods"))),
        (Method::GET, of("secrets")),
        (Method::DELETE, format!("{}/any", of("configmaps"))),
        (Method::GET, all_of("deployments", "default")),
        (Method::PATCH, format!("{}/any?fieldManager=x", all_of("deployments", "default"))),
        (Method::GET, "/api/v1/pods".to_owned()),
    ] {
        assert_eq!(account.code(method.clone(), &path).await, 403, "{method} {path}");
    }
}

#[tokio::test]
async fn an_observer_sees_and_may_change_nothing() {
    let cluster = Cluster::shared();
    let place = serving(cluster).await;
    let account = Account::with("rights/observe", cluster, &place).await;
    let (from, to, set) = broken(&account, &place).await;
    may_do_nothing_else(&account, &place.namespace, "shop").await;
    let Outcome::Failed { why, retry } = account.undo(&place, &from, &to, set).await.outcome else {
        panic!("it was not refused")
    };
    assert!(!retry && why.contains("cannot patch resource \"deployments\""), "{why}");
    let maps = all_of("configmaps", &place.namespace);
    assert_eq!(account.code(Method::GET, &maps).await, 200);
    let patch = format!("{maps}/any?fieldManager=x&dryRun=All");
    for (method, path) in [(Method::PATCH, patch), (Method::POST, format!("{maps}?dryRun=All"))] {
        assert_eq!(account.code(method, &path).await, 403, "{path}");
    }
}

#[tokio::test]
async fn with_the_right_to_act_a_deployment_is_set_back_and_nothing_else_is_done() {
    let cluster = Cluster::shared();
    let place = serving(cluster).await;
    let account = Account::with("rights/act", cluster, &place).await;
    let (from, to, set) = broken(&account, &place).await;
    let report = account.undo(&place, &from, &to, set).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    assert_eq!(place.until_serves("1.4.1").await.inventory.linked, Some(to));
    may_do_nothing_else(&account, &place.namespace, "shop").await;
}

/// The rights everywhere hold for whoever runs in this cluster, so it is one of its own.
#[tokio::test]
async fn an_observer_of_everything_watches_all_namespaces_at_once() {
    let cluster = Cluster::start();
    let place = serving(&cluster).await;
    let mut account = Account::with("rights/observe-everywhere", &cluster, &place).await;
    account.options.namespace = None;
    account.sees(&place).await;
    let patch = format!("{}/shop?fieldManager=x", all_of("deployments", &place.namespace));
    assert_eq!(account.code(Method::PATCH, &patch).await, 403);
}

#[tokio::test]
async fn a_sidecar_may_set_its_own_deployment_back_and_no_other() {
    let cluster = Cluster::shared();
    let admin = cluster.client().await;
    restricted(&admin, "shop").await;
    deploy(&admin, "sidecar", "", Done::Really).await;
    let account = Account::of(cluster, ("shop", "checkout"), "shop").await;
    may_do_nothing_else(&account, "shop", "checkout").await;
    assert_eq!(account.code(Method::GET, &all_of("configmaps", "shop")).await, 403);
    let deployments = all_of("deployments", "shop");
    let patch = async |name: &str| {
        let body: Value = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "annotations": { "x": "y" } } });
        let at = format!("{deployments}/{name}?fieldManager=x&dryRun=All");
        ask(&account.client, Method::PATCH, &at, &body).await.code
    };
    assert_eq!((patch("checkout").await, patch("cart").await), (200, 403));
    assert_eq!(account.code(Method::GET, &format!("{deployments}/cart")).await, 403);
    for kind in ["deployments", "replicasets", "pods"] {
        assert_eq!(account.code(Method::GET, &all_of(kind, "shop")).await, 200, "{kind}");
    }
}

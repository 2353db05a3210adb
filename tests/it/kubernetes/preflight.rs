//! Whether a rollback would find what it needs, as `check --online` tells it: of a real API server, with a real directory.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use rollbackd::{
    domain::plan::DeploymentAt,
    kubernetes::{
        shelf::{Manifest, Shelf},
        template::Template,
    },
};
use serde_json::json;

use super::{
    cluster::Cluster,
    place::{Place, now},
    rights::{Account, serving},
};

/// The exit code of `check --online`, and what it prints.
pub(super) fn check(
    place: &Place,
    kubeconfig: &Path,
    context: &str,
    mode: &str,
    more: &str,
) -> (i32, String) {
    let directory = tempfile::tempdir().unwrap();
    check_in(directory.path(), place, (kubeconfig, context), mode, ["", more])
}

/// With this state directory, and more to be said of the cluster.
pub(super) fn check_keeping(
    directory: &Path,
    place: &Place,
    (kubeconfig, more): (PathBuf, String),
) -> (i32, String) {
    run(directory, place, (&kubeconfig, &format!("\n{more}")), "auto", ["", ""])
}

/// With this state directory, and more to be said of the Deployment and after it.
fn check_in(
    directory: &Path,
    place: &Place,
    (kubeconfig, context): (&Path, &str),
    mode: &str,
    both: [&str; 2],
) -> (i32, String) {
    run(directory, place, (kubeconfig, &format!("\ncontext = \"{context}\"")), mode, both)
}

fn run(
    directory: &Path,
    place: &Place,
    (kubeconfig, of_cluster): (&Path, &str),
    mode: &str,
    [of_it, more]: [&str; 2],
) -> (i32, String) {
    let file = directory.join("rollbackd.toml");
    let text = format!(
        r#"
state_dir = "{}"
mode = "{mode}"
[kubernetes.main]
kubeconfig = "{}"{of_cluster}
[service.pods.rollback.application.kubernetes]
namespace = "{}"
deployment = "shop"
{of_it}
[service.pods.signal.health.kubernetes]
{more}
"#,
        directory.display(),
        kubeconfig.display(),
        place.namespace,
    );
    fs::write(&file, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollbackd"));
    let output = command.arg("check").arg(&file).arg("--online").output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(said).unwrap())
}

#[tokio::test]
async fn with_its_rights_and_an_earlier_version_nothing_is_missing() {
    let cluster = Cluster::shared();
    let place = serving(cluster).await;
    let account = Account::with("rights/act", cluster, &place).await;
    let kubeconfig = account.kubeconfig();
    let (code, said) = check(&place, &kubeconfig, "rig", "auto", "");
    assert!(said.contains("missing: an earlier version is there: no other template"), "{said}");
    assert_eq!(code, 1, "{said}");
    place.set_image("1.4.2", "release 42").await;
    place.until_serves("1.4.2").await;
    let (code, said) = check(&place, &kubeconfig, "rig", "auto", "");
    assert!(said.contains("pods/production: a rollback would find what it needs"), "{said}");
    let who = "system:serviceaccount:rollbackd:rollbackd";
    let may = format!("{who} may get and patch deployments/shop, get replicasets in");
    assert!(said.contains(&may), "{said}");
    assert!(said.contains("kept besides what is set: 1.4.1+"), "{said}");
    assert_eq!(code, 0, "{said}");
}

#[tokio::test]
async fn the_right_that_is_missing_is_named_with_what_grants_it() {
    let cluster = Cluster::shared();
    let place = serving(cluster).await;
    let account = Account::with("rights/observe", cluster, &place).await;
    let namespace = &place.namespace;
    let (code, said) = check(&place, &account.kubeconfig(), "rig", "approve", "");
    let missing = format!("may not patch deployments/shop in {namespace}; grant it as");
    assert!(said.contains(&missing), "{said}");
    assert!(
        said.contains(&format!("kubectl apply -k deploy/kubernetes/rights/act -n {namespace}"))
    );
    assert!(said.contains("ok: it may be watched: "), "{said}");
    assert_eq!(code, 1, "{said}");

    let (code, said) = check(&place, &cluster.kubeconfig(), "nobody", "observe", "");
    let nothing = "nobody may not list and watch deployments, list and watch replicasets, list and watch pods in";
    assert!(said.contains(nothing), "{said}");
    assert!(said.contains("missing: the Deployment is there: "), "{said}");
    assert_eq!(code, 0, "it is only observed: {said}");
}

/// Only where a signal is read of them.
#[tokio::test]
async fn the_right_to_read_logs_is_looked_for_where_logs_are_read() {
    let cluster = Cluster::shared();
    let place = serving(cluster).await;
    let account = Account::with("rights/act", cluster, &place).await;
    let logs = "[service.pods.signal.logs.kubernetes]\npatterns = [\"panic\"]";
    let (_, said) = check(&place, &account.kubeconfig(), "rig", "auto", "");
    assert!(!said.contains("logs"), "{said}");
    let (code, said) = check(&place, &account.kubeconfig(), "rig", "auto", logs);
    let namespace = &place.namespace;
    let missing = format!(
        "may not get pods/log in {namespace}; grant it as `kubectl apply -k deploy/kubernetes/rights/logs -n {namespace}`"
    );
    assert!(said.contains(&missing) && code == 1, "{said}");
    let (_, said) = check(&place, &cluster.kubeconfig(), "rig", "auto", logs);
    assert!(said.contains("ok: its logs may be read: admin may get pods/log"), "{said}");
}

#[tokio::test]
async fn what_smoke_tests_and_the_metrics_api_need_is_looked_for_where_they_are_wanted() {
    let cluster = Cluster::shared();
    let place = serving(cluster).await;
    let account = Account::with("rights/act", cluster, &place).await;
    let both = "[service.pods.rollback.job.smoke]\ncron_job = \"smoke\"\n[service.pods.signal.cpu.kubernetes]";
    let namespace = &place.namespace;
    let (code, said) = check(&place, &account.kubeconfig(), "rig", "auto", both);
    for (missing, rights) in [
        ("may not get cronjobs/smoke, create and get jobs", "smoke"),
        ("may not get pods in", "usage"),
    ] {
        let grants = format!("kubectl apply -k deploy/kubernetes/rights/{rights} -n {namespace}");
        assert!(said.contains(missing) && said.contains(&grants), "{rights}: {said}");
    }
    assert_eq!(code, 1, "{said}");
    // Who may do everything still finds nobody to ask.
    let (_, said) = check(&place, &cluster.kubeconfig(), "rig", "auto", both);
    for missing in [
        "missing: its smoke test may be run: asking the API server: it is not there: cronjobs.batch \"smoke\" not found",
        "missing: what its pods use may be read: this cluster has no metrics API",
    ] {
        assert!(said.contains(missing), "{missing}: {said}");
    }
}

#[tokio::test]
async fn what_would_keep_a_rollback_from_serving_is_told_and_so_is_a_release_that_is_not_there() {
    let cluster = Cluster::shared();
    let place = serving(cluster).await;
    place.patch(json!({ "spec": { "revisionHistoryLimit": 0, "paused": true } })).await;
    let release = r#"
[service.files]
watch_only = false
[service.files.rollback.application.release]
root = "/nonexistent"
restart = { unit = "shop.service" }
running = { http = { url = "http://127.0.0.1:1/version" } }
[service.files.signal.health.http]
url = "http://127.0.0.1:1/healthz"
"#;
    let (code, said) = check(&place, &cluster.kubeconfig(), "rig", "auto", release);
    for missing in [
        "missing: a change of it comes into effect: its rollout is paused",
        "missing: its history is kept: spec.revisionHistoryLimit is 0",
        "missing: current can be switched: no symlink can be made in /nonexistent",
        "a rollback would not find what it needs: files/production, pods/production",
    ] {
        assert!(said.contains(missing), "{missing}: {said}");
    }
    assert_eq!(code, 1, "{said}");
}

#[tokio::test]
async fn what_the_daemon_keeps_is_history_too() {
    let cluster = Cluster::shared();
    let place = serving(cluster).await;
    place.patch(json!({ "spec": { "revisionHistoryLimit": 0 } })).await;
    let state = tempfile::tempdir().unwrap();
    let template = json!({ "spec": { "containers": [{ "name": "app", "image": "shop:1.4.0" }] } });
    let revision = Template::of(&template).revision(None);
    let version = revision.version.clone();
    let kept = Manifest { revision, kept_at: now(), template, cause: None, spec: None };
    let at = DeploymentAt {
        cluster: "main".into(),
        namespace: place.namespace.clone(),
        name: "shop".into(),
        uid: None,
    };
    Shelf::of(state.path(), &at).keep(&kept).unwrap();
    let (code, said) =
        check_in(state.path(), &place, (&cluster.kubeconfig(), "rig"), "auto", ["", ""]);
    assert!(said.contains("ok: its history is kept: by the daemon alone"), "{said}");
    assert!(said.contains(&format!("kept besides what is set: {version}")), "{said}");
    assert_eq!(code, 0, "{said}");
}

/// An API server that is not there: said once, soon, and no rollback would come.
#[tokio::test]
async fn an_api_server_that_does_not_answer_is_what_is_missing() {
    let mut cluster = Cluster::start();
    let place = serving(&cluster).await;
    cluster.tell("kill apiserver");
    let (code, said) = check(&place, &cluster.kubeconfig(), "rig", "auto", "");
    assert!(said.contains("missing: the API server knows the daemon: "), "{said}");
    assert!(said.contains("refused") && said.contains("1 of 1 things are missing"), "{said}");
    assert_eq!(code, 1, "{said}");
}

/// With `owner = "take-over"` it is suspended first, which is a right of its own.
#[tokio::test]
async fn what_would_put_it_back_is_told_and_the_right_to_suspend_it_is_looked_for() {
    let cluster = Cluster::shared();
    let place = serving(cluster).await;
    let id = format!("web:apps/Deployment:{}/shop", place.namespace);
    let tracked = json!({ "argocd.argoproj.io/tracking-id": id });
    place.patch(json!({ "metadata": { "annotations": tracked } })).await;
    let account = Account::with("rights/act", cluster, &place).await;
    let asked = |kubeconfig: &Path, rule: &str| {
        let state = tempfile::tempdir().unwrap();
        let rule = format!("owner = \"{rule}\"");
        check_in(state.path(), &place, (kubeconfig, "rig"), "auto", [&rule, ""]).1
    };
    let said = asked(&account.kubeconfig(), "page");
    let told =
        "Argo CD's application web would put back what is rolled away from: people are asked";
    assert!(said.contains(told), "{said}");
    let said = asked(&account.kubeconfig(), "take-over");
    assert!(said.contains("may not get and patch applications/web in argocd"), "{said}");
    assert!(
        said.contains("kubectl apply -k deploy/kubernetes/rights/take-over -n argocd"),
        "{said}"
    );
    let said = asked(&cluster.kubeconfig(), "take-over");
    assert!(
        said.contains("ok: nothing puts it back: Argo CD's application web is suspended"),
        "{said}"
    );
}

/// By name where that is enough; and whoever does not want it says so.
#[tokio::test]
async fn the_rights_on_what_pods_read_are_looked_for_where_it_is_watched() {
    let cluster = Cluster::shared();
    let place = serving(cluster).await;
    place.patch(super::reading::reads("settings", "1.4.1")).await;
    let account = Account::with("rights/act", cluster, &place).await;
    let (_, said) = check(&place, &account.kubeconfig(), "rig", "auto", "");
    let may = "create configmaps, get and patch configmaps/settings in";
    assert!(
        said.contains("ok: what its pods read may be watched: ") && said.contains(may),
        "{said}"
    );
    let observer = Account::without_maps(cluster, &place).await;
    let (code, said) = check(&place, &observer.kubeconfig(), "rig", "auto", "");
    for missing in [
        "missing: what its pods read may be watched: ",
        "may not get and list and watch configmaps in",
        "or say config_maps = false",
    ] {
        assert!(said.contains(missing), "{missing}: {said}");
    }
    assert_eq!(code, 1, "{said}");
}

/// It is for people, and no rollback needs it.
#[tokio::test]
async fn who_may_not_list_events_is_told_so_and_may_roll_back_all_the_same() {
    let cluster = Cluster::shared();
    let place = serving(cluster).await;
    let account = Account::without("events", cluster, &place).await;
    let (_, said) = check(&place, &account.kubeconfig(), "rig", "auto", "");
    let told = "ok: what the cluster warns of may be told: people are told without it: ";
    assert!(said.contains(told) && said.contains("or say events_max = 0"), "{said}");
    let (_, said) = check(&place, &cluster.kubeconfig(), "rig", "auto", "");
    assert!(said.contains("may be told: admin may list events in"), "{said}");
}

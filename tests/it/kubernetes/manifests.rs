//! What `deploy/kubernetes/` says, as a real API server judges it, and whether it fits the daemon.

use std::{collections::BTreeSet, fs, path::Path};

use hyper::Method;
use kube::Client;
use rollbackd::config;
use serde_json::{Value, json};

use super::{
    cluster::Cluster,
    kustomization::{
        ALL, Answer, Done, apply, ask, deploy, objects, one, path, read, restricted, texts,
    },
};

#[tokio::test]
async fn the_api_server_takes_every_manifest_as_it_is_written() {
    let client = Cluster::shared().client().await;
    for namespace in ["rollbackd", "shop"] {
        restricted(&client, namespace).await;
    }
    // Really done, the rights to everything would be the other tests' too.
    for of in ALL {
        deploy(&client, of, "shop", Done::OnTrial).await;
    }
    let mut misspelt = one("base", "Deployment");
    misspelt["spec"]["strategie"] = json!({});
    let answer = apply(&client, &misspelt, "", Done::OnTrial).await;
    assert!(answer.body["message"].to_string().contains("strategie"), "{answer:?}");
}

/// A pod of a Deployment's template, made on trial.
async fn pod(client: &Client, deployment: &Value) -> Answer {
    let template = &deployment["spec"]["template"];
    let metadata = json!({ "name": "on-trial", "labels": template["metadata"]["labels"] });
    let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"] });
    let namespace = deployment["metadata"]["namespace"].as_str().unwrap();
    let at = format!("/api/v1/namespaces/{namespace}/pods?dryRun=All&fieldValidation=Strict");
    ask(client, Method::POST, &at, &pod).await
}

#[tokio::test]
async fn its_pods_may_run_where_only_ordinary_processes_may() {
    let client = Cluster::shared().client().await;
    for namespace in ["rollbackd", "shop"] {
        restricted(&client, namespace).await;
    }
    for of in ["base", "sidecar"] {
        let mut deployment = one(of, "Deployment");
        let answer = pod(&client, &deployment).await;
        assert_eq!((answer.code, answer.warnings.len()), (201, 0), "{of}: {answer:?}");
        let container = &mut deployment["spec"]["template"]["spec"]["containers"][0];
        container["securityContext"]["allowPrivilegeEscalation"] = true.into();
        let answer = pod(&client, &deployment).await;
        let why = answer.body["message"].to_string();
        assert!(answer.code == 403 && why.contains("restricted"), "{of}: {answer:?}");
    }
}

#[test]
fn every_file_is_listed_and_every_listed_file_is_there() {
    for of in ALL {
        let directory = path(of);
        let said = read(&directory.join("kustomization.yaml"));
        let maps = said["configMapGenerator"].as_array().into_iter().flatten();
        let mut listed: BTreeSet<String> =
            maps.flat_map(|map| texts(&map["files"])).map(str::to_owned).collect();
        for resource in texts(&said["resources"]) {
            if resource.starts_with("../") {
                assert!(directory.join(resource).join("kustomization.yaml").exists(), "{resource}");
            } else {
                listed.insert(resource.to_owned());
            }
        }
        let there = fs::read_dir(&directory).unwrap();
        let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
        let mut there: BTreeSet<String> = there.map(|entry| name(entry.unwrap())).collect();
        assert!(there.remove("kustomization.yaml"));
        assert_eq!(listed, there, "{of}");
    }
}

fn containers(deployment: &Value) -> impl Iterator<Item = &Value> {
    deployment["spec"]["template"]["spec"]["containers"].as_array().unwrap().iter()
}

/// The container of the daemon.
fn daemon(deployment: &Value) -> &Value {
    containers(deployment).find(|container| container["name"] == "rollbackd").unwrap()
}

#[test]
fn the_journal_is_on_the_volume_and_only_the_daemon_may_write_in_its_directory() {
    for of in ["base", "sidecar"] {
        let (deployment, map) = (one(of, "Deployment"), one(of, "ConfigMap"));
        let text = map["data"]["rollbackd.toml"].as_str().unwrap();
        // What stands behind a # without a space is an example.
        let shown =
            |line: &str| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).is_some();
        let lines = text.lines().map(|line| if shown(line) { &line[1..] } else { line });
        let text = lines.collect::<Vec<_>>().join("\n");
        let (config, warnings) = config::load_text("rollbackd.toml", &text).unwrap();
        assert_eq!(config.platforms.len(), 1, "{of}");
        assert_eq!(warnings, [], "{of}");
        let daemon = daemon(&deployment);
        let mounts = daemon["volumeMounts"].as_array().unwrap();
        let state = mounts.iter().find(|mount| mount["name"] == "state").unwrap();
        let volume = Path::new(state["mountPath"].as_str().unwrap());
        for directory in [&config.store.dir, &config.reports_dir] {
            assert!(directory.starts_with(volume), "{of}: {}", directory.display());
        }
        // That one is root's, and `fsGroup` lets the group write there: the store refuses such a directory.
        assert_ne!(config.store.dir, volume, "{of}");
        let spec = &deployment["spec"]["template"]["spec"];
        assert_eq!(spec["securityContext"]["fsGroupChangePolicy"], "OnRootMismatch", "{of}");
        let env = daemon["env"].as_array().unwrap();
        let told = env.iter().find(|env| env["name"] == "ROLLBACKD_STATE_DIR").unwrap();
        assert_eq!(told["value"].as_str(), config.store.dir.to_str(), "{of}");
        assert_eq!(deployment["spec"]["strategy"]["type"], "Recreate", "{of}");
        assert_eq!(deployment["spec"]["replicas"], 1, "{of}");
        if of == "base" {
            let port = config.http.unwrap().listen.port();
            assert_eq!(daemon["ports"][0]["containerPort"], port);
            assert_eq!(one(of, "Service")["spec"]["ports"][0]["port"], port);
        }
    }
}

#[test]
fn the_image_is_the_one_that_is_built_here() {
    let dockerfile = path("../../Dockerfile");
    let text = fs::read_to_string(&dockerfile).unwrap();
    let rust = env!("CARGO_PKG_RUST_VERSION");
    assert!(text.contains(&format!("FROM rust:{rust}-slim-bookworm AS build")), "{text}");
    for of in ["base", "sidecar"] {
        let deployment = one(of, "Deployment");
        let image = daemon(&deployment)["image"].as_str().unwrap();
        assert_eq!(image, format!("rollbackd:{}", env!("CARGO_PKG_VERSION")), "{of}");
        assert!(text.contains(&format!("-t {image} ")), "{text}");
        let context = &deployment["spec"]["template"]["spec"]["securityContext"];
        let user = format!("USER {}:{}", context["runAsUser"], context["runAsGroup"]);
        assert!(text.contains(&user), "{of}: {text}");
    }
}

/// The service beside it needs none.
#[test]
fn only_the_daemon_has_a_token() {
    for of in ["base", "sidecar"] {
        assert_eq!(one(of, "ServiceAccount")["automountServiceAccountToken"], false, "{of}");
    }
    let deployment = one("sidecar", "Deployment");
    assert_eq!(deployment["spec"]["template"]["spec"]["automountServiceAccountToken"], false);
    let has_token = |container: &&Value| container["volumeMounts"].to_string().contains("token");
    let with: Vec<&Value> = containers(&deployment).filter(has_token).collect();
    assert_eq!(with, [daemon(&deployment)]);
    assert!(objects("base").iter().all(|object| object["kind"] != "Role"), "rights are apart");
}

//! The manifests of `deploy/kubernetes/`, as kustomize puts them together, and how they are given to an API server.

use std::{
    fs,
    path::{Path, PathBuf},
};

use hyper::{Method, Request, header};
use kube::{Client, client::Body};
use serde_json::{Value, json};

/// What `kubectl apply -k` would be told.
pub(crate) const ALL: [&str; 13] = [
    "base",
    "rights/observe",
    "rights/act",
    "rights/observe-everywhere",
    "rights/take-over",
    "rights/secrets",
    "rights/secrets-encrypted",
    "rights/pull-secrets",
    "rights/logs",
    "rights/smoke",
    "rights/maintenance",
    "rights/usage",
    "sidecar",
];

pub(crate) fn path(of: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/kubernetes").join(of)
}

pub(crate) fn read(file: &Path) -> Value {
    let text = fs::read_to_string(file).unwrap_or_else(|why| panic!("{}: {why}", file.display()));
    serde_saphyr::from_str(&text).unwrap_or_else(|why| panic!("{}: {why}", file.display()))
}

pub(crate) fn texts(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Every object of a directory: those of the directories it names, its files, and the maps that are made of files.
pub(crate) fn objects(of: &str) -> Vec<Value> {
    let directory = path(of);
    let said = read(&directory.join("kustomization.yaml"));
    let mut all = vec![];
    for resource in texts(&said["resources"]) {
        match resource.strip_prefix("../") {
            Some(beside) => all.extend(objects(&format!("rights/{beside}"))),
            None => all.push(read(&directory.join(resource))),
        }
    }
    for map in said["configMapGenerator"].as_array().into_iter().flatten() {
        let text = |file: &str| fs::read_to_string(directory.join(file)).unwrap();
        let files = texts(&map["files"]).into_iter();
        let data: serde_json::Map<_, _> = files.map(|f| (f.to_owned(), text(f).into())).collect();
        let metadata = json!({ "name": map["name"], "namespace": map["namespace"] });
        all.push(
            json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data }),
        );
    }
    all
}

/// The object of that kind.
pub(crate) fn one(of: &str, kind: &str) -> Value {
    objects(of).into_iter().find(|object| object["kind"] == kind).expect("there is one")
}

/// What an API server says to a request: its status, its warnings, its answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) warnings: Vec<String>,
    pub(crate) body: Value,
}

pub(crate) async fn ask(client: &Client, method: Method, path: &str, body: &Value) -> Answer {
    let kind = match method {
        // Of what JSON is a part.
        Method::PATCH => "application/apply-patch+yaml",
        _ => "application/json",
    };
    let request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, kind);
    let request = request.body(Body::from(body.to_string().into_bytes())).unwrap();
    let answer = client.send(request).await.unwrap();
    let warnings = answer.headers().get_all(header::WARNING).iter();
    let warnings = warnings.map(|warning| warning.to_str().unwrap().to_owned()).collect();
    let code = answer.status().as_u16();
    let body = answer.into_body().collect_bytes().await.unwrap();
    Answer { code, warnings, body: serde_json::from_slice(&body).unwrap() }
}

/// Whether something is really done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    Really,
    OnTrial,
}

/// As `kubectl apply --server-side -n NAMESPACE`; every field must be one that the API server knows.
pub(crate) async fn apply(client: &Client, object: &Value, namespace: &str, done: Done) -> Answer {
    let name = object["metadata"]["name"].as_str().unwrap();
    let at = format!("{}/{name}", address(object, namespace));
    let trial = if done == Done::OnTrial { "&dryRun=All" } else { "" };
    let how = format!("fieldManager=deploy&fieldValidation=Strict&force=true{trial}");
    ask(client, Method::PATCH, &format!("{at}?{how}"), object).await
}

/// Where objects of its kind are.
fn address(object: &Value, namespace: &str) -> String {
    let version = object["apiVersion"].as_str().unwrap();
    let kind = object["kind"].as_str().unwrap().to_lowercase();
    let plural = kind.strip_suffix('y').map_or(format!("{kind}s"), |stem| format!("{stem}ies"));
    let group = if version.contains('/') { "apis" } else { "api" };
    if matches!(kind.as_str(), "namespace" | "clusterrole" | "clusterrolebinding") {
        return format!("/{group}/{version}/{plural}");
    }
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or(namespace);
    format!("/{group}/{version}/namespaces/{namespace}/{plural}")
}

/// All of a directory.
pub(crate) async fn deploy(client: &Client, of: &str, namespace: &str, done: Done) {
    for object in objects(of) {
        let answer = apply(client, &object, namespace, done).await;
        assert!(matches!(answer.code, 200 | 201), "{of}: {object}: {answer:?}");
        assert_eq!(answer.warnings, Vec::<String>::new(), "{of}: {object}");
    }
}

/// A namespace in which no pod may be more than an ordinary process.
pub(crate) async fn restricted(client: &Client, name: &str) {
    let mut namespace = one("base", "Namespace");
    namespace["metadata"]["name"] = name.into();
    assert!(apply(client, &namespace, "", Done::Really).await.code < 300);
}

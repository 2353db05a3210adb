//! The daemon in a pod of the service that it watches: by the rights of its pod, and ended by its own rollback.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use hyper::Method;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, PostParams},
    config::Kubeconfig,
};
use rollbackd::demo::shop::Behaviour;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    deployments::{HEALTH, pods, service_by},
    world::{Setup, World},
};
use crate::{
    kubernetes::{
        cluster::Cluster,
        kustomization::{Done, ask, deploy},
        place::{Place, SOON},
    },
    rig::eventually,
};

/// What a kubelet puts into a pod: the token of its ServiceAccount, and how the API server is reached.
struct Pods {
    cluster: &'static Cluster,
    admin: Client,
    home: TempDir,
}

/// Starts a program as in a pod: nobody outside sees what is mounted there.
const IN_A_POD: &str = r#"#!/bin/sh
[ "$(id -u)" = 0 ] && own= || own=--map-root-user
export KUBERNETES_SERVICE_HOST={host} KUBERNETES_SERVICE_PORT={port}
exec unshare --mount $own sh -ec '
    mount -t tmpfs none /run
    mkdir -p /run/secrets/kubernetes.io/serviceaccount
    mount --bind {secrets} /run/secrets/kubernetes.io/serviceaccount
    exec "$@"' sh {program} "$@"
"#;

impl Pods {
    /// Of the daemon's ServiceAccount, which may act in the place.
    async fn new(cluster: &'static Cluster, place: &Place) -> Self {
        let admin = cluster.client().await;
        deploy(&admin, "base", "", Done::Really).await;
        deploy(&admin, "rights/act", &place.namespace, Done::Really).await;
        let home = TempDir::new().unwrap();
        let file = Kubeconfig::read_from(cluster.kubeconfig()).unwrap();
        let reached = file.clusters[0].cluster.clone().unwrap();
        let server = reached.server.unwrap();
        let (host, port) = server.strip_prefix("https://").unwrap().split_once(':').unwrap();
        let secrets = home.path().join("secrets");
        fs::create_dir(&secrets).unwrap();
        fs::copy(reached.certificate_authority.unwrap(), secrets.join("ca.crt")).unwrap();
        fs::write(secrets.join("namespace"), "rollbackd").unwrap();
        let script = IN_A_POD
            .replace("{host}", host)
            .replace("{port}", port)
            .replace("{secrets}", &secrets.display().to_string())
            .replace("{program}", env!("CARGO_BIN_EXE_rollbackd"));
        let program = home.path().join("rollbackd");
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        Self { cluster, admin, home }
    }

    fn program(&self) -> PathBuf {
        self.home.path().join("rollbackd")
    }

    /// Gives the pod another token, which lasts as long as a Secret of that name does.
    async fn give_token(&self, name: &str) -> String {
        let secrets: Api<Secret> = Api::namespaced(self.admin.clone(), "rollbackd");
        let mut secret = Secret::default();
        secret.metadata.name = Some(name.to_owned());
        let secret = secrets.create(&PostParams::default(), &secret).await.unwrap();
        let bound =
            json!({ "kind": "Secret", "apiVersion": "v1", "name": name, "uid": secret.uid() });
        let wanted = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": { "audiences": [], "boundObjectRef": bound },
        });
        let at = "/api/v1/namespaces/rollbackd/serviceaccounts/rollbackd/token";
        let answer = ask(&self.admin, Method::POST, at, &wanted).await;
        let token = answer.body["status"]["token"].as_str().expect("a token").to_owned();
        // Whole or not at all, as a kubelet writes it.
        let new = self.home.path().join("token");
        fs::write(&new, &token).unwrap();
        fs::rename(new, self.home.path().join("secrets/token")).unwrap();
        token
    }

    /// Returns once the API server knows that token no more.
    async fn revoke(&self, name: &str, token: &str) {
        let secrets: Api<Secret> = Api::namespaced(self.admin.clone(), "rollbackd");
        secrets.delete(name, &DeleteParams::default()).await.unwrap();
        let review = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": { "token": token },
        });
        let at = "/apis/authentication.k8s.io/v1/tokenreviews";
        eventually("the token is revoked", SOON, async || {
            let answer = ask(&self.admin, Method::POST, at, &review).await;
            (answer.body["status"]["authenticated"] != true).then_some(())
        })
        .await;
    }
}

/// Returns once a pod of this image is there, and no other.
async fn replaced_by(pods: &Pods, place: &Place, tag: &str) {
    let all: Api<Pod> = Api::namespaced(pods.cluster.client().await, &place.namespace);
    eventually(&format!("the pod of {tag}"), SOON, async || {
        let there = all.list(&ListParams::default()).await.unwrap().items;
        let image = |pod: &Pod| pod.spec.as_ref()?.containers[0].image.clone();
        let is = |pod: &Pod| image(pod).is_some_and(|image| image.ends_with(&format!(":{tag}")));
        (there.len() == 1 && is(&there[0])).then_some(())
    })
    .await;
}

/// Its pod was ended, and another one starts on the same volume.
async fn moves(world: &mut World) {
    let ended = world.stage.stop_daemon().expect("it ends");
    assert!(ended.success(), "{ended}\n{}", world.log());
    world.start().await;
}

#[tokio::test]
async fn a_sidecar_sets_its_own_deployment_back_which_ends_it_and_the_next_one_tells_how_it_went() {
    let cluster = Cluster::shared();
    let place = Place::new(cluster).await;
    place.deploy("1.4.1").await;
    let one = json!({ "spec": { "replicas": 1, "strategy": { "type": "Recreate", "rollingUpdate": null } } });
    place.patch(one).await;
    place.until_serves("1.4.1").await;
    let in_pods = Pods::new(cluster, &place).await;
    let first = in_pods.give_token("first").await;
    let mut world = World::set_with(in_pods.program(), [Behaviour::Healthy; 2]).await;
    let config = service_by("in_cluster = true", &place, "auto") + HEALTH;
    world.configure(&Setup::with(Behaviour::Healthy, &config));
    world.start().await;
    pods(&world, "known good", |said| said["serving_is_known_good"] == true).await;

    // A kubelet gives it another token before the first one ends.
    in_pods.give_token("second").await;
    in_pods.revoke("first", &first).await;
    place.set_image("crash-2", "release 42").await;
    pods(&world, "the release, by the second token", |said| !said["last_change"].is_null()).await;
    replaced_by(&in_pods, &place, "crash-2").await;
    moves(&mut world).await;
    replaced_by(&in_pods, &place, "1.4.1").await;
    moves(&mut world).await;

    let over = world.incident("over", |i| i.line.closed.is_some()).await;
    assert_eq!(over.line.because.as_deref(), Some("rolled back and verified"), "{over:#?}");
    let set = place.deployments.get("shop").await.unwrap();
    assert_eq!(set.metadata.generation, Some(4), "made, changed, deployed, and set back once");
    let said: Value =
        pods(&world, "the rollback", |said| said["last_change"]["is_rollback"] == true).await;
    assert!(said["incident"].is_null(), "{said}");
    world.ended().await;
}

//! A real registry, asked about what pods of a real cluster pull, by the rights that they pull with.

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, api::PostParams};
use rollbackd::{
    domain::image::Said,
    kubernetes::pulls::Options,
    sources::{
        kubernetes::pull_secrets,
        registry::{Registries, Rights},
    },
    units::Span,
};
use serde_json::json;

use super::{
    cluster::Cluster,
    kustomization::{Done, deploy},
    place::{Place, SOON, now},
    preflight::check,
    rights::Account,
};
use crate::rig::{Registry, eventually};

/// Believes nothing for longer than a moment.
fn registries(registry: &Registry) -> Registries {
    let timeout = Span::seconds(30);
    let plain_http = vec![registry.authority()];
    Registries::new(Options { keep: Span(1), timeout, plain_http, ..Options::default() }).unwrap()
}

#[tokio::test]
async fn a_real_registry_says_what_it_has_under_which_digest_and_what_it_has_no_more() {
    let registry = Registry::open().await;
    let (registries, anybody) = (registries(&registry), Rights::default());
    let ask =
        async |name: &str| registries.ask(&registry.image(name), &anybody, now).await.image.said;
    let unsure = ask("shop:1.4.1").await;
    assert!(matches!(&unsure, Said::Unknown(why) if why.contains("to a stranger")), "{unsure:?}");
    registry.push("shop", "1.4.0", "old").await;
    let is_known = async || matches!(ask("shop:1.4.0").await, Said::There { .. }).then_some(());
    eventually("it hides nothing", SOON, is_known).await;
    let is_gone = async || (ask("shop:1.4.1").await == Said::Gone).then_some(());
    eventually("it has none", SOON, is_gone).await;
    let digest = registry.push("shop", "1.4.1", "good").await;
    let there = Said::There { digest: Some(digest.clone()) };
    let is_there = async || (ask("shop:1.4.1").await == there).then_some(());
    eventually("it is there", SOON, is_there).await;
    assert_eq!(ask(&format!("shop@{digest}")).await, there);
    let other = registry.push("shop", "1.4.1", "better").await;
    assert_ne!(other, digest);
    let is_other = async || (ask("shop:1.4.1").await != there).then_some(());
    eventually("the tag stands for another one", SOON, is_other).await;
    registry.delete("shop", &digest).await;
    let is_gone = async || (ask(&format!("shop@{digest}")).await == Said::Gone).then_some(());
    eventually("it is gone", SOON, is_gone).await;
}

/// A Secret as `kubectl create secret docker-registry` makes it.
async fn secret(cluster: &Cluster, place: &Place, registry: &Registry, password: &str) {
    let login = json!({ "username": "hub", "password": password });
    let file = json!({ "auths": { registry.authority(): login } }).to_string();
    let secret = json!({
        "metadata": { "name": "registry" },
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": { ".dockerconfigjson": file },
    });
    let secret: Secret = serde_json::from_value(secret).unwrap();
    let secrets = Api::<Secret>::namespaced(cluster.client().await, &place.namespace);
    secrets.create(&PostParams::default(), &secret).await.unwrap();
}

#[tokio::test]
async fn a_private_registry_is_asked_with_what_pods_pull_with_once_that_may_be_read() {
    let cluster = Cluster::shared();
    let registry = Registry::closed().await;
    let place = Place::new(cluster).await;
    secret(cluster, &place, &registry, "secret").await;
    let account = Account::with("rights/observe", cluster, &place).await;
    let read = async || pull_secrets(&account.options(), &place.namespace, &["registry"]).await;
    let (rights, unread) = Rights::read(read().await);
    assert!(unread[0].contains("not permitted to read it"), "{unread:?}");
    let (registries, image) = (registries(&registry), registry.image("shop:1.4.1"));
    let stranger = registries.ask(&image, &rights, now).await.image.said;
    assert!(matches!(&stranger, Said::Unknown(why) if why.contains("password")), "{stranger:?}");

    let admin = cluster.client().await;
    deploy(&admin, "rights/pull-secrets", &place.namespace, Done::Really).await;
    let permitted = async || {
        let (rights, unread) = Rights::read(read().await);
        unread.is_empty().then_some(rights)
    };
    let rights = eventually("it may be read", SOON, permitted).await;
    assert!(!format!("{rights:?}").contains("secret\""), "{rights:?}");
    assert_eq!(registries.ask(&image, &rights, now).await.image.said, Said::Gone);
    let digest = registry.push("shop", "1.4.1", "good").await;
    let there = Said::There { digest: Some(digest) };
    let is_there =
        async || (registries.ask(&image, &rights, now).await.image.said == there).then_some(());
    eventually("it is there", SOON, is_there).await;
}

#[tokio::test]
async fn a_wrong_password_tells_nothing() {
    let cluster = Cluster::shared();
    let registry = Registry::closed().await;
    let place = Place::new(cluster).await;
    secret(cluster, &place, &registry, "wrong").await;
    let options = super::place::options(cluster, &place.namespace, None);
    let read = pull_secrets(&options, &place.namespace, &["registry", "nobody"]).await;
    let (rights, unread) = Rights::read(read);
    assert!(unread.len() == 1 && unread[0].contains("nobody"), "{unread:?}");
    let image = registry.image("shop:1.4.1");
    let said = registries(&registry).ask(&image, &rights, now).await.image.said;
    assert!(matches!(&said, Said::Unknown(why) if why.contains("HTTP 401")), "{said:?}");
}

#[tokio::test]
async fn before_there_is_need_it_is_told_what_could_not_be_pulled_any_more() {
    let cluster = Cluster::shared();
    let registry = Registry::open().await;
    let place = Place::new(cluster).await;
    let digest = registry.push("shop", "1.4.1", "good").await;
    registry.push("shop", "1.4.2", "better").await;
    place.deploy_image(&registry.image("shop:1.4.1")).await;
    place.until_serves("1.4.1").await;
    place.set_whole_image(&registry.image("shop:1.4.2"), "release 42").await;
    place.until_serves("1.4.2").await;
    let plain =
        format!("[kubernetes.main.registries]\nplain_http = [\"{}\"]", registry.authority());
    let (code, said) = check(&place, &cluster.kubeconfig(), "rig", "auto", &plain);
    assert!(said.contains("ok: its images can be pulled") && code == 0, "{said}");
    assert!(said.contains(&digest), "{said}");
    registry.delete("shop", &digest).await;
    let (code, said) = check(&place, &cluster.kubeconfig(), "rig", "auto", &plain);
    assert!(said.contains("missing: its images can be pulled") && code == 1, "{said}");
    let gone = format!("{} has no {} any more", registry.authority(), registry.image("shop:1.4.1"));
    assert!(said.contains(&gone), "{said}");
    let silent = "[kubernetes.main.registries]\nask = false";
    let (code, said) = check(&place, &cluster.kubeconfig(), "rig", "auto", silent);
    assert!(!said.contains("can be pulled") && code == 0, "{said}");
}

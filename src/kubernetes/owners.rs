//! Who a Deployment belongs to: by the labels, annotations and owner references that its tools leave on it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::domain::owner::Owner;

const ARGO_CD: &str = "argocd.argoproj.io/";
const TRACKING_ID: &str = "argocd.argoproj.io/tracking-id";
const ARGO_CD_INSTANCE: &str = "argocd.argoproj.io/instance";
/// Every chart sets it: by itself it says nothing of Argo CD, whose mark it is where nothing else is configured.
const INSTANCE: &str = "app.kubernetes.io/instance";
const KUSTOMIZATION: [&str; 2] =
    ["kustomize.toolkit.fluxcd.io/namespace", "kustomize.toolkit.fluxcd.io/name"];
const HELM_RELEASE: [&str; 2] = ["helm.toolkit.fluxcd.io/namespace", "helm.toolkit.fluxcd.io/name"];
const RELEASE_NAME: &str = "meta.helm.sh/release-name";
const RELEASE_NAMESPACE: &str = "meta.helm.sh/release-namespace";
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// No name in a cluster is longer.
const NAME_MAX: usize = 253;

/// All of them, those that put back by themselves first.
pub fn of(meta: &ObjectMeta) -> Box<[Owner]> {
    let mut all: Vec<Owner> = argo_cd(meta).into_iter().collect();
    all.extend(labelled(meta, KUSTOMIZATION).map(|at| {
        let [namespace, name] = at.map(str::to_owned);
        Owner::Kustomization { namespace, name }
    }));
    all.extend(labelled(meta, HELM_RELEASE).map(|at| {
        let [namespace, name] = at.map(str::to_owned);
        Owner::HelmRelease { namespace, name }
    }));
    let references = meta.owner_references.as_deref().unwrap_or_default().iter();
    all.extend(references.filter(|owner| owner.controller == Some(true)).map(|owner| {
        let cut = |text: &str| text[..text.floor_char_boundary(NAME_MAX)].to_owned();
        Owner::Operator { kind: cut(&owner.kind), name: cut(&owner.name) }
    }));
    // Both render charts and upgrade nothing by hand: of these a release is only a part.
    let by_chart =
        |owner: &Owner| matches!(owner, Owner::ArgoCd { .. } | Owner::HelmRelease { .. });
    if !all.iter().any(by_chart) {
        all.extend(helm(meta));
    }
    all.into_boxed_slice()
}

/// An annotation of an object.
pub fn annotation<'m>(meta: &'m ObjectMeta, name: &str) -> Option<&'m str> {
    meta.annotations.as_ref()?.get(name).map(String::as_str)
}

fn label<'m>(meta: &'m ObjectMeta, name: &str) -> Option<&'m str> {
    meta.labels.as_ref()?.get(name).map(String::as_str)
}

/// A name that an object of the cluster can have; what is none was not written by the tool.
fn named(text: &str) -> Option<&str> {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
    (!text.is_empty() && text.len() <= NAME_MAX && text.chars().all(legal)).then_some(text)
}

fn labelled<'m>(meta: &'m ObjectMeta, [namespace, name]: [&str; 2]) -> Option<[&'m str; 2]> {
    Some([label(meta, namespace).and_then(named)?, label(meta, name).and_then(named)?])
}

fn argo_cd(meta: &ObjectMeta) -> Option<Owner> {
    let instance = match annotation(meta, TRACKING_ID) {
        Some(id) => tracked(id, meta)?,
        None => label(meta, ARGO_CD_INSTANCE)
            .or_else(|| label(meta, INSTANCE).filter(|_| is_marked(meta)))?,
    };
    // One outside of Argo CD's own namespace is written with its own before it.
    let (namespace, application) = match instance.split_once('_') {
        Some((namespace, application)) => (Some(named(namespace)?.to_owned()), application),
        None => (None, instance),
    };
    Some(Owner::ArgoCd { application: named(application)?.to_owned(), namespace })
}

/// The application in `APP:GROUP/KIND:NAMESPACE/NAME`, if this object is meant: whoever copies an object copies that, too.
fn tracked<'m>(id: &'m str, meta: &ObjectMeta) -> Option<&'m str> {
    let (instance, object) = id.split_once(':')?;
    let (kind, key) = object.split_once(':')?;
    let (namespace, name) = key.split_once('/')?;
    let is_meant = matches!(kind, "apps/Deployment" | "/ConfigMap" | "/Secret")
        && meta.namespace.as_deref() == Some(namespace)
        && meta.name.as_deref() == Some(name);
    is_meant.then_some(instance)
}

/// Whether Argo CD left anything else on it.
fn is_marked(meta: &ObjectMeta) -> bool {
    let labels = meta.labels.iter().flatten();
    let mut marks = labels.chain(meta.annotations.iter().flatten()).map(|(name, _)| name);
    let mut writers = meta.managed_fields.iter().flatten().filter_map(|it| it.manager.as_deref());
    marks.any(|name| name.starts_with(ARGO_CD)) || writers.any(|name| name == "argocd-controller")
}

fn helm(meta: &ObjectMeta) -> Option<Owner> {
    let told = |name: &str| annotation(meta, name).and_then(named).map(str::to_owned);
    let (release, namespace) = (told(RELEASE_NAME), told(RELEASE_NAMESPACE));
    let is_managed = label(meta, MANAGED_BY) == Some("Helm");
    (release.is_some() || is_managed).then_some(Owner::Helm { release, namespace })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn told(meta: Value) -> Vec<String> {
        let mut whole = json!({ "namespace": "shop", "name": "checkout" });
        whole.as_object_mut().unwrap().extend(meta.as_object().unwrap().clone());
        let meta: ObjectMeta = serde_json::from_value(whole).unwrap();
        of(&meta).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn argo_cd_is_known_by_its_tracking_id_unless_that_was_copied_from_another_object() {
        let tracked = |id: &str| told(json!({ "annotations": { TRACKING_ID: id } }));
        assert_eq!(tracked("web:apps/Deployment:shop/checkout"), ["Argo CD's application web"]);
        assert_eq!(
            tracked("team-a_web:apps/Deployment:shop/checkout"),
            ["Argo CD's application team-a/web"]
        );
        for other in ["web:apps/Deployment:shop/cart", "web:apps/StatefulSet:shop/checkout", "web"]
        {
            assert!(tracked(other).is_empty(), "{other}");
        }
        let hostile = format!("{}:apps/Deployment:shop/checkout", "<!here> ".repeat(100));
        assert!(tracked(&hostile).is_empty());
    }

    #[test]
    fn what_pods_read_is_known_by_its_tracking_id_too() {
        let id = "web:/ConfigMap:shop/checkout";
        let said = told(json!({ "annotations": { TRACKING_ID: id } }));
        assert_eq!(said, ["Argo CD's application web"]);
    }

    #[test]
    fn the_instance_label_of_every_chart_is_argo_cds_only_beside_a_mark_of_it() {
        let labels = json!({ INSTANCE: "web" });
        assert!(told(json!({ "labels": labels })).is_empty());
        let wave = json!({ "argocd.argoproj.io/sync-wave": "1" });
        let writer = json!([{ "manager": "argocd-controller" }]);
        for marked in [
            json!({ "labels": labels, "annotations": wave }),
            json!({ "labels": labels, "managedFields": writer }),
            json!({ "labels": { ARGO_CD_INSTANCE: "web" } }),
        ] {
            assert_eq!(told(marked), ["Argo CD's application web"]);
        }
    }

    #[test]
    fn flux_is_known_by_the_labels_of_its_kustomizations_and_releases() {
        let at = |[namespace, name]: [&str; 2]| {
            told(json!({ "labels": { namespace: "apps", name: "web" } }))
        };
        assert_eq!(at(KUSTOMIZATION), ["Flux's Kustomization apps/web"]);
        assert_eq!(at(HELM_RELEASE), ["Flux's HelmRelease apps/web"]);
        assert!(told(json!({ "labels": { KUSTOMIZATION[1]: "web" } })).is_empty(), "where it is");
    }

    #[test]
    fn helm_is_known_by_its_annotations_or_by_who_manages_it() {
        let release = json!({ RELEASE_NAME: "web", RELEASE_NAMESPACE: "shop" });
        assert_eq!(told(json!({ "annotations": release })), ["the Helm release shop/web"]);
        assert_eq!(told(json!({ "labels": { MANAGED_BY: "Helm" } })), ["a Helm release"]);
        assert!(told(json!({ "labels": { MANAGED_BY: "kustomize" } })).is_empty());
    }

    #[test]
    fn an_operator_is_the_controller_among_the_owner_references() {
        let reference = |controller: bool| json!([{ "apiVersion": "example.com/v1", "kind": "Shop", "name": "eu", "uid": "u", "controller": controller }]);
        assert_eq!(
            told(json!({ "ownerReferences": reference(true) })),
            ["the operator of Shop eu"]
        );
        assert!(told(json!({ "ownerReferences": reference(false) })).is_empty());
    }

    #[test]
    fn of_two_owners_both_are_known_and_a_release_of_another_owner_is_not_told_beside_it() {
        let release = json!({ RELEASE_NAME: "web", RELEASE_NAMESPACE: "apps" });
        let labels = |[namespace, name]: [&str; 2]| json!({ namespace: "apps", name: "web", MANAGED_BY: "Helm" });
        let both = |at| told(json!({ "labels": labels(at), "annotations": release }));
        assert_eq!(
            both(KUSTOMIZATION),
            ["Flux's Kustomization apps/web", "the Helm release apps/web"]
        );
        assert_eq!(both(HELM_RELEASE), ["Flux's HelmRelease apps/web"]);
        let operator = json!([{ "apiVersion": "example.com/v1", "kind": "Shop", "name": "eu", "uid": "u", "controller": true }]);
        let two = told(json!({ "labels": labels(KUSTOMIZATION), "ownerReferences": operator }));
        assert_eq!(two[..2], ["Flux's Kustomization apps/web", "the operator of Shop eu"]);
    }
}
